"""Wrong labels: how far the label that mixing assigns lies from what an oracle says of the mixed row.

n rows, m mixed rows, K classes, B bins of distance. Similarity Kernel Mixup (arXiv 2311.01434) rests on the claim that
the two differ more often the farther apart the mixed rows are; here it is measured. Functions of tensors, no training.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from calmix.core.mix import Mix, blend, mixed_target
from calmix.errors import SettingError, ShapeError


class Verdict(NamedTuple):
    """How wrong the assigned labels of m mixed rows are, each measure (m,) float in [0, 1].

    With t the assigned target, p the oracle's probabilities and k = argmax p:

    neither: 1 where k is the class of neither parent, else 0.
    excess: max t - t_k, what the assigned label is wrong by beyond what mixing two classes makes unavoidable: 0 where
        the oracle sides with the larger share, 2 lam - 1 where with the smaller, max(lam, 1 - lam) where with neither.
    hard: 1 - t_k, the mass that the assigned label gives to classes other than the oracle's. For parents of different
        classes it is at least min(lam, 1 - lam), whatever the distance.
    mass: sum |t - p| / 2, the total variation between the two.
    """

    neither: Tensor
    excess: Tensor
    hard: Tensor
    mass: Tensor


def ask(oracle: Callable[[Tensor], Tensor], x: Tensor, mix: Mix, rows: int = 1024) -> Tensor:
    """What the oracle says of the mixed rows, blended and asked `rows` at a time, without gradient.

    oracle: rows (m, ...) -> probabilities (m, K), or (m, ..., K) of several oracles at once; so is what is returned.

    Raises:
        SettingError: a mix inside a network, which an oracle of inputs cannot judge.
    """
    if mix.site is not None or mix.later:
        raise SettingError(f"an oracle judges inputs, and this mix is at {mix.site!r}; take one with site=None.")
    parts = zip(*(part.split(rows) for part in (mix.anchor, mix.partner, mix.lam_x, mix.lam_y)), strict=True)
    with torch.no_grad():
        return torch.cat([oracle(blend(x, Mix(*part), part[2])) for part in parts])


def verdict(probs: Tensor, target: Tensor, mix: Mix) -> Verdict:
    """Compare what an oracle says of the mixed rows, `probs` (m, K), with their mixed targets.

    target: rows (n, K) that sum to one: one-hot labels, or the oracle's own answers at the parents, against which
    `mass` is the oracle's departure from a straight line.

    Raises:
        ShapeError: probs that are not (m, K).

    >>> mix = Mix(torch.tensor([0]), torch.tensor([1]), torch.tensor([0.75]), torch.tensor([0.75]))
    >>> judged = verdict(torch.tensor([[0.0, 0.0, 1.0]]), torch.eye(3), mix)
    >>> judged.neither.item(), judged.excess.item(), judged.hard.item(), judged.mass.item()
    (1.0, 0.75, 1.0, 1.0)
    """
    if probs.shape != (len(mix.anchor), target.shape[1]):
        raise ShapeError(
            f"the oracle must give {target.shape[1]} probabilities for each of {len(mix.anchor)} mixed rows; "
            f"got {tuple(probs.shape)}."
        )
    assigned = mixed_target(target, mix)  # (m, K)
    said = probs.argmax(1)  # (m,)
    share = assigned.gather(1, said[:, None])[:, 0]
    parents = target.argmax(1)
    neither = (said != parents[mix.anchor]) & (said != parents[mix.partner])
    return Verdict(
        neither=neither.to(assigned.dtype),
        excess=assigned.amax(1) - share,
        hard=1 - share,
        mass=(assigned - probs).abs().sum(1) / 2,
    )


# ---------------------------------------------------------------------------------------------- random pairs


def random_pairs(n: int, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """`count` pairs of different rows of n, each drawn uniformly: anchor and partner (count,).

    Raises:
        SettingError: fewer than two rows.
    """
    if n < 2:
        raise SettingError(f"a pair needs two rows; got {n}.")
    anchor = torch.randint(n, (count,), generator=generator)
    return anchor, (anchor + torch.randint(1, n, (count,), generator=generator)) % n


def random_pairs_like(y: Tensor, different: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Random pairs (m,) of two rows: of different classes where `different` (m,) is True, else of the same class.

    y (n,): class ids. Each pair is drawn uniformly from all pairs of its kind, so an anchor is drawn as often as it has
    possible partners. The rows must have at least one pair of each kind that is asked for.
    """
    n, m = len(y), len(different)
    order = y.argsort()  # rows by class, in a circle: after the rows of a class come those of all others
    size = torch.bincount(y)
    first = size.cumsum(0) - size
    place = torch.empty(m, dtype=torch.int64)  # of the anchor, in that order
    for kind, partners in ((False, size - 1), (True, n - size)):
        asked = different == kind
        if asked.any():
            weights = partners[y[order]].double()
            place[asked] = torch.multinomial(weights, int(asked.sum()), replacement=True, generator=generator)
    start, own = first[y[order[place]]], size[y[order[place]]]
    u = torch.rand(m, generator=generator, dtype=torch.float64)
    same = start + (place - start + 1 + (u * (own - 1)).long()) % own
    other = (start + own + (u * (n - own)).long()) % n
    return order[place], order[torch.where(different, other, same)]


# -------------------------------------------------------------------------------------------- bins of distance


def edges_of(distance: Tensor, bins: int) -> Tensor:
    """The edges (B + 1,) between which lie equally many of the distances (m,): their quantiles.

    >>> edges_of(torch.arange(5.0), 2)
    tensor([0., 2., 4.])
    """
    return torch.quantile(distance, torch.linspace(0, 1, bins + 1, dtype=distance.dtype))


def bin_of(distance: Tensor, edges: Tensor) -> Tensor:
    """The bin 0 ... B - 1 of each distance (m,); what lies beyond the outer edges counts to the outer bins."""
    return torch.bucketize(distance, edges[1:-1].contiguous(), right=True)


def bin_means(values: Tensor, bins: Tensor, count: int) -> Tensor:
    """The mean of values (..., m) in each bin (..., B); NaN where a bin is empty.

    >>> bin_means(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 2]), 3)
    tensor([2., nan, 5.])
    """
    member = torch.nn.functional.one_hot(bins, count).to(values.dtype)  # (m, B)
    return values @ member / member.sum(0)
