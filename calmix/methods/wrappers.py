"""Functions from methods to methods."""

from collections.abc import Callable
from dataclasses import replace

from calmix.core.coefficient import Folded, Sometimes
from calmix.core.method import Coefficient, Method, Scheduled
from calmix.core.pairing import Shuffle
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
    """`method` with max(lam, 1 - lam) for lam: the anchor keeps at least half."""
    _require_single_mixes("folded", method)
    return replace(method, coefficient=_folded(method.coefficient))


def _folded(coefficient: Coefficient) -> Coefficient:
    if isinstance(coefficient, Boxes | Sometimes):  # fold the area of a box, not the map of its pixels
        return replace(coefficient, coefficient=_folded(coefficient.coefficient))
    return Folded(coefficient)


def _require_single_mixes(wrapper: str, method: Method) -> None:
    if isinstance(method.pairing, Twice):
        raise SettingError(f"{wrapper} would give both mixes of a pair one lam, which mit cannot take apart again.")


def without_self_pairs(method: Method) -> Method:
    """`method` with a shuffle in which no row is its own partner."""
    if not isinstance(method.pairing, Shuffle):
        raise SettingError(f"without_self_pairs is for methods that shuffle; this one pairs by {method.pairing!r}.")
    return replace(method, pairing=Shuffle(self_pairs=False))


def scheduled(method: Method | Scheduled, until: int, then: Method | Scheduled | None = None) -> Scheduled:
    """`method` for the first `until` epochs, then `then`, or plain training.

    The training loop says which epoch it is: `training_loss.epoch = epoch`.

    >>> from calmix import mixup
    >>> scheduled(mixup(), until=80).at(80) == erm()
    True
    """
    return Scheduled(method, until, erm() if then is None else then)


WRAPPERS: dict[str, Callable[..., Method | Scheduled]] = {
    "sometimes": sometimes,
    "folded": folded,
    "without_self_pairs": without_self_pairs,
    "scheduled": scheduled,
}
