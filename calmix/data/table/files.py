"""Files of tables: which columns and rows they hold. Nothing here knows what is to be predicted."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from zipfile import ZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_object_dtype, is_string_dtype

from calmix.data.splits import listed
from calmix.data.table.format import DETECTED, TableFormat
from calmix.data.table.marks import needs_marks, read_marks
from calmix.data.table.text import Rows, check_unique, read_text, shape_of, told_marks
from calmix.errors import DataError, SettingError, needs
from calmix.reading import check_size, read_bytes, read_zip, reading

TEXTS = (".csv", ".tsv", ".tab", ".txt", ".dat", ".data")
JSONS = (".json", ".jsonl", ".ndjson")
ARROWS, SHEETS = (".parquet", ".feather", ".arrow"), (".xlsx", ".xlsm")
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
KNOWN = (*TEXTS, *JSONS, *ARROWS, *SHEETS, *PACKED)
TYPES = "table, .csv, .tsv, .txt, .json, .jsonl, .xlsx, .parquet or .feather (text also packed, as .csv.gz or .zip)"
OLD = {".xls": ".xlsx", ".ods": ".xlsx", ".xlsb": ".xlsx", ".sas7bdat": ".csv", ".dta": ".csv", ".sav": ".csv"}
ANEW = "get the file anew"


@dataclass(frozen=True, eq=False)
class TableRead:
    """The columns and rows of a file, and what was found in it that is not the plain default, in full sentences.

    numbers: (N,) where each row is in the file, from 1: its line of a text, else its row. unit: what is counted.
    Do not change the frame in place: a file is read once.
    """

    frame: pd.DataFrame
    numbers: NDArray[np.int64]
    unit: Literal["line", "row"]
    notices: tuple[str, ...] = ()
    sheets: str = ""  # of which of several sheets this is, in a sentence, where nobody asked for one


def read_table(path: Path, format: TableFormat = DETECTED) -> TableRead:
    """A table in a file of one of TYPES, read once per file.

    Of text, the separator, the quotes, the encoding, decimal commas and marks between thousands are found by the
    evidence of the whole file, and told where they are not those of a plain CSV file in UTF-8. What can be read in two
    ways is refused, and so is a table without a header; `format` then says how it is.

    Raises:
        DataError: in one sentence, for any file that is not such a table.
        SettingError: an option of the format that the file's type does not have.
    """
    if not path.exists():
        raise DataError(f"file not found: {path}; give the path of a {TYPES}.")
    if path.is_dir():
        raise DataError(f"{path} is a folder; give the path of a {TYPES}, in it.")
    found = _read(path, path.stat().st_mtime_ns, format)
    if found.frame.empty:
        raise DataError(f"{path} has a header and no rows; give a table with rows.")
    return found


@lru_cache(maxsize=8)
def _read(path: Path, modified: int, format: TableFormat) -> TableRead:
    *_, before, last = ["", "", *(suffix.lower() for suffix in path.suffixes)]
    if last == ".zip":
        name, content = read_zip(path, ANEW)
        kind = Path(name).suffix.lower()
    else:
        kind = before if last in PACKED else last
        content = read_bytes(path, ANEW) if kind in (*TEXTS, *JSONS) else None
    if last in PACKED and kind in (*ARROWS, *SHEETS):
        raise DataError(f"{path} packs a file that is packed itself; unpack it and give the {kind} file.")
    _check_options(path, kind, format)
    if kind in TEXTS and content is not None:
        frame, notices, lines = read_text(path, content, format)
        return TableRead(frame, lines, "line", tuple(notices))
    if kind in JSONS and content is not None:
        return _spelled(path, _read_json(path, content, kind != ".json", format), [], None, format)
    if kind in ARROWS and content is None:
        return _spelled(path, _read_arrow(path, kind), [], None, format)
    if kind in SHEETS and content is None:
        rows, sheets = _read_excel(path, format)
        found = _spelled(path, *_of_rows(path, rows, format), format)
        return replace(found, notices=(*filter(None, [sheets]), *found.notices), sheets=sheets)
    if kind in OLD:
        raise DataError(f"{path} is of a type that calmix does not read ({kind}); save it as {OLD[kind]}.")
    raise DataError(f"{path} is of an unknown type; give a {TYPES}.")


def _check_options(path: Path, kind: str, format: TableFormat) -> None:
    """Raise SettingError for an option that the file's type does not have."""
    has = {"sep": TEXTS, "encoding": (*TEXTS, *JSONS), "sheet": SHEETS, "header": (*TEXTS, *SHEETS)}
    for name, kinds in has.items():
        if getattr(format, name) is not None and kind not in kinds:
            raise SettingError(f"{name} is for {listed(kinds)} files, and {path} is none: leave it out.")


