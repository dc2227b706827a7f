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
class Step:
    """The best trial of a method after one more was tried, in the goal's stored unit.

    spent: on trials with one seed, in plain trainings. first: the least goal of a first seed so far. mean, error: of
    that trial over its seeds, one standard error; None where it has one seed.
    """

    method: str
    spent: float
    first: float
    mean: float
    error: float | None
    seeds: int

    def rows(self) -> Iterator[CsvRow]:
        error = "" if self.error is None else self.error
        yield {
            "method": self.method, "spent": self.spent, "first_seed": self.first, "mean": self.mean,
            "standard_error": error, "seeds": self.seeds,
        }  # fmt: skip


def prepare_search(method: str, trials: Sequence[Trial]) -> list[Step]:
    """A step a trial, from the first one that did not fail."""
    steps, spent, best = [], 0.0, None
    for trial in trials:
        spent += trial.cost
        if trial.goal(1) < (inf if best is None else best.goal(1)):
            best = trial
        if best is not None:
            goals = [run.goal for run in best.runs]
            error = stdev(goals) / sqrt(len(goals)) if len(goals) > 1 else None
            steps.append(Step(method, spent, goals[0], fmean(goals), error, len(goals)))
    return steps


def search_drawing(searches: Mapping[str, Sequence[Step]], column: Column, looks: Mapping[str, Style]) -> Drawing:
    """A line a method: the mean over the seeds of its best trial so far, with a band where there are several."""

    def paint(figure: Figure) -> None:
        ax = figure.add_subplot()
        for method, steps in searches.items():
            _draw_steps(ax, steps, column.scale, looks[method])
        ax.set(xlabel="spent on trials, in plain trainings", ylabel=f"{column.label} of the best so far")
        legend(figure, {method: looks[method] for method in searches})

    data = [step for steps in searches.values() for step in steps]
    alt = f"{column.label} of the best trial so far against what was spent: {', '.join(searches)}."
    return Drawing("best-so-far", alt, data, 2.9 + legend_height({m: looks[m] for m in searches}), paint)


def _draw_steps(ax: Axes, steps: Sequence[Step], scale: float, style: Style) -> None:
    x = [step.spent for step in steps]
    means = [scale * step.mean for step in steps]
    errors = [scale * (step.error or 0.0) for step in steps]
    low, high = ([m + sign * e for m, e in zip(means, errors, strict=True)] for sign in (-1, 1))
    ax.fill_between(x, low, high, step="post", color=style.color, alpha=0.15, linewidth=0)
    looks = {"color": style.color, "linestyle": style.line, "marker": style.marker, "markersize": 3}
    ax.step(x, means, where="post", **looks)


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
