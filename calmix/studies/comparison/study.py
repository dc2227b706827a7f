"""The main job: the same network under several methods and seeds, paired, resumable."""

import csv
import dataclasses
import io
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from calmix.core.method import Method, Scheduled
from calmix.data import Splits
from calmix.errors import DataError, SettingError
from calmix.experiment.engine import Tick, carry_out, default_workers
from calmix.experiment.recipe import Recipe, Source
from calmix.experiment.record import Record, read, read_json, slug, write_json, write_whole
from calmix.experiment.run import initial_model, try_step
from calmix.experiment.shift import Shift, try_shift
from calmix.experiment.summary import metrics_of, references, summarise, with_claims
from calmix.models import default_model
from calmix.train import TrainingSettings


@dataclass(frozen=True)
class Comparison:
    """What to compare: methods by label, on one source, with one network and one training, over seeds 0..seeds-1.

    reference: the label that the marks refer to; None is plain Mixup, else plain training, else the first method.
    """

    source: Source
    methods: Mapping[str, Method | Scheduled]
    model: str | None = None
    fit: TrainingSettings = dataclasses.field(default_factory=TrainingSettings)
    seeds: int = 5
    reference: str | None = None
    shift: Shift = dataclasses.field(default_factory=Shift)

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise SettingError(f"seeds must be at least 1; got {self.seeds}.")
        if not self.methods:
            raise SettingError("no methods to compare; name at least one, e.g. --methods erm mixup.")
        references(list(self.methods), self.reference)

    def recipes(self) -> list[Recipe]:
        """All runs, seed by seed, so that a stopped comparison leaves whole pairs."""
        return [
            Recipe(self.source, label, method, self.model, self.fit, seed, self.shift)
            for seed in range(self.seeds)
            for label, method in self.methods.items()
        ]


def compare(
    comparison: Comparison,
    out: Path,
    resume: bool = False,
    workers: int | None = None,
    command: Sequence[str] = (),
    tick: Tick = lambda label, seed, epochs: None,
) -> dict[str, Any]:
    """Run what is not yet stored in `out`, then write and return the results (results.json, results.csv).

    Raises:
        DataError: `out` cannot be written, holds results and `resume` is False, or holds runs with other settings.
        Whatever the data, the network or the training raise; finished runs are kept, an unfinished one leaves nothing.
    """
    if workers is not None and workers < 1:
        raise SettingError(f"workers must be at least 1; got {workers}.")
    recipes = comparison.recipes()
    splits = comparison.source.splits(0)
    initial_model(recipes[0], splits)  # bad data and models fail here, before anything is written
    for recipe in recipes[: len(comparison.methods)]:
        try_step(recipe, splits)
    try_shift(comparison.shift, splits, comparison.source.data_dir)
    todo = _unfinished(recipes, out, resume)
    open_folder(out, comparison)
    epochs = comparison.fit.epochs
    for recipe in recipes:
        if recipe not in todo:
            tick(recipe.label, recipe.seed, epochs)
    if todo:
        carry_out(todo, out, workers or default_workers(len(todo), comparison.fit.accelerator), tick)
    records = [read(out, recipe.label, recipe.seed) for recipe in recipes]
    return write_results(out, comparison, [record for record in records if record], splits, command)


def write_results(
    out: Path, comparison: Comparison, records: list[Record], splits: Splits, command: Sequence[str] = ()
) -> dict[str, Any]:
    """results.json and results.csv from the finished runs."""
    about = splits.about
    names = metrics_of(about.task)
    further = [path for path in records[0].paths() if all(record.has(path) for record in records) and path not in names]
    results = {
        "data": {
            **dataclasses.asdict(about),
            "sizes": {part: len(getattr(splits, part)) for part in ("train", "validation", "calibration", "test")},
            "shape": list(splits.train.x.shape[1:]),
        },
        "task": about.task,
        "model": comparison.model or default_model(tuple(splits.train.x.shape[1:])),
        "fit": {**dataclasses.asdict(comparison.fit), "learning_rate": comparison.fit.peak_rate},
        "seeds": comparison.seeds,
        "command": list(command),
        "environment": environment(comparison.fit),
        "runs": [dataclasses.asdict(record) for record in records],
        "summary": with_claims(summarise(records, names, comparison.reference), out, records),
    }
    write_json(out / "results.json", results)
    table = _table(records, [*names, *further])
    write_whole(out / "results.csv", lambda file: file.write(table.encode()))
    return results


