"""A finished comparison as a value, and its results.json.

OUT/results.json  what was compared, all runs, and their means: for people and programs
OUT/results.csv   a row a run, a column a number
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from calmix.column_use import ColumnUse
from calmix.errors import CalmixError, DataError, UnknownNameError
from calmix.reading import known, read_json, typed
from calmix.results.asked import results_path
from calmix.results.catalogue import (
    ACCURACY,
    BRIER,
    COST,
    ECE,
    MAE,
    METRICS,
    NLL,
    R2,
    RMSE,
    SCALED_ECE,
    SCALED_NLL,
    Column,
)
from calmix.results.files import check_labels, write_csv, write_json_lines
from calmix.results.records import Failure, Record, as_json, from_json, scores_of
from calmix.results.scores import Scores, column_name

CLASSIFICATION = (ACCURACY, NLL, BRIER, ECE, Column(METRICS["adaptive_ece"]), SCALED_NLL, SCALED_ECE)
REGRESSION = (RMSE, MAE, R2)
PLAIN_TRAINING, PLAIN_MIXUP = "erm", "mixup"
CONTROLS = ("mixup_idle", "mixup_longer")  # methods that explain others, and are not to be taken

Setting = str | int | float | bool | None


@dataclass(frozen=True)
class DataFacts:
    """What a report says of the data; sizes are those of seed 0."""

    name: str
    source: str
    kind: str  # table, image or series
    classes: Sequence[str]
    features: Sequence[str]
    shape: Sequence[int]  # of a row
    sizes: Mapping[str, int]  # by split
    notices: Sequence[str] = ()
    columns: Sequence[ColumnUse] = ()  # of a table: what became of each column
    class_rows: Sequence[int] = ()  # training rows of each class, of seed 0; those of calmix 0.1.0 are not known
    folds: int = 0  # into how many folds the rows were cut; 0: every seed draws its own splits
    absent: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by split, the classes of which it has no row

    @property
    def overlap(self) -> float:
        """Rows of a fold over the rows of the others, see `calmix.results.statistics.interval`."""
        return 1 / (self.folds - 1) if self.folds > 1 else 0.0


@dataclass(frozen=True)
class RunFacts:
    """What several runs share: data, network, training, and where and by which command they ran."""

    data: DataFacts
    task: str  # classification, binary or regression
    model: str
    settings: Mapping[str, Setting]
    environment: Mapping[str, str]
    command: Sequence[str] = ()
    date: str = ""  # of the last run, YYYY-MM-DD; empty where calmix did not yet keep it

    @property
    def regression(self) -> bool:
        return self.task == "regression"


@dataclass(frozen=True)
class Results:
    """A finished comparison: facts, and one record a run.

    reference: the method that marks refer to; see `references`. failures: runs that have no record.

    All methods are compared on the same seeds: where runs failed, on those that every method finished. `scores`,
    `seeds` and `of_method` are of these.
    """

    facts: RunFacts
    records: Sequence[Record]
    reference: str
    failures: Sequence[Failure] = ()

    @cached_property
    def compared(self) -> Sequence[Record]:
        """The records of the seeds that every method finished."""
        if not self.failures:
            return self.records
        seeds: dict[str, set[int]] = {}
        for record in self.records:
            seeds.setdefault(record.method, set()).add(record.seed)
        shared = set.intersection(*seeds.values())
        return [record for record in self.records if record.seed in shared]

    @cached_property
    def scores(self) -> Scores:
        return scores_of(self.compared, self.facts.data.overlap)

    @cached_property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(record.method for record in self.records))

    @property
    def seeds(self) -> int:
        return len(self.scores.seeds)

    @property
    def regression(self) -> bool:
        return self.facts.regression

    @property
    def references(self) -> list[str]:
        """Whom methods are compared to, the one that marks refer to first."""
        return references(self.methods, self.reference)

    @property
    def columns(self) -> tuple[Column, ...]:
        """What the task is reported by."""
        return REGRESSION if self.regression else CLASSIFICATION

    def of_method(self, method: str) -> list[Record]:
        return self._of_methods.get(method, [])

    @cached_property
    def _of_methods(self) -> Mapping[str, list[Record]]:
        found: dict[str, list[Record]] = {}
        for record in self.compared:
            found.setdefault(record.method, []).append(record)
        return found


def is_control(method: str) -> bool:
    """Whether a method, by its label, explains others and is not to be taken; its options change nothing.

    >>> is_control("mixup_idle(alpha=0.4)"), is_control("mixup")
    (True, False)
    """
    return method.partition("(")[0] in CONTROLS


def references(methods: Sequence[str], given: str | None = None) -> list[str]:
    """Whom methods are compared to, the one that marks refer to first: the given one, plain Mixup, plain training.

    Where neither takes part and none is given, it is the first method.

    Raises:
        UnknownNameError: the given one takes no part.

    >>> references(["erm", "sk_mixup", "mixup"]), references(["erm", "sk_mixup"], "sk_mixup"), references(["cutmix"])
    (['mixup', 'erm'], ['sk_mixup', 'erm'], ['cutmix'])
    """
    if given is not None and given not in methods:
        raise UnknownNameError("method to refer to", given, methods)
    known = [method for method in (PLAIN_MIXUP, PLAIN_TRAINING) if method in methods]
    return list(dict.fromkeys([*([] if given is None else [given]), *known])) or [methods[0]]


# ------------------------------------------------------------------------------------------------------- files


def write_results(folder: Path, results: Results) -> None:
    """Write results.json and results.csv. Raise DataError where the runs do not go together, as damaged ones may."""
    try:
        _check(results)
    except CalmixError as error:
        raise DataError(f"{folder}: {str(error).rstrip('.')}; give another --out.") from None
    runs = (as_json(record) for record in results.records)
    write_json_lines(folder / "results.json", _shared(results), "runs", runs)
    first = [(column.condition, column.key) for column in results.columns]
    write_csv(folder / "results.csv", scores_of(results.records).wide(first))


def _shared(results: Results) -> dict[str, object]:
    """All but the runs; `summary` is derived from them, and never read back."""
    facts, scores = results.facts, results.scores

    def mean(method: str, column: Column) -> dict[str, float]:
        return asdict(scores.interval(method, column.key, column.condition))

    columns = {column_name(column.condition, column.key): column for column in (*results.columns, COST)}
    summary = [
        {
            "method": method,
            "seeds": len(scores.seeds_of(method)),
            "metrics": {name: mean(method, column) for name, column in columns.items()},
        }
        for method in results.methods
    ]
    return {
        "data": asdict(facts.data),
        "task": facts.task,
        "model": facts.model,
        "settings": dict(facts.settings),
        "seeds": results.seeds,
        "reference": results.reference,
        "command": list(facts.command),
        "date": facts.date,
        "environment": dict(facts.environment),
        "failures": [asdict(failure) for failure in results.failures],
        "summary": summary,
    }


def read_results(folder: Path, reference: str | None = None) -> Results:
    """The comparison in `folder`, also one that calmix 0.1.0 wrote.

    reference: the method that marks refer to; as it was, where none is given.

    Raises:
        DataError: `folder` holds no results.json, or one that is damaged.
        UnknownNameError: the reference takes no part.
    """
    path = results_path(folder)
    try:
        results = results_from_json(read_json(path))
    except CalmixError as error:
        remedy = f"write it again with the command that made it and --resume, or `calmix compare DATA --out {folder}`"
        raise DataError(f"{path} is damaged ({str(error).rstrip('.')}); {remedy}.") from None
    if reference is None:
        return results
    references(results.methods, reference)
    return replace(results, reference=reference)


@dataclass(frozen=True)
class _Stored:
    """What is read of results.json; fit, and a reference in each entry of the summary, are those of calmix 0.1.0."""

    data: Mapping[str, Any]
    task: Literal["classification", "binary", "regression"]
    model: str
    environment: Mapping[str, str]
    command: Sequence[str]
    runs: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Setting] | None = None
    fit: Mapping[str, Setting] | None = None
    reference: str | None = None
    summary: Sequence[Mapping[str, Any]] = ()
    failures: Sequence[Failure] = ()
    date: str = ""


def results_from_json(raw: object) -> Results:
    """What results.json holds. Raise DataError where an entry is missing or of another kind."""
    stored = typed(_Stored, known(_Stored, raw))
    records = [from_json(run) for run in stored.runs]
    if not records:
        raise DataError("there are no runs.")
    settings = stored.fit if stored.settings is None else stored.settings
    if settings is None:
        raise DataError("the entry settings is missing.")
    facts = RunFacts(
        data=typed(DataFacts, known(DataFacts, stored.data)),
        task=stored.task,
        model=stored.model,
        settings=settings,
        environment=stored.environment,
        command=stored.command,
        date=stored.date,
    )
    methods = list(dict.fromkeys(record.method for record in records))
    old = stored.summary[0].get("reference") if stored.summary else None
    reference = stored.reference or (old if isinstance(old, str) else None)
    results = Results(facts, records, references(methods, reference)[0], stored.failures)
    _check(results)
    return results


def _check(results: Results) -> None:
    """Raise DataError where runs lack what every report shows, or contradict each other."""
    check_labels(results.methods)
    runs = [(record.method, record.seed) for record in results.records]
    if len(set(runs)) < len(runs):
        raise DataError("two runs have the same method and seed.")
    for column in results.columns:
        if not results.scores.has(column.key, column.condition):
            raise DataError(f"a run has no {column.title}.")
    data = results.facts.data
    least = {"train": 1, "validation": 0, "calibration": 1, "test": 1}  # validation rows may be trained on
    if any(data.sizes.get(part, -1) < count for part, count in least.items()):
        raise DataError("sizes must hold the rows of the train, validation, calibration and test split.")
    if data.class_rows and (len(data.class_rows) != len(data.classes) or min(data.class_rows) < 0):
        raise DataError("class_rows must hold a number of rows for each class.")
    if not results.regression and any(record.temperature is None for record in results.records):
        raise DataError("a run has no temperature.")
    beyond = {
        frozenset((path, *found) for path, found in record.metrics.items() if path.startswith(("corruptions/", "ood/")))
        for record in results.records
    }
    corrupted = [tuple(path.split("/")[1:]) for path, *_ in next(iter(beyond)) if path.startswith("corruptions/")]
    families, severities = {path[0] for path in corrupted}, {path[1:] for path in corrupted}
    if len(beyond) > 1 or len(corrupted) != len(families) * len(severities):
        raise DataError("the runs were measured on different corruptions or OOD sets.")
    points = {
        (record.method, tuple((epoch.number, *epoch.validation) for epoch in record.history if epoch.validation))
        for record in results.records
    }
    curves = {curve for _, curve in points}
    drawn = {"loss"} if results.regression else {"loss", "accuracy"}
    if data.sizes["validation"] == 0 and curves == {()}:
        return
    whole = all(drawn <= set(names) for curve in curves for _, *names in (curve or [(0,)]))
    if len(points) > len(results.methods) or not whole:
        raise DataError("the learning curves of the runs are of different epochs or quantities, or empty.")
