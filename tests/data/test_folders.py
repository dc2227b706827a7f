"""Where the files of named sets are looked for."""

import gzip
from pathlib import Path

import pytest

from calmix.data.folders import check_all_shards, digest_of_files, find_file, find_folder
from calmix.data.series import EXCHANGE_RATE
from calmix.errors import DataError


def test_a_file_is_found_plain_or_gzipped_and_by_its_whole_name(tmp_path: Path):
    for stray in ("iris.csvw", "iris.csv.bak", "iris.csv.gz.part"):
        (tmp_path / stray).touch()
    with pytest.raises(DataError, match=r"^set: no file iris\.csv or iris\.csv\.gz found \(looked in .*\); get it\.$"):
        find_file("set", "iris.csv", tmp_path, "get it")
    (tmp_path / "iris.csv.gz").touch()
    assert find_file("set", "iris.csv", tmp_path, "") == tmp_path / "iris.csv.gz"
    (tmp_path / "iris.csv").touch()
    assert find_file("set", "iris.csv", tmp_path, "") == tmp_path / "iris.csv"


def test_a_folder_that_is_named_may_hold_that_of_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    inner = tmp_path / "speech" / "fsdd"
    inner.mkdir(parents=True)
    (inner / "a.wav").touch()
    for given in (tmp_path, inner):
        assert find_folder("speech/fsdd", "*.wav", given, [], "") == inner
    monkeypatch.setenv("CALMIX_DATA", str(tmp_path))
    assert find_folder("speech/fsdd", "*.wav", None, [], "") == inner
    with pytest.raises(DataError, match="no file"):  # the folder that is named, and no other
        find_folder("speech/fsdd", "*.wav", tmp_path / "speech" / "none", [], "get it")


def test_all_shards_that_a_name_tells_of_must_be_there():
    two = [Path(f"train-0000{part}-of-00002.parquet") for part in (0, 1)]
    check_all_shards(two)
    check_all_shards([Path("train-a.parquet"), Path("train-of-2.parquet")])
    with pytest.raises(DataError, match=r"^train-00001-of-00002\.parquet is one of 2 files, of which 1 are there"):
        check_all_shards(two[1:])


def test_a_digest_is_of_contents_names_and_order_and_of_no_folder(tmp_path: Path):
    """Exchanging two files, or moving one to where it has another label, makes other data."""
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
        for name, content in zip("abc", ("one", "two", "two"), strict=True):
            (folder / name).write_text(content)
    a, b, c = (folders[0] / name for name in "abc")
    of_all = digest_of_files([a, b, c])
    assert digest_of_files(folders[1] / name for name in "abc") == of_all
    others = [digest_of_files(paths) for paths in ([c, b, a], [a, b], [a, c, b])]
    others += [digest_of_files([a, b, c], names) for names in (["x/a", "b", "c"], ["x/a", "b", "y/c"])]
    a.write_text("on")
    assert len({of_all, *others, digest_of_files([a, b, c])}) == 7


def test_an_empty_series_is_named_and_warns_of_nothing(tmp_path: Path):
    for name, content in [("exchange_rate.txt.gz", gzip.compress(b"")), ("exchange_rate.txt", b"")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name} cannot be read \(.*\); get the file anew"):
            EXCHANGE_RATE.splits("exchange_rate", lambda known: (known[0], known[0]), None, tmp_path)
