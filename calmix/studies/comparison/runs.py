"""Runs that are carried out and kept, unless a folder has them or another process carries them out."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from calmix.engines import Engine, Orders
from calmix.errors import DataError
from calmix.results.files import Claims, NamedArrays, refuse_finished, refuse_other_run, refuse_others
from calmix.results.jobs import Jobs, hash_of
from calmix.results.records import (
    Failure,
    Record,
    read_predictions,
    read_record,
    remove_failure,
    run_name,
    save_record,
    write_failure,
    write_record,
)
from calmix.train import Checkpoints, Recipe

Key = tuple[str, int]  # label, seed


def key_of(recipe: Recipe) -> Key:
    """Which run of a comparison it is."""
    return recipe.label, recipe.seed


@dataclass(frozen=True)
class Ended:
    """What became of runs.

    here: carried out now. before: those that were finished. elsewhere: those that another process carries out.
    """

    here: list[Record] = field(default_factory=list)
    before: list[Record] = field(default_factory=list)
    elsewhere: list[Failure] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def carry_out_runs(recipes: Sequence[Recipe], store: "Store", engine: Engine, orders: Orders) -> Ended:
    """Carry out what is not stored, and what no other process carries out; keep each run as soon as it has ended.

    Which runs are wanted, and where their checkpoints are, the store says.

    Raises:
        DataError: a run with other settings is stored, or the folder cannot be written.
    """
    ended = Ended()

    def wanted(recipe: Recipe) -> bool:
        if not store.claim(recipe):
            ended.elsewhere.append(Failure(recipe.label, recipe.seed, ELSEWHERE))
        elif (record := store.stored(recipe)) is not None:
            store.release(recipe.label, recipe.seed)
            ended.before.append(record)
        else:
            return True
        orders.tick(recipe.label, recipe.seed, recipe.settings.epochs, None)
        return False

    try:
        for one in engine.carry_out(recipes, replace(orders, checkpoints=store.checkpoints, wanted=wanted)):
            if isinstance(one, Failure):
                store.fail(one)
                ended.failures.append(one)
            else:
                store.save(*one)
                ended.here.append(one[0])
    finally:
        store.release_all()
    return ended


ELSEWHERE = "another command is carrying it out; --resume gathers it when that has ended."


class Store(Protocol):
    """Where finished runs are kept."""

    checkpoints: Checkpoints | None

    def refuse(self) -> None: ...
    def stored(self, recipe: Recipe) -> Record | None: ...
    def claim(self, recipe: Recipe) -> bool: ...
    def release(self, label: str, seed: int) -> None: ...
    def release_all(self) -> None: ...
    def save(self, record: Record, predictions: NamedArrays) -> None: ...
    def fail(self, failure: Failure) -> None: ...
    def rewrite(self, record: Record) -> None: ...
    def predictions(self, record: Record) -> NamedArrays: ...


class InMemory:
    """Predictions without a folder."""

    def __init__(self) -> None:
        self.checkpoints: Checkpoints | None = None
        self._predictions: dict[Key, NamedArrays] = {}

    def refuse(self) -> None:
        pass

    def stored(self, recipe: Recipe) -> None:
        pass

    def claim(self, recipe: Recipe) -> bool:
        return True

    def release(self, label: str, seed: int) -> None:
        pass

    def release_all(self) -> None:
        pass

    def save(self, record: Record, predictions: NamedArrays) -> None:
        self._predictions[record.method, record.seed] = predictions

    def fail(self, failure: Failure) -> None:
        pass

    def rewrite(self, record: Record) -> None:
        pass

    def predictions(self, record: Record) -> NamedArrays:
        return self._predictions[record.method, record.seed]


def check_hash(recipe: Recipe, jobs: Jobs, folder: Path) -> None:
    """Raise DataError where a run is another one here than the one on the list."""
    if hash_of(recipe.text) != jobs.by_run[key_of(recipe)].hash:
        raise DataError(
            f"{recipe.label} with seed {recipe.seed} is another run here than the one in {folder}/jobs.json: "
            "the data, the network's code or the settings differ; make them the same, or plan again."
        )


class InFolder:
    """Finished and stopped runs in a folder, which several processes may fill at a time.

    jobs: the list that the runs must stand on; its hashes tell whether a stored run is the one asked for, so that no
    network is made to know. keeps_failures: the reasons of runs that fail are written, too.
    """

    def __init__(
        self, checkpoints: Checkpoints, resume: bool, jobs: Jobs | None = None, keeps_failures: bool = False
    ) -> None:
        self.path: Path = checkpoints.folder
        self.checkpoints: Checkpoints | None = checkpoints
        self._unfinished, self._resume, self._jobs = checkpoints, resume, jobs
        self._keeps_failures: bool = keeps_failures
        self._claims = Claims(checkpoints.folder)

    def refuse(self) -> None:
        """Raise DataError where results are in the way."""
        if not self._resume:
            refuse_finished(self.path, "add --resume to go on, or give another --out")
        refuse_others(self.path, "results.json")

    def stored(self, recipe: Recipe) -> Record | None:
        """The run if it is stored whole, record and predictions.

        Raises:
            DataError: it is another run, or another one was stopped.
        """
        record = read_record(self.path, recipe.label, recipe.seed)
        if record is None:
            self._unfinished.check(recipe)
            return None
        expected = self._jobs.by_run[key_of(recipe)].hash if self._jobs else hash_of(recipe.text)
        if hash_of(record.recipe) != expected:
            refuse_other_run(self.path, recipe.label)
        try:
            self.predictions(record)
        except DataError:
            return None
        self._unfinished.remove(record.method, record.seed)  # where the command was killed before it did
        return record

    def claim(self, recipe: Recipe) -> bool:
        """See to it that no other process carries out the run; False where one does.

        Raises:
            DataError: it is not the run on the list.
        """
        if self._jobs is not None:
            check_hash(recipe, self._jobs, self.path)
        return self._claims.take(run_name(recipe.label, recipe.seed))

    def release(self, label: str, seed: int) -> None:
        self._claims.release(run_name(label, seed))

    def release_all(self) -> None:
        self._claims.release_all()

    def save(self, record: Record, predictions: NamedArrays) -> None:
        save_record(self.path, record, predictions)
        self._unfinished.remove(record.method, record.seed)
        remove_failure(self.path, record.method, record.seed)
        self.release(record.method, record.seed)

    def fail(self, failure: Failure) -> None:
        if self._keeps_failures:
            write_failure(self.path, failure)
        self.release(failure.method, failure.seed)

    def rewrite(self, record: Record) -> None:
        write_record(self.path, record)

    def predictions(self, record: Record) -> NamedArrays:
        return read_predictions(self.path, record)
