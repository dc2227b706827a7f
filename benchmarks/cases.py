"""The batches on which mixing is measured: two sizes, two dtypes, two memory formats."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

SHAPES = ((64, 3, 224, 224), (128, 3, 32, 32))  # (n, C, H, W)
CLASSES = 10
UNIT = "x.clone()"  # what mixing is compared with
SECONDS = 1.5  # a case and device


@dataclass(frozen=True)
class Case:
    """One kind of batch."""

    shape: tuple[int, ...]
    dtype: str  # name of a torch dtype
    channels_last: bool

    def batch(self, device: str) -> tuple[Tensor, Tensor]:
        """Images (n, C, H, W) and class ids (n,)."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        x = torch.randn(self.shape, device=device).to(getattr(torch, self.dtype)).contiguous(memory_format=layout)
        return x, torch.randint(CLASSES, self.shape[:1], device=device)

    def record(self, device: str) -> dict[str, Any]:
        """What is written down of it."""
        return {
            "device": device,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "channels_last": self.channels_last,
        }


CASES = [Case(*parts) for parts in product(SHAPES, ("float32", "bfloat16"), (False, True))]
