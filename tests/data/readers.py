"""Other readers of CSV files on the texts of the corpus: `python -m tests.data.corpus --readers`."""

import csv
import importlib
import io
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tests.data.corpus import Case, difference, outcome

KINDS = ("separator", "decimal comma", "thousands", "encoding", "quotes", "missing marker", "line ends", "no header",
         "around the table", "undecidable", "broken")  # fmt: skip


def by_pandas(path: Path) -> pd.DataFrame:
    return pd.read_csv(path)


def by_pandas_alone(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep=None, engine="python")


def by_sniffer(path: Path) -> pd.DataFrame:
    text = path.read_text(encoding="utf-8")
    return pd.read_csv(io.StringIO(text), dialect=csv.Sniffer().sniff(text))


def by_pyarrow(path: Path) -> pd.DataFrame:
    import pyarrow.csv

    return pyarrow.csv.read_csv(path).to_pandas()


def by_clevercsv(path: Path) -> pd.DataFrame:
    return importlib.import_module("clevercsv").read_dataframe(str(path))


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    "pandas.read_csv": by_pandas,
    "pandas.read_csv(sep=None)": by_pandas_alone,
    "csv.Sniffer and pandas": by_sniffer,
    "pyarrow.csv": by_pyarrow,
    "clevercsv and pandas": by_clevercsv,
}


def compared(cases: Sequence[Case], folder: Path) -> str:
    """How often each reader is right, refuses, and is silently wrong, in Markdown; of those that are installed."""
    texts = [case for case in cases if case.kind in KINDS]
    lines = [f"| reader ({len(texts)} tables) | right | refused | silently wrong |", "|---|---|---|---|"]
    ours = Counter(outcome(case, folder)[0] for case in texts)
    lines.append(f"| calmix | {ours['read'] + ours['told']} | {ours['refused']} | {ours['wrong']} |")
    for name, read in READERS.items():
        counts: Counter[str] = Counter()
        for case in texts:
            path = folder / case.file
            path.write_bytes(case.content)
            counts[_outcome(read, path, case)] += 1
        if not counts["not installed"]:
            lines.append(f"| {name} | {counts['right']} | {counts['refused']} | {counts['wrong']} |")
    return "\n".join([*lines, "", *_encodings(cases)])


def _outcome(read: Callable[[Path], pd.DataFrame], path: Path, case: Case) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = read(path)
        except ModuleNotFoundError:
            return "not installed"
        except Exception:  # of any parser
            return "refused"
    return "wrong" if difference(found, case.expected) else "right"


def _encodings(cases: Sequence[Case]) -> list[str]:
    """The same of the encodings that are not Unicode, where charset-normalizer is installed."""
    try:
        detect: Any = importlib.import_module("charset_normalizer")
    except ModuleNotFoundError:
        return []
    bytes_alone = [case for case in cases if _is_old(case.style.encoding)]
    right: Counter[str] = Counter()
    for case in bytes_alone:
        best = detect.from_bytes(case.content).best()
        text, truth = str(best or "").replace("\r", ""), case.content.decode(case.style.encoding)
        right[f"{case.kind}: {'right' if text == truth.replace(chr(13), '') else 'wrong'}"] += 1
    told = ", ".join(f"{name} {count}" for name, count in sorted(right.items()))
    return [f"charset-normalizer, {len(bytes_alone)} tables that are not Unicode: {told}"]


def _is_old(encoding: str) -> bool:
    return not encoding.startswith("utf")
