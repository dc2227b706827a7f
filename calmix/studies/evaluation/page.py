"""An evaluation as a page, in the terminal, and on disk.

OUT/metrics.json  every number: task, classes, rows, bins, temperature, and the scores by condition
OUT/report.html   the same with what it means; OUT/figures/ holds its figures as PNG, SVG and CSV
"""

import datetime
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from calmix.errors import DataError
from calmix.metrics import RowScores, shift_scores
from calmix.predictions import ClassPredictions, MultilabelPredictions, RegressionPredictions
from calmix.report.drawing import Drawing
from calmix.report.figures.by_class import MATRIX_CAPTION, confusion_drawing, count_pairs, prepare_confusion
from calmix.report.figures.confidence import (
    CONFIDENCE_CAPTION,
    confidence_drawing,
    prepare_ood,
    prepare_right_wrong,
)
from calmix.report.figures.curves import curves_drawing, prepare_risk
from calmix.report.figures.predicted import predicted_drawing, prepare_predicted
from calmix.report.figures.reliability import (
    RELIABILITY_CAPTION,
    Reliability,
    prepare_positive,
    prepare_reliability,
    reliability_drawing,
    small_drawing,
)
from calmix.report.page import Page, PageTable, Section, write_page
from calmix.report.sentences import listed
from calmix.report.style import NAMED, Style
from calmix.report.tables import Cell, Row, Table
from calmix.report.terminal import Sheet, print_sheets
from calmix.results.catalogue import METRICS, Column
from calmix.results.files import hold_folder, refuse_finished, write_json
from calmix.results.scores import PLAIN
from calmix.studies.evaluation.classes import (
    CLASSES_CAPTION,
    COLUMNS_CAPTION,
    LABELS_CAPTION,
    LISTED,
    POOLED_CAPTION,
    class_diagrams,
    classes_table,
    label_diagrams,
    labels_table,
    which,
    worst_first,
)
from calmix.studies.evaluation.figures import SPREAD_CAPTION, prepare_deviation, prepare_quantile, spread_drawing
from calmix.studies.evaluation.residuals import (
    RESIDUALS_CAPTION,
    STANDARDISED_CAPTION,
    prepare_residuals,
    prepare_standardised,
    residuals_drawing,
    standardised_drawing,
)
from calmix.studies.evaluation.study import METHOD, Evaluation, evaluation_json
from calmix.studies.evaluation.tables import ALONE, MEANS, OTHERS, SQUARES, apart, metrics_table, stage, summary_table

STYLE = NAMED["sk_mixup"]
_LOOKS: Mapping[str, Style] = {METHOD: STYLE}


def write_evaluation(folder: Path, evaluation: Evaluation, command: Sequence[str] = ()) -> Path:
    """Write metrics.json, report.html and figures/ to `folder`; the path of the page.

    Raises:
        DataError: `folder` holds results or cannot be written, or a metric is not finite.
    """
    wild = [
        f"{c} {m}"
        for c, metrics in evaluation.measured.items()
        for m, value in metrics.items()
        if not math.isfinite(value)
    ]
    if wild:
        raise DataError(
            f"{listed(wild, 5)} is not finite; look for predictions or standard deviations of extreme size."
        )
    with hold_folder(folder):
        refuse_finished(folder, "give another --out")
        page = write_page(folder, evaluation_page(folder.name, evaluation, command, datetime.date.today().isoformat()))
        write_json(folder / "metrics.json", evaluation_json(evaluation))
    return page


def print_evaluation(evaluation: Evaluation) -> None:
    """The metrics and what they mean on stdout."""
    table = metrics_table(evaluation.measured, evaluation.task == "regression")
    title = f"calmix: {len(evaluation.given.test):,} rows"
    print_sheets([Sheet(title, table, table.notes, corner="Metric")], evaluation.verdict)


def evaluation_page(name: str, evaluation: Evaluation, command: Sequence[str] = (), date: str = "") -> Page:
    """The page of one model's predictions. date: of the evaluation, YYYY-MM-DD."""
    said, test = evaluation.verdict, evaluation.given.test
    if isinstance(test, ClassPredictions):
        sections = _of_classes(evaluation, test)
    elif isinstance(test, MultilabelPredictions):
        sections = _of_labels(evaluation, test)
    else:
        sections = _of_numbers(evaluation, test)
    return Page(
        title=f"calmix: {name}",
        lead=[said.headline, " ".join(said.reasons)],
        cautions=" ".join(said.cautions),
        sections=[Section("", tables=[_summary(evaluation)]), *sections, _all_metrics(evaluation)],
        facts=_facts(evaluation),
        command=command,
        date=date,
        files=("metrics.json", "figures/"),
    )


def _summary(evaluation: Evaluation) -> PageTable:
    table = summary_table(evaluation.measured, evaluation.task == "regression")
    return PageTable("Summary", table, corner="Predictions", note=" ".join(table.notes), stacked=True)


