"""Each class and each label by itself: reliability diagrams of the most miscalibrated, and all of them as numbers.

n  test rows
K  classes, or labels
"""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from calmix.predictions import ClassPredictions, MultilabelPredictions
from calmix.report.figures.reliability import ENOUGH, Reliability, prepare_positive
from calmix.report.tables import Cell, Row, Table
from calmix.results.catalogue import METRICS, Column
from calmix.results.scores import PLAIN, Measured
from calmix.studies.evaluation.tables import columns_of, stage

DRAWN = 12  # classes or labels, at most
BANDWIDTH = 0.05  # of every curve: to look for each one's own would take most of the time
LISTED = 20  # rows of a table that is shown unfolded

CLASSES_CAPTION = (
    "Each class against all others: a bar is the share of the rows in a bin of its probability that are of the class, "
    "and the line the same without bins. Above it stands its calibration error (ECE). Of a class with few rows, a part "
    "of the error is chance."
)
COLUMNS_CAPTION = (
    "In the table, recall says how many rows of a class are answered with it, answered how many of all rows are "
    "answered with it, and share how many of all rows are of it."
)
POOLED_CAPTION = (
    "The probabilities of all labels together: a bar is the share of the labels in that bin of probability that are "
    "there; the hatched gap ends at their mean probability. On the dashed line probabilities mean what they say; where "
    "bars end below it, probabilities are too high, above it too low. Pale bars hold fewer than 1 % of the labels, as "
    f"the counts underneath show. The line says the same without bins, where at least {ENOUGH} labels support it."
)
LABELS_CAPTION = (
    "Each label by itself: a bar is the share of the rows in a bin of its probability that have the label. Above it "
    "stands its calibration error (ECE). Of a label with few rows, a part of the error is chance."
)


def worst_first(measured: Measured, kind: str) -> list[int]:
    """Classes (`by_class`) or labels (`by_label`) that were measured, the most miscalibrated first."""
    key = "classwise_ece" if kind == "by_class" else "positive_ece"
    found = {
        int(condition.split("/")[1]): numbers[key]
        for condition, numbers in measured.items()
        if condition.startswith(f"{kind}/") and condition.count("/") == 1
    }
    return sorted(found, key=lambda number: (-found[number], number))


def which(count: int, what: str) -> str:
    """Which of `count` classes or labels are drawn and listed, in a sentence."""
    if count <= DRAWN:
        return f"The most miscalibrated {what} comes first."
    return f"The {DRAWN} most miscalibrated of {count} are drawn; the table lists all of them."


def class_diagrams(test: ClassPredictions, order: Sequence[int], bins: int) -> list[Reliability]:
    """Of the first DRAWN classes of `order`."""
    wanted = order[:DRAWN]
    columns: dict[int, Tensor] = {k: p for k, p in enumerate(test.columns()) if k in wanted}
    return [
        _diagram(name_of(test.classes, k), columns[k].clamp(max=1), (test.labels == k).long(), bins, "class")
        for k in wanted
    ]


def label_diagrams(test: MultilabelPredictions, order: Sequence[int], bins: int) -> list[Reliability]:
    """Of the first DRAWN labels of `order`."""
    return [
        _diagram(name_of(test.classes, k), test.probs[:, k], test.labels[:, k], bins, "label") for k in order[:DRAWN]
    ]


def _diagram(name: str, p: Tensor, held: Tensor, bins: int, what: str) -> Reliability:
    found = prepare_positive(name, "", p, held, bins, BANDWIDTH)
    return replace(found, claimed=f"probability of the {what}", observed=f"share of rows with the {what}")


def classes_table(measured: Measured, names: Sequence[str], order: Sequence[int]) -> Table:
    """A row a class: its calibration error as given and after each correction; recall, share of answers and of rows."""
    keys, stages = ("recall", "answered", "share"), columns_of(measured)
    error = METRICS["classwise_ece"]
    rows = []
    for k in order:
        found = measured[f"by_class/{k}"]
        errors = [measured[f"by_class/{k}" if name == PLAIN else f"by_class/{k}/{name}"] for name in stages]
        cells = [error.text(numbers[error.key]) for numbers in errors]
        cells += [METRICS[key].text(found[key]) for key in keys]
        rows.append(Row(name_of(names, k), [Cell(text) for text in cells]))
    titles = [Column(METRICS[key]).label for key in keys]
    return Table([*(f"ECE {stage(name)}, %" for name in stages), *titles], rows, [])


def labels_table(measured: Measured, names: Sequence[str], order: Sequence[int]) -> Table:
    """A row a label: the share of the rows that have it, its calibration error and its AUROC."""
    rows = []
    for k in order:
        found = measured[f"by_label/{k}"]
        cells = [METRICS[key].text(found[key]) if key in found else "–" for key in ("share", "positive_ece", "auroc")]
        rows.append(Row(name_of(names, k), [Cell(text) for text in cells]))
    return Table(["Rows that have it, %", "ECE, %", "AUROC, %"], rows, [])


def name_of(names: Sequence[str], number: int) -> str:
    """The name of a class or label; its number where there are no names."""
    return names[number] if names else str(number)
