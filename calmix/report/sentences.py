"""What several studies say: the shape of a verdict, and phrases that read the same everywhere."""

from collections.abc import Sequence
from dataclasses import dataclass

from calmix.results.catalogue import number
from calmix.results.store import PLAIN_MIXUP, PLAIN_TRAINING

ENOUGH_ANSWERS = 100  # that are about 90 % sure, below which nothing is said of them


@dataclass(frozen=True)
class Advice:
    """A verdict: what to do, why, and how far to trust it; all in full sentences."""

    headline: str
    reasons: list[str]
    cautions: list[str]

    def __str__(self) -> str:
        return " ".join([self.headline, *self.reasons, *self.cautions])


def joined(parts: Sequence[str]) -> str:
    """The parts as a list in a sentence.

    >>> joined(["a", "b", "c"]), joined(["a"]), joined([])
    ('a, b and c', 'a', '')
    """
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def listed(values: Sequence[str], most: int = 20) -> str:
    """The first values, and how many more there are.

    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(values[:most]) + more


def counted(count: int, thing: str) -> str:
    """A number of things.

    >>> counted(1, "run"), counted(1200, "run")
    ('1 run', '1,200 runs')
    """
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def called(method: str) -> str:
    """The name of a method in a sentence."""
    return {PLAIN_TRAINING: "plain training", PLAIN_MIXUP: "plain Mixup"}.get(method, method)


def named(method: str) -> str:
    """The same, with the label that the tables show."""
    name = called(method)
    return method if name == method else f"{name} ({method})"


def in_a_hundred(share: float) -> str:
    """A share as so many in a hundred; below 1 never shown as 100.

    >>> in_a_hundred(0.896), in_a_hundred(0.9969), in_a_hundred(0.9999), in_a_hundred(1.0)
    ('90', '99.7', '99.9', '100')
    """
    return number(min(100 * share, 99.9), 1) if 0.995 <= share < 1 else number(100 * share, 0)
