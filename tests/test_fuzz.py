"""A thousand damaged files, each answered by a result or by one sentence; `make fuzz` tries twenty times as many."""

import shutil
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.cases import KINDS
from tests.fuzz.corpus import make_corpus
from tests.fuzz.laws import broken, carry_out, make_case

CASES = {
    "evaluate": 280,
    "tables": 250,
    "predict": 60,
    "report": 190,
    "config": 80,
    "flags": 80,
    "diagnosis": 20,
    "resume": 20,
    "images": 20,
}


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    make_corpus(folder)
    return folder


@pytest.mark.filterwarnings("default")  # of numbers that overflow on the way to a sentence
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_input_ends_in_a_result_or_in_one_sentence(kind: str, corpus: Path, tmp_path: Path):
    """Exit code 0 or 2, no traceback, and nothing half-written."""

    @settings(
        max_examples=CASES[kind],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    @given(st.integers(0, 2**32))
    def keeps_the_laws(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir(exist_ok=True)
        try:
            case = make_case(kind, Random(number), corpus, folder)
            began = [str(path.relative_to(folder)) for path in folder.rglob("*")]
            code, said = carry_out(case, folder)
            law = broken(code, said, folder, began)
            assert not law, f"{law}: {case.arguments} said {said}"
        finally:
            shutil.rmtree(folder)

    keeps_the_laws()


def test_there_are_a_thousand_cases():
    assert set(CASES) == set(KINDS)
    assert sum(CASES.values()) == 1000
