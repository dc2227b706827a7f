"""What commands need on large things: memory in proportion to what is given, with a small factor."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

RNG = np.random.default_rng(0)
PEAK = """
import resource, subprocess, sys
command = [sys.executable, "-c", "from calmix.cli import main; main()", *sys.argv[1:]]
subprocess.run(command, check=True, capture_output=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="needs the module resource")]


def peak(*arguments: object) -> int:
    """Bytes that the command held at most, run by a small process, as a child begins with its parent's peak."""
    command = [sys.executable, "-c", PEAK, *map(str, arguments)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("kind", ["probs", "logits"])
def test_an_evaluation_holds_its_predictions_hardly_more_than_once(tmp_path: Path, kind: str):
    """With copies in float64 it held them nine times."""
    labels = RNG.integers(0, 100, 400_000)
    values = RNG.standard_normal((len(labels), 100), dtype=np.float32)
    if kind == "probs":
        values = np.exp(values) / np.exp(values).sum(1, keepdims=True)
    for name, rows in (("few", 100), ("many", len(labels))):
        arrays = {kind: values[:rows], "labels": labels[:rows]}
        np.savez(tmp_path / f"{name}.npz", allow_pickle=False, **arrays)
    few, many = (peak("evaluate", tmp_path / f"{name}.npz", "--out", tmp_path / name) for name in ("few", "many"))
    assert many - few < 2.5 * values.nbytes


def test_a_table_is_held_hardly_more_than_a_few_times(tmp_path: Path):
    """The table as it was read, its splits, and a few columns; in float64 it held ten times the numbers."""
    x = RNG.standard_normal((400_000, 50), dtype=np.float32)
    frame = pd.DataFrame(x, columns=[f"c{i}" for i in range(50)]).assign(y=np.where(x[:, 0] > 0, "yes", "no"))
    options = ["--target", "y", "--method", "erm", "--epochs", 1, "--batch-size", 16_384]
    peaks = []
    for name, rows in (("few", 1000), ("many", len(frame))):
        frame[:rows].to_parquet(tmp_path / f"{name}.parquet")
        peaks.append(peak("train", tmp_path / f"{name}.parquet", *options, "--out", tmp_path / name))
    assert peaks[1] - peaks[0] < 5 * x.nbytes
