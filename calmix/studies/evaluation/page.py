"""What predictions are worth: the page and the screen of `calmix evaluate`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from calmix.errors import DataError
from calmix.evaluation import Classified, Estimated, Evaluation, Multilabelled
from calmix.experiment.claims import claim
from calmix.experiment.record import Predictions, write_json
from calmix.report.figures.confidence import (
    CONFIDENCE_CAPTION,
    confidence_drawing,
    prepare_outside,
    prepare_right_wrong,
)
from calmix.report.figures.curves import curves_drawing, prepare_risk
from calmix.report.figures.drawing import AFTER, BEFORE
from calmix.report.figures.predicted import predicted_drawing, prepare_predicted
from calmix.report.figures.reliability import (
    RELIABILITY_CAPTION,
    prepare_positive,
    prepare_stage,
    reliability_drawing,
)
from calmix.report.figures.spread import SPREAD_CAPTION, prepare_deviation, prepare_quantile, spread_drawing
from calmix.report.page import Page, PageTable, Section, listed, write_page
from calmix.report.screen import print_sheet
from calmix.report.style import NAMED, Style
from calmix.report.tables import Cell, Row, Table, number
from calmix.report.words import Advice, in_a_hundred

STYLE = NAMED["sk_mixup"]
FEW = 100  # calibration rows, below which a correction may do harm
Numbers = Mapping[str, Any]


def write_evaluation(folder: Path, evaluation: Evaluation, command: Sequence[str] = ()) -> Path:
    """Write metrics.json, report.html and figures/ to `folder`; the path of the page.

    Raises:
        DataError: `folder` cannot be written, or a metric is not finite.
    """
    try:
        json.dumps(evaluation.metrics, allow_nan=False)
    except ValueError:
        raise DataError("a metric is not finite; look for predictions or deviations of extreme size.") from None
    page = write_page(folder, evaluation_page(folder.name, evaluation, command))
    try:
        write_json(folder / "metrics.json", evaluation.metrics)
    except OSError as error:
        raise DataError(f"cannot write to {folder}: {error.strerror or error}; give another --out.") from None
    return page


def print_evaluation(evaluation: Evaluation) -> None:
    """The metrics and what they say on stdout."""
    table = metrics_table(evaluation)
    notes = _notes(evaluation, table, best="* The")
    title = f"calmix: {evaluation.metrics['rows']:,} rows"
    print_sheet(title, table, notes, judgement(evaluation), corner="Metric")


def evaluation_page(name: str, evaluation: Evaluation, command: Sequence[str] = ()) -> Page:
    """The page of one model's predictions."""
    said, test = judgement(evaluation), evaluation.given.test
    if isinstance(test, Classified):
        sections = _classified(evaluation, test)
    elif isinstance(test, Multilabelled):
        sections = _multilabelled(evaluation, test)
    else:
        sections = _estimated(evaluation, test)
    meanings = metrics_table(evaluation, meanings=True)
    note = " ".join(_notes(evaluation, meanings, best="Bold: the"))
    table = PageTable("Metrics", meanings, corner="Metric", note=note, prose=(len(meanings.headings) - 1,))
    return Page(
        title=f"calmix: {name}",
        lead=[said.headline, " ".join(said.reasons)],
        cautions=" ".join(said.cautions),
        sections=[Section("", tables=[table]), *sections],
        facts=_facts(evaluation),
        command=command,
    )


# ------------------------------------------------------------------------------------------------ numbers


@dataclass(frozen=True)
class Metric:
    """How a number is shown, and what it says."""

    title: str
    meaning: str
    better: Literal[-1, 0, 1] = -1  # 0: neither more nor less is better by itself
    digits: int | None = 3  # None: in the unit of the targets, with four digits that count
    percent: bool = False

    @property
    def heading(self) -> str:
        unit, arrow = ",\u00a0%" if self.percent else "", {-1: "\u00a0↓", 0: "", 1: "\u00a0↑"}[self.better]
        return f"{self.title}{unit}{arrow}"

    def shown(self, value: float) -> str:
        if self.digits is None:
            return f"{value:.4g}".replace("-", "−")
        return number(100 * value if self.percent else value, self.digits)


def _share(title: str, meaning: str, better: Literal[-1, 0, 1] = -1, digits: int = 2) -> Metric:
    return Metric(title, meaning, better, digits, percent=True)


