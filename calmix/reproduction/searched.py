"""An experiment with searched hyper-parameters: options and training of each method, chosen by equal budgets.

OUT/search/  the trainings of the search, as `calmix tune` keeps them
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from calmix.core import require
from calmix.core.method import Method, Scheduled
from calmix.data import Folds
from calmix.engines import Engine, Processes, Tick
from calmix.engines.engine import untold
from calmix.errors import DataError
from calmix.methods.spaces import SPACES, space_of
from calmix.methods.wrappers import with_options
from calmix.reproduction.experiment import LONGER, Experiment, longer
from calmix.reproduction.stated import Chosen, Search
from calmix.results.files import refuse_finished, refuse_others
from calmix.studies.comparison.study import Comparison
from calmix.studies.tuning.families import Family
from calmix.studies.tuning.rows import OneTest
from calmix.studies.tuning.study import Tuning, carry_out_search
from calmix.studies.tuning.trials import Trial, best_of, by_family, columns_of
from calmix.train import TrainingSettings

SEARCH = "search"
_SEARCHED = (
    "Options and training of every method were searched with {budget:g} plain trainings in all; the published ones are "
    "the first trial."
)


def searched(
    experiment: Experiment,
    budget: float,
    out: Path,
    resume: bool = False,
    engine: Engine = Processes(),
    command: Sequence[str] = (),
    tick: Tick = untold,
    run_timeout: float | None = None,
) -> tuple[Experiment, Search]:
    """Search the options and the training of every method that has ranges, each by an equal share of the budget.

    The experiment with what was chosen, and what to say of the search. One draw of test rows stays the same, and is
    seen neither by the search nor by what its seeds draw anew.

    Raises:
        SettingError: a budget that is too small. DataError: see `calmix.studies.tuning.study.carry_out_search`; or no
            trial of a method could be trained; or the folder holds results of another kind.
    """
    require.positive("budget", budget)
    if not resume:
        refuse_finished(out, "add --resume to go on, or give another --out")
    refuse_others(out, "results.json")
    if any(out.glob("runs/*.json")) and not (out / SEARCH).exists():
        raise DataError(f"{out} holds runs with published settings; give another --out for searched ones.")
    comparison = experiment.comparison
    source = OneTest(comparison.data.source if isinstance(comparison.data, Folds) else comparison.data)
    regression = source.splits(0).about.task == "regression"
    families = tuple(
        Family(label, partial(with_options, method), space_of(label, regression))
        for label, method in comparison.methods.items()
        if label in SPACES and isinstance(method, Method)
    )
    tuning = Tuning(source, families, comparison.model, comparison.settings, budget, first=comparison.seeds)
    trials = by_family(carry_out_search(tuning, out / SEARCH, resume, engine, command, tick, run_timeout))
    bests = {label: best.settled for label, own in trials.items() if (best := best_of(own))}
    if failed := [label for label in trials if label not in bests]:
        raise DataError(f"no trial of {failed[0]} could be trained: {trials[failed[0]][0].failure}")
    made = {family.name: family.method(bests[family.name].options) for family in families}
    found = replace(
        experiment,
        comparison=_with_controls(replace(comparison, data=source), made, bests),
        deviations=(*experiment.deviations, _SEARCHED.format(budget=budget)),
        judged_on_test=False,
    )
    [goal, *_] = columns_of(regression)
    return found, Search(budget, goal.heading, tuple(_chosen(bests[label], len(own)) for label, own in trials.items()))


def _chosen(best: Trial, trials: int) -> Chosen:
    settings = best.settings
    training = settings.peak_rate, settings.weight_decay, settings.epochs, settings.weights
    return Chosen(best.family, best.text, best.options, *training, best.goal(), len(best.runs), trials)


def _with_controls(
    comparison: Comparison, made: Mapping[str, Method | Scheduled], bests: Mapping[str, Trial]
) -> Comparison:
    """The methods that were found; the controls as plain Mixup was, and `auto` trained as plain training."""
    methods: dict[str, Method | Scheduled] = {**comparison.methods, **made}
    settings: dict[str, TrainingSettings] = {label: best.settings for label, best in bests.items()}
    if "mixup" in bests:
        like_mixup, options = bests["mixup"].settings, bests["mixup"].options
        for label in ("mixup_idle", LONGER):
            if isinstance(control := methods.get(label), Method):
                methods[label] = Family(label, partial(with_options, control), {}).method(options)
        settings |= {"mixup_idle": like_mixup, **longer(like_mixup)}
    if "erm" in bests:
        settings["auto"] = replace(bests["erm"].settings, average="none", refresh_batch_norm=False)
    own = {label: one for label, one in settings.items() if label in methods}
    return replace(comparison, methods=methods, own_settings=own)
