"""Tables as people have them, each made of a base table in one way of writing it: `python -m tests.data.corpus`.

Every table is read rightly (the same names, types and values), or refused with advice; the command counts them by kind.
`--readers` compares with other readers of CSV files, those that are installed.
"""

import argparse
import bz2
import gzip
import io
import json
import lzma
import os
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calmix.data.table.files import read_table
from calmix.data.table.format import TableFormat
from calmix.errors import CalmixError

ROWS = 60


# --------------------------------------------------------------------------------------------------- base tables


@cache
def bases() -> dict[str, pd.DataFrame]:
    """Real tables, cut to ROWS rows, and made ones. Whole numbers are integers, unless some are missing."""
    from sklearn import datasets

    real: dict[str, pd.DataFrame] = {}
    for name in ("iris", "wine", "breast_cancer", "diabetes"):
        loaded: Any = getattr(datasets, f"load_{name}")(as_frame=True)
        frame = loaded.frame.iloc[:: max(1, len(loaded.frame) // ROWS)].head(ROWS)
        if name != "diabetes":
            frame["target"] = np.array(loaded.target_names)[frame["target"]]
        real[name] = frame.reset_index(drop=True)
    real["wine"]["cultivar"] = real["wine"].pop("target").str.title()
    folder = Path(os.environ.get("CALMIX_DATA", Path(__file__).parents[3] / "shared" / "data")) / "tabular"
    for name in ("classification/abalone", "classification/ionosphere", "classification/credit_g", "regression/airfoil",
                 "regression/concrete", "regression/bike"):  # fmt: skip
        if (path := folder / f"{name}.csv.gz").exists():
            frame = pd.read_csv(path)
            real[path.name.split(".")[0]] = frame.iloc[:: len(frame) // ROWS].head(ROWS).reset_index(drop=True)
    made = {"penguins": penguins, "houses": houses, "people": people, "weather": weather, "mushrooms": mushrooms,
            "sensor": sensor, "shops": shops}  # fmt: skip
    found = real | {name: make(np.random.default_rng(sum(name.encode()))) for name, make in made.items()}
    return {name: whole(frame) for name, frame in found.items()}


def whole(frame: pd.DataFrame) -> pd.DataFrame:
    numbers = [name for name, column in frame.items() if column.dtype.kind == "f" and (column % 1 == 0).all()]
    return frame.astype(dict.fromkeys(numbers, "int64"))


def penguins(rng: np.random.Generator) -> pd.DataFrame:
    kind = np.array(["Adelie", "Zügel", "Esels"])[np.arange(ROWS) % 3]
    depth = rng.normal(17, 2, ROWS).round(1)
    depth[[4, 31]] = np.nan
    return pd.DataFrame(
        {
            "Art": kind,
            "Insel": np.array(["Torgersen", "Biscoe", "Dream", "Île Géologie"])[rng.integers(0, 4, ROWS)],
            "Schnabellänge": rng.normal(44, 5, ROWS).round(1),
            "Schnabelhöhe": depth,
            "Masse": rng.integers(2700, 6300, ROWS),
            "Jahr": rng.integers(2007, 2010, ROWS),
        }
    )


def houses(rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "price": rng.integers(90_000, 2_500_000, ROWS),
            "area": rng.normal(1400, 400, ROWS).round(2),
            "rooms": rng.integers(1, 9, ROWS),
            "tax": (rng.normal(8000, 2000, ROWS)).round(2),
            "sold": np.array(["yes", "no"])[rng.integers(0, 2, ROWS)],
        }
    )


def people(rng: np.random.Generator) -> pd.DataFrame:
    first, last = ["Ana", "Björn", "Chloé", "Dirk", "Eva"], ["Müller", "O'Neil", "da Silva", "Smith", "Åberg"]
    names = [f"{last[i // 5 % 5]}, {first[i % 5]}" + (' "Bo"' if i % 9 == 0 else "") for i in range(ROWS)]
    return pd.DataFrame(
        {
            "name": names,
            "note": np.array(["fine; thanks", "a | b", "well, no", "two\nlines", "none of it"])[np.arange(ROWS) % 5],
            "age": rng.integers(18, 90, ROWS),
            "income": rng.normal(2500, 700, ROWS).round(2),
            "left": rng.random(ROWS) < 0.3,
        }
    )


def weather(rng: np.random.Generator) -> pd.DataFrame:
    rain = rng.exponential(3, ROWS).round(2)
    rain[[0, 7, 50]] = np.nan
    return pd.DataFrame(
        {
            "day": pd.date_range("2023-01-01", periods=ROWS).strftime("%Y-%m-%d"),
            "seen": pd.date_range("2023-01-01 06:30", periods=ROWS, freq="h").strftime("%Y-%m-%d %H:%M:%S"),
            "warmth": rng.normal(5, 8, ROWS).round(1),
            "rain": rain,
            "wind": np.array(["N", "NE", "S", "W"])[rng.integers(0, 4, ROWS)],
        }
    )


def mushrooms(rng: np.random.Generator) -> pd.DataFrame:
    letters = {"class": "ep", "cap shape": "bcxfks", "odor": "alcyfmnps", "ring": "not", "habitat": "glmpuwd"}
    return pd.DataFrame({name: np.array(list(few))[rng.integers(0, len(few), ROWS)] for name, few in letters.items()})


def sensor(rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "step": np.arange(ROWS) * 5,
            "volts": (rng.normal(0, 2, ROWS)).round(4),
            "tiny": 10.0 ** rng.integers(-9, -4, ROWS) * rng.integers(1, 9, ROWS),
            "state": np.array(["idle", "run", "stop"])[rng.integers(0, 3, ROWS)],
        }
    )


def shops(rng: np.random.Generator) -> pd.DataFrame:
    """Nothing but whole numbers and words: thousands have no decimals to tell them by."""
    return pd.DataFrame(
        {
            "town": np.array(["Oslo", "Bergen", "Moss", "Hamar"])[rng.integers(0, 4, ROWS)],
            "visits": rng.integers(20, 900, ROWS),
            "sales": rng.integers(1_200, 9_000_000, ROWS),
            "open": np.array(["ja", "nei"])[rng.integers(0, 2, ROWS)],
        }
    )


# ------------------------------------------------------------------------------------------------ ways of writing


@dataclass(frozen=True)
class Style:
    """How a table in text is written."""

    sep: str = ","
    decimal: str = "."
    thousands: str = ""
    encoding: str = "utf-8"
    quote: str = '"'
    all_quoted: bool = False
    escape: str = ""  # before a quote in a cell; else it is doubled
    header: bool = True
    missing: str = ""
    end: str = "\n"
    last_end: bool = True


@dataclass(frozen=True)
class Measure:
    """A number with what stands before and after it."""

    number: float
    before: str
    after: str


def cell_of(value: Any, style: Style) -> str:
    if isinstance(value, Measure):
        return f"{value.before}{cell_of(value.number, style)}{value.after}"
    if value is None or value != value:
        return style.missing
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, int | np.integer):
        return f"{value:,}".replace(",", style.thousands)
    if isinstance(value, float):
        text = repr(float(value)).removesuffix(".0")
        before, _, after = text.partition(".")
        if style.thousands and before.lstrip("-").isdigit():
            before = f"{int(before):,}".replace(",", style.thousands) if int(before) else before
        return before + (style.decimal + after if after else "")
    return str(value)


