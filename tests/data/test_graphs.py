"""Graphs in raw files: what they say, and what is wrong with damaged ones."""

import pickle
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from calmix.data import Folds, graphs
from calmix.data.graphs import CitationGraph, GraphFolder, find_graphs, find_nodes, read_graphs, read_nodes
from calmix.errors import DataError
from tests.data.raw_graphs import geometric, write_graphs, write_nodes

TU = ("MUTAG", "PROTEINS", "NCI1", "IMDB-BINARY")


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """A triangle, a pair of nodes and a single one: nodes 1-3, 4-5 and 6."""
    edges = "1, 2\n2, 1\n2, 3\n3, 2\n1, 3\n3, 1\n4, 5\n5, 4\n"
    files = {"A": edges, "graph_indicator": "1\n1\n1\n2\n2\n3\n", "graph_labels": "-1\n1\n-1\n"}
    for part, text in (files | {"node_labels": "7\n5\n7\n9\n5\n5\n"}).items():
        (tmp_path / f"TOY_{part}.txt").write_text(text)
    return tmp_path


# ---------------------------------------------------------------------------------------------------------- TUDataset


def test_three_graphs_counted_by_hand(three: Path):
    read = read_graphs(three)
    assert read.name == "TOY"
    assert read.graph_of.tolist() == [0, 0, 0, 1, 1, 2]
    assert set(zip(*read.edges.tolist(), strict=True)) == {
        (0, 1),
        (1, 0),
        (1, 2),
        (2, 1),
        (0, 2),
        (2, 0),
        (3, 4),
        (4, 3),
    }
    assert read.features.tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 0, 0]]  # 5, 7, 9
    assert (read.labels.tolist(), read.classes, read.notices) == ([0, 1, 0], ("-1", "1"), ())


def test_without_labels_a_node_is_its_degree(three: Path):
    (three / "TOY_node_labels.txt").unlink()
    read = read_graphs(three)
    assert read.features.argmax(1).tolist() == [2, 2, 2, 1, 1, 0]
    assert read.notices == ("nodes have no labels; what is known of one is its degree, of 0 to 2.",)


def test_degrees_are_capped(three: Path, monkeypatch: pytest.MonkeyPatch):
    (three / "TOY_node_labels.txt").unlink()
    monkeypatch.setattr(graphs, "MOST_DEGREES", 2)
    assert read_graphs(three).features.argmax(1).tolist() == [1, 1, 1, 1, 1, 0]


def test_without_labels_attributes_are_taken_as_they_are(three: Path):
    (three / "TOY_node_labels.txt").unlink()
    (three / "TOY_node_attributes.txt").write_text("".join(f"{node}.5, -{node}\n" for node in range(6)))
    assert read_graphs(three).features.tolist() == [[node + 0.5, -node] for node in range(6)]


def test_beside_labels_attributes_are_left_out_and_that_is_said(three: Path):
    (three / "TOY_node_attributes.txt").write_text("0\n" * 6)
    read = read_graphs(three)
    assert (read.features.shape, len(read.notices)) == ((6, 3), 1)


def test_each_column_of_labels_is_one_hot_by_itself(three: Path):
    (three / "TOY_node_labels.txt").write_text("0, 4\n1, 4\n0, 6\n1, 6\n0, 8\n0, 8\n")
    assert read_graphs(three).features[:3].tolist() == [[1, 0, 1, 0, 0], [0, 1, 1, 0, 0], [1, 0, 0, 1, 0]]


def test_loops_and_edges_that_come_twice_do_not_count(three: Path):
    with (three / "TOY_A.txt").open("a") as file:
        file.write("4, 5\n5, 4\n6, 6\n")
    assert read_graphs(three).edges.shape == (2, 8)


@pytest.mark.parametrize("name", TU)
def test_real_graphs_are_those_of_torch_geometric(name: str, real_data: Path):
    folder = real_data / "graphs" / "TUDataset" / name / "raw"
    read = read_graphs(folder)
    with geometric():
        from torch_geometric.io import read_tu_data

        theirs: Any
        theirs, slices, _ = read_tu_data(str(folder), name)
    nodes = read.graph_of.bincount()
    first = (nodes.cumsum(0) - nodes).repeat_interleave(slices["edge_index"].diff())  # they count in each graph anew
    assert torch.equal(read.edges, theirs.edge_index + first)
    assert torch.equal(torch.from_numpy(read.labels), theirs.y)
    if theirs.x is not None:
        assert torch.equal(read.features, theirs.x)
    assert len(read.graph_of.unique()) == len(theirs.y)


