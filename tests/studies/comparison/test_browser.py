"""The page as a real browser shows it: whole on a phone, on a desk, in the dark and on paper."""

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from calmix.data.rows import Unusual
from calmix.studies.comparison.compared import read_comparison
from calmix.studies.comparison.mistakes import Content, Mistakes, Picture, WrongAnswer
from tests.browser import (
    Browser,
    has_cards_of_equal_height,
    is_dark_in_the_dark_and_not_on_paper,
    is_whole_everywhere,
    keeps_diagrams_and_scrolls_tables_on_a_phone,
    opens_what_is_folded_on_paper,
)


@pytest.fixture(scope="module", params=["classification", "regression"])
def page(request: pytest.FixtureRequest, finish: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long names, so that width is tried; more methods than one pair of axes bears."""
    folder = tmp_path_factory.mktemp("page")
    labels = ["erm", "mixup", *(f"sk_mixup(tau_max={i}.25, remember=True)" for i in range(3)), "x" * 90]
    beyond = request.param == "classification"
    finish(folder, labels, task=request.param, beyond=beyond, hostile="<script>a</script> " + "y" * 120)
    found = read_comparison(folder)
    return replace(found, mistakes=mistakes() if beyond else None).write_report(folder)


def mistakes() -> Mistakes:
    """Of long names, with pictures and unusual values."""
    answers = [WrongAnswer(10**6 + row, "y" * 120, "<b>z", 0.95, 3, 3, 18, 18, 0.95) for row in range(6)]
    unusual = [Unusual(f"{'c' * 29}{place}", "v" * 30, "category", 0, 0.01) for place in range(3)]
    content = Content(unusual, Picture((3, 1, 2), base64.b64encode(bytes(range(6))).decode()))
    return Mistakes("erm", "image", "Images are counted from 0.", 3, 99, answers, contents=[content] * len(answers))


def test_the_page_is_whole_everywhere(browser: Browser, page: Path):
    is_whole_everywhere(browser, page)


def test_the_dark_page_is_dark_and_the_printed_one_is_not(browser: Browser, page: Path):
    is_dark_in_the_dark_and_not_on_paper(browser, page)


def test_on_a_phone_diagrams_keep_their_size_and_tables_say_that_they_scroll(browser: Browser, page: Path):
    keeps_diagrams_and_scrolls_tables_on_a_phone(browser, page)


def test_cards_beside_each_other_are_of_equal_height(browser: Browser, page: Path):
    has_cards_of_equal_height(browser, page)


def test_what_is_folded_is_open_on_paper(browser: Browser, page: Path):
    opens_what_is_folded_on_paper(browser, page)
