"""New rows for a trained network: what an encoding makes of a table, of images, of whatever it was trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from calmix.data.table.format import TableFormat
from calmix.rows import Rows

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class NewRows:
    """Rows as a network sees them, and what is known of each.

    x: (n, ...). names: columns of texts that tell the rows apart where their order does not, such as their files.
    truth: (n,) names of the true classes, None where it is missing; or true values, NaN where missing. notices: what
    the user should be told.
    """

    x: "Tensor | Rows"
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    truth: NDArray[Any] | None = None
    notices: Sequence[str] = ()


class RowEncoding(Protocol):
    """How further rows become x: a frozen dataclass of plain numbers and texts, as it is kept in model.json."""

    def __call__(self, rows: Any) -> NewRows:
        """Rows as they are at hand in Python. Raise DataError for others than in training."""
        ...

    def read(self, path: Path, format: TableFormat) -> NewRows:
        """Rows in a file or folder. Raise DataError for others than in training, SettingError for an idle format."""
        ...

    def check(self, shape: Sequence[int]) -> None:
        """Raise ValueError unless rows of this shape come out of it."""
        ...
