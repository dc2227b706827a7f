"""Who ranks first over data sets, and from whom that can be told apart; no more than the tests say."""

from calmix.report.sentences import Advice, called, joined
from calmix.results.statistics import Ranks
from calmix.studies.ranking.study import Ranking

ENOUGH_SETS = 10  # advised before a claim
_GOALS = {"accuracy": "right answers", "ece": "honest confidence", "rmse": "closeness to the truth"}


def ranking_advice(ranking: Ranking) -> Advice:
    """What the ranks say, why, and how far to trust them."""
    goals = {
        _GOALS[column.key]: ranks
        for column, ranks in ranking.ranks.items()
        if column.key in _GOALS and column.condition == "plain"
    }
    first = [f"{_first(ranks)} ranks first in {goal}" for goal, ranks in goals.items() if _behind(ranks)]
    count, k = len(ranking.sets), len(ranking.methods)
    headline = (
        f"Over {count} data sets {joined(first)}."
        if first
        else f"Over {count} data sets no method is ahead beyond chance."
    )
    whole = (
        "Friedman's test tells the methods apart as a whole"
        if k > 2
        else "Wilcoxon's signed-rank test tells the two apart"
    )
    critical = next(iter(ranking.ranks.values())).critical
    cautions = [
        f"Beyond chance: {whole} (p below 0.05), and their mean ranks differ by {critical:.2f} or more, Nemenyi's "
        f"critical difference for {k} methods on {count} data sets.",
        "Ranks say who is ahead, not by how much.",
    ]
    if ranking.repeated:
        cautions.append(
            f"Several comparisons are of the same data ({', '.join(ranking.repeated)}), which the tests take for "
            "independent."
        )
    if count < ENOUGH_SETS:
        cautions.append(f"Fewer than {ENOUGH_SETS} data sets tell little apart.")
    if ranking.left_out:
        cautions.append(f"Left out, as controls or because a comparison lacks them: {', '.join(ranking.left_out)}.")
    return Advice(headline, [_standing(goal, ranks) for goal, ranks in goals.items()], cautions)


def _standing(goal: str, ranks: Ranks) -> str:
    """Who ranks best in one metric, and how sure that is."""
    behind = _behind(ranks)
    best = f"In {goal} {_first(ranks)} ranks best on average ({ranks.mean.min():.1f} of {len(ranks.methods)})"
    if behind:
        return f"{best}, beyond chance better than {joined(behind)}."
    if ranks.alike:
        return f"{best}, but not beyond chance (p = {ranks.p:.2g})."
    return f"{best}, but no other method's rank is a critical difference away."


def _first(ranks: Ranks) -> str:
    return called(ranks.methods[ranks.order[0]])


def _behind(ranks: Ranks) -> list[str]:
    """The methods that are told apart from the best, and worse."""
    best, *others = ranks.order
    return [called(ranks.methods[i]) for i in others if ranks.apart(best, i)]
