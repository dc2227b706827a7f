"""A finished comparison in numbers: a row a method, with what it is worth against plain Mixup and plain training."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from calmix.errors import UnknownNameError
from calmix.experiment.claims import claim
from calmix.experiment.record import Record, read_predictions
from calmix.experiment.statistics import difference, interval

CLASSIFICATION_METRICS = ("accuracy", "nll", "brier", "ece", "adaptive_ece", "scaled.nll", "scaled.ece")
REGRESSION_METRICS = ("rmse", "mae", "r2")
PLAIN_TRAINING, PLAIN_MIXUP = "erm", "mixup"


def metrics_of(task: str) -> tuple[str, ...]:
    """What a comparison of this task reports, by the names that `Record.value` knows."""
    return REGRESSION_METRICS if task == "regression" else CLASSIFICATION_METRICS


def references(labels: Sequence[str], given: str | None = None) -> list[str]:
    """Whom methods are compared to, the one that the marks refer to first: the given one, plain Mixup, plain training.

    Where neither takes part and none is given, it is the first method.

    Raises:
        UnknownNameError: the given one takes no part.

    >>> references(["erm", "sk_mixup", "mixup"]), references(["erm", "sk_mixup"], "sk_mixup"), references(["cutmix"])
    (['mixup', 'erm'], ['sk_mixup', 'erm'], ['cutmix'])
    """
    if given is not None and given not in labels:
        raise UnknownNameError("method to refer to", given, labels)
    known = [label for label in (PLAIN_MIXUP, PLAIN_TRAINING) if label in labels]
    return list(dict.fromkeys([*([] if given is None else [given]), *known])) or [labels[0]]


def summarise(records: Sequence[Record], names: Sequence[str], reference: str | None = None) -> list[dict[str, Any]]:
    """A row a method: means with 95 % intervals, and differences from each of `references`, paired by seed."""
    labels = list(dict.fromkeys(record.method for record in records))
    others = references(labels, reference)

    def values(label: str, name: str) -> list[float]:
        return [record.value(name) for record in records if record.method == label]

    return [
        {
            "method": label,
            "seeds": len(values(label, "cost")),
            "repr": next(record.repr for record in records if record.method == label),
            "metrics": {name: dataclasses.asdict(interval(values(label, name))) for name in (*names, "cost")},
            "reference": others[0],
            "differences": {
                other: {
                    name: dataclasses.asdict(difference(values(label, name), values(other, name))) for name in names
                }
                for other in others
            },
        }
        for label in labels
    ]


def with_claims(rows: Sequence[dict[str, Any]], folder: Path, records: Sequence[Record]) -> list[dict[str, Any]]:
    """The rows, each with what became of its answers that are about 90 % sure, from the predictions in `folder`."""
    found = []
    for row in rows:
        runs = [record for record in records if record.method == row["method"]]
        claimed = claim(read_predictions(folder, run) for run in runs)
        found.append({**row, "claim": None if claimed is None else dataclasses.asdict(claimed)})
    return found
