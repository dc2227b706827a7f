"""Published settings as recipes: they run on the real data."""

from dataclasses import replace
from pathlib import Path

import calmix
from calmix.experiment import run
from calmix.experiment.published import airfoil, exchange_rate


def test_the_papers_settings_for_regression_run_on_its_data(real_data: Path):
    for recipe, tau in (
        (airfoil(str(real_data / "tabular" / "regression" / "airfoil.csv.gz")), (1e-4, 0.5)),
        (exchange_rate(real_data / "timeseries"), (5.0, 1.0)),
    ):
        method = recipe.method
        assert method == calmix.sk_mixup(*tau)
        finished = run(replace(recipe, fit=replace(recipe.fit, epochs=1)))
        assert finished.predictions["mean"].shape == finished.predictions["targets"].shape
