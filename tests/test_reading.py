"""What is read from outside is a typed value, or one sentence that names the file."""

import errno
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from calmix.errors import DataError
from calmix.reading import check_arrays, read_array, read_arrays, read_bytes, read_json, reading, typed, visible


def npy(head: str, version: bytes = b"\1\0") -> bytes:
    size = len(head).to_bytes(2 if version == b"\1\0" else 4, "little")
    return b"\x93NUMPY" + version + size + head.encode() + bytes(960)


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as stored:
        for name, raw in members.items():
            stored.writestr(name, raw)
    return path


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def changed(raw: bytes, offset: int, value: int) -> bytes:
    """The same with a number in both headers of the first member: 6 is its flags, 8 its method of compression."""
    data = bytearray(raw)
    for mark, more in ((b"PK\3\4", 0), (b"PK\1\2", 2)):
        data[raw.find(mark) + offset + more] = value
    return bytes(data)


HEAD = "{'descr': '<f8', 'fortran_order': False, 'shape': (40, 3), }"


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"a.npy": npy(HEAD.replace("40, 3", "100000000000,"))}, "claims 800000000000 bytes"),
        ({"a.npy": npy(HEAD.replace("40, 3", "10**9"))}, "cannot be read"),
        ({"a.npy": npy(HEAD[:-3])}, "cannot be read"),
        ({"a.npy": npy("\"'\"'''")}, "cannot be read"),  # which numpy's tokenizer gives up
        ({"a.npy": npy("(" * 400)}, "cannot be read"),
        ({"a.npy": npy(HEAD.replace("<f8", "|O"))}, "holds object and should hold plain arrays"),
        ({"a.npy": npy(HEAD.replace("'<f8'", "[('a', '<f8')]"))}, "should hold plain arrays"),
        ({"a.npy": npy(HEAD, b"\x09\x09")}, "cannot be read"),
        ({"a.npy": saved(np.zeros(3, complex))}, "holds complex128"),
        ({"a.npy": saved(np.zeros(3))[:-8]}, "it ends within an array"),
        ({"a.npy": saved(np.zeros(3)) + b"more"}, "longer than it says"),
        ({"a.txt": b"x"}, "cannot be read"),
        ({"a.npy": saved(np.zeros(3)), "a": saved(np.zeros(3))}, "two arrays of the same name"),
    ],
)
def test_an_archive_that_is_no_archive_of_arrays_is_named(tmp_path: Path, members: dict[str, bytes], reason: str):
    path = archive(tmp_path / "a.npz", members)
    with pytest.raises(DataError, match=rf"a\.npz.*({reason}).*; do this\.$"):
        read_arrays(path, "do this")


@pytest.mark.parametrize("damage", ["bare", "encrypted", "unknown method", "cut off", "flipped"])
def test_an_archive_that_cannot_be_unpacked_is_named(tmp_path: Path, damage: str):
    path = archive(tmp_path / "a.npz", {"a.npy": saved(np.arange(100.0))})
    raw = path.read_bytes()
    middle = len(raw) // 3
    contents = {
        "bare": saved(np.zeros(3)),
        "encrypted": changed(raw, 6, 1),
        "unknown method": changed(raw, 8, 93),
        "cut off": raw[:-30],
        "flipped": raw[:middle] + bytes([raw[middle] ^ 8]) + raw[middle + 1 :],
    }
    path.write_bytes(contents[damage])
    with pytest.raises(DataError, match=r"a\.npz cannot be read \(.*; run the command that made it again\.$"):
        read_arrays(path)


@pytest.mark.parametrize("kind", [">f8", ">f4", ">i2", "<u8", "?", "f2", "U5", ">U2", "S3", "g"])
def test_arrays_come_in_the_order_of_this_machine(tmp_path: Path, kind: str):
    row = np.arange(6).astype(kind)
    for array in (row, np.asfortranarray(row.reshape(2, 3)), np.array(1, kind), np.zeros((0, 3), kind)):
        np.savez(tmp_path / "a.npz", allow_pickle=False, x=array)
        np.save(tmp_path / "a.npy", array)
        for found in (read_arrays(tmp_path / "a.npz")["x"], read_array(tmp_path / "a.npy")):
            assert np.array_equal(found, array)
            assert found.shape == array.shape
            assert found.dtype.isnative
            assert found.dtype == (np.float64 if kind == "g" else array.dtype.newbyteorder("="))
            assert found.flags.writeable  # torch takes no others without a warning


