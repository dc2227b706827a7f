"""The page of a comparison: which method to take, the numbers behind it, and what they look like."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Literal

from calmix.experiment.record import Record, read_predictions, slug
from calmix.experiment.shift import CORRUPTED_ROWS
from calmix.experiment.statistics import interval, paired_difference
from calmix.report.figures.confidence import (
    CONFIDENCE_CAPTION,
    confidence_drawing,
    prepare_outside,
    prepare_right_wrong,
)
from calmix.report.figures.curves import (
    CORRUPTED_ACCURACY,
    CORRUPTED_ECE,
    LEARNING_ACCURACY,
    LEARNING_LOSS,
    Quantity,
    curves_drawing,
    prepare_corruption,
    prepare_learning,
    prepare_risk,
)
from calmix.report.figures.dots import dots_drawing, prepare_dot
from calmix.report.figures.drawing import AFTER, BEFORE, TOGETHER, Drawing
from calmix.report.figures.points import Scatter, points_drawing, prepare_points
from calmix.report.figures.predicted import predicted_drawing, prepare_predicted
from calmix.report.figures.quantile import prepare_quantiles, quantiles_drawing
from calmix.report.figures.reliability import RELIABILITY_CAPTION, prepare_reliability, reliability_drawing
from calmix.report.page import Page, PageTable, Section, listed, write_page
from calmix.report.results import Results, read_results
from calmix.report.style import Style, styles
from calmix.report.tables import (
    ACCURACY,
    COST,
    ECE,
    SCALED_ECE,
    Cell,
    Column,
    Row,
    Table,
    columns_of,
    difference_table,
    evidence_table,
    named,
    number,
    seeds,
    summary_table,
)
from calmix.report.words import advice


def write_report(folder: Path) -> Path:
    """Draw the comparison in `folder`: report.html, and figures/ with each figure as PNG, SVG and CSV.

    Returns the path of the page. Raises DataError where `folder` holds no finished comparison or cannot be written.
    """
    return write_page(folder, comparison_page(folder, read_results(folder)))


def comparison_page(folder: Path, results: Results) -> Page:
    """The page of `results`, whose predictions lie in `folder`."""
    verdict = advice(results)
    figures = _regression(folder, results) if results.regression else _classification(folder, results)
    return Page(
        title=f"calmix: {results.data.name}",
        lead=[verdict.headline, " ".join(verdict.reasons)],
        cautions=" ".join(verdict.cautions),
        sections=[Section("", tables=[_means(results)]), *figures, *_differences(results)],
        facts=_facts(results),
        command=results.command,
        made=[_how(results)],
    )


# ------------------------------------------------------------------------------------------------ tables


def _means(results: Results) -> PageTable:
    bold = ["Bold: the best mean of a column."] if len(results.methods) > 1 else []
    table = summary_table(results)
    return PageTable("Results", table, note=" ".join([*bold, *table.notes]))


def _differences(results: Results) -> list[Section]:
    """Seed by seed, from each of those whom methods are compared to."""
    if len(results.methods) == 1:
        return []
    intervals = (
        "; in brackets the 95 % interval of the mean difference. What runs of a seed share (splits, initial weights, "
        "order of the rows) cancels out, so these intervals are the ones to compare methods by"
    )
    several = intervals if results.seeds > 1 else ""
    tables = []
    for other in results.references:
        label = f"From {named(other)}"
        note = f"A method minus {named(other)}, seed by seed{several}."
        tables.append(PageTable(label, difference_table(results, other), note=note, stacked=True))
    if results.seeds > 1:
        column = columns_of(results)[0] if results.regression else ECE
        evidence = evidence_table(results, column)
        label = f"{column.title} from {named(results.reference)}, as other tests see it"
        tables.append(PageTable(label, evidence, note=" ".join(evidence.notes), stacked=True))
    return [Section("Differences, seed by seed", tables=tables)]


def _how(results: Results) -> PageTable:
    headings = ["Made by", *([] if results.regression else ["Temperature"]), "Epoch kept", "Seconds"]
    rows = []
    for summary in results.methods:
        runs = results.runs_of(summary.method)
        temperatures = [run.temperature for run in runs if run.temperature is not None]
        values = [
            summary.code,
            *([] if results.regression else [f"{fmean(temperatures):.2f}"]),
            _span([run.epoch for run in runs]),
            f"{fmean(run.train_seconds for run in runs):.1f}",
        ]
        rows.append(Row(summary.method, [Cell(value) for value in values]))
    return PageTable("How each method is made", Table(headings, rows, []), code=(0,))


def _span(values: Sequence[int]) -> str:
    return f"{min(values)}–{max(values)}" if min(values) < max(values) else str(values[0])


_BATCH_NORM = {
    "mixed": "Running statistics follow the rows of each method's main batch; further clean passes never move them.",
    "clean": "Running statistics follow a clean pass in every step of every method.",
    "both": "Running statistics follow the main batch and a clean pass, in every step of every method.",
}


def _facts(results: Results) -> dict[str, str]:
    data, best = results.data, results.fit["select"] == "best"
    kept = "The epoch of the lowest validation loss is kept." if best else "The last epoch is kept."
    facts = {
        "Data": f"{data.name}: {data.source}",
        "Rows": ", ".join(f"{part} {size}" for part, size in data.sizes.items()),
        "Shape of a row": " × ".join(map(str, data.shape)),
        "Columns": listed(data.features),
        "Classes": f"{len(data.classes)}: {listed(data.classes)}" if data.classes else "",
        "Notices": " ".join(data.notices),
        "Seeds": f"{seeds(results.seeds)}, counted from 0. Runs of one seed share splits, initial weights and the "
        "order of the rows.",
        "Network": results.model,
        "Training": ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in results.fit.items()),
        "Epoch": f"{kept} The test split chooses nothing.",
        "Temperature": ""
        if results.regression
        else "Fitted on the calibration split, one for each run; the table above shows the mean. Below 1 it sharpens, "
        "above 1 it softens.",
        "Batch norm": _BATCH_NORM[results.fit["batch_norm"]] if results.runs[0].has("refreshed") else "",
        "Environment": ", ".join(f"{name} {value}" for name, value in results.environment.items()),
    }
    return {name: fact for name, fact in facts.items() if fact}


# ---------------------------------------------------------------------------------------------- figures


def _classification(folder: Path, results: Results) -> list[Section]:
    looks = styles(summary.method for summary in results.methods)
    diagrams, sure, risks = [], [], []
    for summary in results.methods:
        runs = results.runs_of(summary.method)
        predictions = [read_predictions(folder, run) for run in runs]
        stages = prepare_reliability(summary.method, predictions)
        diagrams.append(reliability_drawing(_name("reliability", summary.method), stages, looks[summary.method]))
        sure.append(prepare_right_wrong(summary.method, predictions))
        risks.append(prepare_risk(summary.method, [run.seed for run in runs], predictions))
    return [
        Section("Reliability", RELIABILITY_CAPTION + _POOLED_CAPTION, diagrams),
        Section(
            "Confidence of right and of wrong answers",
            f"{CONFIDENCE_CAPTION} The other figure: which share of the answers is wrong, if only the most confident "
            f"rows are answered and the others are left to a human. Lower is better. {_LINES_CAPTION}",
            [confidence_drawing("confidence", sure, looks), curves_drawing("risk-coverage", risks, looks)],
        ),
        Section(
            "Accuracy, calibration error and cost",
            "Accuracy: higher is better; calibration error and cost (the time of a training step over that of plain "
            "training): lower is better. Filled: as trained; hollow: after temperature scaling, which never changes "
            "the accuracy. Crosses are 95 % intervals over seeds, cut where no value is possible.",
            [
                points_drawing("accuracy-ece", [_errors(results, ACCURACY)], looks),
                points_drawing("cost", [_scatter(results, COST, ACCURACY), _errors(results, COST)], looks),
            ],
        ),
        *_outside(folder, results, looks),
        *_corruptions(folder, results, looks),
        *_votes(results),
        *_quantiles(results),
        Section(
            "Learning curves",
            _CURVES_CAPTION,
            [_learning(results, quantity, looks) for quantity in (LEARNING_LOSS, LEARNING_ACCURACY)],
        ),
    ]


def _quantiles(results: Results) -> list[Section]:
    """Where methods that mix near or far pairs alone take part."""
    points = prepare_quantiles(results.runs, ("accuracy", "ece", "scaled.ece"))
    if not points:
        return []
    caption = (
        "Networks that mixed only pairs nearer than a quantile of the batch's distances, only farther ones, or all "
        "(dashed, with its interval as a band). Bars are 95 % intervals over seeds."
    )
    return [Section("Near pairs, far pairs, all pairs", caption, [quantiles_drawing("quantiles", points)])]


def _regression(folder: Path, results: Results) -> list[Section]:
    looks = styles(summary.method for summary in results.methods)
    dots = [
        prepare_predicted(summary.method, [read_predictions(folder, run) for run in results.runs_of(summary.method)])
        for summary in results.methods
    ]
    limits = (
        min(float(min(data.predicted.min(), data.observed.min())) for data in dots),
        max(float(max(data.predicted.max(), data.observed.max())) for data in dots),
    )
    return [
        Section(
            "Predicted against observed",
            "A dot is a test row of one seed, in the unit of the target; all panels have the same axes. On the dashed "
            "line the prediction is right. A cloud flatter than the line means predictions that shrink to the mean.",
            [predicted_drawing(_name("predicted", data.method), data, limits, looks[data.method]) for data in dots],
        ),
        Section(
            "Error against cost",
            "Left and down is better. Cost is the time of a training step over that of plain training. "
            "Crosses are 95 % intervals over seeds.",
            [points_drawing("rmse-cost", [_scatter(results, COST, columns_of(results)[0])], looks)],
        ),
        Section("Learning curves", _CURVES_CAPTION, [_learning(results, LEARNING_LOSS, looks)]),
    ]


_POOLED_CAPTION = (
    " The rows of all seeds are pooled, so these errors differ a little from the table's means over seeds."
)
_LINES_CAPTION = (
    f"A thin line is a seed, the thick one their mean; of more than {TOGETHER} methods each has its own panel, before "
    "the means of all others in grey."
)
_CURVES_CAPTION = (
    f"On the validation split, where every method faces the same unmixed rows. {_LINES_CAPTION} The training loss is "
    "not shown: methods mix their targets differently, so it cannot be compared."
)


def _learning(results: Results, quantity: Quantity, looks: Mapping[str, Style]) -> Drawing:
    curves = [prepare_learning(results.runs_of(summary.method), quantity) for summary in results.methods]
    return curves_drawing(f"learning-{quantity.name}", curves, looks)


def _scatter(results: Results, x: Column, y: Column) -> Scatter:
    return Scatter(prepare_points(results.methods, x, y), x, y)


def _errors(results: Results, x: Column) -> Scatter:
    """The calibration error before and after temperature, against x."""
    before = prepare_points(results.methods, x, ECE, BEFORE)
    return Scatter([*before, *prepare_points(results.methods, x, SCALED_ECE, AFTER)], x, ECE)


# --------------------------------------------------------------------------- what was asked for beyond the test split


def _outside(folder: Path, results: Results, looks: Mapping[str, Style]) -> list[Section]:
    """Rows of none of the classes."""
    sections = []
    for name, scores in results.runs[0].metrics.get("ood", {}).items():
        dots = [
            prepare_dot(results.runs_of(summary.method), score.replace("_", " "), f"ood.{name}.{score}.auroc", 100)
            for score in scores
            for summary in results.methods
        ]
        columns = [
            Column(f"ood.{name}.{score}.{metric}", f"{title} {score.replace('_', ' ')}", better, 1, "%")
            for metric, title, better in _DETECTION
            for score in scores
        ]
        shown = [
            prepare_outside(
                summary.method, [read_predictions(folder, run) for run in results.runs_of(summary.method)], name
            )
            for summary in results.methods
        ]
        sections.append(
            Section(
                f"Told apart from what it never saw: {name}",
                f"Rows of {name} belong to none of the classes. A score of confidence should be lower on them than on "
                "the test rows. AUROC: how often it is, of one row each (50 % is chance, 100 % never errs); AUPR: the "
                "area under precision and recall, test rows being those to find; FPR: the share of foreign rows that "
                "pass where 95 % of the test rows do.",
                [
                    dots_drawing(f"outside-{name}", "AUROC, %", dots, looks),
                    confidence_drawing(f"outside-{name}-confidence", shown, looks),
                ],
                [
                    PageTable(
                        f"Detection of {name}", _table(results, _stored(columns)), note=_marks(results), stacked=True
                    )
                ],
            )
        )
    return sections


_DETECTION: tuple[tuple[str, str, Literal[-1, 1]], ...] = (
    ("auroc", "AUROC", 1),
    ("aupr", "AUPR", 1),
    ("fpr95", "FPR", -1),
)


def _corruptions(folder: Path, results: Results, looks: Mapping[str, Style]) -> list[Section]:
    families = list(results.runs[0].metrics.get("corruptions", {}))
    if not families:
        return []
    runs_of = [results.runs_of(summary.method) for summary in results.methods]
    by_method = [(runs, [read_predictions(folder, run) for run in runs]) for runs in runs_of]
    drawings, tables = [], []
    for quantity, title, better in _DAMAGED:
        curves = [prepare_corruption(runs, said, quantity) for runs, said in by_method]
        drawings.append(curves_drawing(f"corruptions-{quantity.name}", curves, looks))
        columns = {
            Column(family, family.replace("_", " "), better, 1, "%"): partial(_over_severities, family, quantity.name)
            for family in families
        }
        note = f"{title}, mean over the five severities. {_marks(results)}"
        tables.append(PageTable(f"{title} by kind of damage", _table(results, columns), note=note, stacked=True))
    return [
        Section(
            "Corrupted test images",
            f"The same {CORRUPTED_ROWS:,} test rows at most, clean and damaged at five severities; the mean over "
            f"{len(families)} kinds of damage. Calibrated networks lose confidence as they lose accuracy. "
            f"{_LINES_CAPTION}",
            drawings,
            tables,
        )
    ]


_DAMAGED: tuple[tuple[Quantity, str, Literal[-1, 1]], ...] = (
    (CORRUPTED_ACCURACY, "Accuracy", 1),
    (CORRUPTED_ECE, "Calibration error (ECE)", -1),
)


def _over_severities(family: str, metric: str, run: Record) -> float:
    return fmean(part[metric] for part in run.metrics["corruptions"][family].values())


def _votes(results: Results) -> list[Section]:
    if not results.runs[0].has("votes.kl"):
        return []
    columns = [
        Column("votes.cross_entropy", "Cross-entropy", -1, 3),
        Column("votes.kl", "KL", -1, 3),
        Column("votes.total_variation", "Total variation", -1, 3),
    ]
    floor, certain = (fmean(run.value(f"votes.{name}") for run in results.runs) for name in _FLOORS)
    return [
        Section(
            "Against what people see",
            "People were shown the same test images, and did not always agree: their votes are the true probabilities, "
            "and the distance of the predictions from them needs no bins. Cross-entropy cannot fall below "
            f"{number(floor, 3)}, the disagreement of the people; KL is what is above. Total variation is the share of "
            "probability in the wrong place; who always answers what most people say, and is certain of it, has "
            f"{number(certain, 3)}.",
            tables=[PageTable("Distance from people's votes", _table(results, _stored(columns)), note=_marks(results))],
        )
    ]


_FLOORS = ("entropy", "certain_total_variation")


Measure = Callable[[Record], float]


def _stored(columns: Sequence[Column]) -> dict[Column, Measure]:
    """Columns that are named as runs name their metrics."""

    def measure(column: Column) -> Measure:
        return lambda run: run.value(column.name)

    return {column: measure(column) for column in columns}


def _table(results: Results, columns: Mapping[Column, Measure]) -> Table:
    """A row a method: means over seeds of what is measured on every run."""
    cells: dict[str, list[Cell]] = {summary.method: [] for summary in results.methods}
    for column, measure in columns.items():
        values = {method: [measure(run) for run in results.runs_of(method)] for method in cells}
        means = {method: column.shown(interval(found)) for method, found in values.items()}
        best = max((round(mean.mean, column.digits) for mean in means.values()), key=lambda mean: mean * column.better)
        for method, mean in means.items():
            spread = f"± {number(mean.half_width, column.digits)}" if mean.count > 1 else ""
            is_best = len(cells) > 1 and round(mean.mean, column.digits) == best
            verdict = column.verdict(paired_difference(values[method], values[results.reference]))
            cells[method].append(Cell(number(mean.mean, column.digits), spread, is_best, verdict))
    return Table([column.heading for column in columns], [Row(*row) for row in cells.items()], [])


def _marks(results: Results) -> str:
    if results.seeds == 1 or len(results.methods) == 1:
        return ""
    return (
        f"Means over {results.seeds} seeds ± half of the 95 % interval. ▲ better, ▼ worse than "
        f"{named(results.reference)}: the 95 % interval of the difference, paired by seed, excludes zero."
    )


def _name(kind: str, method: str) -> str:
    return f"{kind}-{slug(method, 0).removesuffix('-seed0')}"
