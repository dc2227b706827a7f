"""Who is mixed with whom: partners by distance, by target and by assignment."""

import sys
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import calmix
from calmix.errors import SettingError
from calmix.parts import Inputs, OptimalAssignment, Pairing, Pairs, QuantileBand, TargetNeighbours, WholeSet


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def step_on(x: Tensor, y: Tensor | None = None, index: Tensor | None = None, data: object = None) -> calmix.parts.Step:
    """A regression step; y is zero unless given."""
    y = torch.zeros(len(x)) if y is None else y
    rows = None if data is None else calmix.parts.TrainingSet(data)
    return calmix.erm().step(nn.Linear(2, 1), calmix.Regression(), calmix.parts.Batch(x, y, index), training_set=rows)


def partners(pairing: Pairing, step: calmix.parts.Step, draws: int) -> Tensor:
    """The partners of many draws (draws, n), every row an anchor in order."""
    generator = seeded()
    pairs = [pairing(step, generator) for _ in range(draws)]
    assert all(torch.equal(p.anchor, torch.arange(step.size)) for p in pairs)
    return torch.stack([p.partner for p in pairs])


# ------------------------------------------------------------------------------------------ QuantileBand

CLOUD = torch.randn(12, 2, generator=seeded(1))


def distances(x: Tensor) -> np.ndarray:
    rows = x.numpy().astype(float)
    return np.sqrt(((rows[:, None] - rows[None]) ** 2).sum(2))


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.5), (0.5, 1.0), (0.0, 0.25), (0.25, 0.75), (0.9, 1.0)])
@pytest.mark.parametrize("n", [12, 30])
@pytest.mark.parametrize("self_pairs", [False, True])
def test_every_allowed_partner_is_drawn_equally_often_and_no_other(low: float, high: float, n: int, self_pairs: bool):
    x = torch.randn(n, 2, generator=seeded(1))
    d, others = distances(x), ~np.eye(n, dtype=bool)
    ends = [np.quantile(d if self_pairs else d[others], level, method="inverted_cdf") for level in (low, high)]
    allowed = (d >= ends[0] - 1e-6) & (d <= ends[1] + 1e-6)
    allowed = allowed | ~others if self_pairs else allowed & others
    drawn = partners(QuantileBand(low, high, Inputs(), self_pairs), step_on(x), 1500)
    for i in range(n):
        counts = np.bincount(drawn[:, i], minlength=n)
        assert counts[allowed[i]].sum() == (1500 if allowed[i].any() else 0)
        if allowed[i].any():
            mean = 1500 / allowed[i].sum()
            assert (np.abs(counts[allowed[i]] - mean) <= 5 * np.sqrt(mean)).all()
        else:  # a lonely row stays alone
            assert counts[i] == 1500


@pytest.mark.parametrize("pairing", [QuantileBand(0.0, 0.1, Inputs()), OptimalAssignment(32)])
def test_far_from_the_origin_the_pairs_are_the_same(pairing: Pairing):
    x = torch.randn(64, 8, generator=seeded(1)).mul(64).round() / 64  # so that adding does not round
    near, there = (partners(pairing, step_on(x + offset), 3) for offset in (0.0, 4096.0))
    assert (near == there).float().mean() > 0.95  # but for ties


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.8])
def test_with_self_pairs_the_near_ones_are_those_of_the_published_code(quantile: float):
    """There the quantile is torch's, of all n^2 distances, and every row may also be its own partner."""
    distance = torch.cdist(CLOUD, CLOUD)
    allowed = distance <= torch.quantile(distance, quantile)
    pairing = calmix.near_mixup(quantile, space=Inputs(), self_pairs=True).pairing
    drawn = partners(pairing, step_on(CLOUD), 1000)
    assert [set(column.tolist()) for column in drawn.T] == [set(row.nonzero().flatten().tolist()) for row in allowed]


def test_rows_choose_independently():
    drawn = partners(QuantileBand(0.0, 1.0, Inputs()), step_on(CLOUD), 500)
    agree = (drawn[:, 0] == drawn[:, 1]).float().mean()  # ten rows are allowed for both: 10 / 11^2
    assert 0.04 < agree < 0.13


def test_lonely_rows_stay_alone_and_are_nobody_s_partner():
    x = torch.cat([CLOUD, torch.tensor([[50.0, 0.0], [0.0, 99.0]])])
    drawn = partners(QuantileBand(0.0, 0.3, Inputs()), step_on(x), 200)
    assert (drawn[:, 12] == 12).all()
    assert (drawn[:, 13] == 13).all()
    assert (drawn[:, :12] < 12).all()
    assert (drawn[:, :12] != torch.arange(12)).any(0).sum() > 8


