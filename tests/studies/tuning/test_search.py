"""Which settings are tried, and who gets further seeds; what a training gives is made up."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from calmix import METHODS, erm, mixup, sk_mixup
from calmix.errors import SettingError, UnknownNameError
from calmix.methods.spaces import Between, Options, space_of
from calmix.studies.tuning.families import Family, families_of, family_of
from calmix.studies.tuning.points import points, proposed, shared_settings
from calmix.studies.tuning.search import RUNGS, Plan, search
from calmix.studies.tuning.trials import Trial, TrialRun, best_of, by_family, chosen_of
from calmix.train import TrainingSettings

GIVEN = TrainingSettings(epochs=40)
FAMILIES = families_of([sk_mixup, erm, mixup], regression=False)
PLAN = Plan(90.0, {"sk_mixup": 1.5, "erm": 1.0, "mixup": 1.0})


def goal_of(trial: Trial, seed: int) -> float:
    """Best at a learning rate of 0.03 and alpha of 0.5, with noise that depends on trial and seed alone."""
    off = math.log(trial.settings.peak_rate / 0.03) ** 2 + math.log(float(trial.options.get("alpha", 1.0)) / 0.5) ** 2
    return off + 0.3 * math.sin(7 * trial.number + 3 * seed + len(trial.family))


class Made:
    """Made-up trainings, and who asked for them."""

    def __init__(self, failing: Sequence[str] = ()) -> None:
        self.asked: list[tuple[str, int]] = []
        self.failing = failing

    def __call__(self, asked: Sequence[tuple[Trial, int]]) -> list[TrialRun | str]:
        self.asked += [(trial.label, seed) for trial, seed in asked]
        return [
            "diverged" if trial.label in self.failing else TrialRun(seed, goal_of(trial, seed), (0.5, 0.9), 1.0)
            for trial, seed in asked
        ]


def searched(plan: Plan = PLAN, learning: bool = False, seed: int = 0, made: Made | None = None) -> list[Trial]:
    return search(FAMILIES, plan, GIVEN, made or Made(), seed, learning)


# ------------------------------------------------------------------------------------------------- budgets


@pytest.mark.parametrize("budget", [22, 40, 90, 200])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_method_spends_its_share_and_no_more(budget: int, seed: int):
    plan = replace(PLAN, budget=budget)
    for family, own in by_family(searched(plan, seed=seed)).items():
        spent = sum(trial.spent for trial in own)
        assert spent <= plan.share + 1e-9
        best = best_of(own)
        assert best is not None
        assert spent + best.cost > plan.share or len(best.runs) == RUNGS[-1], family
        assert len(best.runs) >= 3


def test_what_a_training_costs_are_its_steps_times_its_epochs():
    for trial in searched():
        until = float(trial.options.get("until", 1.0))
        step = until * PLAN.costs[trial.family] + (1 - until)
        assert trial.cost == pytest.approx(step * trial.settings.epochs / 40)


def test_a_method_that_costs_more_has_fewer_trials_with_the_same_settings():
    of = by_family(searched())
    assert len(of["sk_mixup"]) < len(of["mixup"]) == len(of["erm"])
    for own in of.values():
        assert [trial.settings for trial in own] == shared_settings(GIVEN, len(own), seed=0)
        assert own[0].settings == GIVEN
        assert own[0].options == {}
        assert own[0].text == own[0].family
    assert all(GIVEN.epochs / 2 <= trial.settings.epochs <= GIVEN.epochs for trial in of["erm"])
    rates = [trial.settings.peak_rate for trial in of["erm"][1:]]
    assert min(rates) >= 0.01
    assert max(rates) <= 0.3
    assert len(set(rates)) == len(rates)


def test_a_larger_budget_goes_on_from_a_smaller_one():
    few, many = (by_family(searched(replace(PLAN, budget=budget))) for budget in (40, 150))
    for family, own in few.items():
        assert [trial.text for trial in own] == [trial.text for trial in many[family]][: len(own)]
        assert len(own) < len(many[family])


def test_too_small_a_budget_is_refused_with_the_least_one():
    with pytest.raises(SettingError, match=r"a budget of 17 trainings is too small to tune 3 methods.*Give 18 or more"):
        replace(PLAN, budget=17)
    replace(PLAN, budget=18)  # 3 methods, 4 trainings of the dearest at 1.5


# ------------------------------------------------------------------------------------------------- the race


def test_the_better_third_goes_on():
    made = Made()
    trials = by_family(searched(replace(PLAN, budget=90), made=made))["erm"]
    seeds = [len(trial.runs) for trial in trials]
    assert set(seeds) <= {1, 3, 4, 5}
    first = sorted(trials, key=lambda trial: trial.goal(1))
    third = math.ceil(len(trials) / 3)
    assert {trial.number for trial in trials if len(trial.runs) >= 3} <= {trial.number for trial in first[:third]}
    assert len(first[0].runs) >= 3
    best = best_of(trials)
    assert best is not None
    raced = [trial for trial in trials if len(trial.runs) >= 3]
    assert best.number == min(raced, key=lambda trial: trial.goal(3)).number
    assert len(set(made.asked)) == len(made.asked)  # nothing is trained twice


def test_seeds_are_asked_for_in_order():
    for trial in searched():
        assert [run.seed for run in trial.runs] == list(range(len(trial.runs)))


def test_methods_are_compared_on_the_seeds_that_all_have():
    runs = [TrialRun(seed, goal, (0.0, 0.0), 1.0) for seed, goal in enumerate([0.2, 0.3, 0.1, 9.0, 9.0])]
    few = Trial("mixup", 0, {}, "mixup", GIVEN, 1.0, tuple(replace(run, goal=0.25) for run in runs[:3]))
    many = Trial("erm", 0, {}, "erm", GIVEN, 1.0, tuple(runs))
    assert chosen_of([few, many]) == many  # 0.2 against 0.25 on three seeds; 3.7 on all
    lucky = Trial("erm", 1, {}, "erm", GIVEN, 1.0, (replace(runs[0], goal=0.0),))
    assert chosen_of([few, many, lucky]) == many  # who left the race is not chosen
    failed = replace(many, failure="diverged")
    assert chosen_of([few, failed]) == few
    assert chosen_of([failed]) is None


def test_trials_that_fail_end_there_and_the_others_go_on():
    best = min(by_family(searched())["erm"], key=lambda trial: trial.goal(1))
    trials = by_family(searched(made=Made(failing=[best.label])))["erm"]
    assert trials[best.number].failure == "diverged"
    assert trials[best.number].goal() == math.inf
    assert trials[best.number].spent == best.cost
    assert max(len(trial.runs) for trial in trials) >= 3
    everything = searched(made=Made(failing=[trial.label for trial in searched()]))
    assert chosen_of(everything) is None


# --------------------------------------------------------------------------------------------- what is tried


def test_points_are_a_list_that_only_grows():
    assert (points(5, seed=0) == points(40, seed=0)[:5]).all()
    assert (points(5, seed=0) != points(5, seed=1)).any()
    halves = (points(64, seed=3) < 0.5).mean(0)
    assert (halves == 0.5).all()  # as of a Sobol sequence, and of no random numbers


def test_proposals_follow_from_what_was_told_and_learn_from_it():
    pytest.importorskip("optuna")
    space = {"alpha": Between(0.1, 4), "per_row": space_of("mixup", False)["per_row"]}
    tried: list[Options] = [{"alpha": space["alpha"].at(share / 20), "per_row": share % 2 == 0} for share in range(20)]
    told = [(options, math.log(float(options["alpha"]) / 0.5) ** 2 + (not options["per_row"])) for options in tried]
    found = proposed(space, told, 12, seed=1)
    assert found == proposed(space, told, 12, seed=1)
    assert found != proposed(space, told, 12, seed=2)
    assert found[:4] == proposed(space, told, 4, seed=1)
    near = [abs(math.log(float(options["alpha"]) / 0.5)) for options in found]
    assert sum(near) / 12 < 0.6  # all over the range it would be about 1
    assert sum(bool(options["per_row"]) for options in found) >= 9
    assert found != proposed(space, [(options, -goal) for options, goal in told], 12, seed=1)
    proposed(space, [({}, 0.1)], 1, seed=0)  # of the defaults, which are no point of the space, nothing is learnt


def test_later_options_are_learnt_and_a_search_is_the_same_every_time():
    pytest.importorskip("optuna")
    plain, first, second = searched(), searched(learning=True), searched(learning=True)
    assert first == second
    texts, learnt = ([trial.text for trial in by_family(trials)["mixup"]] for trials in (plain, first))
    assert texts[:8] == learnt[:8]
    assert texts[8:] != learnt[8:]
    assert [t.settings for t in by_family(plain)["mixup"]] == [t.settings for t in by_family(first)["mixup"]]
    assert by_family(plain)["erm"] == by_family(first)["erm"]  # which has no options to learn


def test_what_trials_gave_is_told(monkeypatch: pytest.MonkeyPatch):
    def proposing(space: object, told: list[tuple[Options, float]], count: int, seed: int) -> list[Options]:
        heard.extend(told)
        return [{"alpha": 1.0, "per_row": True, "until": 1.0}] * count

    heard: list[tuple[Options, float]] = []
    monkeypatch.setattr("calmix.studies.tuning.search.proposed", proposing)
    own = by_family(searched(learning=True))["sk_mixup"]  # the first that asks
    assert heard[:8] == [(trial.options, goal_of(trial, 0)) for trial in own[:8]]


def test_shared_settings_are_points_of_their_ranges():
    shares = points(4, seed=7)
    settings = shared_settings(GIVEN, 5, seed=7)[1:]
    assert [one.peak_rate for one in settings] == [Between(0.01, 0.3).at(share) for share in shares[:, 0]]
    assert [one.weight_decay for one in settings] == [Between(1e-5, 1e-2).at(share) for share in shares[:, 1]]
    assert [one.epochs for one in settings] == [round(40 * Between(0.5, 1).at(share)) for share in shares[:, 2]]


def test_another_seed_tries_other_settings():
    assert [trial.text for trial in searched(seed=1)] != [trial.text for trial in searched()]


# -------------------------------------------------------------------------------------------------- families


def test_a_family_is_text_and_method_alike():
    family = family_of("sk_mixup(tau_std=0.5)", regression=False)
    options: Options = {"tau_max": 0.31, "until": 0.75}
    text = family.text(options)
    assert text == "scheduled(method=sk_mixup(tau_std=0.5, tau_max=0.31), until=0.75)"
    from calmix.methods.read import read_method

    assert read_method(text) == family.method(options)
    assert family.method({"tau_max": 0.31, "until": 1.0}) == sk_mixup(tau_max=0.31, tau_std=0.5)
    assert family_of("erm", False).text({}) == "erm"
    assert family_of("mixup()", False).text({"alpha": 0.2}) == "mixup(alpha=0.2)"
    own = Family("mine", METHODS["mixup"], {"alpha": Between(1, 2)})
    assert families_of([own, erm], False)[0] is own


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mixup_idle", "mixup_idle has nothing to tune"),
        ("sometimes(mixup, p=0.5)", "sometimes has nothing to tune"),
        ("mixup(alfa=1)", "unknown option of mixup 'alfa'"),
        ("mixap", "unknown method 'mixap'; did you mean 'mixup'"),
    ],
)
def test_methods_that_cannot_be_tuned_are_refused(text: str, said: str):
    with pytest.raises((SettingError, UnknownNameError), match=said.replace("(", r"\(")):
        family_of(text, regression=False)


def test_methods_in_python_are_functions_each_once():
    with pytest.raises(SettingError, match="named twice"):
        families_of([erm, erm], False)
    with pytest.raises(SettingError, match="no methods"):
        families_of([], False)
    with pytest.raises(SettingError, match=r"functions of calmix such as calmix.sk_mixup"):
        families_of([erm()], False)  # pyright: ignore[reportArgumentType]
