"""The page of a diagnosis says what was measured, and nothing beyond chance that is not."""

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from calmix.diagnose import MixedRows
from calmix.errors import DataError
from calmix.experiment import Record
from calmix.experiment.statistics import interval
from calmix.report.diagnosis import sentences, write_diagnosis
from calmix.report.figures.mismatch import (
    DEAL_NAMES,
    LamByDistance,
    draw_lam,
    draw_rise,
    prepare_lam,
    prepare_rises,
    prepare_wrong,
)
from calmix.report.figures.mixes import draw_points, mixes_drawing, prepare_mixes
from calmix.report.figures.quantile import draw_quantiles, prepare_quantiles, quantile_of, quantiles_drawing

SHARES = (0.5, 0.8, 1.0)


def ends(values: Sequence[float]) -> dict[str, Any]:
    return vars(interval(values))


def results(rises: Sequence[float] = (0.1, 0.12), cut: Sequence[float] = (0.3, 0.28)) -> dict[str, Any]:
    """A diagnosis of three classes in two bins; `rises` and `cut` are those of the seeds."""
    near = [0.2] * len(rises)
    far = [low + rise for low, rise in zip(near, rises, strict=True)]
    mismatch = [
        {
            **{"oracle": oracle, "space": space, "pairs": pairs, "measure": measure, "share": share},
            "distance": [0.5, 1.5],
            "bins": [ends(near), None if pairs == "sound" else ends(far)],
            "rise": ends(rises),
        }
        for oracle in ("network", "neighbours")
        for space in ("inputs", "embedding")
        for pairs in ("all", "different", "sound")
        for measure in ("neither", "excess", "hard", "mass")
        for share in SHARES
    ]
    wrong = {
        **dict.fromkeys(DEAL_NAMES, ends([0.3, 0.32])),
        **{f"own-{deal}": ends([-0.1, -0.12]) for deal in ("dealt", "dealt_within")},
        **{f"cut-{deal}": ends(cut) for deal in ("dealt", "dealt_within")},
    }
    lam = {"edges": [0.1, 1.0, 2.0], "histogram": [[1] * 10, [0] * 10], "mean": [ends([0.2, 0.3]), None]}
    method = {
        **{"method": "sk_mixup", "repr": "sk_mixup()", "mixes": 10},
        **dict.fromkeys(("mixing", "label_mixing", "different"), ends([0.2, 0.22])),
        "wrong": {
            oracle: dict.fromkeys(("neither", "excess", "hard", "mass"), wrong) for oracle in ("network", "neighbours")
        },
        "lam": {"inputs": lam, "embedding": lam},
    }
    return {
        "data": {
            **{"name": "toy <set>", "source": "made up", "kind": "image", "classes": ["a", "b", "c"], "notices": []},
            **{"sizes": {"train": 3}, "shape": [1, 2, 2]},
        },
        **{"model": "mlp", "fit": {"epochs": 1}, "environment": {"torch": "2"}, "command": ["calmix", "diagnose"]},
        "settings": {"rows": 9, "epochs": 5, "neighbours": 20, "learnt": 900, "pairs": 10, "bins": 2},
        "seeds": len(rises),
        "oracle": dict.fromkeys(("network", "neighbours"), ends([0.9, 0.92])),
        "mismatch": mismatch,
        "methods": [method, {**method, "method": "mixup"}],
    }


def keep(folder: Path, found: dict[str, Any]) -> None:
    (folder / "diagnosis.json").write_text(json.dumps(found))
    x, y = torch.rand(4, 1, 2, 2), torch.tensor([0, 1, 2, 0])
    batch = {"anchor": x, "partner": x.flip(0), "mixed": x, "anchor_y": y, "partner_y": y.flip(0)}
    batch |= {"distance": torch.tensor([0.5, 1.0, 1.5, 0.0]), "tau": torch.ones(4), "lam": torch.full((4,), 0.25)}
    (folder / "mixes").mkdir()
    np.savez(folder / "mixes" / "sk_mixup.npz", allow_pickle=False, **{k: v.numpy() for k, v in batch.items()})


# ------------------------------------------------------------------------------------------------- the page


def test_the_page_holds_the_findings_the_figures_and_the_way_to_make_it_again(tmp_path: Path):
    keep(tmp_path, results())
    page = write_diagnosis(tmp_path).read_text()
    for sentence in sentences(results()):
        assert sentence in html.unescape(page).replace("\u00a0", " ")
    assert "calmix: diagnosis of toy &lt;set&gt;" in page
    assert "<script" not in page
    assert "calmix diagnose</code>" in page
    figures = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert figures >= {"wrong-neither-inputs", "lam-embedding", "labels-network", "mixes-sk_mixup"}
    assert page.count("<img") == len(figures) == len(list((tmp_path / "figures").glob("*.csv")))


