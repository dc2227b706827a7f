"""The main job: the same network under several methods and seeds, paired, resumable.

    OUT/jobs.json                   a list of the runs, see `calmix.results.jobs`
    OUT/runs/SLUG-seed0.json        one finished run, see `calmix.results.records`
    OUT/predictions/SLUG-seed0.npz  its predictions
    OUT/logs/SLUG-seed0/            what loggers wrote of it, see `calmix.train.loggers`
    OUT/mistakes.json               rows that were most wrong, see `calmix.studies.comparison.mistakes`
    OUT/results.json, results.csv   all runs, see `calmix.results.store`
    OUT/report.html, figures/       drawn from the above

Every file is written whole or not at all.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from calmix.core.method import Method, Scheduled
from calmix.data import DataSource, Noisy, as_source
from calmix.data.sources import can_fold, folds_of, in_folds
from calmix.engines import Engine, Orders, Processes, Tick, engine_of
from calmix.engines.engine import untold
from calmix.errors import DataError, SettingError, UnknownNameError
from calmix.methods.defaults import compared
from calmix.methods.erm import erm
from calmix.methods.read import read_method
from calmix.models import ModelFactory
from calmix.results.files import check_labels, hold_folder
from calmix.results.jobs import Jobs
from calmix.results.records import Failure, Record
from calmix.results.store import PLAIN_TRAINING, Results, references, write_results
from calmix.studies.comparison.compared import Compared
from calmix.studies.comparison.defaults import (
    DEFAULT_FOLDS,
    DEFAULT_REPEATS,
    DEFAULT_SEEDS,
    FEW_TEST_ROWS,
)
from calmix.studies.comparison.mistakes import find_mistakes, write_mistakes
from calmix.studies.comparison.runs import InFolder, InMemory, Key, carry_out_runs, key_of
from calmix.train import Checkpoints, Loggers, Recipe, Robustness, TrainingSettings
from calmix.train.cost import cost_of
from calmix.train.recipe import facts_of, machine_of
from calmix.train.running import misfits, try_step
from calmix.train.settings import CHECKPOINT_MINUTES

Methods = Mapping[str, Method | Scheduled]  # by label


@dataclass(frozen=True)
class Comparison:
    """What to compare: methods by label, on one source, with one network and one training, over seeds 0..seeds-1.

    In cross-validation the source is `calmix.data.Folds`, and the seeds are the folds of every repeat, see `plan`.

    reference: the label that the marks refer to; None is plain Mixup, else plain training, else the first method.
    own_settings: of labels that are trained otherwise than `settings` say. Other fields are those of `Recipe`.
    """

    data: DataSource
    methods: Methods
    model: ModelFactory | None = None
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    seeds: int = 5
    reference: str | None = None
    robustness: Robustness = field(default_factory=Robustness)
    own_settings: Mapping[str, TrainingSettings] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise SettingError(f"seeds must be at least 1; got {self.seeds}.")
        folds = folds_of(self.data)
        if folds and self.seeds % folds:
            raise SettingError(f"seeds must be a multiple of the {folds} folds; got {self.seeds}.")
        check_methods(self.methods)
        if unknown := [label for label in self.own_settings if label not in self.methods]:
            raise UnknownNameError("label", unknown[0], self.methods)
        references(list(self.methods), self.reference)

    @cached_property
    def recipes(self) -> list[Recipe]:
        """All runs, seed by seed, so that a stopped comparison leaves whole pairs."""
        return [
            Recipe(self.data, label, method, self.model, self.settings_of(label), seed, self.robustness)
            for seed in range(self.seeds)
            for label, method in self.methods.items()
        ]

    def settings_of(self, label: str) -> TrainingSettings:
        """How a method is trained."""
        return self.own_settings.get(label, self.settings)

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
        return self.of_methods(methods), reasons

    def of_methods(self, methods: Methods) -> "Comparison":
        """The comparison of these methods, with what was asked for of their labels."""
        own = {label: settings for label, settings in self.own_settings.items() if label in methods}
        reference = self.reference if self.reference in methods else None
        return replace(self, methods=methods, own_settings=own, reference=reference)


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


def plan(
    source: DataSource, seeds: int | None = None, folds: int | None = None, repeats: int | None = None
) -> tuple[DataSource, int]:
    """The source and the number of seeds of a comparison by seeds or by folds.

    Where neither is given, 5 folds test a table twice if the test split of a seed would have fewer than FEW_TEST_ROWS
    rows; else there are 5 seeds.

    Raises:
        SettingError: seeds together with folds or repeats, or a source that cannot be cut into folds.

    >>> from calmix.data import NamedSet
    >>> plan(NamedSet("wine"), folds=3)
    (Folds(source=NamedSet(name='wine', train_size=None, task=None, data_dir=None), folds=3), 6)
    >>> plan(NamedSet("digits"))[1]
    5
    """
    if seeds is not None and (folds is not None or repeats is not None):
        raise SettingError("seeds and folds exclude each other; give seeds, or folds and repeats.")
    if repeats is not None and repeats < 1:
        raise SettingError(f"repeats must be at least 1; got {repeats}.")
    repeats = DEFAULT_REPEATS if repeats is None else repeats
    if own := folds_of(source):
        if folds not in (None, own):
            raise SettingError(f"the data are cut into {own} folds, and {folds} were asked for; leave folds out.")
        return source, own * repeats if seeds is None else seeds
    if seeds is not None:
        return source, seeds
    if folds is None and _is_small(source):
        folds = DEFAULT_FOLDS
    return (source, DEFAULT_SEEDS) if folds is None else (in_folds(source, folds), folds * repeats)


def _is_small(source: DataSource) -> bool:
    inner = source.source if isinstance(source, Noisy) else source
    if not can_fold(inner):
        return False
    splits = inner.splits(0)
    return splits.about.kind == "table" and len(splits.test) < FEW_TEST_ROWS


def compare(
    model: ModelFactory | None = None,
    data: Any = None,
    methods: Methods | None = None,
    seeds: int | None = None,
    *,
    folds: int | None = None,
    repeats: int | None = None,
    target: str | None = None,
    settings: TrainingSettings | None = None,
    reference: str | None = None,
    robustness: Robustness | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    workers: int = 1,
    executor: Executor | Engine | None = None,
    checkpoint_minutes: float = CHECKPOINT_MINUTES,
    loggers: Sequence[str] = (),
    run_timeout: float | None = None,
) -> Compared:
    """Train the same network with several methods and seeds, and say what each did.

    Runs of one seed share splits, initial weights and the order of the rows, so that differences are paired.

    Args:
        model: a factory: a function that returns a new `nn.Module`, called with what it names of `shape` (of one row),
            `outputs` and `num_classes`. None: a small residual network for images, a perceptron for other rows.
        data: `Splits`; a pair (x, y) of tensors or arrays; a DataFrame, with `target`; a torch data set, a
            `DataLoader`, or a dict of them by train, validation and test; a `LightningDataModule`; or a source, such as
            `calmix.data.NamedSet("digits")`. Integer y are class ids, floating y are values to regress.
            Options such as `train_size` belong to the source: `calmix.data.Arrays(x, y, train_size=100)`. Ready-made
            `Splits` are the same for every seed, so that intervals speak of the training alone.
        methods: by label; plain training is labelled "erm", plain Mixup "mixup". None: plain training, Mixup,
            Similarity Kernel Mixup, MixupE, the last two combined and, for classes, `auto`; see
            `calmix.methods.defaults`.
        seeds: how many seeds, 0, 1, ...; ten or more are advised before a claim.
        folds, repeats: cross-validation in place of seeds: every row is tested once in each repeat. Without seeds and
            folds, 5 folds twice where a table would have fewer than 200 test rows, else 5 seeds.
        reference: the label that marks refer to. settings, robustness: see there.
        out: a folder for all results; None keeps them in memory. resume: go on where a stopped comparison was, also
            inside its runs. checkpoint_minutes: between two checkpoints of a run. loggers: `csv`, `tensorboard`: what
            writes down each epoch, in `out`.
        workers: runs at a time, each in a process of its own; more than one needs a script that is guarded by
            `if __name__ == "__main__":`.
        executor: what carries out the runs instead: any `concurrent.futures.Executor`, such as that of a Dask client,
            or an engine of `calmix.engines`.
        run_timeout: minutes that a run may take; one that takes longer is ended and named among those that failed, and
            the others go on. Each run is then in a process of its own, as several workers' are.

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
    source, count = plan(as_source(data, target), seeds, folds, repeats)
    comparison = Comparison(
        source,
        {text: read_method(text) for text in default_methods(source)} if methods is None else methods,
        model,
        settings or TrainingSettings(),
        count,
        reference,
        robustness or Robustness(),
    )
    return carry_out_comparison(
        comparison,
        None if out is None else Path(out),
        resume,
        engine_of(workers, executor),
        checkpoint_minutes=checkpoint_minutes,
        loggers=loggers,
        run_timeout=run_timeout,
    )


