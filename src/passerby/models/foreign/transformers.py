"""Transformers and CLIP's towers of the published toolboxes: the names of their tensors.

TransReID, CLIP-ReID and SOLIDER have common code. The feature before the BNNeck is compared, by
cosine, and pictures of transformers have a mean and deviation of 0.5.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor

from passerby.errors import InputError
from passerby.models.clip_reid import CLIP_RESNETS
from passerby.models.foreign.translation import (
    HALF,
    LARGE,
    Size,
    State,
    Translation,
    numbers,
    respell,
)
from passerby.models.structure import Value
from passerby.models.swin import SWINS
from passerby.models.vision_transformer import PATCH, VITS, patch_grid

# published for re-ID of people and cars; no two have the same number of patches at one stride
SIZES: tuple[Size, ...] = ((256, 128), (384, 128), (256, 256), (384, 192), (224, 224))
STRIDES = (PATCH, 12, 14, 10, 8)

# factors of the cameras' embeddings in the published configurations
TRANSREID_SIDE = 3.0
CLIP_SIDE = 1.0
HEADS = 5  # of TransReID with the jigsaw

TRANSREID_BLOCK = (
    (r"attn\.qkv\.", "attention.qkv."),
    (r"attn\.proj\.", "attention.out."),
    (r"mlp\.fc1\.", "mlp.0."),
    (r"mlp\.fc2\.", "mlp.2."),
    (r"norm([12])\.", r"norm\1."),
)
CLIP_BLOCK = (
    (r"attn\.in_proj_(weight|bias)", r"attention.qkv.\1"),
    (r"attn\.out_proj\.", "attention.out."),
    (r"mlp\.c_fc\.", "mlp.0."),
    (r"mlp\.c_proj\.", "mlp.2."),
    (r"ln_([12])\.", r"norm\1."),
)
CLIP_HEADS = (
    (r"bottleneck\.", "bnnecks.0."),
    (r"bottleneck_proj\.", "bnnecks.1."),
    (r"classifier\.", "classifiers.0."),
    (r"classifier_proj\.", "classifiers.1."),
)
CLIP_TEXTS = (r"prompt_learner\.", r"text_encoder\.")
SOLIDER_BLOCK = (
    (r"attn\.w_msa\.relative_position_bias_table", "attention.bias_table"),
    (r"attn\.w_msa\.qkv\.", "attention.qkv."),
    (r"attn\.w_msa\.proj\.", "attention.out."),
    (r"ffn\.layers\.0\.0\.", "mlp.0."),
    (r"ffn\.layers\.1\.", "mlp.2."),
    (r"norm([12])\.", r"norm\1."),
)


def _blocks(source: str, target: str, parts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Make rules for the ``parts`` of blocks, whose number follows ``source``, a pattern."""
    shifted = [(old, new.replace(r"\1", r"\2")) for old, new in parts]
    return [(rf"{source}(\d+)\.{old}", rf"{target}\1.{new}") for old, new in shifted]


def transreid(state: Mapping[str, Tensor], size: Size | None) -> Translation:
    """Convert TransReID on ViT or DeiT, with or without jigsaw, cameras, overlapping patches."""
    local = any(key.startswith("b2.0.") for key in state)
    rules = [
        (r"base\.cls_token", "backbone.class_token"),
        (r"base\.pos_embed", "backbone.positions"),
        (r"base\.sie_embed", "backbone.cameras"),
        (r"base\.patch_embed\.proj\.", "backbone.patches."),
        *_blocks(r"base\.blocks\.", "backbone.blocks.", TRANSREID_BLOCK),
        (r"bottleneck\.", "bnnecks.0." if local else "bnneck."),
        (r"bottleneck_(\d)\.", r"bnnecks.\1."),
        (r"classifier\.", "classifiers.0." if local else "classifier."),
        (r"classifier_(\d)\.", r"classifiers.\1."),
    ]
    rules += [(r"base\.norm\.", "backbone.norm.")] if not local else []
    for old, new in (("b1", "whole"), ("b2", "local")):
        rules += [(rf"{old}\.0\.{part}", rf"{new}.0.{ours}") for part, ours in TRANSREID_BLOCK]
        rules.append((rf"{old}\.1\.", f"{new}.1."))
    depth = len(numbers(state, "base.blocks."))
    # with the jigsaw, the trunk's own last block and normalisation are copied and never run
    drop = [r"base\.fc\.", *((rf"base\.blocks\.{depth - 1}\.", r"base\.norm\.") if local else ())]
    renamed, dropped = respell(state, rules, drop)
    if local and len([k for k in renamed if k.startswith("classifiers.")]) != HEADS:
        # losses with a margin train one classifier only, so that the other heads have none
        renamed = {k: v for k, v in renamed.items() if not k.startswith("classifiers.")}
        dropped += tuple(key for key in state if key.startswith("classifier"))
    name = _vit_name(renamed)
    input_size, structure = _placed(renamed["backbone.positions"], size)
    if depth != VITS[name].depth:
        structure["depth"] = depth
    note = "TransReID" + ("; jigsaw with a shift of 5 and 2 groups assumed" if local else "")
    return Translation(
        state=renamed,
        dropped=dropped,
        architecture=f"transreid:{name}" if local else name,
        structure=structure,
        feature="before_bn",
        input_size=input_size,
        mean=HALF,
        std=HALF,
        notes=note + _with_cameras(renamed, structure, TRANSREID_SIDE),
    )


