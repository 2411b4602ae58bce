"""One view on what any network gives to the losses."""

from torch import Tensor, nn

from passerby.errors import InputError
from passerby.models.fpb_original import OriginalFpbOutput
from passerby.models.network import TrainOutput
from passerby.models.parts import PartsOutput
from passerby.models.pyramid import PyramidOutput

Output = TrainOutput | PartsOutput | PyramidOutput | OriginalFpbOutput


def heads(output: Output) -> tuple[TrainOutput, ...]:
    """The heads of a network's training output, so that any loss applies to each.

    Args:
        output: Of a network with one head, with parts (global head first, then the stripes) or
            with branches (fine to coarse), whose features have no form before normalisation.
    """
    if isinstance(output, TrainOutput):
        return (output,)
    if isinstance(output, PartsOutput | OriginalFpbOutput):
        return output.heads
    features = output.features.unbind(1)
    pairs = zip(features, output.logits.unbind(0), strict=True)
    return tuple(TrainOutput(one, one, logits) for one, logits in pairs)


def classifier_weights(network: nn.Module) -> list[Tensor]:
    """The identity classifiers' weights (C, D), one for each of :func:`heads`, in their order.

    Raises:
        InputError: If the network has no classifier.
    """
    one, several = getattr(network, "classifier", None), getattr(network, "classifiers", None)
    weights: list[Tensor] = [] if one is None else [one.weight]
    if isinstance(several, nn.ModuleList | nn.ModuleDict):
        each = several.values() if isinstance(several, nn.ModuleDict) else several
        weights += [module.weight for module in each if isinstance(module, nn.Linear)]
    elif several is not None:  # stacked: (heads, C, D)
        weights += several.weight.unbind(0)
    if not weights:
        raise InputError("the network has no classifier; build it with its number of identities")
    return weights
