"""What the metrics of class probabilities cost, against reading the probabilities once."""

import time
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from benchmarks.growth import peak
from benchmarks.timing import Call, compare
from calmix.metrics import ClassificationMetrics, class_bins, score_rows

UNIT = "probs.sum()"
ROWS, CLASSES = 50_000, 1_000  # 200 MB of float32: more than a cache holds
PASS = 1_000_000  # rows of one streaming pass


def metric_costs() -> dict[str, Any]:
    """Results in units of reading, the peak of memory allocated by each in bytes, and one long pass in seconds."""
    probs, labels = predictions()
    calls: dict[str, Call] = {
        UNIT: probs.sum,
        "judge": lambda: score_rows(probs, labels),
        "class_bins": lambda: class_bins(probs, labels),
        "ClassificationMetrics.update": lambda: ClassificationMetrics().update(probs, labels),
    }
    return {
        "rows": ROWS,
        "classes": CLASSES,
        "results": [asdict(each) for each in compare(calls, settle=False)],
        "peak_bytes": {name: peak(call) for name, call in calls.items()},
        "pass": long_pass(probs, labels),
    }


def predictions() -> tuple[Tensor, Tensor]:
    """Probabilities (n, K), most of them in a few classes, and labels (n,) drawn from them."""
    generator = torch.Generator().manual_seed(0)
    probs = (3 * torch.randn(ROWS, CLASSES, generator=generator)).softmax(1)
    return probs, torch.multinomial(probs, 1, generator=generator)[:, 0]


def long_pass(probs: Tensor, labels: Tensor) -> dict[str, Any]:
    """CPU seconds of a pass over PASS rows, the same ROWS again and again."""
    metrics, began = ClassificationMetrics(), time.process_time()
    for _ in range(PASS // ROWS):
        metrics.update(probs, labels)
    read = time.process_time()
    metrics.compute()
    return {"rows": PASS, "update": read - began, "compute": time.process_time() - read}
