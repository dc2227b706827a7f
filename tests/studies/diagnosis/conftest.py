"""Finished diagnoses of just the numbers that a test asks for."""

from collections.abc import Callable, Sequence

import pytest

from calmix.results.scores import Scores
from calmix.results.store import DataFacts, RunFacts
from calmix.studies.diagnosis.conditions import CELLS, CONTROLS, ORACLES, POPULATIONS, SHARES, SPACES
from calmix.studies.diagnosis.results import DiagnosisResults, OracleFacts

MEASURES = ("neither", "excess", "hard", "mass")
Found = dict[str, dict[str, float]]


def _pairs(rises: dict[str, float], count: int) -> Found:
    """Two bins: 20 % wrong in the nearer, and a rise, by space, in the farther; no agreed pairs in the farther."""
    found: Found = {"oracle": {"count": 900}}
    found |= {f"oracle/{oracle}": {"accuracy": 0.9} for oracle in ORACLES}
    for space in SPACES:
        found |= {f"edges/{space}/{place}": {"distance": edge} for place, edge in enumerate((0.1, 1.0, 2.0))}
        for oracle in ORACLES:
            for population in POPULATIONS:
                for share in SHARES:
                    for number, (wrong, distance) in enumerate(((0.2, 0.5), (0.2 + rises[space], 1.5)), start=1):
                        path = f"{oracle}/{space}/{population}/{share:g}/{number}"
                        if population == "agreed" and number == 2:
                            found[f"pairs/{path}"] = {"count": 0}
                        else:
                            found[f"pairs/{path}"] = {
                                "count": count, "distance": distance, **dict.fromkeys(MEASURES, wrong)
                            }  # fmt: skip
                            found[f"deviation/{path}"] = dict.fromkeys(MEASURES, 0.4)
    return found


def _method(cut: float) -> Found:
    """30 % wrong under both controls, and so much less as the method mixes; mixes in the nearer bin alone."""
    found: Found = {"plain": {"mixing": 0.2, "label_mixing": 0.1, "different": 0.5, "mixes": 10}}
    for oracle in ORACLES:
        for control in CONTROLS:
            wrong = 0.3 * (1 - cut) if control == "none" else 0.3
            found[f"labels/{oracle}/{control}"] = dict.fromkeys(MEASURES, wrong)
    for space in SPACES:
        found |= {f"lam/{space}/1": {"mixes": 10, "mixing": 0.25}, f"lam/{space}/2": {"mixes": 0}}
        for number, mixes in ((1, 1), (2, 0)):
            found |= {f"lam/{space}/{number}/cell/{cell}": {"mixes": mixes} for cell in range(1, CELLS + 1)}
    return found


@pytest.fixture(scope="session")
def made() -> Callable[..., DiagnosisResults]:
    """made(rises, cuts): a diagnosis of three classes in two bins with these numbers, one for each seed."""

    def made(
        rises: Sequence[float] = (0.1, 0.12),
        cuts: Sequence[float] = (0.3, 0.28),
        by_embedding: Sequence[float] | None = None,
        methods: Sequence[str] = ("sk_mixup", "mixup"),
        classes: Sequence[str] = ("a", "b", "c"),
        count: int = 100,
    ) -> DiagnosisResults:
        runs: list[tuple[str, int, Found]] = []
        for seed, (rise, cut) in enumerate(zip(rises, cuts, strict=False)):
            embedding = rise if by_embedding is None else by_embedding[seed]
            runs.append(("", seed, _pairs({"inputs": rise, "embedding": embedding}, count)))
            runs += [(method, seed, _method(cut)) for method in methods]
        data = DataFacts("toy <set>", "made up", "image", classes, (), (1, 2, 2), {"train": 3})
        facts = RunFacts(data, "classification", "mlp", {"epochs": 1}, {"torch": "2"}, ("calmix", "diagnose"))
        expressions = {method: f"{method}()" for method in methods}
        return DiagnosisResults(facts, expressions, OracleFacts(900, 5, 20), 200, Scores.of(runs))

    return made