def clip_vit(state: Mapping[str, Tensor], size: Size | None) -> Translation:
    """Convert CLIP-ReID, or its baseline without texts, on ViT-B/16."""
    encoder = r"image_encoder\."
    rules = [
        (rf"{encoder}conv1\.", "backbone.patches."),
        (rf"{encoder}class_embedding", "backbone.class_token"),
        (rf"{encoder}positional_embedding", "backbone.positions"),
        (rf"{encoder}ln_pre\.", "backbone.pre_norm."),
        (rf"{encoder}ln_post\.", "backbone.norm."),
        (rf"{encoder}proj", "projection.linear.weight"),
        (r"cv_embed", "backbone.cameras"),
        *_blocks(rf"{encoder}transformer\.resblocks\.", "backbone.blocks.", CLIP_BLOCK),
        *CLIP_HEADS,
    ]
    renamed, dropped = respell(state, rules, CLIP_TEXTS)
    if "projection.linear.weight" in renamed:
        renamed["projection.linear.weight"] = renamed["projection.linear.weight"].t()
    input_size, structure = _placed(renamed["backbone.positions"], size)
    depth = len(numbers(renamed, "backbone.blocks."))
    if depth != VITS["clip_vit_base"].depth:
        structure["depth"] = depth
    return Translation(
        state=renamed,
        dropped=dropped,
        architecture="clip-reid:clip_vit_base",
        structure=structure,
        feature="before_bn",
        input_size=input_size,
        mean=HALF,
        std=HALF,
        notes="CLIP-ReID" + _with_cameras(renamed, structure, CLIP_SIDE),
    )


