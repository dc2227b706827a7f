"""torchmetrics: equal to calmix's functions on all rows, batch by batch and over ranks, and errors that help."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from calmix import metrics
from calmix.errors import CalmixError
from calmix.integrations import torchmetrics as adapters
from tests.processes import needs_ranks, on_ranks

N, CLASSES = 200, 4
ROWS = [70, 130]  # of the two ranks


class Case(NamedTuple):
    make: Callable[[], Metric]
    function: Callable[..., float]
    gaussian: bool = False


CASES = {
    "SmoothECE": Case(adapters.SmoothECE, metrics.smooth_ece),
    "AURC": Case(adapters.AURC, metrics.aurc),
    "AdaptiveECE": Case(lambda: adapters.AdaptiveECE(bins=7), lambda *rows: metrics.adaptive_ece(*rows, bins=7)),
    "DebiasedECE": Case(lambda: adapters.DebiasedECE(bins=7), lambda *rows: metrics.debiased_ece(*rows, bins=7)),
    "ClasswiseECE": Case(
        lambda: adapters.ClasswiseECE(CLASSES, bins=7), lambda *rows: metrics.classwise_ece(*rows, bins=7)
    ),
    "GaussianCRPS": Case(adapters.GaussianCRPS, metrics.crps, True),
    "QuantileCalibrationError": Case(adapters.QuantileCalibrationError, metrics.quantile_calibration_error, True),
    "ENCE": Case(lambda: adapters.ENCE(bins=7), lambda *rows: metrics.ence(*rows, bins=7), True),
    "UCE": Case(lambda: adapters.UCE(bins=7), lambda *rows: metrics.uce(*rows, bins=7), True),
}


def rows_of(case: Case) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    if case.gaussian:
        mean, noise = torch.randn(2, N, generator=generator, dtype=torch.float64)
        std = torch.rand(N, generator=generator, dtype=torch.float64) + 0.2
        return mean, std, mean + 1.3 * noise
    logits = 2 * torch.randn(N, CLASSES, generator=generator, dtype=torch.float64)
    return logits.softmax(1), torch.randint(CLASSES, (N,), generator=generator)


def of_batches(case: Case, rows: tuple[Tensor, ...], size: int = 48) -> Metric:
    metric = case.make()
    for batch in zip(*(column.split(size) for column in rows), strict=True):
        metric.update(*batch)
    return metric


def test_every_metric_has_a_case():
    assert set(CASES) == set(adapters.__all__)


@pytest.mark.parametrize("name", CASES)
def test_batch_by_batch_it_is_the_function_of_all_rows(name: str):
    case = CASES[name]
    rows = rows_of(case)
    metric, expected = of_batches(case, rows), case.function(*rows)
    assert expected > 1e-3
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-12)
    metric.reset()
    first = tuple(column[:50] for column in rows)
    assert float(metric(*first)) == pytest.approx(case.function(*first), rel=1e-12)  # `forward`: of the batch
    metric(*(column[50:] for column in rows))
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-12)


def on_rank(rank: int) -> dict[str, Tensor]:
    found = {}
    for name, case in CASES.items():
        own = tuple(column.split(ROWS)[rank] for column in rows_of(case))
        found[name] = of_batches(case, own).compute()
    return found


@needs_ranks
def test_over_two_ranks_it_is_the_function_of_the_rows_of_both(tmp_path: Path):
    for found in on_ranks(2, tmp_path, on_rank):
        for name, case in CASES.items():
            assert float(found[name]) == pytest.approx(case.function(*rows_of(case)), rel=1e-12), name


def test_a_collection_of_them_shares_what_is_kept():
    rows = rows_of(CASES["SmoothECE"])
    both: Any = MetricCollection({"smooth": adapters.SmoothECE(), "aurc": adapters.AURC()})
    both.update(*rows)
    found = both.compute()
    assert float(found["smooth"]) == pytest.approx(metrics.smooth_ece(*rows), rel=1e-12)
    assert float(found["aurc"]) == pytest.approx(metrics.aurc(*rows), rel=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_used_is_refused(name: str):
    case = CASES[name]
    with pytest.raises(CalmixError, match=f"{name} has seen no rows; call update"), pytest.warns(match="before"):
        case.make().compute()
    wrong = rows_of(case)
    wrong[0][0] = float("nan")
    with pytest.raises(CalmixError, match="NaN"):
        case.make().update(*wrong)


def test_other_classes_than_were_said_and_idle_bins_are_refused():
    with pytest.raises(CalmixError, match="probs has 4 classes, and num_classes is 3"):
        adapters.ClasswiseECE(3).update(*rows_of(CASES["ClasswiseECE"]))
    with pytest.raises(CalmixError, match="bins is 0"):
        adapters.ENCE(bins=0)


def test_without_torchmetrics_the_error_names_the_extra():
    code = "import sys; sys.modules['torchmetrics'] = None; import calmix.integrations.torchmetrics"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "install it with: pip install 'calmix[torchmetrics]'" in result.stderr
