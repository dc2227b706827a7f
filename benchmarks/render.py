"""The tables of a run, for the terminal and, by `python -m benchmarks.render`, in docs/performance.md."""

import json
import math
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import linear_regression
from typing import Any

from benchmarks.blends import BLENDS, COMPILED
from benchmarks.cases import UNIT

RESULTS = Path("calmix-runs/bench.json")
DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- begin: python -m benchmarks.render -->", "<!-- end -->"

# at most so many times x.clone() for `blend`, by the batch's shape
TARGETS = {(64, 3, 224, 224): 1.25, (128, 3, 32, 32): 2.3}
GROWS_FROM = 4_096  # rows; below, the fixed cost of a call hides how it grows

Cells = dict[str, dict[str, str]]  # row -> column -> text


@dataclass(frozen=True)
class Table:
    """What is shown of a measurement, all text."""

    title: str
    columns: list[str]  # the first is of the rows' names
    rows: list[list[str]]
    notes: list[str]  # what could not be measured, and why

    def plain(self) -> str:
        """Aligned by blanks."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        body = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        return "\n".join([self.title, "", *body, *self.notes, ""])

    def markdown(self) -> str:
        """For GitHub."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
        notes = ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join([f"### {self.title}", "", *body, *notes, ""])


def step_tables(run: dict[str, Any]) -> list[Table]:
    """One row a method, one column a device and shape."""
    columns = {f"{_times(record['shape'])}, {record['device']}": record["results"] for record in run["steps"]}
    return [_table("A training step, in units of plain training", "method", columns)]


def blend_tables(run: dict[str, Any]) -> list[Table]:
    """One table a device and shape, one column a dtype and memory format; and what became of the targets."""
    records = run["blends"]
    tables = []
    for device, shape in dict.fromkeys((record["device"], tuple(record["shape"])) for record in records):
        here = {"device": device, "shape": list(shape)}.items()
        columns, clone = {}, [f"{UNIT}, in ms"]
        for record in (record for record in records if here <= record.items()):
            case = {key: value for key, value in record.items() if key != "results"}.items()
            peers = [result for peer in run["peers"]["cases"] if case <= peer.items() for result in peer["results"]]
            columns[_layout(record)] = record["results"][1:] + peers
            clone.append(_milliseconds(record["results"][0]))
        table = _table(f"Mixing a batch of {_times(shape)} on {device}, in units of {UNIT}", "one lam a row", columns)
        tables.append(replace(table, rows=[clone, *table.rows]))
    return [*tables, _target_table(records)]


def method_tables(run: dict[str, Any]) -> list[Table]:
    """One row a method, one column a device and shape."""
    columns = {f"{_times(record['shape'])}, {record['device']}": record["results"][1:] for record in run["methods"]}
    return [_table(f"Draw and blend, eager, float32, in units of {UNIT}", "method", columns)]


def draw_tables(run: dict[str, Any]) -> list[Table]:
    """One row a function."""
    values, results = run["draws"]["values"], run["draws"]["results"]
    cells = {
        result["name"]: {
            "ns a number": _of(result, lambda timed: f"{timed['seconds'] / values * 1e9:.0f}"),
            "times as fast": _of(result, lambda timed: f"{1 / timed['ratio']:.1f}"),
        }
        for result in results
    }
    title = f"Quantiles (ppf, betaincinv, warp) and draws of Beta(tau, tau), {values:,} numbers on cpu"
    return [_from_cells(title, "function", cells, _notes(results))]


def growth_tables(run: dict[str, Any]) -> list[Table]:
    """One row a method, one column a batch size."""
    sizes, width = run["growth"]["sizes"], run["growth"]["width"]
    cells: Cells = {}
    for size in sizes:
        for result in size["results"]:
            cells.setdefault(result["name"], {})[f"{size['rows']:,} rows"] = _milliseconds(result)
    last = sizes[-1]
    for name, row in cells.items():
        row["exponent of time"] = f"{_exponent(name, sizes):.2f}"
        row["peak, bytes a row"] = f"{last['peak_bytes'][name] / last['rows']:,.0f}"
    title = f"Draw and blend of rows of {width} float32 numbers ({4 * width} bytes) on cpu, in ms"
    return [_from_cells(title, "one step", cells, _notes(sizes[0]["results"]))]