def quoted(cell: str, style: Style) -> str:
    if (
        style.all_quoted
        or any(mark in cell for mark in (style.sep, '"', style.quote, "\n", "\r"))
        or cell != cell.strip()
    ):
        inner = cell.replace(style.quote, (style.escape or style.quote) + style.quote)
        return style.quote + inner + style.quote
    return cell


def lines_of(frame: pd.DataFrame, style: Style) -> list[str]:
    rows = [list(map(str, frame.columns))] if style.header else []
    rows += [[cell_of(value, style) for value in row] for row in frame.astype(object).itertuples(index=False)]
    return [style.sep.join(quoted(cell, style) for cell in row) for row in rows]


def written(frame: pd.DataFrame, style: Style, edit: Callable[[list[str]], list[str]] = list) -> bytes:
    text = style.end.join(edit(lines_of(frame, style))) + style.end * style.last_end
    return text.encode(style.encoding)


# --------------------------------------------------------------------------------------------------------- cases


@dataclass(frozen=True, eq=False)
class Case:
    """A file, what it should be read as, and whether refusing it is right, too.

    otherwise: the format with which a file that was refused is read.
    """

    kind: str
    name: str
    file: str
    content: bytes
    expected: pd.DataFrame
    may_refuse: bool = False
    otherwise: TableFormat | None = None
    must_tell: bool = False
    style: Style = field(default_factory=Style)

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


