"""No table of the corpus is misread in silence; and what the parts that read them do."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest

from calmix.data import TableFormat, load, read_source
from calmix.data.table.cells import numbers_of, tidy
from calmix.data.table.files import read_table
from calmix.data.table.marks import is_measured, is_number
from calmix.data.table.text import first_row_is_data
from calmix.errors import CalmixError, DataError, SettingError, UnknownNameError
from tests.data.corpus import bases, cases, outcome
from tests.fuzz import damage

QUICK = ("penguins", "houses", "shops")


def carried_out(folder: Path, only: Collection[str] = ()) -> Counter[str]:
    found = [(case, *outcome(case, folder)) for case in cases(only)]
    assert [f"{case}: {why}" for case, what, why in found if what == "wrong"] == []
    return Counter(what for _, what, _ in found)


def test_two_hundred_tables_are_read_rightly_or_refused(tmp_path: Path):
    counts = carried_out(tmp_path, QUICK)
    assert counts.total() >= 200
    assert counts["read"] >= 180


@pytest.mark.slow
def test_the_whole_corpus_is_read_rightly_or_refused(tmp_path: Path):
    counts = carried_out(tmp_path)
    assert counts.total() >= 700
    assert counts["read"] >= 600
    assert counts["told"] < 20


def test_a_base_table_is_read_as_it_is(tmp_path: Path):
    """What the corpus compares with is itself what pandas reads of a plain file."""
    for name, frame in bases().items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
        found = read_table(tmp_path / f"{name}.csv")
        pd.testing.assert_frame_equal(found.frame, pd.read_csv(tmp_path / f"{name}.csv"))
        assert found.notices == ()


# ---------------------------------------------------------------------------------------------- what is told


def table(folder: Path, text: str, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


@pytest.mark.parametrize(
    ("text", "name", "encoding", "notices"),
    [
        ("a,b\n1,x\n2.5,y\n", "t.csv", "utf-8", []),
        ("a;b\n1,5;x\n2,5;y\n", "t.csv", "utf-8", ["t.csv was read with ';' between cells, decimal commas."]),
        ("a\tb\n1\tx\n2\ty\n", "t.tsv", "utf-8", ["t.tsv was read with tabs between cells."]),
        (
            "a,größe\n1,x\n2,y\n",
            "t.csv",
            "cp1252",
            ["t.csv was read with letters in cp1252 (such as 'größe')."],
        ),
        (
            'a,b\n"1,500",0.5\n"2,500",1.5\n',
            "t.csv",
            "utf-8",
            ["t.csv was read with commas between thousands."],
        ),
        (
            "a;b\n1.500,5;x\n12,5;y\n",
            "t.csv",
            "utf-16",
            ["t.csv was read with ';' between cells, decimal commas, points between thousands, letters in utf-16."],
        ),
        (
            "# one\n# two\na,b\n1,x\n2,y\n",
            "t.csv",
            "utf-8",
            ["lines that begin with # are left out: '# one', '# two'."],
        ),
        ("a,b,\n1,x,\n2,y,\n", "t.csv", "utf-8", ["1 column without name or cells left out."]),
        (
            "t,a\nu,1\nv,2\nw,3\nu,4\nSumme,10\n",
            "t.csv",
            "utf-8",
            ["the last row looks like totals and is left out: 'Summe', '10'."],
        ),
        (
            "a;b\n1,5;1.5\n2,5;2.5\n",
            "t.csv",
            "utf-8",
            [
                "t.csv was read with ';' between cells, decimal commas.",
                "decimals stand after a comma in 'a', and after a point in 'b'.",
            ],
        ),
    ],
)
def test_what_is_not_plain_is_told(text: str, name: str, encoding: str, notices: list[str], tmp_path: Path):
    assert list(read_table(table(tmp_path, text, name, encoding)).notices) == notices


def test_notices_reach_the_splits(tmp_path: Path):
    rows = "".join(f"{i * 7 % 13},{i % 10};{'uv'[i % 2]}\n" for i in range(40))
    splits = load(str(table(tmp_path, "x;y\n" + rows)), target="y")
    assert splits.about.notices[0] == "t.csv was read with ';' between cells, decimal commas."
    assert splits.about.features == ("x",)


# -------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ('a,b\n"1,500",x\n"2,500",y\n', r"'a' can be read in two ways, '1,500' as 1.5 or 1500; say .*--thousands ','"),
        ("a;b\n1.500;x\n950;y\n", r"'a' can be read in two ways, '1.500' as 1.5 or 1500; say which by --decimal '.'"),
        ("5.1,u\n4.9,v\n4.7,u\n", "seems to have no header.*--no-header"),
        ("p,x\ne,y\np,y\ne,x\n", "seems to have no header: its first row, 'p', 'x', looks like the others"),
        ("# a,b\nu,v\nw,x\n", "may be the header or a comment"),
        ("a b\n1 2 3\n4 5 6\n", "the header has 2 cells, and most rows have 3 .*names of the rows"),
    ],
)
def test_what_cannot_be_told_is_refused(text: str, advice: str, tmp_path: Path):
    with pytest.raises(DataError, match=advice):
        read_table(table(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "content", "advice"),
    [
        ("t.xls", b"x", r"save it as \.xlsx"),
        ("t.parquet.gz", b"x", r"unpack it and give the \.parquet file"),
        ("t.zip", b"x", "cannot be read .*; get the file anew"),
        ("t.csv.zst", b"x", "cannot be read .*; get the file anew"),
        ("t.csv.xz", b"x", "cannot be read .*; get the file anew"),
        ("t.csv.bz2", b"x", "cannot be read .*; get the file anew"),
        ("t.feather", b"x", "cannot be read .*; write it anew as feather"),
        ("t.json", b"{", "cannot be read .*; give a list of records"),
        ("t.json", b"[1, 2]", "is no table; give a list of records"),
        ("t.json", b'{"a": [1], "b": [1, 2]}', "columns have different rows"),
        ("t.json", b'[{"a": [1]}]', "column 'a' holds lists or mappings"),
        ("t.json", b'[{"a": 1, "a": 2}]', "more than one column is named 'a'"),
        ("t.jsonl", b'{"a": 1}\n{"a"', "cannot be read .*; give a list of records"),
    ],
)
def test_a_bad_file_earns_a_sentence(name: str, content: bytes, advice: str, tmp_path: Path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=advice) as raised:
        read_table(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_a_packed_file_of_many_is_refused(tmp_path: Path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "t.zip", "w") as stored:
        stored.writestr("a.csv", "x")
        stored.writestr("b.csv", "x")
    with pytest.raises(DataError, match=r"holds 2 files \(a.csv, b.csv\), expected one"):
        read_table(tmp_path / "t.zip")


def test_a_sheet_by_name(tmp_path: Path):
    pytest.importorskip("openpyxl")
    path = tmp_path / "t.xlsx"
    with pd.ExcelWriter(path) as writer:
        pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}).to_excel(writer, sheet_name="one", index=False)
        pd.DataFrame({"c": [0.5, 1.5], "b": ["x", "y"]}).to_excel(writer, sheet_name="two", index=False)
    found = read_table(path)
    assert list(found.frame) == ["a", "b"]
    assert found.notices == ("t.xlsx has 2 sheets; 'one' is read, --sheet reads another.",)
    assert list(read_table(path, TableFormat(sheet="two")).frame) == ["c", "b"]
    with pytest.raises(DataError, match="has no sheet 'three'; its sheets are 'one', 'two'"):
        read_table(path, TableFormat(sheet="three"))


def test_a_sheet_of_remarks_before_a_table_with_a_title_and_empty_columns(tmp_path: Path):
    """As people write sheets: what stands above is no header, although three of seven columns are empty."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "remarks"
    book.active["A1"], book.active["A2"] = "Rents", "made up"
    sheet = book.create_sheet("rents")
    sheet.append(["Rents in Cologne"])
    sheet.append([])
    sheet.append(["day", None, "rent", None, None, "area", "let"])
    for day in range(1, 9):
        sheet.append([f"{day:02}.03.2024", None, f"1.{day}00,50", None, None, f"{day}0,5", "yes" if day % 2 else "no"])
    path = tmp_path / "t.xlsx"
    book.save(path)
    found = read_table(path)
    assert list(found.frame) == ["day", "rent", "area", "let"]
    assert found.frame["rent"].tolist() == [1000.5 + 100 * day for day in range(1, 9)]
    assert found.numbers.tolist() == list(range(4, 12))
    assert found.notices == (
        "t.xlsx has 2 sheets; 'rents' is read, --sheet reads another.",
        "t.xlsx was read with decimal commas, points between thousands.",
        "what stands above the table is left out: 'Rents in Cologne'.",
        "3 columns without name or cells left out.",
    )
    with pytest.raises(UnknownNameError, match=r"did you mean 'rent'\? t\.xlsx has 2 sheets; 'rents' is read"):
        load(str(path), target="rents")


