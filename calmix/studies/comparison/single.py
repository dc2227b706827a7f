"""One network with one method, kept: its record, its report's data and its weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from calmix.experiment.compare import Comparison, open_folder, refuse_finished, write_results
from calmix.experiment.recipe import Recipe, outputs_of
from calmix.experiment.record import save, write_whole
from calmix.experiment.run import OnEpoch, initial_model, run, try_step
from calmix.experiment.shift import try_shift


def train(
    recipe: Recipe, out: Path, command: Sequence[str] = (), on_epoch: OnEpoch = lambda epoch: None
) -> dict[str, Any]:
    """Run a recipe and write the folder that a comparison of one run would, plus `model.pt`; return the results.

    model.pt is a dict of tensors and plain values (no pickled code): `state_dict`, `model` (a name of `MODELS`, None
    for the default), `shape` of a row, `outputs`, `classes`, `temperature`, `recipe`.

    >>> import tempfile
    >>> from calmix import mixup
    >>> from calmix.experiment import Recipe, Source
    >>> from calmix.train import TrainingSettings
    >>> folder = Path(tempfile.mkdtemp()) / "wine"
    >>> results = train(Recipe(Source("wine"), "mixup", mixup(), fit=TrainingSettings(epochs=2)), folder)
    >>> sorted(torch.load(folder / "model.pt", weights_only=True))[:3]
    ['classes', 'model', 'outputs']
    """
    splits = recipe.source.splits(recipe.seed)
    initial_model(recipe, splits)
    try_step(recipe, splits)
    try_shift(recipe.shift, splits, recipe.source.data_dir)
    refuse_finished(out, "give another --out")
    methods = {recipe.label: recipe.method}
    comparison = Comparison(recipe.source, methods, recipe.model, recipe.fit, seeds=1, shift=recipe.shift)
    open_folder(out, comparison)
    record, predictions, model = run(recipe, on_epoch)
    checkpoint = {
        "state_dict": model.state_dict(),
        "model": recipe.model,
        "shape": list(splits.train.x.shape[1:]),
        "outputs": outputs_of(splits.about),
        "classes": list(splits.about.classes),
        "temperature": record.temperature,
        "recipe": repr(recipe),
    }
    write_whole(out / "model.pt", lambda file: torch.save(checkpoint, file))
    save(out, record, predictions)
    return write_results(out, comparison, [record], splits, command)
