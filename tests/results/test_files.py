"""Files are there whole or not at all, and what cannot be read names the file."""

import json
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pytest

from calmix.errors import DataError
from calmix.reading import read_arrays, read_json
from calmix.results.files import (
    FINISHED,
    make_folder,
    refuse_finished,
    slug,
    write_arrays,
    write_csv,
    write_json,
    write_whole,
)


def test_what_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "deep" / "file.txt"
    write_whole(path, lambda file: file.write(b"old"))

    def fail(file: BinaryIO) -> None:
        file.write(b"half of it")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, fail)
    assert path.read_bytes() == b"old"
    assert [one.name for one in path.parent.iterdir()] == ["file.txt"]


def test_json_holds_finite_numbers_only(tmp_path: Path):
    path = tmp_path / "a.json"
    write_json(path, {"ece": 0.5})
    assert read_json(path) == {"ece": 0.5}
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, {"ece": np.float32(0.5)})  # would come back as text
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(path, {"ece": value})
    assert json.loads(path.read_text())["ece"] == 0.5


def test_arrays_and_tables_come_back(tmp_path: Path):
    arrays = {"logits": np.arange(6, dtype=np.float32).reshape(2, 3), "labels": np.array([1, 0])}
    write_arrays(tmp_path / "a.npz", arrays)
    found = read_arrays(tmp_path / "a.npz")
    assert all(np.array_equal(found[name], arrays[name]) and found[name].dtype == arrays[name].dtype for name in arrays)
    write_csv(tmp_path / "a.csv", pd.DataFrame({"x": [1, 2], "y": ["a", "b"]}))
    assert (tmp_path / "a.csv").read_bytes() == b"x,y\n1,a\n2,b\n"


def test_what_cannot_be_read_names_the_file(tmp_path: Path):
    for name in ("none.json", "bad.json"):
        (tmp_path / "bad.json").write_text("{")
        with pytest.raises(DataError, match=f"{name} cannot be read"):
            read_json(tmp_path / name)
    for name in ("none.npz", "bad.npz"):
        (tmp_path / "bad.npz").write_bytes(b"PK")
        with pytest.raises(DataError, match=rf"{name} cannot be read.*run the command that made it again"):
            read_arrays(tmp_path / name)


def test_a_folder_that_cannot_be_made_is_advice(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write to .*give another --out"):
        make_folder(tmp_path / "file" / "out")
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_that_holds_results_is_refused(tmp_path: Path):
    refuse_finished(tmp_path / "new", "give another --out")
    (tmp_path / "figures").mkdir()
    refuse_finished(tmp_path, "give another --out")
    for name, kind in FINISHED.items():
        (tmp_path / name).write_text("{}")
        with pytest.raises(DataError, match=f"already holds {kind}; give another --out"):
            refuse_finished(tmp_path, "give another --out")
        (tmp_path / name).unlink()
    for room in ("runs", "seeds"):
        (tmp_path / room).mkdir()
        refuse_finished(tmp_path, "give another --out")
        (tmp_path / room / "erm-seed0.json").write_text("{}")
        with pytest.raises(DataError, match="already holds finished runs"):
            refuse_finished(tmp_path, "give another --out")
        (tmp_path / room / "erm-seed0.json").unlink()


def test_labels_become_file_names():
    assert slug("mixup(alpha=0.2)") == "mixup-alpha-0.2"
    assert slug("../../x y") == "..-..-x-y"
