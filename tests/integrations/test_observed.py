"""Which validation rows a method that sets its strength is shown."""

import torch
from torch import nn

import calmix
from calmix.integrations.observed import MOST, ValidationRows


class Noted(calmix.TrainingLoss):
    shown: list[torch.Tensor]

    def observe(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        self.shown = [logits[:, 0], labels]


def test_many_rows_are_thinned_evenly():
    training_loss = Noted(calmix.auto(), calmix.Classification(2)).eval()
    rows = ValidationRows(training_loss)
    x = torch.arange(5 * MOST).float()[:, None]
    for part in x.split(37):
        training_loss(lambda values: torch.cat([values, -values], 1), part, torch.zeros(len(part), dtype=torch.long))
        rows.note()
    rows.show()
    seen, target = training_loss.shown
    assert torch.equal(seen, torch.arange(0, 5 * MOST, 8).float())  # 10,000 rows, every eighth
    assert target.shape == (len(seen), 2)


def test_few_rows_are_all_shown_once_an_epoch():
    training_loss = Noted(calmix.auto(), calmix.Classification(2)).eval()
    rows, net = ValidationRows(training_loss), nn.Linear(1, 2)
    for epoch, expected in ((0, 6), (0, None), (1, 6)):
        training_loss.epoch, training_loss.shown = epoch, []
        for _ in range(2):
            training_loss(net, torch.zeros(3, 1), torch.tensor([0, 1, 1]))
            rows.note()
        rows.show()
        assert (len(training_loss.shown[0]) if training_loss.shown else None) == expected


def test_methods_of_a_fixed_strength_keep_no_rows():
    training_loss = Noted(calmix.mixup(), calmix.Classification(2)).eval()
    training_loss.shown = []
    rows = ValidationRows(training_loss)
    training_loss(nn.Linear(1, 2), torch.zeros(3, 1), torch.tensor([0, 1, 1]))
    rows.note()
    rows.show()
    assert training_loss.shown == []