def test_what_unpacks_to_a_multiple_of_its_size_is_refused(tmp_path: Path):
    """And saved uncompressed it is read."""
    import gzip

    bomb = bytes(3 * 10**8)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as stored:
        stored.writestr("a.npy", bomb)
    with pytest.raises(DataError, match=r"a\.npz unpacks to more than 100 times its size.*save it uncompressed"):
        read_arrays(tmp_path / "a.npz")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(bomb, 1))
    with pytest.raises(DataError, match=r"a\.csv\.gz unpacks to more than 100 times its size"):
        read_bytes(tmp_path / "a.csv.gz", "do this")
    (tmp_path / "b.gz").write_bytes(gzip.compress(bomb[:1000], 1))
    assert read_bytes(tmp_path / "b.gz", "do this") == bytes(1000)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"probs": np.ones((5, 3))}, "lacks labels"),
        ({"probs": np.ones((5, 3)), "labels": np.zeros(4, int)}, r"labels has shape \(4,\)"),
        ({"probs": np.ones((5, 3, 2)), "labels": np.zeros(5, int)}, r"probs has shape"),
        ({"probs": np.ones((0, 3)), "labels": np.zeros(0, int)}, r"probs has shape"),
        ({"probs": np.full((5, 3), np.nan), "labels": np.zeros(5, int)}, "probs should hold finite numbers"),
        ({"probs": np.full((5, 3), "x"), "labels": np.zeros(5, int)}, "probs should hold finite numbers"),
        ({"probs": np.ones((5, 3)), "labels": np.zeros(5)}, "labels should hold class ids"),
        ({"probs": np.ones((5, 3)), "labels": np.full(5, 3)}, "labels should hold class ids below 3"),
        ({"probs": np.ones((5, 3)), "labels": np.full(5, -1)}, "labels should hold class ids below 3"),
    ],
)
def test_arrays_that_do_not_go_together_are_named(arrays: dict[str, np.ndarray], reason: str):
    with pytest.raises(DataError, match=rf"a\.npz.*{reason}.*; run the command"):
        check_arrays(Path("a.npz"), arrays, {"probs": "n K", "labels": "K: n"})


def test_further_lengths_are_the_same_everywhere():
    row = np.zeros((2, 4))
    check_arrays(Path("a.npz"), {"row": row, "rows": np.zeros((7, 2, 4))}, {"row": "*", "rows": "m *"})
    with pytest.raises(DataError, match=r"rows has shape \(7, 4, 2\)"):
        check_arrays(Path("a.npz"), {"row": row, "rows": np.zeros((7, 4, 2))}, {"row": "*", "rows": "m *"})


@pytest.mark.parametrize("text", ["{", "", "[" * 100_000, '{"a": NaN}', "[Infinity]", "1" * 5000])
def test_a_file_that_is_no_json_is_named(tmp_path: Path, text: str):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a\.json cannot be read \(.*\); run the command that made it again\.$"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_bytes(b"\xff{}")
    with pytest.raises(DataError, match=r"a\.json cannot be read"):
        read_json(tmp_path / "a.json")


@dataclass(frozen=True)
class Inner:
    name: str
    share: float = 0.5


@dataclass(frozen=True)
class Outer:
    inner: Sequence[Inner]
    sizes: Mapping[str, int]
    note: str | None = None


def test_a_value_is_of_its_type():
    raw = json.loads('{"inner": [{"name": "a"}, {"name": "b\\u0007", "share": 1}], "sizes": {"train": 3}}')
    assert typed(Outer, raw) == Outer((Inner("a"), Inner("b\\x07", 1.0)), {"train": 3})
    assert type(typed(float, 1)) is float


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"inner": [], "sizes": {}, "more": 1}, "the entry more is one that this version of calmix does not know"),
        ({"inner": []}, "the entry sizes is missing"),
        ({"inner": [{}], "sizes": {}}, r"the entry inner\.0\.name is missing"),
        ({"inner": [{"name": 3}], "sizes": {}}, r"the entry inner\.0\.name is 3, expected text"),
        ({"inner": "ab", "sizes": {}}, "the entry inner is 'ab', expected a list"),
        ({"inner": [{"name": "a", "share": True}], "sizes": {}}, "share is True, expected a finite number"),
        ({"inner": [{"name": "a", "share": 10**400}], "sizes": {}}, "share is 1000.*, expected a finite number"),
        ({"inner": [{"name": "a", "share": float("nan")}], "sizes": {}}, "share is nan, expected a finite number"),
        ({"inner": [], "sizes": {"train": 1.5}}, r"sizes\.train is 1\.5, expected a whole number"),
        ({"inner": [], "sizes": {"train": False}}, r"sizes\.train is False, expected a whole number"),
        ({"inner": [], "sizes": {}, "note": []}, "note is list, expected nothing"),
        ([], "it is list, expected a mapping"),
    ],
)
def test_an_entry_of_another_kind_is_named(raw: object, reason: str):
    with pytest.raises(DataError, match=reason):
        typed(Outer, raw)


def test_what_no_page_can_show_becomes_an_escape():
    assert visible("caf\udce9\x00\n\x9f\ufffe") == "caf\\udce9\\x00\\n\\x9f\\ufffe"
    assert visible("Größe\u3000中 %") == "Größe\u3000中 %"


def test_what_may_not_be_read_asks_for_the_right_and_what_is_broken_for_another_file(tmp_path: Path):
    path = tmp_path / "one.csv"
    forbidden = r"one\.csv cannot be read \(Permission denied\); give yourself the right"
    with pytest.raises(DataError, match=forbidden), reading(path, "get it anew"):
        raise PermissionError(errno.EACCES, "Permission denied")
    broken = r"one\.csv cannot be read \(Is a directory\); get it anew"
    with pytest.raises(DataError, match=broken), reading(path, "get it anew"):
        raise IsADirectoryError(errno.EISDIR, "Is a directory")
