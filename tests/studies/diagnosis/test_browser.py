"""The page of a diagnosis as a real browser shows it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from calmix.studies.diagnosis.mixes import MixedRows, write_batch
from calmix.studies.diagnosis.page import write_diagnosis
from calmix.studies.diagnosis.results import write_results
from tests.browser import LAWS, Browser

LABELS = ["mixup", "sk_mixup", *(f"sk_mixup(tau_max={i}.25, remember=True)" for i in range(2)), "x" * 90]


@pytest.fixture(scope="module")
def page(made: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long names, so that width is tried, and pictures."""
    folder = tmp_path_factory.mktemp("page")
    write_results(folder, made(methods=LABELS, classes=("<b>a</b>" + "y" * 90, "b", "c")))
    x, y = torch.rand(4, 1, 2, 2), torch.tensor([0, 1, 2, 0])
    distance, lam = torch.tensor([0.5, 1.0, 1.5, 0.0]), torch.full((4,), 0.25)
    write_batch(folder, "sk_mixup", MixedRows(x, x.flip(0), x, y, y.flip(0), distance, torch.ones(4), lam))
    return write_diagnosis(folder)


@pytest.mark.parametrize("law", LAWS)
def test_the_page_keeps_the_laws_of_all_pages(browser: Browser, page: Path, law: Callable[[Browser, Path], None]):
    law(browser, page)


def test_pictures_keep_their_colours_in_the_dark(browser: Browser, page: Path):
    browser.open(page, 1000, dark=True)
    filters = browser.value(
        "[...document.querySelectorAll('figure')].map(one => [one.className, getComputedStyle(one.firstChild).filter])"
    )
    assert {found == "none" for name, found in filters if "photo" in name} == {True}
    assert {found == "none" for name, found in filters if "photo" not in name} == {False}
