"""How real files are damaged: bytes, JSON, archives of arrays, tables."""

import gzip
import io
import json
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd

TEXTS = [
    "",
    " ",
    "\x07",
    "a\x00b",
    "=cmd|' /C calc'!A0",
    "+1",
    "-x",
    "@sum",
    "x" * 3000,
    "\ud800",
    "é\u4e2d\U0001f600",
    "nan",
    "inf",
    "9999-12-31",
    "0001-01-01",
    "12/31/9999",
    "1e400",
    "None",
    "../../x",
    "a/b",
    "<script>",
    "$\\frac",
    "{}",
    "%s",
    "a\nb",
]
NUMBERS = [
    0,
    1,
    -1,
    2,
    3,
    0.5,
    -0.0,
    1e-320,
    1e38,
    1e39,
    1e300,
    -1e308,
    10**15,
    2**63,
    10**30,
    10**400,
    float("inf"),
    float("nan"),
]
DEEP = "@deep@"


def bytes_of(random: Random, raw: bytes) -> bytes:
    """One to three places damaged."""
    data = bytearray(raw)
    for _ in range(random.choice((1, 1, 2, 3))):
        if not data:
            break
        start = random.randrange(len(data))
        end = min(len(data), start + random.choice((1, 2, 4, 16, 300)))
        match random.randrange(8):
            case 0 | 1:
                data[start] ^= 1 << random.randrange(8)
            case 2:
                data[start:end] = random.randbytes(end - start)
            case 3:
                del data[start:]
            case 4:
                del data[start:end]
            case 5:
                data[start:start] = data[start:end]
            case 6:
                data[start:end] = random.choice((b"\0", b"\xff", b"\x80")) * (end - start)
            case 7:
                data[start:start] = random.randbytes(3)
    return bytes(data)


def nasty(random: Random) -> Any:
    return random.choice(
        [
            *(None, True, False, [], {}, [[]], [1], [1, 2], {"a": {}}, {"": 0}, {"a/b": 1}, ["a", None], DEEP),
            *random.sample(TEXTS, 5),
            *random.sample(NUMBERS, 5),
        ]
    )


def json_of(random: Random, text: str) -> str:
    """One to three entries replaced, left out, renamed, doubled or wrapped."""
    value = [json.loads(text)]
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        place: Any = value
        while True:
            keys = list(place) if isinstance(place, dict) else range(len(place))
            if not keys:
                break
            key = random.choice(list(keys))
            inner = place[key]
            if isinstance(inner, dict | list) and inner and random.random() < 0.8:
                place = inner
                continue
            _damage_entry(random, place, key)
            break
    found = value[0] if value else None
    depth = random.choice((20, 900, 3_000, 200_000))
    opening, closing = random.choice((("[", "]"), ('{"a":', "}")))
    return json.dumps(found).replace(f'"{DEEP}"', opening * depth + ("1" if opening != "[" else "") + closing * depth)


def _damage_entry(random: Random, place: Any, key: Any) -> None:
    match random.randrange(7):
        case 0 | 1 | 2:
            place[key] = nasty(random)
        case 3:
            del place[key]
        case 4 if isinstance(place, dict):
            place[random.choice(TEXTS)] = place.pop(key)
        case 4 | 5 if isinstance(place, list):
            place.append(place[key])
        case 5:
            place[random.choice(TEXTS)] = place[key]
        case _:
            inner = place[key]
            number = isinstance(inner, int | float) and not isinstance(inner, bool) and abs(inner) < 1e300
            place[key] = random.choice((-inner, inner * 1e30, inner + 0.5, str(inner))) if number else [inner]


# ------------------------------------------------------------------------------------------------ archives of arrays

HEADS = [
    "{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000, 10000000000), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (-5,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (40, 3), ",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (40L, 3L), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (40, 3), }",
    "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (40,), }",
    "{'descr': '<f99', 'fortran_order': False, 'shape': (40,), }",
    "{'descr': '|V8', 'fortran_order': False, 'shape': (40, 3), }",
    "{'descr': '<f8', 'shape': (40, 3), }",
    "__import__('os').system('true')",
    "\"'\"'''",
    "(" * 400,
    "[" * 5000 + "]" * 5000,
    "",
]
KINDS = ["f2", "f4", ">f8", ">f4", ">i8", "g", "c16", "i1", "u8", "U5", "S5", "M8[D]", "m8[s]", "?"]


