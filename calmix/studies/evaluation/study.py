"""Every number that predictions give, as one value.

n  test rows
m  rows of no class
K  classes, or labels of a multilabel model
d  targets of a row
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from math import nan
from pathlib import Path

import pandas as pd
from torch import Tensor

from calmix.errors import DataError, SettingError
from calmix.metrics import RowScores, human_label_metrics
from calmix.posthoc import CalibrationGaussian, fit_variance_scaling
from calmix.predictions import (
    CALIBRATORS,
    ClassPredictions,
    MultilabelPredictions,
    Predictions,
    RegressionPredictions,
    class_scores,
    multilabel_scores,
    ood_scores,
    regression_scores,
)
from calmix.predictions.scoring import Calibrator
from calmix.report.sentences import Advice
from calmix.results.catalogue import Column
from calmix.results.scores import PLAIN, Measured, Scores, nested
from calmix.studies.evaluation.given import Given, Values, given_of
from calmix.studies.evaluation.sentences import class_verdict, multilabel_verdict, regression_verdict
from calmix.studies.evaluation.tables import headings, metrics_table, rows_of

METHOD, SEED = "predictions", 0  # what the scores are labelled with
MOST_CLASSES = 100  # for matrix scaling, whose K^2 numbers would take long to fit and say little


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was given, what was measured, and the corrections that were fitted.

    scores: of the method "predictions" and seed 0. Conditions of class predictions: `plain`, as given; `scaled`,
    `vector`, `matrix` and `isotonic`, after each correction; `intervals/low` and `intervals/high`; `positive`, of the
    second of two classes; `sure`; `conformal`; `ood/NAME/SCORE`; `human_labels`; `by_class/0`, ..., of each class, and
    `by_class/0/scaled`, ..., after each correction. Of labels: `plain`, `by_label/0`, .... rows: of class predictions,
    what is known of each test row, `plain` and after each correction. corrections: from logits (n, K) to corrected
    ones, by the name of their condition. temperature: that of `scaled`. Without a calibration split there are neither.
    deviations: of a regression, the standard deviations, `plain` and `scaled`, as far as there are any.
    """

    given: Given
    bins: int
    scores: Scores
    rows: Mapping[str, RowScores] = field(default_factory=dict)
    corrections: Mapping[str, Calibrator] = field(default_factory=dict)
    temperature: float | None = None
    deviations: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def task(self) -> str:
        """classification, multilabel or regression."""
        test = self.given.test
        if isinstance(test, ClassPredictions):
            return "classification"
        return "multilabel" if isinstance(test, MultilabelPredictions) else "regression"

    @cached_property
    def measured(self) -> Measured:
        """The scores by condition and metric."""
        return self.scores.measured(METHOD, SEED)

    def value(self, metric: str, condition: str = "plain") -> float:
        """One number, as a fraction, not per cent. KeyError where it was not measured."""
        return self.measured[condition][metric]

    @cached_property
    def verdict(self) -> Advice:
        """What the numbers mean, in sentences."""
        test, calibration = self.given.test, self.given.calibration
        if isinstance(test, MultilabelPredictions):
            return multilabel_verdict(self.measured)
        if isinstance(test, RegressionPredictions):
            return regression_verdict(self.measured)
        confidence = self.rows["plain"].confidence.mean().item()
        rows = None if calibration is None else len(calibration)
        return class_verdict(self.measured, confidence, self.temperature, rows)

    def table(self) -> pd.DataFrame:
        """A row a metric, a column a correction, in the units of the labels."""
        rows = rows_of(self.measured)
        values = [[nan if value is None else metric.scale * value for value in row] for metric, row in rows.items()]
        index = pd.Index([Column(metric).label for metric in rows], name="metric")
        return pd.DataFrame(values, index, headings(self.measured, self.task == "regression"))

    def print(self) -> None:
        """The table and the verdict on stdout."""
        from calmix.studies.evaluation.page import print_evaluation  # which needs the packages that draw

        print_evaluation(self)

    def write_report(self, folder: Path | str) -> Path:
        """Write metrics.json, report.html and figures/. Return the path of the page.

        Raises:
            DataError: the folder holds results or cannot be written, or a metric is not finite.
        """
        from calmix.studies.evaluation.page import write_evaluation

        return write_evaluation(Path(folder), self)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        shown = metrics_table(self.measured, self.task == "regression")
        texts = [[f"{cell.value} {cell.spread}".strip() for cell in row.cells] for row in shown.rows]
        table = pd.DataFrame(texts, [row.method for row in shown.rows], list(shown.headings)).to_html()
        paragraphs = (self.verdict.headline, " ".join(self.verdict.reasons), " ".join(self.verdict.cautions))
        return "".join(f"<p>{escape(text)}</p>" for text in paragraphs if text) + table


