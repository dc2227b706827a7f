"""The main job: the same network under several methods and seeds, paired, resumable.

    OUT/comparison.json             what was asked for
    OUT/runs/SLUG-seed0.json        one finished run, see `calmix.results.records`
    OUT/predictions/SLUG-seed0.npz  its predictions
    OUT/results.json, results.csv   all runs, see `calmix.results.store`
    OUT/report.html, figures/       drawn from the above

Every file is written whole or not at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from calmix.core.method import Method, Scheduled
from calmix.data import DataSource, as_source
from calmix.engines import Tick, carry_out, default_workers
from calmix.errors import DataError, SettingError
from calmix.methods.erm import erm
from calmix.models import ModelFactory
from calmix.results.files import NamedArrays, check_labels, make_folder, refuse_finished, refuse_others, write_json
from calmix.results.records import Record, read_predictions, read_record, save_record
from calmix.results.store import PLAIN_TRAINING, Results, references, write_results
from calmix.studies.comparison.compared import Compared
from calmix.train import Recipe, Robustness, TrainingSettings
from calmix.train.recipe import facts_of
from calmix.train.running import misfits, try_step

Methods = Mapping[str, Method | Scheduled]  # by label
DEFAULT_METHODS = ("erm", "mixup", "sk_mixup", "mixup_e", "sk_mixup_e")


@dataclass(frozen=True)
class Comparison:
    """What to compare: methods by label, on one source, with one network and one training, over seeds 0..seeds-1.

    reference: the label that the marks refer to; None is plain Mixup, else plain training, else the first method.
    Other fields are those of `Recipe`.
    """

    data: DataSource
    methods: Methods
    model: ModelFactory | None = None
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    seeds: int = 5
    reference: str | None = None
    robustness: Robustness = field(default_factory=Robustness)

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise SettingError(f"seeds must be at least 1; got {self.seeds}.")
        check_methods(self.methods)
        references(list(self.methods), self.reference)

    @cached_property
    def recipes(self) -> list[Recipe]:
        """All runs, seed by seed, so that a stopped comparison leaves whole pairs."""
        return [
            Recipe(self.data, label, method, self.model, self.settings, seed, self.robustness)
            for seed in range(self.seeds)
            for label, method in self.methods.items()
        ]

    def check(self) -> None:
        """Raise a CalmixError where data, network, methods or what else is measured do not fit together."""
        first = self.recipes[: len(self.methods)]
        for recipe in first:
            try_step(recipe)
        self.robustness.check(first[0].splits())

    def without_misfits(self) -> tuple["Comparison", dict[str, str]]:
        """The comparison without the methods that its data or network do not allow; and why, by label."""
        reasons = misfits(self.recipes[: len(self.methods)])
        methods = {label: method for label, method in self.methods.items() if label not in reasons}
        return replace(self, methods=methods), reasons


def check_methods(methods: Methods) -> None:
    """Raise SettingError for no methods, for what is no method, and for labels that would mislead a reader.

    Reports call the method `erm` plain training, and compare the others to it: so it must be it, and no other label.
    """
    if not isinstance(methods, Mapping) or not methods:
        raise SettingError(f"methods must be a dict of methods by label, at least one; got {methods!r}.")
    for label, method in methods.items():
        if not isinstance(label, str) or not isinstance(method, Method | Scheduled):
            raise SettingError(f"{label!r} must be a label and its method, such as calmix.mixup(); got {method!r}.")
        if (label == PLAIN_TRAINING) != (method == erm()):
            raise SettingError(
                f"{label!r} is {method!r}; label plain training, calmix.erm(), {PLAIN_TRAINING!r}, and nothing else so."
            )
    check_labels(methods)


def compare(
    model: ModelFactory | None = None,
    data: Any = None,
    methods: Methods | None = None,
    seeds: int = 5,
    *,
    target: str | None = None,
    settings: TrainingSettings | None = None,
    reference: str | None = None,
    robustness: Robustness | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    workers: int = 1,
) -> Compared:
    """Train the same network with several methods and seeds, and say what each did.

    Runs of one seed share splits, initial weights and the order of the rows, so that differences are paired.

    Args:
        model: a factory: a function that returns a new `nn.Module`, called with what it names of `shape` (of one row),
            `outputs` and `num_classes`. None: a small residual network for images, a perceptron for other rows.
        data: `Splits`; a pair (x, y) of tensors or arrays; a DataFrame, with `target`; a map-style torch data set; or a
            source, such as `calmix.data.NamedSet("digits")`. Integer y are class ids, floating y are values to regress.
            Options such as `train_size` belong to the source: `calmix.data.Arrays(x, y, train_size=100)`. Ready-made
            `Splits` are the same for every seed, so that intervals speak of the training alone.
        methods: by label; plain training is labelled "erm", plain Mixup "mixup". None: plain training, Mixup,
            Similarity Kernel Mixup, MixupE and the last two combined.
        seeds: how many seeds, 0, 1, ...; ten or more are advised before a claim.
        reference: the label that marks refer to. settings, robustness: see there.
        out: a folder for all results; None keeps them in memory. resume: go on where a stopped comparison was.
        workers: runs at a time, each in a process of its own; more than one needs a script that is guarded by
            `if __name__ == "__main__":`.

    Raises:
        SettingError, ShapeError, DataError: what does not fit, or a folder that holds other results.

    >>> import torch
    >>> from calmix.methods.table import METHODS
    >>> generator = torch.Generator().manual_seed(0)
    >>> x = torch.randn(100, 4, generator=generator)
    >>> few = TrainingSettings(epochs=2)
    >>> chosen = {"erm": METHODS["erm"](), "mixup": METHODS["mixup"]()}
    >>> found = compare(data=(x, (x[:, 0] > 0).long()), methods=chosen, seeds=2, settings=few)
    >>> found.table().columns[0], len(found.scores.values("mixup", "ece"))
    ('Accuracy, %', 2)
    """
    if data is None:
        raise SettingError("compare needs data=, such as Splits, a pair (x, y) or a DataFrame with target=.")
    comparison = Comparison(
        as_source(data, target),
        default_methods() if methods is None else methods,
        model,
        settings or TrainingSettings(),
        seeds,
        reference,
        robustness or Robustness(),
    )
    return carry_out_comparison(comparison, None if out is None else Path(out), resume, workers)


def default_methods() -> dict[str, Method | Scheduled]:
    """Plain training, Mixup, and the methods of both papers."""
    from calmix.methods.table import METHODS

    return {name: METHODS[name]() for name in DEFAULT_METHODS}


def carry_out_comparison(
    comparison: Comparison,
    out: Path | None,
    resume: bool = False,
    workers: int | None = None,
    command: Sequence[str] = (),
    tick: Tick = lambda label, seed, epochs: None,
) -> Compared:
    """Run what is not yet stored in `out`, then write and return the results.

    out: None keeps everything in memory. workers: None is one a CPU core, or one on a GPU. command: as the shell split
    it, for the report. tick: told label, seed and how many epochs are done.

    Raises:
        DataError: `out` cannot be written, holds results and `resume` is False, or holds runs with other settings.
        Whatever the data, the network or the training raise; finished runs are kept, an unfinished one leaves nothing.
    """
    if workers is not None and workers < 1:
        raise SettingError(f"workers must be at least 1; got {workers}.")
    if out is None and resume:
        raise SettingError("resume goes on in a folder; give out, too.")
    recipes = comparison.recipes
    comparison.recipes[0].network()  # bad data and models fail first
    store = _Memory() if out is None else _Folder(out, resume)
    todo = store.missing(recipes)
    comparison.check()  # before anything is written
    store.open(recipes)
    for recipe in recipes:
        if recipe not in todo:
            tick(recipe.label, recipe.seed, comparison.settings.epochs)
    if todo:
        workers = workers or default_workers(len(todo), comparison.settings.accelerator)
        for record, predictions in carry_out(todo, workers, tick):
            store.save(record, predictions)
    records = [store.record(recipe) for recipe in recipes]
    reference = references(list(comparison.methods), comparison.reference)[0]
    finished = [record for record in records if record is not None]
    results = Results(facts_of(recipes[0], tuple(command)), finished, reference)
    if out is not None:
        write_results(out, results)
    return Compared(results, store.predictions)


class _Memory:
    """Finished runs without a folder."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, int], tuple[Record, NamedArrays]] = {}

    def missing(self, recipes: Sequence[Recipe]) -> list[Recipe]:
        return list(recipes)

    def open(self, recipes: Sequence[Recipe]) -> None:
        pass

    def save(self, record: Record, predictions: NamedArrays) -> None:
        self._runs[record.method, record.seed] = record, predictions

    def record(self, recipe: Recipe) -> Record | None:
        return self._runs[recipe.label, recipe.seed][0]

    def predictions(self, record: Record) -> NamedArrays:
        return self._runs[record.method, record.seed][1]