METRICS: dict[str, Metric] = {
    "accuracy": _share("Accuracy", "answers that are right", 1, 1),
    "exact_match": _share("Exact match", "rows all of whose labels are right", 1, 1),
    "label_accuracy": _share("Label accuracy", "labels that are right", 1, 1),
    "ece": _share("ECE", "how far confidence is from accuracy, on average over bins of confidence"),
    "adaptive_ece": _share("Adaptive ECE", "the same, over bins of equally many rows"),
    "smooth_ece": _share("Smooth ECE", "the same without bins"),
    "debiased_ece": _share("Debiased ECE", "root-mean-square error less what sampling alone would show"),
    "rms_ece": _share("RMS ECE", "root mean square over bins, so that large errors count more"),
    "mce": _share("Maximum CE", "the worst bin"),
    "classwise_ece": _share("Classwise ECE", "of the probabilities of every class, not of the answer's alone"),
    "nll": Metric("NLL", "surprise at the truth, in nats"),
    "brier": Metric("Brier score", "squared distance of the probabilities from the truth"),
    "brier_reliability": Metric("Brier: reliability", "the part of it that comes from dishonest confidence", digits=4),
    "brier_resolution": Metric("Brier: resolution", "what telling rows apart takes off it", 1),
    "sharpness": Metric("Sharpness", "how concentrated probabilities are; a virtue only where they are honest", 0),
    "auroc_correct": _share("AUROC of being right", "of a right and a wrong answer, the right is more confident", 1, 1),
    "aurc": Metric("Risk-coverage area", "errors among the most confident answers, over all shares answered", -1, 4),
    "positive_brier": Metric("Brier score of P(y = 1)", "squared distance of P(y = 1) from the truth"),
    "positive_ece": _share("ECE of P(y = 1)", "how far P(y = 1) is from the share of ones"),
    "positive_adaptive_ece": _share("Adaptive ECE of P(y = 1)", "the same, over bins of equally many rows"),
    "positive_smooth_ece": _share("Smooth ECE of P(y = 1)", "the same without bins"),
    "labelwise_ece": _share("Labelwise ECE", "mean over the labels of each label's own"),
    "auroc": _share("AUROC", "of a one and a zero, the one has the higher probability", 1, 1),
    "auprc": _share("AUPRC", "area under precision and recall", 1, 1),
    "macro_auroc": _share("AUROC, macro", "mean over labels", 1, 1),
    "macro_auprc": _share("AUPRC, macro", "mean over labels", 1, 1),
    "rmse": Metric("RMSE", "root mean squared error, in the unit of the targets", digits=None),
    "mae": Metric("MAE", "mean absolute error, in the unit of the targets", digits=None),
    "mape": _share("MAPE", "mean absolute error over the truth", -1, 1),
    "r2": Metric("R²", "share of the variance explained", 1),
    "crps": Metric(
        "CRPS", "distance of the predicted distribution from the truth, in the unit of the targets", digits=None
    ),
    "uce": Metric("UCE", "how far claimed variances are from squared errors, in the squared unit", digits=None),
    "ence": _share("ENCE", "the same for deviations, as a share of what was claimed", -1, 1),
    "quantile_calibration_error": _share("Quantile error", "how far levels of quantiles are from shares below"),
    "pinball": Metric("Pinball loss", "of all quantiles, in the unit of the targets", digits=None),
    "coverage_90": _share("Coverage of 90 % intervals", "should be 90", 0, 1),
    "width_90": Metric("Width of 90 % intervals", "in the unit of the targets", 0, None),
}
_OF_ESTIMATES = ("rmse", "mae", "mape", "r2", "nll", "crps", "pinball", "uce", "ence", "quantile_calibration_error")
ESTIMATED: dict[str, Metric] = {
    **{name: METRICS[name] for name in (*_OF_ESTIMATES, "coverage_90", "width_90")},
    "nll": Metric("NLL", "surprise at the truth under the predicted distribution, in nats"),
    "sharpness": Metric("Sharpness", "root of the mean variance, in the unit of the targets", 0, None),
}
_CORRECTIONS = {
    "scaled": "Temperature",
    "vector": "Vector scaling",
    "matrix": "Matrix scaling",
    "isotonic": "Isotonic",
}


