"""Made-up runs and comparisons."""

from collections.abc import Callable

import pytest

from calmix.results.records import Epoch, Record
from calmix.results.store import DataFacts, Results, RunFacts

KEYS = {
    "classification": ("accuracy", "nll", "brier", "ece", "adaptive_ece"),
    "regression": ("rmse", "mae", "r2"),
}


@pytest.fixture
def make_record() -> Callable[..., Record]:
    """make_record("erm", 0): every metric is the seed and a bit, so that numbers are told apart."""

    def make(method: str = "erm", seed: int = 0, task: str = "classification") -> Record:
        plain = {key: seed + (place + len(method)) / 100 for place, key in enumerate(KEYS[task])}
        scaled = {key: value / 2 for key, value in plain.items()}
        history = (
            Epoch(1, {"loss": 2.5}, {}),
            Epoch(2, {"loss": 1.5, "accuracy": 0.5}, {"loss": 1.25, "accuracy": 0.75}),
        )
        further = {"scaled": scaled, "ood/notmnist/energy": {"auroc": 0.75}, "human_labels": {"kl": 0.5}}
        return Record(
            method=method,
            repr=f"{method}()",
            seed=seed,
            metrics={"plain": plain, **(further if task == "classification" else {})},
            temperature=1.5 if task == "classification" else None,
            train_seconds=2.0,
            relative_cost=1.25,
            epoch=2,
            history=history,
            recipe=f"Recipe({method!r}, {seed})",
        )

    return make


@pytest.fixture
def make_results(make_record: Callable[..., Record]) -> Callable[..., Results]:
    """make_results(["erm", "mixup"], seeds=3): a finished comparison."""

    def make(methods: list[str], seeds: int = 2, task: str = "classification", reference: str | None = None) -> Results:
        sizes = {"train": 9, "validation": 2, "calibration": 2, "test": 5}
        data = DataFacts("wine", "made up", "table", ("a", "b"), ("x0",), (1,), sizes, ("few rows",))
        facts = RunFacts(data, task, "mlp", {"epochs": 2, "learning_rate": 0.1}, {"torch": "2"}, ("calmix", "compare"))
        records = [make_record(method, seed, task) for seed in range(seeds) for method in methods]
        return Results(facts, records, reference or methods[0])

    return make
