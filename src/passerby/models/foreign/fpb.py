"""The supervised feature pyramid network of its authors: how it names its tensors."""

from collections.abc import Mapping

from torch import Tensor

from passerby.models.foreign.translation import Translation, rename, resnet_name

ATTENTION = {
    "pam.pam.query_conv.": "0.query.",
    "pam.pam.key_conv.": "0.key.",
    "pam.pam.value_conv.": "0.value.",
    "pam.pam.gamma": "0.gamma",
    "pam.pam.bn.": "0.norm.",
    "cam.cam.gamma": "1.gamma",
    "cam.cam.bn.": "1.norm.",
}
# convolution, normalisation and ReLU: named there, numbered here
MERGES = {"convs.0.": "top.", "convs.1.": "down.", "convs.2.": "out2.", "convs.3.": "out3."}
SKIPS = {"downsamples.0.": "skip2.", "downsamples.1.": "skip3."}


def _numbered(old: str, new: str) -> list[tuple[str, str]]:
    return [(f"{old}conv.", f"{new}0."), (f"{old}bn.", f"{new}1.")]


def fpb(state: Mapping[str, Tensor]) -> Translation:
    """Global head and three stripes; the feature is four parts of length one."""
    rules = [("layer0.0.", "backbone.conv1."), ("layer0.1.", "backbone.bn1.")]
    rules += [(f"layer{stage}.", f"backbone.layer{stage}.") for stage in (1, 2, 3, 4)]
    for old, new in ATTENTION.items():
        rules.append((f"pc1.{old}", f"attention.{new}"))
        rules.append((f"neck.fpn_module1.pc1.{old}", f"neck_attention.{new}"))
    for old, new in MERGES.items():
        rules += _numbered(f"neck.fpn_module1.{old}", f"neck.{new}")
    rules += [(f"neck.fpn_module1.{old}", f"neck.{new}") for old, new in SKIPS.items()]
    rules += _numbered("neck.lateral_convs.0.", "neck.lateral3.")
    rules += _numbered("neck.lateral_convs.1.", "neck.lateral2.")
    rules += _numbered("neck.conv.", "out.")
    rules += [
        ("bn_l4.", "norm."),
        ("classifier_l4.", "classifier."),
        ("dim_reds.layers.", "classifiers.reduce."),
        ("classifiers.", "classifiers."),
    ]
    renamed, dropped = rename(state, rules)
    if "classifier.weight" not in renamed:  # then what lies before the classifiers is of no use
        dropped += tuple(key for key in state if key.startswith("dim_reds."))
        renamed = {k: v for k, v in renamed.items() if not k.startswith("classifiers.")}
    return Translation(
        state=renamed,
        dropped=dropped,
        architecture=f"fpb-original:{resnet_name(renamed)}",
        input_size=(384, 128),
        notes="FPB; four parts of length one, which its own evaluation compares as they are: with "
        "equal lengths the same order as by cosine",
    )
