"""Sparse matrices as rows: those of a batch become dense, and standardised, when they are read.

n rows, d columns
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SparseRows:
    """Rows of a SciPy matrix or array (n, d) in CSR form, less `mean`, over `std`; see `calmix.rows.Rows`.

    What is read is what the dense matrix would give.

    >>> from scipy.sparse import csr_array
    >>> rows = SparseRows(csr_array([[0.0, 2.0], [4.0, 0.0]]), np.array([2.0, 1.0]), np.array([2.0, 1.0]))
    >>> rows[:].tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """

    matrix: Any  # of SciPy, which need not be there to import this
    mean: NDArray[np.float64]  # (d,)
    std: NDArray[np.float64]  # (d,)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.matrix.shape)

    @property
    def loaders(self) -> int:
        return 0

    def __getitem__(self, places: Tensor | slice | int) -> Tensor:
        """(m, d) float32, or (d,) of a single place."""
        if isinstance(places, int):
            return self[places : places + 1 or None][0]
        dense = self.part(places).matrix.toarray()
        return torch.from_numpy(((dense - self.mean) / self.std).astype(np.float32))

    def part(self, places: Tensor | slice) -> "SparseRows":
        return replace(self, matrix=self.matrix[places if isinstance(places, slice) else places.numpy()])
