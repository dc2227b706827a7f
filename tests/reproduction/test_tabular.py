"""MixupE's tables: two epochs on files of their layout."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calmix.errors import DataError
from calmix.reproduction.named import experiment
from calmix.reproduction.table import EXPERIMENTS
from calmix.reproduction.tabular import ages
from calmix.train import run

NAMES = [name for name, entry in EXPERIMENTS.items() if entry.make[0] == "tabular"]


def write(folder: Path, name: str) -> None:
    """A file with as many rows, columns and classes as an experiment's."""
    of = EXPERIMENTS[name].options
    rows, columns, classes = (int(of[key]) for key in ("rows", "columns", "classes"))
    y = np.arange(rows) % classes
    x = np.random.default_rng(0).normal(size=(rows, columns - 1)) + y[:, None]
    header = ",".join([*(f"x{number}" for number in range(columns - 1)), "target"])
    path, formats = folder / f"{of['name']}.csv", ["%.2f"] * (columns - 1) + ["%d"]
    np.savetxt(path, np.column_stack([x, 1 + y]), delimiter=",", header=header, comments="", fmt=formats)


@pytest.mark.parametrize("name", NAMES)
def test_every_table_trains_and_has_the_metrics_of_its_claims(name: str, tmp_path: Path):
    write(tmp_path, name)
    of = experiment(name, "smoke", tmp_path)
    [recipe] = [one for one in of.comparison.recipes if (one.label, one.seed) == ("mixup_e", 1)]
    found = run(replace(recipe, settings=replace(recipe.settings, epochs=2))).record.metrics
    assert all(claim.metric in found[claim.condition] for claim in of.claims)


def test_a_small_scale_trains_on_at_most_two_thousand_rows(tmp_path: Path):
    write(tmp_path, "mixup-e/abalone")
    sizes = {
        scale: len(experiment("mixup-e/abalone", scale, tmp_path).comparison.data.splits(0).train)
        for scale in ("small", "paper")
    }
    assert sizes == {"small": 2000, "paper": 2506}  # of 4,177


def test_a_table_with_fewer_rows_takes_all(tmp_path: Path):
    write(tmp_path, "mixup-e/iris")
    assert len(experiment("mixup-e/iris", "small", tmp_path).comparison.data.splits(0).train) == 90


def test_rings_of_abalone_are_three_ages(tmp_path: Path):
    path = tmp_path / "abalone.csv"
    rings = [1, 8, 9, 10, 11, 29] * 5
    path.write_text("a,target\n" + "".join(f"{number}.5,{one}\n" for number, one in enumerate(rings)))
    splits = ages(path).splits(0)
    assert splits.about.classes == ("1 to 8", "11 to 29", "9 and 10")
    counts = sum(np.bincount(part.y, minlength=3) for part in (splits.train, splits.validation, splits.calibration))
    assert (counts + np.bincount(splits.test.y, minlength=3)).tolist() == [10, 10, 10]


@pytest.mark.parametrize("rings", ["0", "30", "8.5", "old"])
def test_what_are_no_rings_is_refused(rings: str, tmp_path: Path):
    path = tmp_path / "abalone.csv"
    path.write_text("a,target\n" + "1.5,8\n2.5,9\n" * 9 + f"0.5,{rings}\n")
    with pytest.raises(DataError, match=r"abalone.csv: the column target must hold rings, whole numbers from 1 to 29"):
        ages(path)


def test_absent_data_are_instructions(tmp_path: Path):
    with pytest.raises(DataError, match=r"get iris as CSV, with the classes in a last column named target.*--data-dir"):
        experiment("mixup-e/iris", "smoke", tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_real_tables_have_the_rows_columns_and_classes(name: str, real_data: Path):
    assert experiment(name, "smoke", real_data).comparison.data.splits(0).about.task == "classification"
