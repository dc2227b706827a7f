"""Graphs in raw files: graphs with a label each (TUDataset), and one graph whose nodes have labels (Planetoid).

A row is the number of a graph, or of a node, counted from 0; a network holds the graphs and looks them up.

N nodes, E edges (two for each pair of neighbours, one in each direction), G graphs, d features, K classes
"""

import io
import pickle
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calmix.data.folders import digest_of_files, find_folder, last_change
from calmix.data.goals import goal_of
from calmix.data.splits import IN_MEMORY, About, Draw, RowIds, Splits, listed, split_rows, split_sizes
from calmix.data.whole import Whole
from calmix.errors import DataError
from calmix.reading import read_bytes, reading

MOST_DEGREES = 256  # features of a node that is told by its degree; those of a higher degree share the last
_VALIDATION = 500  # nodes, of the public splits
_COUNTS = {  # of whole sets: graphs, nodes, edges
    "MUTAG": (188, 3_371, 7_442),
    "PROTEINS": (1_113, 43_471, 162_088),
    "NCI1": (4_110, 122_747, 265_506),
    "IMDB-BINARY": (1_000, 19_773, 193_062),
    "cora": (1, 2_708, 10_556),
    "citeseer": (1, 3_327, 9_104),
}
_NODES_LABELLED = ("MUTAG", "PROTEINS", "NCI1")  # else degrees would stand for labels that are missing
_TU_ADVICE = (
    "get {name}.zip from the TUDataset collection (chrsmrrs.com/graphkerneldatasets), unpack it, and name its folder "
    "with --data-dir, or put its files into graphs/TUDataset/{name}/raw where CALMIX_DATA says"
)
_PLANETOID_ADVICE = (
    "get the files ind.{name}.* from the folder data of github.com/kimiyoung/planetoid, and name their folder with "
    "--data-dir, or put them into graphs/Planetoid/{folder}/raw where CALMIX_DATA says"
)
_ANEW = "get the file anew"

Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LabelledGraphs:
    """Graphs with a label each. The nodes of a graph stand together: graph_of does not fall.

    features: (N, d) float32. edges: (2, E) int64, from and to. graph_of: (N,) int64, of each node the number of its
    graph. labels: (G,) class ids.
    """

    name: str
    features: Tensor
    edges: Tensor
    graph_of: Tensor
    labels: Ids
    classes: tuple[str, ...]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class LabelledNodes:
    """One graph whose nodes have labels.

    features: (N, d) float32. edges: (2, E) int64, from and to. labels: (N,) class ids; of nodes in no part they mean
    nothing. parts: the numbers of nodes to train on, to validate on and to test on.
    """

    name: str
    features: Tensor
    edges: Tensor
    labels: Ids
    classes: tuple[str, ...]
    parts: Mapping[str, RowIds]


# ------------------------------------------------------------------------------------------------------------ sources


@dataclass(frozen=True)
class GraphFolder:
    """Graphs of a TUDataset as a source: x (n, 1) int64 are their numbers, y (n,) their classes.

    path: the folder of NAME_A.txt, NAME_graph_indicator.txt, NAME_graph_labels.txt and, if there are such,
    NAME_node_labels.txt and NAME_node_attributes.txt; see `read_graphs`.
    """

    path: Path
    train_size: int | None = None
    foldable = True

    def graphs(self) -> LabelledGraphs:
        """All graphs, for the network. They stay in memory, and are read anew when a file has changed."""
        return _graphs_in(self.path, last_change([self.path]))

    def splits(self, seed: Draw) -> Splits:
        graphs = self.graphs()
        about = _about(graphs, self.path, graphs.notices, _tu_files(self.path).values())
        whole = Whole(
            x=torch.arange(len(graphs.labels))[:, None],
            y=graphs.labels,
            about=about,
            unit="graph",
            note=f"Graphs are counted from 0, in the order of {graphs.name}_graph_labels.txt.",
        )
        return whole.splits(seed, self.train_size)

    def whole(self) -> "GraphFolder":
        return replace(self, train_size=None)


