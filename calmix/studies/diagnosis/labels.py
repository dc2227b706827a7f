"""How wrong labels are, by one seed's oracle: those of random pairs at every share, and those of each method's mixes.

n training rows, m pairs or mixes, G shares, B bins of distance, L cells of lam, K classes
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from calmix.core.mix import Mix
from calmix.results.scores import PLAIN
from calmix.studies.diagnosis.conditions import CELLS, CONTROLS, ORACLES, SHARES, SPACES
from calmix.studies.diagnosis.mismatch import (
    Verdict,
    ask,
    bin_means,
    bin_of,
    edges_of,
    random_pairs,
    random_pairs_like,
    verdict,
)
from calmix.studies.diagnosis.oracle import Oracle, Parts

Found = dict[str, dict[str, float]]  # condition -> metric -> value; the conditions are listed in `study`
MEASURES = Verdict._fields


@dataclass(frozen=True, eq=False)
class Ground:
    """What all measurements of a seed share: rows, their labels, the oracle, and random pairs with their distances."""

    x: Tensor  # (n, ...), as the oracle knows them
    y: Tensor  # (n,), as the methods are told
    oracle: Oracle
    positions: Mapping[str, Tensor]  # by space: (n, d)
    anchor: Tensor  # (m,)
    partner: Tensor
    mean: Mapping[str, float]  # by space: the mean squared distance over the pairs
    edges: Mapping[str, Tensor]  # by space: (B + 1,)

    @staticmethod
    def of(parts: Parts, oracle: Oracle, pairs: int, bins: int, seed: int) -> "Ground":
        x = parts.rows
        anchor, partner = random_pairs(len(x), pairs, torch.Generator().manual_seed(seed))
        positions = dict(zip(SPACES, (x.flatten(1), oracle.embedding(x)), strict=True))
        squared = {space: (z[anchor] - z[partner]).square().sum(1) for space, z in positions.items()}
        mean = {space: float(values.mean()) or 1.0 for space, values in squared.items()}
        edges = {space: edges_of(values / mean[space], bins) for space, values in squared.items()}
        return Ground(x, parts.splits.train.y, oracle, positions, anchor, partner, mean, edges)

    @property
    def bins(self) -> int:
        return len(next(iter(self.edges.values()))) - 1

    def distance(self, space: str, anchor: Tensor, partner: Tensor) -> Tensor:
        """|z_anchor - z_partner|^2 over its mean over random pairs (m,)."""
        z = self.positions[space]
        return (z[anchor] - z[partner]).square().sum(1) / self.mean[space]

    def judge(self, mix: Mix) -> dict[str, Tensor]:
        """By oracle: the measures of each mixed row (measures, m)."""
        target = F.one_hot(self.y, self.oracle.classes).float()
        answers = ask(self.oracle, self.x, mix).unbind(1)
        judged = (torch.stack(list(verdict(probs, target, mix))).double() for probs in answers)
        return dict(zip(ORACLES, judged, strict=True))

    def agreed(self) -> Tensor:
        """(n, oracles): whether each oracle sees a training row's own class in it."""
        rows, alone = torch.arange(len(self.x)), torch.ones(len(self.x))
        said = ask(self.oracle, self.x, Mix(rows, rows, alone, alone))
        return said.argmax(2) == self.y[:, None]


# ------------------------------------------------------------------------------------------------ random pairs


def pair_scores(ground: Ground) -> Found:
    """The conditions under `pairs`, `deviation` and `edges`."""
    anchor, partner, agreed = ground.anchor, ground.partner, ground.agreed()
    by_share = []
    for share in SHARES:
        lam = torch.full((len(anchor),), share)
        by_share.append(ground.judge(Mix(anchor, partner, lam, lam)))
    different = ground.y[anchor] != ground.y[partner]
    found: Found = {
        f"edges/{space}/{place}": {"distance": round(edge, 4)}
        for space, edges in ground.edges.items()
        for place, edge in enumerate(edges.tolist())
    }
    for place, oracle in enumerate(ORACLES):
        values = torch.stack([judged[oracle] for judged in by_share], 1)  # (measures, G, m)
        both_agreed = different & agreed[anchor, place] & agreed[partner, place]
        populations = {"all": torch.ones_like(different), "different": different, "agreed": both_agreed}
        for space in SPACES:
            for population, some in populations.items():
                if some.any():
                    distance = ground.distance(space, anchor[some], partner[some])
                    found |= _binned(f"{oracle}/{space}/{population}", values[..., some], distance, ground.bins)
    return found


