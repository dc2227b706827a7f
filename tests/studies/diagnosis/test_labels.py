"""Measurements of one seed, by an oracle whose answers are known: amounts of mixing, wrong labels, controls."""

from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from calmix.core.mix import Mix
from calmix.data import About, Split, Splits
from calmix.studies.diagnosis.conditions import CELLS, CONTROLS, ORACLES, SHARES, SPACES
from calmix.studies.diagnosis.labels import Ground, method_scores, pair_scores, without_self_pairs
from calmix.studies.diagnosis.oracle import Oracle, Parts

PAIRS, BINS = 400, 4


class Line:
    """Classes 0, 1, 2 live at 0, 1, 2 on a line; the second opinion sees class 0 everywhere."""

    classes = 3

    def __call__(self, x: Tensor) -> Tensor:
        nearest = F.one_hot(x[:, 0].round().long().clamp(0, 2), 3).float()
        return torch.stack([nearest, torch.eye(3)[[0]].expand(len(x), 3)], 1)

    def embedding(self, x: Tensor) -> Tensor:
        return x**2


@pytest.fixture(scope="module")
def ground() -> Ground:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(60) % 3
    x = (y + 0.4 * (torch.rand(60, generator=generator) - 0.5))[:, None]
    split = Split(x, y)
    about = About("line", "classification", "table", ("a", "b", "c"), ("x",), False, "made up")
    parts = Parts(Splits(split, split, split, split, about), x, split, split)
    return Ground.of(parts, cast(Oracle, Line()), PAIRS, BINS, seed=0)


@pytest.fixture(scope="module")
def pairs(ground: Ground) -> dict[str, Any]:
    return pair_scores(ground)


def test_bins_hold_all_pairs_and_lie_in_the_order_of_distance(pairs: dict[str, Any]):
    for oracle in ORACLES:
        for space in SPACES:
            bins = [pairs[f"pairs/{oracle}/{space}/all/0.5/{number}"] for number in range(1, BINS + 1)]
            assert sum(one["count"] for one in bins) == PAIRS
            assert min(one["count"] for one in bins) >= PAIRS / BINS - 5
            distances = [one["distance"] for one in bins]
            assert distances == sorted(distances)
            mean = sum(one["count"] * one["distance"] for one in bins) / PAIRS
            assert mean == pytest.approx(1, abs=1e-4)  # over its own mean
    edges = [pairs[f"edges/inputs/{place}"]["distance"] for place in range(BINS + 1)]
    assert edges == sorted(edges)


def test_random_pairs_are_as_wrong_as_the_line_makes_them(pairs: dict[str, Any]):
    """Half and half of the ends of the line is the middle class; at a share of 1 the oracle agrees with the labels."""
    far = pairs[f"pairs/network/inputs/different/0.5/{BINS}"]
    assert far["neither"] > 0.9
    assert pairs["pairs/network/inputs/different/0.5/1"]["neither"] == 0
    for number in range(1, BINS + 1):
        own = pairs[f"pairs/network/inputs/all/1/{number}"]
        assert [own[measure] for measure in ("neither", "excess", "hard", "mass")] == [0, 0, 0, 0]
        deviation = pairs[f"deviation/network/inputs/different/0.5/{number}"]["neither"]
        rate = pairs[f"pairs/network/inputs/different/0.5/{number}"]["neither"]
        assert deviation == pytest.approx((rate * (1 - rate)) ** 0.5, abs=1e-5)


def test_an_oracle_agrees_with_ends_only_where_it_sees_their_classes(pairs: dict[str, Any]):
    """The first opinion sees every class, so all pairs of different classes are agreed on; the second sees but one."""

    def counts(oracle: str, population: str) -> list[int]:
        path = f"pairs/{oracle}/inputs/{population}/{SHARES[0]}"
        return [pairs[f"{path}/{number}"]["count"] for number in range(1, BINS + 1) if f"{path}/{number}" in pairs]

    assert counts("network", "agreed") == counts("network", "different") == counts("neighbours", "different")
    assert counts("neighbours", "agreed") == []


