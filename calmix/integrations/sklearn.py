"""scikit-learn: `CalmixClassifier` and `CalmixRegressor`, for pipelines, searches and cross-validation.

A `fit` is one `train(recipe)`: its rows become splits, its arguments a recipe.

n rows, d columns, K classes, t targets
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from calmix.errors import DataError, SettingError, ShapeError, not_installed
from calmix.rows import Rows

if TYPE_CHECKING:  # scikit-learn has no types

    class BaseEstimator:
        n_features_in_: int
        feature_names_in_: NDArray[Any]

        def get_params(self, deep: bool = True) -> Any: ...
        def set_params(self, **params: Any) -> Self: ...
        def __sklearn_tags__(self) -> Any: ...

    class ClassifierMixin:
        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float: ...

    class RegressorMixin(ClassifierMixin): ...

    class MultiOutputMixin: ...


try:
    import pandas as pd
    from pandas.api.types import is_numeric_dtype
    from scipy.sparse import issparse

    if not TYPE_CHECKING:
        from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils import check_array, check_consistent_length, check_random_state, column_or_1d
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data

    from calmix.column_use import TARGET_ENCODING
    from calmix.core.method import Method, Scheduled
    from calmix.data import About, Fixed, Split, Splits
    from calmix.data.sparse_rows import SparseRows
    from calmix.data.splits import RowIds, listed, split_rows
    from calmix.data.table.columns import LARGEST, MAX_LEVELS, examined, used_of
    from calmix.data.table.encoding import encoded
    from calmix.data.table.new_rows import TableEncoding, encoding_of
    from calmix.methods.read import read_method
    from calmix.models import ModelFactory, read_model
    from calmix.models.factory import tried
    from calmix.posthoc import CalibrationLogits, fit_temperature
    from calmix.results.records import Epoch
    from calmix.train import Recipe, TrainingSettings, train
    from calmix.train.predicting import predict, predicted_logits
    from calmix.train.running import try_step
except ModuleNotFoundError as _error:
    raise not_installed(__name__, _error, "sklearn") from None


# --------------------------------------------------------------------------------------------- rows as they are given


@dataclass(frozen=True, eq=False)
class _Given:
    """x: an array (n, d), a CSR matrix, or a DataFrame with other columns than numbers. weights: (n,), None: alike."""

    x: Any
    weights: NDArray[np.float64] | None = None

    def part(self, rows: RowIds | NDArray[np.bool_]) -> "_Given":
        x = self.x.iloc[rows] if isinstance(self.x, pd.DataFrame) else self.x[rows]
        return _Given(x, None if self.weights is None else self.weights[rows])


def _is_table(x: Any) -> bool:
    """Whether it is a DataFrame that is more than an array with names: of categories, dates, or with empty cells."""
    if not isinstance(x, pd.DataFrame):
        return False
    return not all(is_numeric_dtype(dtype) for dtype in x.dtypes) or bool(x.isna().to_numpy().any())


def _weights(sample_weight: Any, n: int) -> NDArray[np.float64] | None:
    """(n,), at least one above 0; None where none are given."""
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, np.float64)
    if weights.shape != (n,):
        raise ShapeError(f"sample_weight has shape {weights.shape}, and X has {n} rows; give one weight a row.")
    if not np.isfinite(weights).all() or weights.min() < 0:
        raise DataError("sample_weight holds negative numbers, NaN or infinity; give weights of 0 or more.")
    if not weights.any():
        raise DataError("every sample_weight is zero, and no row is left to learn from; give some a weight above 0.")
    return weights


# ---------------------------------------------------------------------------------------------- rows as a network sees


@dataclass(frozen=True, eq=False)
class _Standardised:
    """(x - mean) / std, column by column: what the training rows taught of an array or a sparse matrix."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    def __call__(self, x: Any) -> Tensor | Rows:
        if issparse(x):
            return SparseRows(x, self.mean, self.std)
        return torch.from_numpy(((x - self.mean) / self.std).clip(-LARGEST, LARGEST).astype(np.float32))


