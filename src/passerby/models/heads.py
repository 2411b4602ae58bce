"""One view on what any network gives to the losses."""

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
