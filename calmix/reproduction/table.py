"""EXPERIMENTS: the only table of their names. Nothing heavy is imported to list them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCALES = ("smoke", "small", "paper")


@dataclass(frozen=True)
class Entry:
    """What a list says of an experiment, and where it is made.

    stands_for: the paper's experiment. data: what must be at hand. minutes: of CPU time on one core, at each of SCALES,
    as measured or, above a day, estimated. gpu_hours: of `paper` on one data-centre GPU, estimated; None where there is
    no point in a GPU. make: module below `calmix.reproduction`, and function in it. options: further arguments of it.
    """

    stands_for: str
    data: str
    minutes: tuple[float, float, float]
    make: tuple[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)
    gpu_hours: float | None = None


EXPERIMENTS: Mapping[str, Entry] = {
    "sk-mixup/airfoil": Entry(
        "SK Mixup, regression: Airfoil self-noise",
        "airfoil.csv, last column target",
        (1, 20, 20),
        ("regression", "airfoil"),
    ),
    "mixup-e/mutag": Entry(
        "MixupE, graph classification: MUTAG",
        "graphs/TUDataset/MUTAG",
        (1, 20, 60),
        ("graphs", "graph_classification"),
        {"name": "MUTAG"},
    ),
    "mixup-e/proteins": Entry(
        "MixupE, graph classification: PROTEINS",
        "graphs/TUDataset/PROTEINS",
        (1, 20, 60),
        ("graphs", "graph_classification"),
        {"name": "PROTEINS"},
    ),
    "mixup-e/nci1": Entry(
        "MixupE, graph classification: NCI1",
        "graphs/TUDataset/NCI1",
        (1, 20, 60),
        ("graphs", "graph_classification"),
        {"name": "NCI1"},
    ),
    "mixup-e/imdb-binary": Entry(
        "MixupE, graph classification: IMDB-BINARY",
        "graphs/TUDataset/IMDB-BINARY",
        (1, 20, 60),
        ("graphs", "graph_classification"),
        {"name": "IMDB-BINARY"},
    ),
    "mixup-e/cora": Entry(
        "MixupE, node classification: Cora",
        "graphs/Planetoid/Cora",
        (1, 20, 20),
        ("graphs", "node_classification"),
        {"name": "Cora"},
    ),
    "mixup-e/citeseer": Entry(
        "MixupE, node classification: CiteSeer",
        "graphs/Planetoid/CiteSeer",
        (1, 20, 20),
        ("graphs", "node_classification"),
        {"name": "CiteSeer"},
    ),
}


def lasting(minutes: float) -> str:
    """A time in words.

    >>> lasting(0.5), lasting(45), lasting(90), lasting(6000)
    ('1 minute', '45 minutes', '1.5 hours', '4 days')
    """
    count, unit = (minutes, "minute") if minutes < 60 else (minutes / 60, "hour")
    count, unit = (count / 24, "day") if unit == "hour" and count >= 48 else (count, unit)
    rounded = round(count, 1) if unit == "hour" and count < 10 else max(1, round(count))
    return f"{rounded:g} {unit}{'' if rounded == 1 else 's'}"
