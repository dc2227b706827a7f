"""New rows for a trained network: what an encoding makes of a table, of images, of whatever it was trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd
from numpy.typing import NDArray

from calmix.data.table.format import TableFormat
from calmix.errors import DataError
from calmix.rows import Rows

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class NewRows:
    """Rows as a network sees them, and what is known of each.

    x: (n, ...). names: columns of texts that tell the rows apart where their order does not, such as their files.
    truth: (n,) names of the true classes, None where it is missing; or true values, NaN where missing. notices: what
    the user should be told. parts: (n,) `train`, `validation` or `test`, where the data tell parts; "" beside them.
    """

    x: "Tensor | Rows"
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    truth: NDArray[Any] | None = None
    notices: Sequence[str] = ()
    parts: Sequence[str] = ()

    def at(self, places: "Tensor") -> "NewRows":
        """The rows at these places (m,), in this order."""
        chosen = places.tolist()
        truth = None if self.truth is None else self.truth[chosen]
        return replace(
            self,
            x=self.x.part(places) if isinstance(self.x, Rows) else self.x[places],
            names={name: [column[place] for place in chosen] for name, column in self.names.items()},
            truth=None if truth is None or pd.isna(truth).all() else truth,
            parts=[self.parts[place] for place in chosen] if self.parts else (),
        )

    def tested(self, source: str) -> "NewRows":
        """Of several parts the test part, as the network has learnt from others. source: what holds them.

        Raises DataError where there are several, and none is the test part.
        """
        import torch

        parts = sorted(set(self.parts) - {""})
        if len(parts) < 2:
            return self
        if "test" not in parts:
            raise DataError(
                f"{source} holds {' and '.join(parts)}, and it cannot be told which to predict; give one alone."
            )
        rows = self.at(torch.tensor([place for place, part in enumerate(self.parts) if part == "test"]))
        count = f"{len(rows.parts):,} of {len(self.parts):,} rows"
        return replace(rows, notices=(*self.notices, f"the test part of {source} is predicted, {count}, and no other."))


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