def test_a_title_above_a_text_with_empty_columns(tmp_path: Path):
    path = tmp_path / "t.csv"
    rows = "".join(f"{k},,{k % 2},,,{k}.5\n" for k in range(2, 30))
    path.write_text(f"Rents,,,,,\n,,,,,\nage,,let,,,rent\n{rows}")
    found = read_table(path)
    assert list(found.frame) == ["age", "let", "rent"]
    assert len(found.frame) == 28


# ------------------------------------------------------------------------------------------------- the options


def test_options_decide(tmp_path: Path):
    path = table(tmp_path, 'a,b\n"1,500",x\n"2,500",y\n')
    assert read_table(path, TableFormat(decimal=",")).frame["a"].tolist() == [1.5, 2.5]
    assert read_table(path, TableFormat(thousands=",")).frame["a"].tolist() == [1500, 2500]
    numbers = table(tmp_path, "1,u\n2,v\n2,u\n", "n.csv")
    assert list(read_table(numbers, TableFormat(header=False)).frame) == ["column1", "column2"]
    assert list(read_table(numbers, TableFormat(header=True)).frame) == ["1", "u"]
    odd = table(tmp_path, "a/b\n1/x\n2/y\n", "odd.csv")
    assert list(read_table(odd, TableFormat(sep="/")).frame) == ["a", "b"]
    town = table(tmp_path, "a,b\n1,Łódź\n2,Kraków\n", "town.csv", "cp1250")
    assert read_table(town, TableFormat(encoding="cp1250")).frame["b"].tolist() == ["Łódź", "Kraków"]


