"""What must hold for every case, and one case carried out."""

import os
import sys
from collections.abc import Sequence
from contextlib import chdir, nullcontext, redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from random import Random
from typing import IO
from unittest.mock import patch

from calmix.cli import main
from tests.fuzz.cases import KINDS, OUT, Case
from tests.fuzz.corpus import dry

FINISHED = ("runs/*.json", "seeds/*.json", "results.json", "metrics.json", "diagnosis.json", "tuning.json")


def make_case(kind: str, random: Random, corpus: Path, folder: Path) -> Case:
    return KINDS[kind][0](random, corpus, folder)


def carry_out(case: Case, folder: Path) -> tuple[object, str]:
    """The exit code, or the exception that came through, and what was said on stderr."""
    said = StringIO()
    out: IO[str] | None = None if case.stdout else StringIO()
    if case.stdout.startswith("/"):
        out = Path(case.stdout).open("w")  # noqa: SIM115
    slow = nullcontext() if case.whole else dry()
    with slow, chdir(folder), patch.dict(os.environ, case.environment), redirect_stdout(out), redirect_stderr(said):
        try:
            main(case.arguments)
            code: object = 0
        except SystemExit as stop:
            code = stop.code or 0
        if out is None and sys.stdout is not None:  # what the command put in its place
            sys.stdout.close()
    if out is not None:
        with suppress(OSError):
            out.close()
    return code, said.getvalue()


def broken(code: object, said: str, folder: Path, began: Sequence[str] = ()) -> str:
    """The law that a case broke; empty where it kept all. began: files that were there before."""
    if code not in (0, 2):
        return f"exit code {code}"
    if "Traceback" in said:
        return "traceback"
    lines = [line for line in said.splitlines() if line.strip()]
    if code == 2 and not (lines and lines[-1].startswith("calmix: ")):
        return "no sentence"
    left = [path for path in folder.rglob(".*") if str(path.relative_to(folder)) not in began]
    if left:
        return f"left over: {left[0].name}"
    out = folder / OUT
    if code != 0 and out.exists() and not any(any(out.glob(pattern)) for pattern in FINISHED):
        return "a folder without results"
    return ""
