"""Converters of transformers and CLIP's towers: what follows from the tensors of a checkpoint.

TransReID, CLIP-ReID and SOLIDER have common code. The feature before the BNNeck is compared, by
cosine, and pictures of transformers have a mean and deviation of 0.5.
"""

from torch import Tensor

from passerby.errors import InputError
from passerby.models.clip_reid import CLIP_RESNETS
from passerby.models.foreign.translation import Checkpoint, Facts, Size, State, numbers
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


def transreid(found: Checkpoint) -> Facts:
    """Describe TransReID on ViT or DeiT, with or without cameras and overlapping patches."""
    name = _vit_name(found.state)
    depth = len(numbers(found.foreign, "base.blocks."))
    return {"architecture": name, **_transformer(found, name, depth, TRANSREID_SIDE)}


def transreid_jigsaw(found: Checkpoint) -> Facts:
    """Describe TransReID with the jigsaw.

    The last block of the trunk and its normalisation were copied into the branches and are never
    run. Losses with a margin train one classifier only. The other heads then have none, and all
    are left out.
    """
    last = len(numbers(found.foreign, "base.blocks.")) - 1
    found.remove(f"backbone.blocks.{last}.", f"base.blocks.{last}.")
    if sum(key.startswith("classifiers.") for key in found.state) != HEADS:
        found.remove("classifiers.", "classifier")
    facts = transreid(found)
    return {**facts, "architecture": f"transreid:{facts['architecture']}"}


def clip_vit(found: Checkpoint) -> Facts:
    """Describe CLIP-ReID, or its baseline without texts, on ViT-B/16."""
    key = "projection.linear.weight"
    if key in found.state:
        found.state[key] = found.state[key].t()
    depth = len(numbers(found.state, "backbone.blocks."))
    return _transformer(found, "clip_vit_base", depth, CLIP_SIDE)


def clip_resnet(found: Checkpoint) -> Facts:
    """Describe CLIP-ReID, or its baseline without texts, on CLIP's ResNet-50."""
    blocks = tuple(len(numbers(found.state, f"backbone.layer{stage}.")) for stage in (1, 2, 3, 4))
    name = next((name for name, shape in CLIP_RESNETS.items() if shape.blocks == blocks), None)
    if name is None:
        raise InputError(f"the checkpoint's tower has {blocks} blocks: no known network of CLIP")
    places = found.state["projection.positions"].shape[0] - 1
    for height, width in (found.size,) if found.size else SIZES:
        if (height // PATCH) * (width // PATCH) == places:
            return {"architecture": f"clip-reid:{name}", "input_size": (height, width)}
    raise _no_size(places, found.size)


def solider(found: Checkpoint) -> Facts:
    """Describe SOLIDER's Swins, fine-tuned for re-ID or as they are after the pre-training."""
    name, facts = _swin_name(found.state), Facts()
    structure: Facts = {"semantic_weight": -1.0}
    if "backbone.stages.1.entry.1.scale.weight" in found.state:
        structure["semantic_weight"] = 0.2
        facts["notes"] = "; a semantic weight of 0.2 assumed, as in its re-ID"
    embedded = "embed.0.weight" in found.state
    if embedded:
        structure |= {"embedding": found.width("embed.0.weight"), "embedding_norm": False}
    return {
        **facts,
        "architecture": f"embedded:{name}" if embedded else name,
        "structure": structure,
        "neck": "bnneck.weight" in found.state,
    }


def _transformer(found: Checkpoint, name: str, depth: int, factor: float) -> Facts:
    """Describe input size, stride, depth and cameras of a vision transformer.

    The cameras' embeddings are scaled by ``factor``, as the published code does at run time.
    """
    input_size, structure = _placed(found.state["backbone.positions"], found.size)
    if depth != VITS[name].depth:
        structure["depth"] = depth
    facts: Facts = {"input_size": input_size, "structure": structure}
    if "backbone.cameras" in found.state:
        found.state["backbone.cameras"] = factor * found.state["backbone.cameras"]
        structure["cameras"] = found.width("backbone.cameras")
        facts["notes"] = (
            f"; cameras' embeddings times {factor:g} assumed; it was compared with the embedding "
            "of each picture's camera, here the mean of all is added (structure option camera)"
        )
    return facts


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