def metrics_table(evaluation: Evaluation, meanings: bool = False) -> Table:
    """A row a metric, a column a correction; with `meanings`, a last column that says what the metric is."""
    numbers, estimated = evaluation.metrics, isinstance(evaluation.given.test, Estimated)
    metrics = ESTIMATED if estimated else METRICS
    names = {name: "Variance scaling" if estimated else title for name, title in _CORRECTIONS.items()}
    sources = {"As given": numbers, **{title: numbers[name] for name, title in names.items() if name in numbers}}
    rows = []
    for name, metric in metrics.items():
        found = [_value(source, name) for source in sources.values()]
        if found[0] is None:
            continue
        shown = [metric.shown(value) if value is not None else "" for value in found]
        best = _best(metric, [value for value in found if value is not None])
        cells = [Cell(text, best=text != "" and text == best) for text in shown]
        interval = numbers.get("intervals", {}).get(name)
        if interval is not None:
            low, high = map(metric.shown, interval)
            cells[0] = Cell(shown[0], f"[{low}, {high}]", cells[0].best)
        rows.append(Row(metric.heading, [*cells, *([Cell(metric.meaning)] if meanings else [])]))
    return Table([*sources, *(["What it is"] if meanings else [])], rows, [])


def _notes(evaluation: Evaluation, table: Table, best: str) -> list[str]:
    several = any(cell.best for row in table.rows for cell in row.cells)
    notes = [f"{best} best of a row; corrections were fitted on other rows."] if several else []
    if "intervals" in evaluation.metrics:
        notes.append("In brackets the 95 % bootstrap interval over rows.")
    return notes


def _value(numbers: Numbers, name: str) -> float | None:
    return numbers.get(name, numbers.get("positive", {}).get(name))


def _best(metric: Metric, values: Sequence[float]) -> str:
    """As it is shown; none of a single value, and where neither more nor less is better."""
    if len(values) < 2 or not metric.better:
        return ""
    return metric.shown(max(values, key=lambda value: metric.better * value))


# --------------------------------------------------------------------------------------------------- words


def judgement(evaluation: Evaluation) -> Advice:
    """The numbers in plain sentences, for people who do not know what ECE is."""
    test = evaluation.given.test
    if isinstance(test, Classified):
        return _of_classes(evaluation, test)
    if isinstance(test, Multilabelled):
        return _of_labels(evaluation.metrics)
    return _of_estimates(evaluation.metrics)


_ROWS_ONLY = (
    "This is one set of predictions: intervals speak of other rows of this kind, not of training the network again."
)


def _of_classes(evaluation: Evaluation, test: Classified) -> Advice:
    numbers = evaluation.metrics
    right, error = 100 * numbers["accuracy"], 100 * numbers["ece"]
    low = 100 * numbers["intervals"]["ece"][0]
    lean = 100 * (test.probs.amax(1).mean().item() - numbers["accuracy"])
    if low <= 0:
        manner = "its confidence cannot be told from honest"
    elif abs(lean) < 0.5 * error:
        manner = f"its confidence is off by {number(error, 1)} points"
    else:
        manner = f"it is {number(abs(lean), 1)} points too {'sure' if lean > 0 else 'unsure'} of itself"
    said = []
    about = claim([_arrays(test.probs, test.labels)])
    if about is not None:
        said.append(f"When it says about 90 %, it is right {in_a_hundred(about.observed)} times in a hundred.")
    if "scaled" in numbers:
        after, divisor = 100 * numbers["scaled"]["ece"], numbers["temperature"]
        said.append(
            f"Its confidence is off by {number(error, 1)} points on average; after temperature scaling, which divides "
            f"logits by one number ({number(divisor, 2)}) fitted on held-out rows, by {number(after, 1)}."
        )
    if 0 < numbers["accuracy"] < 1:
        said.append(
            "Of a right and a wrong answer, the right one is the more confident in "
            f"{100 * numbers['auroc_correct']:.0f} of 100 pairs (chance: 50)."
        )
    if "conformal" in numbers:
        sets = numbers["conformal"]
        said.append(
            f"Sets of classes that are to hold the truth in {100 * sets['promised']:.0f} of 100 rows hold it in "
            f"{number(100 * sets['coverage'], 1)}, with {number(sets['size'], 2)} classes on average."
        )
    for name, scores in numbers.get("ood", {}).items():
        auroc = 100 * scores["max_probability"]["auroc"]
        said.append(f"It is less sure of a row of {name} than of a test row in {auroc:.0f} of 100 pairs.")
    if "votes" in numbers:
        wrong = 100 * numbers["votes"]["total_variation"]
        said.append(f"Of its probability, {number(wrong, 1)} % lies elsewhere than people's votes.")
    calibration, cautions = evaluation.given.calibration, [_ROWS_ONLY]
    if calibration is not None and len(calibration) < FEW:
        cautions.append(f"Corrections fitted on {len(calibration)} rows may do harm; {FEW} or more are advised.")
    return Advice(f"Right {number(right, 1)} times in a hundred, and {manner}.", said, cautions)


