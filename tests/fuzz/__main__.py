"""Many cases, each in a process of its own with 4 GB of address space and ten seconds: `make fuzz`.

    python -m tests.fuzz --cases 20000 --first 0 --jobs 2 --log fuzz.jsonl

Case number i is the same whenever it is carried out. A log is gone on with: what it holds is not carried out again.
Exit code 1 where a law is broken.
"""

import argparse
import gc
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from random import Random
from typing import Any

import torch

from tests.fuzz import damage
from tests.fuzz.cases import KINDS, Case
from tests.fuzz.corpus import make_corpus
from tests.fuzz.laws import broken, carry_out, make_case

SECONDS, BYTES = 10, 4 * 2**30
TOGETHER = 60  # cases in one process, one after the other


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--log", type=Path, default=Path("fuzz.jsonl"))
    parser.add_argument("--kind", choices=list(KINDS), help="one kind alone")
    options = parser.parse_args()
    done = (
        {json.loads(line)["case"] for line in options.log.read_text().splitlines()} if options.log.exists() else set()
    )
    numbers = [i for i in range(options.first, options.first + options.cases) if i not in done]
    with tempfile.TemporaryDirectory() as place:
        corpus = Path(place, "corpus")
        corpus.mkdir()
        _in_child(lambda: make_corpus(corpus))  # in a child: forking is safe only where nothing has been computed
        _import_everything()
        with options.log.open("a") as log:
            for found in _carried_out(numbers, corpus, Path(place), options.jobs, options.kind):
                log.write(json.dumps(found) + "\n")
                log.flush()
    found = [json.loads(line) for line in options.log.read_text().splitlines()]
    print(summary(found))
    sys.exit(any(one["broken"] for one in found))


def kind_of(number: int) -> str:
    kinds = list(KINDS)
    return Random(number).choices(kinds, [share for _, share in KINDS.values()])[0]


def _import_everything() -> None:
    import lightning.pytorch
    import matplotlib.backends.backend_agg
    import pyarrow.parquet
    import sklearn.pipeline

    import calmix.studies.comparison.study
    import calmix.studies.diagnosis.page
    import calmix.studies.evaluation.page
    import calmix.studies.ranking.page
    import calmix.train.module

    assert all((lightning, matplotlib, pyarrow, sklearn, calmix))
    torch.set_num_threads(1)
    for count in (10**6, 3 * 10**8):
        damage.bomb(count)
    gc.freeze()  # so that a child copies less of what it only reads


def _carried_out(
    numbers: list[int], corpus: Path, place: Path, jobs: int, only: str | None
) -> Iterator[dict[str, Any]]:
    """The report of each case, as soon as its process has ended."""
    waiting = [numbers[start : start + TOGETHER] for start in range(0, len(numbers), TOGETHER)][::-1]
    running: dict[int, tuple[list[int], Path]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            some = waiting.pop()
            folder = place / f"from{some[0]}"
            folder.mkdir()
            pid = os.fork()
            if pid == 0:
                _cases(some, corpus, folder, only)
            running[pid] = some, folder
        pid, status = os.wait()
        some, folder = running.pop(pid)
        if (folder / "crash.txt").exists():
            sys.exit(f"a case could not be made:\n{(folder / 'crash.txt').read_text()}")
        told = [
            json.loads(line.rpartition("\t")[2]) for line in (folder / "told.jsonl").read_text().split("\n") if line
        ]
        if told and "code" not in told[-1]:
            signalled = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "none"
            law = "slow" if signalled in ("SIGPROF", "SIGALRM") else "died"
            told[-1] |= {"code": signalled, "broken": law, "said": "", "seconds": SECONDS, "mb": 0}
            if len(told) < len(some):
                waiting.append(some[len(told) :])
        shutil.rmtree(folder)
        yield from told


def _cases(numbers: list[int], corpus: Path, folder: Path, only: str | None) -> None:
    """In a child, which ends with the last case or by a limit: a line a case in told.jsonl."""
    try:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with (folder / "told.jsonl").open("w") as told:
            for number in numbers:
                own = folder / f"case{number}"
                own.mkdir()
                kind = only or kind_of(number)
                report: dict[str, Any] = {"case": number, "kind": kind}
                try:
                    case = make_case(kind, Random(number), corpus, own)
                except Exception:  # some combinations of damage cannot be made
                    shutil.rmtree(own)
                    own.mkdir()
                    case = make_case("evaluate", Random(-number), corpus, own)
                report["arguments"] = case.arguments
                told.write(json.dumps(report))
                told.flush()
                report |= _limited(case, own)
                if not report["broken"]:
                    del report["said"], report["arguments"]
                told.write("\t" + json.dumps(report) + "\n")
                told.flush()
                shutil.rmtree(own)
    except BaseException:
        (folder / "crash.txt").write_text(traceback.format_exc())
    finally:
        os._exit(0)


def _limited(case: Case, folder: Path) -> dict[str, Any]:
    """The case within its limits: code, law, and what it took."""
    began = [str(path.relative_to(folder)) for path in folder.rglob("*")]
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of memory
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, resource.RLIM_INFINITY))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of the CPU: a machine may be busy with other things
    signal.alarm(12 * SECONDS)
    start = time.process_time()
    try:
        code, said = carry_out(case, folder)
        law = broken(code, said, folder, began)
    except BaseException as error:
        code, said, law = 1, traceback.format_exc(), type(error).__name__
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.alarm(0)
    seconds = time.process_time() - start
    [peak] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return {"code": code, "said": said[-3000:], "broken": law, "seconds": round(seconds, 2), "mb": int(peak) // 1024}


def _in_child(work: Any) -> None:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with redirect_stdout(open(os.devnull, "w")):
                work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit("the corpus could not be made.")


def summary(found: list[dict[str, Any]]) -> str:
    lines = [
        f"{'kind':<10} {'cases':>6} {'exit 0':>7} {'exit 2':>7} {'broken':>7} {'slowest s':>10} {'largest MB':>11}"
    ]
    for kind in [*KINDS, "all"]:
        some = [one for one in found if kind in (one["kind"], "all")]
        if some:
            codes = Counter(str(one["code"]) for one in some)
            bad = sum(bool(one["broken"]) for one in some)
            slowest, largest = max(one["seconds"] for one in some), max(one["mb"] for one in some)
            lines.append(
                f"{kind:<10} {len(some):>6} {codes['0']:>7} {codes['2']:>7} {bad:>7} {slowest:>10.1f} {largest:>11}"
            )
    for law, count in Counter(one["broken"] for one in found if one["broken"]).most_common():
        lines.append(f"{count:>6} {law}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
