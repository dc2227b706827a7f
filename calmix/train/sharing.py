"""One training in several processes, called ranks: each has its share of every batch, and gradients are averaged.

Rank 0 measures and writes. The others are started here, on one machine, or all were started by torchrun. They meet in a
process group of torch.distributed: gloo on the CPU, NCCL on GPUs.
"""

import gc
import os
import pickle
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from calmix.data import Splits
from calmix.errors import CalmixError, SettingError
from calmix.train.settings import TrainingSettings
from calmix.train.stopping import end_with_parent

_LAST_SECONDS = 60.0  # that others have to end after rank 0 has


@dataclass(frozen=True)
class Place:
    """Which of how many ranks this process is.

    local, per_machine: the same among those of its machine; machine: which one it is. folder: where ranks that were
    started here meet; None: where the environment says, as torchrun sets it.
    """

    rank: int = 0
    ranks: int = 1
    local: int = 0
    per_machine: int = 1
    machine: int = 0
    folder: Path | None = None


def launched() -> Place | None:
    """The place that torchrun gave this process; None where it was not started by torchrun."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK")
    rank, ranks, local, per_machine, machine = (int(os.environ[name]) for name in names)
    return Place(rank, ranks, local, per_machine, machine)


def check_shares(splits: Splits, settings: TrainingSettings) -> None:
    """Raise SettingError where a rank would have too few rows, or the devices are not those that there are."""
    ranks, place = settings.devices, launched()
    if ranks == 1:
        return
    if not torch.distributed.is_available():
        raise SettingError("several devices need a PyTorch with torch.distributed, which this one is without.")
    if place is not None and place.ranks != ranks:
        raise SettingError(f"torchrun started {place.ranks} processes, and devices is {ranks}; give both one number.")
    here = ranks if place is None else place.per_machine
    if settings.accelerator == "cuda" and torch.cuda.device_count() < here:
        raise SettingError(
            f"devices is {here}, and PyTorch sees {torch.cuda.device_count()} GPU here; give fewer, or --device cpu."
        )
    rows, most = len(splits.train) // ranks, settings.batch_size // ranks  # of a rank; of a rank in a batch
    if most == 0 or rows == 0 or rows // -(-rows // most) < 2:
        raise SettingError(
            f"{ranks} devices need batches with two rows or more for each; {len(splits.train)} training rows in "
            f"batches of {settings.batch_size} are too few: give larger batches, or fewer devices."
        )
    if 0 < len(splits.validation) < ranks:
        raise SettingError(f"{ranks} devices need as many validation rows; there are {len(splits.validation)}.")


@contextmanager
def joined(place: Place, accelerator: str) -> Iterator[None]:
    """In the block, the process group that the ranks share; a rank alone needs none.

    Nothing that refers to the group may outlive the block, or gloo ends the process at its exit.
    """
    if place.ranks == 1:
        yield
        return
    backend = "nccl" if accelerator == "cuda" else "gloo"
    try:
        torch.distributed.init_process_group(backend, rank=place.rank, world_size=place.ranks, **_meeting(place))
        yield
        gc.collect()
        torch.distributed.barrier()
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)
        if place.folder is None and _lost(error):
            raise CalmixError(
                f"rank {place.rank} of {place.ranks} lost another one, whose process or machine died; with torchrun "
                "--max-restarts and calmix --resume the training goes on from its newest checkpoint."
            ) from error
        raise
    finally:
        gc.collect()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _meeting(place: Place) -> dict[str, Any]:
    """Where the ranks tell each other their addresses, as `init_process_group` takes it."""
    if place.folder is not None:
        if sys.platform == "linux":
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # nothing listens to other machines
        return {"init_method": (place.folder / "group").as_uri()}
    if place.ranks > place.per_machine:  # each machine counts only the restarts that it caused
        return {"init_method": "env://"}
    from torch.distributed import PrefixStore  # pyright: ignore[reportPrivateImportUsage]
    from torch.distributed.rendezvous import rendezvous

    # torchrun keeps the store when it starts all ranks anew, and the addresses in it are those of processes that died
    store, _, _ = next(rendezvous("env://", place.rank, place.ranks))
    return {"store": PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], store)}


def _lost(error: BaseException) -> bool:
    """Whether the connection to another rank broke."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


