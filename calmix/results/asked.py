"""Where the results of a comparison are, answered before anything is loaded that takes its time."""

from pathlib import Path

from calmix.errors import DataError
from calmix.reading import read_json


def results_path(folder: Path) -> Path:
    """The file of results in a folder. Raises DataError where there is none."""
    path = folder / "results.json"
    if path.exists():
        return path
    if any(folder.glob("runs/*.json")):
        raise DataError(
            f"{folder} holds runs that are not all done; the command that began them goes on with --resume."
        )
    raise DataError(f"{folder} holds no results.json; make one with `calmix compare DATA --out {folder}`.")


def finished_runs(folder: Path) -> int:
    """How many runs its results.json holds; 0 where there is none that can be read."""
    try:
        return len(read_json(folder / "results.json")["runs"])
    except (DataError, LookupError, TypeError):
        return 0