def _spelled(
    path: Path, frame: pd.DataFrame, notices: Iterable[str], rows: NDArray[np.int64] | None, format: TableFormat
) -> TableRead:
    """A frame whose cells have types, the numbers in its columns of text as numbers. rows: None is 1, 2, ..."""
    numbers = np.arange(1, len(frame) + 1) if rows is None else rows
    texts = [name for name, column in frame.items() if is_object_dtype(column) or is_string_dtype(column)]
    texts = [name for name in texts if not isinstance(frame[name].dtype, pd.CategoricalDtype)]
    only: pd.DataFrame = frame.loc[:, texts]
    if not needs_marks(only, TableFormat(decimal=format.decimal, thousands=format.thousands)):
        return TableRead(frame, numbers, "row", tuple(notices))
    found = read_marks(only, only, format, str(path))
    said = told_marks(found.readings)
    told = [f"{path.name} was read with {', '.join(said)}."] if said else []
    changed = {str(name): found.frame[name] for name in texts if found.frame[name] is not only[name]}
    return TableRead(frame.assign(**changed), numbers, "row", (*told, *notices, *found.notices))


# ------------------------------------------------------------------------------------------------ columns with types


def _read_arrow(path: Path, kind: str) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.feather as feather
    import pyarrow.parquet as pq

    with reading(path, f"write it anew as {kind[1:]}, or save the table as CSV"):
        if kind == ".parquet":
            table = pq.read_table(path, pre_buffer=False)  # which would hold the file, too
        else:
            table = feather.read_table(str(path), memory_map=False)
        table.validate(full=True)  # texts are UTF-8
        check_unique(path, table.column_names)
        for field in table.schema:
            if pa.types.is_nested(field.type) or pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
                found = f"{path}: column {field.name!r} is {field.type}"
                hint = "; of images give the folder of shards" if "binary" in str(field.type) else ""
                raise DataError(f"{found}; cells must be numbers, text or dates{hint}.")
        frame = table.to_pandas(split_blocks=True, self_destruct=True)  # no second copy of the table
        return frame.set_axis([str(name) for name in frame.columns], axis=1)


def _read_json(path: Path, content: bytes, by_line: bool, format: TableFormat) -> pd.DataFrame:
    """Records, a list or one a line; or columns by name; or what pandas writes with `orient="split"`."""
    remedy = "give a list of records, or columns by name"

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        check_unique(path, [name for name, _ in pairs])
        return dict(pairs)

    with reading(path, remedy):
        text = content.decode(format.encoding or json.detect_encoding(content)).removeprefix("\ufeff")
        if by_line:
            found: Any = [json.loads(line, object_pairs_hook=unique) for line in text.split("\n") if line.strip()]
        else:
            found = json.loads(text, object_pairs_hook=unique)
    if (
        isinstance(found, dict)
        and isinstance(found.get("data"), list)
        and set(found) <= {"data", "columns", "index", "schema"}
    ):
        if "columns" not in found:
            found = found["data"]
        elif isinstance(found["columns"], list) and all(isinstance(row, list) for row in found["data"]):
            names, rows = list(map(str, found["columns"])), found["data"]
            check_unique(path, names)
            if any(len(row) != len(names) for row in rows):
                raise DataError(f"{path}: rows have other lengths than columns; {remedy}.")
            found = [dict(zip(names, row, strict=True)) for row in rows]
    if isinstance(found, list) and found and all(isinstance(row, dict) for row in found):
        names = dict.fromkeys(name for row in found for name in row)
        columns = {name: [row.get(name) for row in found] for name in names}
    elif isinstance(found, dict) and found and all(isinstance(cells, list | dict) for cells in found.values()):
        keys = [tuple(cells) if isinstance(cells, dict) else len(cells) for cells in found.values()]
        if any(key != keys[0] for key in keys):
            raise DataError(f"{path}: columns have different rows; {remedy}.")
        columns = {name: list(cells.values() if isinstance(cells, dict) else cells) for name, cells in found.items()}
    else:
        raise DataError(f"{path} is no table; {remedy}.")
    return _typed(path, columns)