_Encoding = _Standardised | TableEncoding


def _encode(encoding: _Encoding, given: _Given) -> Tensor | Rows:
    return encoding(given.x).x if isinstance(encoding, TableEncoding) else encoding(given.x)


def _fit_encoding(
    given: _Given, parts: Sequence[RowIds], y: RowIds | NDArray[np.float64]
) -> tuple[_Encoding, list[Tensor | Rows]]:
    """What the first part teaches, and the rows of every part. y: (n,) class ids, or (n, t) values."""
    if not isinstance(given.x, pd.DataFrame):
        if np.abs(given.x.data if issparse(given.x) else given.x).max(initial=0) > LARGEST:
            raise DataError(f"X holds numbers beyond those of float32, {LARGEST:.3g}; scale or clip its columns.")
        scaler = StandardScaler(with_mean=not issparse(given.x)).fit(given.part(parts[0]).x)
        standardised = _Standardised(np.asarray(scaler.mean_), np.asarray(scaler.scale_))
        return standardised, [standardised(given.part(part).x) for part in parts]
    columns = {str(name): column for name, column in given.x.items()}
    used = used_of(examined(columns, keep=list(columns), drop=()))  # as it was said that they are features
    many = [column.name for column in used if column.use.used_as == TARGET_ENCODING]
    if y.ndim == 2 and y.shape[1] > 1 and many:
        raise DataError(
            f"columns of more than {MAX_LEVELS} categories become the mean of the target, and there are {y.shape[1]} "
            f"targets: encode {listed(many)} before, or drop them."
        )
    made = encoded(used, parts, y[:, 0] if y.ndim == 2 else y)
    return encoding_of(made, used, "", y.ndim == 2), [torch.from_numpy(x) for x in made.xs]


def _parts(labels: RowIds | None, n: int, held: dict[str, float], seed: int) -> list[RowIds]:
    """Rows to train on, then those that are held out, by the name of the argument that says their share.

    Stratified by labels (n,). The only row of a class is trained on.
    """
    for name, part in held.items():
        if not 0 <= part < 1:
            raise SettingError(f"{name} must be at least 0 and below 1; got {part}.")
    classes = np.zeros(n, np.int64) if labels is None else labels
    often = (np.bincount(classes) > 1)[classes]
    rest, lone = np.flatnonzero(often), np.flatnonzero(~often)
    sizes = [max(1, round(part * len(rest))) if part else 0 for part in held.values()]
    left = len(rest) - sum(sizes)
    if left > 0 or not sum(sizes):
        drawn = split_rows(classes[rest], (left, *sizes), np.random.default_rng(seed)) if len(rest) else [rest] * 3
        train_rows, *others = (rest[rows] for rows in drawn)
        train_rows = np.concatenate([lone, train_rows])
        if len(np.unique(classes[train_rows])) == len(np.unique(classes)):
            return [train_rows, *others]
    asked = " and ".join(f"{name}={part:g}" for name, part in held.items() if part)
    what = "" if labels is None else f" of {len(np.unique(labels))} classes"
    raise DataError(
        f"n_samples = {n}{what}: too few to hold out some and train on the others ({asked}); give more rows, or hold "
        "none out (calibration_fraction=0, early_stopping=False)."
    )


def _seed(random_state: Any) -> int:
    """None draws a seed from the system, and leaves NumPy's global generator alone."""
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def _say(epoch: Epoch, network: nn.Module) -> None:
    losses = {"training": epoch.train, "validation": epoch.validation}
    said = ", ".join(f"{name} loss {found['loss']:.4f}" for name, found in losses.items() if found)
    print(f"epoch {epoch.number}: {said}")


def _say_nothing(epoch: Epoch, network: nn.Module) -> None:
    pass


