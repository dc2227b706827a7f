"""How many runs are carried out: here one after the other, in processes of their own, by any executor, on a cluster."""

from typing import TYPE_CHECKING

from calmix.listing import loads_when_used

if TYPE_CHECKING:
    from calmix.engines.cluster import Cluster
    from calmix.engines.elsewhere import Elsewhere, engine_of
    from calmix.engines.engine import Engine, Orders, Tick
    from calmix.engines.processes import Processes, default_workers
else:
    __getattr__ = loads_when_used(__name__)

__all__ = ["Cluster", "Elsewhere", "Engine", "Orders", "Processes", "Tick", "default_workers", "engine_of"]