def clip_resnet(state: Mapping[str, Tensor], size: Size | None) -> Translation:
    """Convert CLIP-ReID, or its baseline without texts, on CLIP's ResNet-50."""
    encoder = r"image_encoder\."
    pool = rf"{encoder}attnpool\."
    rules = [
        (rf"{encoder}((conv|bn|layer)\d)\.", r"backbone.\1."),
        (rf"{pool}positional_embedding", "projection.positions"),
        (rf"{pool}q_proj\.", "projection.query."),
        (rf"{pool}k_proj\.", "projection.key."),
        (rf"{pool}v_proj\.", "projection.value."),
        (rf"{pool}c_proj\.", "projection.out."),
        *CLIP_HEADS,
    ]
    # this tower never gets the cameras' embedding
    renamed, dropped = respell(state, rules, [*CLIP_TEXTS, "cv_embed"])
    blocks = tuple(len(numbers(renamed, f"backbone.layer{stage}.")) for stage in (1, 2, 3, 4))
    name = next((name for name, shape in CLIP_RESNETS.items() if shape.blocks == blocks), None)
    if name is None:
        raise InputError(f"the checkpoint's tower has {blocks} blocks: no known network of CLIP")
    places = renamed["projection.positions"].shape[0] - 1
    for height, width in (size,) if size else SIZES:
        if (height // PATCH) * (width // PATCH) == places:
            return Translation(
                state=renamed,
                dropped=dropped,
                architecture=f"clip-reid:{name}",
                feature="before_bn",
                input_size=(height, width),
                notes="CLIP-ReID",
            )
    raise _no_size(places, size)


def solider(state: Mapping[str, Tensor], size: Size | None) -> Translation:
    """Convert SOLIDER's Swins, fine-tuned for re-ID or as they are after the pre-training."""
    trained = any(key.startswith("base.") for key in state)
    source = r"base\." if trained else r"backbone\."
    rules = [
        (rf"{source}patch_embed\.projection\.", "backbone.patches."),
        (rf"{source}patch_embed\.norm\.", "backbone.patch_norm."),
        (rf"{source}norm3\.", "backbone.norm."),
        (r"fcneck\.", "embed.0."),
        (r"bottleneck\.", "bnneck."),
        (r"classifier\.", "classifier."),
    ]
    for stage in range(4):
        old, new = rf"{source}stages\.{stage}\.", f"backbone.stages.{stage}."
        rules += _blocks(rf"{old}blocks\.", f"{new}blocks.", SOLIDER_BLOCK)
    for stage in range(3):
        entry = f"backbone.stages.{stage + 1}.entry."
        rules.append((rf"{source}stages\.{stage}\.downsample\.", f"{entry}0."))
        rules.append((rf"{source}semantic_embed_w\.{stage}\.", f"{entry}1.scale."))
        rules.append((rf"{source}semantic_embed_b\.{stage}\.", f"{entry}1.shift."))
    # normalisations and a controller on which the feature does not depend, heads of the
    # pre-training, and an index that follows from the window
    drop = [rf"{source}norm[012]\.", rf"{source}semantic_embed_[wb]\.3\.", r"head\."]
    drop.append(r".*\.relative_position_index")
    renamed, dropped = respell(state, rules, drop)
    name = _swin_name(renamed)
    structure: dict[str, Value] = {}
    note = "SOLIDER" if trained else "SOLIDER's pre-training: a start, not a network for re-ID"
    if "backbone.stages.1.entry.1.scale.weight" in renamed:
        structure["semantic_weight"] = 0.2
        note += "; a semantic weight of 0.2 assumed, as in its re-ID"
    else:
        structure["semantic_weight"] = -1.0
    if "embed.0.weight" in renamed:
        structure["embedding"] = int(renamed["embed.0.weight"].shape[0])
        structure["embedding_norm"] = False
    return Translation(
        state=renamed,
        dropped=dropped,
        architecture=f"embedded:{name}" if "embed.0.weight" in renamed else name,
        structure=structure,
        neck="bnneck.weight" in renamed,
        feature="before_bn",
        input_size=size or LARGE,
        mean=HALF,
        std=HALF,
        notes=note,
    )


def _vit_name(state: State) -> str:
    """Find the transformer that has this width, this perceptron and these biases."""
    block = "backbone.blocks.0."
    needed = ("backbone.positions", f"{block}mlp.0.weight")
    if any(key not in state for key in needed):
        raise InputError("the checkpoint lacks the positions or the first block of a transformer")
    hidden, width = state[needed[1]].shape
    bias = f"{block}attention.qkv.bias" in state
    for name, shape in VITS.items():
        if not shape.clip and (shape.width, shape.hidden, shape.bias) == (width, hidden, bias):
            return name
    raise InputError(f"the checkpoint's transformer is {width} wide ({hidden} inside): unknown")


def _swin_name(state: State) -> str:
    depths = tuple(len(numbers(state, f"backbone.stages.{n}.blocks.")) for n in range(4))
    patches = state.get("backbone.patches.weight")
    width = 0 if patches is None else patches.shape[0]
    for name, shape in SWINS.items():
        if (shape.width, shape.depths) == (width, depths):
            return name
    raise InputError(f"the checkpoint's Swin is {width} wide with {depths} blocks: unknown")


def _placed(positions: Tensor, size: Size | None) -> tuple[Size, dict[str, Value]]:
    """Find the input size and the stride (an option unless usual) with this many positions."""
    patches = positions.shape[-2] - 1
    for input_size in (size,) if size else SIZES:
        for stride in STRIDES:
            rows, columns = patch_grid(input_size, stride)
            if rows * columns == patches:
                return input_size, {"stride": stride} if stride != PATCH else {}
    raise _no_size(patches, size)


def _no_size(places: int, size: Size | None) -> InputError:
    tried = f"on {size[0]} x {size[1]} pixels" if size else "on a published size"
    return InputError(
        f"the checkpoint has {places} positions, which no stride gives {tried}; say with which "
        "input size (height and width in pixels) it was trained"
    )


def _with_cameras(state: State, structure: dict[str, Value], factor: float) -> str:
    """Scale the cameras' embeddings as the published code does at run time; return a note."""
    if "backbone.cameras" not in state:
        return ""
    state["backbone.cameras"] = factor * state["backbone.cameras"]
    structure["cameras"] = int(state["backbone.cameras"].shape[0])
    return (
        f"; cameras' embeddings times {factor:g} assumed; it was compared with the embedding of "
        "each picture's camera, here the mean of all is added (structure option camera)"
    )
