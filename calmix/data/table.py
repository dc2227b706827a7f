"""Tables of your own: read a file, choose the columns, encode them with what the train split knows.

n rows, d encoded columns, K classes. Reading knows files and no targets; the rest knows frames and no files.
"""

import csv
import io
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype

from calmix.data.splits import About, RowIds, Split, Splits, check_classes, cut_train, listed, split_rows, split_sizes
from calmix.errors import DataError, UnknownNameError
from calmix.reading import read_bytes, reading

MISSING = ["?", "", "NA", "N/A", "NaN", "nan", "null", "None"]
BLOCK = 2**22  # numbers that are encoded together
MAX_INTEGER_CLASSES = 30  # more distinct integers than this are a regression target
DATE = r"\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([T ].*)?"
IDENTIFIER = re.compile(r"(?i:(.*[\s_.-])?id|index|unnamed: \d+)|.*[a-z]I[dD]")
LARGEST = float(np.finfo(np.float32).max)


# Files


def read_table(path: Path) -> pd.DataFrame:
    """The columns and rows of a .csv, .csv.gz or .parquet file, read once per file. Do not change the frame in place.

    A CSV file is UTF-8 with one header row and is separated by commas, semicolons or tabs.

    Raises DataError, in one sentence, for any file that is not such a table.
    """
    if not path.exists():
        raise DataError(f"file not found: {path}; give the path of a .csv, .csv.gz or .parquet file.")
    if path.is_dir():
        raise DataError(f"{path} is a folder; give the path of a .csv, .csv.gz or .parquet file in it.")
    if not path.name.lower().endswith((".csv", ".csv.gz", ".parquet")):
        raise DataError(f"{path} is of an unknown type; give a .csv, .csv.gz or .parquet file.")
    frame = _read(path, path.stat().st_mtime_ns)
    if frame.empty:
        raise DataError(f"{path} has a header and no rows; give a table with rows.")
    return frame


@lru_cache(maxsize=8)
def _read(path: Path, modified: int) -> pd.DataFrame:
    return _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        text = read_bytes(path, "get the file anew").decode("utf-8-sig")
        text = re.sub(r"\r\n?", "\n", text).lstrip("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason}); save the table as CSV in UTF-8.") from error
    if "\0" in text:
        raise DataError(f"{path} is not text (it has zero bytes); save the table as CSV in UTF-8.")
    if not text.strip():
        raise DataError(f"{path} is empty; give a table with a header and rows.")
    separator = max(",;\t", key=text.partition("\n")[0].count)
    with reading(path, "every row needs as many cells as the header"), warnings.catch_warnings():
        header = next(csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True))
        _check_unique(path, header)  # pandas would rename silently
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
        return pd.read_csv(io.StringIO(text), sep=separator, skipinitialspace=True, index_col=False, low_memory=False)


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with reading(path, "write it anew as parquet, or save the table as CSV"):
        table = pq.read_table(path, pre_buffer=False)  # which would hold the file, too
        table.validate(full=True)  # texts are UTF-8
        _check_unique(path, table.column_names)
        for field in table.schema:
            if pa.types.is_nested(field.type) or pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
                raise DataError(f"{path}: column {field.name!r} is {field.type}; cells must be numbers, text or dates.")
        return table.to_pandas(split_blocks=True, self_destruct=True)  # no second copy of the table


def _check_unique(path: Path, names: Iterable[str]) -> None:
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise DataError(f"{path}: more than one column is named {listed(twice)}; give each column a name of its own.")


# From a frame to splits


def table_splits(
    frame: pd.DataFrame,
    target: str | None,
    *,
    name: str,
    source: str,
    task: str | None = None,
    seed: int = 0,
    train_size: int | None = None,
    keep: Sequence[str] = (),
) -> Splits:
    """Splits of a frame: target column to ids or standardised numbers, the others to float32 columns.

    Numbers are median-imputed and standardised (with an indicator column where cells are missing); text, booleans and
    categories are imputed by the most frequent and one-hot encoded, an unknown category as zeros. Every statistic
    comes from the train split. Constant columns, and columns that look like identifiers, dates or free text and are
    not in keep, are left out, as a notice says.

    Raises DataError for a target or a table that cannot be learned from, UnknownNameError for an unknown column.

    >>> frame = pd.DataFrame({"age": range(40), "sex": ["f", "m"] * 20, "ill": ["no", "yes"] * 20})
    >>> table_splits(frame, "ill", name="ill", source="an example").about.features
    ('age', 'sex_f', 'sex_m')
    """
    if target is None:
        raise DataError(
            f"no target column was given for {name}; name one with --target: {listed(map(str, frame.columns))}."
        )
    columns = {str(name): _tidy(column) for name, column in frame.items()}
    if target not in columns:
        raise UnknownNameError("target column", target, columns)
    goal = columns.pop(target)
    _check_target(goal, target)
    task, notices = (task, []) if task else _inferred_task(goal, target)
    features, left_out = _usable(columns, keep)
    notices += left_out

    if task == "regression":
        if not _is_number(goal):
            raise DataError(f"target {target!r} is not numeric, and regression needs numbers; use classification.")
        labels, classes = None, ()
    else:
        labels, classes = _class_ids(goal)
        if task == "binary" and len(classes) != 2:
            raise DataError(f"target {target!r} has {len(classes)} classes, and binary needs two; use classification.")
        remedy = "merge it with another or remove it" + (", or use --task regression" if _is_number(goal) else "")
        notices += check_classes(labels, classes, remedy)

    train, *others = split_rows(labels, split_sizes(len(frame)), np.random.default_rng(seed))
    parts = [cut_train(train, labels, train_size), *others]
    xs, names = _encoded(features, parts)
    ys, mean, std = _targets(goal, labels, parts)
    splits = [Split(torch.from_numpy(x), torch.tensor(y)) for x, y in zip(xs, ys, strict=True)]
    about = About(name, task, "table", classes, names, False, source, 1, mean, std, tuple(notices))
    return Splits(*splits, about=about)