class _InDouble(nn.Module):
    """A copy of a network in float64, so that what it says of a row does not depend on the rows beside it.

    In float32 the sums of a matrix product are rounded otherwise in batches of another size.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: nn.Module = copy.deepcopy(network).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.double())


def _check_computes_in_double(network: nn.Module, x: Tensor) -> None:
    try:
        tried(_InDouble(network), x)
    except RuntimeError as error:
        raise SettingError(
            f"the network cannot compute in float64, as it does to predict ({error}); where its forward makes tensors, "
            "give them the dtype of its input, x.dtype."
        ) from error


# ---------------------------------------------------------------------------------------------------- the estimators


class _Network(BaseEstimator):
    """What the two have in common."""

    def __init__(
        self,
        model: str | ModelFactory = "mlp",
        method: str | Method | Scheduled = "erm",
        *,
        max_iter: int = 30,
        batch_size: int = 64,
        solver: str = "sgd",
        learning_rate_init: float | None = None,
        weight_decay: float = 5e-4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        device: str = "auto",
        random_state: Any = None,
        warm_start: bool = False,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.method = method
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.device = device
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @property
    def _goes_on(self) -> bool:
        """Whether a fit begins with the network of the last one."""
        return self.warm_start and hasattr(self, "model_")

    def _checked(self, x: Any, y: Any, sample_weight: Any) -> tuple[_Given, Any]:
        """The rows to learn from, those of weight 0 left out, and y as an array without NaN."""
        reset = not self._goes_on
        if _is_table(x):
            validate_data(self, x, y, reset=reset, skip_check_array=True)
            any_type: Any = None
            y = check_array(y, ensure_2d=False, dtype=any_type, input_name="y")
            check_consistent_length(x, y)
        else:
            check: Any = {"accept_sparse": "csr", "dtype": np.float64, "reset": reset}
            x, y = validate_data(self, x, y, multi_output=True, **check)
        weights = _weights(sample_weight, len(y))
        if weights is None:
            return _Given(x), y
        there = weights > 0
        alike = len(np.unique(weights[there])) == 1
        return _Given(x, None if alike else weights).part(there), y[there]

    def _learn(
        self, given: _Given, y: RowIds | NDArray[np.float64], classes: Sequence[str] = (), calibration: float = 0.0
    ) -> Split:
        """Train the network on class ids (n,) or values (n, t); the rows that are held out to calibrate on.

        calibration: their share.
        """
        method = read_method(self.method) if isinstance(self.method, str) else self.method
        factory = read_model(self.model) if isinstance(self.model, str) else self.model
        settings = TrainingSettings(
            epochs=self.max_iter,
            batch_size=self.batch_size,
            optimizer=self.solver,
            learning_rate=self.learning_rate_init,
            weight_decay=self.weight_decay,
            select="best" if self.early_stopping else "last",
            device=self.device,
        )
        seed = _seed(self.random_state)
        validated = self.early_stopping or getattr(method, "controlled", False)
        if validated and self.validation_fraction == 0:
            raise SettingError(
                "validation_fraction is 0, but early_stopping and auto look at rows that are held out; give 0.1, say, "
                "or leave those two out."
            )
        validation = self.validation_fraction if validated else 0.0
        held = {"validation_fraction": validation, "calibration_fraction": calibration}
        parts = _parts(y.astype(np.int64) if classes else None, len(y), held, seed)
        if self._goes_on:
            network, encoding, scaler = self.model_, self.encoding_, getattr(self, "target_scaler_", None)
            factory = partial(copy.deepcopy, network)
            rows = [_encode(encoding, given.part(part)) for part in parts]
        else:
            encoding, rows = _fit_encoding(given, parts, y)
            scaler = None if classes else StandardScaler().fit(y[parts[0]])
        target = torch.from_numpy(y if scaler is None else np.asarray(scaler.transform(y), np.float32))
        train_part, *others = (Split(x, target[part]) for x, part in zip(rows, parts, strict=True))
        splits = Splits(
            train_part,
            *others,
            test=others[-1].part(slice(0)),
            about=About(
                name="X",
                task="classification" if classes else "regression",
                kind="table",
                classes=tuple(classes),
                features=(),
                natural=False,
                source="X and y",
                targets=1 if classes else y.shape[1],
            ),
            train_weights=None if given.weights is None else torch.from_numpy(given.weights[parts[0]]),
        )
        recipe = Recipe(Fixed(splits, "X"), str(self.method), method, factory, settings, seed)
        try_step(recipe)
        _check_computes_in_double(recipe.network(), train_part.rows[:2])
        patience = self.n_iter_no_change if self.early_stopping else None
        trained = train(recipe, _say if self.verbose else _say_nothing, patience=patience)
        self.model_: nn.Module = trained.model
        self.encoding_: _Encoding = encoding
        self.target_scaler_: Any = scaler
        self.history_: tuple[Epoch, ...] = trained.history
        self.n_iter_: int = len(trained.history)
        return splits.calibration

    def _split(self, x: Any) -> Split:
        """Rows to predict, without targets."""
        check_is_fitted(self)
        if isinstance(self.encoding_, TableEncoding):
            validate_data(self, x, reset=False, skip_check_array=True)
        else:
            x = validate_data(self, x, accept_sparse="csr", dtype=np.float64, reset=False)
        rows = _encode(self.encoding_, _Given(x))
        return Split(rows, torch.zeros(rows.shape[0]))


class CalmixClassifier(ClassifierMixin, _Network):
    """A network trained with mixup, whose probabilities are calibrated on rows that it was not trained on.

    Columns are standardised inside, by the rows that are trained on. X is an array, a sparse matrix, of which a batch
    becomes dense as it is read, or a DataFrame. Its columns of numbers are as an array's. Where there are others, or
    empty cells, categories become features (one each up to 50, else the mean of the target), dates are taken apart and
    cells are filled, as `calmix train` does. In training a row is drawn in proportion to its sample_weight, and rows of
    weight 0 are left out; those that are held out are not weighed. One CPU thread trains, and no global state of NumPy
    or PyTorch is changed.

    Args:
        model: a function that makes the network, called with those of the arguments shape=(d,), num_features=d and
            num_classes=K that it names; or the name of a built-in one, such as "mlp(width=64, depth=3)".
        method: a method, such as `calmix.sk_mixup(tau_max=2)`, or its text, "sk_mixup(tau_max=2)"; "erm" is plain
            training, and "auto" sets its own strength.
        max_iter: epochs, as in scikit-learn's own MLPClassifier.
        batch_size: at most this many rows a batch.
        solver: "sgd" (Nesterov momentum 0.9) or "adamw", with a learning rate that falls to zero as a cosine.
        learning_rate_init: the learning rate at the beginning; None: 0.1 for sgd, 0.002 for adamw.
        weight_decay: of the solver, at least 0.
        early_stopping: end after `n_iter_no_change` epochs without a lower loss on the validation rows, and keep the
            best epoch.
        validation_fraction: the share of the rows that are held out for it, and for "auto".
        n_iter_no_change: see `early_stopping`.
        calibration_fraction: the share of the rows that are held out to fit the temperature, by which logits are
            divided; 0 trains on all rows and leaves probabilities as the network says them.
        device: "cpu", "cuda", or "auto": a GPU where there is one.
        random_state: a number makes the fit repeatable; None draws one from the system, and a RandomState is asked.
        warm_start: go on with the network of the last fit, its standardisation of columns included.
        verbose: print the losses of each epoch.

    Attributes:
        model_: the trained network, on the CPU; it sees standardised rows.
        classes_: (K,) the classes, sorted.
        temperature_: above 1 where the network was too confident; 1 where no rows were held out.
        n_iter_: how many epochs were trained.
        history_: the losses of each epoch.
        n_features_in_, feature_names_in_: as in scikit-learn.

    Raises:
        CalmixError, a ValueError: rows, labels or arguments that cannot be used. scikit-learn refuses NaN in an array.

    >>> from sklearn.datasets import load_wine
    >>> X, y = load_wine(return_X_y=True)
    >>> model = CalmixClassifier(method="mixup", random_state=0).fit(X[::2], y[::2])
    >>> model.score(X[1::2], y[1::2]) > 0.9
    True
    >>> model.predict_proba(X[:2]).shape
    (2, 3)
    """

    def __init__(
        self,
        model: str | ModelFactory = "mlp",
        method: str | Method | Scheduled = "sk_mixup",
        *,
        max_iter: int = 30,
        batch_size: int = 64,
        solver: str = "sgd",
        learning_rate_init: float | None = None,
        weight_decay: float = 5e-4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        calibration_fraction: float = 0.1,
        device: str = "auto",
        random_state: Any = None,
        warm_start: bool = False,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            model,
            method,
            max_iter=max_iter,
            batch_size=batch_size,
            solver=solver,
            learning_rate_init=learning_rate_init,
            weight_decay=weight_decay,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            device=device,
            random_state=random_state,
            warm_start=warm_start,
            verbose=verbose,
        )
        self.calibration_fraction = calibration_fraction

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the network, and fit the temperature."""
        given, y = self._checked(X, y, sample_weight)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        classes, ids = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise DataError(f"y has one class, {classes[0]!r}; a classifier needs rows of two or more classes.")
        if self._goes_on and not np.array_equal(classes, self.classes_):
            raise DataError(
                f"warm_start goes on with the classes {listed(map(str, self.classes_))}, and y has "
                f"{listed(map(str, classes))}; give rows of the same classes, or set warm_start=False."
            )
        held = self._learn(given, ids.astype(np.int64), [str(name) for name in classes], self.calibration_fraction)
        self.classes_: NDArray[Any] = classes
        self.temperature_: float = 1.0
        if len(held):
            self.temperature_ = fit_temperature(
                CalibrationLogits(predicted_logits(_InDouble(self.model_), held), held.y)
            ).value
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(n, K) probabilities of the classes, in the order of `classes_`."""
        rows = self._split(X)
        return (predicted_logits(_InDouble(self.model_), rows) / self.temperature_).softmax(1).numpy()

    def predict(self, X: Any) -> NDArray[Any]:
        """(n,) the most probable classes."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]


