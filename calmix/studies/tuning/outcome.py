"""A finished search as a value, and its files.

OUT/tuning.json  what was searched, all trials, the default against the chosen: for people and programs
OUT/results.csv  a row a training
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from calmix.results.catalogue import SCALED_NLL, Column
from calmix.results.files import write_csv, write_json
from calmix.results.records import Failure, Record, as_json, scores_of
from calmix.results.scores import Scores, column_name
from calmix.results.store import RunFacts
from calmix.studies.tuning.decision import Gain
from calmix.studies.tuning.search import Plan
from calmix.studies.tuning.trials import Trial, columns_of

DEFAULT, CHOSEN, PLAIN = "default", "chosen", "plain"  # the last trainings, by name; plain: plain training, tuned


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a search found.

    trials: all of them, method by method. default: the first method as it is. chosen: the best on validation rows.
    plain: the best plain training, if it took part and is neither of these. finals: by name the records of the last
    trainings, with fresh seeds, which alone were tested. gain: of the chosen on the default; None where the chosen is
    the default. failures: of the last trainings. train: how a command begins that trains on the same data.
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
        "trials": [_trial_json(trial) for trial in outcome.trials],
        "default": outcome.default.label,
        "chosen": outcome.chosen.label,
        "plain": None if outcome.plain is None else outcome.plain.label,
        "winner": outcome.winner.label,
        "gain": None if outcome.gain is None else _finite(asdict(outcome.gain)),
        "tested": {name: [as_json(record) for record in records] for name, records in outcome.finals.items()},
        "failures": [asdict(failure) for failure in outcome.failures],
    }


def table_of(outcome: Outcome) -> pd.DataFrame:
    """A row a training: those of the search on the rows that were chosen by, the last ones on the test rows."""
    keys = [column_name(*_key(column)) for column in outcome.columns]
    rows = []
    for trial in outcome.trials:
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


def _trial_json(trial: Trial) -> dict[str, object]:
    return {**asdict(trial), "settings": repr(trial.settings), "cost": trial.cost}


def _finite(gain: dict[str, object]) -> dict[str, object]:
    """An error that is not known, infinite, as JSON has it: none."""
    return {name: None if value == float("inf") else value for name, value in gain.items()}


def goal_in_words(outcome: Outcome) -> str:
    """The goal in a sentence."""
    goal = outcome.columns[0]
    return "the NLL after temperature scaling" if goal == SCALED_NLL else f"the {goal.title}"