def _of_labels(numbers: Numbers) -> Advice:
    headline = (
        f"{number(100 * numbers['label_accuracy'], 1)} of 100 labels are right, and probabilities are off by "
        f"{number(100 * numbers['positive_ece'], 1)} points."
    )
    said = f"All labels of a row are right in {number(100 * numbers['exact_match'], 1)} of 100 rows."
    return Advice(headline, [said], [_ROWS_ONLY])


def _of_estimates(numbers: Numbers) -> Advice:
    headline = f"Off by {METRICS['rmse'].shown(numbers['rmse'])} (root mean square), in the unit of the targets."
    if "coverage_90" not in numbers:
        said = "No standard deviations were given, so nothing can be said about honesty."
        return Advice(headline, [said], [_ROWS_ONLY])
    said = [f"Intervals that are to hold 90 of 100 true values hold {number(100 * numbers['coverage_90'], 1)}."]
    if "scaled" in numbers:
        after = number(100 * numbers["scaled"]["coverage_90"], 1)
        said.append(f"After one factor for all deviations, fitted on held-out rows, they hold {after}.")
    if "conformal" in numbers:
        held = number(100 * numbers["conformal"]["coverage"], 1)
        said.append(f"Conformal intervals, which promise 90 whatever the model, hold {held}.")
    off = number(100 * numbers["ence"], 0)
    said.append(f"Rows with similar deviations are off by {off} % more or less than they claim, on average.")
    return Advice(headline, said, [_ROWS_ONLY])


# ------------------------------------------------------------------------------------------------- figures

_NAME = "predictions"
_LOOKS: Mapping[str, Style] = {_NAME: STYLE}


def _arrays(probs: Tensor, labels: Tensor) -> Predictions:
    return {"probs": probs.numpy(), "labels": labels.numpy()}


def _classified(evaluation: Evaluation, test: Classified) -> list[Section]:
    bins, known = evaluation.metrics["bins"], _arrays(test.probs, test.labels)
    scaled = evaluation.corrected.get("scaled")
    stages = {BEFORE if scaled is not None else "": test.probs}
    if scaled is not None:
        stages[AFTER] = scaled.softmax(1)
    shown = [prepare_stage(_NAME, stage, probs, test.labels, bins) for stage, probs in stages.items()]
    diagrams = [reliability_drawing("reliability", shown, STYLE)]
    if test.logits.shape[1] == 2:
        positive = [prepare_positive("P(y = 1)", stage, p[:, 1], test.labels, bins) for stage, p in stages.items()]
        diagrams.append(reliability_drawing("reliability-positive", positive, STYLE))
    return [
        Section("Reliability", RELIABILITY_CAPTION, diagrams),
        Section(
            "Confidence of right and of wrong answers",
            f"{CONFIDENCE_CAPTION} The other figure: which share of the answers is wrong, if only the most confident "
            "rows are answered and the others are left to a human.",
            [
                confidence_drawing("confidence", [prepare_right_wrong(_NAME, [known])], _LOOKS),
                curves_drawing("risk-coverage", [prepare_risk(_NAME, [0], [known])], _LOOKS),
            ],
        ),
        *_outside(evaluation, known),
        *_votes(evaluation.metrics),
    ]


