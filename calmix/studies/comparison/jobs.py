"""A comparison whose runs many machines carry out: planned as a list, worked off in parts, gathered in the end.

    OUT/jobs.json     one line a run, see `calmix.results.jobs`

Machines share the folder, or their folders are copied into one.
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from calmix.engines import Engine, Orders, Tick
from calmix.engines.engine import Finished, untold
from calmix.errors import DataError
from calmix.results.files import Claims, hold_folder
from calmix.results.jobs import Job, Jobs, hash_of, versions, write_jobs
from calmix.results.records import Failure, read_failure, run_name
from calmix.studies.comparison.compared import Compared
from calmix.studies.comparison.runs import ELSEWHERE, Ended, InFolder, carry_out_runs, check_hash, key_of
from calmix.studies.comparison.study import Comparison, carry_out_comparison
from calmix.train import Checkpoints, Loggers, Recipe
from calmix.train.recipe import texts
from calmix.train.settings import CHECKPOINT_MINUTES


def plan_jobs(comparison: Comparison, out: Path, resume: bool, command: Sequence[str]) -> Jobs:
    """Write the list of all runs, and train nothing. command: as the shell split it; it makes the comparison again.

    Raises:
        DataError: `out` cannot be written, or holds results and `resume` is False.
        Whatever the data or the network raise.
    """
    comparison.recipes[0].network()
    store = InFolder(Checkpoints(out), resume)
    store.refuse()
    comparison.check()
    listed = [
        Job(number, recipe.label, recipe.seed, hash_of(text))
        for number, (recipe, text) in enumerate(zip(comparison.recipes, texts(comparison.recipes), strict=True), 1)
    ]
    jobs = Jobs(tuple(command), versions(), tuple(listed))
    with hold_folder(out):
        store.refuse()
        write_jobs(out, jobs)
    return jobs


def work(
    comparison: Comparison,
    jobs: Jobs,
    chosen: Sequence[Job],
    out: Path,
    engine: Engine,
    tick: Tick = untold,
    checkpoint_minutes: float = CHECKPOINT_MINUTES,
    loggers: Sequence[str] = (),
    run_timeout: float | None = None,
) -> Ended:
    """Carry out the chosen jobs of a list, but for those that are finished or that another process carries out.

    Raises:
        DataError: the run of a job is another one here than where the list was made, or is stored with other settings.
    """
    _check_listed(comparison, jobs, out)
    store = InFolder(Checkpoints(out, checkpoint_minutes), True, jobs, keeps_failures=True)
    store.refuse()
    recipes = {key_of(recipe): recipe for recipe in comparison.recipes}
    asked = [recipes[job.method, job.seed] for job in chosen]
    orders = Orders(tick, loggers=Loggers(out, tuple(loggers)), run_timeout=run_timeout)
    return carry_out_runs(asked, store, engine, orders)


def gather(comparison: Comparison, jobs: Jobs, out: Path) -> Compared:
    """The comparison of the jobs that are finished; the others are failures, each with its reason. Nothing is trained.

    Raises:
        DataError: no seed was finished by every method that finished one, or runs with other settings are stored.
    """
    _check_listed(comparison, jobs, out)
    check_hash(comparison.recipes[0], jobs, out)
    return carry_out_comparison(comparison, out, True, _Missing(jobs, out), jobs.command, jobs=jobs)


@dataclass(frozen=True)
class _Missing:
    """Carries out nothing, and says why each run is not there."""

    jobs: Jobs
    folder: Path

    def carry_out(self, recipes: Sequence[Recipe], orders: Orders = Orders()) -> Iterator[Finished | Failure]:
        """See `Engine`."""
        claims = Claims(self.folder)
        for recipe in recipes:
            failure = read_failure(self.folder, recipe.label, recipe.seed)
            if claims.elsewhere(run_name(recipe.label, recipe.seed)):
                failure = Failure(recipe.label, recipe.seed, ELSEWHERE)
            job = self.jobs.by_run[key_of(recipe)].job
            waits = f"it has not been carried out; calmix work {shlex.quote(str(self.folder))} --job {job} does so."
            yield failure or Failure(recipe.label, recipe.seed, waits)
            orders.tick(recipe.label, recipe.seed, recipe.settings.epochs, None)


def _check_listed(comparison: Comparison, jobs: Jobs, out: Path) -> None:
    """Raise DataError where a comparison has other runs than a list."""
    if {key_of(recipe) for recipe in comparison.recipes} != set(jobs.by_run):
        raise DataError(f"{out}/jobs.json lists other runs than its command makes here; plan it again.")
