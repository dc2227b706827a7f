"""Recall by class and confusion matrices are counts of the stored predictions."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from calmix.report.figures.by_class import (
    MOST_CLASSES,
    base_rate,
    class_table,
    confusion_drawing,
    counts_of,
    prepare_confusion,
)


def run(labels: list[int], answers: list[int], classes: int = 3) -> NDArray[np.int64]:
    return counts_of({"labels": np.array(labels), "probs": np.eye(classes)[answers]})


def test_recall_is_the_mean_over_seeds_of_the_share_that_is_found():
    data = prepare_confusion("erm", ["a", "b", "c"], [run([0, 0, 0, 1], [0, 0, 1, 1]), run([0, 1, 1, 1], [1, 1, 1, 0])])
    table = class_table([data])
    shown = {row.method: [cell.value for cell in row.cells] for row in table.rows}
    assert shown["a"] == ["2", "50.0", "33.3"]  # 2 of 3, then 0 of 1
    assert shown["b"][2] == "83.3"
    assert shown["c"] == ["0", "0.0", "–"]  # a class that no test row has
    assert base_rate(data) == ("a", 0.5)


def test_of_many_classes_those_that_are_missed_most_are_listed():
    labels = list(range(40))
    answers = [0 if label in (7, 9) else label for label in labels]
    table = class_table([prepare_confusion("erm", [], [run(labels, answers, 40)])])
    assert len(table.rows) == MOST_CLASSES
    assert [row.method for row in table.rows[:2]] == ["7", "9"]
    assert "20 of 40 classes" in table.notes[0]


@pytest.mark.parametrize("classes", [2, 10, 40])
def test_a_matrix_of_any_size_can_be_drawn_and_every_row_is_counted(classes: int):
    rng = np.random.default_rng(0)
    labels, answers = rng.integers(0, classes, 200).tolist(), rng.integers(0, classes, 200).tolist()
    data = prepare_confusion("erm", [f"class {i}" * 3 for i in range(classes)], [run(labels, answers, classes)])
    assert sum(int(row["rows"]) for row in data.rows()) == 200
    drawing = confusion_drawing("x", data)
    figure = Figure((drawing.width, drawing.height), layout="constrained")
    drawing.paint(figure)
    figure.draw_without_rendering()
    assert data.counts[0, labels[0], answers[0]] > 0
