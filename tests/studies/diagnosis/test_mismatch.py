"""Wrong labels: oracles whose mistakes are known in closed form."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from calmix.core.mix import Mix
from calmix.errors import SettingError, ShapeError
from calmix.studies.diagnosis.mismatch import (
    ask,
    bin_means,
    bin_of,
    edges_of,
    random_pairs,
    random_pairs_like,
    verdict,
)


def mix_of(anchor: list[int], partner: list[int], lam: Tensor) -> Mix:
    return Mix(torch.tensor(anchor), torch.tensor(partner), lam, lam)


def on_the_line(x: Tensor) -> Tensor:
    """Classes 0, 1, 2 live at 0, 1, 2 on a line: a row belongs to the nearest."""
    return torch.nn.functional.one_hot(x[:, 0].round().long(), 3).float()


def test_an_oracle_that_is_linear_along_the_segment_finds_no_wrong_mass():
    target = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.2, 0.3, 0.5]], dtype=torch.float64)
    lam = torch.linspace(0, 1, 11, dtype=torch.float64)
    for partner in (1, 2):
        mix = mix_of([0] * 11, [partner] * 11, lam)
        judged = verdict(ask(lambda x: x, target, mix), target, mix)
        torch.testing.assert_close(judged.mass, torch.zeros_like(lam))
        torch.testing.assert_close(judged.excess, torch.zeros_like(lam))
        assert not judged.neither.any()
    judged = verdict(ask(lambda x: x, target, mix_of([0] * 11, [1] * 11, lam)), target, mix_of([0] * 11, [1] * 11, lam))
    torch.testing.assert_close(judged.hard, torch.minimum(lam, 1 - lam))  # what mixing two classes cannot avoid


@pytest.mark.parametrize(
    ("partner", "neither", "excess", "mass"),
    # lam ~ U(0, 1). From 0 to 1 the nearest class has the larger share: mass = E min(lam, 1 - lam). From 0 to 2, half
    # of the way is nearest to 1: 1/2 of the draws with mass 1 and excess E max given that half (5/8), and the ends.
    [(0, 0.0, 0.0, 0.0), (1, 0.0, 0.0, 0.25), (2, 0.5, 0.5 * 0.625, 0.5 + 2 * 0.25**2 / 2)],
)
def test_known_mass_on_a_line_grows_with_distance(partner: int, neither: float, excess: float, mass: float):
    m = 40_000
    x, target = torch.tensor([[0.0], [1.0], [2.0]]), torch.eye(3)
    lam = (torch.arange(m) + 0.5) / m
    mix = mix_of([0] * m, [partner] * m, lam)
    judged = verdict(ask(on_the_line, x, mix), target, mix)
    assert judged.neither.mean().item() == pytest.approx(neither, abs=1e-4)
    assert judged.excess.mean().item() == pytest.approx(excess, abs=1e-4)
    assert judged.hard.mean().item() == pytest.approx(mass, abs=1e-4)
    torch.testing.assert_close(judged.mass, judged.hard)  # the oracle is sure of itself


@given(seed=st.integers(0, 2**32), classes=st.integers(2, 6))
def test_every_measure_is_a_share_and_they_are_ordered(seed: int, classes: int):
    generator = torch.Generator().manual_seed(seed)
    target = torch.eye(classes, dtype=torch.float64)
    anchor, partner = random_pairs(classes, 50, generator)
    lam = torch.rand(50, generator=generator, dtype=torch.float64)
    mix = Mix(anchor, partner, lam, lam)
    probs = torch.rand(50, classes, generator=generator, dtype=torch.float64).softmax(1)
    judged = verdict(probs, target, mix)
    for values in judged:
        assert (values >= 0).all()
        assert (values <= 1).all()
    assert (judged.hard - judged.excess >= torch.minimum(mix.lam_y, 1 - mix.lam_y) - 1e-12).all()
    assert (judged.neither <= judged.hard + 1e-12).all()
    sure = torch.nn.functional.one_hot(probs.argmax(1), classes).double()
    torch.testing.assert_close(verdict(sure, target, mix).mass, judged.hard)
    turned = Mix(partner, anchor, 1 - mix.lam_x, 1 - mix.lam_y)  # who is called the anchor does not matter
    torch.testing.assert_close(verdict(probs, target, turned).excess, judged.excess)


def test_asking_in_parts_is_asking_at_once_and_keeps_what_was_blended():
    x = torch.randn(6, 1, 4, 4)
    anchor, partner = random_pairs(6, 23)
    lam = torch.rand(23)
    mix = Mix(anchor, partner, lam, lam)
    expected = lam[:, None] * x[anchor].flatten(1) + (1 - lam)[:, None] * x[partner].flatten(1)
    for rows in (1, 5, 100):
        torch.testing.assert_close(ask(lambda rows: rows.flatten(1), x, mix, rows), expected)


def test_boxes_are_judged_as_they_are_pasted():
    x = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)])
    boxes = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    mix = Mix(torch.tensor([0]), torch.tensor([1]), boxes, torch.tensor([0.25]))
    assert ask(lambda rows: rows.flatten(1), x, mix).tolist() == [[0.0, 1.0, 1.0, 1.0]]


def test_pairs_are_two_rows_and_every_pair_is_as_likely():
    anchor, partner = random_pairs(4, 24_000, torch.Generator().manual_seed(0))
    counts = torch.zeros(4, 4).index_put_((anchor, partner), torch.ones(24_000), accumulate=True)
    assert counts.diagonal().sum() == 0
    assert (counts[~torch.eye(4, dtype=torch.bool)] - 2000).abs().max() < 5 * 2000**0.5


def test_pairs_of_the_same_kind_are_drawn_uniformly():
    y = torch.tensor([0, 1, 0, 2, 1, 0])
    generator = torch.Generator().manual_seed(0)
    for kind in (True, False):
        anchor, partner = random_pairs_like(y, torch.full((60_000,), kind), generator)
        rows = torch.arange(6)
        allowed = (y[:, None] != y) == kind
        allowed[rows, rows] = False
        counts = torch.zeros(6, 6).index_put_((anchor, partner), torch.ones(60_000), accumulate=True)
        assert ((counts > 0) == allowed).all()
        expected = 60_000 / allowed.sum()  # each such pair as often, whatever the sizes of the classes
        assert ((counts - expected)[allowed].abs() < 5 * expected.sqrt()).all()


@given(seed=st.integers(0, 2**32), bins=st.integers(1, 8))
def test_bins_hold_equally_many_and_their_means_add_up(seed: int, bins: int):
    generator = torch.Generator().manual_seed(seed)
    distance = torch.rand(8 * bins, generator=generator).double()
    values = torch.rand(3, 8 * bins, generator=generator).double()
    edges = edges_of(distance, bins)
    places = bin_of(distance, edges)
    count = torch.bincount(places, minlength=bins)
    assert count.min() >= 7
    assert count.max() <= 9
    torch.testing.assert_close((bin_means(values, places, bins) * count).sum(1), values.sum(1))
    assert (bin_means(distance, places, bins).diff() > 0).all()
    assert bin_of(torch.tensor([-1.0, 2.0]).double(), edges).tolist() == [0, bins - 1]


def test_bad_questions_are_answered_with_advice():
    x, lam = torch.eye(2), torch.tensor([0.5])
    with pytest.raises(SettingError, match="an oracle judges inputs"):
        ask(lambda rows: rows, x, Mix(torch.tensor([0]), torch.tensor([1]), lam, lam, site="layer2"))
    with pytest.raises(ShapeError, match="2 probabilities for each of 1 mixed rows"):
        verdict(torch.ones(1, 3), x, mix_of([0], [1], lam))
    with pytest.raises(SettingError, match="two rows"):
        random_pairs(1, 3)
