"""Windows of a time series: what is told from what, in which order, and from which file."""

import gzip
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from calmix.data import NamedSet, Splits
from calmix.data.series import (
    ELECTRICITY,
    ETTH1,
    EXCHANGE_RATE,
    WINDOW,
    deviations,
    electricity,
    etth1,
    exchange_rate,
    exchange_rate_max,
    windows,
)
from calmix.errors import DataError, SettingError

STEPS, HORIZON = 2000, EXCHANGE_RATE.horizon


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file in which the rate of currency c on day t is t + 1000 c."""
    np.savetxt(
        tmp_path / "exchange_rate.txt", np.arange(STEPS)[:, None] + 1000.0 * np.arange(8), delimiter=",", fmt="%.1f"
    )
    return tmp_path


def parts(splits: Splits) -> list:
    return [splits.train, splits.validation, splits.calibration, splits.test]


def test_a_window_tells_the_rates_twelve_days_later(folder: Path):
    day = 1 / np.arange(1200).std()  # the rates rise by one a day, over 1,200 days of the train split
    for part in parts(exchange_rate(data_dir=folder)):
        assert part.x.shape[1:] == (WINDOW, 8)
        assert torch.allclose(part.y - part.x[:, -1], torch.tensor(HORIZON * day, dtype=torch.float32), atol=1e-4)


def test_splits_follow_one_another_without_a_common_day(folder: Path):
    splits = exchange_rate(data_dir=folder)
    for before, after in pairwise(parts(splits)):
        assert (before.y.max(0).values < after.x.amin((0, 1))).all()
    assert sum(len(part) + WINDOW + HORIZON - 1 for part in parts(splits)) == STEPS


def test_windows_take_no_memory_of_their_own():
    values = torch.randn(500, 3)
    split = windows(values, 100, 7)
    assert split.x.shape == (394, 100, 3)
    assert split.x.untyped_storage().nbytes() == values.untyped_storage().nbytes()
    rows = torch.tensor([5, 0, 393])
    for k, row in zip(rows.tolist(), split.x[rows], strict=True):
        assert torch.equal(row, values[k : k + 100])
        assert torch.equal(split.y[k], values[k + 106])


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
    assert torch.equal(cut.train.y, whole.train.y[-50:])
    with pytest.raises(SettingError, match="train_size must be between 1 and"):
        exchange_rate(data_dir=folder, train_size=10**6)


def test_files_that_will_not_do_are_one_sentence(tmp_path: Path):
    with pytest.raises(DataError, match=r"get exchange_rate\.txt from github\.com/laiguokun.*or set CALMIX_DATA"):
        exchange_rate(data_dir=tmp_path)
    file = tmp_path / "exchange_rate.txt"
    for text, message in (
        ("a,b\n", "cannot be read"),
        ("1,2\n3,4\n", "8 rates on each line"),
        ("1,2,3,4,5,6,7,8\n" * 300, "300 days cannot"),
        ("1,2,3,4,5,6,7,8\n" * 1800 + "1,2,3", r"exchange_rate\.txt cannot be read \(.*row 1801"),  # cut short
        ("1,2,3,4,5,6,7,nan\n" * 1800, "all finite"),
    ):
        file.write_text(text)
        with pytest.raises(DataError, match=message):
            exchange_rate(data_dir=tmp_path)


def test_a_file_of_another_length_is_told(folder: Path):
    (said,) = exchange_rate(data_dir=folder).about.notices
    assert said == "exchange_rate.txt holds 2,000 days, and the published file 7,588: it may be cut short."


def test_divided_by_their_largest_the_rates_are_shares_of_it_and_the_windows_the_same(folder: Path):
    rates = np.loadtxt(folder / "exchange_rate.txt", delimiter=",")
    rates[3, 1] = -1e5  # the largest in size of its currency, in the train split
    rates[-1, 0] = 1e6  # in the test split: nobody's unit
    np.savetxt(folder / "exchange_rate.txt", rates, delimiter=",")
    usual, divided = exchange_rate(data_dir=folder), exchange_rate_max(data_dir=folder)
    known = torch.tensor(rates[:1200])
    mean, std, largest = known.mean(0), known.std(0, correction=0), known.abs().amax(0)
    assert largest[0] == 1199
    assert largest[1] == 1e5
    assert divided.about.name == "exchange_rate_max"
    for part, other in zip(parts(divided), parts(usual), strict=True):
        assert part.x.shape == other.x.shape
        for share, standard in ((part.x, other.x), (part.y, other.y)):  # the same rates in other units
            assert torch.allclose(share * largest, standard * std + mean, rtol=1e-5, atol=0.1)
    assert divided.train.x.abs().amax((0, 1)).tolist() == pytest.approx([1.0] * 8, abs=0.02)


def test_hours_of_a_table_with_dates(tmp_path: Path):
    """Measurement c of hour t is 10 t + c; the file may be gzipped."""
    lines = [f"2016-07-01 00:00:00,{','.join(str(10 * t + c) for c in range(7))}" for t in range(2000)]
    text = "\n".join(["date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT", *lines])
    (tmp_path / "ETTh1.csv").write_text(text)
    splits = NamedSet("etth1", data_dir=tmp_path).splits(0)
    mean, std = deviations(np.add.outer(10.0 * np.arange(1200), np.arange(7.0)))
    hours = splits.test.y.numpy() * std + mean
    assert hours[0].tolist() == pytest.approx([10 * (1600 + WINDOW + ETTH1.horizon - 1) + c for c in range(7)], abs=0.1)
    packed = tmp_path / "packed"
    packed.mkdir()
    (packed / "ETTh1.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert torch.equal(etth1(data_dir=packed).test.x, splits.test.x)
    (packed / "ETTh1.csv.gz").write_bytes(gzip.compress(text.encode())[:-2000])
    with pytest.raises(DataError, match=r"ETTh1\.csv\.gz cannot be read"):
        etth1(data_dir=packed)
    (tmp_path / "ETTh1.csv").write_text("\n".join(line.rpartition(",")[0] for line in text.split("\n")))
    with pytest.raises(DataError, match=r"ETTh1\.csv cannot be read"):
        etth1(data_dir=tmp_path)
    (tmp_path / "ETTh1.csv").write_text(text.replace("HUFL,HULL", "HULL,HUFL"))
    with pytest.raises(DataError, match=r"ETTh1\.csv must begin with the line date,HUFL,HULL,"):
        etth1(data_dir=tmp_path)


def test_loads_of_321_customers_of_whom_some_use_nothing(tmp_path: Path):
    loads = np.ones((2000, 321), int) * np.arange(321)
    (tmp_path / "electricity.txt").write_text("\n".join(",".join(map(str, hour)) for hour in loads.tolist()))
    splits = electricity(data_dir=tmp_path)
    assert splits.test.y[0].tolist() == [0.0] + [1.0] * 320
    assert splits.train.shape == (WINDOW, 321)
    assert splits.about.targets == ELECTRICITY.columns == 321


@pytest.mark.parametrize(("name", "record"), [("exchange_rate", EXCHANGE_RATE), ("etth1", ETTH1)])
def test_the_real_files_are_whole(name: str, record, real_data: Path):
    splits = NamedSet(name, data_dir=real_data / "timeseries").splits(0)
    assert sum(len(part) + WINDOW + record.horizon - 1 for part in parts(splits)) == record.steps
    assert splits.about.targets == record.columns
    assert splits.about.notices == ()
    assert splits.train.x.mean((0, 1)).abs().max() < 0.1
