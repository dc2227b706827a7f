"""How many rows of each class there are, how many of them are found, and what is taken for what.

n  test rows
K  classes
S  seeds
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from calmix.report.drawing import CsvRow, Drawing, wrapped
from calmix.report.tables import Cell, Row, Table
from calmix.results.catalogue import number
from calmix.results.files import NamedArrays

MOST_CLASSES = 20  # rows of the table; of more classes, those that are missed most
NUMBERED = 12  # classes, at most, of which every cell carries its number
MOST_MATRICES = 12  # methods whose matrix is drawn
COUNTED = 100  # classes, at most, that are counted class by class

CLASSES_CAPTION = (
    "Recall: how many of the rows of a class are called so, {mean}. A network that only ever says the "
    "most frequent class, {frequent}, is right {base} % of the time: that is the base rate."
)
MATRIX_CAPTION = (
    "A row is what is there, a column what the network says, in per cent of the row{mean}: what is off the "
    "diagonal is taken for something else."
)


@dataclass(frozen=True, eq=False)
class Confusion:
    """How many of the test rows of a class (first index) were called another (second), of every seed."""

    method: str
    classes: Sequence[str]  # K of them
    counts: NDArray[np.int64]  # (S, K, K)

    @property
    def shares(self) -> NDArray[np.float64]:
        """(K, K) of the rows of a class, the mean over the seeds that have such rows; NaN where none has."""
        rows = self.counts.sum(2, keepdims=True)
        held = (rows > 0).sum(0)
        shares = np.where(rows > 0, self.counts / np.maximum(rows, 1), 0.0).sum(0)
        return np.where(held > 0, shares / np.maximum(held, 1), np.nan)

    def rows(self) -> Iterator[CsvRow]:
        counts = self.counts.sum(0)
        for i, j in np.ndindex(*counts.shape):
            pair: CsvRow = {"method": self.method, "truth": self.classes[int(i)], "answer": self.classes[int(j)]}
            yield {**pair, "rows": int(counts[i, j])}


def counts_of(predictions: NamedArrays) -> NDArray[np.int64]:
    """(K, K) of a run: rows of a class (first index) that were called another (second)."""
    answers = predictions["probs"].argmax(1)
    return count_pairs(predictions["labels"].astype(np.int64), answers, predictions["probs"].shape[1])


def count_pairs(labels: NDArray[np.int64], answers: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """(K, K) of labels and answers, both (n,): rows of a class (first index) that were called another (second).

    >>> count_pairs(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    return np.bincount(classes * labels + answers, minlength=classes**2).reshape(classes, classes)


def prepare_confusion(method: str, classes: Sequence[str], counts: Sequence[NDArray[np.int64]]) -> Confusion:
    """Of the `counts_of` a method's runs."""
    k = len(counts[0])
    names = list(classes) if len(classes) == k else [str(number) for number in range(k)]
    return Confusion(method, names, np.array(counts))


def class_table(confusions: Sequence[Confusion]) -> Table:
    """A row a class: test rows, their share, and every method's recall; of many classes, those that are missed most."""
    first = confusions[0]
    rows = first.counts.sum(2).mean(0)  # (K,), all methods have the same
    recalls = [np.diagonal(one.shares) for one in confusions]
    order: Sequence[int] = range(len(first.classes))
    notes: list[str] = []
    if len(first.classes) > MOST_CLASSES:
        order = np.argsort(np.nan_to_num(np.mean(recalls, 0), nan=2.0), kind="stable")[:MOST_CLASSES].tolist()
        notes.append(f"The {MOST_CLASSES} of {len(first.classes)} classes that are missed most.")
    shown = [
        Row(
            first.classes[k],
            [
                Cell(number(rows[k], 0)),
                Cell(number(100 * rows[k] / rows.sum(), 1)),
                *(Cell("–" if np.isnan(recall[k]) else number(100 * recall[k], 1)) for recall in recalls),
            ],
        )
        for k in order
    ]
    return Table(["Test rows", "Share, %", *(f"{one.method}, %" for one in confusions)], shown, notes)


def base_rate(confusion: Confusion) -> tuple[str, float]:
    """The most frequent class of the test rows, and its share of them."""
    rows = confusion.counts.sum((0, 2))
    return confusion.classes[int(rows.argmax())], float(rows.max() / rows.sum())


def draw_confusion(ax: Axes, data: Confusion) -> None:
    shares = 100 * data.shares
    count = len(data.classes)
    ax.pcolormesh(np.arange(count + 1) - 0.5, np.arange(count + 1) - 0.5, shares, cmap="Blues", vmin=0, vmax=100)
    if count <= NUMBERED:
        for i, j in zip(*np.nonzero(np.nan_to_num(shares) >= 0.5), strict=True):
            color = "white" if shares[i, j] > 55 else "#222222"
            ax.text(j, i, f"{shares[i, j]:.0f}", ha="center", va="center", fontsize=6.5, color=color)
        names = [name if len(name) <= 9 else f"{name[:8]}…" for name in data.classes]
        ax.set_yticks(range(count), names)
        upright = max(map(len, names)) * count < 40
        ax.set_xticks(range(count), names, rotation=0 if upright else 90)
    else:
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -0.5), aspect="equal", xlabel="says", ylabel="is")
    ax.grid(visible=False)


def confusion_drawing(name: str, data: Confusion) -> Drawing:
    def paint(figure: Figure) -> None:
        ax = figure.add_subplot()
        draw_confusion(ax, data)
        ax.set_title(wrapped(data.method, 34), fontweight="bold")

    return Drawing(name, f"What {data.method} takes for what, in per cent.", [data], 3.3, paint, width=3.3)
