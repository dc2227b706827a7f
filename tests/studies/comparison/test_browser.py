"""The page as a real browser shows it: whole on a phone, on a desk, in the dark and on paper."""

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from calmix.data.given_rows import Unusual
from calmix.studies.comparison.compared import read_comparison
from calmix.studies.comparison.mistakes import Content, Mistakes, Picture, WrongAnswer
from tests.browser import LAWS, Browser


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


@pytest.mark.parametrize("law", LAWS)
def test_the_page_keeps_the_laws_of_all_pages(browser: Browser, page: Path, law: Callable[[Browser, Path], None]):
    law(browser, page)