def test_an_option_that_contradicts_the_file_is_refused(tmp_path: Path):
    path = table(tmp_path, "a;b\n12.5;x\n13.25;y\n")
    with pytest.raises(DataError, match=r"column 'a' holds '12.5', which is no number of the decimal"):
        read_table(path, TableFormat(decimal=","))


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"sep": ";;"}, "give one character"),
        ({"decimal": ";"}, "give '.' or ','"),
        ({"thousands": "x"}, "give ',', '.'"),
        ({"decimal": ",", "thousands": ","}, "give different ones"),
        ({"encoding": "utf-9"}, "encoding is 'utf-9'"),
        ({"encoding": "base64"}, "encoding is 'base64'"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, str], advice: str):
    with pytest.raises(SettingError, match=advice):
        TableFormat(**options)  # pyright: ignore[reportArgumentType]


def test_an_option_that_a_file_does_not_have_is_refused(tmp_path: Path):
    bases()["iris"].to_parquet(tmp_path / "t.parquet")
    for option in (TableFormat(sep=";"), TableFormat(header=False), TableFormat(encoding="utf-8")):
        with pytest.raises(SettingError, match="leave it out"):
            read_table(tmp_path / "t.parquet", option)
    with pytest.raises(SettingError, match="format is for tables and tables of series"):
        read_source("wine", format=TableFormat(sep=";"))


