"""One network with one method, kept: the folder of a comparison of one run, and the network itself."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from calmix.results.files import hold_folder, refuse_finished, write_text
from calmix.results.records import read_predictions, save_record
from calmix.results.store import Results, write_results
from calmix.studies.comparison.card import model_card
from calmix.studies.comparison.compared import Compared
from calmix.studies.comparison.mistakes import find_mistakes, write_mistakes
from calmix.train import Recipe, run
from calmix.train.cost import cost_of
from calmix.train.recipe import facts_of
from calmix.train.running import try_step
from calmix.train.saved import save_network
from calmix.train.training import OnEpoch


def train_and_keep(
    recipe: Recipe, out: Path, command: Sequence[str] = (), on_epoch: OnEpoch = lambda epoch, model: None
) -> Compared:
    """Carry out a recipe and write the folder that a comparison of one run would, and the network for `calmix.load`.

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
    recipe.robustness.check(splits)
    with hold_folder(out):
        refuse_finished(out, "give another --out")
        return _kept(recipe, out, command, on_epoch)


def _kept(recipe: Recipe, out: Path, command: Sequence[str], on_epoch: OnEpoch) -> Compared:
    record, predictions, model = run(recipe, on_epoch)
    record = replace(record, relative_cost=cost_of(recipe))
    save_network(out, recipe, model, record.temperature)
    save_record(out, record, predictions)
    results = Results(facts_of(recipe, tuple(command)), [record], record.method)
    target = next((column.name for column in results.facts.data.columns if column.taken_for == "target"), "")
    write_text(out / "README.md", model_card(results, target))
    mistakes = find_mistakes(results, lambda _: predictions, [recipe])
    write_mistakes(out, mistakes)
    write_results(out, results)
    return Compared(results, lambda stored: read_predictions(out, stored), mistakes)
