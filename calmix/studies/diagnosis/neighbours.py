"""An oracle without a network's confidence: what the nearest known rows are.

m rows asked about, N known rows, d coordinates, K classes
"""

import torch
from torch import Tensor

from calmix.errors import SettingError


def neighbour_votes(rows: Tensor, known: Tensor, labels: Tensor, classes: int, k: int = 20) -> Tensor:
    """The share of each class among the k known rows nearest to each row: (m, d), (N, d), (N,) -> (m, K).

    Every neighbour has one vote, as in scikit-learn's KNeighborsClassifier with uniform weights.

    Raises:
        SettingError: k that is not between 1 and N.

    >>> known = torch.tensor([[0.0], [1.0], [5.0]])
    >>> neighbour_votes(torch.tensor([[0.4]]), known, torch.tensor([0, 1, 1]), classes=2, k=2)
    tensor([[0.5000, 0.5000]])
    """
    if not 1 <= k <= len(known):
        raise SettingError(f"the number of neighbours must be between 1 and the {len(known)} known rows; got {k}.")
    centre = known.mean(0)  # far from the origin the distances would drown in rounding
    known, rows = known - centre, rows - centre
    squared = known.square().sum(1) - 2 * rows @ known.T  # (m, N), but for |row|^2, which changes no order
    nearest = squared.topk(k, largest=False).indices  # (m, k)
    return torch.nn.functional.one_hot(labels[nearest], classes).to(rows.dtype).mean(1)
