"""The numbers of a small comparison, evaluation and diagnosis are those of calmix 0.1.0, which had other code for them.

`numbers.json` was written by calmix 0.1.0 with the commands below, in one thread. On the same machine all numbers are
the same to nine digits and more; elsewhere sums are rounded otherwise, so that those of a training agree to a
thousandth. What is drawn from a Beta distribution, with the kernel, is that of the first version that draws it by a
polar method. What comes after a correction (temperature, `scaled`, `matrix`, `isotonic`) is that of the first version
whose corrections have priors for small calibration splits.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from calmix.cli import main
from calmix.results.scores import Scores
from calmix.results.store import read_results
from calmix.studies.diagnosis.results import read_diagnosis

OLD: dict[str, dict[str, float]] = json.loads((Path(__file__).parent / "numbers.json").read_text())
CONTROLS = {"own": "none", "dealt": "shuffled", "dealt_within": "shuffled_within"}


def same(found: dict[str, float | None], expected: dict[str, float]) -> bool:
    return found == {name: pytest.approx(value, rel=1e-3, abs=1e-4) for name, value in expected.items()}


def test_a_comparison(tmp_path: Path):
    options = ["--train-size", "120", "--epochs", "2", "--seeds", "2", "--corruptions", "contrast", "--workers", "1"]
    main(["compare", "digits", *options, "--methods", "erm", "sk_mixup_e", "--out", str(tmp_path)])
    scores = read_results(tmp_path).scores
    for method in ("erm", "sk_mixup_e"):
        for seed in (0, 1):
            found = {
                "nll": scores.value(method, seed, "nll"),
                "ece": scores.value(method, seed, "ece"),
                "scaled ece": scores.value(method, seed, "ece", "scaled"),
                "refreshed nll": scores.value(method, seed, "nll", "refreshed"),
                "contrast 5 accuracy": scores.value(method, seed, "accuracy", "corruptions/contrast/5"),
                "temperature": scores.value(method, seed, "temperature"),
            }
            assert same(found, OLD[f"comparison {method} {seed}"])


def test_an_evaluation(tmp_path: Path):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(200, 3))
    labels = np.array([rng.choice(3, p=np.exp(row) / np.exp(row).sum()) for row in logits])
    held, held_labels, foreign = rng.normal(size=(80, 3)), rng.integers(0, 3, 80), rng.normal(size=(50, 3))
    calibration = {"calibration_logits": held, "calibration_labels": held_labels}
    np.savez(tmp_path / "p.npz", logits=logits * 2, labels=labels, outside_noise_logits=foreign, **calibration)
    main(["evaluate", str(tmp_path / "p.npz"), "--out", str(tmp_path / "out")])
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    numbers = {
        "nll": found["nll"],
        "smooth ece": found["smooth_ece"],
        "ece low": found["intervals"]["low"]["ece"],
        "ece high": found["intervals"]["high"]["ece"],
        "isotonic brier": found["isotonic"]["brier"],
        "matrix nll": found["matrix"]["nll"],
        "entropy auroc": found["ood"]["noise"]["entropy"]["auroc"],
        "coverage": found["conformal"]["coverage"],
        "temperature": found["temperature"],
    }
    assert same(numbers, OLD["evaluation"])


def test_a_diagnosis(tmp_path: Path):
    options = ["--epochs", "2", "--seeds", "1", "--pairs", "200", "--oracle-epochs", "2", "--out", str(tmp_path)]
    main(["diagnose", "two_moons", "--methods", "erm", "sk_mixup", *options])
    scores = read_diagnosis(tmp_path).scores
    pairs = {f"excess 0.8 bin {b}": one(scores, "", "excess", f"pairs/network/inputs/different/0.8/{b}") for b in BINS}
    assert same(pairs, OLD["diagnosis pairs"])
    for method in ("erm", "sk_mixup"):
        mass = {old: one(scores, method, "mass", f"labels/network/{new}") for old, new in CONTROLS.items()}
        assert same({"mixing": one(scores, method, "mixing"), **mass}, OLD[f"diagnosis {method}"])
        plane = {name: one(scores, method, name, "plane") for name in ("accuracy", "nll", "auroc")}
        assert same(plane, OLD[f"plane {method}"])
        terms = {
            "mixup": one(scores, method, "mixup_loss", "expansion/2"),
            "term 1": one(scores, method, "term", "expansion/2/1"),
            "size 2": one(scores, method, "term_size", "expansion/2/2"),
            "remainder 4": one(scores, method, "remainder", "expansion/2/4"),
        }
        assert same(terms, OLD[f"expansion {method}"])


BINS = range(1, 6)


def one(scores: Scores, method: str, metric: str, condition: str = "plain") -> float | None:
    return scores.value(method, 0, metric, condition)
