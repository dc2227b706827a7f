"""What a further worker adds to the memory of a comparison on a large table (Linux alone).

python -m benchmarks.workers

`compare` of two methods, two seeds and one epoch on a table of 1,000,000 rows by 50 columns of float32, with one, two
and three workers. Memory is the sum over its processes of what each has for itself and its share of what several have
(the proportional set size), at its peak.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.size import write_table

OPTIONS = ["--target", "y", "--methods", "erm", "mixup", "--seeds", "2", "--epochs", "1", "--batch-size", "8192"]
SECONDS = 0.3  # between two looks


def main() -> None:
    """Print a row a number of workers."""
    print("| workers | peak, GB | seconds |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as path:
        table = Path(path, "table.parquet")
        write_table(table)
        for workers in (1, 2, 3):
            out = ["--workers", str(workers), "--out", str(Path(path, f"out{workers}"))]
            command = [sys.executable, "-c", "from calmix.cli import main; main()", "compare", str(table)]
            begin = time.perf_counter()
            most = peak(
                subprocess.Popen([*command, *OPTIONS, *out], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
            print(f"| {workers} | {most / 1e6:.2f} | {time.perf_counter() - begin:.0f} |", flush=True)


def peak(process: "subprocess.Popen[bytes]") -> int:
    """kB of the process and of all that it started."""
    most = 0
    while process.poll() is None:
        most = max(most, sum(map(_share, _family(process.pid))))
        time.sleep(SECONDS)
    assert process.returncode == 0
    return most


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has ended
        return []
    return [pid, *(one for child in children for one in _family(int(child)))]


def _share(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    main()
