"""How many runs are carried out: here one after the other, in processes of their own, or by any executor."""

from calmix.engines.elsewhere import Elsewhere, engine_of
from calmix.engines.engine import Engine, Tick
from calmix.engines.processes import Processes, carry_out, default_workers

__all__ = ["Elsewhere", "Engine", "Processes", "Tick", "carry_out", "default_workers", "engine_of"]
