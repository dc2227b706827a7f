"""Small sets in the layouts of TUDataset and Planetoid."""

import pickle
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix


@contextmanager
def geometric() -> Iterator[None]:
    """Around imports and calls of torch_geometric, which warns of what PyTorch deprecates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def write_graphs(folder: Path, name: str, graphs: int) -> None:
    """Rings of 3 to 6 nodes, of class 0, and chains of as many, of class 1; three kinds of nodes."""
    edges, graph_of, labels, kinds = [], [], [], []
    draw = np.random.default_rng(0)
    for graph in range(graphs):
        first, size, chain = len(graph_of) + 1, 3 + graph % 4, graph % 2
        pairs = [(first + at, first + (at + 1) % size) for at in range(size - chain)]
        edges += [f"{one}, {other}" for pair in pairs for one, other in (pair, pair[::-1])]
        graph_of += [str(graph + 1)] * size
        kinds += [str(kind) for kind in draw.integers(3, size=size)]
        labels.append(str(chain))
    for part, lines in {"A": edges, "graph_indicator": graph_of, "graph_labels": labels, "node_labels": kinds}.items():
        (folder / f"{name}_{part}.txt").write_text("\n".join(lines) + "\n")


def write_nodes(folder: Path, name: str) -> None:
    """10 nodes to train on, 500 to validate on, 10 in no split, and 12 to test on; a ring; 6 features and 2 classes.

    Those to test on stand at 532, 531, ..., 520 but for 525.
    """
    draw = np.random.default_rng(0)
    classes = np.arange(532) % 2
    features = (draw.random((532, 6)) < 0.3) * (1.0 + (np.arange(6) % 2 == classes[:, None]))
    one_hot = np.eye(2, dtype=np.int32)[classes]
    ring = defaultdict(list, {node: [(node - 1) % 533, (node + 1) % 533] for node in range(533)})
    values = {
        "x": csr_matrix(features[:10]),
        "allx": csr_matrix(features[:520]),
        "tx": csr_matrix(features[520:]),
        "y": one_hot[:10],
        "ally": one_hot[:520],
        "ty": one_hot[520:],
        "graph": ring,
    }
    for part, value in values.items():
        (folder / f"ind.{name}.{part}").write_bytes(pickle.dumps(value, protocol=2))
    order = [number for number in range(532, 519, -1) if number != 525]
    (folder / f"ind.{name}.test.index").write_text("".join(f"{number}\n" for number in order))
