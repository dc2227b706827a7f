"""A time series as rows: a window of the past, and what follows it.

t steps of d columns; n windows
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calmix.data.folders import digest_of_files, find_file
from calmix.data.splits import About, Split, Splits, split_sizes
from calmix.errors import DataError, SettingError
from calmix.reading import reading

WINDOW = 168  # steps looked back, as in LSTNet: a week of hours
_ANEW = "get the file anew"

# the steps (t, d) of the train split -> what is taken off each column, and by what the rest is divided
Units = Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]


def deviations(known: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each column less its mean, in units of its standard deviation."""
    return known.mean(0), known.std(0)


def shares(known: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each column as a share of its largest number, by size."""
    return np.zeros(known.shape[1]), np.abs(known).max(0)


@dataclass(frozen=True)
class Recorded:
    """A published series in a text file with a line a step, numbers between commas; perhaps gzipped, as FILE.gz.

    file: its name. steps, columns: how many it has. horizon: how many steps later the last one of a window is asked
    for. header: the first line, where it is one of names and the first column one of dates. unit: what a step and a
    column are. source: where it is from; home: where to get it.
    """

    file: str
    steps: int
    columns: int
    horizon: int
    unit: tuple[str, str]
    source: str
    home: str
    header: str = ""

    def find(self, data_dir: Path | None) -> Path:
        """The file. Raise DataError where it is not there."""
        advice = f"get {self.file} from {self.home}, and give its folder (--data-dir, or data_dir), or set CALMIX_DATA"
        return find_file("timeseries", self.file, data_dir, advice)

    def splits(self, name: str, units: Units, train_size: int | None, data_dir: Path | None) -> Splits:
        """Four splits that follow one another in time, with no step in two of them; train_size keeps the last windows.

        Windows are views of the series: they take no memory of their own.

        Raises:
            DataError: the file is missing or broken. SettingError: more windows than there are.
        """
        path = self.find(data_dir)
        values = self._read(path)
        ends = np.cumsum([0, *split_sizes(len(values))])
        if min(np.diff(ends)) < WINDOW + self.horizon:
            raise DataError(
                f"{path}: {len(values)} {self.unit[0]} cannot fill four splits of {WINDOW + self.horizon}; get the "
                "whole file."
            )
        zero, unit = units(values[: ends[1]])
        scaled = torch.tensor((values - zero) / np.where(unit > 0, unit, 1), dtype=torch.float32)
        parts = [windows(scaled[start:end], WINDOW, self.horizon) for start, end in pairwise(ends)]
        if train_size is not None:
            if not 1 <= train_size <= len(parts[0]):
                raise SettingError(f"train_size must be between 1 and {len(parts[0])}; got {train_size}.")
            parts[0] = parts[0].part(slice(len(parts[0]) - train_size, None))
        told = () if len(values) == self.steps else (self._differs(path, len(values)),)
        source, digest = f"{self.source}, {path.parent}", digest_of_files([path])
        about = About(name, "regression", "series", (), (), False, source, self.columns, notices=told, digest=digest)
        return Splits(*parts, about=about)

    def _read(self, path: Path) -> NDArray[np.float64]:
        """(t, d)"""
        used = range(1, self.columns + 1) if self.header else None
        with reading(path, _ANEW), warnings.catch_warnings():
            warnings.simplefilter("error")  # of an empty file
            header = "".join(np.loadtxt(path, str, comments=None, ndmin=1, max_rows=1))
            values = np.loadtxt(path, delimiter=",", ndmin=2, skiprows=int(self.header != ""), usecols=used)
        if self.header not in ("", header):
            raise DataError(f"{path} must begin with the line {self.header}; {_ANEW}.")
        if values.shape[1] != self.columns or not np.isfinite(values).all():
            raise DataError(f"{path} must hold {self.columns} {self.unit[1]} on each line, all finite; {_ANEW}.")
        return values

    def _differs(self, path: Path, steps: int) -> str:
        return (
            f"{path.name} holds {steps:,} {self.unit[0]}, and the published file {self.steps:,}: it may be cut short."
        )


def windows(values: Tensor, window: int, horizon: int) -> Split:
    """Every window of a stretch of steps (t, d), and the step `horizon` after its last: (n, window, d) and (n, d).

    >>> split = windows(torch.arange(6.0)[:, None], window=3, horizon=2)
    >>> split.x[..., 0].tolist(), split.y[:, 0].tolist()
    ([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]], [4.0, 5.0])
    """
    x = values.unfold(0, window, 1)[:-horizon].transpose(1, 2)
    return Split(x, values[window + horizon - 1 :].contiguous())


_LAI = "github.com/laiguokun/multivariate-time-series-data"
EXCHANGE_RATE = Recorded(
    "exchange_rate.txt", 7588, 8, 12, ("days", "rates"), "exchange rates 1990-2016 (Lai et al., 2018)", _LAI
)
ELECTRICITY = Recorded(
    "electricity.txt", 26_304, 321, 24, ("hours", "loads"), "electricity consumption 2012-2014 (Lai et al., 2018)", _LAI
)
ETTH1 = Recorded(
    "ETTh1.csv",
    17_420,
    7,
    24,
    ("hours", "measurements after the date"),
    "electricity transformer temperature 2016-2018 (Zhou et al., 2021)",
    "github.com/zhouhaoyi/ETDataset",
    header="date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT",
)


def exchange_rate(seed: int = 0, train_size: int | None = None, data_dir: Path | None = None) -> Splits:
    """7,588 days of 8 currencies: 168 days tell the rates 12 days later (a text file in a folder).

    x is (168, 8), y (8,), both in units of each currency's standard deviation over the days of the train split. The
    splits follow one another in time, whatever the seed, with no day in two of them; train_size keeps the last rows of
    the train split. data_dir holds exchange_rate.txt; without it, $CALMIX_DATA/timeseries and $CALMIX_DATA are tried.

    Raises DataError if the file is missing or broken.
    """
    return EXCHANGE_RATE.splits("exchange_rate", deviations, train_size, data_dir)


def exchange_rate_max(seed: int = 0, train_size: int | None = None, data_dir: Path | None = None) -> Splits:
    """7,588 days of 8 currencies, as in published code: each rate a share of its currency's largest (a text file).

    `exchange_rate` in other units: x and y are divided by the currency's largest rate, by size, over the days of the
    train split. LSTNet and C-Mixup divide by the largest of all days, those of the test split too.
    """
    return EXCHANGE_RATE.splits("exchange_rate_max", shares, train_size, data_dir)


def etth1(seed: int = 0, train_size: int | None = None, data_dir: Path | None = None) -> Splits:
    """17,420 hours of an electricity transformer: 168 hours tell 7 measurements 24 hours later (a CSV file).

    x is (168, 7), y (7,), in standard deviations over the hours of the train split; splits as of `exchange_rate`.
    data_dir holds ETTh1.csv or ETTh1.csv.gz.
    """
    return ETTH1.splits("etth1", deviations, train_size, data_dir)


def electricity(seed: int = 0, train_size: int | None = None, data_dir: Path | None = None) -> Splits:
    """26,304 hours of 321 customers' electricity: 168 hours tell the loads 24 hours later (a text file in a folder).

    x is (168, 321), y (321,), each as a share of the customer's largest load over the hours of the train split; splits
    as of `exchange_rate`. data_dir holds electricity.txt or electricity.txt.gz.
    """
    return ELECTRICITY.splits("electricity", shares, train_size, data_dir)
