"""Vision transformers as TransReID and CLIP-ReID run them.

Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021, with what re-ID adds: patches that
overlap, pictures that are not square, and an embedding of the camera ("side information", He et
al., TransReID, ICCV 2021, section 3.3). CLIP's image tower (Radford et al., ICML 2021) differs in
four places that :class:`VitShape` names. timm's ViT has none of these, so it is not used here.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.models.structure import check_probability, check_range

PATCH = 16


@dataclass(frozen=True, kw_only=True)
class VitShape:
    """What distinguishes one vision transformer from another.

    Attributes:
        width: D, the length of a token.
        depth: Number of blocks.
        heads: Attention heads of a block.
        hidden: Inner width of a block's perceptron.
        bias: Whether queries, keys and values have a bias.
        scale: Factor of the dot products; 0 is 1 / sqrt(D / heads).
        clip: CLIP's form: patches without a bias, a normalisation before the first block,
            ``x sigmoid(1.702 x)`` for GELU, and the camera added to the class token alone.
        projection: Length of CLIP's projected feature; 0 without.
    """

    width: int = 768
    depth: int = 12
    heads: int = 12
    hidden: int = 3072
    bias: bool = True
    scale: float = 0.0
    clip: bool = False
    projection: int = 0


VITS: dict[str, VitShape] = {
    "vit_base": VitShape(),
    # TransReID's own small network: wide, shallow, and with the scale of a single head
    "vit_small": VitShape(depth=8, heads=8, hidden=2304, bias=False, scale=768**-0.5),
    "deit_small": VitShape(width=384, heads=6, hidden=1536),
    "clip_vit_base": VitShape(clip=True, projection=512),
}


@dataclass(frozen=True, kw_only=True)
class VitStructure:
    """Options of a vision transformer beyond its name.

    Attributes:
        stride: Step between patches of 16 x 16 pixels. Below 16 they overlap (TransReID: 12).
        depth: Number of blocks; 0 takes that of the named network.
        cameras: Number of cameras (times views) with a learnt embedding; 0 for none.
        camera: The camera whose embedding is added. -1 adds the mean of all, for pictures of
            cameras that were not in the training.
        drop_path: Probability with which training leaves out the last block's branches. It grows
            evenly from 0 at the first block (TransReID: 0.1).
    """

    stride: int = PATCH
    depth: int = 0
    cameras: int = 0
    camera: int = -1
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_range(self, stride=(1, PATCH), depth=(0, 256), cameras=(0, 1 << 16))
        check_probability(self, "drop_path")
        if not -1 <= self.camera < max(self.cameras, 1):
            raise InputError(
                f"structure option 'camera' {self.camera} is not one of {self.cameras} cameras; "
                "-1 takes their mean"
            )


def drop_paths(highest: float, blocks: int) -> list[nn.Module]:
    """Make stochastic depth for each block; its probability grows evenly from 0 to ``highest``.

    In training it leaves out a residual branch for some of the pictures (Huang et al., Deep
    Networks with Stochastic Depth, ECCV 2016). In evaluation it does nothing.
    """
    if highest == 0.0:
        return [nn.Identity() for _ in range(blocks)]
    from torchvision.ops import StochasticDepth  # slow to import

    return [
        StochasticDepth(highest * number / max(blocks - 1, 1), mode="row")
        for number in range(blocks)
    ]


def patch_grid(input_size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Compute the rows and columns of patches on a picture of (H, W) pixels.

    Raises:
        InputError: The picture is smaller than a patch.
    """
    if min(input_size) < PATCH:
        raise InputError(f"a picture of {input_size} pixels holds no patch of {PATCH} x {PATCH}")
    height, width = input_size
    return (height - PATCH) // stride + 1, (width - PATCH) // stride + 1


def check_size(images: Tensor, wanted: tuple[int, ...], network: str) -> None:
    """Check the height and width of pictures (B, 3, H, W).

    Raises:
        InputError: They are not ``wanted``; the message names the kind of ``network``.
    """
    given = tuple(images.shape[2:])
    if not torch.jit.is_tracing() and given != wanted:  # type: ignore[attr-defined,no-untyped-call]
        raise InputError(
            f"pictures of {given} pixels for a {network} of {wanted}; resize them, or build it "
            "for their size"
        )