def evaluate(
    predictions: Given | Predictions | None = None,
    *,
    probs: Values = None,
    logits: Values = None,
    labels: Values = None,
    mean: Values = None,
    std: Values = None,
    targets: Values = None,
    calibration: Predictions | tuple[Values, ...] | None = None,
    ood: Mapping[str, Values] | None = None,
    human_labels: Values = None,
    bins: int = 15,
) -> Evaluation:
    """All metrics of predictions, and those after each correction that other rows allow. Nothing is trained.

    Arrays are numpy arrays, tensors, or what numpy makes arrays of.

    Args:
        predictions: a value of `calmix.predictions`, or all that belongs together as `Given`; or else the arrays below.
        probs, logits: (n, K) probabilities of the classes, or logits; (n,) or (n, 1), of the second of two classes.
        labels: class ids (n,); or (n, K) of 0 and 1, any number of them a row.
        mean, std, targets: (n,) or (n, d) predicted numbers, their standard deviations if they are known, the truth.
        calibration: predictions of other rows, which corrections are fitted on: a value of `calmix.predictions`, or
            a tuple of arrays, `(probs, labels)`, `(logits, labels)` or `(mean, std, targets)`, as the test rows have.
        ood: by name, predictions (m, K) for rows that are of none of the classes: probabilities with `probs`, logits
            otherwise.
        human_labels: (n, K), how often people chose each class.
        bins: of every metric that has bins.

    Raises:
        SettingError: arguments that are missing, contradict each other or would be ignored.
        ShapeError: shapes that do not fit together.
        DataError: numbers that cannot be such predictions, or fewer rows than bins.

    >>> probs = [[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]]
    >>> evaluation = evaluate(probs=probs, labels=[0, 1, 1, 1], bins=4)
    >>> evaluation.value("accuracy"), float(evaluation.table().loc["Accuracy, %", "As given"])
    (0.75, 75.0)
    """
    given = given_of(
        predictions,
        probs=probs,
        logits=logits,
        labels=labels,
        mean=mean,
        std=std,
        targets=targets,
        calibration=calibration,
        ood=ood,
        human_labels=human_labels,
    )
    if bins < 1:
        raise SettingError(f"bins must be at least 1; got {bins}.")
    if len(given.test) < bins:
        raise DataError(f"{len(given.test)} rows cannot fill {bins} bins; give more rows, or fewer bins.")
    if isinstance(given.test, MultilabelPredictions):
        return Evaluation(given, bins, _scores(multilabel_scores(given.test, bins)))
    if isinstance(given.test, RegressionPredictions):
        held = given.calibration if isinstance(given.calibration, RegressionPredictions) else None
        scores = _scores(regression_scores(given.test, held, bins))
        return Evaluation(given, bins, scores, deviations=_deviations(given.test, held))
    return _of_classes(given, given.test, bins)


def _of_classes(given: Given, test: ClassPredictions, bins: int) -> Evaluation:
    few = test.num_classes <= MOST_CLASSES
    calibrators = {name: fit for name, fit in CALIBRATORS.items() if few or name != "matrix"}
    calibration = given.calibration if isinstance(given.calibration, ClassPredictions) else None
    found = class_scores(test, calibration, bins, calibrators)
    measured = dict(found.scores)
    for stage, table in found.tables.items():
        for number, error in enumerate(table.expected_errors().tolist()):
            condition = f"by_class/{number}"
            if condition in measured:
                numbers = measured.setdefault(condition if stage == PLAIN else f"{condition}/{stage}", {})
                numbers["classwise_ece"] = error
    for name, logits in given.ood.items():
        for score, numbers in ood_scores(test, logits).items():
            measured[f"ood/{name}/{score}"] = numbers
    if given.human_labels is not None:
        measured["human_labels"] = human_label_metrics(test.probs, given.human_labels)
    return Evaluation(given, bins, _scores(measured), found.rows, found.corrections, found.temperature)


def _deviations(test: RegressionPredictions, held: RegressionPredictions | None) -> dict[str, Tensor]:
    """Those that were given, and after variance scaling; the same factor as `regression_scores` fits."""
    if test.std is None:
        return {}
    std = test.std.double()
    if held is None or held.std is None:
        return {PLAIN: std}
    scaling = fit_variance_scaling(CalibrationGaussian(held.mean, held.std, held.targets))
    return {PLAIN: std, "scaled": scaling(std)}


def _scores(measured: Measured) -> Scores:
    return Scores.of([(METHOD, SEED, measured)])


def evaluation_json(evaluation: Evaluation) -> dict[str, object]:
    """What metrics.json holds: fractions, not per cent."""
    test = evaluation.given.test
    numbers: dict[str, object] = {"task": evaluation.task}
    if isinstance(test, ClassPredictions):
        numbers["classes"] = test.num_classes
    numbers |= {"rows": len(test), "bins": evaluation.bins}
    if evaluation.temperature is not None:
        numbers["temperature"] = evaluation.temperature
    return {**numbers, **nested(evaluation.measured)}
