"""SPACES: which options of a method are worth searching, and between which values.

A range turns a number in [0, 1) into a value, so that one list of points serves every method.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from calmix.core import require
from calmix.errors import SettingError

Value = float | bool
Options = Mapping[str, Value]


@dataclass(frozen=True)
class Between:
    """Numbers from `low` to `high`, evenly on a logarithmic scale, with three digits that count.

    Raises:
        SettingError: unless 0 < low < high.

    >>> Between(0.1, 10).at(0.5)
    1.0
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        require.positive("low", self.low)
        if not self.high > self.low:
            raise SettingError(f"high must be above low; got {self.low} and {self.high}.")

    def at(self, share: float) -> float:
        """The value at a share in [0, 1) of the way."""
        return float(f"{self.low * (self.high / self.low) ** share:.3g}")


@dataclass(frozen=True)
class OneOf:
    """One of several values, each as likely.

    Raises:
        SettingError: fewer than two values.

    >>> OneOf((1.0, 0.75, 0.5)).at(0.4)
    0.75
    """

    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        if len(self.values) < 2:
            raise SettingError(f"there must be two values or more to choose from; got {self.values!r}.")

    def at(self, share: float) -> Value:
        """The value at a share in [0, 1) of the way."""
        return self.values[int(share * len(self.values))]


Range = Between | OneOf
SearchSpace = Mapping[str, Range]  # by option

ALPHA, PER_ROW = Between(0.1, 4), OneOf((False, True))
ETA, TAU_STD = Between(1e-3, 1), Between(0.15, 1.5)
UNTIL = OneOf((1.0, 0.9, 0.75, 0.5))  # the share of the epochs in which rows are mixed; then plain training

# Plain training has no options of its own. Not searched: controls, which explain other methods; and auto, which sets
# its strength by the rows that a search chooses by.
SPACES: Mapping[str, SearchSpace] = {
    "erm": {},
    "mixup": {"alpha": ALPHA, "per_row": PER_ROW},
    "sk_mixup": {"tau_max": Between(0.05, 5), "tau_std": TAU_STD},
    "mixup_e": {"eta": ETA, "alpha": ALPHA, "per_row": PER_ROW},
    "sk_mixup_e": {"tau_max": Between(0.05, 5), "tau_std": TAU_STD, "eta": ETA},
    "input_mixup": {"alpha": ALPHA, "per_row": PER_ROW},
    "target_mixup": {"alpha": ALPHA, "per_row": PER_ROW},
    "manifold_mixup": {"alpha": ALPHA, "per_row": PER_ROW},
    "cutmix": {"alpha": ALPHA, "per_row": PER_ROW},
    "regmixup": {"alpha": Between(1, 20), "per_row": PER_ROW},
    "mit_l": {"alpha": ALPHA, "per_row": PER_ROW},
    "mit_a": {"alpha": ALPHA, "per_row": PER_ROW},
    "rankmixup": {"alpha": ALPHA, "weight": Between(0.01, 1)},
    "near_mixup": {"quantile": Between(0.1, 0.9), "alpha": ALPHA},
    "far_mixup": {"quantile": Between(0.1, 0.9), "alpha": ALPHA},
    "c_mixup": {"bandwidth": Between(0.05, 5), "alpha": ALPHA},
    "k_mixup": {"alpha": ALPHA, "per_row": PER_ROW},
}


def space_of(method: str, regression: bool) -> SearchSpace:
    """The options of a method of SPACES that are searched, with `until` for those that mix.

    In regression distances are between targets, and tau_max begins at 0.0001, which is the paper's for Airfoil.

    >>> space_of("sk_mixup", regression=True)["tau_max"]
    Between(low=0.0001, high=5)
    """
    space = dict(SPACES[method])
    if regression and "tau_max" in space:
        space["tau_max"] = Between(1e-4, 5)
    return {**space, "until": UNTIL} if space else space
