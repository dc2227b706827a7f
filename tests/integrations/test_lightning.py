"""A LightningModule that returns what its TrainingLoss gives, and the callback that serves the loss."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import calmix
from calmix.core.control import log_temperature
from calmix.errors import SettingError, ShapeError
from calmix.integrations.lightning import CalmixCallback

pytestmark = pytest.mark.filterwarnings(
    "ignore::lightning.fabric.utilities.warnings.PossibleUserWarning", "ignore:.*isinstance.treespec.*"
)
X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()
ROWS = DataLoader(TensorDataset(X, Y), batch_size=20)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


class Net(LightningModule):
    def __init__(self, method: Any, asks: bool = True, **options: Any) -> None:
        super().__init__()
        self.net = network()
        self.training_loss = calmix.TrainingLoss(method, calmix.Classification(3), seed=1, **options)
        self.asks = asks
        self.strengths: list[float | None] = []
        self.epochs: list[int] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        self.strengths.append(self.training_loss.strength)
        self.epochs.append(self.training_loss.epoch)
        return self.training_loss(self.net, x, y)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        if self.asks:
            self.log("val/loss", self.training_loss(self.net, x, y))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def trainer(folder: Path, *callbacks: Any, epochs: int = 3, **options: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        max_epochs=epochs,
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )


def plain_loop(method: Any, epochs: int = 3, data: Any = ROWS, steps_of: int = 1) -> nn.Module:
    net = network()
    training_loss = calmix.TrainingLoss(method, calmix.Classification(3), seed=1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(epochs):
        training_loss.epoch = epoch
        for step, (x, y) in enumerate(data, start=1):
            (training_loss(net, x, y) / steps_of).backward()
            if step % steps_of == 0 or step == len(data):
                optimizer.step()
                optimizer.zero_grad()
    return net


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.allclose(a.float(), b.float(), atol=1e-6) for a, b in pairs)


METHODS = {
    "mixup": calmix.mixup(),
    "sk_mixup": calmix.sk_mixup(),
    "mixup_e": calmix.mixup_e(),
    "scheduled": calmix.scheduled(calmix.mixup(), until=1),
}


@pytest.mark.parametrize("name", METHODS)
def test_results_are_those_of_a_plain_loop(name: str, tmp_path: Path):
    module = Net(METHODS[name])
    trainer(tmp_path, CalmixCallback()).fit(module, ROWS, ROWS)
    assert same(module.net, plain_loop(METHODS[name]))
    assert module.epochs == [0] * 3 + [1] * 3 + [2] * 3


def test_gradients_are_accumulated_as_in_a_plain_loop(tmp_path: Path):
    module = Net(calmix.mixup())
    trainer(tmp_path, accumulate_grad_batches=3).fit(module, ROWS)
    assert same(module.net, plain_loop(calmix.mixup(), steps_of=3))


def test_the_terms_and_the_accuracy_on_mixed_targets_are_logged_as_means_over_the_epoch(tmp_path: Path):
    seen: list[tuple[int, float, float]] = []

    class Noting(Net):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            accuracy = self.training_loss.accuracy()
            assert accuracy is not None
            seen.append((len(batch[1]), float(self.training_loss.terms["mixed"]), float(accuracy)))
            return loss

    run = trainer(tmp_path, CalmixCallback(), epochs=1)
    run.fit(Noting(calmix.mixup_e()), DataLoader(TensorDataset(X, Y), batch_size=25))
    rows = sum(n for n, _, _ in seen)
    assert rows == 60
    assert float(run.callback_metrics["train/mixed"]) == pytest.approx(sum(n * value for n, value, _ in seen) / rows)
    assert float(run.callback_metrics["train/accuracy"]) == pytest.approx(sum(n * a for n, _, a in seen) / rows)
    assert "train/slope" in run.callback_metrics
    assert "train/strength" not in run.callback_metrics


def test_auto_is_shown_the_validation_rows_and_the_last_training_rows_of_every_epoch(tmp_path: Path):
    module, wrong = Net(calmix.auto(), epochs=5), DataLoader(TensorDataset(X, (Y + 1) % 3), batch_size=20)
    module.net[3].get_parameter("weight").data.mul_(8)  # so that it is too sure of training rows at first
    run = trainer(tmp_path, CalmixCallback(), epochs=5)
    run.fit(module, ROWS, wrong)
    by_epoch = module.strengths[::3]
    assert by_epoch[0] == 0.2
    assert len(set(by_epoch[:4])) == 4
    assert by_epoch[4] is None  # plain training ends the run
    assert not module.training_loss._forward_pre_hooks  # what watched it has ended

    net = network()  # the same by hand
    net[3].get_parameter("weight").data.mul_(8)
    training_loss = calmix.TrainingLoss(calmix.auto(), calmix.Classification(3), seed=1, epochs=5)
    optimizer, too_sure = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9), []
    for epoch in range(5):
        training_loss.epoch = epoch
        assert training_loss.strength == (None if epoch == 4 else pytest.approx(by_epoch[epoch], rel=1e-4))
        net.train()
        for x, y in ROWS:
            optimizer.zero_grad()
            training_loss(net, x, y).backward()
            optimizer.step()
        net.eval()
        too_sure.append(log_temperature(net(X), Y, 0.5) > 0)
        training_loss.observe(net(X), (Y + 1) % 3, of_training=(net(X), Y))
    assert any(too_sure)
    assert same(module.net, net)


def test_the_training_rows_are_asked_of_before_the_validation_rows_and_keep_no_graph(tmp_path: Path):
    asked: list[int] = []

    class OfMadeRows(Net):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            x, y = batch
            loss = self.training_loss(self.net, y=y, x=2 * x.clone().requires_grad_())
            copy.deepcopy(self.training_loss)  # which no graph hinders
            return loss

    def note(net: nn.Module, given: tuple[Tensor]) -> None:
        if not net.training:
            asked.append(len(given[0]))

    module = OfMadeRows(calmix.auto())
    module.net.register_forward_pre_hook(note)
    trainer(tmp_path, CalmixCallback(), epochs=1).fit(module, ROWS, DataLoader(TensorDataset(X, Y), batch_size=30))
    assert asked == [20, 20, 20, 30, 30]  # what a step returned last, its caller may have kept


def test_only_the_first_validation_of_an_epoch_is_shown(tmp_path: Path):
    module = Net(calmix.auto(), epochs=2)
    trainer(tmp_path, CalmixCallback(), epochs=1, val_check_interval=1).fit(module, ROWS, ROWS)
    first, second, third = module.strengths
    assert first == 0.2
    assert first != second == third


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_a_run_that_goes_on_is_one_that_was_not_stopped(tmp_path: Path):
    whole = Net(calmix.auto(), epochs=4)
    trainer(tmp_path / "whole", CalmixCallback(), epochs=4).fit(whole, ROWS, ROWS)
    first = Net(calmix.auto(), epochs=4)
    saver = ModelCheckpoint(tmp_path / "parts", save_top_k=-1)
    trainer(tmp_path, CalmixCallback(), saver, epochs=2).fit(first, ROWS, ROWS)
    second = Net(calmix.auto(), epochs=4)
    again = trainer(tmp_path, CalmixCallback(), ModelCheckpoint(tmp_path / "more"), epochs=4)
    again.fit(second, ROWS, ROWS, ckpt_path=saver.best_model_path)
    assert second.strengths == whole.strengths[6:]
    assert same(second.net, whole.net)


@pytest.mark.parametrize("method", [calmix.auto(), calmix.mixup()])
def test_a_training_that_fails_leaves_no_hook(method: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    module = Net(method)

    def fail(x: Any) -> Any:
        assert bool(module.training_loss._forward_pre_hooks) == module.training_loss.method.controlled
        raise RuntimeError("out of memory")

    monkeypatch.setattr(module.net, "forward", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        trainer(tmp_path, CalmixCallback()).fit(module, ROWS, ROWS)
    assert not module.training_loss._forward_pre_hooks


def test_batch_norm_is_refreshed_at_the_end_if_asked_for(tmp_path: Path):
    module = Net(calmix.mixup())
    trainer(tmp_path, CalmixCallback(refresh="net")).fit(module, ROWS)
    net = plain_loop(calmix.mixup())
    assert not same(module.net, net)
    calmix.refresh_batch_norm(net, ROWS)
    assert same(module.net, net)


def test_a_validation_alone_needs_no_training(tmp_path: Path):
    assert trainer(tmp_path, CalmixCallback()).validate(Net(calmix.auto()), ROWS, verbose=False)[0]["val/loss"] > 0


class Without(Net):
    def __init__(self) -> None:
        super().__init__(calmix.mixup())
        del self.training_loss


class Forgetful(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])


WHOLE_NUMBERS = DataLoader(TensorDataset((X * 9).long(), Y), batch_size=20)
MISTAKES = {
    "no training loss": (Without(), CalmixCallback(), ROWS, ROWS, SettingError, "write self.training_loss = "),
    "a part that is not there": (
        Net(calmix.mixup()), CalmixCallback(refresh="nett"), ROWS, None, SettingError, "got 'nett', and there are net,",
    ),
    "auto without validation": (
        Net(calmix.auto()), CalmixCallback(), ROWS, None, SettingError, "give the trainer a validation loader",
    ),
    "a validation that does not ask": (
        Net(calmix.auto(), asks=False), CalmixCallback(), ROWS, ROWS, SettingError, "validation_step did not ask",
    ),
    "a training step that does not ask": (
        Forgetful(calmix.mixup()), CalmixCallback(), ROWS, None, SettingError, "training step did not ask",
    ),
    "no index": (
        Net(calmix.sk_mixup(remember=True)), CalmixCallback(), ROWS, None, SettingError, "with IndexedDataset",
    ),
    "whole numbers": (
        Net(calmix.mixup()), CalmixCallback(), WHOLE_NUMBERS, None, ShapeError, "convert measurements with .float",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_the_sentence_that_helps(mistake: str, tmp_path: Path):
    module, callback, training, validation, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        trainer(tmp_path, callback).fit(module, training, validation)
