"""How Lightning's trainer is told of ranks that are there already."""

from typing import Any

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy

from calmix.train.sharing import Place


def strategy_of(place: Place) -> Any:
    """`auto` for a rank alone, else torch's DistributedDataParallel in the process group that is there."""
    return "auto" if place.ranks == 1 else _Shared(cluster_environment=_Environment(place))


class _Shared(DDPStrategy):
    """Starts no processes."""

    def _configure_launcher(self) -> None:
        pass


class _Environment(LightningEnvironment):
    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def world_size(self) -> int:
        return self._place.ranks

    def global_rank(self) -> int:
        return self._place.rank

    def local_rank(self) -> int:
        return self._place.local

    def node_rank(self) -> int:
        return self._place.machine
