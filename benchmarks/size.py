"""Peak memory and CPU time of whole commands on large things, each in a process of its own.

python -m benchmarks.size

`evaluate` of 1,000,000 rows by 100 classes, float32, 400 MB, as probabilities, and as logits with 10,000 calibration
rows; `train` for an epoch on a table of 1,000,000 rows by 50 columns of float32, 200 MB; `report` of 10 methods by 500
seeds, made of a real run of each method.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calmix.results.files import slug, write_arrays

ROWS, CLASSES, HELD, COLUMNS, SEEDS = 1_000_000, 100, 10_000, 50, 500
METHODS = (
    "erm",
    "mixup",
    "sk_mixup",
    "mixup_e",
    "sk_mixup_e",
    "regmixup",
    "cutmix",
    "mit_l",
    "rankmixup",
    "manifold_mixup",
)
RNG = np.random.default_rng(0)


def main() -> None:
    """Print a row a command."""
    print("| command | peak, GB | CPU, s |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        logits, labels = _predictions(ROWS)
        held, of_held = _predictions(HELD)
        np.savez(folder / "probs.npz", probs=_softmax(logits), labels=labels)
        np.savez(
            folder / "logits.npz", logits=logits, labels=labels, calibration_logits=held, calibration_labels=of_held
        )
        del logits
        _measure("evaluate, probabilities", "evaluate", folder / "probs.npz", "--out", folder / "probs")
        _measure("evaluate, logits and calibration", "evaluate", folder / "logits.npz", "--out", folder / "logits")
        write_table(folder / "table.parquet")
        options = ["--target", "y", "--epochs", 1, "--batch-size", 8192, "--out", folder / "trained"]
        _measure("train on a table", "train", folder / "table.parquet", *options)
        _run("compare", "digits", "--methods", *METHODS, "--seeds", 1, "--epochs", 2, "--out", folder / "runs")
        _many_seeds(folder / "runs")
        _measure(f"report of {len(METHODS) * SEEDS:,} runs", "report", folder / "runs")


def _predictions(rows: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits (rows, CLASSES) of a model that is right nine times in ten, and labels."""
    labels = RNG.integers(0, CLASSES, rows)
    logits = RNG.standard_normal((rows, CLASSES), dtype=np.float32)
    logits[np.arange(rows), labels] += 4
    return logits, labels


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    probs = np.exp(logits - logits.max(1, keepdims=True))
    return probs / probs.sum(1, keepdims=True)


def write_table(path: Path) -> None:
    """A million rows of 50 columns, and two classes that depend on five of them."""
    x = RNG.standard_normal((ROWS, COLUMNS), dtype=np.float32)
    frame = pd.DataFrame(x, columns=[f"column{i}" for i in range(COLUMNS)])
    frame.assign(y=np.where(x[:, :5].sum(1) > 0, "yes", "no")).to_parquet(path)


def _many_seeds(folder: Path) -> None:
    """The first run of each method, SEEDS times, each with noise on its predictions and its numbers."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    runs = []
    for run in results["runs"]:
        name = slug(run["method"])
        with np.load(folder / "predictions" / f"{name}-seed0.npz") as file:
            stored = dict(file)
        for seed in range(SEEDS):
            logits = stored["logits"] + 0.3 * RNG.standard_normal(stored["logits"].shape, dtype=np.float32)
            arrays = {**stored, "logits": logits, "probs": _softmax(logits)}
            write_arrays(folder / "predictions" / f"{name}-seed{seed}.npz", arrays)
            runs.append({**run, "seed": seed, "metrics": _noisy(run["metrics"])})
    (folder / "results.json").write_text(json.dumps({**results, "runs": runs}), encoding="utf-8")


def _noisy(value: object) -> object:
    if isinstance(value, dict):
        return {name: _noisy(inner) for name, inner in value.items()}
    return value * RNG.lognormal(sigma=0.05) if isinstance(value, float) else value


def _measure(name: str, *arguments: object) -> None:
    """A row of the table. The command runs in a process of its own, whose child it is the only one to wait for."""
    own = ["-c", "import sys; from benchmarks.size import measured; measured(sys.argv[1:])"]
    done = subprocess.run([sys.executable, *own, *map(str, arguments)], check=True, capture_output=True, text=True)
    peak, seconds = map(float, done.stdout.split())
    print(f"| {name} | {peak:.2f} | {seconds:.1f} |", flush=True)


def measured(arguments: list[str]) -> None:
    """Run the command and print its peak in GB (10^9 bytes) and its CPU seconds."""
    _run(*arguments)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024
    print(used.ru_maxrss * unit / 1e9, used.ru_utime + used.ru_stime)


def _run(*arguments: object) -> None:
    command = [sys.executable, "-c", "from calmix.cli import main; main()", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
