"""The test rows that the recommended method gets most wrong, as a value and its file, OUT/mistakes.json.

They are chosen when a comparison ends, together with what is shown of them, so that a report needs no data.

t tests: a row that three networks were tested on is in t three times. m rows that are shown.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from calmix.data import About
from calmix.data.given_rows import Unusual
from calmix.errors import DataError
from calmix.reading import AGAIN, read_json, typed
from calmix.results.files import NamedArrays, write_json
from calmix.results.records import Record
from calmix.results.store import Results
from calmix.studies.comparison.choice import choose
from calmix.train import Recipe

MOST_SEEDS = 1000  # whose tests are looked at
MOST = 12  # rows that are shown
SIDE = 64  # pixels, at most, of a side of an image that is kept
FILE = "mistakes.json"


@dataclass(frozen=True)
class WrongAnswer:
    """A test row that networks of the method called by another class. confidence: the mean of their wrong answers."""

    row: int  # as the user counts
    truth: str
    said: str  # most often, of the wrong answers
    confidence: float
    wrong: int  # networks, of those that were tested on the row
    tested: int
    all_wrong: int  # of the networks of all methods
    all_tested: int
    all_confidence: float  # of the wrong answers of all methods; 0 where there is none


@dataclass(frozen=True)
class LargeError:
    """A test row that the method's networks missed by far, in the unit of the target."""

    row: int  # as the user counts
    observed: float
    predicted: float  # the mean over the networks that were tested on it
    size: float  # the mean of their absolute errors
    tested: int
    all_predicted: float  # the mean over the networks of all methods


@dataclass(frozen=True)
class Picture:
    """An image of one or three channels, as it was before it was standardised."""

    shape: tuple[int, ...]  # (C, H, W)
    pixels: str  # bytes in base64

    @property
    def array(self) -> NDArray[np.uint8]:
        """(C, H, W). Raise DataError where the pixels are no such image."""
        try:
            found = np.frombuffer(base64.b64decode(self.pixels, validate=True), np.uint8)
            if len(self.shape) == 3 and self.shape[0] in (1, 3) and found.size:
                return found.reshape(self.shape)
        except (binascii.Error, ValueError):
            pass
        raise DataError("a picture holds other bytes than its shape says.")


@dataclass(frozen=True)
class Content:
    """What is shown of a row. unusual: its unusual values; None where the data have no columns. name: its file's."""

    unusual: Sequence[Unusual] | None = None
    picture: Picture | None = None
    name: str = ""


@dataclass(frozen=True)
class Mistakes:
    """answers, of classes, or errors, of a regression: the worst first, with a content each.

    method: whose they are. unit, note: what a row is called, and how rows are counted. networks: how many the method
    has. rows: how many were tested. typical: the median of the rows' absolute errors, of a regression.
    """

    method: str
    unit: str
    note: str
    networks: int
    rows: int
    answers: Sequence[WrongAnswer] = ()
    errors: Sequence[LargeError] = ()
    typical: float = 0.0
    contents: Sequence[Content] = ()

    def __post_init__(self) -> None:
        if len(self.contents) != len(self.answers) + len(self.errors):
            raise DataError("contents must be as many as answers and errors.")


# ------------------------------------------------------------------------------------------------ which rows


@dataclass(frozen=True, eq=False)
class Judged:
    """What networks said of test rows: the class they called it and how sure they were, or the error they made."""

    rows: NDArray[np.int64]  # (t,) as the user counts
    seeds: NDArray[np.int64]  # (t,)
    truth: NDArray[Any]  # (t,) class ids, or values
    said: NDArray[Any]  # (t,) likewise
    confidence: NDArray[np.float64]  # (t,); 1 for values

    @property
    def wrong(self) -> NDArray[np.bool_]:
        return self.truth != self.said

    def of_rows(self, rows: Sequence[int]) -> "Judged":
        kept = np.isin(self.rows, rows)
        return Judged(*(values[kept] for values in vars(self).values()))


def judged_of(seed: int, predictions: NamedArrays) -> Judged | None:
    """Of a run; None where its rows were not kept, or have several targets each."""
    if "rows" not in predictions:
        return None
    rows = predictions["rows"].astype(np.int64)
    seeds = np.full(len(rows), seed)
    if "probs" in predictions:
        probs = predictions["probs"]
        return Judged(rows, seeds, predictions["labels"], probs.argmax(1), probs.max(1).astype(np.float64))
    if predictions["mean"].size != len(rows):
        return None
    truth, said = (predictions[name].reshape(-1).astype(np.float64) for name in ("targets", "mean"))
    return Judged(rows, seeds, truth, said, np.ones(len(rows)))


def joined(tests: Sequence[Judged]) -> Judged:
    return Judged(*(np.concatenate(values) for values in zip(*(vars(one).values() for one in tests), strict=True)))


def most_wrong(tests: Judged, cost: NDArray[np.float64], most: int = MOST) -> list[int]:
    """The rows of the highest mean cost above 0, highest first; of equal ones, those tested more often, then in order.

    cost: (t,) of each test; 0 where the network was right.
    """
    rows, place, tested = np.unique(tests.rows, return_inverse=True, return_counts=True)
    means = np.bincount(place, cost) / tested
    order = np.lexsort((rows, -tested, -means))[:most]
    return rows[order[means[order] > 0]].tolist()