@dataclass(frozen=True)
class CitationGraph:
    """The nodes of one graph as a source, in the public split of Planetoid: x (n, 1) int64 are their numbers.

    Trained on are 20 nodes of each class; the 500 validation nodes of the public split are drawn in two halves, one to
    validate on and one to calibrate on, which are the same for every seed; so are the 1,000 to test on. All nodes are
    seen in training, without their labels.

    path: the folder of ind.NAME.x, .tx, .allx, .y, .ty, .ally, .graph and .test.index; see `read_nodes`.
    """

    path: Path
    train_size: int | None = None

    def graph(self) -> LabelledNodes:
        """The graph, for the network. It stays in memory, and is read anew when a file has changed."""
        return _nodes_in(self.path, last_change([self.path]))

    def splits(self, seed: Draw) -> Splits:
        graph = self.graph()
        halves = _halves(graph)
        parts = {"train": graph.parts["train"], **halves, "test": graph.parts["test"]}
        numbers = np.sort(np.concatenate([*parts.values()]))  # of the nodes that are in a split
        notice = (
            f"the {len(halves['validation']) + len(halves['calibration'])} validation nodes of the public split are "
            "halved, once for all seeds, into those to validate on and those to calibrate on."
        )
        whole = Whole(
            x=torch.from_numpy(numbers)[:, None],
            y=graph.labels[numbers],
            about=_about(graph, self.path, (notice,), _planetoid_files(self.path).values()),
            given={part: np.searchsorted(numbers, rows) for part, rows in parts.items() if part != "train"},
            numbers=numbers,
            unit="node",
            note=f"Nodes are counted from 0, as in ind.{graph.name}.graph.",
        )
        return whole.splits(seed, self.train_size)

    def whole(self) -> "CitationGraph":
        return replace(self, train_size=None)


def _halves(graph: LabelledNodes) -> dict[str, RowIds]:
    rows = graph.parts["validation"]
    halves = split_rows(graph.labels[rows], split_sizes(len(rows), (1, 1)), np.random.default_rng(0))
    return {part: rows[half] for part, half in zip(("validation", "calibration"), halves, strict=True)}


def _about(data: LabelledGraphs | LabelledNodes, path: Path, notices: tuple[str, ...], files: Iterable[Path]) -> About:
    return About(
        name=data.name,
        task="classification",
        kind="graph",
        classes=data.classes,
        features=(),
        natural=False,
        source=str(path),
        notices=notices,
        digest=digest_of_files(files),
    )


def find_graphs(name: str, data_dir: Path | None = None) -> GraphFolder:
    """The source of a TUDataset: in data_dir, or in graphs/TUDataset where CALMIX_DATA says.

    Raises DataError, which says where to get it, if it is not there.
    """
    advice = _TU_ADVICE.format(name=name)
    return GraphFolder(_found("graphs/TUDataset", name, f"{name}_A.txt", data_dir, advice))


def find_nodes(name: str, data_dir: Path | None = None) -> CitationGraph:
    """The source of a Planetoid graph, such as `Cora`: in data_dir, or in graphs/Planetoid where CALMIX_DATA says.

    Raises DataError, which says where to get it, if it is not there.
    """
    advice = _PLANETOID_ADVICE.format(name=name.lower(), folder=name)
    return CitationGraph(_found("graphs/Planetoid", name, f"ind.{name.lower()}.graph", data_dir, advice))


def _found(collection: str, name: str, file: str, data_dir: Path | None, advice: str) -> Path:
    """The folder of a file: data_dir, or one in it that is called after the set."""
    if data_dir is not None:
        inner = (Path(data_dir, *place) for place in ((), ("raw",), (name,), (name, "raw")))
        data_dir = next((place for place in inner if (place / file).exists()), data_dir)
    return find_folder(f"{collection}/{name}/raw", file, data_dir, [], advice)