def test_near_and_far_are_the_two_sides_of_the_median():
    near, far = calmix.near_mixup(space=Inputs()).pairing, calmix.far_mixup(space=Inputs()).pairing
    d = torch.tensor(distances(CLOUD))
    rows = torch.arange(12)
    closest, farthest = (d[rows, partners(pairing, step_on(CLOUD), 300)] for pairing in (near, far))
    assert closest.max() <= farthest.min() + 1e-6


def test_rows_that_are_all_the_same_are_all_allowed():
    drawn = partners(QuantileBand(0.0, 0.1, Inputs()), step_on(torch.ones(5, 2)), 300)
    assert all(set(drawn[:, i].tolist()) == set(range(5)) - {i} for i in range(5))


def test_a_band_without_width_is_one_sentence():
    with pytest.raises(SettingError, match=r"quantile must be a number between 0 and 1; got the band 0\.0 to 0"):
        calmix.near_mixup(quantile=0)
    with pytest.raises(SettingError, match=r"got the band 1 to 1\.0"):
        calmix.far_mixup(quantile=1)


# -------------------------------------------------------------------------------------- TargetNeighbours

KNOWN = torch.randn(40, 1, dtype=torch.float64, generator=seeded(2))
BANDWIDTH = 0.7


def kernel(target: float, known: Tensor = KNOWN) -> np.ndarray:
    weight = np.exp(-((known.numpy() - target) ** 2).sum(1) / (2 * BANDWIDTH**2))
    return weight / weight.sum()


def test_partners_follow_the_gaussian_kernel_of_the_targets_over_the_whole_set():
    """Drawn for one batch of two kinds of rows, out of a set that holds neither."""
    y = torch.tensor([-0.4, 1.3]).repeat(4000)
    x = torch.zeros(8000, 1)
    step = step_on(x, y, torch.arange(8000), (torch.arange(40.0)[:, None], KNOWN[:, 0]))
    _, _, others = TargetNeighbours(BANDWIDTH)(step, seeded())
    assert others is not None
    assert others.index is not None
    for kind, target in enumerate((-0.4, 1.3)):
        counts = np.bincount(others.index[kind::2], minlength=40)
        likely = kernel(target) * 4000 > 5
        expected = np.append(kernel(target)[likely], kernel(target)[~likely].sum()) * 4000
        drawn = np.append(counts[likely], counts[~likely].sum())
        assert stats.chisquare(drawn, expected).pvalue > 1e-3


def test_in_the_batch_they_follow_the_kernel_among_its_rows():
    y = KNOWN[:10]
    drawn = partners(TargetNeighbours(BANDWIDTH, whole_set=False), step_on(torch.zeros(10, 1), y), 6000)
    for i in range(10):
        frequency = np.bincount(drawn[:, i], minlength=10) / 6000
        assert np.abs(frequency - kernel(float(y[i]), y)).max() < 0.03


def test_targets_of_several_values_are_as_far_apart_as_in_space():
    known = torch.randn(12, 3, dtype=torch.float64, generator=seeded(3))
    weight = np.exp(-((known.numpy() - known[4].numpy()) ** 2).sum(1) / (2 * BANDWIDTH**2))
    drawn = TargetNeighbours(BANDWIDTH).sample(known[4].expand(8000, 3), known, seeded())
    assert np.abs(np.bincount(drawn, minlength=12) / 8000 - weight / weight.sum()).max() < 0.03


@pytest.mark.parametrize("values", [1, 7 * 40, 39 * 40 + 1, 40 * 1000])
def test_in_chunks_it_draws_the_same(values: int, monkeypatch: pytest.MonkeyPatch):
    target, pairing = torch.randn(100, 1, generator=seeded(4)), TargetNeighbours(BANDWIDTH)
    whole = pairing.sample(target, KNOWN, seeded())
    monkeypatch.setattr(sys.modules["calmix.methods.c_mixup"], "_CHUNK", values)
    assert torch.equal(pairing.sample(target, KNOWN, seeded()), whole)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_a_tiny_bandwidth_finds_the_nearest_and_a_huge_one_anybody(offset: float):
    target = torch.tensor([-9.0, -0.4, 0.03, 1.2, 7.0], dtype=torch.float64)[:, None]
    nearest = (target - KNOWN.T).abs().argmin(1)
    assert torch.equal(TargetNeighbours(1e-3).sample(target + offset, KNOWN + offset, seeded()), nearest)
    anybody = TargetNeighbours(1e6).sample(target.repeat(2000, 1) + offset, KNOWN + offset, seeded())
    assert stats.chisquare(np.bincount(anybody, minlength=40)).pvalue > 1e-3


