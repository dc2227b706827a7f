"""Windows of a time series: what is told from what, in which order, and from which file."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from calmix.data.series import HORIZON, WINDOW, exchange_rate, exchange_rate_max
from calmix.errors import DataError, SettingError

DAYS = 2000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file in which the rate of currency c on day t is t + 1000 c."""
    np.savetxt(
        tmp_path / "exchange_rate.txt", np.arange(DAYS)[:, None] + 1000.0 * np.arange(8), delimiter=",", fmt="%.1f"
    )
    return tmp_path


def test_a_window_tells_the_rates_twelve_days_later(folder: Path):
    splits = exchange_rate(data_dir=folder)
    day = 1 / np.arange(1200).std()  # the rates rise by one a day, over 1,200 days of the train split
    for part in (splits.train, splits.validation, splits.calibration, splits.test):
        assert part.x.shape[1:] == (WINDOW, 8)
        assert torch.allclose(part.y - part.x[:, -1], torch.tensor(HORIZON * day, dtype=torch.float32), atol=1e-4)


def test_splits_follow_one_another_without_a_common_day(folder: Path):
    splits = exchange_rate(data_dir=folder)
    parts = [splits.train, splits.validation, splits.calibration, splits.test]
    for before, after in pairwise(parts):
        assert (before.y.max(0).values < after.x.amin((0, 1))).all()
    assert sum(len(part) + WINDOW + HORIZON - 1 for part in parts) == DAYS


def test_the_units_are_those_of_the_train_split_alone(folder: Path):
    rates = np.loadtxt(folder / "exchange_rate.txt", delimiter=",")
    rates[1200:] *= 7
    np.savetxt(folder / "exchange_rate.txt", rates, delimiter=",")
    splits = exchange_rate(data_dir=folder)
    assert abs(float(splits.train.x[:, 0].mean())) < 0.5
    assert float(splits.test.x.max()) > 10


def test_fewer_rows_are_the_last_ones(folder: Path):
    whole, cut = (exchange_rate(data_dir=folder, train_size=size) for size in (None, 50))
    assert torch.equal(cut.train.x, whole.train.x[-50:])
    with pytest.raises(SettingError, match="train_size must be between 1 and"):
        exchange_rate(data_dir=folder, train_size=10**6)


def test_files_that_will_not_do_are_one_sentence(tmp_path: Path):
    with pytest.raises(DataError, match="give data_dir or set CALMIX_DATA"):
        exchange_rate(data_dir=tmp_path)
    file = tmp_path / "exchange_rate.txt"
    for text, message in (
        ("a,b\n", "cannot be parsed"),
        ("1,2\n3,4\n", "8 rates"),
        ("1,2,3,4,5,6,7,8\n" * 300, "300 days cannot"),
    ):
        file.write_text(text)
        with pytest.raises(DataError, match=message):
            exchange_rate(data_dir=tmp_path)


def test_divided_by_their_largest_the_rates_are_shares_of_it_and_the_windows_the_same(folder: Path):
    rates = np.loadtxt(folder / "exchange_rate.txt", delimiter=",")
    rates[3, 1] = -1e5  # the largest in size of its currency, in the train split
    rates[-1, 0] = 1e6  # in the test split: nobody's unit
    np.savetxt(folder / "exchange_rate.txt", rates, delimiter=",")
    usual, shares = exchange_rate(data_dir=folder), exchange_rate_max(data_dir=folder)
    known = torch.tensor(rates[:1200])
    mean, std, largest = known.mean(0), known.std(0, correction=0), known.abs().amax(0)
    assert largest[0] == 1199
    assert largest[1] == 1e5
    assert shares.about.name == "exchange_rate_max"
    for name in ("train", "validation", "calibration", "test"):
        part, other = getattr(shares, name), getattr(usual, name)
        assert part.x.shape == other.x.shape
        for divided, standard in ((part.x, other.x), (part.y, other.y)):  # the same rates in other units
            assert torch.allclose(divided * largest, standard * std + mean, rtol=1e-5, atol=0.1)
    assert shares.train.x.abs().amax((0, 1)).tolist() == pytest.approx([1.0] * 8, abs=0.02)


def test_the_real_file_has_7588_days(real_data: Path):
    splits = exchange_rate(data_dir=real_data / "timeseries")
    parts = (splits.train, splits.validation, splits.calibration, splits.test)
    assert sum(len(part) + WINDOW + HORIZON - 1 for part in parts) == 7588
    assert splits.about.targets == 8