# ---------------------------------------------------------------------------------------------------------- TUDataset


@lru_cache(maxsize=2)
def _graphs_in(path: Path, changed: int) -> LabelledGraphs:
    return read_graphs(path)


def read_graphs(folder: Path) -> LabelledGraphs:
    """The graphs of a TUDataset in its raw text files.

    A node's features are its labels, one-hot, each column of them apart; where there are none, its attributes; and
    where there are none of these, its degree, one-hot, all from 255 on being alike. Loops are left out, and an edge
    that is written twice counts once.

    Raises:
        DataError: a file that is missing, cannot be parsed, or does not fit the others: it is named, and what is wrong
            with it.
    """
    files = _tu_files(folder)
    name, edge_file = _name_in(folder, "", "_A.txt"), files["A"]
    graph_file, label_file = files["graph_indicator"], files["graph_labels"]
    graph_of = _numbers(graph_file, np.int64, columns=1)[:, 0]  # from 1
    labels = _numbers(label_file, np.int64, columns=1)[:, 0]
    nodes, graphs = len(graph_of), len(labels)
    counts = np.bincount(np.clip(graph_of, 0, graphs + 1), minlength=graphs + 2)
    if counts[0] or counts[-1]:
        raise DataError(
            f"{graph_file} names the graphs {graph_of.min()} to {graph_of.max()}, and {label_file.name} has labels of "
            f"{graphs}; one of the two is cut short or damaged: {_ANEW}."
        )
    if (np.diff(graph_of) < 0).any():
        line = int(np.flatnonzero(np.diff(graph_of) < 0)[0]) + 2
        raise DataError(f"{graph_file}: the graph of line {line} comes after a later one; {_ANEW}.")
    if not counts[1:-1].all():
        missing = int(np.flatnonzero(counts[1:-1] == 0)[0]) + 1
        raise DataError(f"{graph_file} gives graph {missing} of {label_file.name} no node; {_ANEW}.")
    edges = _edges(_numbers(edge_file, np.int64, columns=2).T - 1, nodes, edge_file, first=1)
    apart = graph_of[edges[0]] != graph_of[edges[1]]
    if apart.any():
        start, end = (edges[:, np.flatnonzero(apart)[0]] + 1).tolist()
        raise DataError(
            f"{edge_file} joins the nodes {start} and {end}, which {graph_file.name} has in different graphs; one of "
            f"the two is damaged: {_ANEW}."
        )
    _check_counts(name, folder, (graphs, nodes, edges.shape[1]))
    features, notices = _features(files, edges, nodes)
    goal = goal_of(labels, "classification", str(label_file))
    return LabelledGraphs(
        name,
        torch.from_numpy(features),
        torch.from_numpy(edges),
        torch.from_numpy(graph_of - 1),
        goal.y.astype(np.int64),
        goal.classes,
        notices,
    )


def _name_in(folder: Path, before: str, after: str) -> str:
    """The name of the one set whose files a folder holds, by what stands before and after it in a file's name."""
    names = sorted(path.name.removeprefix(before).removesuffix(after) for path in folder.glob(f"{before}*{after}"))
    if len(names) != 1:
        found = f"those of {listed(names)}" if names else "none"
        raise DataError(f"{folder} must hold the files of one set, {before}NAME{after} and others, and holds {found}.")
    return names[0]


def _tu_files(folder: Path) -> dict[str, Path]:
    """The files of a TUDataset, by what stands after their name. Raise DataError where one is missing."""
    name = _name_in(folder, "", "_A.txt")
    files = {part: folder / f"{name}_{part}.txt" for part in ("A", "graph_indicator", "graph_labels")}
    required = [*files.values(), *([folder / f"{name}_node_labels.txt"] if name in _NODES_LABELLED else [])]
    _require(required, _TU_ADVICE.format(name=name))
    more = {part: folder / f"{name}_{part}.txt" for part in ("node_labels", "node_attributes")}
    return files | {part: file for part, file in more.items() if file.exists()}


