"""Weights in a file."""

import io
from pathlib import Path
from typing import Any

import torch

from calmix.results.files import write_whole


def write_tensors(path: Path, value: Any) -> None:
    """Tensors and plain values in a file that `torch.load(path, weights_only=True)` reads, whole or not at all.

    Raises:
        DataError: the file cannot be written.
    """
    content = io.BytesIO()  # torch would hide why a disk refuses
    torch.save(value, content)
    write_whole(path, lambda file: file.write(content.getbuffer()))
