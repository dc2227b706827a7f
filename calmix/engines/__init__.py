"""How many runs are carried out: here one after the other, or several at a time in processes of their own."""

from calmix.engines.processes import Tick, carry_out, default_workers

__all__ = ["Tick", "carry_out", "default_workers"]