Edit = Callable[[list[str]], list[str]]
STYLES: dict[str, list[Style]] = {
    "separator": [Style(sep=sep) for sep in ",;\t| "],
    "decimal comma": [Style(sep=sep, decimal=",") for sep in ";\t| ,"],
    "thousands": [Style(sep, decimal, mark) for sep, decimal, mark in (
        (",", ".", ","), (";", ".", ","), ("\t", ".", ","), (";", ",", "."), ("\t", ",", "."), (";", ",", " "),
        (";", ",", "\u00a0"), (";", ".", "'"), (",", ".", " "), (";", ",", "\u202f"))],
    "encoding": [Style(encoding=code) for code in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252")]
    + [Style(";", ",", encoding=code) for code in ("cp1252", "utf-8-sig", "utf-16")],
    "quotes": [Style(all_quoted=True), Style(";", all_quoted=True), Style(quote="'", all_quoted=True),
               Style(escape="\\"), Style("\t", ",", all_quoted=True), Style(quote="'")],
    "missing marker": [Style(missing=mark) for mark in ("NA", "NaN", "n/a", "NULL", "#N/A", "null")]
    + [Style(";", ",", missing="NA")],
    "line ends": [Style(end="\r\n"), Style(end="\r"), Style(last_end=False), Style(";", ",", end="\r\n")],
}  # fmt: skip


def cases(only: Collection[str] = ()) -> Iterator[Case]:
    """All tables of the corpus, or those made of some base tables."""
    for name in only or bases():
        frame = bases()[name]
        yield from _texts(name, frame)
        yield from _without_header(name, frame)
        yield from _packed(name, frame)
        yield from _typed(name, frame)
        yield from _surrounded(name, frame)
        yield from _with_units(name, frame)
    yield from _foreign()
    yield from _ambiguous()
    yield from _broken()


def _texts(name: str, frame: pd.DataFrame) -> Iterator[Case]:
    texts = frame.select_dtypes(["str", "object"])
    foreign = (
        any(not cell.isascii() for _, column in texts.items() for cell in column.dropna())
        or not "".join(frame).isascii()
    )
    fractions = any(column.dtype.kind == "f" and (column.dropna() % 1 != 0).any() for _, column in frame.items())
    large = any(column.dtype.kind in "if" and (column.abs() >= 1000).any() for _, column in frame.items())
    for kind, styles in STYLES.items():
        for style in styles:
            told = (style.sep, style.decimal, style.thousands) != (",", ".", "") or style.encoding not in (
                "utf-8",
                "utf-8-sig",
            )
            told &= not (style.sep == "," and style.encoding == "cp1252" and not foreign)
            if kind == "decimal comma" and not fractions:
                continue
            if kind == "thousands" and not large:
                continue
            if kind == "encoding" and style.encoding == "cp1252" and not foreign:
                continue
            if kind == "missing marker" and not frame.isna().to_numpy().any():
                continue
            if style.sep == " " and style.missing == "" and frame.isna().to_numpy().any():
                style = replace(style, missing="NA")
            given = ", ".join(
                f"{key}={value!r}" for key, value in vars(style).items() if value != getattr(Style(), key)
            )
            file = f"{name}.{'tsv' if style.sep == chr(9) else 'csv'}"
            doubtful = kind == "thousands" and not fractions
            decides = TableFormat(thousands=style.thousands.replace("\u00a0", " ").replace("\u202f", " ") or None)
            yield Case(kind, f"{name}, {given or 'plain'}", file, written(frame, style), frame, doubtful,
                       decides if doubtful else None, told, style)  # fmt: skip


def _without_header(name: str, frame: pd.DataFrame) -> Iterator[Case]:
    named = frame.set_axis([f"column{i + 1}" for i in range(frame.shape[1])], axis=1)
    for style in (Style(header=False), Style(";", ",", header=False), Style("\t", header=False)):
        content, said = written(frame, style), TableFormat(header=False)
        yield Case("no header", f"{name}, {style.sep!r}", f"{name}.txt", content, named, True, said, style=style)


def _packed(name: str, frame: pd.DataFrame) -> Iterator[Case]:
    import pyarrow as pa

    plain, style = written(frame, Style()), Style(";", ",")
    squeezed = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress,
                "zst": lambda raw: pa.Codec("zstd").compress(raw, asbytes=True)}  # fmt: skip
    for suffix, pack in squeezed.items():
        yield Case("packed", f"{name}, {suffix}", f"{name}.csv.{suffix}", pack(plain), frame)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as stored:
        stored.writestr("export/table.csv", written(frame, style))
        stored.writestr("__MACOSX/._table.csv", b"\0\5\x16\7")
    yield Case("packed", f"{name}, zip", f"{name}.zip", file.getvalue(), frame, style=style)