def _all_metrics(evaluation: Evaluation) -> Section:
    table = metrics_table(evaluation.measured, evaluation.task == "regression", meanings=True)
    shown = [
        PageTable(label, part, corner="Metric", note=_NOTES[label], prose=(len(part.headings) - 1,))
        for label, part in apart(evaluation.measured, table).items()
    ]
    return Section("All metrics", " ".join(table.notes), tables=shown)


_NOTES = {
    OTHERS: "",
    MEANS: "Means of absolute differences (L1).",
    SQUARES: "Root mean squares are never below means over the same bins: compare them with each other alone.",
    ALONE: "These were measured without corrections.",
}


# ----------------------------------------------------------------------------------------------- sections


def _of_classes(evaluation: Evaluation, test: ClassPredictions) -> list[Section]:
    plain = evaluation.rows[PLAIN]
    shown = [
        prepare_reliability(METHOD, stage(name), [rows], evaluation.bins) for name, rows in evaluation.rows.items()
    ]
    return [
        Section("Reliability", RELIABILITY_CAPTION, _pairs("reliability", shown)),
        *_positive(evaluation, test),
        *_by_class(evaluation, test),
        Section(
            "Confidence of right and of wrong answers",
            f"{CONFIDENCE_CAPTION} The other figure: which share of the answers is wrong, if only the most confident "
            "rows are answered and the others are left to a human.",
            [
                confidence_drawing("confidence", [prepare_right_wrong(METHOD, [plain])], _LOOKS),
                curves_drawing("risk-coverage", [prepare_risk(METHOD, [0], [plain])], _LOOKS),
            ],
        ),
        *_ood(evaluation, plain),
        *_human_labels(evaluation),
    ]


def _pairs(name: str, shown: Sequence[Reliability]) -> list[Drawing]:
    """Two diagrams a figure."""
    return [
        reliability_drawing(name if not first else f"{name}-{first // 2 + 1}", shown[first : first + 2], STYLE)
        for first in range(0, len(shown), 2)
    ]


def _positive(evaluation: Evaluation, test: ClassPredictions) -> list[Section]:
    """P(y = 1) of two classes, as given and after each correction."""
    if test.num_classes != 2:
        return []
    logits = test.logits.double()
    stages = {PLAIN: logits, **{name: correct(logits) for name, correct in evaluation.corrections.items()}}
    shown = [
        prepare_positive("P(y = 1)", stage(name), found.softmax(1)[:, 1].clamp(max=1), test.labels, evaluation.bins)
        for name, found in stages.items()
    ]
    of = f", here {test.classes[1]}" if test.classes else ""
    caption = (
        f"The same of the probability of the second class{of}: a bar is the share of the rows in that bin that are of "
        "this class."
    )
    return [Section("Reliability of P(y = 1)", caption, _pairs("reliability-positive", shown))]


def _by_class(evaluation: Evaluation, test: ClassPredictions) -> list[Section]:
    """Diagrams, numbers and answers class by class; nothing of very many classes."""
    order = worst_first(evaluation.measured, "by_class")
    if not order:
        return []
    drawings = []
    if test.num_classes > 2:  # of two, P(y = 1) has a section of its own
        shown = class_diagrams(test, order, evaluation.bins)
        drawings = [small_drawing("classes", "Reliability by class, with ECE", shown, STYLE)]
    answers = test.outputs.argmax(1).numpy()
    counts = count_pairs(test.labels.numpy(), answers, test.num_classes)
    confusion = prepare_confusion(METHOD, test.classes, [counts])
    table = PageTable("Classes", classes_table(evaluation.measured, test.classes, order), corner="Class", stacked=True)
    drawings.append(confusion_drawing("confusion", confusion))
    drawn = f"{CLASSES_CAPTION} {which(len(order), 'class')}" if test.num_classes > 2 else ""
    caption = f"{drawn} {MATRIX_CAPTION.format(mean='')} {COLUMNS_CAPTION}".strip()
    many = len(order) > LISTED
    return [
        Section("Class by class", caption, drawings, [] if many else [table]),
        *([Section("Every class as numbers", tables=[table], folded=True)] if many else []),
    ]


def _ood(evaluation: Evaluation, plain: RowScores) -> list[Section]:
    if not evaluation.given.ood:
        return []
    drawings, rows = [], []
    metrics = [METRICS[key] for key in ("auroc", "aupr", "fpr95")]
    for name, logits in evaluation.given.ood.items():
        shown = prepare_ood(METHOD, [plain], name, [shift_scores([logits])["max_probability"]])
        drawings.append(confidence_drawing(f"ood-{name}", [shown], _LOOKS))
        for score in evaluation.scores.conditions(f"ood/{name}"):
            found = evaluation.measured[f"ood/{name}/{score}"]
            cells = [Cell(metric.text(found[metric.key])) for metric in metrics]
            rows.append(Row(f"{name}, {score.replace('_', ' ')}", cells))
    table = Table([Column(metric).heading for metric in metrics], rows, [])
    return [
        Section(
            "Out of distribution",
            "Foreign rows belong to none of the classes. A score of confidence should be lower on them than on test "
            "rows. AUROC: how often a random test row scores higher than a random foreign row (50 % is chance). AUPR: "
            "the area under precision and recall, where test rows are to be found. FPR: the share of foreign rows "
            "above the threshold that 95 % of the test rows pass.",
            drawings,
            [PageTable("Detection", table, corner="Set and score")],
        )
    ]


