"""One network with one method, kept: the folder of a comparison of one run, and its weights."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from calmix.results.files import hold_folder, refuse_finished
from calmix.results.records import read_predictions, save_record
from calmix.results.store import Results, write_results
from calmix.studies.comparison.compared import Compared
from calmix.studies.comparison.mistakes import find_mistakes, write_mistakes
from calmix.train import Recipe, run
from calmix.train.cost import cost_of
from calmix.train.recipe import facts_of, outputs_of
from calmix.train.running import try_step
from calmix.train.training import OnEpoch
from calmix.train.weights import write_tensors


def train_and_keep(
    recipe: Recipe, out: Path, command: Sequence[str] = (), on_epoch: OnEpoch = lambda epoch, model: None
) -> Compared:
    """Carry out a recipe and write the folder that a comparison of one run would, plus `model.pt`.

    model.pt is a dict of tensors and plain values (no pickled code): `state_dict`, `model` (the name of its factory),
    `shape` of a row, `outputs`, `classes`, `temperature`, `recipe`.

    >>> import tempfile, torch
    >>> from calmix import mixup
    >>> from calmix.data import NamedSet
    >>> from calmix.train import TrainingSettings
    >>> folder = Path(tempfile.mkdtemp()) / "wine"
    >>> kept = train_and_keep(Recipe(NamedSet("wine"), "mixup", mixup(), settings=TrainingSettings(epochs=2)), folder)
    >>> sorted(torch.load(folder / "model.pt", weights_only=True))[:3]
    ['classes', 'model', 'outputs']
    """
    splits = recipe.splits()
    try_step(recipe)
    recipe.robustness.check(splits)
    with hold_folder(out):
        refuse_finished(out, "give another --out")
        return _kept(recipe, out, command, on_epoch)


def _kept(recipe: Recipe, out: Path, command: Sequence[str], on_epoch: OnEpoch) -> Compared:
    splits = recipe.splits()
    record, predictions, model = run(recipe, on_epoch)
    record = replace(record, relative_cost=cost_of(recipe))
    facts = facts_of(recipe, tuple(command))
    checkpoint = {
        "state_dict": model.state_dict(),
        "model": facts.model,
        "shape": list(facts.data.shape),
        "outputs": outputs_of(splits.about),
        "classes": list(splits.about.classes),
        "temperature": record.temperature,
        "recipe": recipe.text,
    }
    write_tensors(out / "model.pt", checkpoint)
    save_record(out, record, predictions)
    results = Results(facts, [record], record.method)
    mistakes = find_mistakes(results, lambda _: predictions, [recipe])
    write_mistakes(out, mistakes)
    write_results(out, results)
    return Compared(results, lambda stored: read_predictions(out, stored), mistakes)
