"""Which columns of a table hold what, where its own names do not say so.

K  classes
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calmix.errors import DataError, SettingError, UnknownNameError
from calmix.reading import visible


@dataclass(frozen=True)
class Columns:
    """Columns by name, as the options of `calmix evaluate` say.

    probs: of the K classes' probabilities (of their logits with --logits); a single one is that of the positive class.
    label: of the truth. positive: the class that P(y = 1) is said of, for two classes.

    Raises:
        SettingError: a column twice, or one that is both.

    >>> Columns(("p_cat", "p_dog"), "truth").classes
    ('cat', 'dog')
    """

    probs: tuple[str, ...] = ()
    label: str | None = None
    positive: str | None = None

    def __post_init__(self) -> None:
        if len(set(self.probs)) != len(self.probs):
            raise SettingError(f"--prob-columns names a column twice: {', '.join(self.probs)}; name each once.")
        if self.label in self.probs:
            raise SettingError(f"{self.label!r} is named as probability and as label; name the column of the truth.")
        if self.positive is not None and len(self.probs) > 2:
            raise SettingError(f"--positive is for two classes; got {len(self.probs)} probability columns.")

    @property
    def any(self) -> bool:
        return bool(self.probs) or self.label is not None or self.positive is not None

    @property
    def classes(self) -> tuple[str, ...]:
        """What differs in the names of several probability columns; cut at signs that part words, not inside one."""
        if len(self.probs) < 2:
            return ()
        before = _shared(self.probs)
        rest = [name.removeprefix(before) for name in self.probs]
        after = _shared([name[::-1] for name in rest])[::-1]
        names = tuple(name.removesuffix(after) for name in rest)
        return names if all(names) else self.probs


def _shared(names: Sequence[str]) -> str:
    """How all names begin, as far as the last sign that parts words: of p_dog and p_doe, p_."""
    count = next((i for i, signs in enumerate(zip(*names, strict=False)) if len(set(signs)) > 1), min(map(len, names)))
    return names[0][: max(names[0][:count].rfind(sign) for sign in "_-. :()[]=/") + 1]


def renamed(frame: pd.DataFrame, columns: Columns, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The table with the names that `calmix evaluate` knows: probs_cat, probs_dog, ..., labels; and what was left out.

    Where columns are named, others that would be predictions or truth by their own names are left out.

    Raises:
        UnknownNameError: a column that is not there, or a positive class that no row is of.
        DataError: labels of more than two classes beside one probability.
    """
    names = list(map(str, frame.columns))
    for name in (*columns.probs, *([columns.label] if columns.label is not None else [])):
        if name not in names:
            raise UnknownNameError(f"column of {path.name}", name, names)
    frame = frame.set_axis(names, axis=1)
    label = columns.label or next((name for name in ("labels", "label", "targets", "target") if name in names), None)
    found = {} if label is None or label not in names else {label: "labels"}
    others = [name for name in names if _is_other(name, columns)]
    if columns.probs:
        classes = [f"probs_{name}" for name in columns.classes] or ["probs"]
        found |= dict(zip(columns.probs, classes, strict=True))
    return _by_positive(frame.drop(columns=others).rename(columns=found), columns, path), others


def _is_other(name: str, columns: Columns) -> bool:
    """Whether a column would be taken for predictions or truth by its own name, where another was named."""
    kind = name.partition("_")[0]
    if columns.probs and kind in ("prob", "probs", "probability", "probabilities", "logit", "logits"):
        return name not in columns.probs
    return columns.label is not None and name in ("label", "labels", "target", "targets") and name != columns.label


def _by_positive(frame: pd.DataFrame, columns: Columns, path: Path) -> pd.DataFrame:
    """With the positive class second, and labels 0 and 1 where there is but one probability."""
    positive = columns.positive
    if positive is None:
        return _ask_for_positive(frame, path)
    if "labels" not in frame:
        raise DataError(f"{path} has no column of true classes for --positive; name it with --label-column.")
    several = [name for name in map(str, frame.columns) if name.startswith(("probs_", "logits_"))]
    labels = texts(frame["labels"].to_numpy())
    if several:
        ends = [name.partition("_")[2] for name in several]
        if len(several) != 2:
            raise DataError(f"{path} holds probabilities of {len(several)} classes, and --positive is for two.")
        if positive not in ends:
            raise UnknownNameError(f"positive class in {path.name}", positive, ends)
        place = ends.index(positive)
        ordered = [several[1 - place], several[place]]
        rest = [name for name in frame.columns if name not in several]
        if set(labels) <= {"0", "1"} and not set(labels) <= set(ends):  # ids, in the order of the columns
            frame = frame.assign(labels=[ends[int(label)] for label in labels])
        return frame.reindex(columns=[*ordered, *rest])
    known = sorted(set(labels))
    if positive not in known:
        raise UnknownNameError(f"positive class in {path.name}", positive, known)
    if len(known) > 2:
        raise DataError(
            f"{path}: labels are of {len(known)} classes and there is one column of probabilities; name a column a "
            "class with --prob-columns."
        )
    return frame.assign(labels=np.array([int(label == positive) for label in labels]))


def _ask_for_positive(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Raise DataError where one column of probabilities stands beside labels that are no 0 and 1."""
    one = "probs" in frame or "logits" in frame
    if one and "labels" in frame and frame["labels"].dtype != bool:
        known = sorted(set(texts(frame["labels"].to_numpy())))
        if not set(known) <= {"0", "1"} and len(known) == 2:
            raise DataError(
                f"{path}: labels are {known[0]!r} and {known[1]!r}; say with --positive CLASS which of them the "
                "probabilities are of."
            )
    return frame


def texts(labels: NDArray[Any]) -> list[str]:
    """Labels as text; whole numbers without a point."""
    return [visible(str(int(x)) if isinstance(x, float) and x.is_integer() else str(x)) for x in labels.tolist()]


def ignored(names: Sequence[str], path: Path) -> str:
    """The notice that names what is not looked at."""
    shown = ", ".join(map(visible, names[:10])) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return f"{path.name}: ignored what is no prediction by its name: {shown}."
