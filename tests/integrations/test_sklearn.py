"""scikit-learn: its own checks, a fit that is the plain loop, rows of every kind, weights, and errors that help."""

import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import Tensor, nn

import calmix
from calmix.data.splits import split_rows
from calmix.errors import CalmixError
from calmix.integrations.sklearn import CalmixClassifier, CalmixRegressor, _parts
from calmix.models import MODELS
from calmix.posthoc import CalibrationLogits, fit_temperature

WEIGHTS = (
    "as in scikit-learn's own SGD estimators: a row of weight 2 is drawn twice as often, from a random stream in which "
    "the batches of repeated rows are others"
)
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": WEIGHTS,
    "check_sample_weight_equivalence_on_sparse_data": WEIGHTS,
}
WINE: Any = load_wine(return_X_y=True)
DIABETES: Any = load_diabetes(return_X_y=True)
(X, Y), (XR, YR) = WINE, DIABETES
NAMES = np.array(["grignolino", "barolo", "barbera"])[Y]


def quick(*args: Any, **options: Any) -> Any:
    return CalmixClassifier(*args, **{"max_iter": 3, "random_state": 0, **options})


def quick_regressor(**options: Any) -> Any:
    return CalmixRegressor(**{"max_iter": 3, "random_state": 0, **options})


@parametrize_with_checks(
    [CalmixClassifier(max_iter=5), CalmixRegressor(max_iter=5)], expected_failed_checks=lambda estimator: EXPECTED
)
def test_scikit_learn_s_checks(estimator: Any, check: Callable[[Any], None]):
    check(estimator)


# ------------------------------------------------------------------------------------------------------ one training


def test_a_fit_is_the_plain_loop():
    """The loop of the README with the seeds of a run: weights equal to rounding."""
    rows = X.astype(np.float64)
    fitted = CalmixClassifier(
        method="sk_mixup(tau_std=0.5)", max_iter=4, batch_size=50, random_state=3, calibration_fraction=0
    ).fit(rows, Y)

    train, *_ = split_rows(Y, (len(Y), 0, 0), np.random.default_rng(3))
    x = torch.tensor(((rows - rows.mean(0)) / rows.std(0))[train], dtype=torch.float32)
    y = torch.tensor(Y[train])
    of_order, of_mixes, _, _ = map(int, np.random.SeedSequence(3).generate_state(4))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = MODELS["mlp"]((13,), 3)
    training_loss = calmix.TrainingLoss(calmix.sk_mixup(tau_std=0.5), calmix.Classification(3), seed=of_mixes)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4 * 4)
    generator = torch.Generator().manual_seed(of_order)
    for _ in range(4):
        for batch in torch.randperm(len(y), generator=generator).tensor_split(4):
            optimizer.zero_grad()
            training_loss(network, x[batch], y[batch], batch).backward()
            optimizer.step()
            schedule.step()
    for name, values in fitted.model_.state_dict().items():
        assert torch.allclose(values, network.state_dict()[name], atol=1e-5), name
    probs = network(torch.tensor((rows - rows.mean(0)) / rows.std(0), dtype=torch.float32)).softmax(1)
    assert np.allclose(fitted.predict_proba(rows), probs.detach().numpy(), atol=1e-5)
    assert fitted.temperature_ == 1


def weights_of(fitted: Any) -> list[Tensor]:
    return list(fitted.model_.state_dict().values())


def same(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights_of(one), weights_of(other), strict=True))


def test_classes_are_mixed_by_default_and_values_are_not():
    assert (CalmixClassifier().method, CalmixRegressor().method) == ("sk_mixup", "erm")


def test_the_temperature_is_that_of_rows_that_are_not_trained_on():
    _, held = _parts(Y, len(Y), {"calibration_fraction": 0.2}, seed=0)
    assert len(held) == round(0.2 * len(Y))
    fitted = quick(calibration_fraction=0.2).fit(X, Y)
    others = X.copy()
    others[held] = others[held[::-1]]
    again = quick(calibration_fraction=0.2).fit(others, Y)
    assert same(fitted, again)  # the network has not seen them
    assert fitted.temperature_ != again.temperature_
    assert not same(fitted, quick(calibration_fraction=0).fit(X, Y))
    logits = np.log(fitted.predict_proba(X[held])) * fitted.temperature_
    expected = fit_temperature(CalibrationLogits(torch.tensor(logits), torch.tensor(Y[held]))).value
    assert fitted.temperature_ == pytest.approx(expected, rel=1e-4)


