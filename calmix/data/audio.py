"""Folders of recordings as splits: each becomes a log-mel spectrogram, an image of one channel.

n recordings, L samples
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from calmix.data.array_parts import array_of
from calmix.data.array_rows import scaled
from calmix.data.asked import AUDIO
from calmix.data.dataset_rows import DatasetRows, Part
from calmix.data.folders import digest_of_files, last_change, times
from calmix.data.given_rows import Field
from calmix.data.goals import goal_of
from calmix.data.image_files.source import loaders
from calmix.data.labelled_files import LabelledFiles, class_of, files_in, labelled_files, parts_of
from calmix.data.mel import LogMel
from calmix.data.new_rows import NewRows
from calmix.data.splits import IN_MEMORY, About, listed
from calmix.data.table.format import DETECTED, TableFormat
from calmix.data.whole import Whole, WholeSource
from calmix.errors import DataError, SettingError, needs
from calmix.reading import reading, visible
from calmix.threads import using_threads

MOST_SECONDS = 10.0  # that are heard of a recording, where the user does not say
ANEW = "get the file anew, or take it out of the folder"
_UNKNOWN = 2**32  # bytes: what a .wav says that was written before its length was known

_Found = TypeVar("_Found")


@dataclass(frozen=True, repr=False)
class AudioFolder(WholeSource):
    """Recordings (.wav, .flac, .ogg) in a folder, as log-mel spectrograms (1, bands, frames); see `LogMel`. There
    are 64 bands from 16,000 Hz on, and 40 below.

    A recording's label is the name of its folder, or stands in `labels`: see `labelled_files`. Channels are averaged;
    recordings of another rate than most are resampled; all are cut, or filled with zeros, around their middle to
    `seconds`, by default what 95 % of them do not exceed, rounded up to a tenth, and at most 10.
    """

    path: Path
    labels: Path | None = None
    seconds: float | None = None
    task: str | None = None
    train_size: int | None = None

    @property
    def _changed(self) -> tuple[int, ...]:
        return *times(self.path), last_change([self.labels]) if self.labels else 0

    @property
    def _whole(self) -> Whole:
        return _read_whole(self.path, self.labels, self.seconds, self.task, self._changed)


@lru_cache(maxsize=1)
def _read_whole(
    path: Path, labels: Path | None, seconds: float | None, task: str | None, changed: tuple[int, ...]
) -> Whole:
    """All recordings. changed: when the folders and the labels were; a recording is read once."""
    found = labelled_files(path, AUDIO, labels)
    return recordings(found, path, seconds, task, [labels] if labels else [])


def recordings(
    found: LabelledFiles,
    path: Path,
    seconds: float | None = None,
    task: str | None = None,
    listed_in: Sequence[Path] = (),
    streamed: bool = False,
) -> Whole:
    """Files with labels as spectrograms. path: what names the data. listed_in: files that say what is in which part.

    streamed: spectrograms that memory may not hold are computed anew whenever they are asked for.

    Raises:
        DataError: files that cannot be read; spectrograms that memory may not hold, if they are not streamed.
    """
    goal = goal_of(found.labels, task, found.source)
    headers = _of_each(found.paths, header_of)
    features, told = _features(headers, seconds)
    size = 4 * len(headers) * math.prod(features.shape)
    if size > IN_MEMORY and not streamed:
        raise DataError(
            f"{len(headers):,} recordings of {features.seconds:g} seconds take {size / 1e9:.1f} GB as "
            f"spectrograms, and {IN_MEMORY / 1e9:.1f} GB may be in memory; hear fewer with --seconds."
        )
    if size > IN_MEMORY:
        part = Part(
            Heard(tuple(found.paths), features, tuple(goal.y.tolist())), np.arange(len(headers)), loaders=loaders()
        )
        x = DatasetRows((part,), part.places, features.shape, pixels=False)
    else:
        sounds = _of_each(found.paths, lambda file: sound_of(file, features.rate))
        silent = [file for file, sound in zip(found.files, sounds, strict=True) if not sound.any()]
        if silent:
            told.append(f"{len(silent)} recordings are silent, every sample being 0: {listed(silent, 3)}.")
        x = spectrograms(sounds, features)
    about = About(
        name=path.resolve().name,
        task=goal.task,
        kind="audio",
        classes=goal.classes,
        features=(),
        natural=False,
        source=str(path),
        notices=(*told, *found.notices, *_given(found)),
        digest=digest_of_files([*found.paths, *listed_in], [*found.files, *(file.name for file in listed_in)]),
    )
    return Whole(
        x=x,
        y=goal.y,
        about=about,
        given=found.given,
        groups=found.groups,
        numbers=found.numbers,
        unit=found.unit,
        note=found.note,
        fields=[Field("seconds", "number", np.array([round(header.seconds, 3) for header in headers]))],
        encoding=lambda mean, std: AudioEncoding(features, mean[0], std[0], goal.classes),
    )


def _given(found: LabelledFiles) -> list[str]:
    given = [f"{part} ({len(rows):,} recordings)" for part, rows in found.given.items()]
    return [f"splits that are given: {', '.join(given)}; the others are drawn from what is left."] if given else []


# --------------------------------------------------------------------------------------------------------- recordings


@dataclass(frozen=True)
class Header:
    """What the head of a file says of it."""

    rate: int
    channels: int
    samples: int

    @property
    def seconds(self) -> float:
        return self.samples / self.rate


def header_of(path: Path) -> Header:
    """Raise DataError for a file that holds no sound, or is shorter than it says."""
    with reading(path, ANEW):
        info = _soundfile().info(str(path))
        with path.open("rb") as file:
            head = file.read(12)
    if not info.frames:
        raise DataError(f"{path} holds no samples; {ANEW}.")
    said, there = 8 + int.from_bytes(head[4:8], "little"), path.stat().st_size
    if head[:4] == b"RIFF" and head[8:] == b"WAVE" and there + 1 < said < _UNKNOWN:  # libsndfile reads what is left
        raise DataError(f"{path} is cut short: it says that it has {said:,} bytes, and has {there:,}; {ANEW}.")
    return Header(info.samplerate, info.channels, info.frames)


def sound_of(path: Path, rate: int) -> Tensor:
    """(L,) the mean of the channels, between -1 and 1 for files of whole numbers, resampled to the rate.

    Raises:
        DataError: a file that cannot be read, or holds NaN or infinity.
    """
    with reading(path, ANEW):
        samples, own_rate = _soundfile().read(str(path), dtype="float32", always_2d=True)  # (L, channels)
    if not len(samples):
        raise DataError(f"{path} holds no samples; {ANEW}.")
    if not np.isfinite(samples).all():
        raise DataError(f"{path} holds NaN or infinity; {ANEW}.")
    sound = samples.mean(1)
    if own_rate != rate:
        from scipy.signal import resample_poly

        shared = math.gcd(rate, own_rate)
        sound = resample_poly(sound, rate // shared, own_rate // shared).astype(np.float32)
    return torch.from_numpy(sound)


def spectrograms(sounds: Sequence[Tensor], features: LogMel) -> Tensor:
    """(n, 1, bands, frames): one by one, so that a recording alone is heard as among others."""
    with using_threads(1):
        return torch.stack([features(fitted(sound, features.samples)) for sound in sounds])


def fitted(sound: Tensor, samples: int) -> Tensor:
    """The middle of a sound, or the sound in the middle of zeros.

    >>> fitted(torch.tensor([1.0, 2.0, 3.0]), 5).tolist(), fitted(torch.tensor([1.0, 2.0, 3.0]), 1).tolist()
    ([0.0, 1.0, 2.0, 3.0, 0.0], [2.0])
    """
    missing = samples - len(sound)
    return F.pad(sound, (missing // 2, missing - missing // 2))  # what is less than nothing is cut


def _features(headers: Sequence[Header], seconds: float | None) -> tuple[LogMel, list[str]]:
    """The spectrogram for recordings like these, and what is to be said of it."""
    rates = Counter(header.rate for header in headers)
    rate = min(rates, key=lambda each: (-rates[each], each))
    told = []
    if len(rates) > 1:
        counts = ", ".join(f"{each:,} Hz {count:,}" for each, count in rates.most_common(4))
        told.append(f"recordings have {len(rates)} sampling rates ({counts}); all are resampled to {rate:,} Hz.")
    lengths = np.array([header.seconds for header in headers])
    longest = math.ceil(10 * np.quantile(lengths, 0.95).item()) / 10
    heard = min(longest, MOST_SECONDS) if seconds is None else seconds
    features = LogMel(rate, heard, bands=64 if rate >= 16_000 else 40)
    longer, shorter = (lengths > heard + 1e-3).sum(), (lengths < heard - 1e-3).sum()
    _, bands, frames = features.shape
    told.insert(
        0,
        f"{len(headers):,} recordings of {lengths.min():.2g} to {lengths.max():.2g} seconds become {bands} mel bands x "
        f"{frames} frames of {heard:g} seconds: {longer} are cut and {shorter} filled with zeros (--seconds says how "
        "long).",
    )
    return features, told


def _of_each(paths: Sequence[Path], read: Callable[[Path], _Found]) -> list[_Found]:
    """What each file gives; DataError that names the first three that cannot be read, if any."""
    found, wrong = [], []
    for path in paths:
        try:
            found.append(read(path))
        except DataError as error:
            wrong.append(str(error))
    if wrong:
        more = f" (and {len(wrong) - 3} files more)" if len(wrong) > 3 else ""
        raise DataError(f"{' '.join(wrong[:3])}{more}")
    return found


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError):  # the second where its library is missing
        raise DataError(needs("reading recordings", "soundfile", "audio")) from None
    return soundfile


@dataclass(frozen=True, eq=False)
class Heard:
    """A map-style data set of recordings: (spectrogram, class id or value)."""

    paths: tuple[Path, ...]
    features: LogMel
    targets: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[Tensor, Any]:
        return spectrograms([sound_of(self.paths[row], self.features.rate)], self.features)[0], self.targets[row]


# ----------------------------------------------------------------------------------------------------------- new rows


@dataclass(frozen=True, eq=False)
class Recordings:
    """Recordings in files, read when asked for; see `calmix.rows.Rows`."""

    paths: tuple[Path, ...]
    features: LogMel
    mean: float
    std: float
    loaders: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.paths), *self.features.shape)

    def __getitem__(self, places: Tensor | slice | int) -> Tensor:
        if isinstance(places, int):
            return self[places : places + 1 or None][0]
        sounds = [sound_of(path, self.features.rate) for path in self.part(places).paths]
        return scaled(spectrograms(sounds, self.features), (self.mean,), (self.std,))

    def part(self, places: Tensor | slice) -> "Recordings":
        chosen = self.paths[places] if isinstance(places, slice) else [self.paths[k] for k in places.tolist()]
        return replace(self, paths=tuple(chosen))


@dataclass(frozen=True)
class AudioEncoding:
    """How further recordings become rows: as those of training did. classes: () of a regression."""

    features: LogMel
    mean: float
    std: float
    classes: tuple[str, ...]

    def __call__(self, rows: Any) -> NewRows:
        """Of a path, or a list of paths; or of sounds (n, L) at the rate of training.

        Raises:
            DataError: files that are none or cannot be read, or an array of another kind.
        """
        if isinstance(rows, str | Path):
            return self.read(Path(rows), DETECTED)
        if isinstance(rows, list | tuple) and all(isinstance(row, str | Path) for row in rows):
            return self._of_files([(Path(row), str(row)) for row in rows])
        sounds = array_of(rows)
        if sounds.ndim != 2 or sounds.dtype.kind != "f" or not np.isfinite(sounds).all():
            raise DataError(
                f"sounds should be finite floating numbers (n, samples) at {self.features.rate:,} Hz, or paths of "
                f"files; got {sounds.dtype} of shape {sounds.shape}."
            )
        x = spectrograms([*torch.from_numpy(sounds.astype(np.float32))], self.features)
        return NewRows(scaled(x, (self.mean,), (self.std,)))

    def read(self, path: Path, format: TableFormat) -> NewRows:
        """The recordings of a folder, or one; the truth is the folder in it that a recording lies in, if a class."""
        if format != DETECTED:
            raise SettingError(f"{format!r} is for tables, and {path} is none: leave it out.")
        if not path.is_dir():
            return self._of_files([(path, path.name)])
        names = files_in(path, AUDIO)
        if not names:
            raise DataError(f"{path} holds no recordings ({', '.join(AUDIO)}); give another folder or file.")
        rows = self._of_files([(path / name, name) for name in names])
        truth = np.array([self._class_of(name) for name in names], object)
        known = not (truth == None).all()  # noqa: E711  (of each entry)
        return replace(rows, truth=truth if known else None, parts=parts_of(names))

    def check(self, shape: Sequence[int]) -> None:
        if self.features.shape != tuple(shape) or not self.std > 0:
            raise ValueError("the encoding of the recordings does not fit the network")

    def _class_of(self, name: str) -> str | None:
        return next((found for found in map(class_of, name.split("/")[:-1]) if found in self.classes), None)

    def _of_files(self, files: Sequence[tuple[Path, str]]) -> NewRows:
        headers = _of_each([path for path, _ in files], header_of)
        other = sum(header.rate != self.features.rate for header in headers)
        rate = f"{self.features.rate:,} Hz"
        told = [f"{other} recordings have other rates, and are resampled to {rate}."] if other else []
        paths = tuple(path for path, _ in files)
        names = {"file": [visible(name) for _, name in files]}
        return NewRows(Recordings(paths, self.features, self.mean, self.std), names, notices=told)
