"""The memory that runs take, and that is left for more, as Linux tells it; other systems tell nothing here."""

import re
from collections.abc import Sequence
from pathlib import Path

_TRIED = 2  # times the memory of one step, which a run may take: optimizer, averages, larger batches to measure on


def peak_memory(root: Path = Path("/")) -> int:
    """The most bytes that this process alone has ever held, without libraries and shared memory; 0 where unknown."""
    sizes = _sizes(root / "proc/self/status")
    return max(0, sizes.get("VmHWM", 0) - sizes.get("RssFile", 0) - sizes.get("RssShmem", 0))


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes that processes may still take: of the machine, or of the control group (version 2) that this one is in.

    None where the system does not say.
    """
    free = [size for name, size in _sizes(root / "proc/meminfo").items() if name == "MemAvailable"]
    place = re.search(r"^0::/(.*)$", _text(root / "proc/self/cgroup"), re.MULTILINE)
    group = root / "sys/fs/cgroup" / (place[1] if place else "")
    for folder in (group, *group.parents):
        if not folder.is_relative_to(root / "sys/fs/cgroup"):
            break
        most, taken = _text(folder / "memory.max").strip(), _text(folder / "memory.current").strip()
        if most.isdigit() and taken.isdigit():
            cached = re.search(r"^inactive_file (\d+)$", _text(folder / "memory.stat"), re.MULTILINE)
            free.append(max(0, int(most) - int(taken) + (int(cached[1]) if cached else 0)))
    return min(free, default=None)


def fits(peaks: Sequence[int], tried: int, free: int | None) -> bool:
    """Whether another run fits beside those that go on.

    peaks: the most that each of them took so far; 0 of one that has not finished an epoch, and may still grow to what
    the others took. tried: the peak of the process that tried a step of each method; a run is taken for twice as large
    until the first of them has finished an epoch.

    >>> fits([4, 4], tried=1, free=5), fits([4, 0], tried=1, free=5), fits([0], tried=1, free=5)
    (True, False, True)
    """
    one = max(peaks, default=0) or _TRIED * tried
    return free is None or free >= one * (1 + sum(peak == 0 for peak in peaks))


def _sizes(path: Path) -> dict[str, int]:
    """Of a file with lines such as `VmHWM:  512 kB` the bytes by name."""
    return {name: 1024 * int(size) for name, size in re.findall(r"^(\w+):\s+(\d+) kB$", _text(path), re.MULTILINE)}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
