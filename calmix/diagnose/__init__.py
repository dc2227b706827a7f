"""The theory made visible: functions on tensors, which train nothing and write nothing."""

from calmix.diagnose.derivatives import Expansion, expand
from calmix.diagnose.mismatch import (
    MEASURES,
    Oracle,
    Verdict,
    ask,
    bin_means,
    bin_of,
    edges_of,
    random_pairs,
    rate_interval,
    verdict,
)
from calmix.diagnose.mixes import MixedRows, Watched, kernel_of, mixed_rows, watched
from calmix.diagnose.neighbours import neighbour_votes
from calmix.diagnose.surface import Surface, decision_surface

__all__ = [
    "MEASURES",
    "Expansion",
    "MixedRows",
    "Oracle",
    "Surface",
    "Verdict",
    "Watched",
    "ask",
    "bin_means",
    "bin_of",
    "decision_surface",
    "edges_of",
    "expand",
    "kernel_of",
    "mixed_rows",
    "neighbour_votes",
    "random_pairs",
    "rate_interval",
    "verdict",
    "watched",
]