def _typed(name: str, frame: pd.DataFrame) -> Iterator[Case]:
    dated = frame.copy()
    for column in {"day", "seen"} & set(frame.columns):
        dated[column] = pd.to_datetime(frame[column])
    for suffix, write in (("parquet", dated.to_parquet), ("feather", dated.to_feather)):
        file = io.BytesIO()
        write(file)
        yield Case("typed", f"{name}, {suffix}", f"{name}.{suffix}", file.getvalue(), dated)
    if has_openpyxl():
        file = io.BytesIO()
        dated.to_excel(file, index=False)
        yield Case("typed", f"{name}, xlsx", f"{name}.xlsx", file.getvalue(), dated)
    for orient in ("records", "list", "split", "columns"):
        held = frame.astype(object).where(frame.notna(), None)
        value: Any = held.to_dict("dict" if orient == "columns" else orient)
        yield Case("typed", f"{name}, json {orient}", f"{name}.json", json.dumps(value).encode(), frame)
    lines = [json.dumps(row) for row in frame.astype(object).where(frame.notna(), None).to_dict("records")]
    yield Case("typed", f"{name}, jsonl", f"{name}.jsonl", "\n".join(lines).encode(), frame)


@cache
def has_openpyxl() -> bool:
    try:
        import openpyxl  # noqa: F401  # pyright: ignore
    except ModuleNotFoundError:
        return False
    return True


def _surrounded(name: str, frame: pd.DataFrame) -> Iterator[Case]:
    """Rows and cells around the table."""
    empty, wide = ";" * (frame.shape[1] - 1), frame.shape[1] > 2
    style = Style(";", ",")
    words = [column for column in frame if not pd.api.types.is_numeric_dtype(frame[column])]
    edits: dict[str, tuple[Style, Edit]] = {
        "comments": (Style(), lambda rows: ["# made by hand", "# two, lines", *rows]),
        "names in a comment": (Style("\t"), lambda rows: [f"# {rows[0]}", *rows[1:]]),
        "sep=": (style, lambda rows: ["sep=;", *rows]),
        "a separator at the end": (style, lambda rows: [f"{row};" for row in rows]),
        "a separator at the end of rows": (style, lambda rows: [rows[0], *(f"{row};" for row in rows[1:])]),
        "empty columns and rows": (style, lambda rows: [f"{row};;" for row in [*rows, empty, empty]]),
        "blank lines": (style, lambda rows: ["", rows[0], "", *rows[1:], "", ""]),
        "a source below": (style, lambda rows: [*rows, "", "Source: a friend"]),
        "a source below, filled up": (style, lambda rows: [*rows, empty, f"Source: a friend{empty}"]),
    }
    if wide:
        edits["a title"] = style, lambda rows: ["A report of 2024", "", *rows]
        edits["a title, filled up"] = style, lambda rows: [f"A report of 2024{empty}", empty, *rows]
        edits["a title and a date"] = style, lambda rows: ["A report", "Made on;2024-05-01", "", *rows]
    if words:
        place = list(frame).index(words[0])
        edits["totals"] = (
            style,
            lambda rows: [*rows, ";".join("Total" if i == place else "1" for i in range(frame.shape[1]))],
        )
    for what, (how, edit) in edits.items():
        if "\n" in "".join(map(str, frame.to_numpy().ravel())) and what in (
            "a separator at the end of rows",
            "names in a comment",
        ):
            continue
        doubtful = what.startswith("a title") or what == "names in a comment"  # where no column tells the header
        yield Case(
            "around the table", f"{name}, {what}", f"{name}.csv", written(frame, how, edit), frame, doubtful, style=how
        )
    indexed = frame.copy()
    indexed.insert(0, "Unnamed: 0", np.arange(len(frame)))
    yield Case("around the table", f"{name}, an index", f"{name}.csv", frame.to_csv().encode(), indexed)


