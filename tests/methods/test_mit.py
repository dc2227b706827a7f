"""Mixup Inference in Training: two mixes far enough apart, and what takes them apart again."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn

import calmix
from calmix import Classification, TrainingLoss
from calmix.errors import SettingError, SiteError
from calmix.methods.mit import remix, unmix
from calmix.parts import Apart, Method, Mix, Shuffle, Twice, blend

X = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))


def drawn(part: Apart, pairs: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """lam_1 and lam_2 (pairs,)."""
    step = calmix.mit_l().step(
        nn.Identity(), Classification(2), calmix.parts.Batch(torch.zeros(1, 2), torch.zeros(1).long())
    )
    rows = torch.zeros(2 * pairs, dtype=torch.int64)
    lam_x, lam_y = part(step, rows, rows, torch.Generator().manual_seed(seed))
    assert lam_x is lam_y
    first, second = lam_x.chunk(2)
    return first, second


@given(st.integers(0, 2**31), st.floats(0.1, 1), st.floats(0.01, 0.6))
def test_one_share_is_above_a_half_the_other_below_and_the_gap_is_kept(seed: int, alpha: float, margin: float):
    for per_row in (False, True):
        first, second = drawn(Apart(alpha, margin, per_row), 20, seed)
        assert ((first >= 0.5) & (first <= 1)).all()
        assert ((second <= 0.5) & (second >= 0)).all()
        assert (first - second >= margin - 1e-7).all()


def rejected(alpha: float, margin: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """As the authors' code draws: again and again until the two are far enough apart."""
    rng = np.random.default_rng(0)
    first, second = (np.maximum(lam, 1 - lam) for lam in rng.beta(alpha, alpha, size=(2, 60 * count)))
    far = first - (1 - second) >= margin
    assert far.sum() >= count
    return first[far][:count], 1 - second[far][:count]


@pytest.mark.parametrize(("alpha", "margin"), [(0.5, 0.5), (1.0, 0.2), (2.0, 0.6)])
def test_both_shares_are_distributed_as_by_rejection(alpha: float, margin: float):
    ours, theirs = drawn(Apart(alpha, margin, per_row=True), 8000), rejected(alpha, margin, 8000)
    for mine, other in zip(ours, theirs, strict=True):
        assert stats.kstest(mine.numpy(), other).pvalue > 1e-3
    gap, other = (first - second for first, second in (map(np.asarray, ours), theirs))
    assert stats.kstest(gap, other).pvalue > 1e-3


def test_a_batch_has_one_pair_of_shares_or_every_row_its_own():
    first, second = drawn(Apart(0.5, 0.5), 10)
    assert (first == first[0]).all()
    assert (second == second[0]).all()
    assert drawn(Apart(0.5, 0.5, per_row=True), 10)[0].unique().numel() == 10
    assert not torch.equal(first, drawn(Apart(0.5, 0.5), 10, seed=1)[0])


@pytest.mark.parametrize("margin", [0.001, 0.5, 0.9])
@pytest.mark.parametrize("alpha", [50.0, 1e12, 1e30])
def test_a_gap_that_no_draw_has_is_kept_all_the_same_evenly_about_a_half(alpha: float, margin: float):
    """The limit of the draws by rejection: given the gap, Beta(alpha, alpha) is densest where it is halved."""
    first, second = drawn(Apart(alpha, margin, per_row=True), 500)
    assert (first - second >= margin - 1e-6).all()
    if alpha > 50 or margin == 0.9:
        assert torch.allclose(first, torch.tensor((1 + margin) / 2))
        assert torch.allclose(second, torch.tensor((1 - margin) / 2))


@pytest.mark.parametrize("make", [calmix.mit_l, calmix.mit_a])
def test_losses_and_gradients_are_finite_whatever_alpha(make: Callable[..., Method]):
    for alpha in (1e-30, 1e-3, 1e12, 1e30):
        net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
        TrainingLoss(make(alpha=alpha, margin=0.001), Classification(3))(net, X, torch.arange(8) % 3).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_margins_and_alphas_out_of_range_are_one_sentence():
    for margin in (0.0, 1e-4, 1.0, -0.1, math.nan):
        with pytest.raises(SettingError, match=f"margin must be a number from 0.001 to below 1; got {margin}"):
            calmix.mit_l(margin=margin)
    with pytest.raises(SettingError, match="alpha must be a positive number; got 0"):
        calmix.mit_a(alpha=0)


