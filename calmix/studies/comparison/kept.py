"""One network with one method, kept: the folder of a comparison of one run, and the network itself."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from calmix.results.files import hold_folder, refuse_finished, refuse_other_run, refuse_others, write_text
from calmix.results.jobs import same_run
from calmix.results.records import read_predictions, read_record, save_record
from calmix.results.store import Results, write_results
from calmix.studies.comparison.card import model_card
from calmix.studies.comparison.compared import Compared, read_comparison
from calmix.studies.comparison.mistakes import find_mistakes, write_mistakes
from calmix.train import Checkpoints, Loggers, Recipe, run
from calmix.train.cost import cost_of
from calmix.train.recipe import facts_of
from calmix.train.running import try_step
from calmix.train.saved import FACTS, check_keeps, save_network
from calmix.train.settings import CHECKPOINT_MINUTES
from calmix.train.training import OnEpoch, train


def train_and_keep(
    recipe: Recipe,
    out: Path,
    command: Sequence[str] = (),
    on_epoch: OnEpoch = lambda epoch, model: None,
    resume: bool = False,
    checkpoint_minutes: float = CHECKPOINT_MINUTES,
    loggers: Sequence[str] = (),
) -> Compared:
    """Carry out a recipe and write the folder that a comparison of one run would, and the network for `calmix.load`.

    resume: go on where the same run was stopped; one that has finished stays as it is. loggers: `csv`,
    `tensorboard`, see `calmix.train.Loggers`.

    Raises:
        SettingError: the network's state is more than tensors.
        DataError: `out` cannot be written, holds results and `resume` is False, or holds anything but this run.
        Whatever the data, the network or the method raise.

    >>> import tempfile
    >>> from calmix import load, mixup
    >>> from calmix.data import NamedSet
    >>> from calmix.train import TrainingSettings
    >>> folder = Path(tempfile.mkdtemp()) / "wine"
    >>> kept = train_and_keep(Recipe(NamedSet("wine"), "mixup", mixup(), settings=TrainingSettings(epochs=2)), folder)
    >>> load(folder).saved.classes
    ('class_0', 'class_1', 'class_2')
    """
    splits = recipe.splits()
    try_step(recipe)
    check_keeps(recipe.network())
    recipe.robustness.check(splits)
    checkpoints, log = Checkpoints(out, checkpoint_minutes), Loggers(out, tuple(loggers))
    with hold_folder(out):
        if not resume:
            refuse_finished(out, "add --resume to go on, or give another --out")
        elif _is_finished(checkpoints, recipe):
            return read_comparison(out)
        return _kept(recipe, checkpoints, command, on_epoch, log)


def train_along(recipe: Recipe, out: Path, resume: bool, checkpoint_minutes: float = CHECKPOINT_MINUTES) -> None:
    """What ranks beside the first do, where torchrun started them all: they share in the training and write nothing."""
    checkpoints = Checkpoints(out, checkpoint_minutes)
    if not (resume and _is_finished(checkpoints, recipe)):
        train(recipe, checkpoints=checkpoints)


def _is_finished(checkpoints: Checkpoints, recipe: Recipe) -> bool:
    """Whether the folder holds the run and its network. Raise DataError where it holds anything else."""
    out = checkpoints.folder
    refuse_others(out, "results.json")
    checkpoints.check(recipe)
    names = {path.stem for path in (*out.glob("runs/*.json"), *out.glob("checkpoints/*.safetensors"))}
    record, results = read_record(out, recipe.label, recipe.seed), out / "results.json"
    if names - {checkpoints.path(recipe.label, recipe.seed).stem} or (
        record and not same_run(record.recipe, recipe.text)
    ):
        refuse_other_run(out, recipe.label)
    return record is not None and results.exists() and (out / FACTS).exists()


def _kept(
    recipe: Recipe, checkpoints: Checkpoints, command: Sequence[str], on_epoch: OnEpoch, loggers: Loggers
) -> Compared:
    out = checkpoints.folder
    record, predictions, model = run(recipe, on_epoch, checkpoints, loggers)
    record = replace(record, relative_cost=cost_of(recipe), cost_machine=record.machine)
    save_network(out, recipe, model, record.temperature)
    save_record(out, record, predictions)
    results = Results(facts_of(recipe, tuple(command)), [record], record.method)
    target = next((column.name for column in results.facts.data.columns if column.taken_for == "target"), "")
    write_text(out / "README.md", model_card(results, target))
    mistakes = find_mistakes(results, lambda _: predictions, [recipe])
    write_mistakes(out, mistakes)
    write_results(out, results)
    checkpoints.remove(recipe.label, recipe.seed)
    checkpoints.close()
    return Compared(results, lambda stored: read_predictions(out, stored), mistakes)