def _with_units(name: str, frame: pd.DataFrame) -> Iterator[Case]:
    """Each column of fractions with a unit or a currency; its cells come as text, written plainly."""
    measured = [column for column, values in frame.items() if values.dtype.kind == "f"]
    if not measured:
        return
    shown = frame.astype(object)
    for place, column in enumerate(measured):
        before, after = (("", " %"), ("€ ", ""), ("", "kg"), ("", " m²"))[place % 4]
        shown[column] = [None if value != value else Measure(value, before, after) for value in frame[column]]
    plain = shown.map(lambda cell: cell_of(cell, Style()) if isinstance(cell, Measure) else cell)
    expected = plain.astype({column: frame[column].dtype for column in frame if column not in measured})
    ways = (",", ".", ""), (";", ",", ""), (",", ",", ""), ("\t", ",", "."), (";", ",", " "), (",", ".", ",")
    for sep, decimal, mark in (*ways, (";", ".", "'")):
        style = Style(sep, decimal, mark)
        yield Case("units", f"{name}, {sep!r} {decimal!r} {mark!r}", f"{name}.csv", written(shown, style), expected,
                   must_tell=decimal == ",", style=style)  # fmt: skip


def _foreign() -> Iterator[Case]:
    """Letters that bytes do not tell apart."""
    words = {
        "cp1251": ["Москва", "Казань", "Пермь"],
        "cp1253": ["Αθήνα", "Πάτρα", "Βόλος"],
        "koi8-r": ["Москва", "Казань", "Пермь"],
        "cp1250": ["Łódź", "Kraków", "Śląsk"],
        "mac_roman": ["Zürich", "Genève", "Malmö"],
        "cp850": ["Zürich", "Genève", "Malmö"],
        "gbk": ["北京市", "上海市", "广州市"],
        "shift_jis": ["東京都", "大阪府", "ソニー"],
        "euc_kr": ["서울시", "부산시", "대구시"],
        "big5": ["臺北市", "高雄市", "臺中市"],
        "utf-8": ["東京都", "Łódź", "Москва"],
        "iso8859-15": ["Zürich", "Genève", "Malmö"],
    }
    numbers = bases()["houses"][["area", "rooms"]]
    for code, towns in words.items():
        for style in (Style(encoding=code), Style(";", ",", encoding=code)):
            frame = numbers.assign(town=np.array(towns)[np.arange(ROWS) % 3])
            said = TableFormat(encoding=code)
            yield Case(
                "other letters",
                f"{code}, {style.sep}",
                "towns.csv",
                written(frame, style),
                frame,
                True,
                said,
                style=style,
            )


def _ambiguous() -> Iterator[Case]:
    """Numbers of which nothing tells whether their mark stands before decimals or between thousands."""
    rng = np.random.default_rng(3)
    values = rng.integers(1_100, 900_000, ROWS)
    values += values % 10 == 0
    kinds = np.array(["u", "v"])[np.arange(ROWS) % 2]
    large = pd.DataFrame({"kind": kinds, "value": values})
    small = pd.DataFrame({"kind": kinds, "value": values / 1000})
    for sep in ";\t,|":
        for mark in ",.":
            as_thousands, as_decimals = Style(sep, "." if mark == "," else ",", mark), Style(sep, mark)
            for frame, style, said in (
                (large, as_thousands, TableFormat(thousands=mark)),
                (small, as_decimals, TableFormat(decimal=mark)),
            ):
                name = f"{sep!r}, {mark!r} {'between thousands' if frame is large else 'before decimals'}"
                content = written(frame, style)
                told = mark == "."
                yield Case("undecidable", name, "values.csv", content, frame, True, said, told, style)


def _broken() -> Iterator[Case]:
    """What should be refused: there is nothing right to read."""
    nothing = pd.DataFrame({"nothing": ["right"]})
    for name in ("iris", "penguins", "people"):
        frame = bases()[name]
        for style in (Style(), Style(";", ","), Style("\t")):
            lines = lines_of(frame.replace("two\nlines", "two"), style)
            edits: dict[str, list[str]] = {
                "a short row": [*lines[:20], lines[20].rpartition(style.sep)[0], *lines[21:]],
                "a long row": [*lines[:20], lines[20] + style.sep + "7", *lines[21:]],
                "a quote that stays open": [*lines[:20], '"' + lines[20], *lines[21:]],
                "names of rows without a name": [
                    lines[0],
                    *(f"r{i}{style.sep}{row}" for i, row in enumerate(lines[1:])),
                ],
                "one name twice": [lines[0].replace(str(frame.columns[1]), str(frame.columns[0])), *lines[1:]],
                "two tables": [*lines, "", "a" + style.sep + "b", "1" + style.sep + "2"],
                "nothing but a header": lines[:1],
            }
            for what, rows in edits.items():
                content = "\n".join(rows).encode()
                yield Case(
                    "broken", f"{name}, {style.sep!r}, {what}", f"{name}.csv", content, nothing, True, style=style
                )


