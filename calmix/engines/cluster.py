"""Runs on the workers of a Dask cluster. Dask is loaded when runs begin."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from calmix.engines.asked import LOCAL, check_scheduler, check_workers
from calmix.engines.elsewhere import Elsewhere
from calmix.engines.engine import Finished, Orders
from calmix.engines.processes import default_workers
from calmix.errors import SettingError
from calmix.results.jobs import check_versions, versions
from calmix.results.records import Failure
from calmix.train import Recipe, TrainingSettings

if TYPE_CHECKING:
    from distributed import Client

_SECONDS = 60  # until a scheduler has answered, and has a worker
_DEATHS = 3  # of the workers that had a run, after which it is a failure; of a cluster of one's own Dask's settings say


@dataclass(frozen=True)
class Cluster:
    """Runs on the workers of a Dask cluster, one at a time each; see `Elsewhere` for what travels.

    scheduler: its address, such as tcp://head:8786. Or `local`: a cluster of processes on this machine, which listen on
    the loopback interface alone and end with the runs. workers: of a local one; None: what `default_workers` says.
    allow_mixed, ship_data: see `Elsewhere`.

    Raises:
        SettingError: no address, or workers of a cluster that is there already; Dask is not installed.
    """

    scheduler: str
    workers: int | None = None
    allow_mixed: bool = False
    ship_data: bool = False

    def __post_init__(self) -> None:
        check_workers(self.workers)
        check_scheduler(self.scheduler, self.workers)

    def carry_out(self, recipes: Sequence[Recipe], orders: Orders = Orders()) -> Iterator[Finished | Failure]:
        """See `Engine`.

        Raises:
            SettingError: no scheduler answers, it has no worker, or a worker has other versions; or see `Elsewhere`.
        """
        if not recipes:
            return
        from distributed import KilledWorker

        with self._client(recipes) as client:
            if not self.allow_mixed:
                _check_workers_of(client)
            executor = client.get_executor(pure=False, resources=_resources(client, recipes[0].settings))
            engine = Elsewhere(executor, self.allow_mixed, self.ship_data, (KilledWorker,))
            yield from engine.carry_out(recipes, orders)

    def _client(self, recipes: Sequence[Recipe]) -> "AbstractContextManager[Client]":
        if self.scheduler != LOCAL:
            return _client_of(self.scheduler)
        return _local(min(len(recipes), self.workers or default_workers(len(recipes), recipes[0].settings)))


def _resources(client: "Client", settings: TrainingSettings) -> dict[str, int] | None:
    """What a run asks of a worker: as many GPUs as it has devices, where workers say that they have some."""
    there: Any = client.scheduler_info(n_workers=-1)["workers"]
    declared = any(worker["resources"].get("GPU") for worker in there.values())
    return {"GPU": settings.devices} if declared and settings.device in ("auto", "cuda") else None


def _check_workers_of(client: "Client") -> None:
    """Raise SettingError where a worker has other versions, or no calmix."""
    try:
        there: Any = client.run(versions)  # a mapping by address: the client is not asynchronous
    except ImportError as error:
        raise SettingError(f"a worker of the cluster cannot load calmix ({error}); install it there, too.") from None
    for address, found in there.items():
        check_versions(versions(), found, f"the worker {address}")


@contextmanager
def _client_of(address: str) -> "Iterator[Client]":
    from distributed import Client

    try:
        client = Client(address, timeout=_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        said = " ".join(str(error).split())[:200].rstrip(".")
        raise SettingError(
            f"no Dask scheduler answers at {address} ({said}); start one with: dask scheduler."
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_SECONDS)
        except TimeoutError:
            begin = f"dask worker {address} --nthreads 1"
            raise SettingError(f"the scheduler at {address} has no worker; start some with: {begin}.") from None
        yield client


@contextmanager
def _local(workers: int) -> "Iterator[Client]":
    import dask.config
    from distributed import Client, LocalCluster

    own = {
        "distributed.scheduler.allowed-failures": _DEATHS - 1,
        "distributed.scheduler.worker-saturation": 1.0,  # else a run that waits for a worker would share its death
        "distributed.worker.daemon": False,  # so that loaders of rows may have processes
    }
    with dask.config.set(own):
        listening: Any = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}  # any free port
        cluster = LocalCluster(workers, threads_per_worker=1, silence_logs=logging.CRITICAL, **listening)
        try:
            with Client(cluster, set_as_default=False) as client:
                yield client
        finally:
            with suppress(TimeoutError):  # of workers that are slow to end; they end with this process
                cluster.close(timeout=_SECONDS)