def _human_labels(evaluation: Evaluation) -> list[Section]:
    if "human_labels" not in evaluation.measured:
        return []
    found = evaluation.measured["human_labels"]
    floors = {"cross_entropy": found["entropy"], "kl": 0.0, "total_variation": 0.0}
    rows = [
        Row(Column(METRICS[key]).heading, [Cell(METRICS[key].text(value)) for value in (found[key], floor)])
        for key, floor in floors.items()
    ]
    certain = METRICS["certain_total_variation"].text(found["certain_total_variation"])
    caption = (
        "People's labels are taken as the true probabilities, and the distance of the predictions from them needs no "
        "bins. The cross-entropy of perfect predictions is the disagreement of the people, in nats. Predictions that "
        f"always say what most people say, with certainty, have a total variation of {certain}."
    )
    table = PageTable("Distance from people's labels", Table(["Predictions", "At best"], rows, []), corner="Distance")
    return [Section("Against what people see", caption, tables=[table])]


def _of_labels(evaluation: Evaluation, test: MultilabelPredictions) -> list[Section]:
    pooled = prepare_positive("all labels", "", test.probs.flatten(), test.labels.flatten(), evaluation.bins)
    sections = [Section("Reliability", POOLED_CAPTION, [reliability_drawing("reliability", [pooled], STYLE)])]
    order = worst_first(evaluation.measured, "by_label")
    if not order:
        return sections
    shown = label_diagrams(test, order, evaluation.bins)
    table = PageTable("Labels", labels_table(evaluation.measured, test.classes, order), corner="Label")
    caption, many = f"{LABELS_CAPTION} {which(len(order), 'label')}", len(order) > LISTED
    drawings = [small_drawing("labels", "Reliability by label, with ECE", shown, STYLE)]
    sections.append(Section("Label by label", caption, drawings, [] if many else [table]))
    return sections + ([Section("Every label as numbers", tables=[table], folded=True)] if many else [])


def _of_numbers(evaluation: Evaluation, test: RegressionPredictions) -> list[Section]:
    mean, targets = test.mean.double(), test.targets.double()
    dots = prepare_predicted(METHOD, [{"mean": mean.numpy(), "targets": targets.numpy()}])
    limits = float(min(mean.min(), targets.min())), float(max(mean.max(), targets.max()))
    drawings = [
        predicted_drawing("predicted", dots, limits, STYLE),
        residuals_drawing("residuals", prepare_residuals(mean, targets), STYLE),
    ]
    sections = [Section("Predicted values and residuals", RESIDUALS_CAPTION, drawings)]
    spreads, standardised = [], []
    for condition, std in evaluation.deviations.items():
        when, end = ("as given", "") if condition == PLAIN else ("after variance scaling", f"-{condition}")
        given = mean, std, targets
        spreads.append(spread_drawing(f"spread{end}", prepare_deviation(*given), prepare_quantile(*given), STYLE, when))
        standardised.append(standardised_drawing(f"standardised{end}", prepare_standardised(when, *given), STYLE))
    if spreads:
        sections.append(Section("Standard deviations", SPREAD_CAPTION, spreads))
        sections.append(Section("Standardised residuals", STANDARDISED_CAPTION, standardised))
    return sections


# --------------------------------------------------------------------------------------------------- facts


def _facts(evaluation: Evaluation) -> dict[str, str]:
    given, test = evaluation.given, evaluation.given.test
    names = "" if isinstance(test, RegressionPredictions) or not test.classes else f": {listed(test.classes)}"
    facts = {"Rows": f"{len(test):,}"}
    if isinstance(test, ClassPredictions):
        facts["Classes"] = f"{test.num_classes}{names}"
    elif isinstance(test, MultilabelPredictions):
        facts["Labels"] = f"{test.probs.shape[1]}{names}"
    facts["Bins"] = str(evaluation.bins)
    if given.calibration is not None:
        facts["Calibration"] = f"{len(given.calibration):,} other rows, on which corrections were fitted"
    elif not isinstance(test, MultilabelPredictions):
        facts["Calibration"] = "no predictions of other rows were given (--calibration FILE), so nothing was corrected"
    if given.ood:
        facts["OOD sets"] = ", ".join(f"{name} ({len(rows):,} rows)" for name, rows in given.ood.items())
    if given.notices:
        facts["Notices"] = " ".join(given.notices)
    facts["Environment"] = f"calmix {version('calmix')}, torch {version('torch')}, numpy {np.__version__}"
    return facts
