"""A finished search as a value, and its files.

OUT/tuning.json  what was searched, all trials, the default against the chosen: for people and programs
OUT/results.csv  a row a training
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from calmix.data import DataSource
from calmix.errors import CalmixError, DataError
from calmix.models import ModelFactory, name_of
from calmix.reading import known, read_json, typed
from calmix.reprs import shown
from calmix.results.catalogue import Column
from calmix.results.files import write_csv, write_json
from calmix.results.records import Failure, Record, as_json, from_json, scores_of
from calmix.results.scores import Scores, column_name
from calmix.results.store import DataFacts, RunFacts, Setting
from calmix.studies.tuning.decision import Gain
from calmix.studies.tuning.search import Plan
from calmix.studies.tuning.trials import Trial, columns_of

DEFAULT, CHOSEN, PLAIN = "default", "chosen", "plain"  # the last trainings, by name; plain: plain training, tuned


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a search found.

    trials: all of them, method by method, with what all their weights gave; the next three have those that they keep.
    default: the first method as it is. chosen: the best on validation rows. plain: the best plain training, if it took
    part and is neither of these. finals: by name the records of the last trainings, with fresh seeds, which alone were
    tested. gain: of the chosen on the default; None where the chosen is the default. failures: of the last trainings.
    train: how a command begins that trains on the same data. python: the lines that train the winner.
    """

    facts: RunFacts
    plan: Plan
    trials: Sequence[Trial]
    default: Trial
    chosen: Trial
    plain: Trial | None
    finals: Mapping[str, Sequence[Record]]
    gain: Gain | None
    failures: Sequence[Failure] = ()
    train: Sequence[str] = ()
    python: Sequence[str] = ()

    @property
    def winner(self) -> Trial:
        """What to take: the default, unless the chosen gains more than one standard error."""
        return self.chosen if self.gain is not None and self.gain.pays else self.default

    @property
    def train_command(self) -> list[str]:
        """The command that trains the winner; empty where the search was begun from Python."""
        if not self.train:
            return []
        settings = self.winner.settings
        options = {
            "--epochs": settings.epochs,
            "--learning-rate": settings.peak_rate,
            "--weight-decay": settings.weight_decay,
        }
        changed = [text for name, value in options.items() for text in (name, f"{value:g}")]
        if settings.average != self.default.settings.average:
            changed += ["--average", settings.average]
        if settings.refresh_batch_norm and not self.default.settings.refresh_batch_norm:
            changed.append("--refresh-batch-norm")
        return [*self.train, "--method", self.winner.text, *changed]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The goal, and what stands beside it."""
        return columns_of(self.facts.regression)

    @property
    def tested(self) -> Scores:
        """What the last trainings gave on the test rows, by name and seed."""
        return scores_of(record for records in self.finals.values() for record in records)

    @property
    def named(self) -> dict[str, Trial]:
        """The trials that were trained anew, by name."""
        known = {DEFAULT: self.default, CHOSEN: self.chosen, PLAIN: self.plain}
        return {name: trial for name, trial in known.items() if trial is not None and name in self.finals}


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Write tuning.json and results.csv."""
    write_json(folder / "tuning.json", outcome_json(outcome))
    write_csv(folder / "results.csv", table_of(outcome))


def outcome_json(outcome: Outcome) -> dict[str, object]:
    """For people and programs."""
    facts = outcome.facts
    return {
        "data": asdict(facts.data),
        "task": facts.task,
        "model": facts.model,
        "settings": dict(facts.settings),
        "command": list(facts.command),
        "date": facts.date,
        "environment": dict(facts.environment),
        "budget": outcome.plan.budget,
        "costs": dict(outcome.plan.costs),
        "goal": column_name(*_key(outcome.columns[0])),
        "trials": [asdict(trial) for trial in outcome.trials],
        "default": outcome.default.label,
        "chosen": outcome.chosen.label,
        "plain": None if outcome.plain is None else outcome.plain.label,
        "winner": outcome.winner.label,
        "gain": None if outcome.gain is None else _finite(asdict(outcome.gain)),
        "tested": {name: [as_json(record) for record in records] for name, records in outcome.finals.items()},
        "failures": [asdict(failure) for failure in outcome.failures],
        "train": list(outcome.train),
        "python": list(outcome.python),
    }


