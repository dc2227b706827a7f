"""Functions from methods to methods."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

from calmix.core.coefficient import Folded, Sometimes
from calmix.core.method import Coefficient, Method, Scheduled
from calmix.core.pairing import Shuffle, WholeSet
from calmix.errors import SettingError
from calmix.methods.cutmix import Boxes
from calmix.methods.erm import erm
from calmix.methods.mit import Twice


def sometimes(method: Method, p: float = 0.5, per_row: bool = False) -> Method:
    """`method` with probability p, else lam = 1; drawn for each batch, or with per_row for each row.

    >>> from calmix import mixup
    >>> sometimes(mixup(), p=0.8).coefficient
    Sometimes(coefficient=Beta(alpha=1.0, per_row=False), p=0.8, per_row=False)
    """
    _require_single_mixes("sometimes", method)
    return replace(method, coefficient=Sometimes(method.coefficient, p, per_row))


def folded(method: Method) -> Method:
    """`method` with max(lam, 1 - lam) for lam: the anchor keeps at least half.

    Where lam and 1 - lam are equally likely and partners are shuffled, every mixed row is as likely as before. But the
    rows of a batch count more evenly. Row i counts lam_i in the mixed row of which it is the anchor, and 1 - lam_j in
    that of the row j whose partner it is. With one lam for the batch the sum is 1. With lam ~ Beta(alpha, alpha) for
    each row its variance is 1 / (2 (2 alpha + 1)): where little is mixed a row may come twice, or not at all. Folded,
    the variance is 0 there, and 1/24 in place of 1/6 at alpha = 1.

    >>> from calmix import mixup
    >>> folded(mixup(per_row=True)).coefficient
    Folded(coefficient=Beta(alpha=1.0, per_row=True))
    """
    _require_single_mixes("folded", method)
    return replace(method, coefficient=_folded(method.coefficient))


def _folded(coefficient: Coefficient) -> Coefficient:
    if isinstance(coefficient, Boxes | Sometimes):  # fold the area of a box, not the map of its pixels
        return replace(coefficient, coefficient=_folded(coefficient.coefficient))
    return Folded(coefficient)


def _require_one(wrapper: str, method: Method) -> None:
    if not isinstance(method, Method):
        raise SettingError(
            f"{wrapper} takes one method, and got {type(method).__name__}; put it inside: "
            f"scheduled({wrapper}(...), until=...)."
        )


def _require_single_mixes(wrapper: str, method: Method) -> None:
    _require_one(wrapper, method)
    if isinstance(method.pairing, Twice):
        raise SettingError(f"{wrapper} would give both mixes of a pair one lam, which mit cannot take apart again.")


def without_self_pairs(method: Method) -> Method:
    """`method` with a shuffle in which no row is its own partner."""
    _require_shuffle("without_self_pairs", method)
    return replace(method, pairing=Shuffle(self_pairs=False))


def with_whole_set(method: Method) -> Method:
    """`method` with partners from the whole training set, each of its rows as likely, in place of the batch.

    So does the code of C-Mixup and of Similarity Kernel Mixup in regression, for Mixup too. The training loss then
    needs the training set, `TrainingLoss(..., data=(x, y))`; partners are augmented only if the data set does it.

    >>> from calmix import sk_mixup
    >>> with_whole_set(sk_mixup()).pairing
    WholeSet()
    """
    _require_shuffle("with_whole_set", method)
    return replace(method, pairing=WholeSet())


def _require_shuffle(wrapper: str, method: Method) -> None:
    _require_one(wrapper, method)
    if not isinstance(method.pairing, Shuffle):
        raise SettingError(f"{wrapper} is for methods that shuffle; this one pairs by {method.pairing!r}.")


def scheduled(method: Method | Scheduled, until: float, then: Method | Scheduled | None = None) -> Scheduled:
    """`method` for the first `until` epochs, or below 1 for that share of them; then `then`, or plain training.

    The training loop says which epoch it is, `training_loss.epoch = epoch`, and for a share how many there are,
    `TrainingLoss(..., epochs=100)`.

    >>> from calmix import mixup
    >>> scheduled(mixup(), until=80).at(80) == erm()
    True
    """
    return Scheduled(method, until, erm() if then is None else then)


def with_options(method: Method, **options: float) -> Method:
    """A method with other options: the fields of these names of all its parts.

    Raises:
        SettingError: an option that no part has.

    >>> from calmix import mixup_e
    >>> with_options(mixup_e(), alpha=0.5, eta=0.2) == mixup_e(alpha=0.5, eta=0.2)
    True
    """
    left = set(options)

    def edited(part: Any) -> Any:
        if not is_dataclass(part) or isinstance(part, type):
            return part
        names = [one.name for one in fields(part) if one.init]
        left.difference_update(names)
        return replace(part, **{name: options.get(name, edited(getattr(part, name))) for name in names})

    found = edited(method)
    if left:
        raise SettingError(f"no part of {method!r} has the option {sorted(left)[0]!r}, so it cannot be searched here.")
    return found


WRAPPERS: dict[str, Callable[..., Method | Scheduled]] = {
    "sometimes": sometimes,
    "folded": folded,
    "without_self_pairs": without_self_pairs,
    "with_whole_set": with_whole_set,
    "scheduled": scheduled,
}
