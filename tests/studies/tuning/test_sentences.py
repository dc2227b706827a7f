"""What is said of designed searches."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import pytest

from calmix.results.records import Failure, Record
from calmix.results.store import DataFacts, RunFacts
from calmix.studies.tuning.decision import Gain
from calmix.studies.tuning.figures import prepare_last, prepare_search
from calmix.studies.tuning.outcome import Outcome, outcome_json
from calmix.studies.tuning.page import final_table, tuning_page
from calmix.studies.tuning.search import Plan
from calmix.studies.tuning.sentences import tuning_advice
from calmix.studies.tuning.trials import Trial, TrialRun
from calmix.train import TrainingSettings

SIZES = {"train": 600, "validation": 100, "calibration": 100, "test": 200}
DATA = DataFacts("made up", "nowhere", "table", ("a", "b"), ("x",), (1,), SIZES)
FACTS = RunFacts(DATA, "classification", "mlp", {"epochs": 30, "select": "last"}, {"python": "3"}, ("calmix", "tune"))


def runs(*goals: float) -> tuple[TrialRun, ...]:
    return tuple(TrialRun(seed, goal, (2 * goal, 0.9), 1.0) for seed, goal in enumerate(goals))


ERM = Trial("erm", 0, {}, "erm", TrainingSettings(), 1.0, runs(0.5, 0.7, 0.6))
MIXUP = Trial(
    "mixup", 1, {"alpha": 0.3}, "mixup(alpha=0.3)", TrainingSettings(epochs=20, learning_rate=0.03), 0.67,
    runs(0.4, 0.6, 0.5),
)  # fmt: skip
FIRST = replace(ERM, family="mixup", text="mixup", runs=runs(0.6))


def records(name: str, scaled: float) -> Sequence[Record]:
    metrics = {"plain": {"nll": scaled + 0.1, "accuracy": 0.9}, "scaled": {"nll": scaled}}
    return [Record(name, "", seed, metrics, 1.0, 1.0, None, 1, (), "") for seed in (5, 6)]


def outcome(gain: Gain | None, facts: RunFacts = FACTS, trials: Sequence[Trial] = (ERM, FIRST, MIXUP)) -> Outcome:
    finals = {"default": records("default", 0.7), **({} if gain is None else {"chosen": records("chosen", 0.5)})}
    chosen = ERM if gain is None else MIXUP
    return Outcome(facts, Plan(20, {"erm": 1.0, "mixup": 1.0}), trials, ERM, chosen, None, finals, gain)


def test_a_gain_beyond_one_standard_error_replaces_the_default():
    said = tuning_advice(outcome(Gain(0.2, 0.05, (0.1, 0.3))))
    assert said.headline == (
        "Take mixup(alpha=0.3) with learning rate 0.03, weight decay 0.0005, 20 epochs: it beats the default, erm."
    )
    assert said.reasons == [
        "On the test rows, over 2 seeds that no search saw, mixup(alpha=0.3) gains 0.2 in NLL after temperature "
        "scaling, more than one standard error, 0.05.",
        "NLL after temperature: 0.700 of the default and 0.500 of what was chosen. Accuracy: 90.0 % of the default and "
        "90.0 % of what was chosen.",
    ]
    assert said.cautions == []


@pytest.mark.parametrize(
    ("gain", "part"),
    [
        (Gain(0.05, 0.05, (0.0, 0.1)), "gains 0.05 in NLL after temperature scaling, no more than one standard error"),
        (Gain(-0.1, 0.05, (0.0, -0.2)), "loses 0.1 in NLL after temperature scaling (one standard error, 0.05)."),
        (Gain(0.1, inf, (0.1,)), "over one seed that no search saw, mixup(alpha=0.3) gains 0.1"),
    ],
)
def test_else_the_default_stays(gain: Gain, part: str):
    found = outcome(gain)
    said = tuning_advice(found)
    assert said.headline == "Keep the default, erm: what the search chose does not beat it on the test rows."
    assert part in said.reasons[0]
    assert found.winner == ERM
    assert outcome_json(found)["winner"] == "erm 0"


def test_a_default_that_won_is_kept():
    said = tuning_advice(outcome(None))
    assert said.headline == "Keep the default, erm: nothing that was tried did better on the rows to choose by."
    assert said.reasons == ["NLL after temperature: 0.700 of the default. Accuracy: 90.0 % of the default."]


def test_what_weakens_a_search_is_said():
    few = replace(FACTS, data=replace(DATA, sizes={**SIZES, "test": 30, "validation": 20}), settings={"select": "best"})
    failed = replace(FIRST, failure="the loss is not finite.", runs=())
    one = replace(MIXUP, runs=runs(0.4))
    found = replace(
        outcome(Gain(0.2, 0.1, (0.2, 0.2)), few, [ERM, failed, one]), failures=(Failure("plain", 5, "why."),)
    )
    said = tuning_advice(found).cautions
    assert said == [
        "There were 120 rows to choose by in a seed: another draw may choose otherwise.",
        "There are 30 test rows: small gains cannot be told.",
        "The epochs were chosen on validation rows that the trials were judged by, too.",
        "1 of 3 trials failed; the first, mixup with learning rate 0.1, weight decay 0.0005, 30 epochs: the loss is "
        "not finite.",
        "1 of the last trainings failed; the first: why.",
        "No trial of mixup has 3 seeds, so that its best may be a lucky one.",
    ]


def test_tables_and_figures_hold_the_numbers():
    found = outcome(Gain(0.2, 0.05, (0.1, 0.3)))
    table = final_table(found)
    assert [row.method for row in table.rows] == ["default: erm", "chosen: mixup(alpha=0.3)"]
    assert [cell.value for cell in table.rows[1].cells] == ["0.500", "0.600", "90.0", "0.03", "0.0005", "20"]
    tried = prepare_search("mixup", [FIRST, replace(FIRST, failure="x"), MIXUP])
    assert [(one.spent, one.first, one.best, one.seeds) for one in tried] == [(1, 0.6, 0.6, 1), (2.67, 0.4, 0.4, 3)]
    assert tried[0].mean is None
    assert (tried[1].mean, tried[1].error) == (pytest.approx(0.5), pytest.approx(0.1 / 3**0.5))
    last = prepare_last(found.tested, found.named, found.columns[0])
    assert [(one.label, list(one.values)) for one in last] == [("erm", [0.7, 0.7]), ("mixup(alpha=0.3)", [0.5, 0.5])]


def test_the_page_has_the_command_and_every_method():
    found = replace(outcome(Gain(0.2, 0.05, (0.1, 0.3))), train=("calmix", "train", "made.csv", "--target", "y"))
    assert found.train_command == [
        "calmix", "train", "made.csv", "--target", "y", "--method", "mixup(alpha=0.3)", "--epochs", "20",
        "--learning-rate", "0.03", "--weight-decay", "0.0005",
    ]  # fmt: skip
    page = tuning_page(found, ["import calmix"])
    terms = next(section.terms for section in page.sections if section.title == "Train it")
    assert terms["command"].endswith(
        "--method 'mixup(alpha=0.3)' --epochs 20 --learning-rate 0.03 --weight-decay 0.0005"
    )
    spent = next(section.tables[0].table for section in page.sections if section.title == "What was spent")
    assert {row.method: [cell.value for cell in row.cells] for row in spent.rows} == {
        "erm": ["1.00", "1", "3", "3.0", "3.0", "0.600"],
        "mixup": ["1.00", "2", "4", "3.0", "4.0", "0.500"],
    }
    assert [section.title for section in page.sections][:5] == [
        "", "Train it", "Default against chosen", "Best so far", "What was spent",
    ]  # fmt: skip
    assert [drawing.name for section in page.sections for drawing in section.drawings] == [
        "tested-scaled-nll", "tested-nll", "tested-accuracy", "best-so-far",
    ]  # fmt: skip
    for section in page.sections:
        for drawing in section.drawings:
            assert drawing.save("svg")[0].startswith(b"<?xml")