# ------------------------------------------------------------------------------------------------------ outcomes


def outcome(case: Case, folder: Path) -> tuple[str, str]:
    """ "read", "told" (read otherwise, and a notice says how), "refused" or "wrong"; and why."""
    path = folder / case.file
    path.write_bytes(case.content)
    try:
        found = read_table(path)
    except CalmixError as error:
        if not case.may_refuse:
            return "wrong", f"refused: {error}"
        if case.otherwise is not None:
            try:
                again = read_table(path, case.otherwise)
            except CalmixError as other:
                return "wrong", f"also refused with {case.otherwise}: {other}"
            if difference(again.frame, case.expected):
                return "wrong", f"with {case.otherwise}: {difference(again.frame, case.expected)}"
        one_sentence = "\n" not in str(error) and "; " in str(error)
        return ("refused" if one_sentence else "wrong"), str(error)
    finally:
        path.unlink()
    notices = " ".join(found.notices)
    if why := difference(found.frame, case.expected):
        if "is taken as" in notices:  # 1.169 in a file that has nothing to tell decimals from thousands
            return "told", notices
        if case.kind == "other letters" and "letters in" in notices:
            return "told", notices
        return "wrong", f"{why}; {notices}"
    if case.must_tell and not notices:
        return "wrong", "nothing was told"
    return "read", notices


def difference(found: pd.DataFrame, expected: pd.DataFrame) -> str:
    """What differs: names, types or values; empty where nothing does."""
    if list(map(str, found.columns)) != list(map(str, expected.columns)):
        return f"columns {list(found.columns)[:5]}, expected {list(expected.columns)[:5]}"
    if len(found) != len(expected):
        return f"{len(found)} rows, expected {len(expected)}"
    for name in expected.columns:
        ours, theirs = found[str(name)], expected[name]
        kinds = [_kind(column) for column in (ours, theirs)]
        if kinds[0] != kinds[1]:
            return f"column {name!r} is {kinds[0]} ({list(ours[:3])}), expected {kinds[1]}"
        if not (ours.isna().to_numpy() == theirs.isna().to_numpy()).all():
            return f"other cells of column {name!r} are missing"
        if kinds[0] == "numbers":
            if not np.allclose(ours.to_numpy(float), theirs.to_numpy(float), rtol=1e-12, atol=0, equal_nan=True):
                return f"column {name!r} has other numbers: {list(ours[:3])}, expected {list(theirs[:3])}"
        elif not (ours.dropna().to_numpy() == theirs.dropna().to_numpy()).all():
            return f"column {name!r} has other cells: {list(ours[:3])}, expected {list(theirs[:3])}"
    return ""


def _kind(column: Any) -> str:
    return {"i": "whole numbers", "f": "numbers", "b": "yes or no", "M": "dates"}.get(column.dtype.kind, "text")


def table_of_counts(outcomes: list[tuple[Case, str]]) -> str:
    """Counts by kind, in Markdown."""
    lines = ["| tables | read rightly | told how | refused | silently wrong |", "|---|---|---|---|---|"]
    for kind in [*dict.fromkeys(case.kind for case, _ in outcomes), "all"]:
        counts = Counter(found for case, found in outcomes if kind in (case.kind, "all"))
        numbers = " | ".join(str(counts[name]) for name in ("read", "told", "refused", "wrong"))
        lines.append(f"| {kind} ({sum(counts.values())}) | {numbers} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.data.corpus", description=__doc__)
    parser.add_argument("--readers", action="store_true", help="compare with other readers")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if options.readers:
            from tests.data.readers import compared

            print(compared(list(cases()), Path(place)))
            return
        found = [(case, *outcome(case, Path(place))) for case in cases()]
    for case, what, why in found:
        if what == "wrong":
            print(f"{case}: {why}", file=sys.stderr)
    print(table_of_counts([(case, what) for case, what, _ in found]))
    sys.exit(any(what == "wrong" for _, what, _ in found))


if __name__ == "__main__":
    main()
