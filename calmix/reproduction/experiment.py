"""What a paper did, as a comparison that can be carried out, and what it claims."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from calmix.core.method import Method, Scheduled
from calmix.data import DataSource, Splits
from calmix.errors import SettingError, UnknownNameError
from calmix.methods.auto import auto
from calmix.methods.erm import erm
from calmix.methods.mixup import mixup
from calmix.methods.mixup_idle import mixup_idle
from calmix.reproduction.claims import Claim
from calmix.reproduction.table import SCALES
from calmix.studies.comparison.study import Comparison, Methods
from calmix.train import TrainingSettings

LONGER = "mixup_longer"
CONTROLS: Mapping[str, str] = {
    "mixup_idle": "plain Mixup with a clean forward pass that only moves the statistics of batch norm; without batch "
    "norm it is plain Mixup",
    LONGER: "plain Mixup for twice as many epochs, so with as many forward and backward passes as MixupE",
}


@dataclass(frozen=True)
class Experiment:
    """A comparison that stands for a paper's experiment; a variant is `replace(experiment, comparison=...)`.

    source: the paper and the code that the settings are from. deviations: what differs from them, in full sentences.
    claims: what the paper says, of methods by their labels. judged_on_test: whether the published protocol chooses the
    epoch, or fits the temperature, by test rows; then it can be carried out as published, too, see `as_published`.

    Raises:
        SettingError: a claim of a method that is not compared.
    """

    comparison: Comparison
    source: str
    claims: tuple[Claim, ...]
    deviations: tuple[str, ...] = ()
    judged_on_test: bool = False

    def __post_init__(self) -> None:
        for claim in self.claims:
            for label in (claim.method, claim.than):
                if label not in self.comparison.methods:
                    raise SettingError(f"{label!r} is in a claim, and is not compared; compare it, or claim less.")

    def as_published(self) -> Comparison:
        """The same runs, but with the test rows as those to choose the epoch and to fit the temperature by.

        Without methods that look at validation rows in training. Raise SettingError where the published protocol does
        not look at test rows.
        """
        if not self.judged_on_test:
            raise SettingError("the published protocol is the comparison itself; there is no other.")
        methods = {label: one for label, one in self.comparison.methods.items() if not one.controlled}
        settings = replace(self.comparison.settings, select="best")
        return replace(self.comparison.of_methods(methods), data=JudgedOnTest(self.comparison.data), settings=settings)


@dataclass(frozen=True)
class JudgedOnTest:
    """A source whose test rows are also those to validate and to calibrate with, as in much published code.

    What is chosen by such rows looks better on them than it is: for reproductions alone.
    """

    source: DataSource

    @property
    def train_size(self) -> int | None:
        return self.source.train_size

    def splits(self, seed: int) -> Splits:
        splits = self.source.splits(seed)
        return replace(splits, validation=splits.test, calibration=splits.test)

    def whole(self) -> "JudgedOnTest":
        return replace(self, source=self.source.whole())


@dataclass(frozen=True)
class Size:
    """How large an experiment is at one scale. train_size: None is as published."""

    seeds: int
    epochs: int
    train_size: int | None = None


def size_of(scale: str, smoke: Size, small: Size, paper: Size) -> Size:
    """The size at a scale. Raise UnknownNameError for another scale than `smoke`, `small` and `paper`."""
    if scale not in SCALES:
        raise UnknownNameError("scale", scale, SCALES)
    return {"smoke": smoke, "small": small, "paper": paper}[scale]


def with_controls(
    methods: Methods, published_mixup: Method | None = None, classes: bool = True
) -> dict[str, Method | Scheduled]:
    """The methods after plain training and plain Mixup, and before `auto` (of classes) and two controls.

    The controls are what the papers lack: `mixup_idle`, Mixup with a clean forward pass that does nothing else, and
    `mixup_longer`, Mixup for twice as many epochs. They mix where plain Mixup does.
    """
    plain = mixup() if published_mixup is None else published_mixup
    own: dict[str, Method | Scheduled] = {"auto": replace(auto(), site=plain.site)} if classes else {}
    idle = replace(mixup_idle(), pairing=plain.pairing, coefficient=plain.coefficient, site=plain.site)
    return {"erm": erm(), "mixup": plain, **methods, **own, "mixup_idle": idle, LONGER: plain}


def longer(settings: TrainingSettings) -> Mapping[str, TrainingSettings]:
    """`mixup_longer` has twice as many epochs, as each step of MixupE has a clean forward and backward pass, too.

    >>> longer(TrainingSettings(epochs=30))["mixup_longer"].epochs
    60
    """
    return {LONGER: replace(settings, epochs=2 * settings.epochs)}