def test_a_folder_without_a_diagnosis_or_with_a_damaged_one_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"holds no diagnosis\.json"):
        write_diagnosis(tmp_path)
    broken = results()
    del broken["settings"]
    (tmp_path / "diagnosis.json").write_text(json.dumps(broken))
    with pytest.raises(DataError, match=r"damaged \('settings'\)"):
        write_diagnosis(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_one_seed_claims_nothing():
    headline, *found, method, _ = sentences(results([0.5], [0.5]))
    assert headline == "One seed decides nothing; this is what it showed."
    for claim in ("grow", "often", "told apart", "less than"):
        assert claim not in " ".join([*found, method])


@given(st.lists(st.floats(-0.19, 0.7), min_size=2, max_size=6), st.lists(st.floats(-0.5, 0.9), min_size=2, max_size=6))
def test_nothing_is_claimed_that_its_interval_does_not_show(rises: list[float], cut: list[float]):
    headline, *found, method, _ = sentences(results(rises, cut))
    side, cut_side = interval(rises).side, interval(cut).side
    assert (" grow " in headline) == (side > 0)
    assert (" fewer " in headline) == (side < 0)
    for sentence in found:
        assert ("more often far apart" in sentence) == (side > 0)
        assert ("less often far apart" in sentence) == (side < 0)
        assert ("not told apart" in sentence) == (side == 0)
    assert (" less than with the same lams" in method) == (cut_side > 0)
    assert (" more than with the same lams" in method) == (cut_side < 0)
    assert ("not told apart from it" in method) == (cut_side == 0)
    assert "-" not in re.sub(r"[a-z]-[a-z]", "", " ".join(found))  # true minus signs


def test_distances_that_take_too_few_values_are_said_to():
    found = results()
    for entry in found["mismatch"]:
        entry["rise"] = None
    assert "too few values" in sentences(found)[1]


def test_two_classes_are_judged_by_what_is_avoidable():
    found = results()
    found["data"]["classes"] = ["a", "b"]
    assert "avoidable error" in sentences(found)[1]
    assert "80 to 20" in sentences(found)[1]


def test_the_two_ways_to_measure_distance_may_disagree():
    found = results()
    for entry in found["mismatch"]:
        entry["rise"] = ends([0.1, 0.11]) if entry["space"] == "inputs" else ends([-0.1, -0.11])
    assert sentences(found)[0] == (
        "Wrong labels grow with the distance of inputs, and become fewer with that in the oracle's embedding."
    )


# ----------------------------------------------------------------------------------------------- the figures


def test_a_line_goes_through_the_means_and_an_empty_bin_leaves_a_gap():
    rises = prepare_rises(results()["mismatch"], "inputs", "neither", ("sound",))
    assert len(rises) == 2 * len(SHARES)
    assert rises[0].mean[0] == pytest.approx(0.2)
    assert np.isnan(rises[0].mean[1])
    full = prepare_rises(results()["mismatch"], "inputs", "neither", ("all",))[0]
    ax = Figure().add_subplot()
    draw_rise(ax, full, "#000000", "o")
    np.testing.assert_allclose(np.asarray(ax.lines[0].get_ydata()), 100 * full.mean)
    (row, _) = full.rows()
    assert (row["neither"], row["distance"], row["bin"]) == (pytest.approx(0.2), 0.5, 1)


def test_each_column_of_lam_adds_up_to_its_mixes():
    data = LamByDistance("m", "inputs", np.array([[3.0, 1.0], [0.0, 0.0]]), np.array([0.1, np.nan]))
    ax = Figure().add_subplot()
    draw_lam(ax, data)
    np.testing.assert_allclose(np.asarray(ax.images[0].get_array()), [[0.75, 0.0], [0.25, 0.0]])  # bins along x
    assert [row["mixes"] for row in data.rows()] == [3.0, 1.0, 0.0, 0.0]
    assert [row["share_to"] for row in data.rows()][:2] == [0.25, 0.5]
    assert prepare_lam(results()["methods"][0], "inputs").mean[0] == pytest.approx(0.25)


def test_controls_stand_beside_the_method():
    found = prepare_wrong(results()["methods"], "network", ("mass",))
    assert [(one.method, one.deal) for one in found] == [(m, d) for m in ("sk_mixup", "mixup") for d in DEAL_NAMES]


def test_mixes_are_shown_from_the_nearest_pair_to_the_farthest_and_no_row_with_itself():
    x = torch.arange(5.0)[:, None, None, None].expand(5, 3, 2, 2)
    distance, y = torch.tensor([2.0, 0.0, 1.0, 3.0, 0.5]), torch.arange(5)
    batch = MixedRows(x, x, x, y, y, distance, None, torch.rand(5))
    data = prepare_mixes("mixup", batch, list("abcde"), count=3)
    assert data.distance.tolist() == [0.5, 2.0, 3.0]  # of 0.5 1 2 3 at equal steps of rank
    assert data.mixed.shape == (3, 2, 2, 3)
    assert data.mixed.min() >= 0
    assert data.mixed.max() <= 1
    assert data.mixed[:, 0, 0, 0].tolist() == [1.0, 0.0, 0.75]
    assert [row["anchor"] for row in data.rows()] == ["e", "a", "d"]
    (png,) = mixes_drawing("mixes", data).save("png")
    assert png.startswith(b"\x89PNG")


def test_every_mix_of_points_lies_on_the_line_of_its_parents():
    anchor, partner, lam = torch.randn(9, 2), torch.randn(9, 2), torch.rand(9)
    mixed = lam[:, None] * anchor + (1 - lam)[:, None] * partner
    y = torch.arange(9) % 2
    batch = MixedRows(anchor, partner, mixed, y, 1 - y, (anchor - partner).square().sum(1), None, lam)
    figure = Figure()
    draw_points(figure, prepare_mixes("mixup", batch, ["a", "b"]))
    lines, *classes, dots = figure.axes[0].collections
    assert isinstance(lines, LineCollection)
    assert sum(len(np.asarray(points.get_offsets())) for points in classes) == 18
    for (start, end), dot in zip(np.asarray(lines.get_segments()), np.asarray(dots.get_offsets()), strict=True):
        along, off = end - start, dot - start
        assert along[0] * off[1] == pytest.approx(along[1] * off[0], abs=1e-5)


# -------------------------------------------------------------------------------------------- the quantiles


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
