"""A diagnosis: an oracle that learnt other rows, controls that mix as much, and results that are whole or absent."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import calmix.studies.diagnosis.study as study
from calmix.data import NamedSet, TableFile
from calmix.errors import CalmixError, DataError
from calmix.methods.cutmix import cutmix
from calmix.methods.erm import erm
from calmix.methods.manifold_mixup import manifold_mixup
from calmix.methods.mixup import mixup
from calmix.methods.quantile import near_mixup
from calmix.methods.sk_mixup import sk_mixup
from calmix.models import mlp, smooth_mlp
from calmix.results.catalogue import METRICS
from calmix.studies.diagnosis.expansion import Follower
from calmix.studies.diagnosis.findings import Place, cut, pair_bins, rise
from calmix.studies.diagnosis.mixes import read_batch
from calmix.studies.diagnosis.oracle import OracleSettings
from calmix.studies.diagnosis.page import diagnosis_page
from calmix.studies.diagnosis.results import DiagnosisResults, read_diagnosis
from calmix.studies.diagnosis.study import Diagnosis, diagnose
from calmix.studies.diagnosis.surface import read_surface
from calmix.train import Recipe, TrainingSettings, train

DIGITS = NamedSet("digits", train_size=150)
METHODS = {"erm": erm(), "mixup": mixup(), "near_mixup": near_mixup(quantile=0.1)}
SMALL = Diagnosis(
    DIGITS,
    METHODS,
    mlp,
    TrainingSettings(epochs=3, device="cpu"),
    seeds=2,
    oracle=OracleSettings(epochs=5),
    pairs=600,
    bins=4,
    derivatives=False,
)
PLANE = Diagnosis(
    NamedSet("two_moons"),
    {"sk_mixup": sk_mixup(), "erm": erm()},
    settings=TrainingSettings(epochs=2, device="cpu"),
    seeds=1,
    oracle=OracleSettings(epochs=2),
    pairs=200,
)
COMMAND = ("calmix", "diagnose", "digits")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DiagnosisResults]:
    out = tmp_path_factory.mktemp("diagnosis")
    return out, diagnose(SMALL, out, command=COMMAND)


@pytest.fixture(scope="module")
def fewer_pairs() -> Iterator[None]:
    """Expansions are made of few pairs and orders, which takes less time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "Follower", SimpleNamespace(of=partial(Follower.of, pairs=8, orders=2)))
        yield


@pytest.fixture(scope="module")
def plane(fewer_pairs: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DiagnosisResults, list[str]]:
    """A diagnosis of points, and the recipes whose networks were trained for it, in order."""
    out, trained = tmp_path_factory.mktemp("plane"), []

    def counted(recipe: Recipe, on_epoch: object) -> object:
        trained.append(f"{recipe.label} {'smooth' if recipe.model is smooth_mlp else 'own'}")
        return train(recipe, on_epoch)  # pyright: ignore[reportArgumentType]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "train", counted)
        results = diagnose(PLANE, out)
    return out, results, trained


# --------------------------------------------------------------------------------------------------- numbers


def test_nothing_mixed_is_the_oracle_s_own_disagreement_and_controls_change_only_the_pairs(found: tuple):
    scores = found[1].scores
    for metric in ("mixing", "label_mixing", "different"):
        assert scores.values("erm", metric) == [0, 0]
    floor = pair_bins(scores, Place("network", "inputs", "all", 1), "hard")
    own = scores.interval("erm", "hard", "labels/network/none").mean
    assert own == pytest.approx(np.mean([one.mean for one in floor if one]), abs=0.05)
    near, random = (scores.interval(method, "different").mean for method in ("near_mixup", "mixup"))
    assert near < random - 0.2  # near pairs are of one class
    gained = cut(scores, "near_mixup", "network", "shuffled")
    assert gained is not None
    assert gained.mean > 0.2
    for method in METHODS:
        cells = [f"lam/inputs/{number}/cell/{cell}" for number in range(1, 5) for cell in range(1, 11)]
        assert sum(sum(scores.values(method, "mixes", path)) for path in cells) == sum(scores.values(method, "mixes"))
    assert sum(scores.values("mixup", "mixes")) < sum(scores.values("erm", "mixes"))  # some rows meet themselves


