"""Near pairs, far pairs, all pairs: what the figure of quantiles shows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from calmix.experiment import Record
from calmix.experiment.statistics import interval
from calmix.report.figures.quantile import draw_quantiles, prepare_quantiles, quantile_of, quantiles_drawing


def ends(values: Sequence[float]) -> dict[str, Any]:
    return vars(interval(values))


def record(method: str, seed: int, accuracy: float) -> Record:
    metrics = {"accuracy": accuracy, "ece": 1 - accuracy}
    return Record(method, "", seed, metrics, None, 1.0, 1.0, 1, [], "")


def test_quantiles_are_read_from_the_methods():
    assert quantile_of("near_mixup(quantile=0.1)") == ("near_mixup", 0.1)
    assert quantile_of("far_mixup(quantile=0.9, alpha=2.0)") == ("far_mixup", 0.9)
    assert quantile_of("mixup(per_row=True)") is None  # another method than the one all are compared to
    assert quantile_of("sk_mixup") is None
    assert quantile_of("near_mixup (ours)") is None


def test_a_point_is_the_mean_over_seeds_and_all_pairs_are_a_level():
    labels = ("mixup", "near_mixup(quantile=0.25)", "near_mixup(quantile=0.1)", "far_mixup", "erm")
    runs = [record(label, seed, 0.5 + 0.1 * seed + 0.01 * i) for i, label in enumerate(labels) for seed in (0, 1)]
    points = prepare_quantiles(runs)
    assert [(p.kind, p.quantile) for p in points if p.metric == "accuracy"] == [
        ("far_mixup", 0.5), ("mixup", None), ("near_mixup", 0.1), ("near_mixup", 0.25),
    ]  # fmt: skip
    near = next(point for point in points if point.quantile == 0.1)
    assert vars(near.value) == ends([0.52, 0.62])
    ax = Figure().add_subplot()
    draw_quantiles(ax, [point for point in points if point.metric == "accuracy"])
    lines = {tuple(np.round(np.asarray(line.get_ydata(), float), 6)) for line in ax.lines}
    assert (57.0, 56.0) in lines  # near pairs by quantile
    assert (55.0, 55.0) in lines  # all pairs, across
    assert quantiles_drawing("quantiles", points).save("png")[0].startswith(b"\x89PNG")
    assert prepare_quantiles([record("mixup", 0, 0.5), record("erm", 0, 0.5)]) == []
