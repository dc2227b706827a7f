"""A frame becomes splits: a column to predict, the others to learn from.

n rows, K classes
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pandas.api.types import is_datetime64_any_dtype

from calmix.column_use import ColumnUse
from calmix.data.asked import target_of
from calmix.data.rows import Field, GivenRows
from calmix.data.splits import About, Draw, RowIds, Split, Splits, check_classes, cut_train, draw_parts, listed
from calmix.data.table.cells import numbers_of, tidy
from calmix.data.table.columns import LARGEST, Taken, examined, floats, is_number, notices_of, used_of
from calmix.data.table.encoding import encoded
from calmix.data.table.leaks import leaks
from calmix.data.table.new_rows import class_names, encoding_of
from calmix.errors import DataError

MAX_INTEGER_CLASSES = 30  # more distinct integers than this are a regression target


def table_splits(
    frame: pd.DataFrame,
    target: str | None,
    *,
    name: str,
    source: str,
    task: str | None = None,
    seed: Draw = 0,
    train_size: int | None = None,
    keep: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> Splits:
    """Splits of a frame: target column to ids or standardised numbers, the others to float32 columns.

    Numbers are median-imputed and standardised (with an indicator column where cells are missing), and so are the
    parts of dates; text, booleans and categories are imputed by the most frequent and one-hot encoded, an unknown
    category as zeros; of more than 50 levels, they become the mean of the target. Every statistic comes from the train
    split. Columns that are constant or in drop, and columns that look like identifiers or free text and are not in
    keep, are left out, and so are rows without a target; notices say so, and about.columns what became of each column.

    Raises DataError for a target or a table that cannot be learned from, UnknownNameError for an unknown column.

    >>> frame = pd.DataFrame({"age": [20, 31, 45, 31] * 10, "sex": ["f", "m"] * 20, "ill": ["no", "yes"] * 20})
    >>> table_splits(frame, "ill", name="ill", source="an example").about.features
    ('age', 'sex_f', 'sex_m')
    """
    columns = {str(name): column for name, column in frame.items()}
    target = target_of(list(columns), target, drop, name)
    order = list(columns)
    goal, notices = _read_target(tidy(columns.pop(target)), task)
    rows, given = np.flatnonzero(goal.notna()), len(goal)  # that have a target
    goal = goal.iloc[rows]
    _check_target(goal, target)
    task, inferred = (task, []) if task else _inferred_task(goal, target)
    taken = examined(columns, keep, drop)
    used = used_of(taken)
    notices += [*inferred, *notices_of(taken)]
    if len(goal) < given:
        used = [column.of_rows(rows) for column in used]
        notices.append(f"{given - len(goal)} of {given} rows have no {target!r} and are left out.")

    if task == "regression":
        if not is_number(goal):
            raise DataError(f"target {target!r} is not numeric, and regression needs numbers; use classification.")
        labels, classes = None, ()
    else:
        labels, classes = _class_ids(goal)
        if task == "binary" and len(classes) != 2:
            raise DataError(f"target {target!r} has {len(classes)} classes, and binary needs two; use classification.")
        remedy = "merge it with another or remove it" + (", or use --task regression" if is_number(goal) else "")
        notices += check_classes(labels, classes, remedy)

    train, *others = draw_parts(labels, len(goal), seed)
    parts = [cut_train(train, labels, train_size), *others]
    ys, mean, std = _targets(goal, labels, parts)
    numbers = floats(goal) if labels is None else labels
    made = encoded(used, parts, numbers)
    if telling := leaks(used, numbers):
        notices.append(
            f"alone, each of these columns predicts {target!r} all but perfectly: {listed(telling)}; leave out with "
            "--drop what is not known before the target is."
        )
    splits = [Split(torch.from_numpy(x), torch.tensor(y)) for x, y in zip(made.xs, ys, strict=True)]
    uses = {column.name: replace(column.use, features=made.features.get(column.name, 0)) for column in taken}
    uses[target] = ColumnUse(target, "target", given - len(goal), goal.nunique(), task)
    about = About(
        name=name,
        task=task,
        kind="table",
        classes=classes,
        features=made.names,
        natural=False,
        source=source,
        target_mean=mean,
        target_std=std,
        notices=tuple(notices),
        columns=tuple(uses[name] for name in order),
    )
    note = f"Rows are counted from 0, as in {source}."
    given = GivenRows(rows, parts[-1], "row", note, [_field(column) for column in used])
    return Splits(*splits, about=about, encoding=encoding_of(made, used, target, labels is None), given=given)


def _field(column: Taken) -> Field:
    if isinstance(column.values, np.ndarray):
        return Field(column.name, "date", column.values)
    return Field(column.name, "number" if is_number(column.values) else "category", column.values)


def _read_target(goal: pd.Series, task: str | None) -> tuple[pd.Series, list[str]]:
    """The target with text that stands for numbers as numbers, where they are to be regressed; and notices."""
    if task not in (None, "regression"):
        return goal, []
    try:
        understood = numbers_of(goal)
    except DataError:
        if task is None:
            return goal, []
        raise
    if task is None and (not is_number(understood.column) or understood.column.nunique() <= MAX_INTEGER_CLASSES):
        return goal, []  # names of classes
    return understood.column, [understood.notice] if understood.notice else []


def _check_target(goal: pd.Series, target: str) -> None:
    if goal.empty:
        raise DataError(f"every value of target {target!r} is missing; choose another column.")
    if is_datetime64_any_dtype(goal):
        raise DataError(
            f"target {target!r} holds dates, and networks predict classes or numbers; give what is to be predicted of "
            "them as a column of its own, such as a number of days or the name of a month."
        )
    if is_number(goal) and (wild := np.abs(floats(goal)) > LARGEST).any():
        rows = f"{wild.sum()} of {len(goal)} rows"
        raise DataError(f"target {target!r} is infinite or beyond float32 in {rows}; mend or remove these rows.")
    if goal.nunique() == 1:
        raise DataError(f"target {target!r} has one class, {goal.iloc[0]!s}; choose a column that varies.")


def _inferred_task(goal: pd.Series, target: str) -> tuple[str, list[str]]:
    if not is_number(goal):
        return "classification", [f"target {target!r} is not numeric: taken as classification."]
    distinct = goal.nunique()
    if (floats(goal) % 1 != 0).any():
        return "regression", [f"target {target!r} has fractions: taken as regression; --task classification overrides."]
    few = distinct <= min(MAX_INTEGER_CLASSES, len(goal) // 2)
    task, other = ("classification", "regression") if few else ("regression", "classification")
    return task, [f"target {target!r} has {distinct} distinct integers: taken as {task}; --task {other} overrides."]


def _class_ids(goal: pd.Series) -> tuple[RowIds, tuple[str, ...]]:
    """Ids (n,) and names (K,): categories in their own order, numbers and text in ascending order."""
    if isinstance(goal.dtype, pd.CategoricalDtype):
        goal = goal.cat.remove_unused_categories()
        return goal.cat.codes.to_numpy(np.int64), tuple(map(str, goal.cat.categories))
    if is_number(goal):
        numbers, ids = np.unique(floats(goal), return_inverse=True)
        return ids, tuple(class_names(pd.Series(numbers)))
    texts, ids = np.unique(class_names(goal).astype(str), return_inverse=True)
    return ids, tuple(texts.tolist())


def _targets(goal: pd.Series, labels: RowIds | None, parts: Sequence[RowIds]) -> tuple[list[NDArray], float, float]:
    """The targets of each part, and the mean and std of train that standardised them (0 and 1 for class ids)."""
    if labels is not None:
        return [labels[rows] for rows in parts], 0.0, 1.0
    values = floats(goal)[:, None]  # (n, 1)
    mean, std = values[parts[0]].mean().item(), values[parts[0]].std().item() or 1.0
    return [((values[rows] - mean) / std).astype(np.float32) for rows in parts], mean, std