def default_methods(source: DataSource) -> tuple[str, ...]:
    """What is compared where nothing is named, as texts that name methods."""
    splits = source.splits(0)
    return compared(splits.about.task == "regression", len(splits.validation) > 0)


def carry_out_comparison(
    comparison: Comparison,
    out: Path | None,
    resume: bool = False,
    engine: Engine = Processes(),
    command: Sequence[str] = (),
    tick: Tick = untold,
    checkpoint_minutes: float = CHECKPOINT_MINUTES,
    loggers: Sequence[str] = (),
    run_timeout: float | None = None,
    jobs: Jobs | None = None,
) -> Compared:
    """Run what is not yet stored in `out`, then write and return the results.

    out: None keeps everything in memory. engine: where runs are carried out. command: as the shell split it, for the
    report. tick: told label, seed and how many epochs are done. checkpoint_minutes: between two of a run.
    loggers: `csv`, `tensorboard`, see `calmix.train.Loggers`. run_timeout: minutes that a run may take. jobs: the list
    that the runs stand on, if there is one.

    A run that fails is named in the results with its reason, and the others go on; so is one that another process
    carries out. One that is stopped leaves its newest checkpoint, from which it goes on.

    Raises:
        DataError: `out` cannot be written, holds results and `resume` is False, or holds runs with other settings;
            so many runs failed that there is nothing to compare.
        Whatever the data or the network raise before the first run.
    """
    if out is None and resume:
        raise SettingError("resume goes on in a folder; give out, too.")
    if out is None and loggers:
        raise SettingError("loggers write in a folder; give out, too.")
    log = None if out is None else Loggers(out, tuple(loggers))
    orders = Orders(tick, loggers=log, run_timeout=run_timeout)
    recipes = comparison.recipes
    recipes[0].network()  # bad data and models fail first
    checkpoints = None if out is None else Checkpoints(out, checkpoint_minutes)
    store = InMemory() if checkpoints is None else InFolder(checkpoints, resume, jobs)
    store.refuse()
    comparison.check()  # before anything is written
    with nullcontext() if out is None else hold_folder(out):
        store.refuse()  # what was finished in the meantime
        stored = {key_of(recipe): store.stored(recipe) for recipe in recipes}
        records = {key: record for key, record in stored.items() if record is not None}
        for label, seed in records:
            tick(label, seed, comparison.settings_of(label).epochs, None)
        todo = [recipe for recipe in recipes if key_of(recipe) not in records]
        ended = carry_out_runs(todo, store, engine, orders)
        records |= {(record.method, record.seed): record for record in (*ended.before, *ended.here)}
        failures = [*ended.failures, *ended.elsewhere]
        if checkpoints is not None:
            checkpoints.close()
        results = _results(comparison, records, failures, tuple(command))
        for record in _costs(recipes, results.compared):
            store.rewrite(record)
            records[record.method, record.seed] = record
        results = replace(results, records=[records[one.method, one.seed] for one in results.records])
        mistakes = find_mistakes(results, store.predictions, recipes)
        if out is not None:
            write_mistakes(out, mistakes)
            write_results(out, results)
    return Compared(results, store.predictions, mistakes)


