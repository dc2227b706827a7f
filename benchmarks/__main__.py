"""Measure everything, print the tables, keep the numbers: `python -m benchmarks [--peers PYTHON] [--out FILE]`."""

import argparse
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import scipy
import torch

import calmix
from benchmarks.blends import blend_costs, method_costs, peer_costs
from benchmarks.draws import draw_costs
from benchmarks.growth import growth
from benchmarks.metrics import metric_costs
from benchmarks.render import RESULTS, SECTIONS, machine_line
from benchmarks.steps import step_costs


def main() -> None:
    """The one command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What calmix costs, as ratios.")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file of the numbers (default: %(default)s)")
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter with torchvision, timm, torch-uncertainty")
    parser.add_argument("--only", choices=SECTIONS, help="measure one section anew, and keep the others' numbers")
    arguments = parser.parse_args()

    if arguments.only:
        run: dict[str, Any] = json.loads(arguments.out.read_text(encoding="utf-8"))
    else:
        run = {"machine": machine(), "peers": peer_costs(arguments.peers or None)}
    print(machine_line(run), "\n")
    measures: dict[str, Callable[[], Any]] = {
        "steps": step_costs,
        "blends": blend_costs,
        "methods": method_costs,
        "draws": draw_costs,
        "growth": growth,
        "metrics": metric_costs,
    }
    for section, tables in SECTIONS.items():
        if arguments.only not in (None, section):
            continue
        run[section] = measures[section]()
        for table in tables(run):
            print(table.plain(), flush=True)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    print(f"Numbers: {arguments.out}")


def machine() -> dict[str, Any]:
    """What the numbers depend on; nothing that names a host or a person."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "scipy": scipy.__version__,
        "calmix": calmix.__version__,
    }


def _cpu() -> str:
    """The processor's model, where the system tells."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
