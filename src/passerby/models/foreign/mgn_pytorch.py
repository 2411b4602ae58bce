"""MGN-pytorch, a widely used reimplementation of MGN: how it names its tensors, and runs them."""

from collections.abc import Mapping

from torch import Tensor

from passerby.models.foreign.fastreid import branched_name
from passerby.models.foreign.translation import Translation, rename

CLASSIFIERS = ("2048_0", "2048_1", "2048_2", "256_1_0", "256_1_1", "256_2_0", "256_2_1", "256_2_2")


def mgn_pytorch(state: Mapping[str, Tensor]) -> Translation:
    """The paper's form: the first branch halves its map, no necks, reductions with ReLU."""
    places = {"0.": "conv1.", "1.": "bn1.", "4.": "layer1.", "5.": "layer2.", "6.": "layer3.0."}
    rules = [(f"backone.{old}", f"backbone.{new}") for old, new in places.items()]  # its spelling
    rules += [(f"p{n}.", f"branches.{n - 1}.") for n in (1, 2, 3)]
    for number, name in enumerate(CLASSIFIERS):
        rules += [
            (f"reduction_{number}.", f"reductions.{number}."),
            (f"fc_id_{name}.", f"classifiers.{number}."),
        ]
    renamed, dropped = rename(state, rules)
    return Translation(
        state=renamed,
        dropped=dropped,
        architecture=f"mgn:{branched_name(renamed)}",
        structure={
            "reduction": "relu",
            "width": int(renamed["reductions.0.0.weight"].shape[0]),
        },
        last_stride=2,
        pooling="maximum",
        neck=False,
        feature="before_bn",
        input_size=(384, 128),
        interpolation="bicubic",
        notes="MGN-pytorch; maximum pooling assumed, its usual option; its own evaluation adds the "
        "features of the mirrored picture",
    )
