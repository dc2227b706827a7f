"""Tables in text: encoding, what stands between cells, quotes, the header, and rows that are none, each by evidence.

A row is a list of cells, a cell is a text; the first row is the header, unless it looks like the others.
"""

import csv
import io
import re
import warnings
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calmix.data.splits import listed
from calmix.data.table.format import SEPARATORS, TableFormat
from calmix.data.table.marks import Reading, is_measured, is_number, needs_marks, read_marks
from calmix.errors import CalmixError, DataError
from calmix.reading import reading

SAMPLE = 2**18  # characters in which separator and quotes are looked for
ROWS = 1000  # in which the header is looked for
CELLS = 5000  # in which separator and quotes are looked for
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-", ".", "#n/a", "<na>"})
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ]\d.*)?|\d{1,2}:\d\d(:\d\d.*)?")
TOTALS = re.compile(
    r"(?i)(grand |sub)?(total|totals|sum|average|mean|summe|gesamt|gesamtsumme|insgesamt|mittelwert|totale"
    r"|total général|somme|moyenne|suma|razem|totaal|totalt|итого|всего|合计|总计|合計)\s*:?"
)
MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"),
         (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))  # fmt: skip


# ------------------------------------------------------------------------------------------------------- letters


def decoded(path: Path, content: bytes, encoding: str | None) -> tuple[str, str]:
    """The text, its line ends as newlines, and what to say of the encoding where it is not UTF-8.

    UTF-8, UTF-16 and UTF-32 show themselves. Other bytes are taken as cp1252 (Western Europe) where the words that come
    out look like words.
    """
    found = encoding or next((name for mark, name in MARKS if content.startswith(mark)), None) or _utf16(content)
    said = "" if found in (None, "utf-8-sig") else str(found)
    try:
        text = content.decode(found or "utf-8")
    except UnicodeError as error:
        if found is not None:
            raise DataError(
                f"{path} is not {found} text ({getattr(error, 'reason', error)}); say how it is encoded (--encoding), "
                "or save it in UTF-8."
            ) from error
        text, said = _western(path, content), "cp1252"
    if "\0" in text:
        raise DataError(f"{path} is not text (it has zero bytes); save the table as CSV in UTF-8.")
    text = re.sub(r"\r\n?", "\n", text.removeprefix("\ufeff"))
    if not text.strip():
        raise DataError(f"{path} is empty; give a table with a header and rows.")
    if not said:
        return text, ""
    word = re.search(r"\w*[^\W\x00-\x7f]\w*", text)
    return text, f"letters in {said}" + (f" (such as {word[0][:30]!r})" if word else "")