def test_early_stopping_ends_when_nothing_is_better_and_keeps_the_best():
    stopped = quick(max_iter=60, early_stopping=True, n_iter_no_change=2, learning_rate_init=0.5).fit(X, Y)
    losses = [epoch.validation["loss"] for epoch in stopped.history_]
    assert 3 <= stopped.n_iter_ == len(losses) < 60
    assert stopped.n_iter_ == int(np.argmin(losses)) + 1 + 2
    _, validation, _ = _parts(Y, len(Y), {"validation_fraction": 0.1, "calibration_fraction": 0.1}, seed=0)
    probs = torch.tensor(stopped.predict_proba(X[validation])).log() * stopped.temperature_
    loss = nn.functional.cross_entropy(probs, torch.tensor(Y[validation]))
    assert float(loss) == pytest.approx(min(losses), rel=1e-4)


def test_auto_has_validation_rows_without_early_stopping():
    fitted = quick(method="auto", max_iter=4).fit(X, Y)
    assert "strength" in fitted.history_[0].train
    assert fitted.n_iter_ == 4


def test_a_warm_start_goes_on():
    first = quick(max_iter=2, warm_start=True).fit(X, Y)
    before, encoding = [values.clone() for values in weights_of(first)], first.encoding_
    loss = first.history_[-1].train["loss"]
    first.set_params(learning_rate_init=1e-9).fit(X[:150] + 1, Y[:150])
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(before, weights_of(first), strict=True))
    assert first.encoding_ is encoding
    first.set_params(learning_rate_init=None).fit(X, Y)
    assert first.history_[0].train["loss"] < loss
    copied: Any = clone(first)
    cold = copied.set_params(warm_start=False)
    assert same(cold.fit(X, Y), cold.fit(X, Y))
    with pytest.raises(CalmixError, match="warm_start goes on with the classes '0', '1', '2', and y has '0', '1'"):
        first.fit(X[Y < 2], Y[Y < 2])
    numbers = quick_regressor(warm_start=True).fit(XR, YR)
    numbers.set_params(learning_rate_init=1e-9).fit(XR[:200], YR[:200] * 2)
    assert numbers.predict(XR).mean() == pytest.approx(YR.mean(), rel=0.2)  # in the first fit's unit


def states() -> list[str]:
    """Of the generators that everything in the process shares."""
    numpy_s = np.random.get_state(legacy=False)  # noqa: NPY002
    return [repr(random.getstate()), repr(numpy_s), repr(torch.get_rng_state().tolist())]


def test_no_global_state_is_changed_and_nothing_is_said(capfd: pytest.CaptureFixture[str]):
    before = states()
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        one, other = (CalmixClassifier(max_iter=2).fit(X, Y) for _ in range(2))
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    assert states() == before
    assert not same(one, other)  # of seeds of their own
    assert capfd.readouterr() == ("", "")
    quick(verbose=True, early_stopping=True).fit(X, Y)
    said = capfd.readouterr().out.splitlines()
    assert len(said) == 3
    assert said[0].startswith("epoch 1: training loss ")
    assert ", validation loss " in said[0]


def test_a_random_state_is_asked():
    fitted = [quick(random_state=np.random.RandomState(seed)).fit(X, Y) for seed in (0, 0, 1)]
    assert same(fitted[0], fitted[1])
    assert not same(fitted[0], fitted[2])


# ------------------------------------------------------------------------------------------------------- rows, weights


def test_sparse_rows_are_dense_rows():
    rows = np.where(np.abs(X - X.mean(0)) > X.std(0), X, 0.0)
    dense, sparse = quick().fit(rows, Y), quick().fit(csr_array(rows), Y)
    assert np.allclose(dense.predict_proba(rows), sparse.predict_proba(csr_array(rows)), atol=1e-4)
    assert np.array_equal(sparse.predict_proba(rows), sparse.predict_proba(csr_array(rows)))
    assert sparse.encoding_.mean == pytest.approx(dense.encoding_.mean)


def test_a_frame_of_numbers_is_an_array():
    frame = pd.DataFrame(X, columns=[f"column {k}" for k in range(13)])
    fitted = quick().fit(frame, NAMES)
    assert np.array_equal(fitted.predict_proba(frame), quick().fit(X, NAMES).predict_proba(X))
    assert list(fitted.feature_names_in_) == list(frame)
    assert list(fitted.classes_) == sorted(set(NAMES))


