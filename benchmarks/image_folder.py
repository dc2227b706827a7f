"""Folders of images: peak memory on one that is larger than memory, and training beside a bare loop (Linux alone).

python -m benchmarks.image_folder memory
python -m benchmarks.image_folder loop

memory: 30,000 JPEGs of 224 x 224 (4.5 GB of bytes, 18 GB of floating numbers; 3,000 different ones, each under ten
names) are decoded, and a small network is trained on them for an epoch and says what a thousand are. Memory is the peak
of the sum over all processes of the command, as in `benchmarks.workers`; files in the system's cache do not count.

loop: epochs of training of a small network on 4,000 images of 96 x 96 that stay in a file, and of a bare loop with
PyTorch's DataLoader over the same file, in turn, with the same number of worker processes; CPU time of all processes,
and the time on the clock.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

EPOCHS = 5
NET = """
from torch import nn

def net(shape, outputs):
    return nn.Sequential(
        nn.Conv2d(shape[0], 16, 8, 8), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, outputs),
    )
"""


def main() -> None:
    """Print a table."""
    os.environ["OMP_NUM_THREADS"] = "1"
    {"memory": _memory, "loop": _loop}[sys.argv[1]]()


def make_images(folder: Path, different: int, times: int, side: int) -> None:
    """Soft noise in three classes, brighter and brighter."""
    rng = np.random.default_rng(0)
    for k in range(3):
        (folder / f"class{k}").mkdir(parents=True)
    for number in range(different):
        k = number % 3
        soft = Image.fromarray(rng.integers(40 * k, 40 * k + 175, (side // 8, side // 8, 3), np.uint8))
        first = folder / f"class{k}" / f"{number:05}-0.jpg"
        soft.resize((side, side), Image.Resampling.BICUBIC).save(first, quality=90)
        for again in range(1, times):
            os.link(first, first.with_name(f"{number:05}-{again}.jpg"))


def _memory() -> None:
    from benchmarks.workers import peak

    print("| command | peak, GB | seconds |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        make_images(folder / "photos", 3_000, 10, 224)
        (folder / "nets.py").write_text(NET)
        os.environ["CALMIX_CACHE"] = str(folder / "cache")
        model = ["--model", f"{folder / 'nets.py'}:net"]
        options = ["--image-size", "224", "--method", "mixup", "--epochs", "1", *model, "--out", str(folder / "net")]
        new = ["predict", str(folder / "net"), str(folder / "photos" / "class0"), *model]
        for name, arguments in {
            "train": ["train", str(folder / "photos"), *options],
            "predict": [*new, "--out", str(folder / "said.csv")],
        }.items():
            begin = time.perf_counter()
            command = [sys.executable, "-c", "from calmix.cli import main; main()", *arguments]
            kilobytes = peak(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            print(f"| {name} | {kilobytes / 1e6:.2f} | {time.perf_counter() - begin:.0f} |", flush=True)


# ------------------------------------------------------------------------------------------------- a bare loop


def _loop() -> None:
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        make_images(folder / "photos", 4_000, 1, 96)
        os.environ["CALMIX_CACHE"] = str(folder / "cache")
        print("| worker processes | bare, s | calmix, s | ratio of CPU times | of the clock |\n|---|---|---|---|---|")
        for loaders in (0, 1, 2):
            seconds = np.array([_both(folder / "photos", loaders) for _ in range(5)])  # (5, who, CPU or clock)
            bare, ours = np.median(seconds, 0)
            ratios = np.median(seconds[:, 1] / seconds[:, 0], 0)
            print(
                f"| {loaders} | {bare[0]:.2f} CPU, {bare[1]:.2f} clock | {ours[0]:.2f} CPU, {ours[1]:.2f} clock | "
                f"{ratios[0]:.2f} | {ratios[1]:.2f} |",
                flush=True,
            )


def _both(photos: Path, loaders: int) -> list[tuple[float, float]]:
    return [_seconds(work) for work in _works(photos, loaders)]


def _works(photos: Path, loaders: int) -> list[Callable[[], object]]:
    """A bare loop, and a run of the same network on the same rows and as many epochs."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, Dataset

    from calmix import erm
    from calmix.data import Fixed, ImageFolder, Split, whole
    from calmix.data.stored import StoredRows
    from calmix.train import Recipe, TrainingSettings, train

    whole.IN_MEMORY = 0  # pyright: ignore[reportPrivateImportUsage]
    splits = ImageFolder(photos, 96).splits(0)
    rows = splits.train.rows
    assert isinstance(rows, StoredRows)
    names: dict[str, Any] = {}
    exec(NET, names)
    settings = TrainingSettings(epochs=EPOCHS, device="cpu")
    data = Fixed(replace(splits, train=Split(replace(rows, loaders=loaders), splits.train.y)), "photos")
    recipe = Recipe(data, "erm", erm(), names["net"], settings)

    class Images(Dataset[tuple[torch.Tensor, torch.Tensor]]):
        def __init__(self, split: Split) -> None:
            assert isinstance(split.rows, StoredRows)
            self.split, stored = split, split.rows
            count = stored.file.stat().st_size // int(np.prod(stored.row))
            self.pixels = np.memmap(stored.file, np.uint8, "r", shape=(count, *stored.row))
            self.places = stored.places
            self.mean, self.std = (torch.tensor(values).view(-1, 1, 1) for values in (stored.mean, stored.std))

        def __len__(self) -> int:
            return len(self.split)

        def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
            x = torch.from_numpy(self.pixels[self.places[i]].copy()).float().div_(255)
            return x.sub_(self.mean).div_(self.std), self.split.y[i]

    def bare() -> None:
        model = names["net"](splits.train.shape, 3)
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
        loader = DataLoader(Images(splits.train), settings.batch_size, shuffle=True, num_workers=loaders)
        validation = DataLoader(Images(splits.validation), 128)
        for _ in range(EPOCHS):
            for x, y in loader:
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x), y).backward()
                optimizer.step()
            with torch.no_grad():
                for x, y in validation:
                    nn.functional.cross_entropy(model(x), y)

    return [bare, lambda: train(recipe)]


def _seconds(work: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds of this process and of its workers, and seconds on the clock."""
    begin, clock = _cpu(), time.perf_counter()
    work()
    return _cpu() - begin, time.perf_counter() - clock


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
