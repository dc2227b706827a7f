"""A network that was trained is used afterwards, from a folder without code."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import calmix
from calmix.data import NamedSet, as_source
from calmix.data.sources import Frame
from calmix.data.splits import draw_parts
from calmix.errors import DataError, SettingError
from calmix.models import MLP, read_model
from calmix.studies.comparison.kept import train_and_keep
from calmix.train import Recipe, TrainingSettings, run
from calmix.train.saved import CALIBRATION, FACTS, WEIGHTS, load, prediction_table, save_network

N = 300
RNG = np.random.default_rng(2)
X = RNG.normal(size=N)
FRAME = pd.DataFrame(
    {
        "x": X,
        "city": np.array(["Oslo", "Lima"])[RNG.integers(0, 2, N)],
        "y": np.where(X + RNG.normal(size=N) > 0, "yes", np.where(RNG.random(N) < 0.5, "no", "maybe")),
    }
)
NUMBERS = FRAME.assign(y=50 + 7 * X + RNG.normal(size=N))
SETTINGS = TrainingSettings(epochs=3)


def recipe_of(frame: pd.DataFrame, **options) -> Recipe:
    return Recipe(Frame(frame, "y"), "mixup", calmix.mixup(), settings=SETTINGS, **options)


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classes")
    train_and_keep(recipe_of(FRAME), folder)
    return folder


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("numbers")
    train_and_keep(recipe_of(NUMBERS), folder)
    return folder


def test_the_probabilities_are_those_of_the_run_after_its_temperature(classes: Path):
    record, predictions, _ = run(recipe_of(FRAME))
    ids = np.unique(FRAME.y, return_inverse=True)[1]
    *_, test = draw_parts(ids, N, 0)
    rows, predictor = FRAME.iloc[test], load(classes)
    assert record.temperature is not None
    scaled = (torch.from_numpy(predictions["logits"]).double() / record.temperature).softmax(1)
    np.testing.assert_allclose(predictor.predict_proba(rows), scaled.numpy(), atol=1e-6)
    assert predictor.saved.classes == ("maybe", "no", "yes")
    said = np.array(predictor.saved.classes)[scaled.argmax(1)]
    assert (predictor.predict(rows) == said).all()
    assert (said == rows.y).mean() == pytest.approx(record.metrics["plain"]["accuracy"])


def test_sets_hold_the_truth_of_calibration_rows_as_often_as_the_quantile_says(classes: Path):
    """The threshold is the ceil((1 - alpha) (m + 1))-th smallest of the m scores, of these very rows."""
    ids = np.unique(FRAME.y, return_inverse=True)[1]
    _, _, held, _ = draw_parts(ids, N, 0)
    rows, predictor = FRAME.iloc[held], load(classes)
    for alpha in (0.1, 0.3):
        sets = predictor.predict_set(rows, alpha)
        inside = sum(truth in names for truth, names in zip(rows.y, sets, strict=True))
        assert inside >= np.ceil((1 - alpha) * (len(held) + 1) - 1e-9)
        first = [names[0] for names in sets]
        assert (np.array(first) == predictor.predict(rows)).all()
    assert [len(names) for names in predictor.predict_set(rows, 1e-6)] == [3] * len(held)


def test_values_and_intervals_are_in_the_unit_of_the_target(numbers: Path):
    predictor = load(numbers)
    _, _, held, test = draw_parts(None, N, 0)
    values = predictor.predict(NUMBERS.iloc[test])
    _, predictions, _ = run(recipe_of(NUMBERS))
    np.testing.assert_allclose(values, predictions["mean"][:, 0], atol=1e-4)
    low, high = predictor.predict_interval(NUMBERS.iloc[held], alpha=0.2)
    truth = NUMBERS.y.to_numpy()[held]
    half = (high - low) / 2
    inside = (np.abs(truth - (low + high) / 2) <= half * (1 + 1e-6)).sum()  # the widest of them is at the end itself
    assert inside == np.ceil(0.8 * (len(held) + 1))
    np.testing.assert_allclose(half, np.sort(np.abs(truth - predictor.predict(NUMBERS.iloc[held])))[inside - 1])
    for call in (predictor.predict_proba, predictor.predict_set):
        with pytest.raises(SettingError, match="predicts numbers; take predict"):
            call(NUMBERS)


def table_of(folder: Path, frame: pd.DataFrame) -> pd.DataFrame:
    predictor = load(folder)
    return prediction_table(predictor, predictor.encoding(frame), 0.1)


def test_the_table_of_predictions_is_what_evaluate_reads(classes: Path, numbers: Path, tmp_path: Path):
    from calmix.results.files import write_csv
    from calmix.studies.evaluation.files import read_given

    found = table_of(classes, FRAME)
    assert list(found.columns) == ["probs_maybe", "probs_no", "probs_yes", "answer", "set", "label"]
    write_csv(tmp_path / "p.csv", found)
    evaluation = calmix.evaluate(read_given(tmp_path / "p.csv"))
    assert evaluation.value("accuracy") == pytest.approx((found.answer == FRAME.y).mean())
    assert "label" not in table_of(classes, FRAME.drop(columns="y"))
    found = table_of(numbers, NUMBERS)
    write_csv(tmp_path / "n.csv", found)
    off = found["mean"] - NUMBERS.y
    assert calmix.evaluate(read_given(tmp_path / "n.csv")).value("rmse") == pytest.approx(np.sqrt((off**2).mean()))


def test_a_path_in_place_of_rows_is_read_as_the_command_reads_it(classes: Path, numbers: Path, tmp_path: Path):
    FRAME.to_csv(tmp_path / "t.csv", index=False, sep=";")
    predictor, path = load(classes), tmp_path / "t.csv"
    np.testing.assert_allclose(predictor.predict_proba(str(path)), predictor.predict_proba(FRAME))
    assert predictor.predict(path).tolist() == predictor.predict(FRAME).tolist()
    assert predictor.predict_set(path) == predictor.predict_set(FRAME)
    NUMBERS.to_csv(tmp_path / "n.csv", index=False)
    low, high = load(numbers).predict_interval(tmp_path / "n.csv")
    expected = load(numbers).predict_interval(NUMBERS)
    np.testing.assert_allclose((low, high), expected)


def test_an_array_file_in_place_of_rows(tmp_path: Path):
    x = np.random.default_rng(0).normal(size=(60, 3))
    np.savez(tmp_path / "x.npz", x=x)
    train_and_keep(Recipe(as_source((x, (x[:, 0] > 0).astype(int))), "erm", calmix.erm(), settings=SETTINGS), tmp_path)
    predictor = load(tmp_path)
    np.testing.assert_array_equal(predictor.predict_proba(tmp_path / "x.npz"), predictor.predict_proba(x))


def test_several_values_have_an_interval_each(tmp_path: Path):
    x = torch.randn(80, 3, generator=torch.Generator().manual_seed(0))
    data = calmix.data.as_source((x, torch.stack([x[:, 0], 100 * x[:, 1] + 7], 1)))
    train_and_keep(Recipe(data, "erm", calmix.erm(), settings=SETTINGS), tmp_path)
    predictor = load(tmp_path)
    test = data.splits(0).test
    low, high = predictor.interval(predictor.network(test.x).detach(), 0.2)
    assert low.shape == (len(test), 2)
    widths = (high - low)[0] / torch.tensor(predictor.saved.target_std)
    assert (high > low).all()
    assert 0.2 < float(widths[0] / widths[1]) < 5  # each in its own unit


def test_rows_may_be_mappings(classes: Path):
    predictor = load(str(classes))
    np.testing.assert_array_equal(
        predictor.predict_proba(list(FRAME[:3].T.to_dict().values())), predictor.predict_proba(FRAME[:3])
    )
    with pytest.raises(DataError, match="no rows"):
        predictor.predict_proba(FRAME[:0])


def test_a_network_of_other_data_says_what_it_cannot_do_yet(tmp_path: Path):
    recipe = Recipe(NamedSet("two_moons", train_size=50), "erm", calmix.erm(), settings=TrainingSettings(epochs=1))
    train_and_keep(recipe, tmp_path)
    with pytest.raises(
        DataError, match=r"was trained on table data of shape \(2,\), and only networks for data of one's own"
    ):
        load(tmp_path).predict(FRAME)
    splits = recipe.splits()
    assert load(tmp_path).network(splits.test.x).shape == (len(splits.test), 2)


def own(shape: tuple[int, ...], outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(shape[0], 5), nn.ReLU(), nn.Linear(5, outputs))


def test_a_network_of_ones_own_needs_its_factory_again(tmp_path: Path):
    train_and_keep(recipe_of(FRAME, model=own), tmp_path)
    with pytest.raises(SettingError, match="made by own, which is none of calmix's own: name it again"):
        load(tmp_path)
    assert load(tmp_path, own).predict(FRAME).shape == (N,)
    with pytest.raises(SettingError, match=r"are not those of <lambda> \(.*\); the network was made by own: name that"):
        load(tmp_path, lambda shape, outputs: MLP(shape[0], outputs))


@pytest.mark.parametrize("name", [WEIGHTS, CALIBRATION, FACTS])
@pytest.mark.parametrize("content", [b"", b"{}", b"\x80\x04cos\nsystem\n.", b'{"calmix": 1}'])
def test_damaged_files_are_one_sentence(classes: Path, name: str, content: bytes, tmp_path: Path):
    for path in classes.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}.*; train the network anew"):
        load(tmp_path)
    (tmp_path / FACTS).unlink()
    with pytest.raises(DataError, match=r"holds no model\.json; make one with `calmix train"):
        load(tmp_path)


def test_saving_leaves_the_network_as_it_was(tmp_path: Path):
    recipe = recipe_of(FRAME)
    model = recipe.network().eval()
    before = {name: values.clone() for name, values in model.state_dict().items()}
    save_network(tmp_path, recipe, model, 1.5)
    assert all((values == before[name]).all() for name, values in model.state_dict().items())
    assert load(tmp_path).saved.temperature == 1.5


def test_a_named_network_with_options_is_made_again(tmp_path: Path):
    train_and_keep(recipe_of(FRAME, model=read_model("mlp(width=7)")), tmp_path)
    network = load(tmp_path).network
    assert {tuple(values.shape) for values in network.parameters()} >= {(7, 7), (7,)}


OF_Y = {"target": "y", "regression": False}
ONE = {"column": "x", "median": 0, "mean": 0, "std": 1}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"classes": ["no", "yes"]}, "2 classes do not fit 3 outputs"),
        ({"task": "regression"}, "3 classes do not fit 3 outputs"),
        ({"temperature": 0.0}, "no temperature above 0"),
        ({"temperature": None}, "no temperature above 0"),
        ({"target_std": 0.0}, "the mean and the deviation of the target do not fit"),
        ({"encoding": {"encoders": [], "dates": {}, **OF_Y}}, "need at least one array"),
        (
            {"encoding": {"encoders": [{"column": "x", "median": 0, "mean": 0, "std": 1}], "dates": {}, **OF_Y}},
            "does not fit",
        ),
    ],
)
def test_facts_that_contradict_each_other_are_damage(
    classes: Path, change: dict[str, object], expected: str, tmp_path: Path
):
    shutil.copytree(classes, tmp_path / "net")
    path = tmp_path / "net" / FACTS
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataError, match=expected):
        load(tmp_path / "net")
