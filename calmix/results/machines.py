"""On what machines runs were carried out, and whether these are alike."""

import platform
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """What a run's numbers and times depend on beside its recipe. Nothing in it names a host or a person.

    device: cpu or cuda. name: of the processor or the GPU. Versions are those of `calmix.results.jobs.versions`.
    """

    device: str
    name: str
    threads: int
    calmix: str
    torch: str
    python: str

    @property
    def kind(self) -> tuple[str, str]:
        """Costs of two methods can be compared where they were measured on one kind of machine."""
        return self.device, self.name

    def __str__(self) -> str:
        return described(self, _FIELDS[1:])  # the device speaks for itself beside its name


_FIELDS = [field.name for field in fields(Machine)]
UNKNOWN = "a machine that is not known"  # of runs of before machines were kept


def described(machine: Machine | None, names: Iterable[str]) -> str:
    """Some of a machine's entries, in words.

    >>> described(Machine("cpu", "EPYC 7B13", 1, "0.2", "2.9.0", "3.11"), ("name", "threads", "torch"))
    'EPYC 7B13, 1 thread, torch 2.9.0'
    """
    if machine is None:
        return UNKNOWN
    said = {
        "device": machine.device,
        "name": machine.name,
        "threads": f"{machine.threads} thread{'' if machine.threads == 1 else 's'}",
        **{name: f"{name} {getattr(machine, name)}" for name in ("calmix", "torch", "python")},
    }
    return ", ".join(said[name] for name in names)


def runs_by_machine(machines: Iterable[Machine | None]) -> dict[Machine | None, int]:
    """How many runs each machine carried out, the most first; None is what is not known."""
    return dict(Counter(machines).most_common())


def differing(machines: Iterable[Machine | None]) -> list[str]:
    """The entries by which the machines that are known differ; none where they are alike."""
    known = {machine for machine in machines if machine is not None}
    found = [name for name in _FIELDS if len({getattr(machine, name) for machine in known}) > 1]
    return found[1:] if found[:2] == ["device", "name"] else found


@cache
def processor() -> str:
    """The processor's name, where the system tells; else its architecture."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
