"""A run that is told to end finishes its step first; the processes of one that was killed end at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.connection import wait
from typing import Any


class Stopped(BaseException):
    """Raised between two steps, where the run has been told to end."""


class Stop:
    """The signal by which the run was told to end, if it was."""

    def __init__(self) -> None:
        self.signal: int | None = None


@contextmanager
def held_until_stopped(stop: Stop) -> Iterator[None]:
    """Hold off SIGTERM and Ctrl-C until the block ends, or raises `Stopped`; a second one is delivered at once.

    Signals reach the main thread alone, so elsewhere nothing is held; nor is a signal that the process ignores.

    Raises:
        Whatever the handlers raise that were there before; SystemExit where they raise nothing, or there is none.
    """
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def deliver(number: int) -> None:
        restore()
        if callable(before.get(number)):  # another rank may have got a signal that is ignored here
            signal.raise_signal(number)
        else:
            raise SystemExit(128 + number)

    def hold(number: int, frame: object) -> None:
        if stop.signal is not None:
            deliver(number)
        stop.signal = number

    for number in before:
        signal.signal(number, hold)
    try:
        yield
    except Stopped:
        assert stop.signal is not None
        deliver(stop.signal)
        raise SystemExit(128 + stop.signal) from None
    finally:
        restore()
    if stop.signal is not None:
        deliver(stop.signal)


def end_with_parent() -> None:
    """From now on this process ends with the one that started it: one that was killed cannot stop its workers."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