def _binned(path: str, values: Tensor, distance: Tensor, bins: int) -> Found:
    """Means over bins that hold equally many of these pairs, and the standard deviations within the bins."""
    distance = distance.double()
    place = bin_of(distance, edges_of(distance, bins))
    mean = bin_means(values, place, bins)  # (measures, G, B)
    deviation = (bin_means(values.square(), place, bins) - mean.square()).clamp(min=0).sqrt()
    count, distances = torch.bincount(place, minlength=bins).tolist(), bin_means(distance, place, bins)
    found: Found = {}
    for g, share in enumerate(SHARES):
        for b in range(bins):
            bin_path = f"{path}/{share:g}/{b + 1}"
            found[f"pairs/{bin_path}"] = {"count": count[b]}
            if count[b]:
                found[f"pairs/{bin_path}"] |= {"distance": _rounded(distances[b])} | _measures(mean[:, g, b])
                found[f"deviation/{bin_path}"] = _measures(deviation[:, g, b])
    return found


# --------------------------------------------------------------------------------------------- a method's mixes


def method_scores(ground: Ground, mixes: Mix, seed: int) -> Found:
    """The conditions `plain` and those under `lam` and `labels`: how much and at what distances a method mixed, and
    how wrong its labels were, under each control."""
    mixes = without_self_pairs(mixes)
    generator = torch.Generator().manual_seed(seed)
    share = mixes.lam_x.reshape(len(mixes.lam_x), -1).mean(1)  # a map's mean over its pixels
    smaller, of_label = torch.minimum(share, 1 - share), torch.minimum(mixes.lam_y, 1 - mixes.lam_y)
    different = ground.y[mixes.anchor] != ground.y[mixes.partner]
    pairs = (
        (mixes.anchor, mixes.partner),
        random_pairs(len(ground.x), len(smaller), generator),
        random_pairs_like(ground.y, different, generator),
    )
    found: Found = {
        PLAIN: {
            "mixing": float(smaller.mean()),
            "label_mixing": float((of_label * different).mean()),
            "different": float(different.double().mean()),
            "mixes": len(smaller),
        }
    }
    wrong = {
        control: ground.judge(replace(mixes, anchor=anchor, partner=partner))
        for control, (anchor, partner) in zip(CONTROLS, pairs, strict=True)
    }
    for oracle in ORACLES:
        for control, judged in wrong.items():
            means = (float(values.mean()) for values in judged[oracle])
            found[f"labels/{oracle}/{control}"] = dict(zip(MEASURES, means, strict=True))
    for space in SPACES:
        place = bin_of(ground.distance(space, mixes.anchor, mixes.partner), ground.edges[space])
        found |= _lam_by_distance(f"lam/{space}", smaller, place, ground.bins)
        for oracle, values in wrong["none"].items():
            means = bin_means(values, place, ground.bins)  # (measures, B)
            for b in place.unique().tolist():
                found[f"labels/{oracle}/none/{space}/{b + 1}"] = _measures(means[:, b])
    return found


def without_self_pairs(mixes: Mix) -> Mix:
    """Without the rows that a shuffle paired with themselves, which a kernel takes for its most similar pairs; all
    mixes where a method pairs no two rows, as plain training does."""
    two = mixes.anchor != mixes.partner
    if not two.any():
        return mixes
    return Mix(mixes.anchor[two], mixes.partner[two], mixes.lam_x[two], mixes.lam_y[two])


def _lam_by_distance(path: str, smaller: Tensor, place: Tensor, bins: int) -> Found:
    """In bins of random pairs' distances: how many mixes, the mean of their smaller share (m,), and its histogram."""
    cell = (smaller * 2 * CELLS).long().clamp(max=CELLS - 1)
    histogram = torch.zeros(bins, CELLS, dtype=torch.int64)
    histogram.index_put_((place, cell), torch.ones_like(cell), accumulate=True)
    means = bin_means(smaller.double(), place, bins)
    found: Found = {}
    for b, counts in enumerate(histogram.tolist()):
        known = {"mixing": _rounded(means[b])} if sum(counts) else {}
        found[f"{path}/{b + 1}"] = {"mixes": sum(counts), **known}
        found |= {f"{path}/{b + 1}/cell/{c + 1}": {"mixes": count} for c, count in enumerate(counts)}
    return found


def _measures(values: Tensor) -> dict[str, float]:
    """(measures,) by name."""
    return {measure: _rounded(value) for measure, value in zip(MEASURES, values, strict=True)}


def _rounded(value: Tensor) -> float:
    """Six digits are more than the pairs can tell."""
    return round(float(value), 6)
