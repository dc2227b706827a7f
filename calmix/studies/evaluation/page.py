"""An evaluation as a page, in the terminal, and on disk.

OUT/metrics.json  every number: task, classes, rows, bins, temperature, and the scores by condition
OUT/report.html   the same with what it means; OUT/figures/ holds its figures as PNG, SVG and CSV
"""

import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from calmix.errors import DataError
from calmix.metrics import RowScores, shift_scores
from calmix.predictions import ClassPredictions, MultilabelPredictions, RegressionPredictions
from calmix.report.drawing import AFTER, BEFORE
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
    prepare_positive,
    prepare_reliability,
    reliability_drawing,
)
from calmix.report.page import Page, PageTable, Section, write_page
from calmix.report.sentences import listed
from calmix.report.style import NAMED, Style
from calmix.report.tables import Cell, Row, Table
from calmix.report.terminal import Sheet, print_sheets
from calmix.results.catalogue import AFTER as AFTER_
from calmix.results.catalogue import METRICS, Column
from calmix.results.files import hold_folder, refuse_finished, write_json
from calmix.results.scores import PLAIN
from calmix.studies.evaluation.figures import SPREAD_CAPTION, prepare_deviation, prepare_quantile, spread_drawing
from calmix.studies.evaluation.study import METHOD, Evaluation, evaluation_json
from calmix.studies.evaluation.tables import MEANS, SQUARES, apart, metrics_table

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
        page = write_page(folder, evaluation_page(folder.name, evaluation, command))
        write_json(folder / "metrics.json", evaluation_json(evaluation))
    return page


def print_evaluation(evaluation: Evaluation) -> None:
    """The metrics and what they mean on stdout."""
    table = metrics_table(evaluation.measured, evaluation.task == "regression")
    title = f"calmix: {len(evaluation.given.test):,} rows"
    print_sheets([Sheet(title, table, table.notes, corner="Metric")], evaluation.verdict)


def evaluation_page(name: str, evaluation: Evaluation, command: Sequence[str] = ()) -> Page:
    """The page of one model's predictions."""
    said, test = evaluation.verdict, evaluation.given.test
    if isinstance(test, ClassPredictions):
        sections = _of_classes(evaluation, test)
    elif isinstance(test, MultilabelPredictions):
        sections = _of_labels(evaluation, test)
    else:
        sections = _of_numbers(test)
    table = metrics_table(evaluation.measured, evaluation.task == "regression", meanings=True)
    parts = apart(evaluation.measured, table)
    shown = [
        PageTable(
            label,
            part,
            corner="Metric",
            note=_NOTES.get(label, " ".join(table.notes)),
            prose=(len(table.headings) - 1,),
        )
        for label, part in parts.items()
    ]
    return Page(
        title=f"calmix: {name}",
        lead=[said.headline, " ".join(said.reasons)],
        cautions=" ".join(said.cautions),
        sections=[Section("", tables=shown), *sections],
        facts=_facts(evaluation),
        command=command,
        files=("metrics.json", "figures/"),
    )


_NOTES = {
    MEANS: "Means of absolute differences (L1).",
    SQUARES: "Root mean squares are never below means over the same bins: compare them with each other alone.",
}


# ----------------------------------------------------------------------------------------------- sections


def _of_classes(evaluation: Evaluation, test: ClassPredictions) -> list[Section]:
    bins, plain, scaling = evaluation.bins, evaluation.rows["plain"], evaluation.corrections.get("scaled")
    stages = {"": plain} if scaling is None else {BEFORE: plain, AFTER: evaluation.rows["scaled"]}
    stages |= {AFTER_[name]: rows for name, rows in evaluation.rows.items() if name not in (PLAIN, "scaled")}
    shown = [prepare_reliability(METHOD, stage, [rows], bins) for stage, rows in stages.items()]
    diagrams = [
        reliability_drawing(
            "reliability" if not first else f"reliability-{first // 2 + 1}", shown[first : first + 2], STYLE
        )
        for first in range(0, len(shown), 2)
    ]
    if test.num_classes == 2:
        logits = test.logits.double()
        probs = [found.softmax(1) for found in (logits, *([] if scaling is None else [scaling(logits)]))]
        positive = [
            prepare_positive("P(y = 1)", stage, p[:, 1], test.labels, bins)
            for stage, p in zip(stages, probs, strict=False)  # the first two
        ]
        diagrams.append(reliability_drawing("reliability-positive", positive, STYLE))
    return [
        Section("Reliability", RELIABILITY_CAPTION, diagrams),
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
    shown = prepare_positive("all labels", "", test.probs.flatten(), test.labels.flatten(), evaluation.bins)
    return [Section("Reliability", RELIABILITY_CAPTION, [reliability_drawing("reliability", [shown], STYLE)])]


def _of_numbers(test: RegressionPredictions) -> list[Section]:
    mean, targets = test.mean.double(), test.targets.double()
    dots = prepare_predicted(METHOD, [{"mean": mean.numpy(), "targets": targets.numpy()}])
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
    given, test = evaluation.given, evaluation.given.test
    names = "" if isinstance(test, RegressionPredictions) or not test.classes else f": {listed(test.classes)}"
    facts = {"Rows": f"{len(test):,}"}
    if isinstance(test, ClassPredictions):
        facts["Classes"] = f"{test.num_classes}{names}"
    elif isinstance(test, MultilabelPredictions):
        facts["Labels"] = f"{test.probs.shape[1]}{names}"
    facts["Bins"] = str(evaluation.bins)
    facts["Calibration"] = (
        "no predictions of other rows were given (--calibration FILE), so nothing was corrected"
        if given.calibration is None
        else f"{len(given.calibration):,} other rows, on which corrections were fitted"
    )
    if given.ood:
        facts["OOD sets"] = ", ".join(f"{name} ({len(rows):,} rows)" for name, rows in given.ood.items())
    if given.notices:
        facts["Notices"] = " ".join(given.notices)
    facts["Environment"] = f"calmix {version('calmix')}, torch {version('torch')}, numpy {np.__version__}"
    return facts
