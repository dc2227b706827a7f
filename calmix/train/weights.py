"""Networks' weights in files."""

import io
from collections.abc import Mapping
from pathlib import Path

import torch

from calmix.results.files import write_whole


def write_weights(path: Path, content: Mapping[str, object]) -> None:
    """Write a dict of tensors and plain values, whole or not at all.

    Raises:
        DataError: the file cannot be written.
    """
    held = io.BytesIO()  # torch would hide why a disk refuses
    torch.save(dict(content), held)
    write_whole(path, lambda file: file.write(held.getbuffer()))