def _require(files: Iterable[Path], advice: str) -> None:
    missing = [file for file in files if not file.exists()]
    if missing:
        raise DataError(f"{listed(file.name for file in missing)} missing in {missing[0].parent}; {advice}.")


def _numbers(file: Path, kind: type, columns: int | None = None) -> NDArray[Any]:
    """(lines, columns) of a text file of numbers and commas."""
    text = read_bytes(file, _ANEW)
    if not text.strip():
        raise DataError(f"{file} is empty; {_ANEW}.")
    with reading(file, _ANEW), warnings.catch_warnings():
        warnings.simplefilter("error")  # older numpy takes 1.5 for a whole number with a warning
        numbers = np.loadtxt(io.BytesIO(text), kind, delimiter=",", ndmin=2, comments=None)
    if columns not in (None, numbers.shape[1]):
        raise DataError(f"{file} holds {numbers.shape[1]} numbers a line in place of {columns}; {_ANEW}.")
    return numbers


def _edges(edges: Ids, nodes: int, file: Path, first: int) -> Ids:
    """(2, E) in ascending order, each once, without loops. first: the number of the first node in the file.

    Raise DataError for a node that there is not, or for neighbours that are so in one direction alone.
    """
    beyond = (edges < 0) | (edges >= nodes)
    if beyond.any():
        raise DataError(
            f"{file} names node {edges[beyond][0] + first}, and there are {nodes:,} nodes, from {first} on; this file, "
            f"or the one that lists the nodes, is cut short or damaged: {_ANEW}."
        )
    ids = np.unique(edges[0] * nodes + edges[1])
    start, end = np.divmod(ids, max(nodes, 1))
    lonely = ~np.isin(end * nodes + start, ids)
    if lonely.any():
        one, other = start[lonely][0] + first, end[lonely][0] + first
        raise DataError(f"{file} has an edge from {one} to {other} and none back; it is cut short or damaged: {_ANEW}.")
    return np.stack([start, end])[:, start != end]


def _features(files: Mapping[str, Path], edges: Ids, nodes: int) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """(N, d), and what is to be said of them."""
    labels, attributes = files.get("node_labels"), files.get("node_attributes")
    if labels is not None:
        columns = _of_nodes(labels, np.int64, nodes)
        levels = [np.unique(column, return_inverse=True) for column in columns.T]
        _check_size(files["A"].parent, nodes, sum(len(values) for values, _ in levels))
        one_hot = [np.eye(len(values), dtype=np.float32)[codes] for values, codes in levels]
        left = ("node attributes are not used, as nodes have labels.",) if attributes else ()
        return np.concatenate(one_hot, 1), left
    if attributes is not None:
        values = _of_nodes(attributes, np.float64, nodes)
        if not np.isfinite(values).all():
            raise DataError(f"{attributes} holds NaN or infinity; {_ANEW}.")
        return values.astype(np.float32), ()
    degrees = np.bincount(edges[0], minlength=nodes).clip(max=MOST_DEGREES - 1)
    _check_size(files["A"].parent, nodes, degrees.max() + 1)
    told = f"nodes have no labels; what is known of one is its degree, of 0 to {degrees.max()}."
    return np.eye(degrees.max() + 1, dtype=np.float32)[degrees], (told,)


def _of_nodes(file: Path, kind: type, nodes: int) -> NDArray[Any]:
    values = _numbers(file, kind)
    if len(values) != nodes:
        raise DataError(f"{file} has {len(values):,} lines, and there are {nodes:,} nodes; {_ANEW}.")
    return values


def _check_size(folder: Path, nodes: int, features: int) -> None:
    if 4 * nodes * features > IN_MEMORY:
        raise DataError(
            f"{folder} holds {nodes:,} nodes of {features:,} features, {4 * nodes * features / 1e9:.1f} GB, and "
            f"{IN_MEMORY / 1e9:.1f} GB may be in memory; give a smaller set."
        )


