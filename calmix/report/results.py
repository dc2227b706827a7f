"""The contents of results.json as typed values; a file that is not one becomes advice here and nowhere later."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from calmix.errors import DataError
from calmix.experiment.claims import Claim
from calmix.experiment.record import Record, read_json
from calmix.experiment.statistics import LEVEL, Difference, Interval, paired_difference
from calmix.experiment.summary import metrics_of


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
    """One method over all seeds: means, and differences from each reference, seed by seed; fractions, not per cent."""

    method: str
    code: str  # the expression that makes the method
    metrics: Mapping[str, Interval]
    differences: Mapping[str, Mapping[str, Difference]]  # by reference, by metric
    claim: Claim | None = None  # what became of its answers that are about 90 % sure


@dataclass(frozen=True)
class Results:
    """A finished comparison.

    references: whom methods are compared to; the marks refer to the first.
    """

    data: Data
    task: str
    model: str
    fit: Mapping[str, Any]
    seeds: int
    command: list[str]
    environment: Mapping[str, str]
    references: list[str]
    methods: list[Summary]
    runs: list[Record]

    @property
    def reference(self) -> str:
        return self.references[0]

    @property
    def regression(self) -> bool:
        return self.task == "regression"

    def runs_of(self, method: str) -> list[Record]:
        return [run for run in self.runs if run.method == method]

    def difference(self, method: str, other: str, name: str, level: float = LEVEL) -> Interval:
        """How a metric of one method differs from that of another, seed by seed, with the interval of that level."""
        values, others = ([run.value(name) for run in self.runs_of(label)] for label in (method, other))
        return paired_difference(values, others, level)


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
            references=list(raw["summary"][0]["differences"]),
            methods=[
                Summary(
                    method=row["method"],
                    code=row["repr"],
                    metrics={name: _interval(row["metrics"][name]) for name in (*names, "cost")},
                    differences={
                        other: {name: _difference(found[name]) for name in names}
                        for other, found in row["differences"].items()
                    },
                    claim=Claim(**row["claim"]) if row.get("claim") else None,
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


def _difference(raw: Mapping[str, Any]) -> Difference:
    effect = None if raw["effect"] is None else float(raw["effect"])
    return Difference(_interval(raw["t"]), _interval(raw["bootstrap"]), float(raw["wilcoxon"]), effect)
