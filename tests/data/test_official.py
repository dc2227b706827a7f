"""Tables with lists of their test rows."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from calmix.data.official import ListedSplits, PublishedTable, read_lists
from calmix.errors import DataError, SettingError

ROWS = 40


@pytest.fixture
def listed(tmp_path: Path) -> ListedSplits:
    """Row n holds n, and its target is 1000 + n, so that rows are known by their values."""
    table, lists = tmp_path / "own.csv", tmp_path / "own.splits.npz"
    table.write_text("a,target\n" + "".join(f"{n}.5,{1000 + n}.25\n" for n in range(ROWS)))
    np.savez(lists, test_splits=np.array([[3, 5, 7, -1], [0, 1, 2, 39]], dtype=np.int32))
    return ListedSplits(table, lists)


def rows_tested(source: ListedSplits, seed: int) -> list[int]:
    """The rows of the test split, by their targets."""
    splits = source.splits(seed)
    mean, std = (torch.tensor(value) for value in (splits.about.target_mean, splits.about.target_std))
    return sorted((splits.test.y * std + mean - 1000).flatten().round().int().tolist())


def test_a_seed_tests_the_rows_of_its_list(listed: ListedSplits):
    assert rows_tested(listed, 0) == [3, 5, 7]
    assert rows_tested(listed, 1) == [0, 1, 2, 39]
    splits = listed.splits(0)
    assert len(splits.train) + len(splits.validation) + len(splits.calibration) == ROWS - 3


def test_the_same_list_is_the_same_run_and_another_file_is_another(listed: ListedSplits):
    before = listed.splits(0).about.digest
    assert listed.splits(1).about.digest == before
    np.savez(listed.lists, test_splits=np.array([[3, 5, 8]]))
    assert listed.splits(0).about.digest != before
    assert rows_tested(listed, 0) == [3, 5, 8]


def test_fewer_rows_to_train_on_leave_the_test_rows(listed: ListedSplits):
    few = ListedSplits(listed.path, listed.lists, train_size=9)
    assert len(few.splits(0).train) == 9
    assert rows_tested(few, 0) == [3, 5, 7]
    assert few.whole() == listed


def test_a_seed_beyond_the_lists_is_refused(listed: ListedSplits):
    with pytest.raises(SettingError, match="holds 2 lists of test rows: take at most 2 seeds"):
        listed.splits(2)


@pytest.mark.parametrize("rows", [[[ROWS]], [[4, 4]], [[-1, -1], [0, 1]], [[0, 1], [2, ROWS]], [list(range(ROWS))]])
def test_rows_that_the_table_does_not_have_are_refused(listed: ListedSplits, rows: list[list[int]]):
    np.savez(listed.lists, test_splits=np.array(rows))
    with pytest.raises(DataError, match=r"must hold different rows of the 40 in own\.csv"):
        listed.splits(0)


@pytest.mark.parametrize("wrong", [b"", b"PK\x03\x04 torn", b"a,b\n1,2\n"])
def test_a_damaged_file_of_lists_is_named(listed: ListedSplits, wrong: bytes):
    listed.lists.write_bytes(wrong)
    with pytest.raises(DataError, match=r"own\.splits\.npz holds no array 'test_splits'.*get the file anew"):
        read_lists(listed.lists)


@pytest.mark.parametrize("wrong", [np.array([0.5]), np.array([1, 2]), np.array([[-2]]), np.zeros((0, 3), int)])
def test_what_is_no_list_of_rows_is_refused(listed: ListedSplits, wrong: np.ndarray):
    np.savez(listed.lists, test_splits=wrong)
    with pytest.raises(DataError, match="must hold whole row numbers"):
        read_lists(listed.lists)


def test_published_lists_have_a_tenth_of_the_rows(real_data: Path):
    folder = real_data / "tabular" / "regression"
    source = ListedSplits(folder / "yacht.csv.gz", folder / "yacht.splits.npz")
    assert len(read_lists(source.lists)) == 20
    splits = source.splits(19)
    assert (len(splits.test), len(splits.test) + len(splits.train)) == (31, 31 + len(splits.train))
    assert splits.about.task == "regression"


CLASSES, VALUES = PublishedTable("own", 4, 2, classes=2), PublishedTable("own", 4, 2)


@pytest.mark.parametrize(
    ("table", "lines", "differs"),
    [
        (CLASSES, "a,target 1,b 2,b 3,c", "has 3 rows of 2 columns, and own 4 of 2"),
        (CLASSES, "1,7 2,8 3,7 4,8", "has 3 rows of 2 columns, and own 4 of 2"),  # no header
        (CLASSES, "a,d,target 1,1,b 2,2,b 3,3,c 4,4,c", "has 4 rows of 3 columns, and own 4 of 2"),
        (CLASSES, "target,a b,1 b,2 c,3 c,4", "must have a last column named target, which is 'a'"),
        (CLASSES, "a,target 1,b 2,c 3, 4,c", "holds nothing for 'target' of row 3"),
        (CLASSES, "a,target 1,b 2,c 3,d 4,c", "has 3 different targets, and own 2"),
        (VALUES, "a,target 1,1.5 2,2.5 3,b 4,4.5", "holds 'b' for 'target' of row 3"),
        (VALUES, "a,target 1,1.5 2,inf 3,3.5 4,4.5", "holds 'inf' for 'target' of row 2"),
        (VALUES, "a,target 1,1.5 2,2.5 3, 4,4.5", "holds nothing for 'target' of row 3"),
        (CLASSES, "a,target 1,b 2o,b 3,c 4,c", "holds '2o' for 'a' of row 2"),
        (CLASSES, "a,target 1,b -inf,b 3,c 4,c", "holds '-inf' for 'a' of row 2"),
        (CLASSES, "a,target 1,b 2,c 3,b 4,c", None),
        (CLASSES, "a,target 1,0 2,1 3,1 4,0", None),
        (CLASSES, "a,target 1,0 ,1 3,1 4,0", None),
        (VALUES, "a,target 1,1.5 2,2.5 3,-3 4,1e3", None),
    ],
)
def test_a_table_that_is_not_the_published_one_is_refused(
    table: PublishedTable, lines: str, differs: str | None, tmp_path: Path
):
    path = tmp_path / "own.csv"
    path.write_text(lines.replace(" ", "\n") + "\n")
    if differs is None:
        assert table.find("tables", tmp_path, "get it") == path
    else:
        with pytest.raises(DataError, match=re.escape(f"{path} {differs}; get the file anew, or compare")):
            table.find("tables", tmp_path, "get it")
