"""Recording changes no training, and what is recorded is what was trained on."""

from pathlib import Path

import pytest
import torch
from torch import nn

from calmix.core.coefficient import Folded, SimilarityKernel, TwoKernels
from calmix.core.loss import TrainingLoss
from calmix.core.method import Method, Scheduled
from calmix.core.mix import Batch, Mix
from calmix.core.space import Inputs
from calmix.core.task import Classification
from calmix.errors import DataError, SettingError
from calmix.methods.cutmix import cutmix
from calmix.methods.manifold_mixup import manifold_mixup
from calmix.methods.mixup import mixup
from calmix.methods.sk_mixup import sk_mixup
from calmix.methods.table import METHODS
from calmix.methods.wrappers import scheduled
from calmix.results.store import DataFacts
from calmix.studies.diagnosis.mixes import (
    RecordedMixes,
    kernel_of,
    mixed_rows,
    read_batch,
    recording,
    write_batch,
)


def train(method: Method | Scheduled, steps: int = 5, index: bool = True) -> list[Mix]:
    """The mixes of some steps on rows 10, 11, ... of a training set."""
    model = nn.Linear(3, 4)
    with torch.no_grad():
        model.weight.fill_(0.5)
    loss = TrainingLoss(method, Classification(4), seed=3)
    mixes = []
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        x, y = torch.randn(12, 3, generator=generator), torch.arange(12) % 4
        loss(model, x, y, torch.arange(10, 22) if index else None)
        assert loss.mix is not None
        mixes.append(loss.mix)
    return mixes


@pytest.mark.parametrize("name", ["erm", "mixup", "sk_mixup", "near_mixup", "regmixup", "mixup_e", "input_mixup"])
def test_a_recorded_method_trains_as_the_method_and_every_mix_is_recorded(name: str):
    method = METHODS[name]()
    recorded, record = recording(method, keep=12)
    plain, seen = train(method), train(recorded)
    for ours, theirs in zip(seen, plain, strict=True):
        assert torch.equal(ours.lam_y, theirs.lam_y)
        assert torch.equal(ours.partner, theirs.partner)
    everything = sorted(zip(*(part.tolist() for part in parts(record)), strict=True))
    trained = torch.cat([torch.stack((m.anchor + 10.0, m.partner + 10.0, m.lam_x, m.lam_y), 1) for m in plain])
    assert everything == sorted(map(tuple, trained.tolist()))


def parts(record: RecordedMixes) -> tuple[torch.Tensor, ...]:
    mix = record.mixes()
    return mix.anchor, mix.partner, mix.lam_x, mix.lam_y


def test_every_step_leaves_as_many_mixes():
    method, record = recording(mixup(per_row=True), keep=3)
    train(method, steps=4)
    assert [len(mix.anchor) for mix in record.seen] == [3, 3, 3, 3]
    assert len(record.mixes().anchor) == 12


def test_a_scheduled_method_is_recorded_while_it_mixes():
    method, record = recording(scheduled(mixup(), until=1))
    train(method, steps=2)
    assert len(record.seen) == 2


def test_what_cannot_be_recorded_is_said():
    with pytest.raises(SettingError, match="an oracle judges inputs"):
        recording(manifold_mixup())
    method, record = recording(mixup())
    with pytest.raises(SettingError, match="positions"):
        train(method, index=False)
    with pytest.raises(SettingError, match="no mixes were recorded"):
        record.mixes()


def test_a_batch_to_look_at_is_the_one_drawn():
    method = sk_mixup(tau_max=0.7, tau_std=0.5, space=Inputs())
    x, y = torch.randn(9, 1, 2, 2), torch.arange(9) % 3
    step = method.step(nn.Identity(), Classification(3), Batch(x, y))
    shown = mixed_rows(method, step, torch.Generator().manual_seed(1))
    _, mix = method.draw(step, torch.Generator().manual_seed(1))
    assert torch.equal(shown.lam, mix.lam_y)
    lam = shown.lam.view(-1, 1, 1, 1)
    torch.testing.assert_close(shown.mixed, lam * shown.anchor + (1 - lam) * shown.partner)
    squared = (shown.anchor - shown.partner).square().sum((1, 2, 3))
    torch.testing.assert_close(shown.distance, squared / squared.mean())
    assert shown.tau is not None
    torch.testing.assert_close(shown.tau, 0.7 * torch.exp(-(shown.distance - 1) / (2 * 0.5**2)))
    assert torch.equal(shown.partner_y, y[mix.partner])


def test_kernels_are_found_inside_and_nowhere_else():
    kernel = SimilarityKernel(tau_max=0.3)
    boxes = cutmix(coefficient=Folded(kernel)).coefficient
    assert kernel_of(boxes) == kernel_of(kernel) == kernel
    assert kernel_of(TwoKernels(kernel, SimilarityKernel())) == kernel
    assert kernel_of(mixup().coefficient) is None
    method = mixup()
    step = method.step(nn.Linear(2, 3), Classification(3), Batch(torch.randn(4, 2), torch.arange(4) % 3))
    assert mixed_rows(method, step).tau is None


DATA = DataFacts("points", "drawn", "table", ("a", "b", "c"), ("x", "y"), (2,), {})


def test_a_stored_batch_comes_back_and_a_damaged_one_is_named(tmp_path: Path):
    for method in (sk_mixup(space=Inputs()), mixup()):
        step = method.step(nn.Linear(2, 3), Classification(3), Batch(torch.randn(4, 2), torch.arange(4) % 3))
        batch = mixed_rows(method, step)
        write_batch(tmp_path, "mine(a=1)", batch)
        again = read_batch(tmp_path, "mine(a=1)", DATA)
        assert again is not None
        for name, value in vars(batch).items():
            assert value is getattr(again, name) is None or torch.equal(value, getattr(again, name))
    assert read_batch(tmp_path, "another", DATA) is None
    path = tmp_path / "mixes" / "mine-a-1.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"mine-a-1\.npz cannot be read .*run the command that made it again"):
        read_batch(tmp_path, "mine(a=1)", DATA)
