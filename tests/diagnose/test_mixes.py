"""Watching changes nothing, and what is seen is what was trained on."""

import pytest
import torch
from torch import nn

import calmix
from calmix import Classification, TrainingLoss
from calmix.core.coefficient import Folded, TwoKernels
from calmix.core.method import Scheduled
from calmix.diagnose import Watched, kernel_of, mixed_rows, watched
from calmix.errors import SettingError
from calmix.parts import Batch


def train(method: calmix.parts.Method | Scheduled, steps: int = 5, index: bool = True) -> list[calmix.parts.Mix]:
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
def test_a_watched_method_trains_as_the_method_and_shows_every_mix(name: str):
    method = calmix.METHODS[name]()
    method_watched, watch = watched(method, keep=12)
    plain, seen = train(method), train(method_watched)
    for ours, theirs in zip(seen, plain, strict=True):
        assert torch.equal(ours.lam_y, theirs.lam_y)
        assert torch.equal(ours.partner, theirs.partner)
    everything = sorted(zip(*(part.tolist() for part in parts(watch)), strict=True))
    trained = torch.cat([torch.stack((m.anchor + 10.0, m.partner + 10.0, m.lam_x, m.lam_y), 1) for m in plain])
    assert everything == sorted(map(tuple, trained.tolist()))


def parts(watch: Watched) -> tuple[torch.Tensor, ...]:
    mix = watch.mixes()
    return mix.anchor, mix.partner, mix.lam_x, mix.lam_y


def test_every_step_leaves_as_many_mixes():
    method, watch = watched(calmix.mixup(per_row=True), keep=3)
    train(method, steps=4)
    assert [len(mix.anchor) for mix in watch.seen] == [3, 3, 3, 3]
    assert len(watch.mixes().anchor) == 12


def test_a_scheduled_method_is_watched_while_it_mixes():
    method, watch = watched(calmix.scheduled(calmix.mixup(), until=1))
    train(method, steps=2)
    assert len(watch.seen) == 2


def test_what_cannot_be_watched_is_said():
    with pytest.raises(SettingError, match="an oracle judges inputs"):
        watched(calmix.manifold_mixup())
    method, watch = watched(calmix.mixup())
    with pytest.raises(SettingError, match="positions"):
        train(method, index=False)
    with pytest.raises(SettingError, match="no mixes were seen"):
        watch.mixes()


def test_a_batch_to_look_at_is_the_one_drawn():
    method = calmix.sk_mixup(tau_max=0.7, tau_std=0.5, space=calmix.parts.Inputs())
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
    kernel = calmix.parts.SimilarityKernel(tau_max=0.3)
    boxes = calmix.cutmix(coefficient=Folded(kernel)).coefficient
    assert kernel_of(boxes) == kernel_of(kernel) == kernel
    assert kernel_of(TwoKernels(kernel, calmix.parts.SimilarityKernel())) == kernel
    assert kernel_of(calmix.mixup().coefficient) is None
    method = calmix.mixup()
    step = method.step(nn.Linear(2, 3), Classification(3), Batch(torch.randn(4, 2), torch.arange(4) % 3))
    assert mixed_rows(method, step).tau is None
