"""What a comparison says of unequal classes: which columns tell of them, and which networks say nothing but one class.

K  classes
"""

from collections.abc import Sequence

from calmix.report.sentences import called, joined
from calmix.results.catalogue import ACCURACY, COST, ECE, METRICS, Column, number
from calmix.results.store import Results
from calmix.studies.comparison.choice import choose, contenders, side
from calmix.studies.comparison.goals import BALANCED, goals_of, unequal

_ALIKE = tuple(Column(METRICS[key]) for key in ("balanced_accuracy", "macro_f1", "macro_auroc", "macro_auprc"))


def columns_of_unequal(results: Results) -> list[Column]:
    """What a comparison of unequal classes is judged by, the goals of the choice first."""
    alike = [column for column in _ALIKE if results.scores.has(column.key)]
    goals = goals_of(results)
    first = [goal for goal in (goals.right, goals.honest, goals.scaled) if goal is not None]
    return [*dict.fromkeys([*first, *alike, ACCURACY, ECE, COST])]


def notes(results: Results) -> list[str]:
    """What stands below the table of unequal classes; nothing of others."""
    rate = _base_rate(results)
    if rate is None:
        return []
    classes = results.facts.data.classes
    half = number(100 / len(classes), 1)
    return [
        f"Base rate: always answering {_frequent(results)!r} is right in {rate} % of the test rows, with a balanced "
        f"accuracy of {half} %. Balanced accuracy, F1, AUROC and AUPRC count every class alike; log-loss skill is what "
        "a network takes off the NLL of saying the training rows' class frequencies every time."
    ]


# ------------------------------------------------------------------------------------- what only one class is said of


def single_answers(results: Results) -> dict[str, str]:
    """The methods whose networks, in most seeds, give every test row the same answer; and that answer, by method."""
    found: dict[str, str] = {}
    for method in results.methods:
        only = [_only_answer(results, method, seed) for seed in results.scores.seeds_of(method)]
        said = [answer for answer in only if answer is not None]
        if 2 * len(said) > len(only):
            found[method] = max(dict.fromkeys(said), key=said.count)
    return found


def headline(results: Results, said: str) -> str:
    """The headline, where networks say but one class: that comes first, and they are not to be taken."""
    alone = single_answers(results)
    if not alone:
        return said
    answers = joined([repr(answer) for answer in dict.fromkeys(alone.values())])
    right = number(100 * _mean(results, next(iter(alone)), "accuracy"), 1)
    rate = f", which alone is right in {right} of 100 test rows"
    if len(alone) == len(results.methods):
        who = "The network" if len(alone) == 1 else "Every method"
        return f"{who} only ever answers {answers}{rate}: right answers say nothing here."
    verb = "answers" if len(alone) == 1 else "answer"
    they = joined([called(method) for method in alone])
    first = f"{they[0].upper()}{they[1:]} only ever {verb} {answers}{rate}"
    if results.seeds > 1 and choose(results).method in alone:
        return f"{first}: do not take it for its right answers; see the balanced accuracy of the others."
    return f"{first}. {said}"


def cautions(results: Results) -> list[str]:
    """What to mind where classes are unequal, or where networks say but one."""
    said = []
    alone = single_answers(results)
    if unequal(results) and results.scores.has(BALANCED.key):
        said += [_rarest(results), *_more_right(results)]
    weighed = {results.facts.settings.get("class_weight"), results.facts.settings.get("sampler")}
    if alone or (unequal(results) and said):
        tried = "balanced" in weighed
        remedy = "train longer, or look at the data" if tried else "try --class-weight balanced or --sampler balanced"
        if alone or not tried:
            said.append(f"For networks that find rare classes, {remedy}.")
    return said


def _rarest(results: Results) -> str:
    """How many rows of the rarest class are found."""
    data = results.facts.data
    place = min(range(len(data.class_rows)), key=lambda k: data.class_rows[k])
    rows = f"Classes are unequal ({max(data.class_rows):,} to {min(data.class_rows):,} training rows)"
    condition = f"by_class/{place}"
    if not results.scores.has("recall", condition):
        return f"{rows}, so right answers alone say little: see balanced accuracy."
    found = [number(100 * _mean(results, method, "recall", condition), 1) for method in results.methods]
    shares = [f"{called(method)} {share}" for method, share in zip(results.methods[1:], found[1:], strict=True)]
    finds = joined([f"{called(results.methods[0])} finds {found[0]}", *shares])
    return f"{rows}: of 100 rows of {data.classes[place]!r}, the rarest, {finds}."


def _more_right(results: Results) -> list[str]:
    """Of unequal classes, who gives more right answers, beyond chance, than the method to take."""
    if results.seeds < 2 or len(results.methods) < 2:
        return []
    chosen = choose(results).method
    more = [method for method in contenders(results) if side(results, method, chosen, ACCURACY) == 1]
    if not more:
        return []
    values = joined([f"{called(method)} {_right(results, method)}" for method in more])
    return [
        f"The verdict counts every class alike. Of 100 test rows, {called(chosen)} is right in "
        f"{_right(results, chosen)}, and beyond chance in more are: {values}."
    ]


def _only_answer(results: Results, method: str, seed: int) -> str | None:
    """The class that a run gives every test row; None where it gives several, or where that was not measured."""
    if results.scores.value(method, seed, "most_answered") != 1:
        return None
    classes: Sequence[str] = results.facts.data.classes
    for place, name in enumerate(classes):
        if results.scores.value(method, seed, "answered", f"by_class/{place}") == 1:
            return name
    return "one class"


def _base_rate(results: Results) -> str | None:
    """In per cent; None where classes are not unequal, or it was not measured."""
    if not unequal(results) or not results.scores.has("base_rate"):
        return None
    return number(100 * _mean(results, results.methods[0], "base_rate"), 1)


def _frequent(results: Results) -> str:
    rows = results.facts.data.class_rows
    return results.facts.data.classes[max(range(len(rows)), key=lambda place: rows[place])]


def _mean(results: Results, method: str, metric: str, condition: str = "plain") -> float:
    return results.scores.interval(method, metric, condition).mean


def _right(results: Results, method: str) -> str:
    return number(100 * _mean(results, method, ACCURACY.key), 1)
