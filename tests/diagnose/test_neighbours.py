"""Neighbours vote as scikit-learn's do."""

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from calmix.diagnose import neighbour_votes
from calmix.errors import SettingError


@pytest.mark.parametrize("k", [1, 3, 20])
def test_votes_are_scikit_learn_s(k: int):
    generator = torch.Generator().manual_seed(k)
    known = 100 + torch.randn(200, 5, generator=generator)
    rows = 100 + torch.randn(50, 5, generator=generator)
    labels = torch.arange(200) % 4
    theirs = KNeighborsClassifier(k).fit(known.numpy(), labels.numpy()).predict_proba(rows.numpy())
    torch.testing.assert_close(neighbour_votes(rows, known, labels, 4, k), torch.from_numpy(theirs).float())


def test_more_neighbours_than_there_are_rows_are_refused():
    with pytest.raises(SettingError, match="between 1 and the 3 known rows"):
        neighbour_votes(torch.zeros(1, 2), torch.zeros(3, 2), torch.arange(3), 3, k=4)
