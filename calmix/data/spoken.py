"""Spoken words with published test rows: the Free Spoken Digit Dataset, and Google Speech Commands.

n recordings
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from zlib import crc32

import numpy as np

from calmix.data.asked import AUDIO
from calmix.data.audio import recordings
from calmix.data.folders import last_change
from calmix.data.labelled_files import LabelledFiles, files_in
from calmix.data.splits import SAME_TEST, Draw, Fold, Joined, RowIds, Splits, listed
from calmix.data.whole import Whole, WholeSource
from calmix.errors import DataError, SettingError
from calmix.reading import reading
from calmix.reprs import shown

TESTED_TAKES = 5  # of each speaker and digit, the first: the official test part
VALIDATION, TESTING = "validation_list.txt", "testing_list.txt"
_NAME = re.compile(r"(\d)_([^_]+)_(\d+)\.wav")
_ANEW = "get the archive anew"


@dataclass(frozen=True, repr=False)
class SpokenDigits(WholeSource):
    """Recordings {digit}_{speaker}_{take}.wav in a folder, as log-mel spectrograms; see `AudioFolder`.

    The test split is the official one, the takes 0 to 4; or with by_speaker all that one speaker says: seed s tests
    speaker s of their names in order, and begins anew after the last one. The other splits are drawn from the others,
    stratified by digit. By speaker the seeds are folds, as every recording is tested once in a round of speakers.

    Source: Jackson et al., github.com/Jakobovski/free-spoken-digit-dataset, its folder recordings.

    Raises:
        DataError: names of another form; a recording that is missing or cannot be read.
    """

    path: Path
    by_speaker: bool = False
    train_size: int | None = None

    def __repr__(self) -> str:
        return shown(self, unless_default={"by_speaker", "train_size"})

    @property
    def _changed(self) -> int:
        return last_change([self.path])

    @property
    def _whole(self) -> Whole:
        whole, _, takes = _read_digits(self.path, self._changed)
        return replace(whole, given={"test": np.flatnonzero(takes < TESTED_TAKES)})

    def _splits(self, seed: Draw) -> Splits:
        if not self.by_speaker:
            return super()._splits(seed)
        whole, speakers, _ = _read_digits(self.path, self._changed)
        names = sorted(set(speakers))
        if len(names) < 2:
            raise DataError(f"{self.path} holds one speaker, {listed(names)}, and one is left out; get the others.")
        tested = np.array(speakers) == names[_number(seed) % len(names)]
        splits = replace(whole, given={"test": np.flatnonzero(tested)}).splits(seed, self.train_size)
        told = f"each seed tests one of {len(names)} speakers ({', '.join(names)}), whom the other splits lack."
        notices = tuple(told if notice == SAME_TEST else notice for notice in splits.about.notices)
        return replace(splits, about=replace(splits.about, notices=notices, folds=len(names)))


def _number(draw: Draw) -> int:
    assert not isinstance(draw, Fold), "the test rows are given"
    return draw.seed if isinstance(draw, Joined) else draw


@lru_cache(maxsize=1)
def _read_digits(path: Path, changed: int) -> tuple[Whole, tuple[str, ...], RowIds]:
    """All recordings, and the speaker and the take of each."""
    files = files_in(path, AUDIO)
    named = [_NAME.fullmatch(file) for file in files]
    if not files or None in named:
        other = f"{files[named.index(None)]!r}" if files else "no recordings"
        raise DataError(
            f"{path} holds {other}, and expected are files {{digit}}_{{speaker}}_{{take}}.wav; give the folder "
            "recordings of github.com/Jakobovski/free-spoken-digit-dataset."
        )
    digits, speakers, takes = zip(*(name.groups() for name in named if name), strict=True)
    _check_complete(path, digits, speakers, takes)
    found = LabelledFiles(
        path,
        files,
        np.array(digits),
        np.arange(1, len(files) + 1),
        "file",
        f"Files are counted from 1, in the order of their names in {path.name}.",
        f"the names of files in {path}",
    )
    whole = recordings(found, path, task="classification")
    whole = replace(whole, about=replace(whole.about, name="fsdd"))
    return whole, speakers, np.array(takes, np.int64)


def _check_complete(path: Path, digits: Sequence[str], speakers: Sequence[str], takes: Sequence[str]) -> None:
    """Raise DataError unless every speaker says every digit in the same takes, 0, 1, ..."""
    there = set(zip(digits, speakers, map(int, takes), strict=True))
    last = max(take for _, _, take in there)
    expected = product(sorted(set(digits)), sorted(set(speakers)), range(last + 1))
    missing = [f"{digit}_{who}_{take}.wav" for digit, who, take in expected if (digit, who, take) not in there]
    if missing:
        raise DataError(f"{path} lacks {listed(missing, 3)}; {_ANEW}.")


# ---------------------------------------------------------------------------------------------------- speech commands


@dataclass(frozen=True, repr=False)
class SpeechCommands(WholeSource):
    """Recordings in a folder for each word, with the official lists of what to validate and to test on.

    Those that neither list names are trained on, but for a calibration split of whole speakers (the part of a name
    before _nohash_), as the lists have it, too. Folders that begin with _ hold no words and are left out. A second is
    heard of all. Spectrograms that memory may not hold are computed when they are asked for.

    share: of the speakers, about this share, the same in every run, with all that they say; none of the others is read.

    Source: Warden, Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition, 2018 (arXiv 1804.03209), as
    unpacked from speech_commands_v0.01.tar.gz or speech_commands_v0.02.tar.gz.

    Raises:
        DataError: a list is missing, or names a recording that is; a recording cannot be read.
    """

    path: Path
    share: float = 1.0
    train_size: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise SettingError(f"share must be a number above 0 and at most 1; got {self.share}.")

    def __repr__(self) -> str:
        return shown(self, unless_default={"share", "train_size"})

    @property
    def _changed(self) -> int:
        return last_change([self.path / VALIDATION, self.path / TESTING])

    @property
    def _whole(self) -> Whole:
        return _read_commands(self.path, self.share, self._changed)


@lru_cache(maxsize=1)
def _read_commands(path: Path, share: float, changed: int) -> Whole:
    files = [file for file in files_in(path, AUDIO) if "/" in file and not file.startswith("_")]
    if not files:
        raise DataError(f"{path} holds no folders of words; give the folder that the archive was unpacked into.")
    listing = {
        part: _listed_files(path / name, files) for part, name in (("validation", VALIDATION), ("test", TESTING))
    }
    if both := listing["validation"] & listing["test"]:
        raise DataError(f"{path}: {min(both)!r} stands in both {VALIDATION} and {TESTING}; {_ANEW}.")
    files = [file for file in files if crc32(_speaker(file).encode()) < share * 2**32]
    given = {part: np.flatnonzero([file in there for file in files]) for part, there in listing.items()}
    if len(files) <= sum(map(len, given.values())) or not all(map(len, given.values())):
        raise DataError(f"{path}: with share {share} a split is empty; give a larger one, or get the whole archive.")
    found = LabelledFiles(
        path,
        files,
        np.array([file.split("/")[0] for file in files]),
        np.arange(1, len(files) + 1),
        "file",
        f"Files are counted from 1, in the order of their names in {path.name}.",
        f"the folders in {path}",
        given,
        np.array([_speaker(file) for file in files]),
    )
    whole = recordings(found, path, 1.0, "classification", [path / VALIDATION, path / TESTING], streamed=True)
    return replace(whole, about=replace(whole.about, name="speech_commands"))


def _speaker(file: str) -> str:
    """What the archive calls who said it.

    >>> _speaker("bed/026290a7_nohash_0.wav")
    '026290a7'
    """
    return file.split("/")[-1].partition("_nohash_")[0]


def _listed_files(path: Path, files: Sequence[str]) -> set[str]:
    """What a list names, all of it among the files."""
    with reading(path, _ANEW):
        names = path.read_text(encoding="utf-8").split()
    missing = sorted(set(names) - set(files))
    if missing or not names:
        what = f"{len(missing)} recordings that are not there, such as {listed(missing, 3)}" if missing else "nothing"
        raise DataError(f"{path} lists {what}; {_ANEW}.")
    return set(names)
