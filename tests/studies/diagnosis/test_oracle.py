"""The oracle learns other rows than the methods, knows nothing of mixing, and is trained once; neighbours vote."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from calmix.data import Frame, NamedSet, Noisy, Symmetric
from calmix.errors import SettingError
from calmix.methods.erm import erm
from calmix.models import mlp
from calmix.studies.diagnosis.conditions import ORACLES
from calmix.studies.diagnosis.oracle import OracleSettings, neighbour_votes, parts_of, train_oracle
from calmix.train import Recipe, TrainingSettings, train

DIGITS = NamedSet("digits", train_size=150)


def rows_of(x: torch.Tensor) -> set[bytes]:
    return {row.numpy().tobytes() for row in x}


def test_the_oracle_learns_other_rows_than_the_methods_and_than_it_is_tested_on():
    parts = parts_of(DIGITS, seed=1, most=10_000)
    assert torch.equal(parts.rows, parts.splits.train.x)  # the pixels of digits are not standardised
    every = rows_of(parts.others.x)
    assert not every & rows_of(parts.splits.train.x)
    assert not every & rows_of(parts.test.x)
    assert len(parts.others) == 1797 - 150 - len(parts.test)
    few = parts_of(DIGITS, seed=1, most=100).others
    assert torch.bincount(few.y).tolist() == pytest.approx([10] * 10, abs=1)


def test_rows_of_a_table_are_the_same_rows_encoded_by_the_whole_training_part():
    parts = parts_of(NamedSet("wine", train_size=40), seed=0, most=10_000)
    ours, theirs = parts.rows.numpy(), parts.splits.train.x.numpy()
    for column in range(13):
        assert np.corrcoef(ours[:, column], theirs[:, column])[0, 1] == pytest.approx(1, abs=1e-5)
    assert len(parts.others) == 178 - 40 - len(parts.test)


def test_noisy_labels_are_what_methods_are_told_and_not_what_the_oracle_learns():
    clean = parts_of(DIGITS, seed=0, most=10_000)
    noisy = parts_of(Noisy(DIGITS, Symmetric(0.4)), seed=0, most=10_000)
    assert torch.equal(noisy.others.y, clean.others.y)
    assert torch.equal(noisy.rows, clean.rows)
    assert not torch.equal(noisy.splits.train.y, clean.splits.train.y)


def test_the_oracle_learns_its_rows_alike_whatever_weights_the_methods_rows_have():
    parts = parts_of(DIGITS, 0, 300)
    weighted = parts._replace(splits=replace(parts.splits, train_weights=torch.arange(150.0)))
    settings = OracleSettings(rows=300, epochs=1)
    plain, other = (train_oracle(one, 0, settings, mlp, None).model for one in (parts, weighted))
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), other.parameters(), strict=True))


def test_rows_in_the_order_of_time_are_the_same_rows_for_oracle_and_methods():
    x = np.random.default_rng(0).normal(size=200)
    frame = pd.DataFrame({"x": x, "t": np.arange(200) // 3, "y": np.where(x > 0, "a", "b")})
    parts = parts_of(Frame(frame, "y", time="t", train_size=50), seed=2, most=10_000)
    assert len(parts.splits.train) == 50
    assert np.corrcoef(parts.rows[:, 0], parts.splits.train.x[:, 0])[0, 1] == pytest.approx(1, abs=1e-5)


def test_an_oracle_is_kept_and_trained_anew_only_where_it_is_another_or_damaged(tmp_path: Path):
    parts, kept = parts_of(DIGITS, 0, 500), tmp_path / "seed0.pt"
    settings = OracleSettings(rows=500, epochs=4)
    epochs: list[int] = []
    first = train_oracle(parts, 0, settings, mlp, kept, epochs.append)
    assert epochs == [1, 2, 3, 4]
    epochs.clear()
    again = train_oracle(parts, 0, settings, mlp, kept, epochs.append)
    assert epochs == [4]
    assert torch.equal(first(parts.rows), again(parts.rows))
    other_rows = parts_of(DIGITS, 0, 400)
    train_oracle(other_rows, 0, replace(settings, epochs=1), mlp, kept, epochs.append)
    train_oracle(other_rows, 0, replace(settings, epochs=2), mlp, kept, epochs.append)
    assert epochs == [4, 1, 1, 2]
    kept.write_bytes(kept.read_bytes()[:1000])
    train_oracle(other_rows, 0, replace(settings, epochs=2), mlp, kept, epochs.append)
    assert epochs == [4, 1, 1, 2, 1, 2]


def test_no_method_s_network_starts_where_the_oracle_does(monkeypatch: pytest.MonkeyPatch):
    """The oracle is trained without mixing, with the seed's order of batches and with weights of its own."""
    asked: list[Recipe] = []
    monkeypatch.setattr(
        "calmix.studies.diagnosis.oracle.train", lambda recipe, tell: (asked.append(recipe), train(recipe, tell))[1]
    )
    parts = parts_of(DIGITS, 3, 100)
    train_oracle(parts, 3, OracleSettings(epochs=1), mlp)
    (recipe,) = asked
    assert (recipe.method, recipe.seed) == (erm(), 3)
    assert torch.equal(recipe.splits().train.x, parts.others.x)
    ours = Recipe(DIGITS, "m", erm(), mlp, TrainingSettings(), 3).network()
    first, second = (next(iter(network.parameters())) for network in (recipe.network(), ours))
    assert not torch.equal(first, second)