def _check_counts(name: str, folder: Path, counts: tuple[int, int, int]) -> None:
    """Raise DataError where a set that is known has other graphs, nodes or edges."""
    known = _COUNTS.get(name, counts)
    if known != counts:
        graphs, nodes, edges = (f"{count:,}" for count in known)
        held = "{:,} graphs, {:,} nodes and {:,} edges".format(*counts)
        raise DataError(
            f"{name} has {graphs} graphs, {nodes} nodes and {edges} edges, and {folder} holds {held}; its files are "
            "cut short or of another version: get them anew."
        )


# ---------------------------------------------------------------------------------------------------------- Planetoid


@lru_cache(maxsize=2)
def _nodes_in(path: Path, changed: int) -> LabelledNodes:
    return read_nodes(path)


def read_nodes(folder: Path) -> LabelledNodes:
    """The graph of Planetoid's raw files, and its public split.

    The files are pickles. No code that they name is run: arrays, sparse matrices and lists are read, and all else is
    refused. Test nodes stand where ind.NAME.test.index says; nodes in between that it leaves out (CiteSeer has 15) have
    no features, and are in no split. Loops are left out, and an edge that is written twice counts once.

    Raises:
        DataError: a file that is missing, cannot be read, or does not fit the others: it is named, and what is wrong
            with it.
    """
    files = _planetoid_files(folder)
    name = _name_in(folder, "ind.", ".graph")
    known, tested = _dense(files["allx"]), _dense(files["tx"])  # (n, d)
    labels, of_tested = _one_hot(files["ally"]), _one_hot(files["ty"])
    trained = len(_one_hot(files["y"]))
    test = _numbers(files["test.index"], np.int64, columns=1)[:, 0]
    for rows, file in ((labels, "allx"), (of_tested, "tx"), (test, "ty")):
        other = {"allx": "ally", "tx": "ty", "ty": "test.index"}[file]
        count = {"allx": len(known), "tx": len(tested), "ty": len(of_tested)}[file]
        if len(rows) != count:
            raise DataError(
                f"{files[other]} has {len(rows):,} rows, and {files[file].name} {count:,}; one of the two is cut short "
                f"or damaged: {_ANEW}."
            )
    if labels.shape[1] != of_tested.shape[1]:
        raise DataError(
            f"{files['ty']} has {of_tested.shape[1]} classes, and {files['ally'].name} {labels.shape[1]}; one of the "
            f"two is of another set: {_ANEW}."
        )
    if known.shape[1] != tested.shape[1] or len(_dense(files["x"])) != trained:
        raise DataError(f"the features in {folder} do not fit each other; get its files anew.")
    if trained + _VALIDATION > len(known):
        raise DataError(f"{files['allx']} has {len(known):,} nodes, too few to train and validate on; {_ANEW}.")
    if len(np.unique(test)) != len(test) or test.min() < len(known) or test.max() >= 2 * (len(known) + len(test)):
        raise DataError(f"{files['test.index']} must hold different nodes from {len(known)} on; {_ANEW}.")
    nodes, width = int(test.max()) + 1, known.shape[1]
    _check_size(folder, nodes, width)
    features, ids = np.zeros((nodes, width), np.float32), np.zeros(nodes, np.int64)
    features[: len(known)], features[test] = known, tested
    ids[: len(known)], ids[test] = labels.argmax(1), of_tested.argmax(1)
    edges = _edges(_neighbours(files["graph"]), nodes, files["graph"], first=0)
    _check_counts(name, folder, (1, nodes, edges.shape[1]))
    parts = {
        "train": np.arange(trained),
        "validation": np.arange(trained, trained + _VALIDATION),
        "test": np.sort(test),
    }
    classes = tuple(map(str, range(labels.shape[1])))
    return LabelledNodes(name, torch.from_numpy(features), torch.from_numpy(edges), ids, classes, parts)


