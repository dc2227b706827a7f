"""A page of any study: everything in one file, figures beside it, nothing where a figure fails."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from calmix.errors import DataError
from calmix.report.drawing import Drawing
from calmix.report.page import Page, PageTable, Section, write_page
from calmix.report.tables import Cell, Row, Table

EVIL = """<script>alert(1)</script> & "q" 'a' {{ 7 * 7 }}"""


class Dots:
    def rows(self) -> Iterator[dict[str, Any]]:
        yield {"a": 1}
        yield {"b": 2}


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def drawing(name: str, alt: str = "A dot.") -> Drawing:
    return Drawing(name, alt, [Dots()], 2.0, lambda figure: figure.add_subplot().plot([1], [2], "o"))


def test_a_page_has_titles_tables_figures_and_facts(tmp_path: Path):
    table = Table(["Value"], [Row("first", [Cell("1", "± 2", best=True)])], [])
    page = Page(
        "Any <page>",
        ["Headline.", "More of it, 90 % sure."],
        [
            Section(
                "Part",
                "What to look at.",
                [drawing("dot")],
                [PageTable("Values", table, corner="Name", note="A note.")],
            )
        ],
        cautions="Beware.",
        facts={"Rows": "10"},
        command=["calmix", "do", "it now"],
    )
    path = write_page(tmp_path / "new", page)
    parsed = Tags(path.read_text(encoding="utf-8"))
    for said in ("Any <page>", "Headline.", "90\u00a0% sure", "Part", "What to look at.", "A note.", "Beware.", "10"):
        assert said in parsed.text
    assert "calmix do 'it now'" in parsed.text
    assert (tmp_path / "new" / "figures" / "dot.csv").read_text(encoding="utf-8") == "a,b\n1,\n,2\n"
    (image,) = [attributes for tag, attributes in parsed.tags if tag == "img"]
    assert image["alt"] == "A dot."
    names = {file.name for file in (tmp_path / "new" / "figures").iterdir()}
    assert names == {"dot.csv", "dot.svg", "dot.png"}


def test_no_text_becomes_markup_and_nothing_is_loaded_from_elsewhere(tmp_path: Path):
    table = Table([EVIL], [Row(EVIL, [Cell(EVIL, EVIL)])], [])
    section = Section(EVIL, EVIL, [drawing("dot", EVIL)], [PageTable(EVIL, table, note=EVIL)])
    page = Page(EVIL, [EVIL, EVIL], [section], EVIL, {EVIL: EVIL}, [EVIL])
    text = write_page(tmp_path, page).read_text(encoding="utf-8")
    parsed = Tags(text)
    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "iframe", "object"}
    assert not re.search("https?://", text)
    assert parsed.text.count("{{ 7 * 7 }}") >= 10  # names are no templates
    (image,) = [attributes for tag, attributes in parsed.tags if tag == "img"]
    assert image["alt"] == EVIL
    assert (image["src"] or "").startswith("data:image/svg+xml;base64,")


def test_papers_named_by_their_number_are_links_and_nothing_else_is(tmp_path: Path):
    terms = {"a": "Zhang et al. (arXiv 1710.09412).", "b": "<a href='x'> arXiv 12 https://b.org"}
    text = write_page(tmp_path, Page("x", ["y"], [Section("z", terms=terms)])).read_text(encoding="utf-8")
    [link] = [attributes for tag, attributes in Tags(text).tags if tag == "a"]
    assert link["href"] == "https://arxiv.org/abs/1710.09412"


def test_nothing_is_written_where_a_figure_fails(tmp_path: Path):
    def fail(figure: object) -> None:
        raise ArithmeticError

    page = Page("x", ["y"], [Section("z", "", [drawing("good"), Drawing("bad", "", [Dots()], 2.0, fail)])])
    with pytest.raises(ArithmeticError):
        write_page(tmp_path / "out", page)
    assert not (tmp_path / "out").exists()


def test_two_figures_of_one_name_do_not_overwrite_each_other(tmp_path: Path):
    page = Page("x", ["y"], [Section("z", "", [drawing("dot"), drawing("dot")])])
    with pytest.raises(AssertionError, match="two figures are named 'dot'"):
        write_page(tmp_path / "out", page)


def test_a_folder_that_cannot_be_written_is_advice(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot write to .*give another --out"):
        write_page(tmp_path / "file", Page("x", ["y"], []))