def wrong_answers(own: Judged, everyone: Judged, classes: Sequence[str], rows: Iterable[int]) -> Iterable[WrongAnswer]:
    """Of these rows; own: the tests of the method's networks; everyone: of all."""

    def name(k: int) -> str:
        return classes[k] if k < len(classes) else str(k)

    for row in rows:
        here, others = own.of_rows([row]), everyone.of_rows([row])
        wrong, all_wrong = here.wrong, others.wrong
        yield WrongAnswer(
            row=row,
            truth=name(int(here.truth[0])),
            said=name(int(np.bincount(here.said[wrong]).argmax())),
            confidence=here.confidence[wrong].mean().item(),
            wrong=int(wrong.sum()),
            tested=len(wrong),
            all_wrong=int(all_wrong.sum()),
            all_tested=len(all_wrong),
            all_confidence=others.confidence[all_wrong].mean().item() if all_wrong.any() else 0.0,
        )


def large_errors(own: Judged, everyone: Judged, rows: Iterable[int]) -> Iterable[LargeError]:
    """As `wrong_answers`."""
    for row in rows:
        here = own.of_rows([row])
        yield LargeError(
            row=row,
            observed=here.truth[0].item(),
            predicted=here.said.mean().item(),
            size=np.abs(here.said - here.truth).mean().item(),
            tested=len(here.rows),
            all_predicted=everyone.of_rows([row]).said.mean().item(),
        )


# ------------------------------------------------------------------------------------------------ all together


def find_mistakes(
    results: Results, predictions_of: Callable[[Record], NamedArrays], recipes: Sequence[Recipe]
) -> Mistakes | None:
    """Of the method that the results recommend; None where the data do not say which rows were tested.

    The predictions of each run are asked for once, of the first MOST_SEEDS seeds.
    """
    given = recipes[0].splits().given
    method, first = choose(results).method, set(results.scores.seeds[:MOST_SEEDS])
    looked_at = [record for record in results.compared if record.seed in first]
    own = [judged_of(record.seed, predictions_of(record)) for record in looked_at if record.method == method]
    known = [tests for tests in own if tests is not None]
    if given is None or len(known) < len(own):
        return None
    tests = joined(known)
    if results.regression:
        rows = most_wrong(tests, np.abs(tests.said - tests.truth))
    else:
        rows = most_wrong(tests, tests.confidence * tests.wrong)
    others = [record for record in looked_at if record.method != method]
    found = (judged_of(record.seed, predictions_of(record)) for record in others)
    everyone = joined([tests.of_rows(rows), *(one.of_rows(rows) for one in found if one is not None)])
    answers, errors, typical = (), (), 0.0
    if results.regression:
        errors = tuple(large_errors(tests, everyone, rows))
        typical = _typical(tests)
    else:
        answers = tuple(wrong_answers(tests, everyone, results.facts.data.classes, rows))
    unusual = given.unusual(rows) if given.fields else [None for _ in rows]
    pictures = _pictures(tests.of_rows(rows), recipes) if results.facts.data.kind == "image" else {}
    names = given.names_of(rows)
    contents = [
        Content(values, pictures.get(row), name) for row, values, name in zip(rows, unusual, names, strict=True)
    ]
    count = len(np.unique(tests.rows))
    return Mistakes(method, given.unit, given.note, len(own), count, answers, errors, typical, contents)


def _typical(tests: Judged) -> float:
    _, place, tested = np.unique(tests.rows, return_inverse=True, return_counts=True)
    return float(np.median(np.bincount(place, np.abs(tests.said - tests.truth)) / tested))


def _pictures(tests: Judged, recipes: Sequence[Recipe]) -> Mapping[int, Picture]:
    """The images of all rows of the tests, from the splits of as few seeds as it takes."""
    by_seed = {recipe.seed: recipe for recipe in recipes}
    pictures: dict[int, Picture] = {}
    for seed in np.unique(tests.seeds).tolist():
        missing = [row for row in tests.rows[tests.seeds == seed].tolist() if row not in pictures]
        if missing:
            splits = by_seed[seed].splits()
            assert splits.given is not None
            places = {number: place for place, number in enumerate(splits.given.tested.tolist())}
            pictures |= {row: picture_of(splits.test.rows[places[row]], splits.about) for row in missing}
    return pictures


def picture_of(x: torch.Tensor, about: About) -> Picture:
    """An image (C, H, W) as it was before it was standardised; stretched to black and white where that is not known.

    Of other than three channels their mean, in grey; of a side longer than SIDE pixels fewer ones.
    """
    pixels = x.double()
    if about.pixel_mean:
        mean, std = (
            torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (about.pixel_mean, about.pixel_std)
        )
        pixels = pixels * std + mean
    else:
        pixels = (pixels - pixels.min()) / (pixels.max() - pixels.min()).clamp(min=1e-12)
    if len(pixels) != 3:
        pixels = pixels.mean(0, keepdim=True)
    longest = max(pixels.shape[1:])
    if longest > SIDE:
        size = [max(1, round(side * SIDE / longest)) for side in pixels.shape[1:]]
        pixels = interpolate(pixels[None], size=size, mode="area")[0]
    array = (255 * pixels).round().clamp(0, 255).to(torch.uint8).numpy()
    return Picture(array.shape, base64.b64encode(array.tobytes()).decode())


# ------------------------------------------------------------------------------------------------------- the file


def write_mistakes(folder: Path, mistakes: Mistakes | None) -> None:
    """Write the file, or take away one that is there, where there is nothing to show."""
    if mistakes is None:
        (folder / FILE).unlink(missing_ok=True)
    else:
        write_json(folder / FILE, asdict(mistakes))


def read_mistakes(folder: Path) -> Mistakes | None:
    """What was written; None where nothing was. Raise DataError where the file is damaged."""
    path = folder / FILE
    if not path.exists():
        return None
    raw = read_json(path)
    try:
        found: Mistakes = typed(Mistakes, raw)
        for content in found.contents:
            if content.picture is not None:
                _ = content.picture.array
    except DataError as error:
        raise DataError(f"{path} is damaged ({str(error).rstrip('.')}); {AGAIN}.") from None
    return found