def _typed(path: Path, columns: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """A frame of cells that are numbers, texts, dates or nothing."""
    frame: dict[str, pd.Series] = {}
    for name, cells in columns.items():
        if any(isinstance(cell, list | dict) for cell in cells):
            raise DataError(f"{path}: column {name!r} holds lists or mappings; cells must be numbers, text or dates.")
        with reading(path, "cells must be numbers, text or dates"):
            cells = [None if isinstance(cell, str) and not cell.strip() else cell for cell in cells]
            known = [cell for cell in cells if cell is not None]
            numbers = bool(known) and all(
                isinstance(cell, int | float) and not isinstance(cell, bool) for cell in known
            )
            column = (
                pd.Series(cells, dtype=float) if numbers and len(known) < len(cells) else pd.Series(cells, dtype=object)
            )
            frame[name] = column.infer_objects()
    return pd.DataFrame(frame)


def _read_excel(path: Path, format: TableFormat) -> tuple[list[list[Any]], str]:
    """The rows of the sheet that is asked for, or of the first that holds a table; and what to say of the sheets."""
    remedy = "save it anew as .xlsx, or as CSV"
    try:
        import openpyxl  # pyright: ignore[reportMissingModuleSource]
    except ModuleNotFoundError:
        needed = needs(f"{path}: reading .xlsx", "openpyxl", "excel")
        raise DataError(f"{needed}, or save the table as CSV.") from None
    with reading(path, remedy), ZipFile(path) as stored:
        check_size(path, sum(member.file_size for member in stored.infolist()), path.stat().st_size)
    with reading(path, remedy):
        book = openpyxl.load_workbook(io.BytesIO(path.read_bytes()), read_only=True, data_only=True, keep_links=False)
        sheets = {sheet.title: sheet for sheet in book.worksheets}
        if format.sheet is not None and format.sheet not in sheets:
            raise DataError(f"{path} has no sheet {format.sheet!r}; its sheets are {listed(sheets)}.")
        found: dict[str, list[list[Any]]] = {}
        for title in sheets if format.sheet is None else [format.sheet]:
            sheets[title].reset_dimensions()  # which some programs write wrongly
            rows = sheets[title].iter_rows(values_only=True)
            found[title] = [[None if _is_blank(cell) else cell for cell in row] for row in rows]
            if _is_table(found[title]):
                break
    tables = [title for title, rows in found.items() if _is_table(rows)]
    others = [title for title, rows in found.items() if any(cell is not None for row in rows for cell in row)]
    title = [*tables, *others, *found][0]
    several = len(sheets) > 1 and format.sheet is None
    return found[title], f"{path.name} has {len(sheets)} sheets; {title!r} is read, --sheet reads another." * several


def _is_table(rows: Sequence[Sequence[Any]]) -> bool:
    """Whether two rows or more have two cells or more, as remarks have not."""
    return sum(sum(cell is not None for cell in row) > 1 for row in rows) > 1


def _of_rows(
    path: Path, rows: Sequence[list[Any]], format: TableFormat
) -> tuple[pd.DataFrame, list[str], NDArray[np.int64]]:
    """The table within the rows of a sheet, what to tell of it, and which row of the sheet each of its rows is."""
    width = max((place + 1 for row in rows for place, cell in enumerate(row) if cell is not None), default=0)
    kept = [(row + [None] * width)[:width] for row in rows]
    while kept and all(cell is None for cell in kept[-1]):
        kept.pop()
    if not kept:
        raise DataError(f"{path} is empty; give a table with a header and rows.")
    texts = [["" if cell is None else str(cell) for cell in row] for row in kept]
    filled = [sum(cell is not None for cell in row) for row in kept]
    shape = shape_of(path, Rows(texts, texts[-8:], [width] * len(kept), filled, range(1, len(kept) + 1)), format)
    places = [place for place in range(shape.begin, shape.stop) if filled[place]]
    body = [kept[place] for place in places]
    columns = {name: [row[place] for row in body] for place, name in enumerate(shape.names)}
    unused = [name for name, cells in columns.items() if name.startswith("Unnamed: ") and all(c is None for c in cells)]
    used = {name: cells for name, cells in columns.items() if name not in unused or len(unused) == len(columns)}
    count = len(columns) - len(used)
    told = [f"{count} column{'s' * (count > 1)} without name or cells left out."] if count else []
    return _typed(path, used), [*shape.notices, *told], np.array(places, np.int64) + 1


def _is_blank(cell: Any) -> bool:
    return cell is None or (
        isinstance(cell, str) and (not cell.strip() or cell in ("#N/A", "#DIV/0!", "#NULL!", "#VALUE!"))
    )
