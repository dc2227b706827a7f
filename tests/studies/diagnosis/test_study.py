"""A diagnosis: an oracle that learnt other rows, controls that mix as much, and results that are whole or absent."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import calmix
from calmix.cli import main
from calmix.diagnose import MEASURES
from calmix.errors import CalmixError, DataError, SettingError
from calmix.experiment import Source
from calmix.experiment.diagnosis import (
    Diagnosis,
    _interval,
    _of_pairs,
    _of_two_rows,
    _pairs_like,
    diagnose,
    read_batch,
    summarise_methods,
)
from calmix.experiment.oracle import ORACLES, OracleSettings, parts_of, train_oracle
from calmix.train import TrainingSettings

DIGITS = Source("digits", train_size=150)
METHODS = {"erm": calmix.erm(), "mixup": calmix.mixup(), "near_mixup": calmix.near_mixup(quantile=0.1)}
SMALL = Diagnosis(
    DIGITS, METHODS, "mlp", TrainingSettings(epochs=3), seeds=2, oracle=OracleSettings(epochs=5), pairs=600, bins=4
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("diagnosis")
    return out, diagnose(SMALL, out, command=["calmix", "diagnose", "digits"])


# ---------------------------------------------------------------------------------------------- the oracle


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
    parts = parts_of(Source("wine", train_size=40), seed=0, most=10_000)
    ours, theirs = parts.rows.numpy(), parts.splits.train.x.numpy()
    for column in range(13):
        assert np.corrcoef(ours[:, column], theirs[:, column])[0, 1] == pytest.approx(1, abs=1e-5)
    assert len(parts.others) == 178 - 40 - len(parts.test)


def test_noisy_labels_are_what_methods_are_told_and_not_what_the_oracle_learns():
    from calmix.data import read_label_noise

    clean = parts_of(DIGITS, seed=0, most=10_000)
    noisy = parts_of(replace(DIGITS, label_noise=read_label_noise("symmetric:0.4")), seed=0, most=10_000)
    assert torch.equal(noisy.others.y, clean.others.y)
    assert torch.equal(noisy.rows, clean.rows)
    assert not torch.equal(noisy.splits.train.y, clean.splits.train.y)


def test_an_oracle_is_kept_and_trained_anew_only_when_it_is_another(tmp_path: Path):
    parts, kept = parts_of(DIGITS, 0, 500), tmp_path / "seed0.pt"
    settings = OracleSettings(rows=500, epochs=4)
    epochs: list[int] = []
    first = train_oracle(DIGITS, 0, parts, settings, "mlp", kept, epochs.append)
    assert epochs == [1, 2, 3, 4]
    epochs.clear()
    again = train_oracle(DIGITS, 0, parts, settings, "mlp", kept, epochs.append)
    assert epochs == [4]
    assert torch.equal(first(parts.rows), again(parts.rows))
    train_oracle(DIGITS, 0, parts, replace(settings, epochs=2), "mlp", kept, epochs.append)
    assert epochs == [4, 1, 2]


def test_both_opinions_are_probabilities_and_better_than_guessing():
    parts = parts_of(DIGITS, 0, 600)
    oracle = train_oracle(DIGITS, 0, parts, OracleSettings(epochs=10), "mlp")
    answers = oracle(parts.test.x)
    assert answers.shape == (len(parts.test), 2, 10)
    torch.testing.assert_close(answers.sum(2), torch.ones(len(parts.test), 2))
    for place, name in enumerate(ORACLES):
        accuracy = (answers[:, place].argmax(1) == parts.test.y).double().mean().item()
        assert accuracy == pytest.approx(oracle.accuracy[name])
        assert accuracy > 0.7
    assert torch.equal((answers[:, 1] * 20).round() / 20, answers[:, 1])  # each of 20 neighbours has one vote


# -------------------------------------------------------------------------------------------- the controls


def test_pairs_are_dealt_of_the_same_kind_and_uniformly():
    y = torch.tensor([0, 1, 0, 2, 1, 0])
    generator = torch.Generator().manual_seed(0)
    for kind in (True, False):
        anchor, partner = _pairs_like(y, torch.full((60_000,), kind), generator)
        rows = torch.arange(6)
        allowed = (y[:, None] != y) == kind
        allowed[rows, rows] = False
        counts = torch.zeros(6, 6).index_put_((anchor, partner), torch.ones(60_000), accumulate=True)
        assert ((counts > 0) == allowed).all()
        expected = 60_000 / allowed.sum()  # each such pair as often, whatever the sizes of the classes
        assert ((counts - expected)[allowed].abs() < 5 * expected.sqrt()).all()


def test_a_row_with_itself_is_no_mix_unless_there_are_no_others():
    anchor, lam = torch.tensor([0, 1, 2]), torch.rand(3)
    left = _of_two_rows(calmix.Mix(anchor, torch.tensor([0, 2, 1]), lam, lam))
    assert (left.anchor.tolist(), left.partner.tolist()) == ([1, 2], [2, 1])
    assert torch.equal(left.lam_x, lam[1:])
    assert len(_of_two_rows(calmix.Mix(anchor, anchor, lam, lam)).anchor) == 3


def test_nothing_mixed_is_the_oracle_s_own_disagreement_and_controls_change_only_the_pairs(found: tuple):
    _, results = found
    erm, mixup, near = results["methods"]
    assert erm["mixing"]["mean"] == erm["label_mixing"]["mean"] == erm["different"]["mean"] == 0
    floor = next(e for e in results["mismatch"] if e["share"] == 1 and e["pairs"] == "all" and e["measure"] == "hard")
    assert erm["wrong"]["network"]["hard"]["own"]["mean"] == pytest.approx(
        np.mean([b["mean"] for b in floor["bins"]]), abs=0.05
    )
    assert near["different"]["mean"] < mixup["different"]["mean"] - 0.2  # near pairs are of one class
    assert near["wrong"]["network"]["mass"]["cut-dealt"]["mean"] > 0.2
    for method in results["methods"]:
        wrong = method["wrong"]["network"]["mass"]
        assert wrong["own-dealt"]["mean"] == pytest.approx(wrong["own"]["mean"] - wrong["dealt"]["mean"])
        assert sum(map(sum, method["lam"]["inputs"]["histogram"])) == method["mixes"]
    assert mixup["mixes"] < erm["mixes"]  # once a batch, a shuffle leaves a row with itself


def test_the_cut_is_of_each_seed_by_itself():
    def seed(own: float, dealt: float) -> dict[str, Any]:
        means = {"own": own, "dealt": dealt, "dealt_within": own}
        wrong = dict.fromkeys(MEASURES, means)
        lam = {"edges": [0.0, 1.0], "histogram": [[1] * 10], "mean": [0.2]}
        bins = {measure: [own] for measure in MEASURES}
        method: dict[str, Any] = {"repr": "m", "mixes": 10, "mixing": 0.2, "label_mixing": 0.1, "different": 0.5}
        method["wrong"] = dict.fromkeys(ORACLES, wrong)
        method["lam"] = dict.fromkeys(("inputs", "embedding"), lam)
        method["wrong_by_distance"] = dict.fromkeys(ORACLES, dict.fromkeys(("inputs", "embedding"), bins))
        return {"methods": {"m": method}}

    (entry,) = summarise_methods([seed(0.1, 0.2), seed(0.3, 0.4)])
    wrong = entry["wrong"]["network"]["mass"]
    assert wrong["cut-dealt"]["mean"] == pytest.approx((0.5 + 0.25) / 2)
    assert wrong["own-dealt"]["mean"] == pytest.approx(-0.1)
    assert wrong["own-dealt"]["low"] == pytest.approx(-0.1)  # the same in both seeds, whatever each of them is
    assert wrong["cut-dealt_within"]["mean"] == 0


# ------------------------------------------------------------------------------------------------ on disk


def test_the_summary_is_the_mean_of_the_table(found: tuple):
    out, results = found
    assert json.loads((out / "diagnosis.json").read_text()) == results
    with (out / "mismatch.csv").open() as file:
        rows = list(csv.DictReader(file))
    for entry in results["mismatch"][::37]:
        named = {"oracle": entry["oracle"], "space": entry["space"], "pairs": entry["pairs"]}
        some = [
            row for row in rows if all(row[k] == v for k, v in named.items()) and float(row["share"]) == entry["share"]
        ]
        by_seed = np.array([float(row[entry["measure"]]) for row in some]).reshape(2, 4)
        assert [b["mean"] for b in entry["bins"]] == pytest.approx(by_seed.mean(0).tolist())
        assert entry["rise"]["mean"] == pytest.approx((by_seed[:, -1] - by_seed[:, 0]).mean())
    counts = [int(row["count"]) for row in rows if row["pairs"] == "all"]
    assert min(counts) >= 149
    assert max(counts) <= 151


def test_wrong_labels_of_digits_grow_with_the_distance_of_inputs(found: tuple):
    _, results = found
    entry = next(
        e
        for e in results["mismatch"]
        if (e["oracle"], e["space"], e["pairs"], e["measure"], e["share"])
        == ("network", "inputs", "different", "neither", 0.5)
    )
    assert entry["bins"][-1]["mean"] > entry["bins"][0]["mean"] + 0.05


def test_a_stopped_diagnosis_goes_on_to_the_same_numbers(found: tuple, tmp_path: Path):
    _, results = found
    told: list[tuple[str, int, int]] = []
    diagnose(replace(SMALL, seeds=1), tmp_path)
    again = diagnose(SMALL, tmp_path, resume=True, command=results["command"], tick=lambda *news: told.append(news))
    assert again == results
    assert {seed for label, seed, epoch in told if epoch < 3} == {1}
    assert [news for news in told if news[0] == "oracle" and news[1] == 1][-1] == ("oracle", 1, 3)
    with pytest.raises(DataError, match="already holds a diagnosis"):
        diagnose(SMALL, tmp_path)
    with pytest.raises(DataError, match="other settings"):
        diagnose(replace(SMALL, pairs=601), tmp_path, resume=True)


def test_a_batch_to_look_at_is_kept_for_each_method(found: tuple, tmp_path: Path):
    out, _ = found
    batch = read_batch(out, "mixup")
    assert batch is not None
    lam = batch.lam[:, None, None, None]
    torch.testing.assert_close(batch.mixed, lam * batch.anchor + (1 - lam) * batch.partner)
    assert batch.tau is None
    assert read_batch(tmp_path, "mixup") is None


def test_one_seed_has_the_intervals_of_its_pairs():
    rate, mean = _of_pairs("neither", 0.5, 0.5, 100), _of_pairs("mass", 0.5, 0.2, 100)
    assert rate is not None
    assert mean is not None
    assert (rate["low"], rate["high"]) == (pytest.approx(0.404, abs=1e-3), pytest.approx(0.596, abs=1e-3))
    assert mean["high"] - mean["mean"] == pytest.approx(1.96 * 0.02)
    assert _of_pairs("mass", None, None, 0) is None
    assert _interval([]) is None


# ---------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"pairs": 3}, "4 bins of distance"),
        ({"methods": {}}, "no methods"),
        ({"methods": {"manifold_mixup": calmix.manifold_mixup()}}, "manifold_mixup: an oracle judges inputs"),
        ({"methods": {"cutmix": calmix.cutmix()}, "source": Source("wine")}, "cutmix pastes boxes"),
        ({"source": Source("diabetes")}, "diabetes is a regression"),
    ],
)
def test_what_cannot_be_diagnosed_is_said_before_anything_is_written(change: dict, words: str, tmp_path: Path):
    with pytest.raises(CalmixError, match=words):
        diagnose(replace(SMALL, **change), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_oracle_s_settings_are_checked():
    with pytest.raises(SettingError, match="neighbours must be at least 1"):
        OracleSettings(neighbours=0)


# --------------------------------------------------------------------------------------------- the command


def test_the_command_ends_in_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "moons"
    quick = ["--epochs", "1", "--seeds", "2", "--pairs", "200", "--oracle-epochs", "3", "--out", str(out)]
    main(["diagnose", "two_moons", "--methods", "sk_mixup", "erm", *quick])
    printed = capsys.readouterr().out
    assert "sk_mixup: " in printed
    assert {path.name for path in out.glob("*.json")} == {"diagnosis.json", "derivatives.json", "surfaces.json"}
    page = (out / "report.html").read_text()
    for title in ("Wrong labels against distance", "Mixup as derivatives", "Decision surfaces"):
        assert title in page
    (out / "report.html").unlink()
    main(["report", str(out)])
    assert (out / "report.html").read_text() == page


def test_the_command_refuses_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    refuse: Callable[[list[str]], str] = lambda options: _refused(["diagnose", "digits", *options], capsys)  # noqa: E731
    assert "leave out --ood" in refuse(["--ood", "notmnist"])
    assert "an oracle judges inputs" in refuse(["--methods", "manifold_mixup", "--out", str(tmp_path / "out")])
    assert "at least 1" in refuse(["--oracle-rows", "0"])
    assert not (tmp_path / "out").exists()


def _refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    return capsys.readouterr().err
