"""A vision transformer (Dosovitskiy et al., 2021, arXiv 2010.11929), small, for images of any size.

n rows, t tokens of a row (its patches, and one for the class), d entries of a token, K outputs of a row
"""

import math

import torch
from torch import Tensor, nn

from calmix.errors import SettingError, UnknownNameError
from calmix.models.factory import Shape
from calmix.models.shapes import at_least_one, image_shape

POOLS = ("token", "mean")
MOST_PATCHES = 64  # where the size of a patch is not given


class ViT(nn.Module):
    """Images (n, C, H, W) -> outputs (n, K): patches become tokens, blocks of attention and perceptron, norm and head.

    patch: pixels of a side; None is the smallest common divisor of both sides with at most 64 patches, or else their
    largest: 1 for 8x8, 4 for 28x28 and 32x32, 8 for 64x64, 28 for 224x224. width: d. pool: what the head sees, the
    `token` of the class or the `mean` of the patches' tokens. Norms come first in each block, places are learnt.

    >>> ViT((1, 8, 8), 10, width=8, depth=1, heads=2)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        outputs: int,
        patch: int | None = None,
        width: int = 192,
        depth: int = 6,
        heads: int = 3,
        pool: str = "token",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        at_least_one(width=width, depth=depth, heads=heads)
        if width % heads:
            raise SettingError(f"the width of a ViT must be a multiple of its heads; got {width} and {heads}.")
        if pool not in POOLS:
            raise UnknownNameError("pool", pool, POOLS)
        if not 0 <= dropout < 1:
            raise SettingError(f"dropout must be at least 0 and below 1; got {dropout}.")
        self.patches: Patches = Patches(shape, patch_size(shape, patch), width, pool == "token")
        self.blocks: nn.Sequential = nn.Sequential(*(Block(width, heads, dropout) for _ in range(depth)))
        self.norm: nn.LayerNorm = nn.LayerNorm(width)
        self.head: nn.Linear = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(self.blocks(self.patches(x)))
        return self.head(tokens[:, 0] if self.patches.token is not None else tokens.mean(1))


class Patches(nn.Module):
    """Images -> tokens (n, t, d): a linear map of each patch, and what is learnt of its place."""

    def __init__(self, shape: tuple[int, int, int], patch: int, width: int, token: bool) -> None:
        super().__init__()
        channels, height, breadth = shape
        count = (height // patch) * (breadth // patch)
        self.embed: nn.Conv2d = nn.Conv2d(channels, width, patch, stride=patch)
        self.token: nn.Parameter | None = nn.Parameter(torch.zeros(1, 1, width)) if token else None
        self.places: nn.Parameter = nn.Parameter(torch.zeros(1, count + token, width))
        nn.init.trunc_normal_(self.places, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        if self.token is not None:
            tokens = torch.cat([self.token.expand(tokens.shape[0], -1, -1), tokens], 1)
        return tokens + self.places


class Block(nn.Module):
    """x + attention(norm(x)), and then x + perceptron(norm(x))."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1: nn.LayerNorm = nn.LayerNorm(width)
        self.attention: Attention = Attention(width, heads)
        self.norm2: nn.LayerNorm = nn.LayerNorm(width)
        self.perceptron: nn.Sequential = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout: nn.Dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.perceptron(self.norm2(x)))


class Attention(nn.Module):
    """softmax(q k^T / sqrt(d / heads)) v, in each head.

    Written out, as torch's fused attention has no second derivative, which `mixup_e(slope=Jacobian())` takes.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads: int = heads
        self.inputs: nn.Linear = nn.Linear(width, 3 * width)
        self.outputs: nn.Linear = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, d = x.shape
        q, k, v = self.inputs(x).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)  # (n, heads, t, .)
        shares = (q @ k.transpose(2, 3) / math.sqrt(d // self.heads)).softmax(3)
        return self.outputs((shares @ v).transpose(1, 2).reshape(n, t, d))


def patch_size(shape: tuple[int, int, int], patch: int | None) -> int:
    """The size that was given, or the one that the image's size gives, see `ViT`.

    >>> [patch_size((3, side, side), None) for side in (8, 28, 32, 64, 224)]
    [1, 4, 4, 8, 28]

    Raises:
        SettingError: a size that does not divide both sides.
    """
    _, height, width = shape
    common = math.gcd(height, width)
    sizes = [size for size in range(1, common + 1) if common % size == 0]
    if patch is None:
        few = [size for size in sizes if (height // size) * (width // size) <= MOST_PATCHES]
        return few[0] if few else common
    if patch not in sizes:
        raise SettingError(
            f"patch must divide both sides of the image, {height} and {width}: one of "
            f"{', '.join(map(str, sizes))}; got {patch}."
        )
    return patch


def vit(
    shape: Shape,
    outputs: int,
    patch: int | None = None,
    width: int = 192,
    depth: int = 6,
    heads: int = 3,
    pool: str = "token",
    dropout: float = 0.0,
) -> nn.Module:
    """Vision transformer: 6 blocks of width 192, at most 64 patches; for images, best with --optimizer adamw."""
    return ViT(image_shape("vit", shape), outputs, patch, width, depth, heads, pool, dropout)