def test_wrong_labels_of_digits_grow_with_the_distance_of_inputs(found: tuple):
    grown = rise(found[1].scores, Place("network", "inputs", "different", 0.5), "neither")
    assert grown is not None
    assert grown.mean > 0.05


def test_every_metric_stands_in_the_catalogue(found: tuple, plane: tuple):
    for results in (found[1], plane[1]):
        assert set(results.scores.frame["metric"]) <= set(METRICS)


def test_mixes_are_recorded_of_the_very_training_that_a_comparison_does(plane: tuple):
    """The network whose surface is shown is that of the plain recipe, to the bit."""
    out, results, _ = plane
    network = train(PLANE.recipe("sk_mixup", 0))
    scores = study.plane_scores(network.model, network.splits)
    assert {name: results.scores.value("sk_mixup", 0, name, "plane") for name in scores} == scores
    stored = read_surface(out, "sk_mixup", 2)
    assert stored is not None
    corner = torch.tensor([[float(stored[0].x[0]), float(stored[0].y[0])]])
    probs = study.torch.softmax(network.model(corner), 1).detach()
    torch.testing.assert_close(stored[0].probs[0, 0], probs[0].double(), atol=1e-4, rtol=0)


def test_a_plane_trains_no_network_twice(plane: tuple):
    assert plane[2] == ["sk_mixup own", "sk_mixup smooth", "erm own", "erm smooth"]  # and the oracle, elsewhere
    assert PLANE.runs == 5
    assert replace(PLANE, derivatives=False).runs == 3


def test_a_smooth_model_is_expanded_in_its_own_training(
    fewer_pairs: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    smooth = replace(PLANE, model=smooth_mlp, methods={"mixup": mixup()})
    assert smooth.runs == 2
    trained: list[str] = []
    monkeypatch.setattr(study, "train", lambda recipe, tell: (trained.append(recipe.label), train(recipe, tell))[1])
    once = diagnose(smooth, tmp_path / "once").scores
    assert trained == ["mixup"]
    twice = diagnose(replace(smooth, model=None), tmp_path / "twice").scores
    for path in ("expansion/1/2", "expansion/2/1", "reach/0.5/2"):
        assert once.values("mixup", "remainder", path) == twice.values("mixup", "remainder", path)


# --------------------------------------------------------------------------------------------------- on disk


def test_what_is_written_is_what_is_returned_and_what_is_read(found: tuple):
    out, results = found
    again = read_diagnosis(out)
    pd.testing.assert_frame_equal(again.scores.frame, results.scores.frame, check_exact=True)
    assert again.facts.command == COMMAND
    assert (again.methods, again.oracle, again.pairs) == (results.methods, results.oracle, results.pairs)
    assert again.methods["near_mixup"] == repr(METHODS["near_mixup"])
    assert (again.seeds, again.bins, again.oracle.rows) == (2, 4, 1797 - 150 - 359)
    assert again.verdict == results.verdict


def test_a_stopped_diagnosis_goes_on_to_the_same_numbers(found: tuple, tmp_path: Path):
    told: list[tuple[str, int, int]] = []
    diagnose(replace(SMALL, seeds=1), tmp_path)
    again = diagnose(SMALL, tmp_path, resume=True, command=COMMAND, tick=lambda *news: told.append(news[:3]))
    pd.testing.assert_frame_equal(again.scores.frame, found[1].scores.frame, check_exact=True)
    assert {seed for label, seed, epoch in told if epoch < 3} == {1}
    assert [news for news in told if news[0] == "oracle" and news[1] == 1][-1] == ("oracle", 1, 3)
    assert {label for label, _, _ in told} == {"oracle", *METHODS}
    with pytest.raises(DataError, match="already holds a diagnosis"):
        diagnose(SMALL, tmp_path)
    with pytest.raises(DataError, match="other settings"):
        diagnose(replace(SMALL, pairs=601), tmp_path, resume=True)
    with pytest.raises(DataError, match="other settings"):
        diagnose(replace(SMALL, derivatives=True), tmp_path, resume=True)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(("name", "kind"), [("results.json", "a comparison"), ("metrics.json", "an evaluation")])
def test_a_folder_of_other_results_is_refused(name: str, kind: str, resume: bool, tmp_path: Path):
    (tmp_path / name).write_text("{}")
    with pytest.raises(DataError, match=f"holds {kind}"):
        diagnose(SMALL, tmp_path, resume)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_batch_to_look_at_is_kept_for_each_method(found: tuple, tmp_path: Path):
    batch = read_batch(found[0], "mixup", found[1].facts.data)
    assert batch is not None
    lam = batch.lam[:, None, None, None]
    torch.testing.assert_close(batch.mixed, lam * batch.anchor + (1 - lam) * batch.partner)
    assert batch.tau is None
    assert read_batch(tmp_path, "mixup", found[1].facts.data) is None


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("diagnosis.json", b"{}"),
        ("diagnosis.json", b"not JSON"),
        ("diagnosis.json", b'{"facts": 3}'),
        ("scores.csv", b""),
        ("scores.csv", b"method,seed,condition,metric,value\nerm,zero,plain,mixing,0.0\n"),
        ("scores.csv", b"method,seed,condition,metric,value\nanother,0,plain,mixing,0.0\n"),
        ("scores.csv", None),
    ],
)
def test_a_damaged_file_is_named_with_a_remedy(path: str, content: bytes | None, found: tuple, tmp_path: Path):
    for name in ("diagnosis.json", "scores.csv"):
        (tmp_path / name).write_bytes((found[0] / name).read_bytes())
    (tmp_path / path).unlink() if content is None else (tmp_path / path).write_bytes(content)
    with pytest.raises(DataError, match=rf"{path} is damaged .*--resume, or give another --out"):
        read_diagnosis(tmp_path)


