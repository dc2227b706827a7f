"""What a user asks of data by name or path, answered before anything is loaded that takes its time."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

from calmix.data.splits import TASKS, listed
from calmix.errors import DataError, SettingError, UnknownNameError


def path_of(data: str, sets: Collection[str]) -> Path | None:
    """The path of data of one's own that a text stands for; None where it is the name of one of the sets.

    Raises UnknownNameError for a word that is neither, and no file or folder.

    >>> path_of("digits", ["digits"]), path_of("own.csv", ["digits"])
    (None, PosixPath('own.csv'))
    """
    if data in sets:
        return None
    path = Path(data).expanduser()
    if not path.suffix and len(path.parts) == 1 and not path.exists():
        raise UnknownNameError("data set", data, [*sets, "path/to/table.csv"])
    return path


Kind = Literal["named", "table", "arrays", "images", "hub", "audio", "series", "long"]

ARRAYS = (".npz", ".npy", ".pt", ".pth", ".safetensors")
_IMAGES = "jpg jpeg jpe jfif png gif bmp dib webp tif tiff ppm pgm pbm pnm jp2 avif tga ico"  # that Pillow reads
IMAGES = tuple(f".{name}" for name in _IMAGES.split())
SHARDS = (".parquet", ".arrow")
AUDIO = (".wav", ".flac", ".ogg")
SERIES = (".ts",)
_OF_SUFFIX: dict[str, Kind] = {
    **dict.fromkeys(ARRAYS, "arrays"),
    **dict.fromkeys(IMAGES, "images"),
    **dict.fromkeys(AUDIO, "audio"),
    **dict.fromkeys(SERIES, "series"),
}  # of other files: a table
WRITTEN = ("sep", "decimal", "thousands", "encoding", "sheet", "header", "no_header")  # parts of a `TableFormat`
OPTIONS: dict[str, tuple[Kind, ...]] = {  # what each option is for
    "data_dir": ("named",),
    "target": ("table", "long", "hub"),
    **dict.fromkeys(("keep", "test", "validation", "group", "time", "weight"), ("table",)),
    "drop": ("table", "long"),
    **dict.fromkeys(("format", *WRITTEN), ("table", "long")),
    "image_size": ("images", "hub"),
    "labels": ("audio",),
    "seconds": ("audio",),
    **dict.fromkeys(("series_id", "series_time"), ("long",)),
}
SERIES_COLUMNS = ("series_id", "series_time")
_KINDS: dict[Kind, str] = {
    "named": "data sets with a name",
    "table": "tables",
    "arrays": "arrays",
    "images": "folders of images",
    "hub": "shards of images",
    "audio": "audio files",
    "series": "series",
    "long": "tables of series",
}
_LOOKED_AT = 10_000  # files of a folder


def kind_of(path: Path, in_series: bool = False) -> Kind:
    """What a file or folder of one's own holds, by its suffix, or by the suffix that most of its files have.

    in_series: whether a table would be one of series.

    Raises:
        DataError: a folder without files of any kind.
    """
    if not path.is_dir():
        return _OF_SUFFIX.get(path.suffix.lower(), "long" if in_series else "table")
    if has_shards(path):
        return "hub"
    suffixes = (file.suffix.lower() for file in islice(path.rglob("*"), _LOOKED_AT))
    found: Counter[Kind] = Counter(_OF_SUFFIX[suffix] for suffix in suffixes if suffix in _OF_SUFFIX)
    if not found:
        known = ", ".join((*ARRAYS[1:2], *IMAGES[:1], *IMAGES[4:5], *AUDIO, *SERIES))
        raise DataError(f"{path} holds no files that a folder of data may hold ({known}); give another folder or file.")
    return found.most_common(1)[0][0]


def has_shards(folder: Path) -> bool:
    """Whether tables of images lie in the folder, or in those in it, as the hub has them."""
    return any(file.suffix in SHARDS for file in (*folder.glob("*"), *folder.glob("*/*")))


def check_options(kind: Kind, data: str, given: Iterable[str]) -> None:
    """Raise SettingError for an option, among the names of those that are given, that is not for this kind of data."""
    for name in given:
        if kind not in OPTIONS.get(name, (kind,)):
            *others, last = (_KINDS[each] for each in OPTIONS[name])
            kinds = f"{', '.join(others)} and {last}" if others else last
            holds = "is one of the" if kind == "named" else "holds"
            raise SettingError(f"{name} is for {kinds}, and {data} {holds} {_KINDS[kind]}: leave it out.")


def check_long(data: str, target: str | None, id: str | None, time: str | None) -> tuple[str, str, str]:
    """The three columns that series in a table need. Raise SettingError where one is not named."""
    if target is None or id is None or time is None:
        raise SettingError(
            f"series in the table {data} need three columns: the target (target), whose value names the series of a "
            "row (series_id), and the time (series_time); name all three."
        )
    return target, id, time


def check_task(task: str | None) -> None:
    """Raise UnknownNameError unless the task is one of TASKS, or None."""
    if task is not None and task not in TASKS:
        raise UnknownNameError("task", task, TASKS)


def target_of(columns: Sequence[str], target: str | None, drop: Collection[str], name: str) -> str:
    """The column to predict, of the columns of the table `name`.

    Raises:
        DataError: no target. UnknownNameError: no such column. SettingError: a target that is to be left out, too.
    """
    if target is None:
        raise DataError(f"no target column was given for {name}; name one with --target: {listed(columns)}.")
    if target not in columns:
        raise UnknownNameError("target column", target, columns)
    if target in drop:
        raise SettingError(f"{target!r} is the target, and cannot be dropped; leave it out of --drop.")
    return target


def check_ready(path: Path, ready: Mapping[str, Path]) -> None:
    """Raise SettingError where the file of a ready-made part is that of another part. path: of the training file."""
    known = {path.resolve(): "the training file"}
    for part, file in ready.items():
        other = known.setdefault(file.resolve(), f"the file of the {part} split")
        if other != f"the file of the {part} split":
            raise SettingError(f"--{part} is {file}, {other}; give a file of other rows.")


def check_columns(name: str, columns: Collection[str], needed: Sequence[str]) -> None:
    """Raise DataError where a ready-made part lacks a column. name: of its file."""
    if lacking := [column for column in needed if column not in columns]:
        raise DataError(f"{name} lacks the column {lacking[0]!r}, which the training file has; add it.")