def arrays_of(random: Random, arrays: dict[str, np.ndarray]) -> bytes:
    """An .npz file of arrays of which some are of other types, shapes or values; or damaged as an archive."""
    rng, changed = np.random.default_rng(random.randrange(2**32)), dict(arrays)
    whole = random.random() < 0.25
    for _ in range(0 if whole else random.choice((1, 1, 2))):
        name = random.choice(list(changed))
        array = changed.pop(name)
        try:
            found = _damaged_array(random, rng, array)
        except (TypeError, ValueError, OverflowError, RuntimeError):  # no such array can be made
            found = np.full(array.shape, "a")
        if found is not None:
            others = [*arrays, "x", "logits", "samples", "variance", "a/b", "..", ""]
            changed[random.choice((name, name, name, random.choice(others)))] = found
    file = io.BytesIO()
    save: Any = random.choice((np.savez, np.savez_compressed))
    with np.errstate(all="ignore"):
        save(file, **{name or "empty": array for name, array in changed.items()})
    raw = file.getvalue()
    if not whole and random.random() < 0.8:
        return raw
    match random.randrange(7):
        case 0:
            return _with_flag(random, raw)
        case 1:
            head, version = random.choice(HEADS).encode(), random.choice(((1, 0), (2, 0), (3, 0), (9, 9)))
            size = len(head).to_bytes(2 if version == (1, 0) else 4, "little")
            return _archive(
                {
                    "probs.npy": b"\x93NUMPY" + bytes(version) + size + head + b"\0" * 960,
                    "labels.npy": _npy(np.zeros(40)),
                }
            )
        case 2:
            return _npy(next(iter(arrays.values())))
        case 3:
            member = _npy(np.zeros(3))
            return random.choice(
                (_archive({"probs": member}), _archive({"probs.npy": b""}), _archive({"a.txt": b"x"}), _archive({}))
            )
        case 4:
            return bomb(random.choice((10**6, 3 * 10**8)))
        case _:
            return bytes_of(random, raw)