@contextmanager
def other_ranks(count: int, work: Callable[[Place], object]) -> Iterator[Place]:
    """Processes in which `work` is done by ranks 1 to count - 1; this one is rank 0. They end with the block.

    Raises:
        SettingError: the work cannot be pickled.
        CalmixError: a process could not start, failed or died.
    """
    with TemporaryDirectory(prefix="calmix-") as name:
        places = [Place(rank, count, rank, count, 0, Path(name)) for rank in range(count)]
        processes = _started(places[1:], work)
        try:
            _wait_until_ready(places[1:], processes)
            yield places[0]
            until = time.monotonic() + _LAST_SECONDS
            for process in processes:
                process.join(max(0.0, until - time.monotonic()))
        except Exception as error:
            if _lost(error) and (reason := _reason(places[1:], processes)) is not None:
                raise CalmixError(reason) from error
            raise
        finally:
            for process in processes:
                process.kill()
                process.join()


def _started(places: Sequence[Place], work: Callable[[Place], object]) -> list[BaseProcess]:
    try:
        pickled = [bytes(ForkingPickler.dumps(work)) for _ in places]  # what shares memory can be read once
    except (pickle.PicklingError, AttributeError, TypeError, RuntimeError) as error:
        raise SettingError(
            f"several devices are processes of their own, and a part of the run cannot be sent to them ({error}); "
            "define the model's factory, and a data set, at the top of a module, or use torchrun."
        ) from None
    context = get_context("spawn")
    processes: list[BaseProcess] = [
        context.Process(target=_be_rank, args=given) for given in zip(places, pickled, strict=True)
    ]
    for process in processes:
        process.start()
    return processes


def _wait_until_ready(places: Sequence[Place], processes: Sequence[BaseProcess]) -> None:
    """Until every rank can meet the others; CalmixError where one has ended before."""
    while not all(_file(place, "ready").exists() for place in places):
        if any(process.exitcode is not None for process in processes):
            raise CalmixError(_reason(places, processes) or "a process of the training could not start.")
        time.sleep(0.02)


def _reason(places: Sequence[Place], processes: Sequence[BaseProcess]) -> str | None:
    """Why a rank has ended too early; None where none has."""
    wait([process.sentinel for process in processes], timeout=5.0)  # it may still be about to end
    for place, process in zip(places, processes, strict=True):
        if (file := _file(place, "error")).exists():
            return f"rank {place.rank} of {place.ranks} failed: {file.read_text(encoding='utf-8')}"
        if process.exitcode is not None and not _file(place, "ready").exists():
            return (
                "a process of the training could not start. In Python, a script needs "
                "`if __name__ == '__main__':`; or use torchrun."
            )
        if process.exitcode:
            return f"rank {place.rank} of {place.ranks} died: its process was killed, or there was too little memory."
    return None


def _file(place: Place, what: str) -> Path:
    assert place.folder is not None
    return place.folder / f"{place.rank}.{what}"


# ------------------------------------------------------------------------------------------- in another rank's process


def _be_rank(place: Place, pickled: bytes) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; rank 0 decides
    end_with_parent()
    warnings.simplefilter("ignore")  # rank 0 says them
    try:
        work: Callable[[Place], object] = pickle.loads(pickled)
        _file(place, "ready").touch()
        work(place)
    except Exception as error:
        said = str(error) if isinstance(error, CalmixError) else f"{type(error).__name__}: {error}"
        _file(place, "error").write_text(" ".join(said.split()), encoding="utf-8")
        os._exit(1)
