"""The numbers of an evaluation as a table: a row a metric of the catalogue, a column a correction."""

from calmix.report.tables import Cell, Row, Table
from calmix.results.catalogue import AFTER, METRICS, Column, Metric
from calmix.results.scores import PLAIN, Measured

POSITIVE = "positive"  # the condition of what is said of the second of two classes
OTHERS, MEANS, SQUARES = "Metrics", "Calibration errors, means", "Calibration errors, root mean squares and maximum"
CORRECTIONS = ("scaled", "vector", "matrix", "isotonic")  # conditions


def columns_of(measured: Measured) -> list[str]:
    """The conditions that the table shows: the predictions as given, and each correction that could be fitted."""
    return [PLAIN, *(condition for condition in CORRECTIONS if condition in measured)]


def rows_of(measured: Measured) -> dict[Metric, list[float | None]]:
    """What was measured under each of `columns_of`, by metric, in the order of the catalogue; None where it was not.

    What is said of P(y = 1) stands under a key of its own beside what is said of the answer, as given only.
    """
    plain = {**measured.get(POSITIVE, {}), **measured[PLAIN]}
    others = [measured[condition] for condition in columns_of(measured)[1:]]
    return {
        metric: [plain[key], *(numbers.get(key) for numbers in others)]
        for key, metric in METRICS.items()
        if key in plain
    }


def headings(measured: Measured, regression: bool) -> list[str]:
    """What stands above each of `columns_of`.

    regression: whether `scaled` is of standard deviations, and not of logits.
    """
    texts = {name: text.removeprefix("after ") for name, text in AFTER.items()}
    texts |= {PLAIN: "as given"} | ({"scaled": "variance scaling"} if regression else {})
    return [texts[condition].capitalize() for condition in columns_of(measured)]


def metrics_table(measured: Measured, regression: bool, meanings: bool = False) -> Table:
    """The rows as they are shown; with `meanings`, a last column says what each metric is. `regression`: as above."""
    rows = []
    for metric, values in rows_of(measured).items():
        shown = [metric.text(value) if value is not None else "" for value in values]
        cells = [Cell(text) for text in shown]
        if metric.key in measured.get("intervals/low", {}):
            low, high = (metric.text(measured[f"intervals/{end}"][metric.key]) for end in ("low", "high"))
            cells[0] = Cell(shown[0], f"[{low}, {high}]")
        rows.append(Row(Column(metric).heading, [*cells, *([Cell(metric.meaning)] if meanings else [])]))
    return Table([*headings(measured, regression), *(["What it is"] if meanings else [])], rows, _notes(measured))


def apart(measured: Measured, table: Table) -> dict[str, Table]:
    """`metrics_table` in parts that can be compared within themselves, by title: errors of other norms are others."""
    parts: dict[str, list[Row]] = {OTHERS: [], MEANS: [], SQUARES: []}
    for metric, row in zip(rows_of(measured), table.rows, strict=True):
        squared = metric.key in ("debiased_ece", "rms_ece", "mce")
        parts[SQUARES if squared else MEANS if metric.key.endswith("_ece") or metric.key == "ece" else OTHERS].append(
            row
        )
    return {title: Table(table.headings, rows, []) for title, rows in parts.items() if rows}


def _notes(measured: Measured) -> list[str]:
    notes = ["Corrections were fitted on other rows."] if any(name in measured for name in CORRECTIONS) else []
    if "intervals/low" in measured:
        notes.append("In brackets the 95 % bootstrap interval over rows.")
    return notes