def test_a_method_s_mixes_are_counted_and_judged_and_controls_change_only_the_pairs(ground: Ground):
    generator = torch.Generator().manual_seed(1)
    anchor = torch.arange(60)
    partner = (anchor + 3) % 60  # always of the same class
    lam = torch.rand(60, generator=generator)
    found = method_scores(ground, Mix(anchor, partner, lam, lam), seed=0)
    smaller = torch.minimum(lam, 1 - lam)
    assert found["plain"] == {
        "mixing": pytest.approx(float(smaller.mean())), "label_mixing": 0, "different": 0, "mixes": 60,
    }  # fmt: skip
    assert found["labels/network/none"]["mass"] == 0  # within a class the line is never wrong
    assert found["labels/network/shuffled"]["mass"] > 0.1  # random pairs are of several classes
    assert found["labels/network/shuffled_within"]["mass"] == 0  # of the same kind: within a class again
    assert {path.rpartition("/")[2] for path in found if path.count("/") == 2 and path.startswith("labels")} == set(
        CONTROLS
    )
    for space in SPACES:
        cells = [[found[f"lam/{space}/{b}/cell/{c}"]["mixes"] for c in range(1, CELLS + 1)] for b in range(1, BINS + 1)]
        histogram = torch.histc(smaller, CELLS, 0, 0.5)
        assert torch.tensor(cells).sum(0).tolist() == histogram.tolist()
        counts = [found[f"lam/{space}/{b}"]["mixes"] for b in range(1, BINS + 1)]
        assert counts == [sum(row) for row in cells]
        total = sum(n * found[f"lam/{space}/{b}"].get("mixing", 0) for b, n in enumerate(counts, start=1))
        assert total / 60 == pytest.approx(found["plain"]["mixing"], abs=1e-5)
        wrong = [found.get(f"labels/neighbours/none/{space}/{b}", {"mass": 0})["mass"] for b in range(1, BINS + 1)]
        assert sum(n * w for n, w in zip(counts, wrong, strict=True)) / 60 == pytest.approx(
            found["labels/neighbours/none"]["mass"], abs=1e-5
        )
    assert sum(found[f"lam/inputs/{number}"]["mixes"] for number in (1, 2)) == 60  # rows of a class are near by
    assert found["lam/inputs/4"] == {"mixes": 0}  # an empty bin has no mean
    assert "labels/network/none/inputs/4" not in found


def test_a_row_with_itself_is_no_mix_unless_there_are_no_others(ground: Ground):
    anchor, lam = torch.tensor([0, 1, 2]), torch.rand(3)
    left = without_self_pairs(Mix(anchor, torch.tensor([0, 2, 1]), lam, lam))
    assert (left.anchor.tolist(), left.partner.tolist()) == ([1, 2], [2, 1])
    assert torch.equal(left.lam_x, lam[1:])
    assert len(without_self_pairs(Mix(anchor, anchor, lam, lam)).anchor) == 3


def test_a_map_of_shares_counts_as_its_mean():
    """Half of the pixels of the anchor and half of the partner's are half and half."""
    x = torch.zeros(6, 1, 2, 2)
    y = torch.arange(6) % 3
    boxes = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]]).expand(3, 1, 2, 2)
    split = Split(x, y)
    about = About("pixels", "classification", "image", ("a", "b", "c"), (), False, "made up")

    class Flat(Line):
        def __call__(self, x: Tensor) -> Tensor:
            return super().__call__(x.flatten(1))

        def embedding(self, x: Tensor) -> Tensor:
            return x.flatten(1)

    parts = Parts(Splits(split, split, split, split, about), x, split, split)
    ground = Ground.of(parts, cast(Oracle, Flat()), 10, 1, seed=0)
    mixes = Mix(torch.tensor([0, 1, 2]), torch.tensor([1, 2, 3]), boxes, torch.full((3,), 0.75))
    plain = method_scores(ground, mixes, 0)["plain"]
    assert plain == {"mixing": 0.5, "label_mixing": 0.25, "different": 1, "mixes": 3}
