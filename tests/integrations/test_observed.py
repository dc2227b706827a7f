"""Which validation rows, and training rows, a method that sets its strength is shown."""

import pytest
import torch
from torch import nn

import calmix
from calmix.integrations.observed import ENOUGH, MOST, TrainingRows, ValidationRows
from calmix.parts import Method, Scheduled


class Noted(calmix.TrainingLoss):
    shown: list[torch.Tensor]

    def observe(
        self, logits: torch.Tensor, labels: torch.Tensor, of_training: tuple[torch.Tensor, torch.Tensor] | None = None
    ) -> None:
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


def asked(rows: TrainingRows) -> tuple[torch.Tensor, ...]:
    return rows.said or ()


@pytest.mark.parametrize("sizes", [(300,), (200, 56), (10, 256), (11, 255), (100, 100, 100, 3), (90,) * 5])
def test_the_training_rows_are_those_of_the_last_steps_and_the_network_says_it_as_it_validates(sizes: tuple[int, ...]):
    training_loss = calmix.TrainingLoss(calmix.auto(), calmix.Classification(2))
    net, rows = nn.Sequential(nn.Linear(1, 2), nn.BatchNorm1d(2)), TrainingRows(training_loss)
    x, y = torch.randn(sum(sizes), 1), torch.arange(sum(sizes)) % 2
    for part, labels in zip(x.split(list(sizes)), y.split(list(sizes)), strict=True):
        training_loss(net, part, labels)
        rows.note(part, labels)
    assert not asked(rows)
    net.eval()
    rows.ask(net)
    output, labels = asked(rows)
    count = len(labels)
    assert torch.equal(output, net(x[-count:]))
    assert torch.equal(labels, y[-count:])
    assert not output.requires_grad
    rows.ask(net)
    assert asked(rows)[0] is output  # of rows that were trained on since, there are none
    first = [sum(sizes[start:]) for start in range(len(sizes))]
    assert count == min(total for total in first if total >= min(ENOUGH, sum(sizes)))


@pytest.mark.parametrize("method", [calmix.mixup(), calmix.scheduled(calmix.auto(), 0.5)])
def test_training_rows_of_no_use_are_not_asked_of(method: Method | Scheduled):
    training_loss = calmix.TrainingLoss(method, calmix.Classification(2), epochs=2)
    training_loss.epoch = 1
    net, rows = nn.Linear(1, 2), TrainingRows(training_loss)
    rows.note(torch.zeros(3, 1), torch.tensor([0, 1, 1]))
    rows.ask(net)
    assert rows.said is None
