"""Functions that several ranks call at once, in processes with a gloo group."""

import gc
import os
import traceback
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch

needs_ranks = pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without torch.distributed")


def on_ranks(count: int, folder: Path, function: Callable[..., Any], *args: Any) -> list[Any]:
    """What `function(rank, *args)` returned on each rank: tensors and plain values."""
    context = get_context("spawn")
    processes = [context.Process(target=_call, args=(rank, count, folder, function, args)) for rank in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    failed = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.error"))]
    assert not failed, "\n".join(failed)
    assert [process.exitcode for process in processes] == [0] * count
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(count)]


def _call(rank: int, count: int, folder: Path, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=count)
    try:
        torch.save(function(rank, *args), folder / f"{rank}.pt")
    except BaseException:
        (folder / f"{rank}.error").write_text(f"rank {rank}: {traceback.format_exc()}", encoding="utf-8")
        os._exit(1)  # the others then lose their connection, and do not wait
    gc.collect()  # what refers to the group must be gone before it is
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