@dataclass(frozen=True)
class _Stored:
    """What is read of tuning.json; the rest follows from it."""

    data: DataFacts
    task: Literal["classification", "binary", "regression"]
    model: str
    settings: Mapping[str, Setting]
    command: Sequence[str]
    date: str
    environment: Mapping[str, str]
    budget: float
    costs: Mapping[str, float]
    trials: Sequence[Mapping[str, Any]]
    default: str
    chosen: str
    plain: str | None
    gain: Mapping[str, Any] | None
    tested: Mapping[str, Sequence[Mapping[str, Any]]]
    failures: Sequence[Failure]
    train: Sequence[str]
    python: Sequence[str]


def read_outcome(folder: Path) -> Outcome:
    """The finished search in a folder.

    Raises:
        DataError: it holds none, or a tuning.json that is damaged.
    """
    path = folder / "tuning.json"
    try:
        return _from_json(read_json(path))
    except (CalmixError, StopIteration) as error:
        reason = str(error).rstrip(".") or "a trial that it names is missing"
        raise DataError(
            f"{path} is damaged ({reason}); write it again with the command that made it and --resume."
        ) from None


def _from_json(raw: object) -> Outcome:
    stored = typed(_Stored, known(_Stored, raw))
    facts = RunFacts(
        stored.data, stored.task, stored.model, stored.settings, stored.environment, stored.command, stored.date
    )
    trials = [_trial_of(trial) for trial in stored.trials]

    def named(label: str) -> Trial:
        return next(trial for trial in trials if trial.label == label)

    return Outcome(
        facts,
        Plan(stored.budget, stored.costs),
        trials,
        named(stored.default).as_given,
        named(stored.chosen).settled,
        None if stored.plain is None else named(stored.plain).settled,
        {name: [from_json(record) for record in records] for name, records in stored.tested.items()},
        None if stored.gain is None else _gain_of(stored.gain),
        stored.failures,
        stored.train,
        stored.python,
    )


def table_of(outcome: Outcome) -> pd.DataFrame:
    """A row a training: those of the search on the rows that were chosen by, the last ones on the test rows."""
    keys = [column_name(*_key(column)) for column in outcome.columns]
    rows = []
    for trial in (trial.settled for trial in outcome.trials):
        for run in trial.runs:
            rows.append(("search", trial, run.seed, (run.goal, *run.beside), run.seconds))
    for name, records in outcome.finals.items():
        for record in records:
            found = [record.metrics[column.condition][column.key] for column in outcome.columns]
            rows.append((name, outcome.named[name], record.seed, found, record.train_seconds))
    return pd.DataFrame(
        [
            {
                "stage": stage,
                "method": trial.family,
                "trial": trial.number,
                "made_by": trial.text,
                "learning_rate": trial.settings.peak_rate,
                "weight_decay": trial.settings.weight_decay,
                "epochs": trial.settings.epochs,
                "weights": trial.settings.weights,
                "seed": seed,
                **dict(zip(keys, values, strict=True)),
                "cost": trial.cost,
                "train_seconds": seconds,
            }
            for stage, trial, seed, values, seconds in rows
        ]
    )


def _key(column: Column) -> tuple[str, str]:
    return column.condition, column.key


def _trial_of(raw: Mapping[str, Any]) -> Trial:
    """A stored trial. The machine that reads it may have no GPU, so that it is not asked for one."""
    settings = dict(typed(Mapping[str, Any], raw.get("settings", {})))
    return typed(Trial, {**raw, "settings": {**settings, "device": "auto", "precision": "32"}})


def _gain_of(raw: Mapping[str, Any]) -> Gain:
    """A stored gain, whose error is none where it is not known."""
    gain: Gain = typed(Gain, {**raw, "error": raw.get("error") or 0.0})
    return gain if raw.get("error") is not None else replace(gain, error=inf)


def _finite(gain: dict[str, object]) -> dict[str, object]:
    """An error that is not known, infinite, as JSON has it: none."""
    return {name: None if value == float("inf") else value for name, value in gain.items()}


def python_lines(source: DataSource, model: ModelFactory | None, trial: Trial) -> list[str]:
    """The lines that train with a trial's settings. Data and networks that are objects are those of the script."""
    network = "" if model is None else f", model={name_of(model)}"
    data = re.sub(r"\b(Posix|Windows)Path\(", "Path(", repr(source))
    call = f"Recipe({data}, 'tuned', read_method({trial.text!r}){network}"
    return [
        *(["from pathlib import Path"] if "Path(" in data else []),
        "from calmix.data import *",
        "from calmix.methods.read import read_method",
        "from calmix.train import Recipe, TrainingSettings, train",
        f"network = train({call}, settings={shown(trial.settings)})).model",
    ]
