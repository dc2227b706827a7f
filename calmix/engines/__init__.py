"""How many runs are carried out: here one after the other, or several at a time in processes of their own."""

from calmix.engines.engine import Engine, Tick
from calmix.engines.processes import Processes, carry_out, default_workers

__all__ = ["Engine", "Processes", "Tick", "carry_out", "default_workers"]
