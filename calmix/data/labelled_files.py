"""Files with labels: by the folders that they lie in, or by a table that lists them.

n files
"""

import os
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calmix.data.new_rows import NewRows
from calmix.data.splits import RowIds, listed
from calmix.errors import DataError
from calmix.reading import visible

PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test", "val": "validation",
         "valid": "validation", "validation": "validation", "dev": "validation"}  # fmt: skip
COLUMNS = ("file", "label", "split", "group")


@dataclass(frozen=True, eq=False)
class LabelledFiles:
    """files: (n,) paths within the folder, with /. labels: (n,). given, groups: as of `Whole`.

    numbers: (n,) how the user counts them. unit, note: see `GivenRows`. source: what names the labels in messages.
    """

    folder: Path
    files: Sequence[str]
    labels: NDArray[Any]
    numbers: NDArray[np.int64]
    unit: str
    note: str
    source: str
    given: Mapping[str, RowIds] = field(default_factory=dict)
    groups: NDArray[np.str_] | None = None
    notices: tuple[str, ...] = ()

    @property
    def paths(self) -> list[Path]:
        return [self.folder / file for file in self.files]


def labelled_files(folder: Path, suffixes: Collection[str], listing: Path | None) -> LabelledFiles:
    """The files of these kinds in a folder, and their labels.

    Without a listing, a file's label is the folder in it that it lies in; where all of these are called train, test and
    validation (val), these are given parts, and the next folders are the labels. A listing is a table with the columns
    file and label, and, if need be, split (train, test, validation) and group (files of one group are never in two
    splits, such as the recordings of one speaker).

    Raises:
        DataError: files without labels, labels without files, or a table that is no such listing.
    """
    files = files_in(folder, suffixes)
    if not files:
        raise DataError(f"{folder} holds no files that end in {', '.join(suffixes)}; give another folder.")
    return _by_folder(folder, files) if listing is None else _by_listing(folder, files, listing)


def files_in(folder: Path, suffixes: Collection[str]) -> list[str]:
    """The files of these kinds in a folder and those in it, by name, but hidden ones."""
    found: list[str] = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        chosen = [name for name in names if Path(name).suffix.lower() in suffixes and not name.startswith(".")]
        found += [(Path(root) / name).relative_to(folder).as_posix() for name in chosen]
    return sorted(found)


def _by_folder(folder: Path, files: Sequence[str]) -> LabelledFiles:
    places, found = [file.split("/")[:-1] for file in files], parts_of(files)
    depth = 1 if found else 0
    alone = [file for file, place in zip(files, places, strict=True) if len(place) <= depth]
    if alone:
        raise DataError(
            f"{len(alone)} of {len(files)} files, such as {visible(alone[0])!r}, lie in no folder of a class; put the "
            f"files of each class of {folder} into a folder of its own, or list them in a table with the columns "
            "file and label, and give it as labels."
        )
    return LabelledFiles(
        folder,
        files,
        np.array([class_of(place[depth]) for place in places]),
        np.arange(1, len(files) + 1),
        "file",
        f"Files are counted from 1, in the order of their names in {visible(folder.name)}.",
        f"the folders in {folder}",
        _given(np.array(found, str)),
    )


def parts_of(files: Sequence[str]) -> list[str]:
    """Of which part each file is, by the first of its folders; none where not all of these are called after parts.

    >>> parts_of(["train/cat/1.wav", "val/cat/2.wav"]), parts_of(["test/1.wav", "rest/1.wav"])
    (['train', 'validation'], [])
    """
    found = [PARTS.get(file.lower().split("/")[0], "") if "/" in file else "" for file in files]
    return found if "train" in found and all(found) else []


def class_of(folder: str) -> str:
    """The class that a folder is called after: systems write the same letters differently."""
    return visible(unicodedata.normalize("NFC", folder))