def test_the_source_tells_its_format():
    assert "format" not in repr(read_source("t.csv", target="y"))
    source = read_source("t.csv", target="y", format=TableFormat(sep="tab", header=False))
    assert repr(source).endswith(r"format=TableFormat(sep='\t', header=False))")


# ------------------------------------------------------------------------------------------------ the evidence


@pytest.mark.parametrize(
    "cell", ["1,5", "1.500", "1'000", "1 000 000", "12,34,567.8", "-,5", "+1e-3", "−3,5", "1\u00a0000"]
)
def test_numbers(cell: str):
    assert is_number(cell)


@pytest.mark.parametrize(
    "cell", ["12.05.2024", "1,2,3", "0,123,456", "1 00", "192.168.1.1", "", "x1", "1,500,00", "1e"]
)
def test_what_is_no_number(cell: str):
    assert not is_number(cell)


@pytest.mark.parametrize(
    ("header", "rows", "is_data"),
    [
        (["0", "1", "2"], [["4", "5", "6"], ["1", "2", "2"]], None),  # as pandas counts columns
        (["0", "1", "y"], [["4", "5", "6"], ["1", "2", "2"]], False),
        (["1990", "2000", "town"], [["4", "5", "u"], ["1", "2", "v"], ["1", "2", "u"], ["3", "2", "v"]], True),
        (["town", "1990", "2000", "2010"], [["u", "4", "5", "1"], ["v", "4", "4", "3"]] * 3, False),
        (["7", "8", "3"], [["4", "5", "6"], ["1", "2", "2"]], True),
        (["2024-01-01", "3"], [["2024-01-02", "4"], ["2024-01-03", "3"]], True),
        (["day", "3"], [["2024-01-02", "4"], ["2024-01-03", "3"]], None),
        (["?", "8", "u"], [["4", "5", "u"], ["1", "2", "v"]], True),
        (["name", "note"], [["a", "b"], ["c", "d"]], None),
    ],
)
def test_the_first_row(header: list[str], rows: list[list[str]], is_data: bool | None):
    assert first_row_is_data(header, rows) is is_data


@pytest.mark.filterwarnings("default")
def test_damaged_files_are_read_or_refused_in_a_sentence(tmp_path: Path):
    """Of every type: nothing but a table or a CalmixError comes out."""
    random, wanted = Random(0), {"typed", "packed", "decimal comma", "encoding", "around the table"}
    some = [case for case in cases(("penguins",)) if case.kind in wanted]
    for number in range(400):
        case = some[number % len(some)]
        path = tmp_path / case.file
        path.write_bytes(damage.bytes_of(random, case.content))
        said = ""
        try:
            read_table(path)
        except CalmixError as error:
            said = str(error)
        assert "\n" not in said, (number, case)
        path.unlink()


def test_a_class_called_average_is_no_total(tmp_path: Path):
    rows = [f"{i * 7 % 13},good" for i in range(1200)] + [f"{i},average" for i in range(9)]
    assert len(read_table(table(tmp_path, "\n".join(["x,y", *rows]))).frame) == 1209
    found = read_table(table(tmp_path, "\n".join(["x,y", *rows[:1200], "9,average"]), "u.csv"))
    assert len(found.frame) == 1200
    assert "looks like totals" in found.notices[0]


def test_numbers_in_text_are_numbers_in_every_type(tmp_path: Path):
    frame = pd.DataFrame({"a": ["1,5", "2,25"], "b": ["x", "y"]})
    frame.to_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.json").write_text(frame.to_json(orient="records") or "")
    for name in ("t.parquet", "t.json"):
        found = read_table(tmp_path / name)
        assert found.frame["a"].tolist() == [1.5, 2.25]
        assert found.notices == (f"{name} was read with decimal commas.",)


# ------------------------------------------------------------------------------------------- numbers with units


