"""Files of tables: which columns and rows they hold. Nothing here knows what is to be predicted."""

import csv
import io
import re
import warnings
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import pandas as pd

from calmix.data.splits import listed
from calmix.errors import DataError
from calmix.reading import read_bytes, reading


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