def _outside(evaluation: Evaluation, known: Predictions) -> list[Section]:
    if not evaluation.given.outside:
        return []
    drawings, rows = [], []
    for name, logits in evaluation.given.outside.items():
        both = {**known, f"outside_{name}_logits": logits.double().numpy()}
        drawings.append(confidence_drawing(f"outside-{name}", [prepare_outside(_NAME, [both], name)], _LOOKS))
        for score, found in evaluation.metrics["ood"][name].items():
            cells = [Cell(number(100 * found[metric], 1)) for metric in ("auroc", "aupr", "fpr95")]
            rows.append(Row(f"{name}, {score.replace('_', ' ')}", cells))
    table = Table(["AUROC, % ↑", "AUPR, % ↑", "FPR at 95 %, % ↓"], rows, [])
    return [
        Section(
            "Told apart from what it never saw",
            "Rows that belong to none of the classes. A score of confidence should be lower on them than on the test "
            "rows. AUROC: how often it is, of one row each (50 % is chance); AUPR: the area under precision and "
            "recall, test rows being those to find; FPR: the share of foreign rows that pass where 95 % of the test "
            "rows do.",
            drawings,
            [PageTable("Detection", table, corner="Set and score")],
        )
    ]


def _votes(numbers: Numbers) -> list[Section]:
    if "votes" not in numbers:
        return []
    votes = numbers["votes"]
    certain = number(100 * votes["certain_total_variation"], 1)
    rows = [
        Row("Cross-entropy, nats ↓", [Cell(number(votes["cross_entropy"], 3)), Cell(number(votes["entropy"], 3))]),
        Row("KL divergence, nats ↓", [Cell(number(votes["kl"], 3)), Cell(number(0, 3))]),
        Row("Total variation, % ↓", [Cell(number(100 * votes["total_variation"], 1)), Cell(number(0, 1))]),
    ]
    caption = (
        "People's votes are the true probabilities, and the distance of the predictions from them needs no bins. "
        "The cross-entropy of perfect predictions is the disagreement of the people. Who always answers what most "
        f"people say, and is certain of it, has a total variation of {certain} %."
    )
    table = PageTable("Distance from people's votes", Table(["Predictions", "At best"], rows, []), corner="Distance")
    return [Section("Against what people see", caption, tables=[table])]


def _multilabelled(evaluation: Evaluation, test: Multilabelled) -> list[Section]:
    bins = evaluation.metrics["bins"]
    shown = prepare_positive("all labels", "", test.probs.flatten(), test.labels.flatten(), bins)
    return [Section("Reliability", RELIABILITY_CAPTION, [reliability_drawing("reliability", [shown], STYLE)])]


def _estimated(evaluation: Evaluation, test: Estimated) -> list[Section]:
    mean, targets = test.mean.double(), test.targets.double()
    dots = prepare_predicted(_NAME, [{"mean": mean.numpy(), "targets": targets.numpy()}])
    limits = float(min(mean.min(), targets.min())), float(max(mean.max(), targets.max()))
    sections = [
        Section(
            "Predicted against observed",
            "A dot is a row; on the dashed line the prediction is right.",
            [predicted_drawing("predicted", dots, limits, STYLE)],
        )
    ]
    if test.std is not None:
        given = mean, test.std.double(), targets
        spread = spread_drawing("spread", prepare_deviation(*given), prepare_quantile(*given), STYLE)
        sections.append(Section("Standard deviations", SPREAD_CAPTION, [spread]))
    return sections


# --------------------------------------------------------------------------------------------------- facts


def _facts(evaluation: Evaluation) -> dict[str, str]:
    given, numbers = evaluation.given, evaluation.metrics
    classes = [] if isinstance(given.test, Estimated) else given.test.classes
    facts = {
        "Rows": f"{len(given.test):,}",
        "Classes": f"{numbers['classes']}{': ' + listed(classes) if classes else ''}" if "classes" in numbers else "",
        "Labels": listed(classes) if isinstance(given.test, Multilabelled) else "",
        "Bins": str(numbers["bins"]) if "bins" in numbers else "",
        "Calibration": f"{len(given.calibration):,} other rows, on which corrections were fitted"
        if given.calibration is not None
        else "no other rows were given, so nothing could be corrected; give them with --calibration FILE",
        "Foreign rows": ", ".join(f"{name} {len(logits):,}" for name, logits in given.outside.items()),
        "Environment": f"calmix {version('calmix')}, torch {version('torch')}, numpy {np.__version__}",
    }
    return {name: fact for name, fact in facts.items() if fact}