class SelfAttention(nn.Module):
    """Multi-head self-attention of tokens, (B, N, D) -> (B, N, D)."""

    def __init__(self, shape: VitShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.scale = shape.scale or (shape.width // shape.heads) ** -0.5
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=shape.bias)
        self.out = nn.Linear(shape.width, shape.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Attend."""
        # (B, N, 3 D) -> three of (B, heads, N, D / heads)
        query, key, value = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).unbind(2)
        mixed = F.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), scale=self.scale
        )
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class QuickGelu(nn.Module):
    """``x sigmoid(1.702 x)``, CLIP's approximation of GELU."""

    def forward(self, values: Tensor) -> Tensor:
        """Element by element."""
        return values * torch.sigmoid(1.702 * values)


class Block(nn.Module):
    """Attention and a perceptron, each normalised before and with a skip, (..., D) -> (..., D)."""

    def __init__(
        self,
        attention: nn.Module,
        width: int,
        hidden: int,
        *,
        drop: nn.Module,
        eps: float = 1e-5,
        gelu: type[nn.Module] = nn.GELU,
    ) -> None:
        """Put the parts together.

        Args:
            attention: (..., D) -> (..., D).
            width: D.
            hidden: Inner width of the perceptron.
            drop: What follows each half in training, such as stochastic depth.
            eps: Epsilon of the normalisations.
            gelu: The activation of the perceptron.
        """
        super().__init__()
        self.drop = drop
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attention = attention
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), gelu(), nn.Linear(hidden, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Run both halves."""
        tokens = tokens + self.drop(self.attention(self.norm1(tokens)))
        out: Tensor = tokens + self.drop(self.mlp(self.norm2(tokens)))
        return out


class VisionTransformer(nn.Module):
    """Pictures to the normalised class token, (B, 3, H, W) -> (B, D, 1, 1).

    The output is one vector in the form of a map of one position, so that the average pooling
    after it changes nothing.
    """

    token_output = True
    """The output is one vector: poolings other than the average make no sense on it."""

    def __init__(
        self,
        shape: VitShape,
        *,
        input_size: tuple[int, int],
        structure: VitStructure | None = None,
    ) -> None:
        """Build with random weights.

        Args:
            shape: Width, depth and family.
            input_size: (H, W) in pixels; each patch's position has an embedding of its own.
            structure: Overlap, cut depth, cameras and stochastic depth.
        """
        super().__init__()
        self.vit = shape
        self.structure = structure or VitStructure()
        self.input_size = tuple(input_size)
        self.dimension = shape.width
        rows, columns = patch_grid(input_size, self.structure.stride)
        stride = self.structure.stride
        self.patches = nn.Conv2d(3, shape.width, PATCH, stride, bias=not shape.clip)
        self.class_token = nn.Parameter(torch.zeros(shape.width))
        self.positions = nn.Parameter(torch.zeros(rows * columns + 1, shape.width))
        count = self.structure.cameras
        self.cameras = nn.Parameter(torch.zeros(count, shape.width)) if count else None
        eps = 1e-5 if shape.clip else 1e-6
        self.pre_norm = nn.LayerNorm(shape.width, eps=eps) if shape.clip else nn.Identity()
        depth = self.structure.depth or shape.depth
        gelu = QuickGelu if shape.clip else nn.GELU
        blocks = [
            Block(SelfAttention(shape), shape.width, shape.hidden, drop=drop, eps=eps, gelu=gelu)
            for drop in drop_paths(self.structure.drop_path, depth)
        ]
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(shape.width, eps=eps)
        initialise_tokens(self)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the class token of normalised pictures."""
        tokens = self.norm(self.tokens(images)[:, 0])
        out: Tensor = tokens[:, :, None, None]
        return out

    def tokens(self, images: Tensor) -> Tensor:
        """Compute all tokens after the last block, class token first, (B, 1 + patches, D)."""
        check_size(images, self.input_size, "transformer")
        patches = self.patches(images).flatten(2).transpose(1, 2)
        side = self.side_information()
        first = self.class_token + side if self.vit.clip else self.class_token
        tokens = torch.cat([first.expand(patches.shape[0], 1, -1), patches], dim=1)
        tokens = tokens + self.positions
        if not self.vit.clip:
            tokens = tokens + side
        out: Tensor = self.blocks(self.pre_norm(tokens))
        return out

    def resampled(
        self, state: dict[str, Tensor], size: tuple[int, int] | None
    ) -> dict[str, Tensor]:
        """Resample the position embeddings in ``state`` to this network's input size and stride.

        The resampling is bilinear, as in TransReID. The class token's embedding stays as it is.

        Args:
            state: The state of another transformer of the same name.
            size: (H, W) of the pictures of ``state``; None for square pictures, as of ImageNet.
        """
        given = state.get("positions")
        if given is None or given.shape == self.positions.shape or given.ndim != 2:
            return state
        grid = self._grid_of(len(given) - 1, size)
        if grid is None or given.shape[1] != self.dimension:
            return state  # the size is not the reason; the caller reports the difference
        own = patch_grid((self.input_size[0], self.input_size[1]), self.structure.stride)
        places = given[1:].T.reshape(1, self.dimension, *grid)
        places = F.interpolate(places.float(), own, mode="bilinear", align_corners=False)
        places = places.flatten(2)[0].T.to(given.dtype)
        return {**state, "positions": torch.cat([given[:1], places])}

    def _grid_of(self, count: int, size: tuple[int, int] | None) -> tuple[int, int] | None:
        """Find the rows and columns of ``count`` patches; None when no stride gives that count."""
        if size is None:
            side = round(count**0.5)
            return (side, side) if side * side == count else None
        for stride in (self.structure.stride, *range(PATCH, 0, -1)):
            grid = patch_grid(size, stride)
            if grid[0] * grid[1] == count:
                return grid
        return None

    def side_information(self) -> Tensor:
        """Return the embedding (D,) that is added for the camera; zeros without cameras."""
        if self.cameras is None:
            return torch.zeros_like(self.class_token)
        camera = self.structure.camera
        return self.cameras.mean(dim=0) if camera < 0 else self.cameras[camera]


def initialise_tokens(network: nn.Module) -> None:
    """Initialise linear maps, tokens and embeddings from N(0, 0.02) cut at two, as published."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for parameter in network.parameters(recurse=False):
        nn.init.trunc_normal_(parameter, std=0.02)
