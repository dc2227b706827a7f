"""Rows that are not in memory, as training, methods and predictions see them. PyTorch is not loaded for it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class Rows(Protocol):
    """Rows that are not in memory: rows[places] reads some, as float32 on the CPU.

    They can be pickled, and are then read in another process.
    """

    @property
    def shape(self) -> Sequence[int]:
        """(n, ...), as a tensor's."""
        ...

    @property
    def loaders(self) -> int:
        """How many processes should read them while a network trains; 0: the training process itself."""
        ...

    def __getitem__(self, places: "Tensor | slice | int") -> "Tensor": ...

    def part(self, places: "Tensor | slice") -> "Rows":
        """The same without the others; nothing is read."""
        ...
