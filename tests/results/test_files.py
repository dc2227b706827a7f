"""Files are there whole or not at all, and what cannot be read names the file."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pytest

from calmix.errors import DataError, SettingError
from calmix.reading import read_arrays, read_json
from calmix.results.files import (
    FINISHED,
    check_labels,
    hold_folder,
    refuse_finished,
    slug,
    without_quote,
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


def test_a_full_disk_is_told_with_the_file_and_leaves_nothing(tmp_path: Path):
    def refuse(file: BinaryIO) -> None:
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # has no file name

    with pytest.raises(DataError, match=r"cannot write .*file\.txt: No space left on device"):
        write_whole(tmp_path / "file.txt", refuse)
    assert list(tmp_path.iterdir()) == []


def test_files_have_the_rights_that_the_user_gives_files(tmp_path: Path):
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "a.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o640


# ---------------------------------------------------------------------------------------------------- folders


def test_a_folder_that_cannot_be_made_is_advice(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write to .*give another --out"), hold_folder(tmp_path / "file" / "a"):
        pass


def test_a_folder_is_held_by_one_command_at_a_time(tmp_path: Path):
    other = (
        "import sys; from pathlib import Path; from calmix.results.files import hold_folder\n"
        "with hold_folder(Path(sys.argv[1])): print('held')"
    )

    def held_by_another() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", other, tmp_path], capture_output=True, text=True, check=False)

    with hold_folder(tmp_path), hold_folder(tmp_path / "." / "figures" / ".."):  # the same folder by another name
        assert "another command is writing" in held_by_another().stderr
    assert held_by_another().stdout == "held\n"
    assert [path.name for path in tmp_path.iterdir()] == []


def test_what_a_killed_command_left_half_written_is_swept_and_nothing_else(tmp_path: Path):
    kill = (
        "import os, sys; from pathlib import Path; from calmix.results.files import hold_folder, write_whole\n"
        "with hold_folder(Path(sys.argv[1])):\n"
        "    write_whole(Path(sys.argv[1]) / 'runs' / 'a.json', lambda file: os.kill(os.getpid(), 9))"
    )
    (tmp_path / "notes.tmp").write_text("mine")
    subprocess.run([sys.executable, "-c", kill, tmp_path], capture_output=True, check=False)
    torn = list((tmp_path / "runs").iterdir())
    assert len(torn) == 1
    assert torn[0].name != "a.json"
    with hold_folder(tmp_path):
        assert list((tmp_path / "runs").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.tmp", "runs"]


def test_a_folder_in_which_nothing_was_written_is_not_left(tmp_path: Path):
    with hold_folder(tmp_path / "new"):
        pass
    with hold_folder(tmp_path / "above" / "new"):
        (tmp_path / "above" / "new" / "runs").mkdir()
    with hold_folder(tmp_path / "kept"):
        write_json(tmp_path / "kept" / "a.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


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


def test_long_labels_become_short_file_names_that_differ(tmp_path: Path):
    long = "mixup(alpha=0." + "3" * 240
    names = {slug(long + end) for end in ("1)", "2)", "\udcff")}
    assert len(names) == 3
    assert max(map(len, names)) == 200
    assert all(name.startswith("mixup-alpha-0.33") for name in names)


def test_labels_that_some_system_would_give_one_file_are_refused():
    check_labels(["Mixup(1)", "mixup(2)"])
    for alike in (["mixup(1)", "mixup[1]"], ["Mixup", "mixup"]):
        with pytest.raises(SettingError, match="same name in files"):
            check_labels(alike)


def test_a_spreadsheet_carries_nothing_out(tmp_path: Path):
    frame = pd.DataFrame({"class": ["=cmd|' /C calc'!A0", "+x", "@sum", "-1", "-1.5e3", "a=b", "-"], "x": range(7)})
    write_csv(tmp_path / "a.csv", frame.rename(columns={"x": "=1+1"}))
    head, *rows = (tmp_path / "a.csv").read_text().splitlines()
    assert head == "class,'=1+1"
    assert [row.rpartition(",")[0] for row in rows] == [
        "'=cmd|' /C calc'!A0",
        "'+x",
        "'@sum",
        "-1",
        "-1.5e3",
        "a=b",
        "'-",
    ]
    assert [without_quote(row.rpartition(",")[0]) for row in rows] == frame["class"].tolist()


def test_labels_that_no_figure_can_show_are_refused():
    with pytest.raises(SettingError, match=r"the label 'a\\x07' has control characters"):
        check_labels(["erm", "a\x07"])
