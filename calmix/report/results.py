"""The contents of results.json as typed values; a file that is not one becomes advice here and nowhere later."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from calmix.errors import DataError
from calmix.experiment.compare import metrics_of
from calmix.experiment.record import Record, read_json
from calmix.experiment.statistics import Interval


@dataclass(frozen=True)
class Data:
    """What the comparison knows of its data; the sizes are those of seed 0."""

    name: str
    source: str
    kind: str
    classes: list[str]
    features: list[str]
    shape: list[int]
    sizes: Mapping[str, int]
    notices: list[str]


@dataclass(frozen=True)
class Summary:
    """One method over all seeds: means, and differences from the reference, seed by seed; fractions, not per cent."""

    method: str
    code: str  # the expression that makes the method
    metrics: Mapping[str, Interval]
    difference: Mapping[str, Interval]


@dataclass(frozen=True)
class Results:
    """A finished comparison."""

    data: Data
    task: str
    model: str
    fit: Mapping[str, Any]
    seeds: int
    command: list[str]
    environment: Mapping[str, str]
    reference: str
    methods: list[Summary]
    runs: list[Record]

    @property
    def regression(self) -> bool:
        return self.task == "regression"

    def runs_of(self, method: str) -> list[Record]:
        return [run for run in self.runs if run.method == method]


def read_results(folder: Path) -> Results:
    """The comparison in `folder`.

    Raises:
        DataError: `folder` holds no results.json, or one that is damaged.
    """
    path = folder / "results.json"
    if not path.exists():
        raise DataError(f"{folder} holds no results.json; make one with `calmix compare DATA --out {folder}`.")
    try:
        return parse_results(read_json(path))
    except DataError as error:
        remedy = f"write it again with the command that made it and --resume, or `calmix compare DATA --out {folder}`"
        raise DataError(f"{path} is damaged ({str(error).rstrip('.')}); {remedy}.") from None


def parse_results(raw: Mapping[str, Any]) -> Results:
    """`raw`, as `calmix.experiment.compare` returns it. Raises DataError where an entry is missing or is no number."""
    try:
        names = metrics_of(raw["task"])
        results = Results(
            data=Data(**{field.name: raw["data"][field.name] for field in fields(Data)}),
            task=raw["task"],
            model=raw["model"],
            fit=dict(raw["fit"]),
            seeds=int(raw["seeds"]),
            command=list(raw["command"]),
            environment=dict(raw["environment"]),
            reference=raw["summary"][0]["reference"],
            methods=[
                Summary(
                    method=row["method"],
                    code=row["repr"],
                    metrics={name: _interval(row["metrics"][name]) for name in (*names, "cost")},
                    difference={name: _interval(row["difference"][name]) for name in names},
                )
                for row in raw["summary"]
            ],
            runs=[Record(**run) for run in raw["runs"]],
        )
    except KeyError as error:
        raise DataError(f"the entry {error} is missing.") from None
    except (TypeError, ValueError, IndexError) as error:
        raise DataError(f"an entry is not what it should be: {error}.") from None
    for summary in results.methods:
        if not results.runs_of(summary.method):
            raise DataError(f"there are no runs of {summary.method!r}.")
    return results


def _interval(raw: Mapping[str, Any]) -> Interval:
    return Interval(float(raw["mean"]), float(raw["low"]), float(raw["high"]), int(raw["count"]))
