"""What the numbers say in plain sentences, and no more than they say: for readers who do not know what ECE is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from calmix.report.sentences import ENOUGH_ANSWERS, Advice, called, in_a_hundred, joined, listed
from calmix.results.catalogue import ACCURACY, COST, ECE, NLL, SCALED_NLL, Column, digits_of, number
from calmix.results.statistics import Interval, fewest_told
from calmix.results.store import PLAIN_MIXUP, PLAIN_TRAINING, Results
from calmix.studies.comparison.balance import headline
from calmix.studies.comparison.cautions import cautions
from calmix.studies.comparison.choice import (
    Choice,
    beats,
    better_once_scaled,
    choose,
    contenders,
    side,
    standing,
)
from calmix.studies.comparison.goals import BALANCED, SKILL, counted, goals_of, tested, tested_of_rarest
from calmix.studies.comparison.wording import of_the_difference, one_round, rounds

ENOUGH_SEEDS = 10  # advised before a claim
FEW_ROWS = 100  # tested, below which the headline warns


@dataclass(frozen=True)
class Words:
    """How the goals of a comparison are said."""

    right_answers: str  # no difference in ...
    right: str  # Take it: ... than plain training
    honest: str  # the same
    less_honest: str  # though ...
    is_honest: str  # with a name before it and `than` after it
    is_more_honest: str  # with a name before it
    after_scaling: str  # how the goal after temperature scaling is said, with its mean


ROWS_ALIKE = Words(
    "right answers",
    "right more often",
    "more honest",
    "less honest",
    "is more honest",
    "is the more honest",
    "it is off by {} points and plain training by {}",
)
CLASSES_ALIKE = Words(
    "right answers (each class counts alike)",
    "right more often (each class counts alike)",
    "with better probabilities",
    "with worse probabilities",
    "has better probabilities",
    "has the better probabilities",
    "its log-loss is {} and that of plain training {}",
)


def words_of(results: Results) -> Words:
    return CLASSES_ALIKE if goals_of(results).right == BALANCED else ROWS_ALIKE


def advice(results: Results) -> Advice:
    """Which method to take on this data, by the rule of `choice`, and what that gains.

    A difference is called beyond chance only where its interval, which the tables show, excludes zero; of a single
    seed nothing is.
    """
    said = _verdict(results)
    return replace(said, headline=headline(results, said.headline), cautions=[*said.cautions, *cautions(results)])


def _verdict(results: Results) -> Advice:
    missing = _missing(results)
    if len(results.methods) == 1:
        return Advice("One method: nothing to compare it with.", _alone(results), missing)
    if results.seeds == 1:
        more = f"Run {ENOUGH_SEEDS} seeds or more."
        return Advice("One seed decides nothing.", _leaders(results), [*missing, more])
    choice = choose(results)
    return Advice(
        f"{_headline(results, choice)}{_few(results)}",
        _reasons(results, choice),
        [*missing, *_cautions(results, choice)],
    )


def _missing(results: Results) -> list[str]:
    """How many runs failed; methods that fail where data are hard look better than they are."""
    failed, unit = len(results.failures), one_round(results)
    if not failed:
        return []
    runs = len(results.records) + failed
    methods = joined([called(method) for method in dict.fromkeys(run.method for run in results.failures)])
    return [
        f"{failed} of {runs} runs failed ({methods}); methods are compared on the {results.seeds} {unit}s that "
        "all of them finished."
    ]


# -------------------------------------------------------------------------------------------- what to do


def _headline(results: Results, choice: Choice) -> str:
    chosen, others = choice.method, _others(results, choice)
    take = f"Take {called(chosen)}"
    base = next((plain for plain in (PLAIN_TRAINING, PLAIN_MIXUP) if plain in others), None)
    if base is None or chosen == PLAIN_TRAINING:
        return _kept(results, choice)
    goals, words = goals_of(results), words_of(results)
    if goals.scaled is None:
        return f"{take}: closer to the truth than {called(base)}."
    right, honest = (side(results, chosen, base, goal) for goal in choice.goals)
    if honest == -1 and base == PLAIN_TRAINING:
        return f"{take} only if {words.right_answers} are all that counts: plain training {words.is_more_honest}."
    if right == 0 and base == PLAIN_TRAINING and not choice.scaled:
        scaled, likely = (side(results, chosen, base, column) for column in (goals.scaled, SCALED_NLL))
        if scaled == -1 or likely == -1:
            return f"{take} only where you cannot fit a temperature: with temperature scaling plain training is better."
        if scaled == 0:
            return (
                f"{take} only where you cannot fit a temperature: it {words.is_honest} than plain training, but no "
                "difference could be told after temperature scaling."
            )
    gains = [gain for gain, told in ((words.right, right), (words.honest, honest)) if told == 1]
    loss = f", though {words.less_honest}" if honest == -1 else ""
    scaling = ", with temperature scaling" if choice.scaled else ""
    return f"{take}{scaling}: {' and '.join(gains)} than {called(base)}{loss}."


def _few(results: Results) -> str:
    """A warning where few rows are tested, with what they can show at best."""
    right = goals_of(results).right
    rows, needed = counted(results, right), fewest_told(results.scores.level)
    if rows >= FEW_ROWS:
        return ""
    if right == BALANCED:
        return _few_of_rarest(results, rows)
    warning = f" But {rows} test rows are few"
    if results.regression:
        return f"{warning}."
    if needed > rows:
        return f"{warning}: too few for any gain to show."
    return f"{warning}: no gain of less than {number(100 * needed / rows, 0)} right answers in a hundred could show."


def _few_of_rarest(results: Results, rows: int) -> str:
    data = results.facts.data
    name = data.classes[min(range(len(data.class_rows)), key=lambda k: data.class_rows[k])]
    if not rows:
        return f" But hardly a test row is of {name!r}, the rarest class."
    few, share = tested_of_rarest(results), number(100 / rows, 1)
    return f" But about {few} test rows of {name!r}, the rarest class, are few: each is {share} % of balanced accuracy."


def _kept(results: Results, choice: Choice) -> str:
    """Of a method that no other unseated: because others are worse or no better, or because nothing could be told."""
    chosen, others = choice.method, _others(results, choice)
    take, words = f"Take {called(chosen)}", words_of(results)
    if any(beats(results, other, chosen, choice.goals) for other in others):
        return f"{take}."
    if chosen == PLAIN_TRAINING:
        scaled = [other for other in others if better_once_scaled(results, other, chosen)]
        if scaled:
            first = called(scaled[0])
            better = f"{first} {words.is_more_honest}"
            return f"{take} as it is, or {first} with temperature scaling: after scaling, {better}."
    standings = {other: standing(results, other, choice) for other in others}
    untold = [called(other) for other, found in standings.items() if found == "open"]
    if untold:
        rest = "; the other methods do worse or no better" if len(untold) < len(others) else ""
        least = "simplest" if chosen in (PLAIN_TRAINING, PLAIN_MIXUP) else "cheapest"
        return (
            f"No difference could be told between {_some([called(chosen), *untold])}{rest}: "
            f"take {called(chosen)} if the {least} will do."
        )
    less = [other for other, found in standings.items() if found == "less honest"]
    if less:
        after = goals_of(results).scaled
        still = after is None or all(side(results, chosen, other, after) == 1 for other in less)
        return (
            f"{take}: it {words.is_honest}{'' if still or choice.scaled else ' as trained'} than "
            f"{_some([called(other) for other in less])}, and no difference in {words.right_answers} could be told."
        )
    if chosen != PLAIN_TRAINING:
        return f"{take}: no other method does better."
    equal = "no gain" in standings.values()
    point = "one point, in balanced accuracy or log-loss skill," if words is CLASSES_ALIKE else _POINT
    margin = "one hundredth of its error" if results.regression else point
    return f"{take}: mixup does not pay on this data{f' (a gain of {margin} is ruled out)' if equal else ''}."


_POINT = "one point, in right answers or honesty,"


def _some(names: Sequence[str], most: int = 4) -> str:
    """The first names as a list in a sentence, and how many more there are."""
    return joined([*names[:most], *([f"{len(names) - most} more"] if len(names) > most else [])])


# -------------------------------------------------------------------------------------------------- why


def _reasons(results: Results, choice: Choice) -> list[str]:
    chosen, rivals, goals = choice.method, _rivals(results, choice), goals_of(results)
    said = [_gap(results, goals.right, chosen, rivals)]
    if goals.honest is not None:
        honest = _gap(results, goals.honest, chosen, rivals)
        said += [
            f"Without temperature scaling {honest[0].lower()}{honest[1:]}" if choice.scaled else honest,
            _claims(results, [chosen, *rivals]),
            _temperature(results, choice),
            _exchanges(results, choice),
        ]
    return [sentence for sentence in [*said, _cost(results, chosen)] if sentence]


def _others(results: Results, choice: Choice) -> list[str]:
    return [method for method in contenders(results) if method != choice.method]


def _rivals(results: Results, choice: Choice) -> list[str]:
    """Plain training and plain Mixup; where one of them is chosen, or neither takes part, also the best of the rest."""
    others, goal = _others(results, choice), choice.goals[0]
    plain = [method for method in (PLAIN_TRAINING, PLAIN_MIXUP) if method in others]
    rest = [method for method in others if method not in plain]
    if rest and (choice.method in (PLAIN_TRAINING, PLAIN_MIXUP) or not plain):
        plain.append(max(rest, key=lambda method: goal.better * _mean(results, method, goal)))
    return plain


def _gap(results: Results, goal: Column, method: str, rivals: Sequence[str]) -> str:
    """What a method reaches, and how far that is from its rivals."""
    value = number(_mean(results, method, goal), _digits(results, goal))
    reached = {
        ACCURACY.key: f"It is right {value} times in a hundred",
        ECE.key: f"The confidence it states is off by {value} points on average",
        BALANCED.key: f"Of 100 rows of a class it finds {value}, on average over the classes",
        SKILL.key: f"Its probabilities take {value} % off the log-loss of always saying how frequent the classes are",
        NLL.key: f"The log-loss of its probabilities is {value}",
    }.get(goal.key, f"Its predictions are off by {value} (root mean square, in the unit of the target)")
    gaps = joined([_apart(results, goal, method, rival) for rival in rivals])
    return f"{reached}: {gaps}." if gaps else f"{reached}."


def _apart(results: Results, goal: Column, method: str, rival: str) -> str:
    found = goal.shown(_difference(results, method, rival, goal))
    chance = _chance(found.side)
    size = _size(found, _digits(results, goal))
    if size is None:
        return f"as {'often' if goal == ACCURACY else 'much'} as {called(rival)} ({chance})"
    less = "fewer" if goal in (ACCURACY, BALANCED) else "less"
    return f"{size} {'more' if found.mean > 0 else less} than {called(rival)} ({chance})"


def _size(found: Interval, digits: int) -> str | None:
    """How large a difference is; where it rounds to zero None, unless it is beyond chance: then with more digits."""
    for places in range(digits, digits + 4 if found.side else digits + 1):
        if round(abs(found.mean), places) > 0:
            return number(abs(found.mean), places)
    return None


def _claims(results: Results, methods: Sequence[str]) -> str:
    """What becomes of answers that are about 90 % sure; nothing where the first method gives few of them."""
    claims = {method: sure_answers(results, method) for method in methods}
    said = {method: in_a_hundred(claim.observed) for method, claim in claims.items() if claim}
    if methods[0] not in said:
        return ""
    others = "; ".join(f"{called(method)}: {said[method]}" for method in methods[1:] if method in said)
    return f"When it says about 90 %, it is right {said[methods[0]]} times in a hundred{others and f' ({others})'}."


def _temperature(results: Results, choice: Choice) -> str:
    """What is left of a difference in honesty from plain training when both are scaled."""
    chosen, goals = choice.method, goals_of(results)
    if goals.honest is None or goals.scaled is None or PLAIN_TRAINING not in _others(results, choice):
        return ""
    if side(results, chosen, PLAIN_TRAINING, goals.honest) == 0:
        return ""
    after, likely = (side(results, chosen, PLAIN_TRAINING, column) for column in (goals.scaled, SCALED_NLL))
    means = [
        number(_mean(results, method, goals.scaled), _digits(results, goals.scaled))
        for method in (chosen, PLAIN_TRAINING)
    ]
    said = (
        "After temperature scaling, which fits one number on held-out rows, "
        f"{words_of(results).after_scaling.format(*means)} ({_chance(after)})"
    )
    better = "; but plain training then gives the right answers more probability (beyond chance)"
    return f"{said}{better if likely == -1 and goals.scaled != SCALED_NLL else ''}."


def _exchanges(results: Results, choice: Choice) -> str:
    """Methods that are more honest, as trained, at the price of right answers."""
    goals = goals_of(results)
    if choice.scaled or goals.honest is None:
        return ""
    found = [
        called(method)
        for method in _others(results, choice)
        if method != PLAIN_TRAINING
        and side(results, method, choice.method, goals.right) == -1
        and side(results, method, choice.method, goals.honest) == 1
    ]
    honest = words_of(results).honest
    if not found:
        return ""
    return f"{honest[0].upper()}{honest[1:]} but right less often, both beyond chance: {joined(found)}."


def _cost(results: Results, method: str) -> str:
    if method == PLAIN_TRAINING:
        return ""
    longer = round(100 * (_mean(results, method, COST) - 1))
    return f"A training step takes {f'{longer} % longer' if longer > 0 else 'no longer'} than a plain one."


# ------------------------------------------------------------------------------------- how far to trust it


def _cautions(results: Results, choice: Choice) -> list[str]:
    rows = results.facts.data.sizes["test"]
    about = "about " if results.facts.data.folds else ""
    speaks = "other rows of this kind" if results.facts.data.folds else "other seeds on this data, not of other data"
    said = [
        f"{rounds(results)}, each judged on {about}{rows:,} test rows. Beyond chance: zero lies outside "
        f"{of_the_difference(results)}. The interval speaks of {speaks}."
    ]
    if choice.method == PLAIN_TRAINING or PLAIN_TRAINING not in contenders(results):
        said += _least_gain(results, choice)
    said += _absent(results)
    learnt = 100 * _learnt(len(results.facts.data.classes))
    if not results.regression and _mean(results, choice.method, goals_of(results).right) < learnt:
        said.append("The networks have hardly learnt: train longer, or look at the data, before you choose.")
    if unsure := _untold(results):
        said.append(unsure)
    if PLAIN_TRAINING not in contenders(results):
        said.append("Plain training took no part, so whether mixup pays at all on this data is open: add erm.")
    if results.seeds < ENOUGH_SEEDS:
        said.append(f"{ENOUGH_SEEDS} {one_round(results)}s or more are advised before a claim.")
    return said


def _least_gain(results: Results, choice: Choice) -> list[str]:
    """The smallest gain that could show: by the interval over seeds, and by what a paired test of the rows can find."""
    goal, rival = choice.goals[0], _rivals(results, choice)[-1]
    half = goal.shown(_difference(results, rival, choice.method, goal)).half_width
    if goal != ACCURACY:
        digits = _digits(results, goal)
        places = next((more for more in range(digits, digits + 6) if round(half, more) > 0), None)
        unit = " points of balanced accuracy" if goal == BALANCED else ""
        if places is None:
            return []
        return [f"A gain of less than about {number(half, places)}{unit} would not show here."]
    rows, needed = tested(results), fewest_told(results.scores.level)
    if needed > rows:
        return [f"No gain could show here: to be told apart, two methods must differ on {needed} rows or more."]
    if half >= 100:
        return [f"No gain could show here: by so few {one_round(results)}s, not even a hundred in a hundred."]
    least = 100 * needed / rows
    why = f": that is {needed} of {rows:,} test rows, the fewest that a paired test can tell" if least > half else ""
    amount = next(number(max(least, half), places) for places in range(1, 9) if round(max(least, half), places) > 0)
    return [f"A gain of less than about {amount} right answers in a hundred would not show here{why}."]


def _absent(results: Results) -> list[str]:
    """Which classes a split has no row of."""
    lacking = [
        f"the {part} split has no row of {listed([repr(name) for name in names], 10)}"
        for part, names in results.facts.data.absent.items()
    ]
    if not lacking:
        return []
    said = f"In the first {one_round(results)} {joined(lacking)}"
    untested = ", so nothing is known of how they are answered" if "test" in results.facts.data.absent else ""
    return [f"{said}{untested}."]


def _untold(results: Results) -> str:
    """That calibration splits do not tell temperatures from 1, if most do not; nothing where that was not measured."""
    if not results.scores.has("temperature", "intervals/low"):
        return ""
    ends = [
        (low, high)
        for method in results.methods
        for low, high in zip(
            *(results.scores.values(method, "temperature", f"intervals/{end}") for end in ("low", "high")), strict=True
        )
    ]
    untold = sum(low <= 1 <= high for low, high in ends)
    if untold <= len(ends) / 2:
        return ""
    rows = results.facts.data.sizes["calibration"]
    return (
        f"In {untold} of {len(ends)} runs the {rows:,} calibration rows cannot tell the temperature from 1, so what "
        "temperature scaling changes there is within chance."
    )


def _learnt(classes: int) -> float:
    """An accuracy below which a network is hardly better than guessing: a tenth of the way from there to 1."""
    guessing = 1 / max(classes, 2)
    return guessing + (1 - guessing) / 10


def _chance(side: int) -> str:
    return "beyond chance" if side else "within chance"


# ----------------------------------------------------------------------------------- one method, or one seed


def _alone(results: Results) -> list[str]:
    method = results.methods[0]
    said = [_gap(results, goal, method, []) for goal in goals_of(results).trained]
    return [sentence for sentence in [*said, *([] if results.regression else [_claims(results, [method])])] if sentence]


def _leaders(results: Results) -> list[str]:
    """Who was ahead in the only seed, without any claim."""
    praises = {
        ACCURACY.key: "was right most often, {} times in a hundred",
        ECE.key: "stated the most honest confidence, off by {} points on average",
        BALANCED.key: "found most of each class, {} of 100 rows on average over the classes",
        SKILL.key: "had the best probabilities, with a log-loss skill of {} %",
        NLL.key: "had the best probabilities, with a log-loss of {}",
    }
    praised = {goal: praises.get(goal.key, "had the smallest error, {}") for goal in goals_of(results).trained}
    said = []
    for goal, praise in praised.items():
        best = max(contenders(results), key=lambda method: goal.better * _mean(results, method, goal))
        values = {
            method: number(_mean(results, method, goal), _digits(results, goal)) for method in contenders(results)
        }
        plain = [method for method in (PLAIN_TRAINING, PLAIN_MIXUP) if method in values and method != best]
        others = "; ".join(f"{called(method)}: {values[method]}" for method in plain)
        said.append(f"On it {called(best)} {praise.format(values[best])}{others and f' ({others})'}.")
    return said


@dataclass(frozen=True)
class SureAnswers:
    """Of `count` answers with a confidence of 85 to 95 %, over all seeds: their mean confidence, the share right."""

    claimed: float
    observed: float
    count: int


def sure_answers(results: Results, method: str) -> SureAnswers | None:
    """What became of a method's answers that are about 90 % sure; None where fewer than 100 are."""
    claimed, observed, count = (
        results.scores.values(method, name, "sure") for name in ("claimed", "observed", "count")
    )
    total = round(sum(count))
    if total < ENOUGH_ANSWERS:
        return None

    def pooled(values: list[float]) -> float:
        return math.fsum(value * rows for value, rows in zip(values, count, strict=True)) / total

    return SureAnswers(pooled(claimed), pooled(observed), total)


def _digits(results: Results, goal: Column) -> int:
    """Per cent with one digit; errors in the unit of the target with four digits that count."""
    if goal.metric.unit == "%":
        return 1
    if goal.metric.digits is not None:
        return goal.digits
    return digits_of(max(results.scores.interval(method, goal.key).mean for method in results.methods))


def _mean(results: Results, method: str, column: Column) -> float:
    return column.shown(results.scores.interval(method, column.key, column.condition)).mean


def _difference(results: Results, method: str, other: str, column: Column) -> Interval:
    return results.scores.difference(method, other, column.key, column.condition)