# The target


def _check_target(goal: pd.Series, target: str) -> None:
    missing = goal.isna()
    if _is_number(goal):
        missing |= np.abs(_floats(goal)) > LARGEST
    if missing.all():
        raise DataError(f"every value of target {target!r} is missing; choose another column.")
    if missing.any():
        rows = f"{missing.sum()} of {len(goal)} rows"
        raise DataError(f"target {target!r} is missing, infinite or beyond float32 in {rows}; remove these rows.")
    if goal.nunique() == 1:
        raise DataError(f"target {target!r} has one class, {goal.iloc[0]!s}; choose a column that varies.")


def _inferred_task(goal: pd.Series, target: str) -> tuple[str, list[str]]:
    if not _is_number(goal):
        return "classification", [f"target {target!r} is not numeric: taken as classification."]
    distinct = goal.nunique()
    if (_floats(goal) % 1 != 0).any():
        return "regression", [f"target {target!r} has fractions: taken as regression; --task classification overrides."]
    few = distinct <= min(MAX_INTEGER_CLASSES, len(goal) // 2)
    task, other = ("classification", "regression") if few else ("regression", "classification")
    return task, [f"target {target!r} has {distinct} distinct integers: taken as {task}; --task {other} overrides."]


def _class_ids(goal: pd.Series) -> tuple[RowIds, tuple[str, ...]]:
    """Ids (n,) and names (K,): categories in their own order, numbers and text in ascending order."""
    if isinstance(goal.dtype, pd.CategoricalDtype):
        goal = goal.cat.remove_unused_categories()
        return goal.cat.codes.to_numpy(np.int64), tuple(map(str, goal.cat.categories))
    if _is_number(goal):
        numbers, ids = np.unique(_floats(goal), return_inverse=True)
        return ids, tuple(str(v).removesuffix(".0") for v in numbers.tolist())
    texts, ids = np.unique(goal.map(str).to_numpy(str), return_inverse=True)
    return ids, tuple(texts.tolist())


def _targets(goal: pd.Series, labels: RowIds | None, parts: Sequence[RowIds]) -> tuple[list[NDArray], float, float]:
    """The targets of each part, and the mean and std of train that standardised them (0 and 1 for class ids)."""
    if labels is not None:
        return [labels[rows] for rows in parts], 0.0, 1.0
    values = _floats(goal)[:, None]  # (n, 1)
    mean, std = values[parts[0]].mean().item(), values[parts[0]].std().item() or 1.0
    return [((values[rows] - mean) / std).astype(np.float32) for rows in parts], mean, std


# The features


Column = pd.Series | NDArray[np.float64]  # dates are seconds


def _usable(columns: Mapping[str, pd.Series], keep: Sequence[str]) -> tuple[dict[str, Column], list[str]]:
    """The columns to learn from, and notices on those left out."""
    for name in keep:
        if name not in columns:
            raise UnknownNameError("column to keep", name, columns)
    used: dict[str, Column] = {}
    constant, identifying = [], []
    for name, column in columns.items():
        dates = _as_dates(column)
        if column.nunique() <= 1:
            constant.append(name)
        elif name not in keep and (dates is not None or _is_identifier(name, column)):
            identifying.append(name)
        elif dates is not None:
            used[name] = dates
        else:
            used[name] = column
            if _is_number(column) and (np.abs(_floats(column)) > LARGEST).any():
                raise DataError(f"column {name!r} has values that are infinite or beyond float32; empty these cells.")
    notices = []
    if constant:
        notices.append(f"columns that hold one value or none are left out: {listed(constant)}.")
    if identifying:
        what = "identifiers, dates or free text"
        notices.append(f"columns that look like {what} are left out: {listed(identifying)}; --keep NAME uses one.")
    if not used:
        raise DataError(" ".join(["no column is left to learn from; give a table with feature columns.", *notices]))
    return used, notices


def _encoded(columns: Mapping[str, Column], parts: Sequence[RowIds]) -> tuple[list[NDArray], tuple[str, ...]]:
    """The columns of each part, (len(rows), d) float32, encoded with the statistics of the first part, and their names.

    A few columns are encoded at a time, so that nothing of the size of the table is made in float64.
    """
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    train = parts[0]  # nothing can be learned from a column that is empty there
    known = {name: column for name, column in columns.items() if pd.Series(column).iloc[train].notna().any()}
    if not known:
        raise DataError("every cell of the train split is missing; fill some, or raise train_size.")
    numbers = [name for name, column in known.items() if isinstance(column, np.ndarray) or _is_number(column)]
    texts = [name for name in known if name not in numbers]
    scale = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    one_hot = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    )
    width = max(1, BLOCK // sum(map(len, parts)))
    blocks = [(scale, numbers[start : start + width]) for start in range(0, len(numbers), width)]
    blocks += [(one_hot, [name]) for name in texts]

    named: list[tuple[str, str]] = []  # kind and name of each encoded column
    encoded: list[list[NDArray[np.float32]]] = [[] for _ in parts]  # by part and encoded column
    for encoder, chosen in blocks:
        block = pd.DataFrame({name: _cells(known[name]) for name in chosen})
        names: Any = encoder.fit(block.iloc[train]).get_feature_names_out()
        kinds = ["number"] * len(chosen) + ["indicator"] * (len(names) - len(chosen))
        named += zip(kinds if encoder is scale else ["text"] * len(names), map(str, names), strict=True)
        for part, rows in zip(encoded, parts, strict=True):
            part.extend(np.asarray(encoder.transform(block.iloc[rows])).T.astype(np.float32))
    order = sorted(range(len(named)), key=lambda place: ("number", "indicator", "text").index(named[place][0]))
    xs = []
    while encoded:  # each part's columns go as they are joined
        part = encoded.pop(0)
        xs.append(np.stack([part[place] for place in order], 1))
    return xs, tuple(named[place][1] for place in order)


def _cells(column: Column) -> NDArray[np.float64] | pd.Series:
    """float64, or text, with NaN where missing."""
    if isinstance(column, np.ndarray):
        return column
    if _is_number(column):
        return _floats(column)
    return column.astype(object).map(str, na_action="ignore").where(column.notna(), np.nan)


def _tidy(column: pd.Series) -> pd.Series:
    """Text with stray markers of missing cells as text with NaN, or as numbers where that is all there is."""
    if is_numeric_dtype(column) or is_datetime64_any_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype):
        return column
    column = column.mask(column.isin(MISSING))
    try:
        numbers = pd.Series(pd.to_numeric(column, errors="coerce"))
    except OverflowError:
        raise DataError(f"column {column.name!r} has whole numbers beyond float64; empty these cells.") from None
    return numbers if numbers.notna().equals(column.notna()) and column.notna().any() else column


