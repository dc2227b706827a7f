"""The numbers of an evaluation as a table: a row a metric of the catalogue, a column a correction."""

from calmix.report.tables import Cell, Row, Table
from calmix.results.catalogue import AFTER, METRICS, Column, Metric
from calmix.results.scores import PLAIN, Measured

POSITIVE = "positive"  # the condition of what is said of the second of two classes
OTHERS, MEANS, SQUARES = "Metrics", "Calibration errors, means", "Calibration errors, root mean squares and maximum"
ALONE = "Metrics as given"  # which were not measured after corrections
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


def stage(condition: str) -> str:
    """A condition of `columns_of` class predictions in a sentence."""
    return "as given" if condition == PLAIN else AFTER[condition]


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
        cells[0] = Cell(shown[0], _ends(measured, metric.key))
        rows.append(Row(Column(metric).heading, [*cells, *([Cell(metric.meaning)] if meanings else [])]))
    return Table([*headings(measured, regression), *(["What it is"] if meanings else [])], rows, _notes(measured))


def apart(measured: Measured, table: Table) -> dict[str, Table]:
    """`metrics_table` in parts that can be compared within themselves, by title: errors of other norms are others."""
    parts: dict[str, list[Row]] = {OTHERS: [], MEANS: [], SQUARES: [], ALONE: []}
    count = len(columns_of(measured))
    for (metric, values), row in zip(rows_of(measured).items(), table.rows, strict=True):
        if count > 1 and all(value is None for value in values[1:]):
            parts[ALONE].append(Row(row.method, [row.cells[0], *row.cells[count:]]))
        elif metric.key in ("debiased_ece", "rms_ece", "mce", "mce_rows"):
            parts[SQUARES].append(row)
        else:
            parts[MEANS if metric.key.endswith("_ece") or metric.key == "ece" else OTHERS].append(row)
    alone = [*table.headings[:1], *table.headings[count:]]
    return {
        title: Table(alone if title == ALONE else table.headings, rows, []) for title, rows in parts.items() if rows
    }


_SUMMARY = (  # the first of these whose metrics are all there
    ("accuracy", "ece", "nll", "brier"),
    ("label_accuracy", "exact_match", "positive_ece", "nll"),
    ("nll", "crps", "coverage_90", "width_90"),
    ("rmse", "mae", "r2"),
)


def summary_table(measured: Measured, regression: bool) -> Table:
    """The few numbers to look at first: a row a correction. `regression`: as above."""
    keys = next(keys for keys in _SUMMARY if all(key in measured[PLAIN] for key in keys))
    rows = []
    for name, condition in zip(headings(measured, regression), columns_of(measured), strict=True):
        cells = [Cell(METRICS[key].text(measured[condition][key])) for key in keys]
        if condition == PLAIN:
            cells = [Cell(cell.value, _ends(measured, key)) for key, cell in zip(keys, cells, strict=True)]
        rows.append(Row(name, cells))
    return Table([Column(METRICS[key]).heading for key in keys], rows, _notes(measured))


def _ends(measured: Measured, key: str) -> str:
    """The 95 % interval of a metric as given; empty where there is none."""
    if key not in measured.get("intervals/low", {}):
        return ""
    low, high = (METRICS[key].text(measured[f"intervals/{end}"][key]) for end in ("low", "high"))
    return f"[{low}, {high}]"


def _notes(measured: Measured) -> list[str]:
    notes = ["Corrections were fitted on other rows."] if any(name in measured for name in CORRECTIONS) else []
    if "intervals/low" in measured:
        notes.append("In brackets the 95 % bootstrap interval over rows.")
    return notes
