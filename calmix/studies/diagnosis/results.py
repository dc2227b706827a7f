"""A finished diagnosis as a value, and its files. Reading them needs nothing that trains.

OUT/diagnosis.json    facts: data, training, oracle, methods, command
OUT/scores.csv        everything that was measured; `study` lists the conditions
OUT/seeds/seed0.json  one seed's scores, for --resume, with the text of what was asked
"""

import json
from collections.abc import Mapping
from csv import DictReader
from dataclasses import asdict, dataclass
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

from calmix.errors import DataError
from calmix.reading import AGAIN, read_bytes, read_json, typed
from calmix.report.sentences import Advice
from calmix.results.files import csv_of, without_quote, write_csv, write_json
from calmix.results.scores import Measured, Score, Scores, flat, nested
from calmix.results.store import RunFacts
from calmix.studies.diagnosis.findings import bins_of
from calmix.studies.diagnosis.sentences import verdict


@dataclass(frozen=True)
class OracleFacts:
    """How the oracle was trained; rows are those that seed 0's oracle learnt."""

    rows: int
    epochs: int
    neighbours: int


@dataclass(frozen=True)
class DiagnosisResults:
    """A finished diagnosis: facts, and everything that was measured."""

    facts: RunFacts
    methods: Mapping[str, str]  # by label, the expression that makes the method
    oracle: OracleFacts
    pairs: int
    scores: Scores

    @property
    def seeds(self) -> int:
        return len(self.scores.seeds)

    @property
    def bins(self) -> int:
        return bins_of(self.scores)

    @property
    def verdict(self) -> Advice:
        """Whether wrong labels grow with distance, and what each method does about it."""
        return verdict(self.scores, len(self.facts.data.classes))


@dataclass(frozen=True)
class _Stored:
    """What diagnosis.json holds. sha256: of scores.csv, which tells whether it is the one that belongs to it."""

    facts: RunFacts
    methods: Mapping[str, str]
    oracle: OracleFacts
    pairs: int
    sha256: str


def write_results(folder: Path, results: DiagnosisResults) -> None:
    """Write scores.csv and diagnosis.json, which comes last: a folder that has it holds a whole diagnosis."""
    write_csv(folder / "scores.csv", results.scores.frame)
    digest = sha256(csv_of(results.scores.frame)).hexdigest()
    stored = _Stored(results.facts, results.methods, results.oracle, results.pairs, digest)
    write_json(folder / "diagnosis.json", asdict(stored))


def read_diagnosis(folder: Path) -> DiagnosisResults:
    """The diagnosis in `folder`.

    Raises:
        DataError: `folder` holds no diagnosis, or one that is damaged or that an earlier version of calmix wrote.
    """
    path = folder / "diagnosis.json"
    if not path.exists():
        raise DataError(f"{folder} holds no diagnosis.json; make one with `calmix diagnose DATA --out {folder}`.")
    try:
        stored = typed(_Stored, read_json(path))
    except DataError as error:
        raise damaged(path, error) from None
    scores = _read_scores(folder / "scores.csv", stored.sha256)
    return DiagnosisResults(stored.facts, stored.methods, stored.oracle, stored.pairs, scores)


def damaged(path: Path, reason: object) -> DataError:
    """What is said of a file that is not what it should be, and what to do about it."""
    return DataError(
        f"{path} is damaged or of another version of calmix ({str(reason).rstrip('.')}); "
        "repeat the command that made it with --resume, or give another --out."
    )


def _read_scores(path: Path, digest: str) -> Scores:
    try:
        content = read_bytes(path, AGAIN)
    except DataError as error:
        raise damaged(path, error) from None
    if sha256(content).hexdigest() != digest:
        raise damaged(path, "it is not the one that diagnosis.json belongs to")
    rows = DictReader(StringIO(content.decode(), newline=""))
    return Scores.from_rows(
        Score(without_quote(row["method"]), int(row["seed"]), row["condition"], row["metric"], float(row["value"]))
        for row in rows
    )


# --------------------------------------------------------------------------------------------------- one seed


@dataclass(frozen=True)
class SeedResults:
    """What was measured for one seed."""

    asked: str  # all that the numbers depend on but the seed
    seed: int
    scores: Mapping[str, Measured]  # by method


@dataclass(frozen=True)
class _StoredSeed:
    """The same as it is stored, with metrics nested. sha256: of the scores, which tells whether they are whole."""

    asked: str
    seed: int
    scores: Mapping[str, Mapping[str, Any]]
    sha256: str


def _digest(scores: Mapping[str, Mapping[str, Any]]) -> str:
    return sha256(json.dumps(scores).encode()).hexdigest()


def seed_path(folder: Path, seed: int) -> Path:
    return folder / "seeds" / f"seed{seed}.json"


def write_seed(path: Path, results: SeedResults) -> None:
    scores = {method: nested(measured) for method, measured in results.scores.items()}
    write_json(path, asdict(_StoredSeed(results.asked, results.seed, scores, _digest(scores))))


def read_seed(path: Path) -> SeedResults:
    """Raise DataError where the file is damaged."""
    try:
        stored = typed(_StoredSeed, read_json(path))
        scores = {method: flat(measured) for method, measured in stored.scores.items()}
        if stored.sha256 != _digest(stored.scores):
            raise DataError("its scores are not those that were written")
    except DataError as error:
        raise damaged(path, error) from None
    return SeedResults(stored.asked, stored.seed, scores)