DAMAGE = {
    "A cut in a number": ("A", lambda text: text[:-4], r"_A\.txt (cannot be read|has an edge)"),
    "A cut after a line": ("A", lambda text: text[:-5], r"_A\.txt has an edge from 4 to 5 and none back; .* cut short"),
    "A without numbers": (
        "A",
        lambda text: text.replace("2, 3", "2, x"),
        r"_A\.txt cannot be read .*; get the file anew",
    ),
    "A of one column": ("A", lambda text: "1\n2\n", r"_A\.txt holds 1 numbers a line in place of 2"),
    "A of fractions": ("A", lambda text: text.replace("2, 3", "2, 3.5"), r"_A\.txt cannot be read"),
    "A empty": ("A", lambda text: " \n", r"_A\.txt is empty; get the file anew"),
    "A beyond": ("A", lambda text: text + "6, 7\n7, 6\n", r"_A\.txt names node 7, and there are 6 nodes, from 1 on"),
    "A of node 0": ("A", lambda text: text + "0, 1\n1, 0\n", r"_A\.txt names node 0, and there are 6 nodes"),
    "A across": ("A", lambda text: text + "3, 4\n4, 3\n", r"_A\.txt joins the nodes 3 and 4, .* in different graphs"),
    "nodes cut": ("graph_indicator", lambda text: text[:-2], r"_graph_indicator\.txt gives graph 3 .* no node"),
    "a node more": (
        "graph_indicator",
        lambda text: text + "3\n",
        r"_node_labels\.txt has 6 lines, and there are 7 nodes",
    ),
    "no such graph": (
        "graph_indicator",
        lambda text: text[:-2] + "4\n",
        r"_graph_indicator\.txt names the graphs 1 to 4",
    ),
    "graph 0": ("graph_indicator", lambda text: "0" + text[1:], r"_graph_indicator\.txt names the graphs 0 to 3"),
    "out of order": ("graph_indicator", lambda text: "2" + text[1:], r"graph of line 2 comes after a later one"),
    "labels cut": ("graph_labels", lambda text: "-1\n1\n", r"graph_labels\.txt has labels of 2; one of the two is cut"),
    "one class": ("graph_labels", lambda text: "1\n1\n1\n", r"_graph_labels\.txt has one class"),
    "node labels cut": ("node_labels", lambda text: text[:-2], r"_node_labels\.txt has 5 lines, and there are 6 nodes"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_text_file_is_named(damage: str, three: Path):
    part, change, says = DAMAGE[damage]
    file = three / f"TOY_{part}.txt"
    file.write_text(change(file.read_text()))
    with pytest.raises(DataError, match=says):
        read_graphs(three)


def test_attributes_must_be_finite(three: Path):
    (three / "TOY_node_labels.txt").unlink()
    (three / "TOY_node_attributes.txt").write_text("1\n2\nnan\n4\n5\n6\n")
    with pytest.raises(DataError, match=r"_node_attributes\.txt holds NaN or infinity"):
        read_graphs(three)


@pytest.mark.parametrize("part", ["graph_indicator", "graph_labels"])
def test_a_missing_file_is_named_with_where_to_get_it(part: str, three: Path):
    (three / f"TOY_{part}.txt").unlink()
    with pytest.raises(DataError, match=rf"'TOY_{part}\.txt' missing in .*; get TOY\.zip from .*--data-dir"):
        GraphFolder(three).graphs()


def test_a_known_set_needs_the_labels_of_its_nodes(three: Path):
    """Without them a node would be told by its degree."""
    for file in three.glob("TOY_*"):
        file.rename(three / file.name.replace("TOY", "MUTAG"))
    (three / "MUTAG_node_labels.txt").unlink()
    with pytest.raises(DataError, match=r"'MUTAG_node_labels\.txt' missing in .*; get MUTAG\.zip from"):
        read_graphs(three)


def test_two_sets_in_a_folder_are_refused(three: Path):
    (three / "MORE_A.txt").write_text("1, 2\n")
    with pytest.raises(DataError, match=r"must hold the files of one set.*'MORE', 'TOY'"):
        read_graphs(three)


def test_a_known_set_that_was_shortened_with_care_is_told_by_its_counts(real_data: Path, tmp_path: Path):
    """The last graph of MUTAG is left out of every file."""
    raw = real_data / "graphs" / "TUDataset" / "MUTAG" / "raw"
    lines = {file.name: file.read_text().splitlines() for file in raw.glob("*.txt")}
    kept = [number for number, graph in enumerate(lines["MUTAG_graph_indicator.txt"]) if graph != "188"]
    edges = [line for line in lines["MUTAG_A.txt"] if int(line.split(",")[0]) <= len(kept)]
    shorter = {
        "MUTAG_A.txt": edges,
        "MUTAG_graph_labels.txt": lines["MUTAG_graph_labels.txt"][:-1],
        **{
            f"MUTAG_{part}.txt": [lines[f"MUTAG_{part}.txt"][at] for at in kept]
            for part in ("graph_indicator", "node_labels")
        },
    }
    for name, text in shorter.items():
        (tmp_path / name).write_text("\n".join(text) + "\n")
    with pytest.raises(DataError, match=r"MUTAG has 188 graphs, 3,371 nodes and 7,442 edges, and .* holds 187 graphs"):
        read_graphs(tmp_path)


# ---------------------------------------------------------------------------------------------------------- sources


def test_rows_are_the_numbers_of_graphs(tmp_path: Path):
    write_graphs(tmp_path, "TOY", 40)
    read, splits = read_graphs(tmp_path), GraphFolder(tmp_path).splits(0)
    parts = [splits.train, splits.validation, splits.calibration, splits.test]
    assert [len(part) for part in parts] == [24, 4, 4, 8]
    assert all(part.x.dtype == torch.int64 and part.shape == (1,) for part in parts)
    assert sorted(torch.cat([part.x for part in parts]).flatten().tolist()) == list(range(40))
    assert all(part.y.tolist() == read.labels[part.x.flatten()].tolist() for part in parts)
    assert splits.given is not None
    assert splits.given.tested.tolist() == splits.test.x.flatten().tolist()
    assert (splits.about.kind, splits.about.name, splits.given.unit) == ("graph", "TOY", "graph")


def test_ten_folds_test_every_graph_once(tmp_path: Path):
    write_graphs(tmp_path, "TOY", 40)
    source = Folds(GraphFolder(tmp_path), 10)
    tested = torch.cat([source.splits(seed).test.x for seed in range(10)])
    assert sorted(tested.flatten().tolist()) == list(range(40))


def test_fewer_graphs_to_train_on(tmp_path: Path):
    write_graphs(tmp_path, "TOY", 40)
    source = GraphFolder(tmp_path, train_size=10)
    assert (len(source.splits(0).train), len(source.whole().splits(0).train)) == (10, 24)


def test_a_source_is_a_value_that_follows_its_files(tmp_path: Path):
    write_graphs(tmp_path, "TOY", 40)
    source = GraphFolder(tmp_path)
    again = pickle.loads(pickle.dumps(source))
    assert (again, hash(again), eval(repr(source), {"GraphFolder": GraphFolder, "PosixPath": Path})) == (
        source,
        hash(source),
        source,
    )
    before = source.splits(0).about.digest
    (tmp_path / "TOY_node_labels.txt").write_text("3\n" * len(source.graphs().features))
    assert source.splits(0).about.digest != before
    assert source.graphs().features.shape[1] == 1


@pytest.mark.parametrize("place", [(), ("raw",), ("MUTAG",), ("MUTAG", "raw")])
def test_a_folder_is_found_in_data_dir(place: tuple[str, ...], tmp_path: Path):
    folder = tmp_path.joinpath(*place)
    folder.mkdir(parents=True, exist_ok=True)
    write_graphs(folder, "MUTAG", 12)
    assert find_graphs("MUTAG", tmp_path) == GraphFolder(folder)


def test_absent_graphs_are_instructions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CALMIX_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"get MUTAG\.zip from .*graphs/TUDataset/MUTAG/raw where CALMIX_DATA says"):
        find_graphs("MUTAG")
    with pytest.raises(
        DataError, match=r"get the files ind\.cora\.\* from .*--data-dir, or put them into graphs/Planet"
    ):
        find_nodes("Cora", tmp_path)


def test_graphs_are_found_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CALMIX_DATA", str(tmp_path))
    folder = tmp_path / "graphs" / "TUDataset" / "MUTAG" / "raw"
    folder.mkdir(parents=True)
    write_graphs(folder, "MUTAG", 12)
    assert find_graphs("MUTAG") == GraphFolder(folder)


# ---------------------------------------------------------------------------------------------------------- Planetoid


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    write_nodes(tmp_path, "toy")
    return tmp_path


def test_nodes_are_where_the_test_index_says(nodes: Path):
    """Of 520 known nodes, and 12 tested ones that stand at 531, 530, ..., but for 525, which is in no file."""
    read = read_nodes(nodes)
    assert (len(read.features), len(read.labels)) == (532 + 1, 533)
    order = [number for number in range(532, 519, -1) if number != 525]
    tested = pickle.loads((nodes / "ind.toy.tx").read_bytes()).toarray()
    assert read.features[order].tolist() == tested.tolist()
    assert read.labels[:520].tolist() == [node % 2 for node in range(520)]  # as they were written
    known = pickle.loads((nodes / "ind.toy.allx").read_bytes()).toarray()
    assert read.features[:520].tolist() == known.tolist()
    assert read.features[525].tolist() == [0.0] * read.features.shape[1]
    assert read.labels[order].tolist() == pickle.loads((nodes / "ind.toy.ty").read_bytes()).argmax(1).tolist()
    assert {name: (rows[0], rows[-1], len(rows)) for name, rows in read.parts.items()} == {
        "train": (0, 9, 10),
        "validation": (10, 509, 500),
        "test": (520, 532, 12),
    }


def test_the_public_split_is_that_of_every_seed(nodes: Path):
    first, second = (CitationGraph(nodes).splits(seed) for seed in (0, 1))
    read = read_nodes(nodes)
    for part, count in (("train", 10), ("validation", 250), ("calibration", 250), ("test", 12)):
        one, other = getattr(first, part), getattr(second, part)
        assert sorted(one.x.flatten().tolist()) == sorted(other.x.flatten().tolist())
        assert len(one) == count
        assert one.y.tolist() == read.labels[one.x.flatten()].tolist()
    halves = torch.cat([first.validation.x, first.calibration.x]).flatten()
    assert sorted(halves.tolist()) == list(range(10, 510))
    assert first.given is not None
    assert first.given.tested.tolist() == first.test.x.flatten().tolist() == read.parts["test"].tolist()
    assert any("halved, once for all seeds" in notice for notice in first.about.notices)


def test_a_graph_with_a_split_of_its_own_cannot_be_cut_into_folds(nodes: Path):
    with pytest.raises(ValueError, match="no rows to cut into folds"):
        Folds(CitationGraph(nodes), 5)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", ["Cora", "CiteSeer"])
def test_real_nodes_are_those_of_torch_geometric(name: str, real_data: Path):
    folder = real_data / "graphs" / "Planetoid" / name / "raw"
    read = read_nodes(folder)
    with geometric():
        from torch_geometric.io import read_planetoid_data

        theirs: Any = read_planetoid_data(str(folder), name)
    assert torch.equal(read.features, theirs.x)
    assert torch.equal(read.edges.flip(0), theirs.edge_index)
    for part, mask in (("train", "train_mask"), ("validation", "val_mask"), ("test", "test_mask")):
        rows = theirs[mask].nonzero()[:, 0]
        assert read.parts[part].tolist() == rows.tolist()
        assert read.labels[rows].tolist() == theirs.y[rows].tolist()


def rewritten(folder: Path, part: str, value: object) -> None:
    (folder / f"ind.toy.{part}").write_bytes(pickle.dumps(value, protocol=2))


class Runs:
    """Would make a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize("part", ["x", "ally", "graph"])
def test_no_code_of_a_pickle_is_run(part: str, nodes: Path):
    rewritten(nodes, part, Runs(nodes / "made"))
    with pytest.raises(DataError, match=rf"ind\.toy\.{part} cannot be read \(it names .*, which holds no graph\)"):
        read_nodes(nodes)
    assert not (nodes / "made").exists()


PICKLES = {
    "no matrix": ("allx", [1, 2], r"ind\.toy\.allx holds no sparse matrix"),
    "other matrices": ("tx", csr_matrix(np.eye(12, 4)), r"the features in .* do not fit each other"),
    "fewer known": ("allx", csr_matrix(np.eye(519, 6)), r"ind\.toy\.ally has 520 rows, and ind\.toy\.allx 519"),
    "fewer tested": ("tx", csr_matrix(np.eye(11, 6)), r"ind\.toy\.ty has 12 rows, and ind\.toy\.tx 11"),
    "fewer trained": ("x", csr_matrix(np.eye(9, 6)), r"do not fit each other"),
    "class ids": ("ty", np.zeros(12, np.int64), r"ind\.toy\.ty cannot be read \(an array of 2 dimensions"),
    "two classes": ("ally", np.ones((520, 2)), r"ind\.toy\.ally cannot be read \(it must hold rows with one class"),
    "more classes": ("ty", np.eye(9)[:9].repeat(2, 0)[:12], r"ind\.toy\.ty has 9 classes, and ind\.toy\.ally \d;"),
    "objects": ("ally", np.array([[{}]] * 520), r"ind\.toy\.ally cannot be read"),
    "no dict": ("graph", [[1], [0]], r"ind\.toy\.graph cannot be read \(it must hold a dict"),
    "no such node": ("graph", defaultdict(list, {0: [900], 900: [0]}), r"\.graph names node 900, and there are 533"),
    "one way": ("graph", defaultdict(list, {0: [1]}), r"ind\.toy\.graph has an edge from 0 to 1 and none back"),
    "of texts": ("graph", {0: ["a"]}, r"ind\.toy\.graph cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("damage", PICKLES)
def test_a_damaged_pickle_is_named(damage: str, nodes: Path):
    part, value, says = PICKLES[damage]
    rewritten(nodes, part, value)
    with pytest.raises(DataError, match=says):
        read_nodes(nodes)


@pytest.mark.parametrize("part", ["x", "tx", "allx", "y", "ty", "ally", "graph"])
def test_a_pickle_that_is_cut_short_is_named(part: str, nodes: Path):
    file = nodes / f"ind.toy.{part}"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match=rf"ind\.toy\.{part} cannot be read .*; get the file anew"):
        read_nodes(nodes)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text[: len(text) // 2], r"(ty|test\.index) .*cut short|must hold different nodes"),
        (lambda text: text.replace("531", "530"), r"test\.index must hold different nodes from 520 on"),
        (lambda text: text.replace("531", "3"), r"test\.index must hold different nodes from 520 on"),
        (lambda text: text.replace("531", "99999999"), r"test\.index must hold different nodes from 520 on"),
        (lambda text: text + "533\n", r"test\.index has 13 rows, and ind\.toy\.ty 12"),
    ],
)
def test_a_damaged_test_index_is_named(change, says: str, nodes: Path):
    file = nodes / "ind.toy.test.index"
    file.write_text(change(file.read_text()))
    with pytest.raises(DataError, match=says):
        read_nodes(nodes)


def test_a_matrix_whose_parts_do_not_fit_is_named(nodes: Path):
    matrix = csr_matrix(np.eye(520, 6))
    matrix.indices = matrix.indices + 9
    rewritten(nodes, "allx", matrix)
    with pytest.raises(DataError, match=r"allx cannot be read \(the parts of its sparse matrix do not fit"):
        read_nodes(nodes)


@pytest.mark.parametrize("part", ["y", "test.index"])
def test_a_missing_pickle_is_named_with_where_to_get_it(part: str, nodes: Path):
    (nodes / f"ind.toy.{part}").unlink()
    with pytest.raises(DataError, match=rf"'ind\.toy\.{part}' missing in .*; get the files ind\.toy\.\*"):
        CitationGraph(nodes).splits(0)


def test_a_known_graph_without_some_edges_is_told_by_its_counts(real_data: Path, tmp_path: Path):
    for file in (real_data / "graphs" / "Planetoid" / "Cora" / "raw").iterdir():
        shutil.copy(file, tmp_path / file.name)
    file = tmp_path / "ind.cora.graph"
    neighbours = pickle.loads(file.read_bytes(), encoding="latin1")
    gone = neighbours.pop(0)
    file.chmod(0o644)
    file.write_bytes(
        pickle.dumps({node: [other for other in others if other != 0] for node, others in neighbours.items()})
    )
    assert gone
    with pytest.raises(DataError, match=r"cora has 1 graphs, 2,708 nodes and 10,556 edges, and .* its files"):
        read_nodes(tmp_path)