# ------------------------------------------------------------------------------------------------- unmix

ROWS = torch.randn(7, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
PARTNER = torch.tensor([3, 0, 6, 1, 2, 4, 5])


def twice(first: list[float], second: list[float]) -> Mix:
    lam = torch.tensor(first + second, dtype=torch.float64)
    return Mix(torch.arange(7).repeat(2), PARTNER.repeat(2), lam, lam)


pairs_of_shares = st.tuples(
    st.lists(st.floats(0.5, 1), min_size=7, max_size=7), st.lists(st.floats(0, 0.4), min_size=7, max_size=7)
)


@given(pairs_of_shares)
def test_taking_apart_is_the_inverse_of_mixing_twice(shares: tuple[list[float], list[float]]):
    mix = twice(*shares)
    anchor, partner = unmix(blend(ROWS, mix, mix.lam_x), mix)
    assert torch.allclose(anchor, ROWS, atol=1e-12)
    assert torch.allclose(partner, ROWS[PARTNER], atol=1e-12)


@given(pairs_of_shares, pairs_of_shares)
def test_mixing_anew_is_mixing_as_the_new_shares_say(
    before: tuple[list[float], list[float]], after: tuple[list[float], list[float]]
):
    old, new = twice(*before), twice(*after)
    assert torch.allclose(remix(blend(ROWS, old, old.lam_x), old, new), blend(ROWS, new, new.lam_x), atol=1e-12)


def test_a_linear_network_is_trained_as_if_nothing_had_been_mixed():
    """Both losses are then plain: the anchors' mean and the partners' mean, which are the same rows."""
    net = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 6), nn.Linear(6, 3)).double()
    x, y = torch.randn(16, 4, dtype=torch.float64), torch.arange(16) % 3
    plain = TrainingLoss(calmix.erm(), Classification(3))(net, x, y)
    for method in (calmix.mit_l(), calmix.mit_l(per_row=True), calmix.mit_a(), calmix.mit_a(per_row=True)):
        training_loss = TrainingLoss(method, Classification(3))
        assert torch.allclose(training_loss(net, x, y), plain)
        assert torch.allclose(training_loss.terms["anchor"], training_loss.terms["partner"])


def test_each_pair_is_mixed_two_times():
    step = calmix.mit_l().step(nn.Identity(), Classification(9), calmix.parts.Batch(torch.zeros(9, 9), torch.arange(9)))
    anchor, partner, _ = Twice(Shuffle())(step, torch.Generator().manual_seed(0))
    assert torch.equal(anchor, torch.arange(9).repeat(2))
    assert torch.equal(partner[:9], partner[9:])
    assert torch.equal(partner[:9].sort().values, torch.arange(9))


def test_all_layers_have_shares_of_their_own_after_every_stage():
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))
    training_loss = TrainingLoss(calmix.mit_a(), Classification(3))
    training_loss(net, torch.randn(8, 4), torch.arange(8) % 3)
    mix = training_loss.mix
    assert mix is not None
    assert mix.site is None
    assert [later.site for later in mix.later] == ["0", "2"]
    assert len({float(one.lam_x[0]) for one in (mix, *mix.later)}) == 3


def test_stages_in_the_wrong_order_are_one_sentence():
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))
    with pytest.raises(SiteError, match=r"the stages once, in this order: 2, 0; name others: sites="):
        TrainingLoss(calmix.mit_a(sites=("2", "0")), Classification(3))(net, torch.randn(8, 4), torch.arange(8) % 3)
    assert all(not module._forward_hooks for module in net.modules())


def test_with_a_wide_gap_the_loss_is_finite_step_after_step():
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    training_loss = TrainingLoss(calmix.mit_a(per_row=True), Classification(3))
    for _ in range(20):
        assert math.isfinite(training_loss(net, torch.randn(8, 4), torch.arange(8) % 3).item())