def refer(out: Path, reference: str | None = None) -> dict[str, Any]:
    """The results in `out`, summed up again from their runs and predictions, and written where that changes them.

    reference: whom the marks refer to; as it was, where none is given. Raises as `summed_up`.
    """
    results = summed_up(out, reference)
    results["summary"] = with_claims(results["summary"], out, [Record(**run) for run in results["runs"]])
    if results != read_json(out / "results.json"):
        write_json(out / "results.json", results)
    return results


def summed_up(out: Path, reference: str | None = None) -> dict[str, Any]:
    """The results in `out`, summed up again from their runs alone: also those that an older calmix wrote.

    Raises:
        DataError: there are no results, or damaged ones.
        UnknownNameError: the reference takes no part.
    """
    path = out / "results.json"
    if not path.exists():
        raise DataError(f"{out} holds no results.json; make one with `calmix compare DATA --out {out}`.")
    results = read_json(path)
    try:
        records, names = [Record(**run) for run in results["runs"]], metrics_of(results["task"])
        reference = reference or results["summary"][0]["reference"]
        return {**results, "summary": summarise(records, names, reference)}
    except (KeyError, IndexError, TypeError, AttributeError):
        remedy = f"write it again with the command that made it and --resume, or `calmix compare DATA --out {out}`"
        raise DataError(f"{path} is damaged; {remedy}.") from None


def environment(settings: TrainingSettings) -> dict[str, str]:
    """Versions and the device, for the record."""

    def installed(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "not installed"

    packages = ("calmix", "torch", "lightning", "numpy", "scikit-learn")
    device = torch.cuda.get_device_name() if settings.accelerator == "cuda" else f"cpu, {os.cpu_count()} cores"
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": device,
        **{package: installed(package) for package in packages},
    }


def _unfinished(recipes: Sequence[Recipe], out: Path, resume: bool) -> list[Recipe]:
    """The runs that are not stored; an error where stored ones are in the way or are not these."""
    clashes = [recipe.label for recipe in recipes if recipe.seed == 0]
    if len({slug(label, 0) for label in clashes}) < len(clashes):
        raise SettingError(f"two methods have the same name in files: {', '.join(clashes)}; name each one once.")
    if not resume:
        refuse_finished(out, "add --resume to go on, or give another --out")
    todo = []
    for recipe in recipes:
        record = read(out, recipe.label, recipe.seed)
        if record is None:
            todo.append(recipe)
        elif record.recipe != repr(recipe):
            raise DataError(
                f"{out} holds {recipe.label!r} with other settings; repeat the command that began it, "
                "or give another --out."
            )
    return todo


def refuse_finished(out: Path, advice: str) -> None:
    """A DataError where `out` holds runs or results, or a diagnosis."""
    if any((out / name).exists() for name in ("results.json", "diagnosis.json")) or any(out.glob("runs/*.json")):
        raise DataError(f"{out} already holds finished runs; {advice}.")


def open_folder(out: Path, comparison: Comparison) -> None:
    """Make the folder and note what it is for."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "comparison.json", {"comparison": repr(comparison)})
    except OSError as error:
        raise DataError(f"cannot write to {out}: {error.strerror or error}; give another --out.") from None


def _table(records: Sequence[Record], names: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    extra = ("temperature", "train_seconds", "relative_cost", "epoch", "train_loss")
    writer.writerow(["method", "seed", *(name.replace(".", "_") for name in names), *extra])
    for record in records:
        values = [record.value(name) for name in names]
        writer.writerow([record.method, record.seed, *values, *(getattr(record, name) for name in extra)])
    return text.getvalue()
