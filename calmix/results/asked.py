"""Where the results of a comparison are, answered before anything is loaded that takes its time."""

from pathlib import Path

from calmix.errors import DataError


def results_path(folder: Path) -> Path:
    """The file of results in a folder. Raises DataError where there is none."""
    path = folder / "results.json"
    if not path.exists():
        raise DataError(f"{folder} holds no results.json; make one with `calmix compare DATA --out {folder}`.")
    return path
