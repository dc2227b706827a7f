"""Published settings as recipes: they run on the real data."""

from dataclasses import replace
from pathlib import Path

import calmix
from calmix.data import NamedSet
from calmix.studies.reproduction import airfoil, exchange_rate
from calmix.train import run


def test_the_papers_settings_for_regression_run_on_its_data(real_data: Path):
    assert exchange_rate().data == NamedSet("exchange_rate_max")
    for recipe, tau in (
        (airfoil(real_data / "tabular" / "regression" / "airfoil.csv.gz"), (1e-4, 0.5)),
        (exchange_rate(real_data / "timeseries"), (5.0, 1.0)),
    ):
        assert recipe.method == calmix.with_whole_set(calmix.sk_mixup(*tau))
        assert recipe.settings.select == "best"
        finished = run(replace(recipe, settings=replace(recipe.settings, epochs=1)))
        assert finished.predictions["mean"].shape == finished.predictions["targets"].shape