def _by_listing(folder: Path, files: Sequence[str], path: Path) -> LabelledFiles:
    table = read_listing(path)
    names = list(table.files)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{path} lists {len(missing)} files that are not in {folder}: {listed(missing, 3)}; its column file holds "
            "paths within that folder."
        )
    if table.labels is None:
        raise DataError(f"{path} lacks the column label; it should have {listed(COLUMNS[:2])}.")
    others = len(set(files) - set(names))
    told = [f"{others} files of {folder} are not in {path.name} and are left out."] if others else []
    parts, groups = table.parts, table.groups
    given = _given(parts)
    if groups is not None:
        for part, rows in given.items():
            both = sorted(set(groups[rows].tolist()) & set(np.delete(groups, rows).tolist()))
            if both:
                raise DataError(
                    f"{path}: groups {listed(both, 3)} stand in the {part} split and in another; leave out the column "
                    "split or the column group."
                )
    return LabelledFiles(
        folder,
        names,
        table.labels,
        table.numbers,
        table.unit,
        f"{table.unit.capitalize()}s are those of {visible(path.name)}, counted from 1.",
        f"the labels in {path}",
        given,
        groups,
        tuple(told),
    )


def _given(parts: NDArray[np.str_]) -> dict[str, RowIds]:
    return {part: np.flatnonzero(parts == part) for part in ("test", "validation") if (parts == part).any()}


# ------------------------------------------------------------------------------------------------------- the listing


@dataclass(frozen=True, eq=False)
class Listing:
    """A table of files (n,); labels: (n,) or None. numbers: the line of each."""

    files: Sequence[str]
    labels: NDArray[Any] | None
    parts: NDArray[np.str_]
    groups: NDArray[np.str_] | None
    numbers: NDArray[np.int64]
    unit: str


def read_listing(path: Path) -> Listing:
    """Raise DataError for a table without the column file, with empty cells, a file twice, or an unknown split."""
    from calmix.data.table.files import TEXTS, read_table
    from calmix.data.table.format import DETECTED, TableFormat

    read = read_table(path, TableFormat(header=True) if path.suffix.lower() in TEXTS else DETECTED)
    table = {str(name).strip().lower(): column for name, column in read.frame.items()}
    if "file" not in table:
        columns = listed(map(str, read.frame))
        raise DataError(f"{path} lacks the column file (it has {columns}); it should have {listed(COLUMNS[:2])}.")
    for name in ("file", "label", "group"):
        if name in table and table[name].isna().any():
            line = read.numbers[np.flatnonzero(table[name].isna())[0]]
            raise DataError(f"{path}: {read.unit} {line} has no {name}; fill it in.")
    files = [str(Path(str(name)).as_posix()) for name in table["file"]]
    if len(set(files)) < len(files):
        twice = next(name for name in files if files.count(name) > 1)
        raise DataError(f"{path} lists {twice!r} twice; list each file once.")
    texts = [str(part).strip().lower() for part in table["split"].fillna("train")] if "split" in table else []
    parts = np.array([PARTS.get(text or "train", "") for text in texts or ["train"] * len(files)])
    if (parts == "").any():
        place = np.flatnonzero(parts == "")[0]
        raise DataError(
            f"{path}: {read.unit} {read.numbers[place]} has the split {texts[place]!r}; expected train, test or "
            "validation."
        )
    labels = table["label"].to_numpy() if "label" in table else None
    if labels is not None and labels.dtype.kind not in "biuf":
        labels = np.array([str(label) for label in labels])
    groups = np.array([str(group) for group in table["group"]]) if "group" in table else None
    return Listing(files, labels, parts, groups, read.numbers, read.unit)


def only_listed(rows: NewRows, path: Path, regression: bool) -> NewRows:
    """The rows of the files that a table lists, with their labels as the truth; of several splits the test part.

    Raises:
        DataError: rows that are no files, or a table that lists other files.
    """
    import torch

    from calmix.data.goals import class_texts, goal_of

    if "file" not in rows.names:
        raise DataError(f"{path} lists files, and the rows to predict are none; leave the labels out.")
    table = read_listing(path)
    places = {name: place for place, name in enumerate(rows.names["file"])}
    chosen = table.parts == "test" if (table.parts == "test").any() else np.ones(len(table.files), bool)
    names = [name for name, is_chosen in zip(table.files, chosen.tolist(), strict=True) if is_chosen]
    missing = [name for name in names if name not in places]
    if missing:
        raise DataError(f"{path} lists files that are not among those to predict: {listed(missing, 3)}; correct it.")
    order = torch.tensor([places[name] for name in names])
    truth = None if table.labels is None else table.labels[chosen]
    if truth is not None:
        truth = goal_of(truth, "regression", path.name).y[:, 0] if regression else class_texts(truth)
    told = f"{len(names)} files are predicted, the test part of {path.name}." if not chosen.all() else ""
    return replace(rows.at(order), truth=truth, notices=(*rows.notices, *filter(None, [told])))