def cells_of(folder: Path, cells: list[str], sep: str = ";", others: str = "x", **format: Any) -> list[object]:
    """The cells of a column as a table learns from them; the file has a second column."""
    mark = '"' if sep == "," else ""
    rows = "".join(f"{mark}{cell}{mark}{sep}{others}\n" for cell in cells)
    found: Any = read_table(table(folder, f"a{sep}b\n{rows}"), TableFormat(**format)).frame["a"]
    return numbers_of(tidy(found)).column.tolist()


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["12,5 %", "7,25 %", "80 %"], [12.5, 7.25, 80.0]),
        (["1.234,5 kg", "7,5 kg", "12 kg"], [1234.5, 7.5, 12.0]),
        (["1 234,50 €", "12,30 €"], [1234.5, 12.3]),
        (["€ 1.234,50", "€ 12,30"], [1234.5, 12.3]),
        (["$1,234.50", "$12.30"], [1234.5, 12.3]),
        (["-12,5%", "\u22127,5%", "+3%"], [-12.5, -7.5, 3.0]),
        (["12.5 %", "7.25 %"], [12.5, 7.25]),
        (["1.234.567 m", "12 m"], [1234567.0, 12.0]),
        (["1,5e-05 mol", "2,5 mol"], [1.5e-5, 2.5]),
        (["12,5 %", "n/a", "7,5 %"] * 4, [12.5, None, 7.5] * 4),
    ],
)
@pytest.mark.parametrize("sep", [",", ";", "\t"])
def test_numbers_with_units_are_numbers_in_either_convention(
    tmp_path: Path, cells: list[str], numbers: list[float | None], sep: str
):
    found = cells_of(tmp_path, cells, sep)
    assert [None if cell != cell else cell for cell in found] == numbers


def test_other_columns_decide_what_a_unit_s_column_leaves_open(tmp_path: Path):
    cells = ["1.500 kg", "2.750 kg"]
    assert cells_of(tmp_path, cells, others="0,5") == [1500.0, 2750.0]
    assert cells_of(tmp_path, cells, others="0.5") == [1.5, 2.75]
    assert cells_of(tmp_path, cells, thousands=".") == [1500.0, 2750.0]
    told = read_table(table(tmp_path, "a;b\n1.500 kg;x\n2.750 kg;x\n")).notices
    assert "'1.500' is taken as 1.5; if points stand between thousands, say --thousands '.'." in told[-1]


@pytest.mark.parametrize(
    ("cells", "format"),
    [
        (["1,500 kg", "2,750 kg"], {}),  # 1.5 or 1500
        (["1.500 kg", "950 kg"], {}),
        (["12,5 %", "7,5 %"], {"decimal": "."}),
        (["12.5 %", "7.5 %"], {"decimal": ","}),
    ],
)
def test_a_unit_s_column_that_is_doubtful_is_refused(tmp_path: Path, cells: list[str], format: dict[str, str]):
    with pytest.raises(DataError, match="column 'a'"):
        cells_of(tmp_path, cells, **format)


def test_cells_of_other_units_stay_as_they_were_written(tmp_path: Path):
    cells = [f"{kilos},5 kg" for kilos in range(30)] + ["3,5 lb"]
    frame = read_table(table(tmp_path, "a;b\n" + "".join(f"{cell};x\n" for cell in cells))).frame
    column: Any = frame["a"]
    assert column.tolist() == [f"{kilos}.5 kg" for kilos in range(30)] + ["3,5 lb"]
    assert numbers_of(column).notice.startswith("column 'a': 1 of 31 cells are no numbers and count as missing: '3,5")


@pytest.mark.parametrize(
    "cell", ["Str. 5,5", "12, Main Street", "1,5A2", "12.05.2024", "3,5 %, or so, of all the cells"]
)
def test_what_only_looks_like_a_number_with_a_unit_stays_text(tmp_path: Path, cell: str):
    assert not is_measured(cell)
    frame = read_table(table(tmp_path, f"a;b\n{cell};x\n{cell};y\n")).frame
    assert frame["a"].tolist() == [cell, cell]
