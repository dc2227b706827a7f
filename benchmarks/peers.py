"""Mixup of other libraries, in units of x.clone(): `python -m benchmarks.peers OUT`, run by whichever Python has them.

Needs torch and the peers, and nothing of calmix. Each call draws its coefficients and mixes inputs and targets.
"""

import importlib
import importlib.metadata
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.cases import CASES, CLASSES, SECONDS, UNIT, Case
from benchmarks.timing import Absent, Call, absent, compare, devices

Mixer = Callable[[Tensor, Tensor], Any]


def _timm(mode: str) -> Mixer:
    return importlib.import_module("timm.data.mixup").Mixup(mixup_alpha=1.0, mode=mode, num_classes=CLASSES)


def _torchvision() -> Mixer:
    return importlib.import_module("torchvision.transforms.v2").MixUp(alpha=1.0, num_classes=CLASSES)


def _torch_uncertainty() -> Mixer:
    return importlib.import_module("torch_uncertainty.transforms.mixup").Mixup(alpha=1.0, num_classes=CLASSES)


PEERS: dict[str, Callable[[], Mixer]] = {
    "timm Mixup(mode='elem'), in place": lambda: _timm("elem"),
    "timm Mixup(mode='batch'), one lam, in place": lambda: _timm("batch"),
    "torchvision v2.MixUp, one lam": _torchvision,
    "torch-uncertainty Mixup": _torch_uncertainty,
}


def main(out: Path) -> None:
    """Measure every peer on every case, and write what was seen."""
    mixers, missing = _load()
    cases = [
        case.record(device) | {"results": _costs(case, device, mixers) + [asdict(each) for each in missing]}
        for device in devices()
        for case in CASES
    ]
    out.write_text(json.dumps({"versions": _versions(), "cases": cases}), encoding="utf-8")


def _load() -> tuple[dict[str, Mixer], list[Absent]]:
    """The peers that import, and why the others do not."""
    mixers, missing = {}, []
    for name, make in PEERS.items():
        try:
            mixers[name] = make()
        except Exception as error:
            missing.append(absent(name, error))
    return mixers, missing


def _costs(case: Case, device: str, mixers: dict[str, Mixer]) -> list[dict[str, Any]]:
    x, y = case.batch(device)
    calls: dict[str, Call] = {UNIT: x.clone}
    for name, mixer in mixers.items():
        calls[name] = lambda mixer=mixer: mixer(x, y)
    return [asdict(each) for each in compare(calls, device, SECONDS)[1:]]


def _versions() -> dict[str, str]:
    versions = {"torch": str(torch.__version__)}
    for package in ("timm", "torchvision", "torch-uncertainty"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


if __name__ == "__main__":
    main(Path(sys.argv[1]))