def _is_number(column: pd.Series) -> bool:
    return is_numeric_dtype(column) and not is_bool_dtype(column)


def _floats(column: pd.Series) -> NDArray[np.float64]:
    return column.to_numpy(np.float64, na_value=np.nan)


def _is_identifier(name: str, column: pd.Series) -> bool:
    """Text that hardly repeats; or whole numbers, named like an identifier, that only number the rows."""
    if _is_number(column):
        values = _floats(column) if IDENTIFIER.fullmatch(name) else np.empty(0)
        rows = len(values)
        return rows > 0 and column.nunique() == rows and np.ptp(values) == rows - 1 and bool((values % 1 == 0).all())
    distinct, rows = column.nunique(), column.count()
    return (distinct > 50 and distinct > rows / 2) or (distinct == rows >= 20)


def _as_dates(column: pd.Series) -> NDArray[np.float64] | None:
    """Seconds since 1970, NaN where missing, if the column holds dates; else None."""
    if not is_datetime64_any_dtype(column):
        if is_numeric_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype):
            return None
        text = column.dropna().astype(str)
        if text.empty or not text.str.fullmatch(DATE).all():
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # day first or month first: either way a date
            dates = pd.to_datetime(column.astype(object), format="mixed", utc=True, errors="coerce")
        if not dates.notna().equals(column.notna()):
            return None
        column = dates
    moments = pd.to_datetime(column, utc=True).dt.tz_convert(None).dt.as_unit("us").to_numpy("datetime64[us]")
    return np.where(np.isnat(moments), np.nan, moments.astype(np.int64) / 1e6)  # in nanoseconds, years end in 2262
