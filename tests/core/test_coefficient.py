"""How much: two kernels on one number, and parts that change the shares of another."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor, nn

import calmix
from calmix.errors import SettingError
from calmix.parts import (
    Beta,
    Coefficient,
    Folded,
    Inputs,
    InputsOnly,
    SimilarityKernel,
    Sometimes,
    Targets,
    TargetsOnly,
    TwoKernels,
)

N = 64


def both(coefficient: Coefficient, seed: int = 0, rows: int = N) -> tuple[Tensor, Tensor]:
    """lam_x and lam_y on a regression batch whose inputs and targets are not near in the same pairs."""
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(rows, 3, generator=generator), torch.randn(rows, generator=generator)
    step = calmix.erm().step(nn.Linear(3, 1), calmix.Regression(), calmix.parts.Batch(x, y))
    anchor = torch.arange(rows)
    return coefficient(step, anchor, anchor.roll(1), torch.Generator().manual_seed(seed))


def kernels(tau_x: float, tau_y: float, alpha: float = 1.0, std: float = 0.5) -> TwoKernels:
    return TwoKernels(SimilarityKernel(tau_x, std, alpha, Inputs()), SimilarityKernel(tau_y, std, alpha, Targets()))


@pytest.mark.parametrize("alpha", [1.0, 0.3, 4.0])
@pytest.mark.parametrize(("tau_x", "tau_y"), [(1.0, 1.0), (0.2, 5.0), (30.0, 0.01)])
def test_both_shares_lie_on_the_same_side_of_a_half(tau_x: float, tau_y: float, alpha: float):
    differ = 0
    for seed in range(10):
        lam_x, lam_y = both(kernels(tau_x, tau_y, alpha), seed)
        assert ((lam_x - 0.5) * (lam_y - 0.5) >= 0).all()
        assert (lam_x < 0.5).any()
        assert (lam_x > 0.5).any()
        differ += int((lam_x != lam_y).sum())
    assert differ > 5 * N


@pytest.mark.parametrize("alpha", [0.0025, 0.3, 1.0, 5.0])
def test_how_evenly_the_rows_of_a_batch_count(alpha: float):
    """Row i counts lam_i in its own mixed row, and 1 - lam_j in that of the row j whose partner it is."""

    def variance(coefficient: Coefficient) -> float:
        lam = both(coefficient, rows=200_000)[0].double()
        return float((lam + (1 - lam).roll(1)).var())

    of_each = Beta(alpha, per_row=True)
    assert variance(Beta(alpha)) == pytest.approx(0, abs=1e-15)
    assert variance(of_each) == pytest.approx(1 / (2 * (2 * alpha + 1)), rel=0.02)
    off_centre = 2 ** (-2 * alpha) / (alpha * special.beta(alpha, alpha))  # E |lam - 1/2|
    folded = 2 * (1 / (4 * (2 * alpha + 1)) - off_centre**2)
    assert variance(Folded(of_each)) == pytest.approx(folded, rel=0.05)
    if alpha == 1:
        assert folded == pytest.approx(1 / 24)


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_equal_kernels_give_equal_shares(alpha: float):
    kernel = SimilarityKernel(0.7, 0.5, alpha, Inputs())
    lam_x, lam_y = both(TwoKernels(kernel, kernel))
    assert torch.equal(lam_x, lam_y)
    assert lam_x.dtype == torch.float32


def test_the_smaller_tau_is_farther_from_a_half():
    """In a space where all pairs are as far apart, the kernels differ by tau_max alone."""

    def nowhere(step: calmix.parts.Step) -> Tensor:
        return torch.zeros(step.size, 1)

    lam_x, lam_y = both(TwoKernels(SimilarityKernel(0.2, space=nowhere), SimilarityKernel(3.0, space=nowhere)))
    assert ((lam_x - 0.5).abs() >= (lam_y - 0.5).abs()).all()
    lower = lam_x < 0.5  # where small numbers are exact
    assert lower.sum() > N / 4
    level = stats.beta.cdf(lam_x[lower].double(), 0.2, 0.2)
    assert np.allclose(stats.beta.ppf(level, 3.0, 3.0), lam_y[lower], atol=1e-5)  # the same quantile


def test_two_kernels_in_their_limits_mix_the_one_and_not_the_other():
    lam_x, lam_y = both(kernels(1e-30, 1e30, std=10.0))
    assert set(lam_x.tolist()) == {0.0, 1.0}
    assert torch.allclose(lam_y, torch.tensor(0.5), atol=1e-5)
    lam_x, lam_y = both(kernels(1e30, 1e-30, std=10.0))
    assert torch.allclose(lam_x, torch.tensor(0.5), atol=1e-5)
    assert set(lam_y.tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_each_share_has_the_distribution_of_its_own_kernel(alpha: float):
    two = kernels(0.6, 2.0, alpha)
    for share, kernel in ((0, two.inputs), (1, two.targets)):
        ours = torch.cat([both(two, seed)[share] for seed in range(40)])
        alone = torch.cat([both(kernel, 100 + seed)[0] for seed in range(40)])
        assert stats.kstest(ours.numpy(), alone.numpy()).pvalue > 1e-3


def test_sk_mixup_has_two_kernels_where_the_targets_have_a_tau_of_their_own():
    one, two = SimilarityKernel(0.3, 0.5), SimilarityKernel(0.3, 1.0)
    assert calmix.sk_mixup(0.3, 0.5).coefficient == one
    assert calmix.sk_mixup(0.3, 0.5, tau_std_y=1.0).coefficient == TwoKernels(one, two)
    assert calmix.sk_mixup(0.3, 0.5, tau_max_y=2.0).coefficient == TwoKernels(one, SimilarityKernel(2.0, 0.5))
    with pytest.raises(SettingError, match="tau_max must be a positive number; got -1"):
        calmix.sk_mixup(tau_max_y=-1)


# ----------------------------------------------------------------- parts that change the shares of another


@dataclass(frozen=True)
class Given:
    """The shares that were given, for inputs and for targets."""

    lam_x: tuple[float, ...]
    lam_y: tuple[float, ...]

    def __call__(
        self, step: calmix.parts.Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        return torch.tensor(self.lam_x), torch.tensor(self.lam_y)


GIVEN = Given((0.0, 0.4375, 0.5, 0.75, 1.0), (0.125, 0.5, 0.75, 0.25, 1.0))


def changed(part: Coefficient) -> tuple[list[float], list[float]]:
    lam_x, lam_y = both(part, rows=5)
    return lam_x.tolist(), lam_y.tolist()


def test_inputs_only_gives_the_target_to_the_larger_share():
    assert changed(InputsOnly(GIVEN)) == ([0, 0.4375, 0.5, 0.75, 1], [0, 0, 1, 1, 1])


def test_targets_only_leaves_the_inputs_and_folds_the_targets_share():
    assert changed(TargetsOnly(GIVEN)) == ([1, 1, 1, 1, 1], [0.875, 0.5, 0.75, 0.75, 1])


def test_folded_takes_the_larger_of_either_share_and_its_rest():
    assert changed(Folded(GIVEN)) == ([1, 0.5625, 0.5, 0.75, 1], [0.875, 0.5, 0.75, 0.75, 1])


def test_sometimes_takes_both_shares_or_neither():
    everything, nothing = changed(GIVEN), ([1.0] * 5, [1.0] * 5)
    batches = []
    for seed in range(60):
        lam = [share.tolist() for share in both(Sometimes(GIVEN, 0.5), seed, rows=5)]
        batches.append(tuple(lam) == everything)
        assert tuple(lam) in (everything, nothing)
        for pair in zip(*[share.tolist() for share in both(Sometimes(GIVEN, 0.5, per_row=True), seed, 5)], strict=True):
            assert pair in {(1.0, 1.0), *zip(*everything, strict=True)}
    assert 15 < sum(batches) < 45


@pytest.mark.parametrize("p", [0.0, 1.5, -1.0, float("nan")])
def test_a_probability_out_of_range_is_one_sentence(p: float):
    with pytest.raises(SettingError, match="p must be a number above 0 and at most 1; got"):
        Sometimes(GIVEN, p)
