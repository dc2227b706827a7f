"""Settings of methods and of their training, chosen by an honest search.

    OUT/runs/SLUG-N-seed0.json       one training of the search: trial N of a method, judged on rows to choose by
    OUT/runs/default-seed5.json      one of the last trainings, and its test predictions in OUT/predictions
    OUT/search.json                  see `calmix.studies.tuning.begun`
    OUT/tuning.json, results.csv     see `calmix.studies.tuning.outcome`
    OUT/report.html, figures/        drawn from the above

Finished trainings in files are all that a search remembers: it goes on by asking for the same trials again.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from calmix.core import require
from calmix.core.batch_norm import has_batch_norm
from calmix.data import DataSource, as_source
from calmix.engines import Engine, Orders, Processes, Tick, engine_of
from calmix.engines.engine import untold
from calmix.errors import DataError, SettingError
from calmix.methods.defaults import tuned
from calmix.methods.erm import erm
from calmix.models import ModelFactory
from calmix.posthoc import CalibrationLogits
from calmix.posthoc.temperature import cross_fitted_nll
from calmix.reading import known, read_json, typed
from calmix.results.files import (
    NamedArrays,
    check_labels,
    hold_folder,
    refuse_finished,
    refuse_other_run,
    refuse_others,
    write_json,
)
from calmix.results.jobs import same_run
from calmix.results.records import Epoch, Failure, Record, read_predictions, read_record, save_record, write_record
from calmix.studies.tuning.begun import Begun, write_begun
from calmix.studies.tuning.decision import Gain, gain_of, row_losses
from calmix.studies.tuning.defaults import DEFAULT_BUDGET, DEFAULT_FRESH, SAMPLERS, check_search
from calmix.studies.tuning.families import PLAIN as PLAIN_FAMILY
from calmix.studies.tuning.families import Family, Maker, families_of, family_of
from calmix.studies.tuning.outcome import CHOSEN, DEFAULT, PLAIN, Outcome, python_lines, write_outcome
from calmix.studies.tuning.points import STARTUP, check_sampler, shared_settings
from calmix.studies.tuning.rows import OneTest, Untested
from calmix.studies.tuning.search import RUNGS, Plan, search
from calmix.studies.tuning.trials import OtherWeights, Trial, TrialRun, best_of, chosen_of
from calmix.studies.tuning.tuned import Tuned
from calmix.studies.tuning.weights import other_weights
from calmix.train import Checkpoints, Recipe, TrainingSettings
from calmix.train.cost import counted_cost
from calmix.train.recipe import facts_of
from calmix.train.running import try_step

FIRST_FRESH = RUNGS[-1]  # the first seed that no search uses
_LAST = 3  # at most so many settings are trained anew
_SHORT = 10.0  # seconds of a training, below which loading libraries would count
_WORTH_PROCESSES = 60.0  # seconds of training in one process, above which several are started
_CHOICE, _SCALED = "validation", "scaled"  # conditions of the records of a search


@dataclass(frozen=True)
class Tuning:
    """What to search: families of methods, on one source, with one network.

    settings: of the first trial of every method, and the middle of what is searched; the first family with them is the
    default, which the chosen settings must beat. budget: in plain trainings of these settings. fresh: seeds of the last
    trainings. learning: whether later options are proposed by TPE. first: the first seed of the search.
    """

    data: OneTest
    families: tuple[Family, ...]
    model: ModelFactory | None = None
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    budget: float = DEFAULT_BUDGET
    fresh: int = DEFAULT_FRESH
    seed: int = 0
    learning: bool = True
    first: int = 0

    def __post_init__(self) -> None:
        check_search(SAMPLERS[0], self.fresh)
        check_labels([family.name for family in self.families])

    @property
    def regression(self) -> bool:
        return self.data.splits(0).about.task == "regression"

    @cached_property
    def costs(self) -> dict[str, float]:
        """Of a training step of each method, in plain ones, as operations are counted: the same everywhere."""
        firsts = [self.recipe(Trial(family.name, 0, {}, family.name, self.settings, 1.0)) for family in self.families]
        return {family.name: counted_cost(recipe) for family, recipe in zip(self.families, firsts, strict=True)}

    @cached_property
    def has_batch_norm(self) -> bool:
        """Whether the network has running statistics, which may be refreshed."""
        return has_batch_norm(self.recipe(Trial(self.families[0].name, 0, {}, "", self.settings, 1.0)).network())

    def recipe(self, trial: Trial, seed: int = 0) -> Recipe:
        """A training of the search, which cannot see a test row. seed: counted from the first one."""
        return self._recipe(trial, Untested(self.data), trial.label, self.first + seed)

    def with_weights(self, recipe: Recipe) -> Recipe:
        """The same training, of which further weights are judged, too."""
        also = other_weights(recipe.settings, self.has_batch_norm, recipe.method.controlled)
        return replace(recipe, also=also)

    def last_recipe(self, trial: Trial, name: str, number: int) -> Recipe:
        """One of the last trainings, with a fresh seed."""
        return self._recipe(trial, self.data, name, FIRST_FRESH + number)

    def _recipe(self, trial: Trial, data: DataSource, label: str, seed: int) -> Recipe:
        [family] = (family for family in self.families if family.name == trial.family)
        method = family.method(trial.options)
        return Recipe(data, label, method, self.model, trial.settings, seed)

    def check(self) -> None:
        """Raise a CalmixError where data, network, methods or budget do not fit together; no test row is looked at."""
        for family in self.families:
            try_step(self.recipe(Trial(family.name, 0, {}, family.name, self.settings, 1.0)))
        plan, many = self.plan, shared_settings(self.settings, 2 * STARTUP, self.seed)
        learns = [plan.trials(family.name, many) > STARTUP for family in self.families if family.space]
        if self.learning and any(learns):
            check_sampler("tpe")

    @property
    def plan(self) -> Plan:
        """Who may spend what. Raise SettingError where that is too little."""
        return Plan(self.budget, self.costs)

    @property
    def trainings(self) -> int:
        """At most how many plain trainings all of it is worth, the last ones included."""
        return ceil(self.budget + _LAST * self.fresh * max(self.costs.values()))


def tune(
    data: Any,
    methods: Sequence[Maker | Family] | None = None,
    *,
    budget: float | None = None,
    minutes: float | None = None,
    model: ModelFactory | None = None,
    target: str | None = None,
    settings: TrainingSettings | None = None,
    fresh: int = DEFAULT_FRESH,
    seed: int = 0,
    search: str = "tpe",
    out: Path | str | None = None,
    resume: bool = False,
    workers: int = 1,
    executor: Executor | Engine | None = None,
    run_timeout: float | None = None,
) -> Tuned:
    """Search the options of methods and the settings of their training, and test what was chosen, once.

    Every method has the same budget of training cost, plain training too, and meets the same learning rates, weight
    decays and numbers of epochs. Trials are judged on rows that are neither trained on nor tested, by the NLL after a
    cross-fitted temperature, or by the RMSE; the better third of a method's trials is trained with 3 seeds, the better
    third of these with 5. Then the default, which is the first method as it is, and the best of all are trained with
    fresh seeds and tested; the default stays unless the gain exceeds one standard error.

    Args:
        data, model, target: as in `calmix.compare`. One test split is drawn from `seed` and stays the same.
        methods: functions of calmix, such as `calmix.sk_mixup`, or a `Family` with ranges of your own; None: Similarity
            Kernel Mixup, plain training and Mixup, of values plain training first.
        budget: of the search, in plain trainings with `settings` (60, unless given); the last trainings come on top.
        minutes: instead, about how long it may all take here.
        settings: those of the default, and the middle of what is searched.
        fresh: seeds of the last trainings.
        search: `tpe`, which learns from a method's first eight trials and needs Optuna for more, or `quasi-random`.
        out, resume, workers, executor, run_timeout: as in `calmix.compare`. A search that was stopped may go on with a
            larger budget; one that has finished may not, as it has looked at its test rows.

    Raises:
        SettingError, ShapeError, DataError: what does not fit, a budget that is too small, or a folder that holds other
            results.

    >>> from calmix import erm, mixup
    >>> from calmix.data import NamedSet
    >>> found = tune(NamedSet("wine"), [erm, mixup], budget=8, settings=TrainingSettings(epochs=2), fresh=1)
    >>> found.default.text, len(found.trials), found.recipe().settings.epochs
    ('erm', 4, 2)
    """
    check_search(search, fresh)
    engine = engine_of(workers, executor)
    if budget is not None and minutes is not None:
        raise SettingError("give a budget in trainings, or in minutes, and not both.")
    source = OneTest(as_source(data, target), seed)
    regression = source.splits(0).about.task == "regression"
    if methods is None:
        families = tuple(family_of(name, regression) for name in tuned(regression))
    else:
        families = families_of(methods, regression)
    budget, folder = DEFAULT_BUDGET if budget is None else budget, None if out is None else Path(out)
    settings = settings or TrainingSettings()
    tuning = Tuning(source, families, model, settings, budget, fresh, seed, search == "tpe")
    if minutes is not None:
        tuning = in_minutes(tuning, minutes, folder, resume, workers)
    return carry_out_tuning(tuning, folder, resume, engine, run_timeout=run_timeout)


def carry_out_tuning(
    tuning: Tuning,
    out: Path | None,
    resume: bool = False,
    engine: Engine = Processes(),
    command: Sequence[str] = (),
    train: Sequence[str] = (),
    tick: Tick = untold,
    run_timeout: float | None = None,
) -> Tuned:
    """Search and test, without what is stored in `out`, then write and return what was found.

    engine: where trainings are carried out; as few processes as pay, where it is `Processes()`.
    command: as the shell split it, for the report. train: how a command begins that trains on the same data.
    tick: told label, seed and what is done, in epochs of a plain training. run_timeout: minutes for each training.

    Raises:
        DataError: `out` cannot be written, holds results and `resume` is False, or holds other trainings; or the
            default cannot be trained.
        Whatever the data or the network raise before the first training.
    """
    with _searched(tuning, out, resume, engine, command, Orders(tick, run_timeout=run_timeout)) as (trainings, trials):
        outcome = _tested(tuning, tuning.plan, trials, trainings, tuple(command), tuple(train))
        if out is not None:
            trainings.close()
            write_outcome(out, outcome)
    return Tuned(outcome, tuning.data, tuning.model, {family.name: family for family in tuning.families})


def carry_out_search(
    tuning: Tuning,
    out: Path,
    resume: bool = False,
    engine: Engine = Processes(),
    command: Sequence[str] = (),
    tick: Tick = untold,
    run_timeout: float | None = None,
) -> list[Trial]:
    """The trials of a search, as `carry_out_tuning` makes them; no test row is looked at."""
    with _searched(tuning, out, resume, engine, command, Orders(tick, run_timeout=run_timeout)) as (trainings, trials):
        trainings.close()
    return trials


@contextmanager
def _searched(
    tuning: Tuning, out: Path | None, resume: bool, engine: Engine, command: Sequence[str], orders: Orders
) -> "Iterator[tuple[_Trainings, list[Trial]]]":
    """While the folder is held: who trains, and all trials."""
    if out is None and resume:
        raise SettingError("resume goes on in a folder; give out, too.")
    if out is not None:
        _refuse(out, resume)
    tuning.check()
    with nullcontext() if out is None else hold_folder(out):
        if out is not None:
            _refuse(out, resume)
        trainings, plan = _Trainings(tuning, out, engine, orders), tuning.plan
        if out is not None:
            _refuse_another_look(out, plan.budget)
            write_begun(out, Begun(tuple(plan.costs), plan.budget, tuple(command)))
        yield trainings, search(tuning.families, plan, tuning.settings, trainings.measure, tuning.seed, tuning.learning)


def _refuse(out: Path, resume: bool) -> None:
    if not resume:
        refuse_finished(out, "add --resume to go on, or give another --out")
    refuse_others(out, "tuning.json")


def _refuse_another_look(out: Path, budget: float) -> None:
    """Raise DataError where a finished search had another budget: its choice has met the test rows."""
    finished = out / "tuning.json"
    if not finished.exists():
        return
    had = typed(_Finished, known(_Finished, read_json(finished))).budget
    if had != budget:
        raise DataError(
            f"{out} holds a finished search with a budget of {had:g} trainings, which has looked at its test rows; "
            "give another --out, and another --seed for other test rows."
        )


@dataclass(frozen=True)
class _Finished:
    """What is read of tuning.json."""

    budget: float


def in_minutes(
    tuning: Tuning, minutes: float, out: Path | None = None, resume: bool = False, workers: int | None = None
) -> Tuning:
    """The search with the budget that fits into so many minutes here, by a plain training that is measured.

    What was measured is kept in OUT/budget.json, and a search that goes on keeps the budget that it began with.

    Raises:
        SettingError: too few minutes. DataError: as `carry_out_tuning`.
    """
    require.positive("minutes", minutes)
    if out is not None:
        _refuse(out, resume)
        if (out / "budget.json").exists():
            had = typed(Mapping[str, float], read_json(out / "budget.json"))
            if had.get("minutes") == minutes and had.get("trainings", 0) > 0:
                return replace(tuning, budget=had["trainings"])
    seconds = _seconds_of_plain(tuning)
    last = _LAST * tuning.fresh * max(tuning.costs.values())
    budget = int(60 * minutes * (workers or 1) / seconds - last)
    try:
        planned = replace(tuning, budget=budget)
        _ = planned.plan
    except SettingError:
        raise SettingError(
            f"a plain training takes {seconds:.1f} s here, and {minutes:g} minutes are too few to search; give more "
            "minutes, fewer epochs, methods or rows."
        ) from None
    if out is not None:
        with hold_folder(out):
            write_json(out / "budget.json", {"minutes": minutes, "trainings": budget})
    return planned


def _seconds_of_plain(tuning: Tuning) -> float:
    """Of a plain training with the settings that were given, and all that belongs to it; the second, if it is short.

    The first one of a process also loads libraries.
    """
    first = tuning.recipe(Trial(tuning.families[0].name, 0, {}, "", tuning.settings, 1.0))
    recipe, seconds = replace(first, label="timed", method=erm()), 0.0
    for _ in range(2):
        if seconds < _SHORT:
            start = time.perf_counter()
            [end] = Processes(1).carry_out([recipe])
            seconds = time.perf_counter() - start
            if isinstance(end, Failure):
                raise DataError(f"plain training failed: {end.reason}")
    return seconds


class _Trainings:
    """Trainings that are carried out, unless a folder has them."""

    def __init__(self, tuning: Tuning, out: Path | None, engine: Engine, orders: Orders) -> None:
        self.tuning, self.out, self.engine, self.orders = tuning, out, engine, orders
        self.checkpoints = None if out is None else Checkpoints(out)
        self._seconds: list[float] = []  # of the trainings that were carried out
        self._costs: dict[str, float] = {}  # of a training, in plain ones, by label
        self.goal_columns = ("rmse", "mae", "r2") if tuning.regression else ("scaled_nll", "nll", "accuracy")

    def measure(self, asked: Sequence[tuple[Trial, int]]) -> list[TrialRun | str]:
        """What trials gave on the rows to choose by."""
        recipes = [self.tuning.with_weights(self.tuning.recipe(trial, seed)) for trial, seed in asked]
        self._costs |= {trial.label: trial.cost for trial, _ in asked}
        found = self._carry_out(recipes, self._stored, self._keep)
        return [
            end.reason if isinstance(end, Failure) else self._run(end[0], recipe.also)
            for end, recipe in zip(found, recipes, strict=True)
        ]

    def last(self, named: Mapping[str, Trial]) -> "list[tuple[Record, NamedArrays] | Failure]":
        """The last trainings, with their test predictions, seed by seed."""
        self._costs |= {name: trial.cost for name, trial in named.items()}
        recipes = [
            self.tuning.last_recipe(trial, name, number)
            for number in range(self.tuning.fresh)
            for name, trial in named.items()
        ]
        return self._carry_out(recipes, self._stored_last, self._keep_last)

    def close(self) -> None:
        if self.checkpoints is not None:
            self.checkpoints.close()

    def _carry_out(
        self,
        recipes: Sequence[Recipe],
        stored: "Callable[[Path, Record], NamedArrays | None]",
        keep: "Callable[[Record, NamedArrays], Record]",
    ) -> "list[tuple[Record, NamedArrays] | Failure]":
        found: dict[tuple[str, int], tuple[Record, NamedArrays] | Failure] = {}
        for recipe in recipes:
            record = None if self.out is None else read_record(self.out, recipe.label, recipe.seed)
            if record is None or self.out is None:
                continue
            if not same_run(record.recipe, recipe.text):
                refuse_other_run(self.out, recipe.label)
            predictions = stored(self.out, record)
            if predictions is not None:
                found[recipe.label, recipe.seed] = record, predictions
                self._tick(recipe.label, recipe.seed, recipe.settings.epochs, None, of=recipe.settings.epochs)
        todo = [recipe for recipe in recipes if (recipe.label, recipe.seed) not in found]
        if todo:
            for ended in self._carried_out(todo):
                if isinstance(ended, Failure):
                    found[ended.method, ended.seed] = ended
                    continue
                record = keep(*ended)
                found[record.method, record.seed] = record, ended[1]
                self._seconds.append(record.train_seconds)
                if self.checkpoints is not None:
                    self.checkpoints.remove(record.method, record.seed)
        return [found[recipe.label, recipe.seed] for recipe in recipes]

    def _carried_out(self, todo: Sequence[Recipe]) -> "Iterator[tuple[Record, NamedArrays] | Failure]":
        """By the engine, or, where none was asked for, in processes where these pay.

        The first training, which is carried out here, tells how long one takes.
        """
        epochs = {recipe.label: recipe.settings.epochs for recipe in todo}

        def tick(label: str, seed: int, done: int, entry: Epoch | None) -> None:
            self._tick(label, seed, done, entry, of=epochs[label])

        engine, orders = self.engine, replace(self.orders, tick=tick, checkpoints=self.checkpoints)
        if engine == Processes():
            if not self._seconds:
                yield from Processes(1).carry_out(todo[:1], orders)
                todo = todo[1:]
            if len(todo) * fmean(self._seconds or [0.0]) < _WORTH_PROCESSES:
                engine = Processes(1)
        yield from engine.carry_out(todo, orders)

    def _run(self, record: Record, also: Sequence[TrainingSettings]) -> TrialRun:
        goal, beside = self._judged(record, _CHOICE)
        others = [(one, self._judged(record, f"{_CHOICE}/{one.weights}")) for one in also]
        weights = tuple(OtherWeights(one.average, one.refresh_batch_norm, *judged) for one, judged in others)
        return TrialRun(record.seed, goal, beside, record.train_seconds, weights)

    def _judged(self, record: Record, condition: str) -> tuple[float, tuple[float, float]]:
        """The goal, and what stands beside it."""
        found = dict(record.metrics[condition])
        if (scaled := f"{condition}/{_SCALED}") in record.metrics:
            found["scaled_nll"] = record.metrics[scaled]["nll"]
        goal, *beside = (found[key] for key in self.goal_columns)
        return goal, (beside[0], beside[1])

    def _stored(self, folder: Path, record: Record) -> NamedArrays | None:
        return {} if _CHOICE in record.metrics else None

    def _stored_last(self, folder: Path, record: Record) -> NamedArrays | None:
        try:
            return read_predictions(folder, record)
        except DataError:
            return None

    def _keep(self, record: Record, predictions: NamedArrays) -> Record:
        record = judged(record, predictions)
        if self.out is not None:
            write_record(self.out, record)
        return record

    def _keep_last(self, record: Record, predictions: NamedArrays) -> Record:
        if self.out is not None:
            save_record(self.out, record, predictions)
        return record

    def _tick(self, label: str, seed: int, done: int, entry: Epoch | None, of: int) -> None:
        """What is done in epochs of a plain training, of a training of so many epochs."""
        plain = self.tuning.settings.epochs * self._costs[label]
        self.orders.tick(label, seed, round(plain * done / of), entry)


def judged(record: Record, predictions: NamedArrays) -> Record:
    """The record of a training whose `test` rows were those to choose by: what it says of them, under its true name.

    Of classes with the NLL after a cross-fitted temperature, as no other rows are calibrated on. Other weights of the
    same training, those under `also`, are judged in the same way.
    """
    metrics = {}
    for condition, found in record.metrics.items():
        if condition != "plain" and not condition.startswith("also/"):
            continue
        choice = condition.replace("also", _CHOICE, 1) if condition != "plain" else _CHOICE
        metrics[choice] = dict(found)
        if "logits" in predictions:
            logits = predictions["logits" if condition == "plain" else condition]
            said = CalibrationLogits(torch.from_numpy(logits), torch.from_numpy(predictions["labels"]))
            metrics[f"{choice}/{_SCALED}"] = {"nll": cross_fitted_nll(said)}
    return replace(record, metrics=metrics, temperature=None)


def _tested(
    tuning: Tuning,
    plan: Plan,
    trials: Sequence[Trial],
    trainings: _Trainings,
    command: tuple[str, ...],
    train: tuple[str, ...],
) -> Outcome:
    """Choose, train the default and the chosen with fresh seeds, and open the test split."""
    default, best = trials[0].as_given, chosen_of(trials)
    if best is None or default.failure:
        raise DataError(f"{default.family} cannot be trained with the settings that were given: {default.failure}")
    chosen, plain = best.settled, best_of([trial for trial in trials if trial.family == PLAIN_FAMILY])
    plain = None if plain is None or plain.settled in (chosen, default) else plain.settled
    again = {DEFAULT: default, CHOSEN: None if chosen == default else chosen, PLAIN: plain}
    named = {name: trial for name, trial in again.items() if trial is not None}
    ended = trainings.last(named)
    failures = [end for end in ended if isinstance(end, Failure)]
    failed = {failure.seed for failure in failures}
    kept = [end for end in ended if not isinstance(end, Failure) and end[0].seed not in failed]
    if not kept:
        raise DataError(f"the last trainings failed; the first: {failures[0].reason}")
    finals = {name: [record for record, _ in kept if record.method == name] for name in named}
    said = {name: [arrays for record, arrays in kept if record.method == name] for name in finals}
    facts = facts_of(tuning.last_recipe(default, DEFAULT, 0), command)
    outcome = Outcome(facts, plan, trials, default, chosen, plain, finals, _gain(said), failures, train)
    return replace(outcome, python=python_lines(tuning.data.source, tuning.model, outcome.winner))


def _gain(said: dict[str, list[NamedArrays]]) -> Gain | None:
    if CHOSEN not in said:
        return None
    default, chosen = (np.array([row_losses(one) for one in said[name]]) for name in (DEFAULT, CHOSEN))
    return gain_of(default, chosen)