def mixed_frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    colour = rng.choice(["red", "green", "blue"], 200)
    return pd.DataFrame(
        {"colour": colour, "size": np.where(rng.random(200) < 0.1, np.nan, rng.normal(size=200)), "row": range(200)}
    )


def test_categories_and_empty_cells_of_a_frame_are_encoded():
    frame = mixed_frame()
    warm = (frame["colour"] == "red").to_numpy()
    fitted = quick(max_iter=10).fit(frame, warm)
    assert fitted.score(frame, warm) == 1
    assert fitted.encoding_.feature_names == [
        "size", "row", "missingindicator_size", "colour_blue", "colour_green", "colour_red",
    ]  # fmt: skip
    shuffled = frame[["row", "colour", "size"]]
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(shuffled)
    unknown = frame.assign(colour="violet")
    assert np.isfinite(fitted.predict_proba(unknown)).all()
    assert np.isfinite(quick_regressor().fit(frame, np.arange(200.0)).predict(unknown)).all()


def test_rows_of_weight_0_are_not_there_and_equal_weights_are_none():
    weights = np.ones(len(X))
    assert same(quick().fit(X, Y, weights), quick().fit(X, Y))
    assert same(quick().fit(X, Y, 3 * weights), quick().fit(X, Y))
    weights[::3] = 0
    kept = weights > 0
    assert same(quick().fit(X, Y, weights), quick().fit(X[kept], Y[kept]))
    assert same(quick_regressor().fit(X, Y, weights), quick_regressor().fit(X[kept], Y[kept]))


def test_weights_are_shares_of_what_is_learnt():
    """Where the columns tell nothing, the probability is the weighted share of the class."""
    rows, y = np.zeros((400, 1)), np.arange(400) % 2
    fitted = quick(method="erm", max_iter=20, calibration_fraction=0)
    fitted.fit(rows, y, np.where(y == 1, 9.0, 1.0))
    assert fitted.predict_proba(rows[:1])[0, 1] == pytest.approx(0.9, abs=0.02)
    numbers = quick_regressor(method="erm", max_iter=20).fit(rows, y * 10.0, np.where(y == 1, 9.0, 1.0))
    assert numbers.predict(rows[:1])[0] == pytest.approx(9, abs=0.3)


def test_several_targets_are_predicted_in_their_units():
    targets = np.column_stack([YR, -1000 * YR])
    fitted = quick_regressor(max_iter=10).fit(XR, targets)
    found = fitted.predict(XR)
    assert found.shape == targets.shape
    assert fitted.score(XR, targets) > 0.3
    assert quick_regressor().fit(XR, YR).predict(XR).shape == YR.shape


# ------------------------------------------------------------------------------------------------ other people's loops


def test_a_search_in_a_pipeline_over_methods_and_a_pickle():
    cancer: Any = load_breast_cancer(return_X_y=True)
    x, y = cancer[0][:200], cancer[1][:200]
    pipeline = make_pipeline(StandardScaler(), quick())
    grid = {"calmixclassifier__method": ["erm", "mixup(alpha=0.2)", calmix.mixup(alpha=0.4)]}
    search = GridSearchCV(pipeline, grid, scoring="neg_log_loss", cv=2).fit(x, y)
    assert len(set(search.cv_results_["mean_test_score"])) == 3
    assert search.best_score_ > -0.25
    again = pickle.loads(pickle.dumps(search))
    assert np.array_equal(again.predict_proba(x), search.predict_proba(x))


def test_it_is_calibrated_and_cross_validated_by_scikit_learn():
    calibrated = CalibratedClassifierCV(quick(calibration_fraction=0), cv=2).fit(X, NAMES)
    assert calibrated.score(X, NAMES) > 0.9
    probs = cross_val_predict(quick(), X, NAMES, cv=2, method="predict_proba")
    assert (np.array(sorted(set(NAMES)))[np.asarray(probs).argmax(1)] == NAMES).mean() > 0.9


def test_any_factory_makes_the_network():
    class Small(nn.Sequential):
        def __init__(self, num_features: int, num_classes: int) -> None:
            super().__init__(nn.Linear(num_features, 4), nn.Tanh(), nn.Linear(4, num_classes))

    assert isinstance(quick(model=Small).fit(X, Y).model_, Small)
    assert quick("mlp(width=8)").fit(X, Y).model_.head.in_features == 8


