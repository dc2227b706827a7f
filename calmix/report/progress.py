"""How far a command is, on stderr: a bar on a terminal, a line a minute elsewhere, and a line an epoch for who asks."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from calmix.report.sentences import counted
from calmix.results.records import Epoch

_SECONDS = 60.0  # between two lines where there is no terminal


class Done:
    """How much of a number of runs is done. others: the epochs of labels that have another number of them."""

    def __init__(self, runs: int, epochs: int, others: Mapping[str, int] | None = None) -> None:
        self.runs: int = runs
        self.epochs: int = epochs
        self._others = dict(others or {})
        self.now: str = counted(runs, "run")
        self._done: dict[tuple[str, int], int] = {}
        self._trained = 0  # epochs by this command

    def tell(self, label: str, seed: int, epochs: int, entry: Epoch | None) -> None:
        """So many epochs of a run are done, and the last of them has just ended, unless the run was done before."""
        self._trained += entry is not None
        self._done[label, seed], self.now = epochs, f"{label}, seed {seed}"

    @property
    def total(self) -> int:
        """Epochs, where each run counts as one of the common length."""
        return sum(self.epochs * done // self._epochs_of(label) for (label, _), done in self._done.items())

    def _epochs_of(self, label: str) -> int:
        return self._others.get(label, self.epochs)

    def line(self, seconds: float) -> str:
        """What is done, and how long the rest may take, where so many seconds have gone.

        >>> done = Done(2, 10)
        >>> done.tell("erm", 0, 10, None)
        >>> done.tell("mixup", 0, 1, Epoch(1, {"loss": 0.7}, {}))
        >>> done.line(90)
        'mixup, seed 0: 55 % of 2 runs, 0:01:30 gone, about 0:13:30 left'
        """
        whole = self.runs * self.epochs
        said = f"{self.now}: {100 * self.total // whole} % of {counted(self.runs, 'run')}, {_clock(seconds)} gone"
        if not self._trained:
            return said
        return f"{said}, about {_clock(seconds / self._trained * (whole - self.total))} left"

    def epoch_line(self, label: str, seed: int, entry: Epoch) -> str:
        """What became of an epoch.

        >>> Done(2, 10).epoch_line("mixup", 0, Epoch(1, {"loss": 0.7, "accuracy": 0.5}, {"loss": 0.61}))
        'mixup, seed 0: epoch 1 of 10, training loss 0.7000, validation loss 0.6100'
        """
        parts = {"training": entry.train, "validation": entry.validation}
        losses = (f", {name} loss {part['loss']:.4f}" for name, part in parts.items() if part)
        strength = f", strength {entry.train['strength']:.3g}" if "strength" in entry.train else ""
        return f"{label}, seed {seed}: epoch {entry.number} of {self._epochs_of(label)}{''.join(losses)}{strength}"


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))


@contextmanager
def showing_progress(
    runs: int, epochs: int, quiet: bool = False, verbose: bool = False, others: Mapping[str, int] | None = None
) -> Iterator[Callable[[str, int, int, Epoch | None], None]]:
    """What the block calls with label, seed, epochs done, and the epoch that has just ended, if one has.

    others: the epochs of labels that have another number of them.
    """
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    done, console, start = Done(runs, epochs, others), Console(stderr=True), time.monotonic()
    with (
        Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar,
        _repeated(lambda: _say(done.line(time.monotonic() - start)), not quiet and not console.is_terminal),
    ):
        task = bar.add_task(done.now, total=runs * epochs)

        def tick(label: str, seed: int, count: int, entry: Epoch | None) -> None:
            done.tell(label, seed, count, entry)
            bar.update(task, completed=done.total, description=escape(done.now))
            if verbose and entry is not None:
                _say(done.epoch_line(label, seed, entry))  # above the bar, if there is one

        yield tick


def _say(line: str) -> None:
    with suppress(OSError):  # nobody reads it
        print(line, file=sys.stderr, flush=True)


@contextmanager
def _repeated(say: Callable[[], None], wanted: bool) -> Iterator[None]:
    """Say something every minute, also where an epoch takes longer."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(_SECONDS):
            say()

    thread = threading.Thread(target=repeat, daemon=True)
    if wanted:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if wanted:
            thread.join()