class _Folder:
    """Finished runs in a folder."""

    def __init__(self, path: Path, resume: bool) -> None:
        self.path, self.resume = path, resume

    def missing(self, recipes: Sequence[Recipe]) -> list[Recipe]:
        """The runs that are not stored. Raise DataError where stored ones are in the way, or have other settings."""
        if not self.resume:
            refuse_finished(self.path, "add --resume to go on, or give another --out")
        refuse_others(self.path, "results.json")
        todo = []
        for recipe in recipes:
            record = self.record(recipe)
            if record is None:
                todo.append(recipe)
            elif record.recipe != recipe.text:
                raise DataError(
                    f"{self.path} holds {recipe.label!r} with other settings; repeat the command that began it, "
                    "or give another --out."
                )
        return todo

    def open(self, recipes: Sequence[Recipe]) -> None:
        """Make the folder and note what it is for."""
        make_folder(self.path)
        try:
            write_json(self.path / "comparison.json", {"recipes": [recipe.text for recipe in recipes]})
        except OSError as error:
            raise DataError(f"cannot write to {self.path}: {error.strerror or error}; give another --out.") from None

    def save(self, record: Record, predictions: NamedArrays) -> None:
        save_record(self.path, record, predictions)

    def record(self, recipe: Recipe) -> Record | None:
        return read_record(self.path, recipe.label, recipe.seed)

    def predictions(self, record: Record) -> NamedArrays:
        return read_predictions(self.path, record)