# -------------------------------------------------------------------------------------------------------- what is wrong


class InFloat32(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.float())


def without_one(values: Any, row: int, value: Any) -> Any:
    values = values.copy()
    values[row] = value
    return values


TEXTS = np.array(["few", "many"] * 50, object)
WRONG: dict[str, tuple[Any, Any, Any, Any, str]] = {
    "a method's name": (quick(method="mixpu"), X, Y, None, "unknown method 'mixpu'; did you mean 'mixup'?"),
    "a method's option": (quick(method="mixup(alpa=1)"), X, Y, None, "did you mean 'alpha'?"),
    "a network's name": (quick(model="mpl"), X, Y, None, "unknown model 'mpl'; did you mean 'mlp'?"),
    "a network in place of a factory": (quick(model=nn.Linear(13, 3)), X, Y, None, "model must be a factory"),
    "outputs": (quick(model=lambda: nn.Linear(13, 2)), X, Y, None, "is needed: 3 floating outputs of each row"),
    "a network of float32": (
        quick(model=lambda: InFloat32(13, 3)), X, Y, None, "cannot compute in float64.*give them the dtype",
    ),
    "auto for numbers": (quick_regressor(method="auto"), XR, YR, None, "auto"),
    "NaN": (quick(), without_one(X, 3, np.nan), Y, None, "Input X contains NaN"),
    "too large": (quick(), without_one(X, 3, 1e300), Y, None, "X holds numbers beyond those of float32"),
    "one class": (quick(), X, np.zeros(len(X)), None, "y has one class, .*two or more classes"),
    "texts to regress": (quick_regressor(), X[:100], TEXTS, None, "y holds text, such as 'few'.*CalmixClassifier"),
    "numbers to classify": (quick(), XR, YR + 0.5, None, "Unknown label type: continuous"),
    "too few rows": (quick(), X[[0, 60, 150]], Y[[0, 60, 150]], None, "n_samples = 3 of 3 classes: too few"),
    "a share": (quick(calibration_fraction=1.5), X, Y, None, "calibration_fraction must be at least 0 and below 1"),
    "negative weights": (quick(), X, Y, -np.ones(len(X)), "weights of 0 or more"),
    "no weights": (quick(), X, Y, np.zeros(len(X)), "every sample_weight is zero"),
    "few weights": (quick(), X, Y, np.ones(3), r"shape \(3,\), and X has 178 rows"),
    "auto without rows": (quick(method="auto", validation_fraction=0), X, Y, None, "look at rows that are held out"),
    "no rows to stop by": (quick(early_stopping=True, validation_fraction=0), X, Y, None, "look at rows that are held"),
    "patience": (quick(early_stopping=True, n_iter_no_change=0), X, Y, None, "patience must be at least 1"),
    "a solver": (quick(solver="adam"), X, Y, None, "did you mean 'adamw'?"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_mistake_gets_the_sentence_that_helps(what: str):
    estimator, x, y, weights, sentence = WRONG[what]
    with pytest.raises(ValueError, match=sentence.replace("?", r"\?")):
        estimator.fit(x, y, weights)


def test_a_frame_s_mistakes():
    frame = mixed_frame()
    fitted = quick(max_iter=10).fit(frame, frame["colour"])
    assert fitted.score(frame, frame["colour"]) == 1
    with pytest.raises(CalmixError, match="column 'size' held numbers in training, and holds 'tall' here"):
        fitted.predict(frame.assign(size="tall"))
    many = frame.assign(colour=[f"colour {k % 60}" for k in range(200)])
    with pytest.raises(CalmixError, match="'colour' before, or drop them"):
        quick_regressor().fit(many, np.ones((200, 2)))


def test_the_only_row_of_a_class_is_trained_on():
    for seed in range(5):
        parts = _parts(np.array([0] * 19 + [1]), 20, {"calibration_fraction": 0.3}, seed)
        assert 19 in parts[0]
        assert sorted(np.concatenate(parts)) == list(range(20))


def test_without_scikit_learn_the_error_names_the_extra():
    code = "import sys; sys.modules['sklearn'] = None; import calmix.integrations.sklearn"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "install it with: pip install 'calmix[sklearn]'" in result.stderr