class Listed:
    """A map-style data set of rows (x, y)."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, float]:
        return self.x[index], float(self.y[index])


def test_partners_come_from_the_set_with_their_inputs_and_targets_however_it_is_kept():
    x, y = torch.randn(40, 2), KNOWN[:, 0].float()
    index = torch.tensor([3, 1, 4])
    mixes = []
    for data in ((x, y), Listed(x, y)):
        method = calmix.c_mixup(bandwidth=BANDWIDTH)
        step, mix = method.draw(step_on(x[index], y[index], index, data), seeded())
        assert step.batch.index is not None
        assert torch.equal(step.batch.index[:3], index)
        assert torch.equal(step.batch.x, x[step.batch.index])
        assert torch.equal(step.target[:, 0], y[step.batch.index])
        assert mix.anchor.tolist() == [0, 1, 2]
        assert mix.partner.tolist() == [3, 4, 5]
        mixes.append(step.batch.index)
    assert torch.equal(*mixes)


@pytest.mark.parametrize("pairing", [TargetNeighbours(), WholeSet()])
def test_without_the_set_it_is_one_sentence_and_the_index_is_not_needed(pairing: Pairing):
    x, y = torch.zeros(3, 2), torch.zeros(3)
    with pytest.raises(SettingError, match=r"give it to the training loss, TrainingLoss\(\.\.\., data=\(x, y\)\)"):
        pairing(step_on(x, y, torch.arange(3)), seeded())
    pairs = pairing(step_on(x, y, None, (x, y)), seeded())
    assert pairs.partner.tolist() == [3, 4, 5]
    with pytest.raises(SettingError, match=r"data must be the training set.*got int"):
        calmix.TrainingLoss(calmix.c_mixup(), calmix.Regression(), data=3)


# ---------------------------------------------------------------------------------------------- WholeSet


def test_every_row_of_the_set_is_drawn_equally_often_by_every_row():
    x = torch.arange(40.0)[:, None].expand(40, 2)
    step = step_on(x[:3], None, torch.arange(3), (x, torch.zeros(40)))
    generator, drawn = seeded(), []
    for _ in range(2000):
        anchor, partner, others = WholeSet()(step, generator)
        assert others is not None
        assert anchor.tolist() == [0, 1, 2]
        assert partner.tolist() == [3, 4, 5]
        drawn.append(others.x[:, 0].long())
    counts = torch.stack(drawn).T
    assert all(stats.chisquare(np.bincount(row, minlength=40)).pvalue > 1e-3 for row in counts)
    assert 0.01 < (counts[0] == counts[1]).float().mean() < 0.045  # independently: 1 / 40


@pytest.mark.parametrize(
    "method",
    [calmix.mixup(per_row=True), calmix.sk_mixup(), calmix.mixup_e(), calmix.regmixup(), calmix.manifold_mixup()],
)
def test_a_batch_of_one_row_is_mixed_with_rows_of_the_whole_set(method: calmix.parts.Method):
    """Whose inputs and targets they bring: in the batch there is nobody else."""
    x, y = torch.arange(40.0)[:, None].expand(40, 2).clone(), torch.arange(40.0)
    training_loss = calmix.TrainingLoss(calmix.with_whole_set(method), calmix.Regression(), data=(x, y))
    net, seen = nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 1)), []
    for _ in range(30):
        training_loss(net, x[:1], y[:1], torch.zeros(1, dtype=torch.int64))
        mix, outcome = training_loss.mix, training_loss.outcome
        assert mix is not None
        assert outcome is not None
        share = 1 - float(mix.lam_y[-1])
        if share > 0.01:
            seen.append(float(outcome.target[-1, 0]) / share)
    assert len({round(j) for j in seen}) > 5
    assert all(abs(j - round(j)) < 1e-2 and 0 <= j < 39.5 for j in seen)


# ------------------------------------------------------------------------------------- OptimalAssignment


def assigned(n: int, k: int, seed: int = 0) -> Pairs:
    x = torch.randn(n, 2, generator=seeded(n))
    return OptimalAssignment(k)(step_on(x), seeded(seed))


@pytest.mark.parametrize("n", [2, 3, 7, 16, 33])
@pytest.mark.parametrize("k", [1, 3, 8, 100])
def test_every_row_is_a_partner_once_and_never_its_own(n: int, k: int):
    for seed in range(5):
        anchor, partner, others = assigned(n, k, seed)
        assert others is None
        assert torch.equal(anchor, torch.arange(n))
        assert torch.equal(partner.sort().values, anchor)
        assert (partner != anchor).all()


@pytest.mark.parametrize("n", [10, 13])
@pytest.mark.parametrize("offset", [0.0, 5000.0])
def test_no_other_assignment_between_two_groups_costs_less(n: int, offset: float):
    x = torch.randn(n, 2, generator=seeded(n))
    cost = distances(x) ** 2
    for seed in range(5):
        order = torch.randperm(n, generator=seeded(seed)).tolist()
        partner = OptimalAssignment(5)(step_on(x + offset), seeded(seed)).partner
        before = order[-5:] + order[:-5]
        for start in range(0, n, 5):
            group, other = order[start : start + 5], before[start : start + 5]
            assert set(partner[group].tolist()) == set(other)
            least = min(cost[group, list(match)].sum() for match in permutations(other))
            assert cost[group, partner[group]].sum() == pytest.approx(least, rel=1e-3)


def test_alone_in_a_group_the_pairs_are_one_cycle_at_random():
    seen = set()
    for seed in range(200):
        partner = assigned(4, 1, seed).partner.tolist()
        row, length = partner[0], 1
        while row != 0:
            row, length = partner[row], length + 1
        assert length == 4
        seen.add(tuple(partner))
    assert len(seen) == 6  # (4 - 1)! cycles


def test_larger_groups_have_nearer_partners():
    x = torch.randn(64, 2, generator=seeded(9))
    step = step_on(x)

    def mean(k: int) -> float:
        partner = partners(OptimalAssignment(k), step, 20)
        return float((x - x[partner]).square().sum(2).mean())

    assert mean(32) < mean(8) < mean(2) < mean(1)


def test_rows_that_are_not_known_yet_are_assigned_too():
    def half_known(step: calmix.parts.Step) -> Tensor:
        return torch.where(torch.arange(step.size)[:, None] % 2 == 0, step.batch.x, torch.nan)

    partner = OptimalAssignment(4, half_known)(step_on(CLOUD), seeded()).partner
    assert torch.equal(partner.sort().values, torch.arange(12))
    with pytest.raises(SettingError, match="k must be at least 1; got 0"):
        calmix.k_mixup(k=0)


def test_partners_from_beyond_the_batch_are_not_clean_rows_of_it():
    x, y, index = torch.randn(16, 6), torch.randn(16), torch.arange(16)
    net = nn.Linear(6, 1)
    for method in (calmix.regmixup(), calmix.regmixup(coefficient=calmix.parts.Beta())):
        method = replace(method, pairing=calmix.parts.TargetNeighbours())
        training_loss = calmix.TrainingLoss(method, calmix.Regression(), data=(x, y))
        training_loss(net, x[:5], y[:5], index[:5])
        clean = (net(x[:5]).squeeze(1) - y[:5]).square().mean()
        assert torch.allclose(training_loss.terms["clean"], clean)


def test_the_penalty_of_mixup_e_is_of_the_batch_s_own_rows():
    x, y, net = torch.randn(16, 6), torch.randn(16), nn.Linear(6, 1)
    slopes = []
    for wrapped in (lambda method: method, calmix.with_whole_set):
        for share in (1.0, 0.5):
            method = wrapped(calmix.mixup_e(rescale=False, share=share))
            training_loss = calmix.TrainingLoss(method, calmix.Regression(), data=(x, y))
            training_loss(net, x[:6], y[:6])
            slopes.append(training_loss.terms["slope"])
    assert torch.allclose(slopes[0], slopes[2])
    assert torch.allclose(slopes[1], slopes[3])


def test_several_mixes_have_partners_and_shares_of_their_own():
    x, y = torch.randn(30, 4), torch.arange(30) % 3
    training_loss = calmix.TrainingLoss(calmix.rankmixup(mixes=3), calmix.Classification(3))
    training_loss(nn.Linear(4, 3), x, y)
    mix = training_loss.mix
    assert mix is not None
    assert len({tuple(partner.tolist()) for partner in mix.partner.chunk(3)}) == 3
    assert len({float(lam[0]) for lam in mix.lam_x.chunk(3)}) == 3
    assert all((lam == lam[0]).all() for lam in mix.lam_x.chunk(3))


def test_unknown_rows_are_at_the_mean_distance():
    class Known:
        def __call__(self, step: calmix.parts.Step) -> Tensor:
            return torch.tensor([[0.0], [1.0], [10.0], [torch.nan]])

    step = calmix.mixup().step(
        nn.Linear(1, 4), calmix.Classification(4), calmix.parts.Batch(torch.zeros(4, 1), torch.arange(4))
    )
    for _ in range(20):
        partner = calmix.parts.QuantileBand(0.0, 0.15, Known())(step, None).partner
        assert partner.tolist() == [1, 0, 2, 3]  # of the pairs only one is near; the unknown row is near to none
