"""A finished diagnosis as a value, and its files. Reading them needs nothing that trains.

OUT/diagnosis.json    facts: data, training, oracle, methods, command
OUT/scores.csv        everything that was measured; `study` lists the conditions
OUT/seeds/seed0.json  one seed's scores, for --resume, with the text of what was asked
"""

from collections.abc import Mapping
from csv import DictReader
from dataclasses import asdict, dataclass
from pathlib import Path

from calmix.errors import DataError
from calmix.report.sentences import Advice
from calmix.results.files import read_json, write_csv, write_json
from calmix.results.scores import COLUMNS, Measured, Score, Scores, flat, nested
from calmix.results.store import DataFacts, RunFacts
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


def write_results(folder: Path, results: DiagnosisResults) -> None:
    """Write scores.csv and diagnosis.json, which comes last: a folder that has it holds a whole diagnosis."""
    write_csv(folder / "scores.csv", results.scores.frame)
    written = {
        "facts": asdict(results.facts),
        "methods": dict(results.methods),
        "oracle": asdict(results.oracle),
        "pairs": results.pairs,
        "rows": len(results.scores.frame),  # of scores.csv, which tells whether it is whole
    }
    write_json(folder / "diagnosis.json", written)


def read_diagnosis(folder: Path) -> DiagnosisResults:
    """The diagnosis in `folder`.

    Raises:
        DataError: `folder` holds no diagnosis, or one that is damaged or that an earlier version of calmix wrote.
    """
    path = folder / "diagnosis.json"
    if not path.exists():
        raise DataError(f"{folder} holds no diagnosis.json; make one with `calmix diagnose DATA --out {folder}`.")
    try:
        raw = read_json(path)
        facts = RunFacts(**{**raw["facts"], "data": DataFacts(**raw["facts"]["data"])})
        methods, oracle = dict(raw["methods"]), OracleFacts(**raw["oracle"])
        pairs, rows = int(raw["pairs"]), int(raw["rows"])
    except (DataError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(path, error) from None
    scores = _read_scores(folder / "scores.csv")
    if len(scores.frame) != rows:
        raise damaged(folder / "scores.csv", f"{len(scores.frame)} rows where there were {rows}")
    return DiagnosisResults(facts, methods, oracle, pairs, scores)


def damaged(path: Path, reason: object) -> DataError:
    """What is said of a file that is not what it should be, and what to do about it."""
    return DataError(
        f"{path} is damaged or of another version of calmix ({str(reason).rstrip('.')}); "
        "repeat the command that made it with --resume, or give another --out."
    )


def _read_scores(path: Path) -> Scores:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [[row[column] for column in COLUMNS] for row in DictReader(file)]
        return Scores.from_rows(Score(m, int(seed), c, metric, float(value)) for m, seed, c, metric, value in rows)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise damaged(path, error) from None


# --------------------------------------------------------------------------------------------------- one seed


@dataclass(frozen=True)
class SeedResults:
    """What was measured for one seed."""

    asked: str  # all that the numbers depend on but the seed
    seed: int
    scores: Mapping[str, Measured]  # by method


def seed_path(folder: Path, seed: int) -> Path:
    return folder / "seeds" / f"seed{seed}.json"


def write_seed(path: Path, results: SeedResults) -> None:
    scores = {method: nested(measured) for method, measured in results.scores.items()}
    write_json(path, {"asked": results.asked, "seed": results.seed, "scores": scores})


def read_seed(path: Path) -> SeedResults:
    """Raise DataError where the file is damaged."""
    try:
        raw = read_json(path)
        scores = {method: flat(measured) for method, measured in raw["scores"].items()}
        return SeedResults(str(raw["asked"]), int(raw["seed"]), scores)
    except (DataError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(path, error) from None