def _costs(recipes: Sequence[Recipe], records: Sequence[Record]) -> Iterator[Record]:
    """The first record of each method whose cost was not measured, with its cost: once a method is enough.

    A cost that was measured on another kind of machine than this one is measured again, or it could not be compared
    with the others; one whose machine is not known stays.
    """
    here = machine_of(recipes[0].settings)

    def stays(record: Record) -> bool:
        return record.cost_machine is None or record.cost_machine.kind == here.kind

    known = {record.method for record in records if record.relative_cost is not None and stays(record)}
    by_run = {key_of(recipe): recipe for recipe in recipes}
    for record in records:
        if record.method not in known:
            known.add(record.method)
            cost = cost_of(by_run[record.method, record.seed])
            yield replace(record, relative_cost=cost, cost_machine=here)
        elif record.relative_cost is not None and not stays(record):
            yield replace(record, relative_cost=None, cost_machine=None)


def _results(
    comparison: Comparison, records: Mapping[Key, Record], failures: Sequence[Failure], command: tuple[str, ...]
) -> Results:
    """The finished runs, in order. Raise DataError where no seed was finished by every method that finished one."""
    finished = [records[key] for key in map(key_of, comparison.recipes) if key in records]
    if finished:
        methods = list(dict.fromkeys(record.method for record in finished))
        given = comparison.reference if comparison.reference in methods else None
        facts = facts_of(comparison.recipes[0], command)
        results = Results(facts, finished, references(methods, given)[0], tuple(failures))
        if results.compared:
            return results
    first = failures[0]
    raise DataError(
        f"{len(failures)} of {len(comparison.recipes)} runs failed, so there is nothing to compare; the first, "
        f"{first.method} with seed {first.seed}: {first.reason}"
    )
