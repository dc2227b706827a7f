"""A time series as rows: a window of the past, and what follows it."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calmix.data.folders import digest_of_files, find_folder
from calmix.data.splits import About, Split, Splits, split_sizes
from calmix.errors import DataError, SettingError

WINDOW, HORIZON = 168, 12  # days looked back and ahead, as in LSTNet and C-Mixup
CURRENCIES = 8


def exchange_rate(seed: int = 0, train_size: int | None = None, data_dir: Path | None = None) -> Splits:
    """7,588 days of 8 currencies: 168 days tell the rates 12 days later (a text file in a folder).

    x is (168, 8), y (8,), both in units of each currency's standard deviation over the days of the train split. The
    splits follow one another in time, whatever the seed, with no day in two of them; train_size keeps the last rows of
    the train split. data_dir holds exchange_rate.txt; without it, $CALMIX_DATA/timeseries and $CALMIX_DATA are tried.

    Raises DataError if the file is missing or broken.
    """
    return _series("exchange_rate", lambda known: (known.mean(0), known.std(0)), train_size, data_dir)


def exchange_rate_max(seed: int = 0, train_size: int | None = None, data_dir: Path | None = None) -> Splits:
    """7,588 days of 8 currencies, as in published code: each rate a share of its currency's largest (a text file).

    `exchange_rate` in other units: x and y are divided by the currency's largest rate, by size, over the days of the
    train split. LSTNet and C-Mixup divide by the largest of all days, those of the test split too.
    """
    return _series("exchange_rate_max", lambda known: (0.0, np.abs(known).max(0)), train_size, data_dir)


# the days (n, 8) of the train split -> what is taken off each currency's rates, and by what the rest is divided
_Units = Callable[[NDArray[np.float64]], tuple[Any, Any]]


def _series(name: str, units: _Units, train_size: int | None, data_dir: Path | None) -> Splits:
    advice = "give data_dir or set CALMIX_DATA"
    folder = find_folder("timeseries", "exchange_rate.txt", data_dir, [], advice)
    try:
        days = np.loadtxt(folder / "exchange_rate.txt", delimiter=",", dtype=np.float64, ndmin=2)  # (days, 8)
    except ValueError as error:
        raise DataError(f"{folder}/exchange_rate.txt cannot be parsed ({error}); get the file anew.") from None
    if days.shape[1] != CURRENCIES or not np.isfinite(days).all():
        raise DataError(f"{folder}/exchange_rate.txt must hold {CURRENCIES} rates a day; get the file anew.")
    ends = np.cumsum([0, *split_sizes(len(days))])
    if min(np.diff(ends)) < WINDOW + HORIZON:
        raise DataError(f"{len(days)} days cannot fill four splits of {WINDOW + HORIZON} days; get the whole file.")
    zero, unit = units(days[: ends[1]])
    rates = torch.tensor((days - zero) / unit, dtype=torch.float32)
    splits = [_windows(rates[start:end]) for start, end in pairwise(ends)]
    if train_size is not None:
        if not 1 <= train_size <= len(splits[0]):
            raise SettingError(f"train_size must be between 1 and {len(splits[0])}; got {train_size}.")
        splits[0] = Split(splits[0].x[-train_size:], splits[0].y[-train_size:])
    source = f"exchange rates 1990-2016 (Lai et al., 2018), {folder}"
    digest = digest_of_files([folder / "exchange_rate.txt"])
    about = About(name, "regression", "series", (), (), False, source, CURRENCIES, digest=digest)
    return Splits(*splits, about=about)


def _windows(rates: Tensor) -> Split:
    """Every window of a stretch of days, and the rates that it is to tell."""
    x = rates.unfold(0, WINDOW, 1)[:-HORIZON].transpose(1, 2)  # (n, 168, 8)
    return Split(x.contiguous(), rates[WINDOW + HORIZON - 1 :].contiguous())
