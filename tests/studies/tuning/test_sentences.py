"""What is said of designed searches."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest

from calmix.errors import DataError
from calmix.results.records import Failure, Record
from calmix.results.store import DataFacts, RunFacts
from calmix.studies.tuning.decision import Gain
from calmix.studies.tuning.figures import prepare_last, prepare_search
from calmix.studies.tuning.outcome import Outcome, outcome_json, read_outcome, table_of, write_outcome
from calmix.studies.tuning.page import final_table, tuning_page
from calmix.studies.tuning.search import Plan
from calmix.studies.tuning.sentences import tuning_advice
from calmix.studies.tuning.trials import OtherWeights, Trial, TrialRun
from calmix.studies.tuning.weights import gains_of, other_weights
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


@pytest.mark.parametrize("gain", [Gain(0.2, 0.05, (0.1, 0.3)), Gain(0.1, inf, (0.1,)), None])
def test_a_stored_search_is_the_one_that_was_written(gain: Gain | None, tmp_path: Path):
    failed = replace(FIRST, number=1, failure="the loss is not finite.", runs=())
    found = replace(
        outcome(gain, trials=[ERM, FIRST, failed, replace(MIXUP, number=2)]),
        failures=(Failure("plain", 5, "why."),), train=("calmix", "train", "made.csv"), python=("import calmix",),
    )  # fmt: skip
    found = replace(found, chosen=ERM if gain is None else found.trials[-1], plain=FIRST)
    write_outcome(tmp_path, found)
    again = read_outcome(tmp_path)
    for name, value in vars(found).items():
        assert pairs(vars(again)[name]) == pairs(value), name
    assert again.winner == found.winner
    assert again.train_command == found.train_command


def pairs(value: Any) -> Any:
    """Sequences as tuples: what JSON gives is typed, but not which kind of sequence it was."""
    if isinstance(value, list | tuple):
        return tuple(map(pairs, value))
    if isinstance(value, Mapping):
        return {name: pairs(one) for name, one in value.items()}
    return replace(value, trials=pairs(value.trials)) if isinstance(value, Outcome) else value


def test_a_search_that_another_machine_s_gpu_carried_out_can_be_read(tmp_path: Path):
    write_outcome(tmp_path, outcome(None))
    path = tmp_path / "tuning.json"
    path.write_text(path.read_text().replace('"device": "auto"', '"device": "cuda"'))
    assert '"cuda"' in path.read_text()
    assert read_outcome(tmp_path).default == ERM


def test_a_damaged_file_is_named(tmp_path: Path):
    write_outcome(tmp_path, outcome(None))
    path = tmp_path / "tuning.json"
    whole = path.read_text()
    for old, new, said in (
        ('"family": "erm"', '"family": 3', "the entry family is 3, expected text"),
        ('"default": "erm 0"', '"default": "erm 7"', "a trial that it names is missing"),
        ('"budget": 20', '"budget": "much"', "the entry budget is 'much'"),
    ):
        assert old in whole
        path.write_text(whole.replace(old, new, 1))
        with pytest.raises(DataError, match=f"tuning.json is damaged .*{said}.*--resume"):
            read_outcome(tmp_path)


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
    assert [cell.value for cell in table.rows[1].cells] == ["0.500", "0.600", "90.0", "0.03", "0.0005", "20", "trained"]
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
    ema = replace(
        found, chosen=replace(MIXUP, settings=replace(MIXUP.settings, average="ema", refresh_batch_norm=True))
    )
    assert ema.train_command == [*found.train_command, "--average", "ema", "--refresh-batch-norm"]
    given = replace(ema, default=replace(ERM, settings=ema.chosen.settings))  # asked for with --average
    assert given.train_command == found.train_command
    page = tuning_page(found)
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


# ---------------------------------------------------------------------------------------------- other weights


def judged(run: TrialRun, ema: float, refreshed: float) -> TrialRun:
    also = (OtherWeights("ema", False, ema, (3.0, 0.8)), OtherWeights("none", True, refreshed, (4.0, 0.7)))
    return replace(run, also=also)


# refreshed batch norm is the best in the first seed, the average in the mean, and neither in the last seed
THREE = (judged(runs(0.5)[0], 0.45, 0.2), judged(runs(0, 0.5)[1], 0.3, 0.9), judged(runs(0, 0, 0.3)[2], 0.4, 0.6))


def test_a_trial_keeps_the_weights_that_are_the_best_in_the_mean_over_its_seeds():
    trial = replace(ERM, runs=THREE)
    assert trial.goal() == pytest.approx((0.45 + 0.3 + 0.4) / 3)
    assert trial.goal(1) == 0.45  # of the weights that it keeps
    assert (trial.beside(0), trial.beside(1)) == (3.0, pytest.approx(0.8))
    assert trial.settled.settings == replace(ERM.settings, average="ema")
    assert [run.goal for run in trial.settled.runs] == [0.45, 0.3, 0.4]
    assert trial.as_given == replace(ERM, runs=tuple(replace(run, also=()) for run in THREE))
    first = replace(ERM, runs=THREE[:1])
    assert first.settled.settings.weights == "trained refreshed"
    assert first.goal() == 0.2
    last = replace(ERM, runs=THREE[2:])
    assert last.settled == last.as_given
    assert replace(ERM, runs=()).settled == replace(ERM, runs=())


def test_what_other_weights_gain_is_their_mean_over_the_trainings_of_a_method():
    trials = [replace(ERM, runs=THREE), replace(ERM, number=1, runs=THREE[:1]), replace(MIXUP, runs=THREE[2:])]
    failed = replace(ERM, number=2, failure="why.")
    ema, refreshed = gains_of([*trials, failed])
    assert (ema.weights, refreshed.weights) == ("ema", "trained refreshed")
    assert ema.means == {"erm": pytest.approx((0.05 + 0.2 - 0.1 + 0.05) / 4), "mixup": pytest.approx(-0.1)}
    assert (ema.kept, refreshed.kept, ema.trials) == (1, 1, 3)
    assert gains_of([ERM, MIXUP]) == []


def test_the_page_and_the_files_know_other_weights(tmp_path: Path):
    trials = [replace(ERM, runs=THREE), FIRST, replace(MIXUP, runs=THREE)]
    found = replace(outcome(Gain(0.2, 0.05, (0.1, 0.3)), trials=trials), default=trials[0].as_given)
    found = replace(found, chosen=trials[2].settled)
    [section] = [one for one in tuning_page(found).sections if one.title == "Which weights"]
    assert [(row.method, [cell.value for cell in row.cells]) for row in section.tables[0].table.rows] == [
        ("ema", ["0.0500", "0.0500", "2"]), ("trained refreshed", ["\u22120.1333", "\u22120.1333", "0"]),
    ]  # fmt: skip
    assert "of the 2 trials" in section.caption
    assert tuning_advice(found).headline.startswith(
        "Take mixup(alpha=0.3) with learning rate 0.03, weight decay 0.0005, 20 epochs, weights: ema: it beats"
    )
    write_outcome(tmp_path, found)
    again = read_outcome(tmp_path)
    assert (again.default, again.chosen, list(again.trials)) == (found.default, found.chosen, trials)
    table = table_of(found)
    assert table["weights"].tolist() == ["ema"] * 3 + ["trained"] + ["ema"] * 3 + ["trained"] * 2 + ["ema"] * 2
    assert table["scaled_nll"].tolist()[:4] == [0.45, 0.3, 0.4, 0.6]
    [tried] = prepare_search("erm", trials[:1])
    assert tried.first == 0.45


@pytest.mark.parametrize(
    ("given", "batch_norm", "controlled", "expected"),
    [
        ({}, False, False, ["ema", "swa"]),
        ({}, True, False, ["trained refreshed", "ema", "ema refreshed", "swa"]),
        ({}, True, True, ["trained refreshed", "swa"]),
        ({"average": "ema"}, True, False, ["ema refreshed"]),
        ({"average": "swa"}, True, False, []),
        ({"refresh_batch_norm": True}, True, False, ["ema refreshed", "swa"]),
        ({"select": "best"}, True, False, ["trained refreshed"]),
        ({"select": "best"}, False, False, []),
    ],
)
def test_what_was_asked_for_stays(given: Any, batch_norm: bool, controlled: bool, expected: list[str]):
    settings = TrainingSettings(**given)
    assert [one.weights for one in other_weights(settings, batch_norm, controlled)] == expected
