"""A frame becomes splits: a column to predict, the others to learn from.

n rows, K classes
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pandas.api.types import is_datetime64_any_dtype

from calmix.column_use import ColumnUse
from calmix.data.asked import target_of
from calmix.data.given_rows import Field, GivenRows, Kind
from calmix.data.splits import PARTS, SAME_TEST, About, Draw, RowIds, Split, Splits, check_classes, cut_train, listed
from calmix.data.table.cells import Understood, numbers_of, tidy
from calmix.data.table.columns import LARGEST, Taken, class_names, examined, floats, is_number, notices_of, used_of
from calmix.data.table.encoding import Cells, cells_of, encoded
from calmix.data.table.given import Goal, ReadyPart, TableRows, keys_of, read_part, repeated
from calmix.data.table.leaks import leaks
from calmix.data.table.new_rows import encoding_of
from calmix.data.table.role_columns import use_of
from calmix.data.table.roles import NO_ROLES, Role, Roles, check_roles
from calmix.data.table.row_roles import read_roles
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
    roles: Roles = NO_ROLES,
    rows: TableRows | None = None,
    ready: Mapping[str, TableRows] | None = None,
) -> Splits:
    """Splits of a frame: target column to ids or standardised numbers, the others to float32 columns.

    Numbers are median-imputed and standardised (with an indicator column where cells are missing), and so are the
    parts of dates; text, booleans and categories are imputed by the most frequent and one-hot encoded, an unknown
    category as zeros; of more than 50 levels, they become the mean of the target. Every statistic comes from the train
    split. Columns that are constant or in drop, and columns that look like identifiers or free text and are not in
    keep, are left out, and so are rows without a target; notices say so, and about.columns what became of each column.

    roles: columns by which rows are split or weighed. rows: the frame as the user counts its rows; None: from 0. ready:
    ready-made validation and test splits; those of PARTS that are not in it are drawn from the frame, with the same
    shares among themselves.

    Raises DataError for a target or a table that cannot be learned from, UnknownNameError for an unknown column.

    >>> frame = pd.DataFrame({"age": [20, 31, 45, 31] * 10, "sex": ["f", "m"] * 20, "ill": ["no", "yes"] * 20})
    >>> table_splits(frame, "ill", name="ill", source="an example").about.features
    ('age', 'sex_f', 'sex_m')
    """
    columns = {str(name): column for name, column in frame.items()}
    order, ready = list(columns), ready or {}
    rows = rows or TableRows(frame, source, np.arange(len(frame)))
    target = target_of(order, target, drop, name)
    check_roles(roles, order, target, keep, drop)
    understood = _read_target(tidy(columns.pop(target)), task)
    places, given = np.flatnonzero(understood.column.notna()), len(frame)  # that have a target
    goal = understood.column.iloc[places]
    _check_target(goal, target)
    task, inferred = (task, []) if task else _inferred_task(goal, target)
    apart: dict[Role, pd.Series] = {role: columns[column] for role, column in roles.named.items()}
    taken = examined({name: columns[name] for name in columns if _learned(name, roles, keep)}, keep, drop)
    used = used_of(taken)
    notices = [*filter(None, [understood.notice]), *inferred, *notices_of(taken)]
    if len(goal) < given:
        used = [column.of_rows(places) for column in used]
        notices.append(f"{given - len(goal)} of {given} rows have no {target!r} and are left out.")

    drawn = [part for part in PARTS if part not in ready]
    if task == "regression":
        if not is_number(goal):
            raise DataError(f"target {target!r} is not numeric, and regression needs numbers; use classification.")
        labels, classes = None, ()
    else:
        labels, classes = _class_ids(goal)
        if task == "binary" and len(classes) != 2:
            raise DataError(f"target {target!r} has {len(classes)} classes, and binary needs two; use classification.")
        remedy = "merge it with another or remove it" + (", or use --task regression" if is_number(goal) else "")
        notices += check_classes(labels, classes, remedy, len(drawn))

    by = read_roles(apart, roles, places, rows)
    parts = dict(zip(drawn, by.draw(labels, len(goal), seed, drawn), strict=True))
    parts["train"] = cut_train(parts["train"], labels, train_size)
    numbers = floats(goal) if labels is None else labels
    made = encoded(used, list(parts.values()), numbers)
    encoding = encoding_of(made, used, target, task == "regression")
    if telling := leaks(used, numbers):
        notices.append(
            f"alone, each of these columns predicts {target!r} all but perfectly: {listed(telling)}; leave out with "
            "--drop what is not known before the target is."
        )
    goal_of = Goal(target, classes, understood.unit)
    others = {part: read_part(ready[part], goal_of, encoding, roles) for part in PARTS if part in ready}
    notices += by.notices(parts, others)
    known = _cells(used, encoding.columns) if others else {}
    if others:
        notices += [*_told_parts(others), *repeated(keys_of(known, numbers.astype(float)), others, rows)]

    xs = dict(zip(drawn, made.xs, strict=True)) | {part: one.x for part, one in others.items()}
    goals = {part: numbers[parts[part]] for part in drawn} | {part: one.goal for part, one in others.items()}
    ys, mean, std = _targets(goals, regression=labels is None)
    uses = {column.name: replace(column.use, features=made.features.get(column.name, 0)) for column in taken}
    uses[target] = ColumnUse(target, "target", given - len(goal), goal.nunique(), task)
    for role, column in apart.items():
        uses[roles.named[role]] = use_of(role, roles.named[role], column, uses.get(roles.named[role]))
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
    splits = [Split(torch.from_numpy(xs[part]), torch.tensor(ys[part])) for part in PARTS]
    weights = by.of_train(parts["train"])
    return Splits(
        *splits,
        about=about,
        train_weights=None if weights is None else torch.tensor(weights),
        encoding=encoding,
        given=_found_again(used, places, parts, others.get("test"), known, rows),
    )


def _learned(name: str, roles: Roles, keep: Sequence[str]) -> bool:
    """Whether a column is one to learn from; that of the time is where it is kept."""
    return name not in roles.named.values() or (name == roles.time and name in keep)


def _cells(used: Sequence[Taken], names: Sequence[str]) -> dict[str, Cells]:
    """The cells of the columns with these names."""
    by_name = {column.name: column.values for column in used}
    return {name: cells_of(by_name[name]) for name in names}


def _told_parts(parts: Mapping[str, ReadyPart]) -> list[str]:
    """That splits are ready-made, and what was found in them."""
    notices: list[str] = []
    for part, one in parts.items():
        notices.append(f"the {part} split is {one.table.name} ({len(one.x):,} rows), whatever the seed.")
        notices += one.notices
    return [*notices, SAME_TEST] if "test" in parts else notices


def _found_again(
    used: Sequence[Taken],
    places: RowIds,
    parts: Mapping[str, RowIds],
    test: ReadyPart | None,
    known: Mapping[str, Cells],
    rows: TableRows,
) -> GivenRows:
    """Where the test rows are in the user's table, or in that of the ready-made test split.

    known: the cells of the training file, which also tell what is unusual in the other.
    """
    if test is None:
        return GivenRows(rows.numbers[places], parts["test"], rows.unit, rows.note, [_field(column) for column in used])
    fields = [
        Field(column.name, _kind(column), np.concatenate([test.cells[column.name], known[column.name]]))
        for column in used
        if column.name in known
    ]
    numbers = test.table.numbers[test.places]
    return GivenRows(numbers, np.arange(len(numbers)), test.table.unit, test.table.note, fields)


def _field(column: Taken) -> Field:
    return Field(column.name, _kind(column), column.values)


def _kind(column: Taken) -> Kind:
    if isinstance(column.values, np.ndarray):
        return "date"
    return "number" if is_number(column.values) else "category"


def _read_target(goal: pd.Series, task: str | None) -> Understood:
    """The target with text that stands for numbers as numbers, where they are to be regressed."""
    if task not in (None, "regression"):
        return Understood(goal)
    try:
        understood = numbers_of(goal)
    except DataError:
        if task is None:
            return Understood(goal)
        raise
    if task is None and (not is_number(understood.column) or understood.column.nunique() <= MAX_INTEGER_CLASSES):
        return Understood(goal)  # names of classes
    return understood


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
        raise DataError(f"target {target!r} is {goal.iloc[0]!s} in every row; choose a column that varies.")


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


def _targets(goals: Mapping[str, NDArray[Any]], regression: bool) -> tuple[dict[str, NDArray[Any]], float, float]:
    """The targets of each part, and the mean and std of train that standardised them (0 and 1 for class ids)."""
    if not regression:
        return {part: ids.astype(np.int64) for part, ids in goals.items()}, 0.0, 1.0
    mean, std = goals["train"].mean().item(), goals["train"].std().item() or 1.0
    return {part: ((values - mean) / std).astype(np.float32)[:, None] for part, values in goals.items()}, mean, std
