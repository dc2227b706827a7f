"""Pictures of a search: the best so far against what was spent, and the last trainings seed by seed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import fmean, stdev

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calmix.report.drawing import CsvRow, Drawing, legend, legend_height, wrapped
from calmix.report.style import Style
from calmix.results.catalogue import Column
from calmix.results.scores import Scores, column_name
from calmix.studies.tuning.trials import Trial


@dataclass(frozen=True)
class Tried:
    """A trial as the search went, in the goal's stored unit.

    spent: with it, on first seeds, in plain trainings. first: its goal in the first seed; best: the least so far.
    mean, error: over its seeds, with one standard error; None where it has one seed.
    """

    method: str
    number: int
    spent: float
    first: float
    best: float
    mean: float | None
    error: float | None
    seeds: int

    def rows(self) -> Iterator[CsvRow]:
        yield {name: "" if value is None else value for name, value in vars(self).items()}


def prepare_search(method: str, trials: Sequence[Trial]) -> list[Tried]:
    """All that did not fail."""
    found, spent, best = [], 0.0, inf
    for trial in trials:
        spent += trial.cost
        if not trial.failure:
            goals = [run.goal for run in trial.settled.runs]
            best, several = min(best, goals[0]), len(goals) > 1
            mean, error = (fmean(goals), stdev(goals) / sqrt(len(goals))) if several else (None, None)
            found.append(Tried(method, trial.number, spent, goals[0], best, mean, error, len(goals)))
    return found


def search_drawing(searches: Mapping[str, Sequence[Tried]], column: Column, looks: Mapping[str, Style]) -> Drawing:
    """A line a method, the best first seed so far; markers with a bar where a trial has several seeds."""

    def paint(figure: Figure) -> None:
        ax = figure.add_subplot()
        for method, tried in searches.items():
            _draw_search(ax, tried, column.scale, looks[method])
        ax.set(xlabel="spent on first seeds, in plain trainings", ylabel=column.label)
        legend(figure, {method: looks[method] for method in searches})

    data = [one for tried in searches.values() for one in tried]
    alt = f"{column.label} of the best trial so far against what was spent: {', '.join(searches)}."
    return Drawing("best-so-far", alt, data, 2.9 + legend_height({m: looks[m] for m in searches}), paint)


def _draw_search(ax: Axes, tried: Sequence[Tried], scale: float, style: Style) -> None:
    spent, best = [one.spent for one in tried], [scale * one.best for one in tried]
    ax.step(spent, best, where="post", color=style.color, linestyle=style.line)
    for one in tried:
        if one.mean is not None and one.error is not None:
            bar = {"fmt": style.marker, "color": style.color, "markersize": 5, "elinewidth": 1.2, "capsize": 2}
            ax.errorbar(one.spent, scale * one.mean, scale * one.error, **bar)


@dataclass(frozen=True)
class Last:
    """What the last trainings of one name gave in one column, in stored units."""

    name: str
    label: str  # on the axis
    metric: str
    seeds: Sequence[int]
    values: Sequence[float]

    def rows(self) -> Iterator[CsvRow]:
        for seed, value in zip(self.seeds, self.values, strict=True):
            yield {"name": self.name, "method": self.label, "seed": seed, self.metric: value}


def prepare_last(scores: Scores, named: Mapping[str, Trial], column: Column) -> list[Last]:
    """In the order of the names."""
    metric = column_name(column.condition, column.key)
    return [
        Last(name, trial.text, metric, scores.seeds_of(name), scores.values(name, column.key, column.condition))
        for name, trial in named.items()
    ]


def last_drawing(lasts: Sequence[Last], column: Column, looks: Mapping[str, Style]) -> Drawing:
    """A row a name: its mean, and a dot a seed."""

    def paint(figure: Figure) -> None:
        ax = figure.add_subplot()
        for place, last in enumerate(lasts):
            values, style = [column.scale * value for value in last.values], looks[last.name]
            ax.plot(values, [place] * len(values), "o", color="#9a9a9a", markersize=2.5, zorder=2)
            ax.plot(fmean(values), place, style.marker, color=style.color, markersize=7, zorder=3)
        ax.set_yticks(range(len(lasts)), [f"{last.name}\n{wrapped(last.label, 24)}" for last in lasts])
        ax.set(ylim=(len(lasts) - 0.4, -0.6), xlabel=column.heading.replace("\u00a0", " "))
        ax.grid(visible=False, axis="y")

    lines = sum(2 + wrapped(last.label, 24).count("\n") for last in lasts)
    name = f"tested-{column_name(column.condition, column.key).replace('_', '-')}"
    alt = f"{column.label} on the test rows: {', '.join(last.name for last in lasts)}."
    return Drawing(name, alt, lasts, 0.8 + 0.22 * lines, paint)