def _damaged_array(random: Random, rng: np.random.Generator, array: np.ndarray) -> np.ndarray | None:
    match random.randrange(10):
        case 0 | 1 | 2:
            try:
                return array.astype(random.choice(KINDS))
            except (TypeError, ValueError):
                return np.full(array.shape, "a")
        case 3:
            return array[: random.randrange(3)] if array.ndim else np.zeros(3)
        case 4:
            return array[None] if random.random() < 0.5 else array.reshape(-1)
        case 5 if array.dtype.kind == "f":
            wild = array.copy()
            wild.reshape(-1)[rng.integers(0, wild.size, 3)] = random.choice((np.nan, np.inf, -1, 1e300, 1e-320, 2, 0))
            return wild
        case 5:
            return np.full_like(array, random.choice((-1, 7, 99)) if array.dtype.kind in "iuf" else "x")
        case 6:
            return np.array(random.choice((1.0, "x", None, [], {})), dtype=object if random.random() < 0.5 else None)
        case 7:
            return array.T
        case 8:
            return np.resize(array, random.choice(((0,), (1,), (40, 0), (40, 1), (40, 2, 2), (7, 3))))
        case _:
            return None


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _archive(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as stored:
        for name, raw in members.items():
            stored.writestr(name, raw)
    return file.getvalue()


def _with_flag(random: Random, raw: bytes) -> bytes:
    """Encrypted, as its flags say; or of an unknown method of compression."""
    data, place = bytearray(raw), random.choice(("flag", "method"))
    value = 1 if place == "flag" else random.choice((1, 12, 14, 93, 99))
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = raw.find(mark) + offset + (0 if place == "flag" else 2)
        data[at] = data[at] | 1 if place == "flag" else value
    return bytes(data)


@lru_cache
def bomb(count: int) -> bytes:
    """So many zeros as float64, written without making them."""
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({count},), }}".encode()
    head = b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little") + head
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as stored,
        stored.open("probs.npy", "w", force_zip64=True) as member,
    ):
        member.write(head)
        for _ in range(min(count, 4 * 10**7) // 10**6):  # the rest is missing
            member.write(bytes(8 * 10**6))
    return file.getvalue()


# ------------------------------------------------------------------------------------------------ tables


def csv_of(random: Random, text: str) -> bytes:
    """Cells, rows or the file as a whole."""
    rows = [line.split(",") for line in text.splitlines()]
    for _ in range(random.choice((1, 2, 5))):
        row, column = random.randrange(len(rows)), random.randrange(len(rows[0]))
        match random.randrange(7):
            case 0 | 1 | 2:
                if column < len(rows[row]):
                    rows[row][column] = random.choice([*TEXTS, *map(repr, NUMBERS), '"', '"a""b', "a,b"])
            case 3:
                value = random.choice([*TEXTS[:-1], *map(repr, NUMBERS)])
                for line in rows[1:]:
                    if column < len(line):
                        line[column] = value
            case 4:
                rows.insert(row, rows[row] * random.choice((1, 1, 2)))
            case 5:
                rows[0][column % len(rows[0])] = random.choice(TEXTS)
            case _:
                del rows[row]
                if not rows:
                    return b""
    separator = random.choice((",", ",", ",", ";", "\t", "|"))
    raw = "\n".join(separator.join(row) for row in rows)
    data = raw.encode(random.choice(("utf-8", "utf-8", "utf-8", "utf-16", "latin-1", "utf-8-sig")), "replace")
    return bytes_of(random, data) if random.random() < 0.2 else data


def parquet_of(random: Random, frame: pd.DataFrame, folder: Path) -> bytes:
    """Columns of other types; or damaged as a file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if random.random() < 0.4:
        file = io.BytesIO()
        frame.to_parquet(file)
        return bytes_of(random, file.getvalue())
    stored, n = pa.Table.from_pandas(frame, preserve_index=False), len(frame)
    for _ in range(random.choice((1, 2))):
        place = random.randrange(stored.num_columns)
        own = stored.column_names[place]
        name = random.choice((own, own, random.choice([*TEXTS[:9], "kind"]))).encode("utf-8", "replace").decode()
        stored = stored.set_column(place, name, _column(random, n))
    file = io.BytesIO()
    pq.write_table(stored, file)
    return file.getvalue()


def _column(random: Random, n: int) -> Any:
    import datetime as dt
    import decimal

    import pyarrow as pa

    far = [dt.date(9999, 12, 31), dt.date(1, 1, 1), dt.date(2020, 5, 1), None]
    moments = [dt.datetime(9999, 12, 31, 23, 59), dt.datetime(1, 1, 1), dt.datetime(2020, 1, 2), None]
    choices = [
        (far, pa.date32()),
        (far, pa.date64()),
        (moments, pa.timestamp("us")),
        (moments, pa.timestamp("s")),
        (moments, pa.timestamp("ms", tz="Europe/Berlin")),
        (moments[2:], pa.timestamp("ns")),
        ([dt.time(1, 2), None], pa.time64("us")),
        ([dt.timedelta(days=3), None], pa.duration("us")),
        ([decimal.Decimal("1.5"), decimal.Decimal("99999999.25"), None], pa.decimal128(20, 2)),
        ([b"x", b"\xff"], pa.binary()),
        ([[1], [2, 3]], pa.list_(pa.int64())),
        ([{"a": 1}], pa.struct([("a", pa.int64())])),
        ([None], pa.null()),
        ([True, False, None], pa.bool_()),
        ([1e39, -1e308, 2.0], pa.float64()),
        ([float("nan"), float("inf"), 1.0], pa.float64()),
        ([2**63 + 5, 1], pa.uint64()),
        ([1, 2, None], pa.int8()),
        ([1.5, None], pa.float16()),
        (["a", "=cmd|", "\x07", None], pa.string()),
        (["a", "b"], pa.large_string()),
        (["a", "b", None], pa.dictionary(pa.int8(), pa.string())),
        ([1.0, 2.0], pa.dictionary(pa.int8(), pa.float64())),
    ]
    values, kind = random.choice(choices)
    if str(kind) == "halffloat":
        values = [None if v is None else np.float16(v) for v in values]
    if pa.types.is_dictionary(kind):
        return pa.array([values[i % len(values)] for i in range(n)]).dictionary_encode()
    return pa.array([values[i % len(values)] for i in range(n)], kind)


def gzip_of(random: Random, raw: bytes) -> bytes:
    match random.randrange(4):
        case 0:
            return raw
        case 1:
            return bytes_of(random, gzip.compress(raw))
        case 2 if random.random() < 0.1:
            packer = zlib.compressobj(1, zlib.DEFLATED, 31)
            return b"".join([*(packer.compress(bytes(10**7)) for _ in range(60)), packer.flush()])
        case _:
            return gzip.compress(raw)