def metric_tables(run: dict[str, Any]) -> list[Table]:
    """One row a function; and the long pass."""
    record = run["metrics"]
    values, results, long = record["rows"] * record["classes"], record["results"], record["pass"]
    cells = {
        result["name"]: {
            "ratio": _of(result, _ratio),
            "ns a probability": _of(result, lambda timed: f"{timed['seconds'] / values * 1e9:.2f}"),
            "peak, MB": f"{record['peak_bytes'][result['name']] / 1e6:.1f}",
        }
        for result in results
    }
    size = f"{record['rows']:,} rows by {record['classes']:,} classes ({4 * values / 1e6:.0f} MB), float32, on cpu"
    seconds = {name: {"CPU seconds": f"{long[name]:.2f}"} for name in ("update", "compute")}
    return [
        _from_cells(f"Metrics of {size}, in units of reading them", "function", cells, _notes(results)),
        _from_cells(f"One streaming pass over {long['rows']:,} rows by {record['classes']:,} classes", "", seconds, []),
    ]


SECTIONS: dict[str, Callable[[dict[str, Any]], list[Table]]] = {
    "steps": step_tables,
    "blends": blend_tables,
    "methods": method_tables,
    "draws": draw_tables,
    "growth": growth_tables,
    "metrics": metric_tables,
}


def machine_line(run: dict[str, Any]) -> str:
    """One sentence on what was measured where."""
    machine, versions = run["machine"], run["peers"]["versions"]
    peers = ", ".join(f"{name} {version}" for name, version in versions.items()) or "none"
    gpu = machine["gpu"] or "no GPU"
    return (
        f"{machine['cpu']}, {machine['threads']} thread, {machine['system']}, {gpu}; Python {machine['python']}, "
        f"PyTorch {machine['torch']}, SciPy {machine['scipy']}, calmix {machine['calmix']}; peers: {peers}."
    )


def document(run: dict[str, Any], text: str) -> str:
    """`text` with everything between the two marks replaced by the run's tables."""
    tables = [table.markdown() for section, make in SECTIONS.items() if section in run for table in make(run)]
    body = "\n".join([BEGIN, "", machine_line(run), "", *tables, END])
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: body, text, flags=re.DOTALL)


def _target_table(records: list[dict[str, Any]]) -> Table:
    cells: Cells = {}
    for record in records:
        target = TARGETS[tuple(record["shape"])]
        for result in (result for result in record["results"] if result["name"].removesuffix(COMPILED) in BLENDS):
            row = f"{result['name']}: {_times(record['shape'])}, {record['device']}"
            cells.setdefault(row, {"target": f"{target:.2f}"})[_layout(record)] = _of(
                result, lambda timed, target=target: f"{timed['ratio']:.2f} {_verdict(timed['ratio'], target)}"
            )
    return _from_cells(f"Targets, in units of {UNIT}", "batch", cells, [])


def _verdict(ratio: float, target: float) -> str:
    return "met" if ratio <= target else "not met"


def _exponent(name: str, sizes: list[dict[str, Any]]) -> float:
    """p of time ~ rows^p, fitted from GROWS_FROM rows on; nan where a size was not measured."""
    seconds = {
        size["rows"]: result.get("seconds", math.nan)
        for size in sizes
        for result in size["results"]
        if result["name"] == name and size["rows"] >= GROWS_FROM
    }
    return linear_regression([math.log(n) for n in seconds], [math.log(time) for time in seconds.values()]).slope


def _table(title: str, corner: str, columns: dict[str, list[dict[str, Any]]]) -> Table:
    """Ratios with their quartiles, one column a list of results."""
    cells: Cells = {}
    for column, results in columns.items():
        for result in results:
            cells.setdefault(result["name"], {})[column] = _of(result, _ratio)
    return _from_cells(title, corner, cells, _notes(result for results in columns.values() for result in results))


def _from_cells(title: str, corner: str, cells: Cells, notes: list[str]) -> Table:
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    rows = [[name, *(row.get(column, "—") for column in columns)] for name, row in cells.items()]
    return Table(title, [corner, *columns], rows, notes)


def _notes(results: Iterable[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(f"{each['name']}: {each['reason']}" for each in results if "reason" in each))


def _of(result: dict[str, Any], write: Callable[..., str]) -> str:
    return "—" if "reason" in result else write(result)


def _ratio(timed: dict[str, Any]) -> str:
    return f"{timed['ratio']:.2f} [{timed['low']:.2f}, {timed['high']:.2f}]"


def _milliseconds(result: dict[str, Any]) -> str:
    return _of(result, lambda timed: f"{timed['seconds'] * 1e3:.3g}")


def _layout(record: dict[str, Any]) -> str:
    return record["dtype"] + (", channels_last" if record["channels_last"] else "")


def _times(shape: Iterable[int]) -> str:
    return "×".join(map(str, shape))


if __name__ == "__main__":
    results = json.loads(Path(*sys.argv[1:] or [RESULTS]).read_text(encoding="utf-8"))
    DOCUMENT.write_text(document(results, DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