def _utf16(content: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of plain letters is zero."""
    head = content[:4096]
    zeros = [head[start::2].count(0) * 2 / max(len(head), 1) for start in (0, 1)]
    if zeros[1] > 0.4 and zeros[0] < 0.05:
        return "utf-16-le"
    return "utf-16-be" if zeros[0] > 0.4 and zeros[1] < 0.05 else None


_ODD_WORD = re.compile(
    r"[^\W\d_][^\w\x00-\x7f’‘´`·\xad°º–—][^\W\d_]"  # a sign between letters
    r"|[a-zß-öø-ÿ][À-ÖØ-ÞŠŽŒŸ]|[^\W\d_]ƒ"  # a capital within a word
    r"|(?:(?![a-zA-Z])[^\W\d_]){3}"  # no plain letter for long
)


def _western(path: Path, content: bytes) -> str:
    """The text as cp1252, if its words look like words."""
    advice = "say how it is encoded (--encoding, such as cp1250, cp1251, gbk or shift_jis), or save it in UTF-8"
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (nor cp1252); {advice}.") from error
    if re.search(r"[\x00-\x08\x0e-\x1f]", text):
        raise DataError(f"{path} is not text (it has control characters); save the table as CSV in UTF-8.")
    words = re.findall(r"\w*[^\x00-\x7f]+(?:\w|[^\x00-\x7f])*", text)
    odd = [word for word in words if _ODD_WORD.search(word)]
    if odd:
        raise DataError(f"{path} is not UTF-8 text, and as cp1252 it has odd words ({odd[0][:30]!r}); {advice}.")
    return text


# ------------------------------------------------------------------------------------- what stands between cells


@dataclass(frozen=True)
class Layout:
    """What stands between cells, and how cells that hold it are quoted."""

    sep: str
    quote: str = '"'
    escape: str | None = None  # what stands before a quote within a cell; None: it is doubled
    strict: bool = True

    def rows(self, lines: Sequence[str] | io.StringIO) -> Any:
        return csv.reader(
            lines,
            delimiter=self.sep,
            skipinitialspace=True,
            quotechar=self.quote,
            escapechar=self.escape,
            doublequote=self.escape is None,
            strict=self.strict,
        )


def _layouts(sep: str, text: str) -> Iterator[Layout]:
    yield Layout(sep)
    if '\\"' in text:
        yield Layout(sep, escape="\\")
    if "'" in text:
        yield Layout(sep, quote="'")
    yield Layout(sep, strict=False)


def layout_of(text: str, sep: str | None) -> Layout:
    """The layout in which rows are of one length, and cells are numbers, dates or words without other separators."""
    sample = text[:SAMPLE]
    if len(text) > SAMPLE:
        sample = sample[: sample.rfind("\n") + 1] or sample
    lines = [f"{line}\n" for line in sample.split("\n")]  # and at no other sign that ends lines
    best, chosen = 0.0, Layout(sep or ",")
    for candidate in [sep] if sep else SEPARATORS:
        for layout in _layouts(candidate, sample):
            rows = _sampled(layout, [line.strip(" \n") + "\n" for line in lines] if candidate == " " else lines, sample)
            score = _score(rows, candidate)
            if rows and score > best + 1e-9:
                best, chosen = score, layout
            if score == 1:  # not more than one can be perfect
                return _unquoted(chosen, rows)
    return _unquoted(chosen, _sampled(chosen, lines, sample))


def _unquoted(layout: Layout, rows: Sequence[Sequence[str]]) -> Layout:
    """With single quotes, where all cells of a column have them."""
    columns = zip(*(row for row in rows[1:] if len(row) == len(rows[0])), strict=False)
    if layout.quote == '"' and any(all(re.fullmatch("'.*'", cell.strip()) for cell in column) for column in columns):
        return Layout(layout.sep, quote="'")
    return layout


def _sampled(layout: Layout, lines: Sequence[str], sample: str) -> list[list[str]]:
    """The first rows; none where the quotes do not fit."""
    rows: list[list[str]] = []
    try:
        for row in layout.rows(lines):
            if any(cell.strip() for cell in row):
                rows.append(row)
                if len(rows) > 20 and len(rows) * len(row) > CELLS:
                    break
    except csv.Error:
        return rows if len(sample) >= SAMPLE - 2**12 and len(rows) > 20 else []  # within a cell where the sample ends
    return rows


def _score(rows: list[list[str]], sep: str) -> float:
    """The share of rows of the most frequent length, times the share of their cells that look like cells."""
    if not rows:
        return 0.0
    width, count = Counter(map(len, rows)).most_common(1)[0]
    if width == 1 or (sep == " " and any(len(row) != width for row in rows[1:])):
        return 0.0
    others = [mark for mark in ",;\t|" if mark != sep]
    cells = [cell for row in rows if len(row) == width for cell in row]
    fit = sum(not any(mark in cell for mark in others) or is_measured(cell) for cell in cells)
    return count / len(rows) * fit / len(cells)


# ----------------------------------------------------------------------------------- the header, and rows that are none


def first_row_is_data(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool | None:
    """Whether the first row looks like those below: True, False, or None where nothing tells.

    A number above numbers, a date above dates and a value that occurs again below speak for data; a word above numbers
    or dates, and one above a few values that it is none of, for a header. Numbers that only grow, as years or 0, 1, 2
    do, may be names.

    >>> first_row_is_data(["5.1", "red"], [["4.9", "blue"], ["4.7", "red"]])
    True
    >>> first_row_is_data(["size", "colour"], [["4.9", "blue"], ["4.7", "red"]])
    False
    """
    for_data, for_header, again, new = 0, 0, 0, 0
    above: list[float] = []
    for place, name in enumerate(header):
        name = name.strip()
        cells = [row[place].strip() for row in rows]
        some = [cell for cell in cells[:100] if cell.lower() not in MISSING]
        known = some or [cell for cell in cells if cell.lower() not in MISSING]
        if not known:
            continue
        for kind in (is_number, lambda cell: bool(DATE.fullmatch(cell))):
            if sum(map(kind, known)) >= 0.9 * len(known):
                if name.lower() not in MISSING:
                    for_data += kind(name)
                    for_header += not kind(name)
                    if kind(name) and kind is is_number:
                        above.append(_roughly(name))
                break
        else:
            again += bool(name) and name in cells
            new += bool(name) and name not in cells and len(set(known)) <= len(known) / 2
    steps = [after - before for before, after in pairwise(above)]
    if above and len(above) == for_data and (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
        if (len(above) > 2 and for_header + new > again) or (above[0] in (0, 1) and for_header):
            return False
        if above == list(range(len(above))):  # as pandas counts columns
            return None
    if for_data != for_header:
        return for_data > for_header
    if for_data:
        return None
    return None if again == new else again > new


def _roughly(cell: str) -> float:
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        return float("nan")


@dataclass(frozen=True)
class Rows:
    """What there is of rows: those with a cell that is not empty, or with separators."""

    head: Sequence[Sequence[str]]  # the first ROWS, or more
    tail: Sequence[Sequence[str]]  # the last 8
    widths: Sequence[int]  # cells of each
    filled: Sequence[int]  # cells of each that are not empty
    ends: Sequence[int]  # lines on which they end, from 1
    begins: Sequence[int] = ()  # lines on which they begin


@dataclass(frozen=True)
class Shape:
    """Which rows are the table's: those from `begin` to before `stop` that are filled."""

    width: int
    header: Sequence[str] | None
    begin: int
    stop: int
    notices: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        if self.header is None:
            return [f"column{place + 1}" for place in range(self.width)]
        return [name.strip() or f"Unnamed: {place}" for place, name in enumerate(self.header)]


def _rows(text: str, layout: Layout) -> Rows:
    widths, begins, ends, filled = array("i"), array("i"), array("i"), array("i")
    head: list[list[str]] = []
    tail: deque[list[str]] = deque(maxlen=8)
    reader = layout.rows(io.StringIO(text))
    read = 0
    for row in reader:
        begin, read = read + 1, reader.line_num
        cells = len(row) - row.count("")
        if cells or len(row) > 1:
            widths.append(len(row))
            begins.append(begin)
            ends.append(read)
            filled.append(cells)
            if len(head) < ROWS:
                head.append(row)
            tail.append(row)
            if not layout.strict and any("\n" in cell for cell in row):
                raise ValueError(f"the quotes around the cell that ends on line {read} do not fit")
    return Rows(head, list(tail), widths, filled, ends, begins)


def shape_of(path: Path, rows: Rows, format: TableFormat) -> Shape:
    """Which rows are the table's, and which one is its header.

    Raises:
        DataError: rows of different lengths, two columns of one name, or no header.
    """
    head, widths, filled, notices = rows.head, rows.widths, rows.filled, []
    width, count = Counter(widths).most_common(1)[0][0], len(widths)
    start = _preamble(head, filled, width)
    if start:
        notices.append(f"what stands above the table is left out: {_shown_rows(head[:start])}.")
    stop = count
    while count - stop < 7 and stop > start + 2 and filled[stop - 1] <= 1 and width > 1:
        if filled[stop - 1] and widths[stop - 1] == width < 3:
            break  # a cell is missing
        stop -= 1
    below = [row for row in rows.tail[len(rows.tail) - (count - stop) :] if any(map(str.strip, row))]
    if below:
        notices.append(f"what stands below the table is left out: {_shown_rows(below)}.")
    header = None if format.header is False else _header(path, head, start, width)
    begin = start if header is None else start + 1
    for place in range(begin, stop):
        if widths[place] != width:
            raise DataError(
                f"{path} cannot be read (line {rows.ends[place]} has {widths[place]} cells, expected {width}); every "
                "row needs as many cells as the header."
            )
    body = [row for row, cells in zip(head[begin:stop], filled[begin:stop], strict=False) if cells]
    if header is not None:
        check_unique(path, [name.strip() for name in header])
        looks_alike = first_row_is_data(header, body) if format.header is None and body else False
        if looks_alike:
            raise DataError(
                f"{path} seems to have no header: its first row, {_shown(header)}, looks like the others; say "
                "--no-header to name the columns column1, column2, ..., or --header if these are the names."
            )
        if looks_alike is None:
            notices.append(f"the first row, {_shown(header)}, is taken for the header; say --no-header if it is a row.")
    last = rows.tail[stop - count - 1] if count - stop < len(rows.tail) else []
    if stop > begin + 3 and _is_totals(last, body, rows.tail[: stop - count - 1], complete=stop <= len(head)):
        notices.append(f"the last row looks like totals and is left out: {_shown(last)}.")
        stop -= 1
    return Shape(width, header, begin, stop, tuple(notices))


def _header(path: Path, head: Sequence[Sequence[str]], start: int, width: int) -> Sequence[str]:
    header = head[start]
    if len(header) == width - 1 and all(not row[-1].strip() for row in head[start + 1 :]):
        header = [*header, ""]  # every row ends in a separator
    elif len(header) > width and not any(cell.strip() for cell in header[width:]):
        header = header[:width]
    if len(header) != width:
        more = " (the names of the rows may have none; give them one)" if len(header) == width - 1 else ""
        raise DataError(
            f"{path} cannot be read (the header has {len(header)} cells, and most rows have {width}{more}); every row "
            "needs as many cells as the header."
        )
    return header


def check_unique(path: Path, names: Iterable[str]) -> None:
    """Raise DataError where two columns have one name."""
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise DataError(f"{path}: more than one column is named {listed(twice)}; give each column a name of its own.")


def _preamble(head: Sequence[Sequence[str]], filled: Sequence[int], width: int) -> int:
    """How many rows stand above the header: sparse ones, if a full row that is a header follows.

    Columns that are empty in all rows make no row sparse.
    """
    full = sum(any(map(str.strip, column)) for column in zip(*(row for row in head if len(row) == width), strict=True))
    start = 0
    while start < len(head) - 1 and start < 20 and filled[start] <= max(1, full // 2) and filled[start] < full:
        start += 1
    if not start or len(head[start]) != width or filled[start] < full - 1:
        return 0
    body = [row for row in head[start + 1 :] if len(row) == width]
    return start if body and first_row_is_data(head[start], body) is False else 0


def _is_totals(
    row: Sequence[str], rows: Sequence[Sequence[str]], before: Sequence[Sequence[str]], complete: bool
) -> bool:
    """Whether a last row is named like totals, as no other is; or holds the sums of the rows above, and empty cells.

    rows: the first ones; where `complete`, all, the last one included. before: those right before the last.
    """
    rows = rows[:-1] if complete else rows
    for place, cell in enumerate(row):
        if TOTALS.fullmatch(cell.strip()):
            return all(other[place].strip() != cell.strip() for other in (*rows, *before) if len(other) == len(row))
    if not complete or all(cell.strip() for cell in row):
        return False
    try:
        sums = [(float(cell), sum(float(other[place] or 0) for other in rows))
                for place, cell in enumerate(row) if cell.strip()]  # fmt: skip
    except ValueError:
        return False
    return bool(sums) and all(total and abs(total - expected) < 1e-6 * abs(total) for total, expected in sums)


def _shown(cells: Sequence[str]) -> str:
    return listed([cell.strip()[:30] for cell in cells], at_most=4)


def _shown_rows(rows: Sequence[Sequence[str]]) -> str:
    said = [" ".join(cell.strip() for cell in row if cell.strip())[:60] for row in rows]
    return listed([*filter(None, said)], at_most=2)


# ------------------------------------------------------------------------------------------------------ all together


def read_text(path: Path, content: bytes, format: TableFormat) -> tuple[pd.DataFrame, list[str], NDArray[np.int64]]:
    """The frame of a table in text, what to tell of it, and the line of the file on which each row begins, from 1.

    Raises:
        DataError: it is no text, rows have different lengths, there is no header, or numbers can be read in two ways.
    """
    text, encoded = decoded(path, content, format.encoding)
    sep, notices, lines = format.sep, [], text.count("\n")
    text = text.lstrip("\n")
    if hint := re.match(r'"?sep=(.)"?\n', text):  # Excel's
        sep, text = sep or hint[1], text[hint.end() :]
    comments = re.match(r"(?:[ \t]*#.*\n)+", text)
    if comments and (rest := text[comments.end() :].lstrip("\n")).strip():
        text, told = _without_comments(path, comments[0].splitlines(), rest, format, sep)
        notices.append(told)
    layout = layout_of(text, sep)
    if layout.sep == " ":
        text = re.sub(r"(?m)^ +| +$", "", text)
    with reading(path, "every row needs as many cells as the header"):
        rows = _rows(text, layout)
    shape = shape_of(path, rows, format)
    full = sum(1 for cells in rows.filled[shape.begin : shape.stop] if cells)
    if not full:
        raise DataError(f"{path} has a header and no rows; give a table with rows.")
    above = lines - text.count("\n")  # what was taken off stood there
    whole = slice(shape.begin, shape.stop)
    places = np.array(rows.begins[whole])[np.array(rows.filled[whole]) > 0].astype(np.int64) + above
    text = _lines(text, rows.ends[shape.begin - 1] if shape.begin else 0, rows.ends[shape.stop - 1])
    if full < shape.stop - shape.begin:  # rows of separators alone
        text = re.sub(rf"(?m)^[{re.escape(layout.sep)} \t\"]+(?:\n|\Z)", "", text)
    frame = _parsed(path, text, layout, shape, full)
    empty = [name for name, column in frame.items() if str(name).startswith("Unnamed: ") and column.isna().all()]
    if empty and len(empty) < frame.shape[1]:
        frame = frame.drop(columns=empty)
        notices.append(f"{len(empty)} column{'s' * (len(empty) > 1)} without name or cells left out.")
    said = [f"{SEPARATORS.get(layout.sep, repr(layout.sep))} between cells"] if layout.sep != "," else []
    if layout.quote == "'":
        said.append("single quotes around cells")
    if needs_marks(frame, format):
        texts = _parsed(path, text, layout, shape, full, as_text=True).loc[:, list(frame.columns)]
        spelled = read_marks(texts, frame, format, str(path))
        frame, marks = spelled.frame, spelled.notices
        said += told_marks(spelled.readings)
        notices += marks
    said += [encoded] * bool(encoded)
    told = [f"{path.name} was read with {', '.join(said)}."] if said else []
    return frame, [*told, *shape.notices, *notices], places


def told_marks(readings: frozenset[Reading]) -> list[str]:
    """How numbers are written, in words."""
    commas = any(decimal == "," for decimal, _ in readings)
    marks = sorted({mark for _, mark in readings if mark})
    names = {",": "commas", ".": "points", " ": "spaces", "'": "apostrophes"}
    return ["decimal commas"] * commas + [f"{names[mark]} between thousands" for mark in marks]


def _lines(text: str, first: int, stop: int) -> str:
    """The lines from `first` to before `stop`, counted from 0."""
    begin = 0
    for _ in range(first):
        begin = text.index("\n", begin) + 1
    end = begin
    for _ in range(stop - first):
        end = text.find("\n", end) + 1 or len(text)
    return text[begin:end]


def _parsed(path: Path, text: str, layout: Layout, shape: Shape, rows: int, as_text: bool = False) -> pd.DataFrame:
    """The rows, parsed by pandas."""
    with reading(path, "every row needs as many cells as the header"), warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
        frame = pd.read_csv(
            io.StringIO(text),
            sep=layout.sep,
            quotechar=layout.quote,
            escapechar=layout.escape,
            doublequote=layout.escape is None,
            header=None,
            names=shape.names,
            dtype=str if as_text else None,
            skipinitialspace=True,
            index_col=False,
            low_memory=False,
        )
    if len(frame) != rows:
        raise DataError(f"{path} cannot be read ({rows} rows came out as {len(frame)}); check its quotes.")
    return frame


def _without_comments(
    path: Path, comments: Sequence[str], rest: str, format: TableFormat, sep: str | None
) -> tuple[str, str]:
    """The text below comments, or with the last of them as the header where that is what it is; and what to tell."""
    layout = layout_of(rest, sep)
    rows = _sampled(layout, [f"{line}\n" for line in rest[:SAMPLE].split("\n")], rest)
    last = comments[-1].strip().lstrip("#").strip()
    try:
        [names] = layout.rows([last]) if last else [[]]
    except (csv.Error, CalmixError):
        names = []
    width = Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
    left_out = f"lines that begin with # are left out: {listed([line[:40] for line in comments], at_most=2)}."
    if format.header is not None or len(names) != width or width < 2:
        return rest, left_out
    alike = [row for row in rows if len(row) == width]
    is_data = first_row_is_data(alike[0], alike[1:]) if len(alike) > 1 else None
    if is_data is False:
        return rest, left_out
    if is_data:
        return f"{last}\n{rest}", f"the names of the columns are taken from the line {comments[-1][:60]!r}."
    raise DataError(f"{path}: {comments[-1][:60]!r} may be the header or a comment; remove the # or the line.")
