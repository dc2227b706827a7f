"""Designed comparisons, each of which would mislead: the verdict says so, and says nothing where nothing is wrong."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from calmix.cli import main
from calmix.results.catalogue import ACCURACY
from calmix.results.machines import Machine
from calmix.results.records import Epoch, Record
from calmix.results.store import Results, read_results
from calmix.studies.comparison.balance import single_answers
from calmix.studies.comparison.cautions import cautions, course_of, rose_long_ago, still_falls, unlike_machines, waited
from calmix.studies.comparison.goals import unequal
from calmix.studies.comparison.sentences import advice
from calmix.studies.comparison.tables import columns_of, summary_table

NOISE = np.array([-0.002, 0.001, 0.003, -0.001, 0.002])
Made = Callable[..., Results]


def around(mean: float, shift: int = 0) -> list[float]:
    return list(mean + np.roll(NOISE, shift) - NOISE.mean())


# ------------------------------------------------------------------------------------------------ unequal classes


def rare(
    made: Made,
    answered: Mapping[str, Sequence[float]],
    balanced: Mapping[str, float] | None = None,
    skill: Mapping[str, float] | None = None,
    scaled_nll: Mapping[str, float] | None = None,
    test: int = 10_000,
) -> Results:
    """Two classes, 99 to 1. answered: by method and seed, which share is said to be the frequent one."""
    shift = {method: place for place, method in enumerate(answered)}
    metrics: dict[str, dict[str, list[float]]] = {
        "accuracy": {method: list(0.99 * np.array(shares)) for method, shares in answered.items()},
        "balanced_accuracy": {m: around((balanced or {}).get(m, 0.5), shift[m]) for m in answered},
        "nll_skill": {m: around((skill or {}).get(m, 0.2), shift[m] + 2) for m in answered},
        "scaled/nll": {m: around((scaled_nll or {}).get(m, 0.05), shift[m] + 3) for m in answered},
        "base_rate": {method: [0.99] * 5 for method in answered},
        "most_answered": {method: [max(share, 1 - share) for share in shares] for method, shares in answered.items()},
        "by_class/0/answered": {method: list(shares) for method, shares in answered.items()},
        "by_class/1/answered": {method: [1 - share for share in shares] for method, shares in answered.items()},
        "by_class/1/recall": {method: [20 * (1 - share) for share in shares] for method, shares in answered.items()},
    }
    results = made(metrics, test=test)
    data = replace(results.facts.data, classes=("no", "yes"), class_rows=(1782, 18))
    return replace(results, facts=replace(results.facts, data=data))


ALWAYS, MOSTLY = [1.0] * 5, [0.98, 0.97, 0.98, 0.99, 0.98]


def test_always_the_majority_is_not_praised(made: Made):
    said = advice(rare(made, {"erm": ALWAYS, "mixup": ALWAYS}))
    assert said.headline == (
        "Every method only ever answers 'no', which alone is right in 99.0 of 100 test rows: right answers say nothing "
        "here."
    )
    assert any(
        "of 100 rows of 'yes', the rarest, plain training finds 0.0 and plain Mixup 0.0." in c for c in said.cautions
    )
    assert any("--class-weight balanced" in caution for caution in said.cautions)


def test_a_method_that_always_says_the_majority_is_not_taken(made: Made):
    """It has the most right answers, but no more balanced accuracy than one answer has."""
    said = advice(rare(made, {"erm": ALWAYS, "mixup": MOSTLY}, {"erm": 0.5, "mixup": 0.7}))
    assert said.headline == (
        "Plain training only ever answers 'no', which alone is right in 99.0 of 100 test rows. Take plain Mixup: right "
        "more often (each class counts alike) than plain training."
    )
    untold = advice(rare(made, {"erm": ALWAYS, "mixup": MOSTLY}))
    assert "Take plain training" not in untold.headline
    assert "do not take it for its right answers" in untold.headline


def test_another_method_that_does_is_named_first(made: Made):
    results = rare(made, {"erm": MOSTLY, "mixup": ALWAYS}, {"erm": 0.7})
    headline = advice(results).headline
    assert headline.startswith(
        "Plain Mixup only ever answers 'no', which alone is right in 99.0 of 100 test rows. Take"
    )


def test_most_seeds_decide_whether_an_answer_is_the_only_one(made: Made):
    of_seeds = {"erm": [1.0, 1.0, 1.0, 0.9, 0.9], "mixup": [1.0, 1.0, 0.9, 0.9, 0.9]}
    assert single_answers(rare(made, of_seeds)) == {"erm": "no"}


def test_of_unequal_classes_the_choice_counts_each_class_alike(made: Made):
    """Plain training has more right answers, plain Mixup more balanced accuracy: table, choice and words go by it."""
    results = rare(made, {"erm": [0.995] * 5, "mixup": MOSTLY}, {"erm": 0.6, "mixup": 0.8}, {"erm": 0.3, "mixup": 0.2})
    said = advice(replace(results, facts=replace(results.facts, settings={"class_weight": "balanced"})))
    assert said.headline == (
        "Take plain Mixup, with temperature scaling: right more often (each class counts alike) than plain training."
    )
    assert said.reasons[0] == (
        "Of 100 rows of a class it finds 80.0, on average over the classes: 20.0 more than plain training (beyond "
        "chance)."
    )
    assert said.reasons[1] == (
        "Without temperature scaling its probabilities take 20.0 % off the log-loss of always saying how frequent the "
        "classes are: 10.0 less than plain training (beyond chance)."
    )
    assert said.reasons[2].endswith("its log-loss is 0.050 and that of plain training 0.050 (within chance).")
    assert said.cautions[-1] == (
        "The verdict counts every class alike. Of 100 test rows, plain Mixup is right in 97.0, and beyond chance in "
        "more are: plain training 98.5."
    )
    table = summary_table(results)
    assert [heading.split(",")[0] for heading in table.headings[:3]] == [
        "Balanced accuracy",
        "Log-loss skill",
        "NLL after temperature\u00a0↓",
    ]


def test_of_unequal_classes_probabilities_decide_where_balanced_accuracy_tells_nothing(made: Made):
    better = rare(made, {"erm": MOSTLY, "mixup": MOSTLY}, skill={"erm": 0.2, "mixup": 0.4}, scaled_nll={"mixup": 0.03})
    said = advice(better)
    assert said.headline == "Take plain Mixup: with better probabilities than plain training."
    only_trained = advice(rare(made, {"erm": MOSTLY, "mixup": MOSTLY}, skill={"erm": 0.2, "mixup": 0.4}))
    assert only_trained.headline == (
        "Take plain Mixup only where you cannot fit a temperature: it has better probabilities than plain training, "
        "but no difference could be told after temperature scaling."
    )
    worse = advice(rare(made, {"erm": MOSTLY, "mixup": MOSTLY}, skill={"erm": 0.4}, scaled_nll={"mixup": 0.08}))
    assert worse.headline.startswith("Take plain training: it has better probabilities than plain Mixup, and no")
    scaled = advice(rare(made, {"erm": MOSTLY, "mixup": MOSTLY}, scaled_nll={"mixup": 0.03}))
    assert scaled.headline == (
        "Take plain training as it is, or plain Mixup with temperature scaling: after scaling, plain Mixup has the "
        "better probabilities."
    )


def test_the_right_answers_of_equal_classes_are_judged_as_ever(made: Made):
    """The same numbers, and classes of 50 to 50: right answers decide."""
    results = rare(made, {"erm": [0.995] * 5, "mixup": MOSTLY}, {"erm": 0.6, "mixup": 0.8})
    equal = replace(results.facts.data, class_rows=(900, 900))
    said = advice(replace(results, facts=replace(results.facts, data=equal)))
    assert said.headline == "Take plain training: mixup does not pay on this data."
    assert said.reasons[0].startswith("It is right 98.5 times in a hundred")


@pytest.mark.parametrize(
    ("test", "warning"),
    [
        (10_000, ""),
        (1000, " But about 10 test rows of 'yes', the rarest class, are few: each is 5.0 % of balanced accuracy."),
        (40, " But hardly a test row is of 'yes', the rarest class."),
    ],
)
def test_few_rows_of_the_rarest_class_are_in_the_headline(made: Made, test: int, warning: str):
    said = advice(rare(made, {"erm": MOSTLY, "mixup": MOSTLY}, {"mixup": 0.8}, test=test))
    right = "Take plain Mixup: right more often (each class counts alike) than plain training."
    assert said.headline == f"{right}{warning}"


def test_a_gain_of_a_point_that_few_rare_rows_cannot_show_is_not_ruled_out(made: Made):
    """All runs agree, but a point of balanced accuracy is a fifth of one of ten rare rows."""
    few, many = (
        advice(rare(made, {"erm": MOSTLY, "mixup": MOSTLY}, {"mixup": 0.5001}, test=test)) for test in (1000, 40_000)
    )
    assert few.headline.startswith("No difference could be told between plain training and plain Mixup")
    assert "(a gain of one point, in balanced accuracy or log-loss skill, is ruled out)" in many.headline


def test_where_a_class_was_never_trained_on_the_log_loss_decides(made: Made):
    results = rare(made, {"erm": MOSTLY, "mixup": MOSTLY})
    nll = {"erm": 0.2, "mixup": 0.1}

    def without_skill(record: Record) -> Record:
        plain = {key: value for key, value in record.metrics["plain"].items() if key != "nll_skill"}
        shift = {"nll": nll[record.method] + NOISE[(record.seed + len(record.method)) % 5]}
        return replace(record, metrics={**record.metrics, "plain": {**plain, **shift}})

    said = advice(replace(results, records=[without_skill(record) for record in results.records]))
    assert said.reasons[1].startswith("The log-loss of its probabilities is 0.101: ")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((75, 25), True),  # the most frequent class holds 1.5 / K of the rows
        ((74, 26), False),
        ((45, 45, 10), True),  # accuracy passes over the third class
        ((59, 71, 48), False),  # wine
        ((100, 0), True),
        ((), False),  # as of calmix 0.1.0
    ],
)
def test_what_is_unequal(made: Made, rows: tuple[int, ...], expected: bool):
    results = made({"accuracy": {"erm": around(0.8)}})
    data = replace(results.facts.data, class_rows=rows, classes=tuple(map(str, rows)))
    assert unequal(replace(results, facts=replace(results.facts, data=data))) is expected


def test_the_table_chooses_its_columns(made: Made):
    results = rare(made, {"erm": ALWAYS, "mixup": MOSTLY})
    assert [column.key for column in columns_of(results)][:2] == ["balanced_accuracy", "nll_skill"]
    assert any("always answering 'no' is right in 99.0 % of the test rows" in n for n in summary_table(results).notes)
    equal = made({"accuracy": {"erm": around(0.8)}})
    assert "balanced_accuracy" not in [column.key for column in columns_of(equal)]
    assert not [note for note in summary_table(equal).notes if "Base rate" in note]


def test_with_weights_no_weights_are_advised(made: Made):
    results = rare(made, {"erm": [0.98] * 5, "mixup": MOSTLY})
    assert any("--sampler balanced" in caution for caution in cautions(results))
    weighted = replace(results, facts=replace(results.facts, settings={"class_weight": "balanced"}))
    assert not [caution for caution in cautions(weighted) if "--sampler" in caution]


# ------------------------------------------------------------------------------------------- too short, too long


def with_curves(
    results: Results, curves: Mapping[str, Callable[[np.ndarray], np.ndarray]], epochs: int = 20
) -> Results:
    """The loss on the validation split by method, with the noise of 0.01 that seeds have."""
    x = np.arange(1, epochs + 1)

    def history(record: Record) -> tuple[Epoch, ...]:
        rng = np.random.default_rng([record.seed, len(record.method)])
        losses = curves[record.method](x) + 0.01 * rng.normal(size=epochs)
        return tuple(Epoch(int(e), {"loss": 1.0}, {"loss": float(v)}) for e, v in zip(x, losses, strict=True))

    records = [replace(record, history=history(record)) for record in results.records]
    settings = {"epochs": epochs, "select": "last"}
    return replace(results, records=records, facts=replace(results.facts, settings=settings))


def flat(x: np.ndarray) -> np.ndarray:
    return 0.3 + np.exp(-x / 2)


def falling(x: np.ndarray) -> np.ndarray:
    return 2 - 0.06 * x


def steep(x: np.ndarray) -> np.ndarray:
    return 2 - 0.3 * x


def over_fitted(x: np.ndarray) -> np.ndarray:
    return 0.4 + np.exp(-x) + 0.015 * np.maximum(0, x - 5)


def settled(made: Made, **metrics: Mapping[str, Sequence[float]]) -> Results:
    return made({"accuracy": {"erm": around(0.8), "mixup": around(0.8, 2)}, **metrics})


def test_a_training_that_was_long_enough_earns_no_caution(made: Made):
    assert cautions(with_curves(settled(made), {"erm": flat, "mixup": flat})) == []


def test_a_training_that_was_cut_short_is_named(made: Made):
    [said] = cautions(with_curves(settled(made), {"erm": flat, "mixup": falling}))
    assert said.startswith("Training was cut short: from epoch 11 to the last, 20,")
    assert "plain Mixup (by 50 %)" in said  # 0.06 an epoch over nine of them, of a mean of 1.07
    assert "plain training" not in said
    assert "for 40 epochs" in said
    [both] = cautions(with_curves(settled(made), {"erm": falling, "mixup": falling}))
    assert "plain training (by 51 %) and plain Mixup (by 50 %)" in both


def test_an_over_fitted_training_is_named(made: Made):
    results = with_curves(settled(made), {"erm": over_fitted, "mixup": flat})
    [said] = cautions(results)
    assert said.startswith("Over-fitted: the validation loss was lowest long before the last epoch, 20,")
    assert "plain training (epoch " in said
    assert "plain Mixup" not in said
    best = replace(results, facts=replace(results.facts, settings={"select": "best"}))
    assert cautions(best) == []  # the best epoch was kept


def test_noise_is_no_trend(made: Made):
    """500 flat curves of five noisy seeds: an interval of 95 % errs on one side in at most one of forty."""
    rng = np.random.default_rng(0)
    results = settled(made)
    found = 0
    for _ in range(500):
        losses = 0.1 + 0.03 * rng.normal(size=(5, 20))
        records = [
            replace(
                record, history=tuple(Epoch(e + 1, {}, {"loss": float(v)}) for e, v in enumerate(losses[record.seed]))
            )
            for record in results.of_method("erm")
        ]
        course = course_of(replace(results, records=records), "erm")
        assert course is not None
        found += still_falls(course) is not None
    assert found / 500 <= 0.025 + 3 * (0.025 * 0.975 / 500) ** 0.5


def test_one_seed_must_show_more(made: Made):
    def said(slope: float) -> list[str]:
        one = made({"accuracy": {"erm": [0.8], "mixup": [0.8]}})
        return cautions(with_curves(one, {"erm": flat, "mixup": lambda x: 1.5 - slope * x}))

    assert said(0.06)
    assert not said(0.01)


def test_few_points_are_no_curve(made: Made):
    assert cautions(with_curves(settled(made), {"erm": falling, "mixup": falling}, epochs=2)) == []
    assert cautions(with_curves(settled(made), {"erm": steep, "mixup": steep}, epochs=3))
    assert course_of(settled(made), "erm") is None  # no curve was kept


def test_a_lowest_point_near_the_end_is_no_over_fitting(made: Made):
    late = with_curves(settled(made), {"erm": lambda x: 0.5 + 0.1 * np.abs(x - 16), "mixup": flat})
    course = course_of(late, "erm")
    assert course is not None
    assert rose_long_ago(course) is None


def test_a_method_that_lags_behind_plain_training_on_the_training_rows(made: Made):
    learnt = {"erm": around(0.99), "mixup": around(0.80, 1)}
    results = settled(made, **{"training/accuracy": learnt})
    [said] = cautions(replace(results, facts=replace(results.facts, settings={"epochs": 3})))
    assert said.startswith(
        "After 3 epochs, of 100 training rows as they are, plain Mixup 80.0 are answered right, where"
    )
    better = {"erm": around(0.8), "mixup": around(0.85, 2)}  # it leaves wrong labels out
    assert cautions(made({ACCURACY.key: better, "training/accuracy": learnt})) == []
    near = {"erm": around(0.99), "mixup": around(0.95, 1)}
    assert cautions(settled(made, **{"training/accuracy": near})) == []
    [said] = cautions(with_curves(results, {"erm": over_fitted, "mixup": flat}))  # learnt by heart: nobody need follow
    assert said.startswith("Over-fitted")


# ------------------------------------------------------------------------------------------- chosen on the test split


def test_options_of_one_method_are_to_be_chosen_on_validation(made: Made):
    labels = ["erm", "sk_mixup(tau_max=0.3)", "sk_mixup(tau_max=1.0)"]
    accuracy = {label: around(0.8 + place / 100, place) for place, label in enumerate(labels)}
    loss = {label: around(0.5 - (place == 1) / 10, place) for place, label in enumerate(labels)}
    [said] = cautions(made({"accuracy": accuracy, "validation/nll": loss}))
    assert said.startswith("sk_mixup stands twice, with other options: the best of them on the test rows is flattered")
    assert "validation_nll in results.csv (lowest validation NLL: sk_mixup(tau_max=0.3))" in said
    [old] = cautions(made({"accuracy": accuracy}))
    assert "validation_" not in old
    regression = made({"rmse": loss, "validation/rmse": loss}, task="regression")
    assert "validation_rmse" in cautions(regression)[0]


def test_different_methods_earn_no_advice_about_options(made: Made):
    labels = ["erm", "mixup", "sk_mixup", "sk_mixup_e"]
    assert cautions(made({"accuracy": {label: around(0.8, place) for place, label in enumerate(labels)}})) == []


# ------------------------------------------------------------------------------------------------------- end to end


def test_a_table_of_one_in_a_hundred(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The verdict once praised 99.0 % of it."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(1000, 4)), columns=list("abcd"))
    rows.assign(bad=np.where(np.arange(1000) % 100, "no", "yes")).to_csv(tmp_path / "rare.csv", index=False)
    options = ["--target", "bad", "--methods", "erm", "mixup", "--seeds", "2", "--epochs", "3", "--workers", "1"]
    out = tmp_path / "out"
    main(["compare", str(tmp_path / "rare.csv"), *options, "--out", str(out)])
    said = " ".join(capsys.readouterr().out.split())
    assert "Every method only ever answers 'no', which alone is right in 99.0 of 100 test rows" in said
    assert "Balanced accuracy" in said
    stored = pd.read_csv(out / "results.csv")
    assert set(stored["balanced_accuracy"]) == {0.5}
    assert {"validation_accuracy", "validation_nll", "by_class_1_recall", "nll_skill"} <= set(stored)
    assert read_results(out).facts.data.class_rows == (594, 6)


# ------------------------------------------------------------------------------------------------ waited for rows


@pytest.mark.parametrize(
    ("seconds", "share"), [((9.0, 11.0), "10 %"), ((40.0, 40.0), "40 %"), ((9.0, 10.0), ""), ((None, None), "")]
)
def test_waiting_for_a_tenth_of_the_time_is_said_once(
    made: Made, seconds: tuple[float | None, float | None], share: str
):
    results = made({"accuracy": {"erm": [0.8], "mixup": [0.8]}})
    records = [
        replace(record, train_seconds=100.0, waited_seconds=waits)
        for record, waits in zip(results.records, seconds, strict=True)
    ]
    slow = replace(results, records=records)
    said = [sentence for sentence in advice(slow).cautions if "waited" in sentence]
    assert said == waited(slow)
    assert len(said) == bool(share)
    if share:
        assert f"Training waited for rows to be read during {share} of its time: take smaller images" in said[0]


def test_a_moment_is_not_worth_a_word(made: Made):
    results = made({"accuracy": {"erm": [0.8]}})
    for seconds, words in ((4.9, 0), (5.0, 1)):
        [record] = results.records
        slow = replace(results, records=[replace(record, train_seconds=10.0, waited_seconds=seconds)])
        assert len(waited(slow)) == words


# ------------------------------------------------------------------------------------------- unlike machines

CPU = Machine("cpu", "EPYC 7B13", 1, "0.2", "2.9.0", "3.11")
GPU = replace(CPU, device="cuda", name="H100")


def carried_out_on(made: Made, machines: Sequence[Machine | None], cost_machine: Machine | None = CPU) -> Results:
    """Two methods, seed by seed, on these machines in turn."""
    results = made({"accuracy": {"erm": around(0.8), "mixup": around(0.8, 2)}})
    ordered = sorted(results.records, key=lambda record: record.seed)
    places = {(record.method, record.seed): place for place, record in enumerate(ordered)}
    records = [
        replace(
            record,
            machine=machines[places[record.method, record.seed] % len(machines)],
            cost_machine=cost_machine,
        )
        for record in results.records
    ]
    return replace(results, records=records)


def test_a_cluster_of_unlike_machines_is_named(made: Made):
    torn = carried_out_on(made, [CPU, GPU])
    said = (
        "Runs were carried out on unlike machines (5 on EPYC 7B13 and 5 on H100); in 5 of 5 seeds the methods met "
        "unlike ones, so some of what they differ by is theirs. Their seconds cannot be compared; costs can, as all "
        "were measured on one kind."
    )
    assert unlike_machines(torn) == [said.replace(" and 5 on", ", 5 on")]
    assert said.replace(" and 5 on", ", 5 on") in str(advice(torn))
    whole = unlike_machines(carried_out_on(made, [CPU, CPU, GPU, GPU]))
    assert "in each seed all methods met the same kind" in whole[0]
    assert "(6 on EPYC 7B13, 4 on H100)" in whole[0]
    versions = unlike_machines(carried_out_on(made, [CPU, replace(CPU, torch="2.8.0")]))
    assert "(5 on torch 2.9.0, 5 on torch 2.8.0)" in versions[0]


def test_machines_that_are_alike_or_unknown_are_no_reason_to_worry(made: Made):
    for machines in ([CPU], [None], [CPU, None]):
        assert unlike_machines(carried_out_on(made, machines)) == []


def test_very_many_machines_are_counted(made: Made):
    many = [replace(CPU, name=f"CPU {number}") for number in range(10)]
    said = unlike_machines(carried_out_on(made, many))[0]
    assert "(1 on CPU 0, 1 on CPU 2, 1 on CPU 4, 1 on CPU 6 and 6 more)" in said


def test_costs_are_not_praised_where_it_is_not_known_where_they_were_measured(made: Made):
    assert "cannot be compared, nor can costs." in unlike_machines(carried_out_on(made, [CPU, GPU], None))[0]
    known = carried_out_on(made, [CPU, GPU])
    for other in (None, GPU):
        first = replace(known.records[0], cost_machine=other)
        said = unlike_machines(replace(known, records=[first, *known.records[1:]]))[0]
        assert "cannot be compared, nor can costs." in said