class CalmixRegressor(MultiOutputMixin, RegressorMixin, _Network):
    """A network trained with mixup that predicts one number a row, or several.

    y is standardised inside, too. Arguments, rows, weights, attributes and errors are those of `CalmixClassifier`, but
    for what is about classes and calibration; a factory of networks may ask for outputs=t. The default method is plain
    training, as mixing lost on most regressions of tables that it was measured on (docs/results); where a network
    over-fits it may gain, as here.

    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = CalmixRegressor(method="c_mixup", max_iter=10, random_state=0).fit(X[::2], y[::2])
    >>> model.score(X[1::2], y[1::2]) > 0.3
    True
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the network."""
        if any(isinstance(value, str) for value in np.asarray(y).ravel()[:1]):
            raise DataError(
                f"y holds text, such as {np.asarray(y).ravel()[0]!r}, and a regressor predicts numbers; take "
                "CalmixClassifier for classes, or give numbers."
            )
        given, y = self._checked(X, y, sample_weight)
        y = np.asarray(y, np.float64)
        self._learn(given, y.reshape(len(y), -1))
        self._flat: bool = y.ndim == 1
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """(n,), or (n, t) as y was: the predicted values."""
        rows = self._split(X)
        values = self.target_scaler_.inverse_transform(predict(_InDouble(self.model_), rows).double().numpy())
        return values[:, 0] if self._flat else values