def _planetoid_files(folder: Path) -> dict[str, Path]:
    """The files of a Planetoid graph, by what stands after its name. Raise DataError where one is missing."""
    name = _name_in(folder, "ind.", ".graph")
    parts = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
    files = {part: folder / f"ind.{name}.{part}" for part in parts}
    _require(files.values(), _PLANETOID_ADVICE.format(name=name, folder=name.capitalize()))
    return files


class _SparseMatrix:
    """What a pickled scipy.sparse.csr_matrix holds, without scipy."""

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _reconstruct(kind: Any, shape: Any, code: Any) -> NDArray[Any]:
    """An empty array, which takes its shape and numbers from the state that follows in the pickle."""
    return np.zeros(0)


def _encoded(text: str, encoding: str) -> bytes:
    """Bytes, as Python 3 writes them for Python 2."""
    return text.encode("latin1")


_NAMES: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("scipy.sparse.csr", "csr_matrix"): _SparseMatrix,
    ("scipy.sparse._csr", "csr_matrix"): _SparseMatrix,
    ("collections", "defaultdict"): defaultdict,
    ("__builtin__", "list"): list,
    ("builtins", "list"): list,
    ("_codecs", "encode"): _encoded,
}


class _Numbers(pickle.Unpickler):
    """Reads arrays, sparse matrices, dicts and lists; what else a pickle names is refused, as it could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which holds no graph")
        return _NAMES[module, name]


def _unpickled(file: Path) -> Any:
    with reading(file, _ANEW):
        return _Numbers(io.BytesIO(file.read_bytes()), encoding="latin1").load()


def _dense(file: Path) -> NDArray[np.float32]:
    """(n, d) of a sparse matrix: row i holds data[k] in column indices[k] for indptr[i] <= k < indptr[i + 1]."""
    raw = _unpickled(file)
    state = raw.state if isinstance(raw, _SparseMatrix) else None
    if not isinstance(state, dict):
        raise DataError(f"{file} holds no sparse matrix; {_ANEW}.")
    with reading(file, _ANEW):
        rows, columns = map(int, state.get("_shape", state.get("shape", ())))
        data, indices, ends = (_of_kind(state.get(key), "fiub", 1) for key in ("data", "indices", "indptr"))
        counts = np.diff(ends)
        fits = len(ends) == rows + 1 and ends[0] == 0 and ends[-1] == len(data) == len(indices) and (counts >= 0).all()
        if not (fits and indices.min(initial=0) >= 0 and indices.max(initial=0) < columns and np.isfinite(data).all()):
            raise ValueError("the parts of its sparse matrix do not fit each other")
        _check_size(file, rows, columns)
        dense = np.zeros((rows, columns), np.float32)
        np.add.at(dense, (np.repeat(np.arange(rows), counts), indices), data)
    return dense


def _one_hot(file: Path) -> NDArray[Any]:
    """(n, K), with at most one entry of a row that is not 0."""
    with reading(file, _ANEW):
        labels = _of_kind(_unpickled(file), "fiub", 2)
        if not len(labels) or ((labels != 0).sum(1) > 1).any():
            raise ValueError("it must hold rows with one class each")
    return labels


def _of_kind(values: Any, kinds: str, ndim: int) -> NDArray[Any]:
    if not isinstance(values, np.ndarray) or values.dtype.kind not in kinds or values.ndim != ndim:
        raise ValueError(f"an array of {ndim} dimensions is missing in it")
    return values


def _neighbours(file: Path) -> Ids:
    """(2, E) of a dict from each node to a list of its neighbours."""
    neighbours = _unpickled(file)
    with reading(file, _ANEW):
        if not isinstance(neighbours, dict):
            raise ValueError("it must hold a dict of lists")
        pairs = [(node, other) for node, others in neighbours.items() for other in others]
        edges = np.array(pairs, np.int64).reshape(-1, 2).T
    return edges
