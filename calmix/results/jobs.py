"""The runs of a comparison as a list, for machines that carry out a part of it each.

OUT/jobs.json    the command, versions, and one line a run

Little is loaded for it: a job that is not on the list is refused at once.
"""

import hashlib
import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from calmix.errors import DataError, SettingError
from calmix.reading import read_json, typed
from calmix.results.files import write_whole

_JOBS = "jobs.json"
_FOLDER = re.compile(r"""(?<=Path\(['"])[^'"]*/""")  # in the text of a path


@dataclass(frozen=True)
class Job:
    """One run. job: its number, from 1. hash: see `hash_of`."""

    job: int
    method: str  # its label in tables
    seed: int
    hash: str


@dataclass(frozen=True)
class Jobs:
    """All runs of a comparison, seed by seed, and the command that planned them, as the shell split it.

    versions: where it was planned, see `versions`.
    """

    command: Sequence[str]
    versions: Mapping[str, str]
    jobs: Sequence[Job]

    @property
    def methods(self) -> list[str]:
        """The labels of the methods."""
        return list(dict.fromkeys(job.method for job in self.jobs))

    @cached_property
    def by_run(self) -> Mapping[tuple[str, int], Job]:
        """The jobs by label and seed."""
        return {(job.method, job.seed): job for job in self.jobs}

    def chosen(self, numbers: Sequence[int] | None, shard: str | None) -> list[Job]:
        """The jobs of these numbers, or those of a shard such as 3/20: jobs 3, 23, 43, ...; all, if neither is given.

        Raises:
            SettingError: both are given, or what is on no list.

        >>> jobs = Jobs((), {}, [Job(number, "erm", number, "") for number in (1, 2, 3, 4, 5)])
        >>> [job.job for job in jobs.chosen(None, "2/3")]
        [2, 5]
        """
        if numbers is not None and shard is not None:
            raise SettingError("--job and --shard exclude each other; give one of them, or neither for all jobs.")
        if shard is not None:
            number, _, of = shard.partition("/")
            if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
                raise SettingError(f"the shard is {shard!r}; give one such as 3/20, the third of twenty.")
            return list(self.jobs[int(number) - 1 :: int(of)])
        for number in numbers or ():
            if not 1 <= number <= len(self.jobs):
                raise SettingError(f"there is no job {number}; the jobs are 1 to {len(self.jobs)}.")
        return [self.jobs[number - 1] for number in numbers] if numbers is not None else list(self.jobs)


def hash_of(recipe: str) -> str:
    """Of the text of a recipe: two runs with the same hash are the same run.

    The folders that data were read from do not count: what is in the files is told by a digest.

    >>> hash_of("Recipe(data=TableFile(path=PosixPath('/old/a.csv')) 5eb6, label=") == hash_of(
    ...     "Recipe(data=TableFile(path=PosixPath('a.csv')) 5eb6, label="
    ... )
    True
    """
    data, label, rest = recipe.partition(", label=")
    return hashlib.sha256(f"{_FOLDER.sub('', data)}{label}{rest}".encode(errors="surrogateescape")).hexdigest()[:16]


def same_run(recipe: str, other: str) -> bool:
    """Whether two texts of recipes are of the same run, see `hash_of`."""
    return hash_of(recipe) == hash_of(other)


def versions() -> dict[str, str]:
    """Of what the numbers of a run depend on, and of Python, without its last part."""
    return {
        "calmix": version("calmix"),
        "torch": version("torch").partition("+")[0],  # the same for CPU and GPU
        "python": ".".join(platform.python_version_tuple()[:2]),
    }


def check_versions(expected: Mapping[str, str], found: Mapping[str, str], where: str) -> None:
    """Raise SettingError where versions differ."""
    other = [f"{name} {found.get(name)} for {value}" for name, value in expected.items() if found.get(name) != value]
    if other:
        raise SettingError(
            f"{where} has other versions than the machine of the comparison: {', '.join(other)}; install the same, or "
            "allow it with --allow-mixed (allow_mixed=True)."
        )


# ------------------------------------------------------------------------------------------------------- files


def write_jobs(folder: Path, jobs: Jobs) -> Path:
    """Write jobs.json, one line a run."""
    head = json.dumps({"command": jobs.command, "versions": jobs.versions}, indent=1).removesuffix("\n}")
    rows = ",\n".join(f"  {json.dumps(asdict(job))}" for job in jobs.jobs)
    content = f'{head},\n "jobs": [\n{rows}\n ]\n}}\n'.encode(errors="surrogateescape")
    write_whole(folder / _JOBS, lambda file: file.write(content))
    return folder / _JOBS


def read_jobs(folder: Path) -> Jobs | None:
    """The list of jobs in a folder; None where there is none. Raise DataError where it is damaged."""
    path = folder / _JOBS
    if not path.exists():
        return None
    try:
        jobs: Jobs = typed(Jobs, read_json(path))
    except DataError as error:
        raise DataError(f"{path} is damaged ({str(error).rstrip('.')}); plan it again.") from None
    if list(jobs.command[:2]) != ["calmix", "compare"] or [job.job for job in jobs.jobs] != [
        *range(1, len(jobs.jobs) + 1)
    ]:
        raise DataError(f"{path} is damaged (it holds no comparison, or jobs are missing); plan it again.")
    return jobs
