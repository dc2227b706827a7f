"""What is to be predicted, given as plain values: classes with their names, or numbers.

n rows, K classes, d targets
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calmix.data.splits import listed
from calmix.errors import DataError
from calmix.reading import visible


@dataclass(frozen=True, eq=False)
class Goal:
    """y: (n,) int64 class ids 0 .. K - 1, or (n, d) float64 values. classes: () for values."""

    y: NDArray[np.int64] | NDArray[np.float64]
    task: str  # one of TASKS
    classes: tuple[str, ...]


def goal_of(values: NDArray[Any], task: str | None, name: str) -> Goal:
    """The targets that values (n,), (n, 1) or (n, d) stand for.

    Texts, booleans and whole numbers are classes, in the order of their names or numbers, whatever these are; floating
    numbers are values to regress. A task that is given wins. name: what the values are called in messages.

    Raises:
        DataError: values that the task cannot have, or a single class.

    >>> goal_of(np.array([7, 3, 7]), None, "y")
    Goal(y=array([1, 0, 1]), task='classification', classes=('3', '7'))
    """
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.dtype.kind == "f":
        check_finite(values, name)
    if task == "regression" or (task is None and values.dtype.kind == "f"):
        return _numbers(values, name)
    if values.ndim != 1:
        raise DataError(
            f"{name} has shape {values.shape}, and classes are one entry a row (n,); of one-hot rows give the class "
            "ids, y.argmax(1)."
        )
    if values.dtype.kind == "f" and (values != np.round(values)).any():
        raise DataError(f"{name} holds numbers with decimals, which are no classes; use regression.")
    texts = class_texts(values)
    order = np.unique(values.astype(np.int64)) if values.dtype.kind in "fiu" else np.unique(texts)
    classes = tuple(map(str, order.tolist()))
    if len(classes) < 2:
        raise DataError(f"{name} has one class, {listed(classes)}; give rows of two or more.")
    if task == "binary" and len(classes) != 2:
        raise DataError(f"{name} has {len(classes)} classes, and binary needs two; use classification.")
    ids = {text: k for k, text in enumerate(classes)}
    return Goal(np.array([ids[text] for text in texts.tolist()], np.int64), task or "classification", classes)


def class_texts(values: NDArray[Any]) -> NDArray[Any]:
    """(n,) what the classes of these values are called: whole numbers without a point."""
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    if values.dtype.kind == "f":
        values = values.astype(np.int64)
    return np.array([visible(str(value)) for value in values.tolist()])


def check_finite(rows: NDArray[Any], name: str, what: str = "row") -> None:
    """Raise DataError where an entry of rows (n, ...) is NaN or infinite; the message names the first such row."""
    bad = np.flatnonzero(~np.isfinite(rows).reshape(len(rows), -1).all(1))
    if len(bad):
        more = f", and so do {len(bad) - 1} more" if len(bad) > 1 else ""
        raise DataError(
            f"{name}: {what} {bad[0]} (counted from 0) holds NaN, infinity or numbers beyond float32{more}; drop or "
            f"impute these {what}s."
        )


def _numbers(values: NDArray[Any], name: str) -> Goal:
    if values.dtype.kind not in "fiub" or values.ndim not in (1, 2):
        raise DataError(
            f"{name} holds {values.dtype} of shape {values.shape}, and regression needs numbers (n,) or (n, targets); "
            "use classification."
        )
    return Goal(values.astype(np.float64).reshape(len(values), -1), "regression", ())
