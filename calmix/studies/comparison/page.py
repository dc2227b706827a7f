"""The page of a comparison: which method to take, the numbers behind it, and what they look like."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from calmix.data.corruptions import CORRUPTED_ROWS
from calmix.report.columns import columns_section
from calmix.report.drawing import AFTER, BEFORE, TOGETHER
from calmix.report.figures.by_class import (
    CLASSES_CAPTION,
    COUNTED,
    MATRIX_CAPTION,
    MOST_MATRICES,
    Confusion,
    base_rate,
    class_table,
    confusion_drawing,
    counts_of,
    prepare_confusion,
)
from calmix.report.figures.confidence import (
    CONFIDENCE_CAPTION,
    confidence_drawing,
    prepare_ood,
    prepare_right_wrong,
)
from calmix.report.figures.curves import Quantity, curves_drawing, prepare_risk
from calmix.report.figures.predicted import predicted_drawing, prepare_predicted
from calmix.report.figures.reliability import (
    ENOUGH,
    RELIABILITY_CAPTION,
    prepare_reliability,
    reliability_drawing,
)
from calmix.report.page import Page, PageTable, Section
from calmix.report.sentences import called, counted, listed, named
from calmix.report.style import Style, styles
from calmix.report.tables import Cell, Row, Table
from calmix.results.catalogue import ACCURACY, COST, ECE, METRICS, SCALED_ECE, Column, number
from calmix.results.files import NamedArrays, slug
from calmix.results.machines import UNKNOWN, runs_by_machine
from calmix.results.records import Record
from calmix.results.scores import Scores
from calmix.results.store import Results
from calmix.studies.comparison.answers import Answers, answers_of
from calmix.studies.comparison.cautions import MOST_MACHINES
from calmix.studies.comparison.curves import (
    CORRUPTED_ACCURACY,
    CORRUPTED_ECE,
    LEARNING_ACCURACY,
    LEARNING_LOSS,
    prepare_corruption,
    prepare_learning,
)
from calmix.studies.comparison.described import described
from calmix.studies.comparison.dots import dots_drawing, prepare_dots
from calmix.studies.comparison.forest import forest_caption, forest_drawing, prepare_forest
from calmix.studies.comparison.mistakes import Mistakes
from calmix.studies.comparison.mistakes_shown import mistakes_section
from calmix.studies.comparison.points import Scatter, points_drawing, prepare_points
from calmix.studies.comparison.quantile import prepare_quantiles, quantiles_drawing
from calmix.studies.comparison.sentences import advice
from calmix.studies.comparison.tables import (
    columns_of,
    difference_table,
    evidence_table,
    marks_note,
    means_table,
    summary_table,
)
from calmix.studies.comparison.wording import of_the_difference, of_the_mean, one_round, rounds

PredictionsOf = Callable[[Record], NamedArrays]
AllAnswers = Mapping[str, Sequence[Answers]]  # by method, in the order of the seeds
MOST_SEEDS = 25  # whose runs are drawn; more could not be told apart, and a page would hold megabytes of them


def comparison_page(results: Results, predictions_of: PredictionsOf, mistakes: Mistakes | None = None) -> Page:
    """The page of a comparison. The predictions of a run that is drawn are asked for once."""
    verdict = advice(results)
    figures = _regression if results.regression else _classification
    return Page(
        title=f"calmix: {results.facts.data.name}",
        lead=[verdict.headline, " ".join(verdict.reasons)],
        cautions=" ".join(verdict.cautions),
        sections=[
            Section("", tables=[_summary(results)]),
            *_differences(results),
            *_methods(results),
            *figures(results, predictions_of),
            *mistakes_section(results, mistakes),
            *columns_section(results.facts.data.columns),
        ],
        facts=_facts(results),
        command=results.facts.command,
        made=[_how(results)],
        date=results.facts.date,
        files=("results.json", "results.csv", *(["mistakes.json"] if mistakes else []), "figures/"),
    )


# ------------------------------------------------------------------------------------------------ tables


def _means(results: Results, columns: Sequence[Column]) -> Table:
    return means_table(results.scores, results.reference, columns)


def _summary(results: Results) -> PageTable:
    bold = ["Bold: the best mean of a column."] if len(results.methods) > 1 else []
    table = summary_table(results)
    return PageTable("Results", table, note=" ".join([*bold, *table.notes]))


def _differences(results: Results) -> list[Section]:
    """The main picture, and the same as numbers: from each of those whom methods are compared to."""
    if len(results.methods) == 1:
        return []
    reference, looks = results.reference, styles(results.methods)
    columns = [column for column in columns_of(results) if column is not COST]
    forest = Section(
        f"How far from {called(reference)}",
        forest_caption(results),
        [
            forest_drawing(prepare_forest(results.scores, reference, column, MOST_SEEDS), reference, column, looks)
            for column in columns
        ],
    )
    return [forest, Section("Differences as numbers", tables=_difference_tables(results), folded=True)]


def _difference_tables(results: Results) -> list[PageTable]:
    """Seed by seed."""
    intervals = (
        f"; in brackets {of_the_difference(results)}. What runs of a {one_round(results)} share (splits, initial "
        "weights, order of the rows) cancels out, so these intervals are the ones to compare methods by"
    )
    several = intervals if results.seeds > 1 else ""
    tables = []
    for other in results.references:
        label = f"From {named(other)}"
        note = f"A method minus {named(other)}, {one_round(results)} by {one_round(results)}{several}."
        tables.append(PageTable(label, difference_table(results, other), note=note, stacked=True))
    if results.seeds > 1:
        column = columns_of(results)[0] if results.regression else ECE
        evidence = evidence_table(results, column)
        label = f"{column.title} from {named(results.reference)}, as other tests see it"
        tables.append(PageTable(label, evidence, note=" ".join(evidence.notes), stacked=True))
    return tables


def _methods(results: Results) -> list[Section]:
    """Each method in a sentence, with its paper and the options that are not its defaults."""
    said = {method: described(method, results.of_method(method)[0].repr) for method in results.methods}
    terms = {method: text for method, text in said.items() if text}
    return [Section("The methods", terms=terms)] if terms else []


def _how(results: Results) -> PageTable:
    moving = ["Strength at the end"] if any(record.strength is not None for record in results.records) else []
    headings = ["Made by", *([] if results.regression else ["Temperature"]), *moving, "Epoch kept", "Seconds"]
    rows = []
    for method in results.methods:
        records = results.of_method(method)
        temperatures = [record.temperature for record in records if record.temperature is not None]
        strengths = [record.strength for record in records if record.strength is not None]
        values = [
            records[0].repr,
            *([] if results.regression else [f"{fmean(temperatures):.2f}"]),
            *([f"{min(strengths):.2g} to {max(strengths):.2g}" if strengths else ""] if moving else []),
            _span([record.epoch for record in records]),
            f"{fmean(record.train_seconds for record in records):.1f}",
        ]
        rows.append(Row(method, [Cell(value) for value in values]))
    return PageTable("How each method is made", Table(headings, rows, []), code=(0,))


def _rounds(results: Results) -> str:
    shared = f"Runs of one {one_round(results)} share splits, initial weights and the order of the rows."
    if not results.facts.data.folds:
        return f"{rounds(results)}, counted from 0. {shared}"
    return (
        f"{rounds(results)}, stratified by class: every row is tested once a round, by networks that saw it neither in "
        f"training nor on the validation or calibration split, which are drawn from the other folds. {shared}"
    )


def _span(values: Sequence[int]) -> str:
    return f"{min(values)}–{max(values)}" if min(values) < max(values) else str(values[0])


def _machines(results: Results) -> str:
    """Where the runs were carried out; nothing where none of them says so."""
    counts = runs_by_machine(record.machine for record in results.records)
    if set(counts) <= {None}:
        return ""
    if len(counts) == 1:
        return f"All runs: {next(iter(counts))}."
    return listed(
        [f"{counted(count, 'run')}: {machine or UNKNOWN}" for machine, count in counts.items()], MOST_MACHINES
    )


_BATCH_NORM = {
    "mixed": "Running statistics follow the rows of each method's main batch; further clean passes never move them.",
    "clean": "Running statistics follow a clean pass in every step of every method.",
    "both": "Running statistics follow the main batch and a clean pass, in every step of every method.",
}


def _facts(results: Results) -> dict[str, str]:
    facts, settings = results.facts, results.facts.settings
    data, best = facts.data, settings.get("select") == "best"
    kept = "The epoch of the lowest validation loss is kept." if best else "The last epoch is kept."
    shown = {
        "Data": f"{data.name}: {data.source}",
        "Rows": ", ".join(f"{part} {size}" for part, size in data.sizes.items()),
        "Shape of a row": " × ".join(map(str, data.shape)),
        "Columns": listed(data.features),
        "Classes": f"{len(data.classes)}: {listed(data.classes)}" if data.classes else "",
        "Notices": " ".join(data.notices),
        "Folds" if data.folds else "Seeds": _rounds(results),
        "Network": facts.model,
        "Training": ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items()),
        "Epoch": f"{kept} The test split chooses nothing.",
        "Temperature": ""
        if results.regression
        else "Fitted on the calibration split, one for each run; the table above shows the mean. Below 1 it sharpens, "
        "above 1 it softens.",
        "Batch norm": _BATCH_NORM.get(str(settings.get("batch_norm")), "")
        if "refreshed" in results.scores.conditions()
        else "",
        "Machines": _machines(results),
        "Environment": ", ".join(f"{name} {value}" for name, value in facts.environment.items()),
    }
    return {name: fact for name, fact in shown.items() if fact}


# ---------------------------------------------------------------------------------------------- figures


def _classification(results: Results, predictions_of: PredictionsOf) -> list[Section]:
    looks, scores, drawn = styles(results.methods), results.scores, _drawn(results)
    answers: dict[str, list[Answers]] = {method: [] for method in drawn.methods}
    counts: dict[str, list[NDArray[np.int64]]] = {method: [] for method in drawn.methods}
    for record in drawn.compared:
        predictions = predictions_of(record)
        answers[record.method].append(answers_of(predictions))
        if predictions["probs"].shape[1] <= COUNTED:
            counts[record.method].append(counts_of(predictions))
    classes = results.facts.data.classes
    confusions = [prepare_confusion(method, classes, found) for method, found in counts.items() if found]
    diagrams, sure, risks = [], [], []
    for method, said in answers.items():
        before = [one.before for one in said]
        stages = (
            prepare_reliability(method, BEFORE, before, error=_mean(scores, method, ECE)),
            prepare_reliability(method, AFTER, [one.after for one in said], error=_mean(scores, method, SCALED_ECE)),
        )
        diagrams.append(reliability_drawing(_name("reliability", method), stages, looks[method]))
        sure.append(prepare_right_wrong(method, before))
        risks.append(prepare_risk(method, drawn.scores.seeds_of(method), before))
    return [
        Section("Reliability", f"{RELIABILITY_CAPTION}{_pooled(results)}", diagrams),
        Section(
            "Confidence of right and of wrong answers",
            f"{CONFIDENCE_CAPTION} The other figure: which share of the answers is wrong, if only the most confident "
            f"rows are answered and the others are left to a human. Lower is better. {_lines(results)}",
            [confidence_drawing("confidence", sure, looks), curves_drawing("risk-coverage", risks, looks)],
        ),
        Section(
            "Accuracy, calibration error and cost",
            "Accuracy: higher is better; calibration error and cost (the time of a training step over that of plain "
            "training): lower is better. Filled: as trained; hollow: after temperature scaling, which never changes "
            f"the accuracy. Crosses are 95 % intervals over {one_round(results)}s, cut where no value is possible.",
            [
                points_drawing("accuracy-ece", [_errors(scores, ACCURACY)], looks),
                points_drawing("cost", [_scatter(scores, COST, ACCURACY), _errors(scores, COST)], looks),
            ],
        ),
        *_by_class(results, confusions),
        *_ood(results, answers, looks),
        *_corruptions(results, drawn.scores, answers, looks),
        *_human_labels(results),
        *_quantiles(results),
        *_learning(drawn, (LEARNING_LOSS, LEARNING_ACCURACY), looks),
    ]


def _by_class(results: Results, confusions: Sequence[Confusion]) -> list[Section]:
    """How many of each class are found, and what they are taken for; nothing of very many classes."""
    if not confusions:
        return []
    frequent, base = base_rate(confusions[0])
    table = class_table(confusions)
    mean = f"the mean over {one_round(results)}s ({MOST_SEEDS} at most)"
    caption = CLASSES_CAPTION.format(frequent=frequent, base=number(100 * base, 1), mean=mean)
    shown = PageTable("Recall by class", table, corner="Class", note=" ".join(table.notes))
    drawings = [confusion_drawing(_name("confusion", one.method), one) for one in confusions[:MOST_MATRICES]]
    return [
        Section("Class by class", caption, tables=[shown]),
        Section("What is taken for what", MATRIX_CAPTION.format(mean=f", {mean}"), drawings, folded=True),
    ]


def _mean(scores: Scores, method: str, column: Column) -> float:
    return scores.interval(method, column.key, column.condition).mean


def _drawn(results: Results) -> Results:
    """The first MOST_SEEDS seeds."""
    first = results.scores.seeds[:MOST_SEEDS]
    return replace(results, records=[record for record in results.compared if record.seed in first])


def _quantiles(results: Results) -> list[Section]:
    """Where methods that mix near or far pairs alone take part."""
    points = prepare_quantiles(results.scores)
    if not points:
        return []
    caption = (
        "Networks that mixed only pairs nearer than a quantile of the batch's distances, only farther ones, or all "
        f"(dashed, with its interval as a band). Bars are 95 % intervals over {one_round(results)}s."
    )
    return [Section("Near pairs, far pairs, all pairs", caption, [quantiles_drawing("quantiles", points)])]


def _regression(results: Results, predictions_of: PredictionsOf) -> list[Section]:
    looks, drawn = styles(results.methods), _drawn(results)
    dots = [
        prepare_predicted(method, [predictions_of(record) for record in drawn.of_method(method)])
        for method in drawn.methods
    ]
    limits = (
        min(float(min(data.predicted.min(), data.observed.min())) for data in dots),
        max(float(max(data.predicted.max(), data.observed.max())) for data in dots),
    )
    return [
        Section(
            "Predicted against observed",
            f"A dot is a test row of one {one_round(results)} ({MOST_SEEDS} at most), in the unit of the target; all "
            "panels have the same axes. On the dashed line the prediction is right. A cloud flatter than the line "
            "means predictions that shrink to the mean.",
            [predicted_drawing(_name("predicted", data.method), data, limits, looks[data.method]) for data in dots],
        ),
        Section(
            "Error against cost",
            "Left and down is better. Cost is the time of a training step over that of plain training. "
            f"Crosses are 95 % intervals over {one_round(results)}s.",
            [points_drawing("rmse-cost", [_scatter(results.scores, COST, columns_of(results)[0])], looks)],
        ),
        *_learning(drawn, (LEARNING_LOSS,), looks),
    ]


def _pooled(results: Results) -> str:
    one = one_round(results)
    if results.seeds == 1:
        return ""
    return (
        f" Bars and line are of the rows of all {one}s together ({MOST_SEEDS} at most), and the band reaches from the "
        f"lowest to the highest {one}, where at least two have {ENOUGH} rows. ECE is the mean over all {one}s, as in "
        f"the table: {one}s that err to opposite sides cancel out in the bars, and not in it."
    )


def _lines(results: Results) -> str:
    return (
        f"A thin line is a {one_round(results)} ({MOST_SEEDS} at most), the thick one their mean; of more than "
        f"{TOGETHER} methods each has its own panel, before the means of all others in grey."
    )


def _learning(results: Results, quantities: Sequence[Quantity], looks: Mapping[str, Style]) -> list[Section]:
    """Nothing where all validation rows were trained on."""
    if not any(epoch.validation for record in results.records for epoch in record.history):
        return []
    text = (
        f"On the validation split, where every method faces the same unmixed rows. {_lines(results)} The training loss "
        "is not shown: methods mix their targets differently, so it cannot be compared. The axis shows where the "
        "curves end; what they begin with may lie beyond it."
    )
    drawings = [
        curves_drawing(
            f"learning-{quantity.name}",
            [prepare_learning(results.of_method(method), quantity) for method in results.methods],
            looks,
        )
        for quantity in quantities
    ]
    return [Section("Learning curves", text, drawings)]


def _scatter(scores: Scores, x: Column, y: Column) -> Scatter:
    return Scatter(prepare_points(scores, x, y), x, y)


def _errors(scores: Scores, x: Column) -> Scatter:
    """The calibration error before and after temperature, against x."""
    before = prepare_points(scores, x, ECE, BEFORE)
    return Scatter([*before, *prepare_points(scores, x, SCALED_ECE, AFTER)], x, ECE)


# --------------------------------------------------------------------------- what was asked for beyond the test split


def _ood(results: Results, answers: AllAnswers, looks: Mapping[str, Style]) -> list[Section]:
    """Rows of none of the classes."""
    sections = []
    paths = [path.split("/") for path in results.scores.conditions("ood")]
    for name in dict.fromkeys(name for name, _ in paths):
        kinds = [score for one, score in paths if one == name]
        dots = [
            dot
            for score in kinds
            for dot in prepare_dots(
                results.scores, Column(METRICS["auroc"], f"ood/{name}/{score}"), score.replace("_", " ")
            )
        ]
        columns = [
            Column(METRICS[metric], f"ood/{name}/{score}", f"{METRICS[metric].title} {score.replace('_', ' ')}")
            for metric in ("auroc", "aupr", "fpr95")
            for score in kinds
        ]
        shown = [
            prepare_ood(method, [one.before for one in said], name, [one.foreign[name] for one in said])
            for method, said in answers.items()
        ]
        sections.append(
            Section(
                f"Told apart from what it never saw: {name}",
                f"Rows of {name} belong to none of the classes. A score of confidence should be lower on them than on "
                "the test rows. AUROC: how often it is, of one row each (50 % is chance, 100 % never errs); AUPR: the "
                "area under precision and recall, test rows being those to find; FPR: the share of foreign rows that "
                "pass where 95 % of the test rows do.",
                [
                    dots_drawing(f"ood-{name}", "AUROC, %", dots, looks),
                    confidence_drawing(f"ood-{name}-confidence", shown, looks),
                ],
                [
                    PageTable(
                        f"Detection of {name}",
                        means_table(results.scores, results.reference, columns),
                        note=_marks(results),
                        stacked=True,
                    )
                ],
            )
        )
    return sections


def _corruptions(results: Results, drawn: Scores, answers: AllAnswers, looks: Mapping[str, Style]) -> list[Section]:
    families = list(dict.fromkeys(path.split("/")[0] for path in results.scores.conditions("corruptions")))
    if not families:
        return []
    means = _over_severities(results.scores)
    drawings, tables = [], []
    for quantity, title in ((CORRUPTED_ACCURACY, "Accuracy"), (CORRUPTED_ECE, "Calibration error (ECE)")):
        curves = [prepare_corruption(drawn, method, said, quantity) for method, said in answers.items()]
        drawings.append(curves_drawing(f"corruptions-{quantity.name}", curves, looks))
        columns = [Column(METRICS[quantity.name], family, family.replace("_", " ")) for family in families]
        columns = [column.with_digits(1) for column in columns]
        note = f"{title}, mean over the five severities. {_marks(results)}"
        tables.append(
            PageTable(
                f"{title} by kind of damage", means_table(means, results.reference, columns), note=note, stacked=True
            )
        )
    return [
        Section(
            "Corrupted test images",
            f"The same {CORRUPTED_ROWS:,} test rows at most, clean and damaged at five severities; the mean over "
            f"{len(families)} kinds of damage. Calibrated networks lose confidence as they lose accuracy. "
            f"{_lines(results)}",
            drawings,
            tables,
        )
    ]


def _over_severities(scores: Scores) -> Scores:
    """The means over severities, a condition a family."""
    frame = scores.under("corruptions").frame
    family = frame["condition"].str.split("/").str[0]
    keys = ["method", "seed", "condition", "metric"]
    means = frame.assign(condition=family).pivot_table("value", keys, aggfunc="mean", sort=False).reset_index()
    return Scores(means, scores.overlap)


def _human_labels(results: Results) -> list[Section]:
    if not results.scores.has("kl", "human_labels"):
        return []
    columns = [Column(METRICS[name], "human_labels") for name in ("cross_entropy", "kl", "total_variation")]
    floor, certain = (
        fmean(value for method in results.methods for value in results.scores.values(method, name, "human_labels"))
        for name in ("entropy", "certain_total_variation")
    )
    table = PageTable(
        "Distance from people's labels", means_table(results.scores, results.reference, columns), note=_marks(results)
    )
    return [
        Section(
            "Against what people see",
            "People were shown the same test images, and did not always agree: their labels are the true "
            "probabilities, and the distance of the predictions from them needs no bins. Cross-entropy cannot fall "
            f"below {number(floor, 3)}, the disagreement of the people; KL is what is above. Total variation is the "
            "share of probability in the wrong place; a network that always answers what most people say, and is "
            f"certain of it, has {number(certain, 3)}.",
            tables=[table],
        )
    ]


def _marks(results: Results) -> str:
    if results.seeds == 1 or len(results.methods) == 1:
        return ""
    return f"Means ± half of {of_the_mean(results)}. {marks_note(results)}"


def _name(kind: str, method: str) -> str:
    return f"{kind}-{slug(method)}"