def test_both_opinions_are_probabilities_and_better_than_guessing():
    parts = parts_of(DIGITS, 0, 600)
    oracle = train_oracle(parts, 0, OracleSettings(epochs=10), mlp)
    answers = oracle(parts.test.x)
    assert answers.shape == (len(parts.test), 2, 10)
    torch.testing.assert_close(answers.sum(2), torch.ones(len(parts.test), 2))
    accuracy = oracle.accuracy(parts.test)
    for place, name in enumerate(ORACLES):
        assert (answers[:, place].argmax(1) == parts.test.y).double().mean().item() == pytest.approx(accuracy[name])
        assert accuracy[name] > 0.7
    assert torch.equal((answers[:, 1] * 20).round() / 20, answers[:, 1])  # each of 20 neighbours has one vote


def test_the_settings_are_checked_and_epochs_follow_from_the_rows():
    with pytest.raises(SettingError, match="neighbours must be at least 1"):
        OracleSettings(neighbours=0)
    assert [OracleSettings().training(rows).epochs for rows in (100, 10_000, 100_000)] == [100, 10, 5]
    assert OracleSettings(epochs=7).training(100).epochs == 7


@pytest.mark.parametrize("k", [1, 3, 20])
def test_votes_are_scikit_learn_s(k: int):
    generator = torch.Generator().manual_seed(k)
    known = 100 + torch.randn(200, 5, generator=generator)
    rows = 100 + torch.randn(50, 5, generator=generator)
    labels = torch.arange(200) % 4
    theirs = KNeighborsClassifier(k).fit(known.numpy(), labels.numpy()).predict_proba(rows.numpy())
    torch.testing.assert_close(neighbour_votes(rows, known, labels, 4, k), torch.from_numpy(theirs).float())


def test_more_neighbours_than_there_are_rows_are_refused():
    with pytest.raises(SettingError, match="between 1 and the 3 known rows"):
        neighbour_votes(torch.zeros(1, 2), torch.zeros(3, 2), torch.arange(3), 3, k=4)


@pytest.mark.parametrize("damage", [b"", b"PK\3\4", b"garbage", "flipped", "foreign", "another shape"])
def test_a_damaged_or_foreign_file_of_weights_is_trained_anew(tmp_path: Path, damage: bytes | str):
    parts = parts_of(NamedSet("two_moons", train_size=20), 0, 60)
    settings, path = OracleSettings(epochs=1), tmp_path / "oracle.pt"
    first = train_oracle(parts, 0, settings, kept=path)
    content = path.read_bytes()
    if isinstance(damage, bytes):
        path.write_bytes(damage)
    elif damage == "flipped":
        path.write_bytes(content[:200] + bytes([content[200] ^ 255]) + content[201:])
    elif damage == "foreign":
        torch.save([1, 2], path)
    else:
        stored = torch.load(path, weights_only=True)
        torch.save({"made": stored["made"], "state_dict": {"weight": torch.zeros(3)}}, path)
    again = train_oracle(parts, 0, settings, kept=path)
    assert torch.equal(again(parts.rows), first(parts.rows))
    assert torch.load(path, weights_only=True)["made"] == torch.load(io.BytesIO(content), weights_only=True)["made"]
