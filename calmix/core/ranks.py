"""The processes of torch.distributed, called ranks, that share every batch. A process alone is rank 0 of one.

What a formula says of "the batch" is said of the rows of all ranks. A function here that exchanges something must be
called by every rank; alone, it returns what it was given.
"""

import hashlib
from typing import Any

import torch
from torch import Tensor


def rank() -> int:
    """0, ..., ranks() - 1."""
    return torch.distributed.get_rank() if _together() else 0


def ranks() -> int:
    """How many share a batch."""
    return torch.distributed.get_world_size() if _together() else 1


def _together() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def seed_of_step(seed: int, rank: int, step: int) -> int:
    """The seed of what a rank other than 0 draws in a step; each (seed, rank, step) has a stream of its own.

    Rank 0 draws on from step to step, as a process alone does. As for the others, whoever knows the step goes on as if
    there had been no interruption, so that a state saved by rank 0 restores every rank's.

    >>> seed_of_step(0, rank=1, step=0) == seed_of_step(1, rank=0, step=0)
    False
    """
    digest = hashlib.sha256(f"{seed} {rank} {step}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


def sum_over_ranks(value: Tensor) -> Tensor:
    """The sum of every rank's value, on its device; without a gradient."""
    if not _together():
        return value
    total = value.detach().clone()
    torch.distributed.all_reduce(total)
    return total


def mean_over_ranks(value: Tensor) -> Tensor:
    """Of means over the ranks' rows the mean over all rows, as every rank has as many; without a gradient."""
    return sum_over_ranks(value) / ranks() if _together() else value


def nanmean_over_ranks(values: Tensor) -> Tensor:
    """The mean of all ranks' numbers (m,), which may be more on one than on another; NaN are left out."""
    if not _together():
        return values.nanmean()
    total, count = sum_over_ranks(torch.stack([values.nansum(), (~values.isnan()).sum()]))
    return total / count


def rows_of_all_ranks(rows: Tensor) -> Tensor:
    """The rows (n, ...) of every rank one after the other (ranks() n, ...), of which each rank has as many."""
    if not _together():
        return rows
    gathered = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(ranks())]
    torch.distributed.all_gather(gathered, rows.contiguous())
    return torch.cat(gathered)


def largest_over_ranks(numbers: list[int], device: torch.device) -> list[int]:
    """Each number's largest value on any rank; the tensors that are exchanged are on the device."""
    if not _together():
        return numbers
    most = torch.tensor(numbers, device=device)
    torch.distributed.all_reduce(most, torch.distributed.ReduceOp.MAX)
    return most.tolist()


def of_all_ranks(value: Any) -> list[Any]:
    """Every rank's value, by rank; plain values, which travel by pickle."""
    if not _together():
        return [value]
    values: list[Any] = [None] * ranks()
    torch.distributed.all_gather_object(values, value)
    return values
