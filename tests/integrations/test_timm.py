"""The call forms of timm.data.Mixup, torchvision's v2.MixUp in a collate_fn, and timm's tasks; without either."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, default_collate

import calmix
from calmix.errors import SettingError, ShapeError
from calmix.integrations.timm import MixupFn

X = torch.arange(1.0, 8.0)[:, None, None, None].expand(7, 1, 4, 4).clone()  # an odd number of rows, all different
Y = torch.tensor([0, 1, 2, 0, 1, 2, 2])


def test_inputs_and_targets_have_the_same_shares_and_the_batch_stays():
    x, target = X.clone(), Y.clone()
    mixed, soft = MixupFn(calmix.mixup(per_row=True), num_classes=7)(x, torch.arange(7))
    assert torch.equal(x, X)
    assert torch.equal(target, Y)
    assert torch.allclose(mixed[:, 0, 0, 0], soft @ torch.arange(1.0, 8.0), atol=1e-5)
    assert ((soft > 0).sum(1) <= 2).all()
    assert len({round(float(row.max()), 4) for row in soft if (row > 0).sum() == 2}) > 1  # a lam for each row


def test_a_loop_with_it_is_a_loop_with_the_training_loss():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    mixup_fn = MixupFn(calmix.cutmix(), num_classes=3, seed=4)
    training_loss = calmix.TrainingLoss(calmix.cutmix(), calmix.Classification(3), seed=4)
    for _ in range(3):
        mixed, soft = mixup_fn(X, Y)
        assert torch.allclose(F.cross_entropy(net(mixed), soft), training_loss(net, X, Y))


def test_labels_are_smoothed_only_if_asked_for():
    plain, smoothed = (MixupFn(calmix.mixup(), 3, label_smoothing=s)(X, Y)[1] for s in (0.0, 0.3))
    assert torch.allclose(smoothed, 0.7 * plain + 0.1)
    assert (plain == 0).any()


def test_switched_off_it_gives_rows_as_they_are():
    mixup_fn = MixupFn(calmix.mixup(), 3)
    mixup_fn.mixup_enabled = False
    x, soft = mixup_fn(X, Y)
    assert torch.equal(x, X)
    assert torch.equal(soft, F.one_hot(Y, 3).float())
    x, soft = MixupFn(calmix.erm(), 3)(X, soft)
    assert torch.equal(x, X)


def test_it_collates():
    rows = list(zip(X, Y.tolist(), strict=True))
    (made,) = DataLoader(rows, batch_size=7, collate_fn=MixupFn(calmix.mixup(), 3).collate_fn)  # pyright: ignore[reportArgumentType]
    x, soft = MixupFn(calmix.mixup(), 3)(*default_collate(rows))  # torchvision's way
    assert torch.equal(made[0], x)
    assert torch.equal(made[1], soft)


def test_processes_of_a_loader_and_epochs_draw_apart_and_as_before():
    def epochs() -> list[Tensor]:
        generator, mixup_fn = torch.Generator().manual_seed(1), MixupFn(calmix.mixup(per_row=True), 3)
        rows: Any = [(x, int(y)) for x, y in zip(X, Y, strict=True)] * 4
        loader = DataLoader(
            rows, batch_size=7, num_workers=2, collate_fn=mixup_fn.collate_fn, generator=generator,
            multiprocessing_context="fork",
        )  # fmt: skip
        return [x for _ in range(2) for x, _ in loader]

    first = epochs()
    assert len({tuple(x.flatten().tolist()) for x in first}) == len(first) == 8
    assert all(torch.equal(x, again) for x, again in zip(first, epochs(), strict=True))


class ClassificationTask(nn.Module):
    """What timm.task.ClassificationTask is, as far as a training script knows."""

    def __init__(self, model: nn.Module, criterion: Any) -> None:
        super().__init__()
        self.trainable_module = model
        self.criterion = criterion


def test_the_task_of_the_document_gives_loss_and_output():
    class CalmixTask(ClassificationTask):
        def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
            loss = self.criterion(self.trainable_module, input, target)
            return {"loss": loss, "output": self.criterion.outcome.output, **self.criterion.terms}

    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    task = CalmixTask(net, calmix.TrainingLoss(calmix.mixup_e(), calmix.Classification(3)))
    made = task(X, Y)
    assert made["output"].shape == (7, 3)
    assert torch.allclose(made["mixed"] + made["slope"], made["loss"])
    made["loss"].backward()
    assert not any("training" in name for name, _ in task.named_parameters())
    task.eval()
    assert torch.allclose(task(X, Y)["loss"], F.cross_entropy(net(X), Y))


REFUSED = {
    "sk_mixup": (calmix.sk_mixup(), "needs more than a batch"),
    "near_mixup": (calmix.near_mixup(), "needs more than a batch"),
    "c_mixup": (calmix.c_mixup(), "needs more than a batch"),
    "remembered": (calmix.sk_mixup(remember=True), "needs more than a batch"),
    "mixup_e": (calmix.mixup_e(), "more than the plain loss of mixed inputs"),
    "regmixup": (calmix.regmixup(), "more than the plain loss of mixed inputs"),
    "manifold_mixup": (calmix.manifold_mixup(), "more than the plain loss of mixed inputs"),
    "auto": (calmix.auto(), "changes from epoch to epoch"),
    "scheduled": (calmix.scheduled(calmix.mixup(), until=2), "changes from epoch to epoch"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_methods_that_ask_the_network_are_refused_at_once(name: str):
    method, message = REFUSED[name]
    with pytest.raises(SettingError, match=message) as raised:
        MixupFn(method, 3)
    assert "TrainingLoss" in str(raised.value)


def test_distances_between_inputs_need_no_network():
    method = calmix.sk_mixup(space=calmix.parts.Inputs())
    mixed, soft = MixupFn(method, 7, seed=2)(X, torch.arange(7))
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 7))
    loss = calmix.TrainingLoss(method, calmix.Classification(7), seed=2)(net, X, torch.arange(7))
    assert torch.allclose(F.cross_entropy(net(mixed), soft), loss)


def test_a_mistake_gets_the_sentence_that_helps():
    mixup_fn = MixupFn(calmix.mixup(), 3)
    with pytest.raises(ShapeError, match=r"convert measurements with .float"):
        mixup_fn(X.byte(), Y)
    with pytest.raises(ShapeError, match="check the width of the last layer and the task"):
        mixup_fn(X, torch.rand(7, 4))
    with pytest.raises(SettingError, match=r"rows \(x, target\); got rows of 3 entries"):
        mixup_fn.collate_fn([(x, 0, 1) for x in X])
    with pytest.raises(SettingError, match="got a dict"):
        mixup_fn.collate_fn([{"image": x, "label": 0} for x in X])
