"""Where the files of a named data set are."""

import os
from collections.abc import Iterable
from pathlib import Path

from calmix.errors import DataError


def find_folder(name: str, pattern: str, data_dir: Path | None, more: Iterable[Path], advice: str) -> Path:
    """The first folder that holds such a file: data_dir alone where given, else the usual places."""
    root = os.environ.get("CALMIX_DATA")
    places = [Path(data_dir)] if data_dir else [*([Path(root, name), Path(root)] if root else []), *more]
    for place in places:
        if any(place.glob(pattern)):
            return place
    looked = ", ".join(map(str, places)) or "no folder: CALMIX_DATA is not set"
    raise DataError(f"{name}: no file {pattern} found (looked in {looked}); {advice}.")
