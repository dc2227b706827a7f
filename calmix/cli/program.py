"""The program calmix: its commands, and in what exit codes it may end.

Nothing heavier than argparse is imported before a command is known, and a command imports what it needs.
"""

import argparse
import gc
import io
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from calmix.cli import compare, diagnose, evaluate, export, lists, predict, report, reproduce, train, tune, work
from calmix.cli.command import Command, PlainParser, fail
from calmix.errors import CalmixError, SettingError, UnknownNameError

COMMANDS: Mapping[str, Command] = {
    command.name: command
    for command in (
        compare.COMMAND,
        work.COMMAND,
        train.COMMAND,
        tune.COMMAND,
        predict.COMMAND,
        export.COMMAND,
        evaluate.COMMAND,
        diagnose.COMMAND,
        report.COMMAND,
        reproduce.COMMAND,
        lists.METHODS,
        lists.MODELS,
        lists.DATASETS,
    )
}
_LEAST_MEMORY = 1_200_000_000  # bytes of addresses
_NO_MEMORY = "there is not enough memory; take fewer rows or a smaller network, or raise the limit (ulimit -v)."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit.

    0: done. 1: done, but some runs failed. 2: bad input, said in one sentence on stderr. 70: a fault of calmix itself;
    CALMIX_TRACEBACK=1 shows where. 130 and 143: stopped, by hand or by SIGTERM.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    os.environ["MPLBACKEND"] = "agg"  # figures are files
    gc.set_threshold(50_000, 20, 20)  # libraries and results are made of many small things that stay
    for name in ("stdout", "stderr"):  # where they were closed, or cannot show every character
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        _heed_sigterm()
        _check_text(arguments)
        chosen = _top_parser().parse_args(arguments)
        if chosen.print_completion is not None:
            return _print_completion(chosen.print_completion)
        if chosen.command is None:
            raise SettingError(f"no command was given; name one: {', '.join(COMMANDS)} (see: calmix --help).")
        if chosen.command not in COMMANDS:
            raise UnknownNameError("command", chosen.command, COMMANDS)
        if chosen.command not in ("methods", "models", "datasets"):
            _check_memory()
        COMMANDS[chosen.command].run(chosen.rest)
        sys.stdout.flush()  # a disk that is full says so here
    except CalmixError as error:
        fail(str(error))
    except BrokenPipeError:  # the reader of our output has seen enough
        _give_up_stdout()
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that went away
        if error.filename is None:
            _give_up_stdout()
        fail(f"{error.filename or 'stdout'}: {error.strerror or error}.")
    except MemoryError:
        fail(_NO_MEMORY)
    except ImportError as error:
        fail(f"{error.name or 'a library'} cannot be loaded ({' '.join(str(error).split())[:300]}).")
    except KeyboardInterrupt:
        _stopped("by hand", 130)
    except _Terminated:
        _stopped("by SIGTERM", 143)
    except Exception as error:
        if "can't allocate memory" in str(error):  # as torch says it
            fail(_NO_MEMORY)
        if os.environ.get("CALMIX_TRACEBACK"):
            raise
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        print(f"calmix: a fault of calmix, please report it ({said}); CALMIX_TRACEBACK=1 shows where.", file=sys.stderr)
        raise SystemExit(70) from error


class _Terminated(BaseException):
    """The process was told to end."""


def _heed_sigterm() -> None:
    def terminate(number: int, frame: object) -> NoReturn:
        raise _Terminated

    if threading.current_thread() is threading.main_thread():  # others may not
        signal.signal(signal.SIGTERM, terminate)


def _stopped(how: str, code: int) -> NoReturn:
    kept = (
        "what was done is kept, and a comparison, a training, a search or a diagnosis goes on from there with --resume"
    )
    print(f"calmix: stopped {how}; {kept}.", file=sys.stderr)
    sys.exit(code)


def _give_up_stdout() -> None:
    """Write to nowhere from now on, as stdout takes nothing any more."""
    with suppress(OSError):  # of a stream that is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_text(arguments: Sequence[str]) -> None:
    """Raise SettingError where a name is not UTF-8, as no report could say it."""
    for text in (*arguments, os.environ.get("CALMIX_DATA", "")):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise SettingError(f"{text!r} is not UTF-8 text; rename the file or folder.") from None


def _check_memory() -> None:
    """Raise SettingError where PyTorch's libraries, which end a process that lacks memory, cannot be loaded at all."""
    with suppress(ImportError):  # Windows has no such limit
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if 0 < limit < _LEAST_MEMORY:
            raise SettingError(
                f"the limit of {limit // 10**6} MB of memory is too low for PyTorch; allow {_LEAST_MEMORY // 10**6} MB "
                "or more (ulimit -v)."
            )


def _top_parser() -> argparse.ArgumentParser:
    from calmix import __version__
    from calmix.cli.completion import SHELLS

    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items())
    parser = PlainParser(
        prog="calmix",
        description="Calibrated mixup: accuracy, and probabilities that mean what they say.",
        epilog=f"commands:\n{listed}\n\ncalmix COMMAND --help tells more of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="calmix [-h] [--version] [--print-completion SHELL] COMMAND ...",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"calmix {__version__}", help="print the version")
    parser.add_argument(
        "--print-completion",
        choices=SHELLS,
        metavar="SHELL",
        help="print the completion for bash, zsh or fish",
    )
    parser.add_argument("command", metavar="COMMAND", nargs="?", help="what to do, see below")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _print_completion(shell: str) -> None:
    from calmix.cli.completion import completion

    parsers = {name: command.parser() for name, command in COMMANDS.items()}
    print(completion(shell, _top_parser(), parsers))
