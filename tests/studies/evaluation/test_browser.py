"""The pages of evaluations of every kind as a real browser shows them."""

from pathlib import Path

import pytest
import torch

from calmix.predictions import ClassPredictions, MultilabelPredictions, Predictions, RegressionPredictions
from calmix.studies.evaluation import Given, evaluate
from tests.browser import (
    Browser,
    has_cards_of_equal_height,
    is_dark_in_the_dark_and_not_on_paper,
    is_whole_everywhere,
    keeps_diagrams_and_scrolls_tables_on_a_phone,
)

LONG = "<b>a</b> " + "y" * 90


def classes(count: int) -> ClassPredictions:
    generator = torch.Generator().manual_seed(count)
    logits = torch.randn(300, count, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return ClassPredictions(2 * logits, labels, (LONG, *(f"class {k}" for k in range(1, count))))


def numbers(seed: int) -> RegressionPredictions:
    generator = torch.Generator().manual_seed(seed)
    mean, std = torch.randn(2, 200, generator=generator, dtype=torch.float64)
    return RegressionPredictions(1e9 * mean, 1e9 * (mean + std), 1e9 * (std.abs() + 0.1))


def labels() -> MultilabelPredictions:
    probs = torch.rand(200, 14, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    truth = torch.bernoulli(probs, generator=torch.Generator().manual_seed(1)).long()
    return MultilabelPredictions(probs, truth, (LONG, *(f"label {k}" for k in range(1, 14))))


@pytest.fixture(scope="module", params=["classes", "labels", "numbers"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long names, so that width is tried; with a calibration split, foreign rows and people's labels."""
    held: Predictions | None = None
    if request.param == "classes":
        test, held = classes(3), ClassPredictions(classes(3).logits.flip(0), classes(3).labels.flip(0))
        given = Given(test, held, {"noise": torch.zeros(50, 3)}, torch.ones(300, 3))
    else:
        given = Given(labels()) if request.param == "labels" else Given(numbers(0), numbers(1))
    return evaluate(given).write_report(tmp_path_factory.mktemp("page") / request.param)


def test_the_page_is_whole_everywhere(browser: Browser, page: Path):
    is_whole_everywhere(browser, page)


def test_the_dark_page_is_dark_and_the_printed_one_is_not(browser: Browser, page: Path):
    is_dark_in_the_dark_and_not_on_paper(browser, page)


def test_on_a_phone_diagrams_keep_their_size_and_tables_say_that_they_scroll(browser: Browser, page: Path):
    keeps_diagrams_and_scrolls_tables_on_a_phone(browser, page, wide=page.parent.name != "labels")


def test_cards_beside_each_other_are_of_equal_height(browser: Browser, page: Path):
    has_cards_of_equal_height(browser, page)
