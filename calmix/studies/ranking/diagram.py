"""Critical-difference diagram: mean ranks over data sets, and which of them are told apart."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calmix.report.drawing import CsvRow, Drawing, wrapped
from calmix.report.style import Style
from calmix.results.catalogue import Column
from calmix.results.scores import column_name
from calmix.results.statistics import Ranks

_LABEL = 28  # signs in a line of a method's name
_ROW = 0.3  # inches


@dataclass(frozen=True, eq=False)
class Ranked:
    """The ranks of methods in one metric."""

    column: Column
    ranks: Ranks

    def rows(self) -> Iterator[CsvRow]:
        metric = column_name(self.column.condition, self.column.key)
        for name, scores, ranks in zip(self.ranks.sets, self.ranks.scores, self.ranks.ranks, strict=True):
            for method, score, rank in zip(self.ranks.methods, scores.tolist(), ranks.tolist(), strict=True):
                yield {"data": name, "method": method, metric: score, "rank": rank}


def draw_ranks(ax: Axes, data: Ranked, styles: Mapping[str, Style]) -> None:
    """A row a method, best on top: its mean rank, and the rank on each data set as a small tick.

    Bars on the right join methods that are not told apart; the ruler on top is as long as ranks must differ to be.
    """
    ranks, order = data.ranks, data.ranks.order
    count = len(order)
    place = {i: row for row, i in enumerate(order)}
    for i, row in place.items():
        style = styles[ranks.methods[i]]
        ax.plot(ranks.ranks[:, i], [row] * len(ranks.sets), "|", color=style.color, alpha=0.45, markersize=9, mew=1.2)
        ax.plot(ranks.mean[i], row, style.marker, color=style.color, markersize=7.5, mec="white", mew=0.6, zorder=3)
    right = max(count, 1 + ranks.critical)
    for number, group in enumerate(ranks.groups):
        x = right + 0.35 + 0.3 * number
        ax.plot([x, x], [place[group[0]] - 0.25, place[group[-1]] + 0.25], color="#333333", linewidth=3.2)
    ruler = -1.0
    ax.errorbar(1 + ranks.critical / 2, ruler, xerr=ranks.critical / 2, color="#333333", capsize=3, linewidth=1.2)
    ax.text(1, ruler - 0.3, f"critical difference {ranks.critical:.2f}", fontsize=8, va="bottom", color="#333333")
    ax.set(
        xlim=(0.75, right + 0.5 + 0.3 * len(ranks.groups)),
        ylim=(count - 0.4, -1.9),
        xlabel="rank (1 is best); ticks: on each data set",
        yticks=range(count),
        title=f"{data.column.title}\np = {ranks.p:.2g}" + (": no two told apart" if ranks.alike else ""),
    )
    ax.set_yticklabels([wrapped(ranks.methods[i], _LABEL) for i in order])
    ax.set_xticks(range(1, count + 1))
    ax.grid(axis="y", visible=False)


def ranks_drawing(name: str, data: Ranked, styles: Mapping[str, Style]) -> Drawing:
    methods = data.ranks.methods
    lines = sum(len(wrapped(method, _LABEL).splitlines()) for method in methods)
    order = ", ".join(f"{methods[i]} {data.ranks.mean[i]:.2f}" for i in data.ranks.order)
    alt = f"Mean ranks in {data.column.title} over {len(data.ranks.sets)} data sets: {order}."

    def paint(figure: Figure) -> None:
        draw_ranks(figure.add_subplot(), data, styles)

    return Drawing(name, alt, [data], 1.4 + _ROW * max(lines, 3), paint)
