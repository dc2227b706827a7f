"""The graph experiments: two steps of every method on small sets of the real layout, and on real files."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from calmix.core.loss import TrainingLoss
from calmix.core.space import Embedding
from calmix.data import graphs
from calmix.errors import DataError
from calmix.reproduction.experiment import LONGER, Experiment, with_controls
from calmix.reproduction.graphs import shares_of
from calmix.reproduction.named import experiment
from calmix.reproduction.table import EXPERIMENTS, SCALES
from calmix.train import run
from calmix.train.batches import Batches
from calmix.train.recipe import Recipe, weighted_task
from tests.data.raw_graphs import write_graphs, write_nodes

NAMES = [name for name, entry in EXPERIMENTS.items() if entry.make[0] == "graphs"]
METHODS = ["erm", "mixup", "sk_mixup", "mixup_e", "sk_mixup_e", "auto", "mixup_idle", LONGER]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sets of the names of the real ones, with fewer graphs and nodes."""
    monkeypatch.setattr(graphs, "_COUNTS", {})
    for name in ("MUTAG", "PROTEINS", "NCI1", "IMDB-BINARY"):
        (tmp_path / name).mkdir()
        write_graphs(tmp_path / name, name, 40)
    for name in ("Cora", "CiteSeer"):
        (tmp_path / name).mkdir()
        write_nodes(tmp_path / name, name.lower())
    (tmp_path / "IMDB-BINARY" / "IMDB-BINARY_node_labels.txt").unlink()
    return tmp_path


def recipe_of(of: Experiment, label: str, epochs: int) -> Recipe:
    [found] = [one for one in of.comparison.recipes if (one.label, one.seed) == (label, 0)]
    return replace(found, settings=replace(found.settings, epochs=epochs))


def two_steps(recipe: Recipe) -> list[float]:
    """The losses of two steps."""
    splits, model = recipe.splits(), recipe.network().train()
    loss = TrainingLoss(recipe.method, weighted_task(splits, recipe.settings), epochs=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    losses = []
    for _ in range(2):
        x, y, index = next(iter(Batches(splits.train, recipe.settings.batch_size, 0)))
        value = loss(model, x, y, index)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


def test_there_are_six():
    assert [f"mixup-e/{name}" for name in ("mutag", "proteins", "nci1", "imdb-binary", "cora", "citeseer")] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_method_takes_two_steps_at_the_site(name: str, small: Path):
    of = experiment(name, "smoke", small)
    assert list(of.comparison.methods) == METHODS
    site = "hidden" if name in ("mixup-e/cora", "mixup-e/citeseer") else "readout"
    for label in METHODS:
        recipe = recipe_of(of, label, 2)
        assert getattr(recipe.method, "site", None) == (None if label == "erm" else site)
        assert torch.tensor(two_steps(recipe)).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_real_graphs_take_two_steps(name: str, real_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CALMIX_DATA", str(real_data))
    assert torch.tensor(two_steps(recipe_of(experiment(name, "smoke"), "sk_mixup_e", 2))).isfinite().all()


@pytest.mark.parametrize("name", ["mixup-e/imdb-binary", "mixup-e/cora"])
def test_a_run_has_the_metrics_of_the_claims_and_repeats_itself(name: str, small: Path):
    of = experiment(name, "smoke", small)
    recipe = recipe_of(of, "sk_mixup_e", 2)
    one, other = run(recipe), run(recipe)
    assert all(claim.metric in one.record.metrics[claim.condition] for claim in of.claims)
    assert one.record.metrics == other.record.metrics


def test_a_network_learns_rings_from_chains(small: Path):
    """In 20 epochs on graphs of the same nodes, so that only the edges tell the classes."""
    found = run(recipe_of(experiment("mixup-e/imdb-binary", "paper", small), "mixup", 20)).record
    assert found.metrics["plain"]["accuracy"] == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_the_kernel_measures_between_what_is_mixed(name: str, small: Path):
    methods = experiment(name, "smoke", small).comparison.methods
    for label in ("sk_mixup", "sk_mixup_e"):
        method = methods[label]
        assert method.coefficient.space == Embedding(method.site)  # pyright: ignore


def test_scales(small: Path):
    """Ten folds of graphs, each tested once, and ten seeds of nodes whose test rows stay."""
    for name, seeds in (("mixup-e/mutag", 2), ("mixup-e/cora", 2)):
        sizes = [experiment(name, scale, small).comparison.seeds for scale in SCALES]
        assert sizes == [seeds, 10, 10]
    data = experiment("mixup-e/mutag", "paper", small).comparison.data
    tested = torch.cat([data.splits(seed).test.x for seed in range(10)])
    assert sorted(tested.flatten().tolist()) == list(range(40))
    data = experiment("mixup-e/cora", "paper", small).comparison.data
    assert data.splits(0).test.x.tolist() == data.splits(9).test.x.tolist()


def test_a_smoke_run_trains_on_at_most_300_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(graphs, "_COUNTS", {})
    write_graphs(tmp_path, "NCI1", 1000)
    sizes = {
        scale: len(experiment("mixup-e/nci1", scale, tmp_path).comparison.data.splits(0).train) for scale in SCALES
    }
    assert sizes == {"smoke": 300, "small": 675, "paper": 675}


def test_runs_of_a_seed_have_the_same_rows_and_weights(small: Path):
    of = experiment("mixup-e/mutag", "smoke", small)
    first, second, *_ = of.comparison.recipes
    assert all(map(torch.equal, first.network().parameters(), second.network().parameters()))
    assert first.text != second.text


def test_the_text_of_a_run_names_the_content_of_the_files(small: Path):
    of = experiment("mixup-e/mutag", "smoke", small)
    before = of.comparison.recipes[0].text
    (small / "MUTAG" / "MUTAG_node_labels.txt").write_text("0\n" * len(of.comparison.data.source.graphs().features))  # pyright: ignore
    assert experiment("mixup-e/mutag", "smoke", small).comparison.recipes[0].text != before


def test_features_are_shares_of_their_sum():
    features = torch.tensor([[1.0, 3.0], [0.0, 0.0], [0.0, 2.0]])
    assert shares_of(features).tolist() == [[0.25, 0.75], [0.0, 0.0], [0.0, 1.0]]


def test_controls_mix_where_plain_mixup_does():
    import calmix

    plain = replace(calmix.mixup(), site="body")
    methods = with_controls({}, plain)
    assert {label: method.site for label, method in methods.items()} == {  # pyright: ignore
        "erm": None, "mixup": "body", "auto": "body", "mixup_idle": "body", LONGER: "body"
    }  # fmt: skip
    assert with_controls({})["auto"] == calmix.auto()


@pytest.mark.parametrize("name", NAMES)
def test_absent_data_are_instructions(name: str, tmp_path: Path):
    with pytest.raises(DataError, match=r"no file .* found \(looked in .*\); get .*--data-dir"):
        experiment(name, "smoke", tmp_path)
