"""The only catalogue of what is measured: METRICS by key, and how a condition is said.

A new metric is one function in `calmix.metrics` and one entry here; then it stands in every table, file, figure and
sentence.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from calmix.results.scores import PLAIN
from calmix.results.statistics import Interval

Better = Literal[-1, 0, 1]  # less is better, neither, more is better
Unit = Literal["", "%", "×"]
Mark = Literal[-1, 0, 1]  # worse, not told apart, better
Task = Literal["classification", "multilabel", "regression", "diagnosis"]


@dataclass(frozen=True)
class Metric:
    """What a number is, and how it is shown. Stored are fractions, shown are per cent where the unit is %.

    meaning: one phrase for readers who do not know the metric. digits: after the point; None shows four digits that
    count, for numbers in the unit of the targets.
    """

    key: str
    title: str
    meaning: str
    better: Better
    digits: int | None = 3
    unit: Unit = ""
    tasks: tuple[Task, ...] = ("classification",)

    @property
    def scale(self) -> int:
        return 100 if self.unit == "%" else 1

    def text(self, value: float) -> str:
        """A stored value as it is shown, without the unit."""
        if self.digits is None:
            return significant(value)
        return number(self.scale * value, self.digits)


@dataclass(frozen=True)
class Column:
    """A metric under a condition, as a column of a table or an axis of a figure."""

    metric: Metric
    condition: str = PLAIN
    name: str = ""  # a title of its own, where that of the metric and the condition does not do
    power: int = 0  # of ten, in which numbers are shown

    @property
    def key(self) -> str:
        return self.metric.key

    @property
    def better(self) -> Better:
        return self.metric.better

    @property
    def digits(self) -> int:
        return 3 if self.metric.digits is None else self.metric.digits

    @property
    def title(self) -> str:
        after = AFTER.get(self.condition, "")
        if self.condition == "scaled" and self.metric.tasks == _VALUES:  # there is no temperature
            after = "after variance scaling"
        return self.name or " ".join(filter(None, (self.metric.title, after)))

    @property
    def scale(self) -> float:
        """What is stored times this is what is shown."""
        return self.metric.scale / 10.0**self.power if self.power >= 0 else self.metric.scale * 10.0**-self.power

    @property
    def label(self) -> str:
        """The title with its unit, as on an axis."""
        return powered(self.title + {"": "", "%": ", %", "×": ", × plain training"}[self.metric.unit], self.power)

    @property
    def points(self) -> str:
        """The label of its differences."""
        return self.label.replace("%", "points")

    @property
    def heading(self) -> str:
        """The title with its unit and an arrow in the better direction, as above a column."""
        title = self.title if self.metric.unit == "×" else self.label
        return title + {-1: "\u00a0↓", 0: "", 1: "\u00a0↑"}[self.better]

    def shown(self, interval: Interval) -> Interval:
        """The interval in the unit that is shown."""
        scale = self.scale
        return Interval(scale * interval.mean, scale * interval.low, scale * interval.high, interval.count)

    def mark(self, difference: Interval) -> Mark:
        """Whether an interval of differences excludes zero, and on which side; a single seed decides nothing."""
        if difference.side == 0 or self.better == 0:
            return 0
        return 1 if difference.side == self.better else -1

    def with_digits(self, digits: int) -> "Column":
        return replace(self, metric=replace(self.metric, digits=digits))

    def sized(self, largest: float) -> "Column":
        """The power of ten and the digits in which numbers as large as `largest`, in stored units, show four digits."""
        power = power_of(largest)
        return replace(self.with_digits(digits_of(largest, power)), power=power)


_LARGE = 10_000_000  # and more is shown in powers of ten, unless it is a count
_PLACES = 6  # behind the point, at most
_HIGH = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def number(value: float, digits: int, sign: Literal["", "+"] = "") -> str:
    """With separated thousands, a true minus sign, and never a negative zero; of extreme size with a power of ten.

    >>> number(-0.04, 1), number(1.25, 2, "+"), number(-3, 1), number(12345.6, 1)
    ('0.0', '+1.25', '−3.0', '12,345.6')
    >>> number(1234567890.1, 0), number(1.234e-12, 15), number(20_000_000, 0)
    ('1.235×10⁹', '1.234×10⁻¹²', '20,000,000')
    """
    count = digits == 0 and abs(value) < 1e10 and float(value).is_integer()
    tiny = digits > _PLACES
    if not math.isfinite(value) or not (tiny or (abs(value) >= _LARGE and not count)):
        return f"{value:{sign}z,.{digits}f}".replace("-", "−")
    if round(value, digits) == 0:
        return "0"
    exponent = _exponent(value)
    mantissa, _, power = f"{value:{sign}.{min(3, max(0, digits + exponent))}e}".partition("e")
    return f"{mantissa.replace('-', '−')}×{power_text(int(power))}"


def significant(value: float) -> str:
    """Four digits that count.

    >>> significant(1234.5), significant(-2.5), significant(0.00012345), significant(1.5e12)
    ('1,234', '−2.5', '0.0001234', '1.5×10¹²')
    """
    if not math.isfinite(value) or value == 0:
        return f"{value:g}".replace("-", "−")
    exponent = _exponent(value)
    if -5 <= exponent < 7:
        text = f"{value:,.{max(0, 3 - exponent)}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        mantissa, _, power = f"{value:.3e}".partition("e")
        text = f"{mantissa.rstrip('0').rstrip('.')}×{power_text(int(power))}"
    return text.replace("-", "−")


def power_of(largest: float) -> int:
    """The power of ten in which numbers up to `largest` are shown: none from a thousandth to below a million.

    >>> power_of(12345.0), power_of(3e8), power_of(4e-7), power_of(0.0)
    (0, 6, -9, 0)
    """
    exponent = _exponent(largest)
    return 0 if -3 <= exponent < 6 else 3 * (exponent // 3)


def digits_of(largest: float, power: int = 0) -> int:
    """Digits after the point with which numbers as large as `largest`, shown in a power of ten, have four that count.

    >>> digits_of(2.9), digits_of(12345.0), digits_of(0.0004), digits_of(3e8, 6)
    (3, 0, 7, 1)
    """
    return max(0, 3 - _exponent(largest) + power)


def powered(label: str, power: int) -> str:
    """A label that says in which power of ten its numbers are.

    >>> powered("RMSE", 9), powered("RMSE", 0)
    ('RMSE, 10⁹', 'RMSE')
    """
    return f"{label}, {power_text(power)}" if power else label


def power_text(power: int) -> str:
    return f"10{str(power).translate(_HIGH)}"


def _exponent(value: float) -> int:
    """That of the number as it is shown with four digits; of zero 0."""
    return int(f"{value:.3e}".partition("e")[2]) if value and math.isfinite(value) else 0


# what is said after a metric's title; other conditions have sections of their own
AFTER: Mapping[str, str] = {
    "scaled": "after temperature",
    "vector": "after vector scaling",
    "matrix": "after matrix scaling",
    "isotonic": "after isotonic regression",
    "refreshed": "with refreshed batch norm",
}

_ALL: tuple[Task, ...] = ("classification", "regression")
_LABELS: tuple[Task, ...] = ("multilabel",)
_BOTH: tuple[Task, ...] = ("classification", "multilabel")


def _share(
    key: str, title: str, meaning: str, better: Better = -1, digits: int = 2, tasks: tuple[Task, ...] = _ALL[:1]
) -> Metric:
    return Metric(key, title, meaning, better, digits, "%", tasks)


def _of_targets(key: str, title: str, meaning: str, better: Better = -1) -> Metric:
    return Metric(key, title, f"{meaning}, in the unit of the targets", better, None, "", ("regression",))


_VALUES: tuple[Task, ...] = ("regression",)
_MIXES: tuple[Task, ...] = ("diagnosis",)

_ENTRIES = (
    # classes
    _share("accuracy", "Accuracy", "answers that are right", 1, 1),
    _share("exact_match", "Exact match", "rows all of whose labels are right", 1, 1, _LABELS),
    _share("label_accuracy", "Label accuracy", "labels that are right", 1, 1, _LABELS),
    _share("ece", "ECE", "how far confidence is from accuracy, on average over bins of confidence"),
    _share("adaptive_ece", "Adaptive ECE", "the same, over bins of equally many rows"),
    _share("smooth_ece", "Smooth ECE", "the same without bins"),
    _share("debiased_ece", "Debiased ECE", "root-mean-square error less what sampling alone would show"),
    _share("rms_ece", "RMS ECE", "root mean square over bins, so that large errors count more"),
    _share("mce", "Maximum CE", "the worst bin"),
    Metric("mce_rows", "Rows in the worst bin", "behind the maximum; of a few it is mostly chance", 0, 0),
    _share("classwise_ece", "Classwise ECE", "of the probabilities of every class, not of the answer's alone"),
    Metric("nll", "NLL", "surprise at the truth, in nats", -1, tasks=_ALL + _LABELS),
    _share("nll_share", "Share of the NLL", "what the rows whose truth was all but ruled out carry of it", 0, 1),
    Metric("nll_clipped", "NLL, clipped", "with no probability below 1e-15, as other tools have it", -1),
    Metric("brier", "Brier score", "squared distance of the probabilities from the truth", -1),
    Metric("brier_reliability", "Brier: reliability", "the part of it that comes from dishonest confidence", -1, 4),
    Metric("brier_resolution", "Brier: resolution", "what telling rows apart takes off it", 1),
    Metric("sharpness", "Sharpness", "how concentrated predictions are; a virtue only where they are honest", 0),
    _share("auroc_correct", "AUROC of being right", "of a right and a wrong answer, the right is more confident", 1, 1),
    Metric("aurc", "Risk-coverage area", "errors among the most confident answers, over all shares answered", -1, 4),
    # every class counts alike
    _share("balanced_accuracy", "Balanced accuracy", "mean over classes of the share found", 1, 1),
    _share("macro_f1", "Macro F1", "mean over classes of F1, which false answers lower, too", 1, 1),
    _share("base_rate", "Base rate", "how often always answering the most frequent class is right", 0, 1),
    _share("most_answered", "Most frequent answer", "share of the answers; 100 says nothing else", 0, 1),
    _share("nll_skill", "Log-loss skill", "what it takes off the NLL of saying the classes' frequencies", 1, 1),
    _share("recall", "Recall", "share of the rows of a class that are answered with it", 1, 1),
    _share("share", "Share", "share of the rows that are of a class", 0, 1),
    _share("answered", "Answered", "share of the rows that are answered with a class", 0, 1),
    Metric("temperature", "Temperature", "what logits are divided by; below 1 it sharpens, above 1 it softens", 0, 2),
    Metric("claimed", "Confidence", "mean confidence of answers that are about 90 % sure", 0),
    Metric("observed", "Right", "share of answers that are about 90 % sure and right", 0),
    Metric("count", "Rows", "how many rows stand behind a number", 0, 0),
    Metric("promised", "Promised coverage", "in how many of the rows sets are to hold the truth", 0, 1, "%"),
    Metric("coverage", "Coverage", "in how many of the rows sets hold the truth", 0, 1, "%", _ALL),
    Metric("size", "Set size", "classes in a set, on average", -1, 2),
    # P(y = 1)
    Metric("positive_brier", "Brier score of P(y = 1)", "squared distance of P(y = 1) from the truth", -1, tasks=_BOTH),
    _share("positive_ece", "ECE of P(y = 1)", "how far P(y = 1) is from the share of ones", tasks=_BOTH),
    _share("positive_adaptive_ece", "Adaptive ECE of P(y = 1)", "the same, over bins of equal numbers", tasks=_BOTH),
    _share("positive_smooth_ece", "Smooth ECE of P(y = 1)", "the same without bins", tasks=_BOTH),
    _share("labelwise_ece", "Labelwise ECE", "mean over the labels of each label's own", tasks=_LABELS),
    _share("auroc", "AUROC", "of a one and a zero, the one has the higher probability", 1, 1),
    _share("auprc", "AUPRC", "area under precision and recall", 1, 1),
    _share("macro_auroc", "AUROC, macro", "mean over labels, or over classes against the rest", 1, 1, _BOTH),
    _share("macro_auprc", "AUPRC, macro", "mean over labels, or over classes against the rest", 1, 1, _BOTH),
    # values
    _of_targets("rmse", "RMSE", "root mean squared error"),
    _of_targets("mae", "MAE", "mean absolute error"),
    _share("mape", "MAPE", "mean absolute error over the truth", -1, 1, _VALUES),
    Metric("r2", "R²", "share of the variance explained", 1, tasks=_VALUES),
    _of_targets("crps", "CRPS", "distance of the predicted distribution from the truth"),
    Metric("uce", "UCE", "how far claimed variances are from squared errors", -1, None, tasks=_VALUES),
    _share("ence", "ENCE", "the same for deviations, as a share of what was claimed", -1, 1, _VALUES),
    _share("quantile_calibration_error", "Quantile error", "levels of quantiles against shares below", tasks=_VALUES),
    _of_targets("pinball", "Pinball loss", "of all quantiles"),
    _share("coverage_90", "Coverage of 90 % intervals", "should be 90", 0, 1, _VALUES),
    _of_targets("width_90", "Width of 90 % intervals", "mean width", 0),
    _of_targets("gaussian_sharpness", "Sharpness", "root of the mean variance", 0),
    _of_targets("width", "Width of conformal intervals", "mean width", 0),
    # rows of no class, human labels
    _share("aupr", "AUPR", "area under precision and recall, test rows being those to find", 1, 1),
    _share("fpr95", "FPR", "share of foreign rows that pass where 95 % of the test rows do", -1, 1),
    Metric("cross_entropy", "Cross-entropy", "surprise at people's labels, in nats", -1),
    Metric("kl", "KL", "cross-entropy above people's own disagreement, in nats", -1),
    Metric("entropy", "Entropy of human labels", "people's disagreement, in nats", 0),
    Metric("total_variation", "Total variation", "share of probability that lies elsewhere than people's labels", -1),
    Metric("certain_total_variation", "Total variation of certainty", "of a sure answer with what most people say", 0),
    # a run
    Metric("cost", "Cost", "time of a training step over that of plain training", -1, 2, "×", _ALL),
    Metric("train_seconds", "Seconds", "how long the training took", -1, 1, tasks=_ALL),
    Metric("epoch", "Epoch kept", "counted from 1", 0, 0, tasks=_ALL),
    Metric("train_loss", "Training loss", "mean over the last epoch's steps, mixed rows included", 0, tasks=_ALL),
    Metric("strength", "Strength", "alpha or tau_max of the last epoch's mixing, where auto set it", 0),
    Metric("loss", "Loss", "mean over the rows, in nats for classes", -1, tasks=_ALL),
    # mixes
    _share("mixing", "Mixing", "mean share of the smaller parent", 0, 1, _MIXES),
    _share("label_mixing", "Label mixing", "the same, counting only parents of different classes", 0, 1, _MIXES),
    _share("different", "Different classes", "mixes whose parents are of different classes", 0, 1, _MIXES),
    _share("neither", "Neither parent's class", "the oracle sees the class of neither parent", -1, 1, _MIXES),
    _share("excess", "Avoidable error of the label", "beyond what any label of two classes must have", -1, 1, _MIXES),
    _share("hard", "Mass off the oracle's class", "what the label gives to other classes", -1, 1, _MIXES),
    _share("mass", "Mass off the oracle's answer", "total variation between label and oracle", -1, 1, _MIXES),
    _share("cut", "Cut", "the part of a control's wrong labels that the method avoids", 1, 0, _MIXES),
    Metric("mixes", "Mixes", "how many mixes of a method stand behind a number", 0, 0, tasks=_MIXES),
    Metric("distance", "Squared distance", "over its mean over random pairs", 0, 2, tasks=_MIXES),
    _share("moved_accuracy", "Accuracy with the best border", "where it is best on held-out rows", 1, 1, _MIXES),
    # Mixup's loss as a Taylor series
    Metric("clean_loss", "Clean loss", "of the training rows as they are", 0, tasks=_MIXES),
    Metric("mixup_loss", "Mixup's loss", "of the same rows on the way to their partners", 0, tasks=_MIXES),
    Metric("term", "Term", "what an order of the Taylor series adds to the clean loss", 0, tasks=_MIXES),
    Metric("term_size", "Size of the term of the loss", "mean over pairs of its absolute value", 0, tasks=_MIXES),
    Metric("output_size", "Size of the term of the outputs", "the same, of the network's outputs", 0, tasks=_MIXES),
    Metric("remainder", "Remainder", "Mixup's loss less its series up to an order", 0, tasks=_MIXES),
)  # fmt: skip
METRICS: Mapping[str, Metric] = {metric.key: metric for metric in _ENTRIES}

ACCURACY, ECE, SCALED_ECE = Column(METRICS["accuracy"]), Column(METRICS["ece"]), Column(METRICS["ece"], "scaled")
NLL, SCALED_NLL = Column(METRICS["nll"]), Column(METRICS["nll"], "scaled")
BRIER = Column(METRICS["brier"], name="Brier")
RMSE, MAE, R2 = Column(METRICS["rmse"]), Column(METRICS["mae"]), Column(METRICS["r2"])
ENCE, SCALED_ENCE = Column(METRICS["ence"]), Column(METRICS["ence"], "scaled")
COST = Column(METRICS["cost"])
