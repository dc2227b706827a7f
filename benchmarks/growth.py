"""How time and memory of drawing and blending grow with the batch."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from benchmarks.timing import Call, compare
from calmix import Classification
from calmix.methods.read import read_method
from calmix.parts import Batch, blend

METHODS = ("mixup", "mixup(per_row=True)", "sk_mixup(space=Inputs())")
UNIT = "x.clone()"
SIZES = (1_024, 4_096, 16_384, 65_536)  # rows
WIDTH = 64  # float32 numbers a row
CLASSES = 10


def growth() -> dict[str, Any]:
    """A record a batch size: results in units of x.clone(), and the peak of memory allocated by each, in bytes."""
    sizes = []
    for n in SIZES:
        calls = _calls(n)
        results = [asdict(each) for each in compare(calls)]
        sizes.append({"rows": n, "results": results, "peak_bytes": {name: peak(calls[name]) for name in calls}})
    return {"width": WIDTH, "sizes": sizes}


def _calls(n: int) -> dict[str, Call]:
    """x.clone(), then draw + blend of each method, on a batch of n rows."""
    torch.manual_seed(0)
    x, y = torch.randn(n, WIDTH), torch.randint(CLASSES, (n,))
    return {UNIT: x.clone} | {text: _draw_and_blend(text, x, y) for text in METHODS}


def _draw_and_blend(text: str, x: Tensor, y: Tensor) -> Call:
    method, generator = read_method(text).at(0), torch.Generator().manual_seed(0)
    step = method.step(nn.Identity(), Classification(CLASSES), Batch(x, y))

    def call() -> Tensor:
        _, mix = method.draw(step, generator)
        return blend(x, mix, mix.lam_x)

    return call


def peak(call: Call) -> int:
    """Most bytes that the call holds at once, its result included: the allocator's own account."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    held = peak = 0
    for event in sorted((event for event in events if event["name"] == "[memory]"), key=lambda event: event["ts"]):
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return peak
