"""What is known of a search before its end. PyTorch is not loaded for it.

OUT/search.json  what is searched, and by which command
"""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from calmix.errors import DataError
from calmix.reading import known, read_json, typed
from calmix.results.files import write_json

_FILE = "search.json"


@dataclass(frozen=True)
class Begun:
    """A search that has begun. command: as the shell split it; empty for one from Python."""

    methods: Sequence[str]
    budget: float
    command: Sequence[str]


def write_begun(folder: Path, begun: Begun) -> None:
    write_json(folder / _FILE, asdict(begun))


def refuse_unfinished(folder: Path) -> None:
    """Raise DataError where a folder holds a search that has not ended: what is there, and how it goes on."""
    path = folder / _FILE
    if not path.exists() or (folder / "tuning.json").exists():
        return
    begun = typed(Begun, known(Begun, read_json(path)))
    counts = Counter(_method_of(run) for run in folder.glob("runs/*.json"))
    done = [f"{counts.pop(method, 0)} of {method}" for method in begun.methods]
    more = f", {counts.total()} to test what was chosen" if counts else ""
    words = [word for word in begun.command if word != "--resume"]
    go_on = shlex.join([*words, "--resume"]) if words else f"calmix.tune(..., out={str(folder)!r}, resume=True)"
    raise DataError(
        f"{folder} holds a search that has not ended. Of {begun.budget:g} plain trainings to search with, these "
        f"trainings are done: {', '.join(done)}{more}. It goes on with: {go_on}"
    )


def _method_of(run: Path) -> str:
    """Of which method the trial was, `mixup` of `mixup 3`; of the last trainings their name."""
    label = read_json(run).get("method", "")
    return str(label).rpartition(" ")[0] or str(label)