def test_a_damaged_seed_is_measured_again(found: tuple, tmp_path: Path):
    out, results = found
    shutil.copytree(out, tmp_path, dirs_exist_ok=True)
    (tmp_path / "seeds" / "seed1.json").write_text('{"asked": "", "seed": 1, "scores": {"erm": 3}}')
    again = diagnose(SMALL, tmp_path, resume=True)
    pd.testing.assert_frame_equal(again.scores.frame, results.scores.frame, check_exact=True)


# ----------------------------------------------------------------------------------------------- the page


def test_the_page_shows_what_was_measured_and_nothing_else(found: tuple, plane: tuple):
    shown = [
        [section.title for section in diagnosis_page(out, results).sections] for out, results, *_ in (found, plane)
    ]
    first = ["How strongly near and far pairs are mixed"]
    labels = ["How wrong each method's labels are", "Wrong labels against distance", "What the mixes look like"]
    assert shown[0] == [*first, *labels]
    assert shown[1] == [*first, "Decision surfaces", *labels, "Mixup as derivatives"]


# ---------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"pairs": 3}, "4 bins of distance"),
        ({"methods": {}}, "no methods"),
        ({"methods": {"a/b": mixup(), "a b": mixup()}}, "the same name in files"),
        ({"methods": {"manifold_mixup": manifold_mixup()}}, "manifold_mixup: an oracle judges inputs"),
        ({"methods": {"cutmix": cutmix()}, "data": NamedSet("wine")}, "cutmix pastes boxes"),
        ({"data": NamedSet("diabetes")}, "diabetes is a regression"),
    ],
)
def test_what_cannot_be_diagnosed_is_said_before_anything_is_written(change: dict, words: str, tmp_path: Path):
    with pytest.raises(CalmixError, match=words):
        diagnose(replace(SMALL, **change), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_any_table_of_two_numbers_has_a_surface(tmp_path: Path):
    rows = [f"{i % 10},{i // 10},{'high' if i // 10 > 4 else 'low'}" for i in range(100)]
    (tmp_path / "grid.csv").write_text("\n".join(["a,b,kind", *rows]))
    table = TableFile(tmp_path / "grid.csv", "kind")
    small = replace(PLANE, data=table, methods={"erm": erm()}, pairs=50, derivatives=False)
    results = diagnose(replace(small, settings=TrainingSettings(epochs=1)), tmp_path / "out")
    assert list(results.facts.data.features) == ["a", "b"]
    assert read_surface(tmp_path / "out", "erm", 2) is not None
