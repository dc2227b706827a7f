"""What mixing a batch costs, in units of x.clone(): calmix, the plain expressions that people write, and peers."""

import json
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.cases import CASES, CLASSES, SECONDS, UNIT, Case
from benchmarks.peers import PEERS
from benchmarks.timing import Absent, Call, compare, devices
from calmix import Classification, mixup
from calmix.methods.read import read_method
from calmix.parts import Batch, Memory, Mix, blend, mixed_target

# draws that need no network: distances between inputs, or remembered embeddings
DRAWS = (
    "mixup",
    "mixup(per_row=True)",
    "sk_mixup(remember=True)",
    "sk_mixup(space=Inputs())",
    "input_mixup",
    "cutmix",
    "cutmix(per_row=True)",
    "near_mixup(space=Inputs())",
    "c_mixup(whole_set=False)",
    "k_mixup",
)
WIDTH = 64  # entries of a remembered embedding
BLENDS = ("blend(x, mix, lam)", "blend(x, mix, lam, out=kept)")  # those that have a target
COMPILED = ", compiled"


def blend_costs() -> list[dict[str, Any]]:
    """A record a device and case: its results, each in units of x.clone()."""
    return [
        case.record(device) | {"results": [asdict(each) for each in compare(_calls(case, device), device, SECONDS)]}
        for device in devices()
        for case in CASES
    ]


def method_costs() -> list[dict[str, Any]]:
    """A record a device and shape: draw and blend of every method that mixes inputs, in units of x.clone(), float32."""
    cases = [case for case in CASES if case.dtype == "float32" and not case.channels_last]
    return [
        case.record(device) | {"results": [asdict(each) for each in compare(_draws(case, device), device, SECONDS)]}
        for device in devices()
        for case in cases
    ]


def _draws(case: Case, device: str) -> dict[str, Call]:
    torch.manual_seed(0)
    x, y = case.batch(device)
    generator, index = torch.Generator(device).manual_seed(0), torch.arange(len(y), device=device)
    memory, rows = Memory(len(y)), torch.arange(len(y), device=device)
    memory.recall(index, None)
    ones = torch.ones(len(y), device=device)
    memory.keep(index, Mix(rows, rows, ones, ones), torch.randn(len(y), WIDTH, device=device))

    def way(text: str) -> Call:
        method = read_method(text).at(0)
        step = method.step(nn.Identity(), Classification(CLASSES), Batch(x, y, index), memory=memory)

        def drawn() -> Tensor:
            _, mix = method.draw(step, generator)
            return blend(x, mix, mix.lam_x)

        return drawn

    return {UNIT: x.clone} | {text: way(text) for text in DRAWS}


def peer_costs(python: str | None) -> dict[str, Any]:
    """What `benchmarks.peers` measures when the interpreter `python` runs it: versions, and records as above."""
    if python is None:
        return _no_peers("no interpreter was given that has it; make bench PEERS=PYTHON")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "peers.json"
        try:
            subprocess.run([python, "-m", "benchmarks.peers", str(out)], cwd=Path(__file__).parents[1], check=True)
            return json.loads(out.read_text(encoding="utf-8"))
        except (OSError, subprocess.CalledProcessError) as error:
            return _no_peers(f"its interpreter failed: {type(error).__name__}")


def _no_peers(reason: str) -> dict[str, Any]:
    results = [asdict(Absent(name, reason)) for name in PEERS]
    return {
        "versions": {},
        "cases": [case.record(device) | {"results": results} for device in devices() for case in CASES],
    }


def _calls(case: Case, device: str) -> dict[str, Call]:
    """x.clone(), then every way of mixing, eager and compiled."""
    torch.manual_seed(0)
    torch.compiler.reset()
    x, y = case.batch(device)
    generator = torch.Generator(device).manual_seed(0)
    method = mixup(per_row=True)
    step = method.step(nn.Identity(), Classification(CLASSES), Batch(x, y))
    step, mix = method.draw(step, generator)
    kept = torch.empty_like(x)
    partner, lam = mix.partner, mix.lam_x.view(-1, 1, 1, 1).to(x.dtype)

    def drawn() -> Tensor:
        _, mix = method.draw(step, generator)
        return blend(x, mix, mix.lam_x)

    def drawn_with_targets() -> tuple[Tensor, Tensor]:
        step, mix = method.draw(method.step(nn.Identity(), Classification(CLASSES), Batch(x, y)), generator)
        return blend(x, mix, mix.lam_x), mixed_target(step.target, mix)

    ways: dict[str, Callable[[], Any]] = {
        BLENDS[0]: lambda: blend(x, mix, mix.lam_x),
        BLENDS[1]: lambda: blend(x, mix, mix.lam_x, out=kept),
        "draw + blend": drawn,
        "draw + blend + targets": drawn_with_targets,
        "torch.lerp(x[partner], x, lam)": lambda: torch.lerp(x[partner], x, lam),
        "lam * x + (1 - lam) * x[partner]": lambda: lam * x + (1 - lam) * x[partner],
    }
    calls: dict[str, Call] = {UNIT: x.clone}
    for name, way in ways.items():
        calls |= {name: way, f"{name}{COMPILED}": torch.compile(way, dynamic=False)}
    return calls
