"""Series in .ts files, the text format of the UEA and UCR archives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calmix.errors import DataError
from calmix.reading import reading, visible

ANEW = "get the file anew"


@dataclass(frozen=True, eq=False)
class ReadSeries:
    """series: n arrays (t, d), t may differ. labels: (n,) texts or numbers, or None. lines: (n,) where each stands."""

    series: Sequence[NDArray[np.float64]]
    labels: NDArray[np.str_] | NDArray[np.float64] | None
    lines: NDArray[np.int64]


def read_ts(path: Path) -> ReadSeries:
    """The series of a .ts file: a header of @ lines, and a line each: columns between `:`, steps between `,`.

    Raises:
        DataError: a file that is none, with time stamps or missing values, or a line that its header does not allow.
    """
    with reading(path, ANEW):
        lines = path.read_text(encoding="utf-8").splitlines()
    header, start = _header(path, lines)
    if header.get("timestamps", "false").lower() == "true":
        raise DataError(f"{path} has time stamps, which calmix does not read; save the values of equal steps alone.")
    kinds = [name for name in ("classlabel", "targetlabel") if header.get(name, "false").split()[0].lower() == "true"]
    classes = header["classlabel"].split()[1:] if kinds == ["classlabel"] else []
    series, labels, numbers = [], [], []
    for number, line in enumerate(lines[start:], start + 1):
        if not line.strip() or line.startswith("#"):
            continue
        columns = line.strip().split(":")
        if kinds:
            labels.append(_label(columns.pop().strip(), classes, f"{path}: line {number}", kinds[0]))
        series.append(_values(columns, f"{path}: line {number}"))
        if series[-1].shape[1] != series[0].shape[1]:
            raise DataError(
                f"{path}: line {number} has {series[-1].shape[1]} columns, and the first {series[0].shape[1]}; {ANEW}."
            )
        numbers.append(number)
    if not series:
        raise DataError(f"{path} holds no series after @data; {ANEW}.")
    lengths = {len(one) for one in series}
    if header.get("equallength", "false").lower() == "true" and len(lengths) > 1:
        raise DataError(f"{path} says that its series are of equal length, and they are not; {ANEW}.")
    return ReadSeries(series, np.array(labels) if kinds else None, np.array(numbers, np.int64))


def _header(path: Path, lines: Sequence[str]) -> tuple[Mapping[str, str], int]:
    """What the lines before the data say, by their names in small letters, and where the data begin."""
    header: dict[str, str] = {}
    for place, line in enumerate(lines):
        text = line.strip()
        if text.lower() == "@data":
            return header, place + 1
        if text.startswith("@"):
            name, _, value = text[1:].partition(" ")
            header[name.lower()] = value.strip() or "false"
        elif text and not text.startswith("#"):
            break
    raise DataError(f"{path} has no line @data after its header, as .ts files do; {ANEW}.")


def _label(text: str, classes: Sequence[str], where: str, kind: str) -> str | float:
    if kind == "targetlabel":
        return float(_values([text], where)[0, 0])
    if classes and text not in classes:
        raise DataError(f"{where} has the class {visible(text)!r}, which its header does not name; {ANEW}.")
    return visible(text)


def _values(columns: Sequence[str], where: str) -> NDArray[np.float64]:
    """(t, d)"""
    try:
        values = [np.array(column.split(","), np.float64) for column in columns]
    except ValueError:
        missing = any("?" in column for column in columns)
        what = "missing values (?)" if missing else "something else than numbers"
        raise DataError(f"{where} holds {what}; fill them in, or leave the series out.") from None
    if len({len(column) for column in values}) > 1:
        raise DataError(f"{where} has columns of different lengths; {ANEW}.")
    if not np.isfinite(values).all():
        raise DataError(f"{where} holds NaN or infinity; fill it in, or leave the series out.")
    return np.stack(values, 1)
