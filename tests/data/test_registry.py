"""Names, paths, and options that do not belong to them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from calmix.data import DATASETS, load
from calmix.data.table.files import TYPES
from calmix.errors import CalmixError, DataError, SettingError, UnknownNameError


def test_the_names():
    assert list(DATASETS) == [
        "digits",
        "breast_cancer",
        "wine",
        "diabetes",
        "two_moons",
        "circles",
        "fashion_mnist",
        "cifar10",
        "exchange_rate",
        "exchange_rate_max",
        "etth1",
        "electricity",
    ]
    for name, make in DATASETS.items():
        line = (make.__doc__ or "").partition("\n")[0]
        assert make.__name__ == name
        assert line.endswith((").", "."))
        assert line[0].isdigit()  # how many rows


@pytest.mark.parametrize(
    ("name", "sizes", "features", "classes"),
    [
        ("breast_cancer", [341, 57, 57, 114], 30, ("malignant", "benign")),
        ("wine", [107, 18, 18, 35], 13, ("class_0", "class_1", "class_2")),
        ("diabetes", [265, 44, 44, 89], 10, ()),
    ],
)
def test_embedded_tables(name, sizes, features, classes):
    splits = load(name)
    assert [len(s) for s in (splits.train, splits.validation, splits.calibration, splits.test)] == sizes
    assert splits.train.x.shape == (sizes[0], features)
    assert (splits.about.name, splits.about.kind, splits.about.classes) == (name, "table", classes)
    assert splits.about.notices == ()
    torch.testing.assert_close(splits.train.x.mean(0), torch.zeros(features), atol=1e-5, rtol=0)
    assert torch.equal(load(name).test.x, splits.test.x)
    assert not torch.equal(load(name, seed=1).test.x, splits.test.x)


def test_the_train_size_leaves_the_other_splits_alone():
    whole, cut = load("digits"), load("digits", train_size=50)
    assert len(cut.train) == 50
    assert torch.equal(whole.test.x, cut.test.x)
    assert torch.equal(whole.calibration.y, cut.calibration.y)


def test_two_classes_are_binary_on_request():
    assert load("breast_cancer").about.task == "classification"
    assert load("breast_cancer", task="binary").about.task == "binary"


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        ("digit", {}, UnknownNameError, "unknown data set 'digit'; did you mean 'digits'?"),
        (
            "zzzz",
            {},
            UnknownNameError,
            "unknown data set 'zzzz'; known: digits, breast_cancer, wine, diabetes, two_moons, circles, "
            "fashion_mnist, cifar10, exchange_rate, exchange_rate_max, etth1, electricity, path/to/table.csv.",
        ),
        (
            "no/such",
            {},
            DataError,
            f"file not found: no/such; give the path of a {TYPES}.",
        ),
        (
            "nosuch.csv",
            {"target": "y"},
            DataError,
            f"file not found: nosuch.csv; give the path of a {TYPES}.",
        ),
        (
            "wine",
            {"target": "y"},
            SettingError,
            "target is for tables, tables of series and shards of images, and wine is one of the data sets with a "
            "name: leave it out.",
        ),
        (
            "wine",
            {"keep": ("y",)},
            SettingError,
            "keep is for tables, and wine is one of the data sets with a name: leave it out.",
        ),
        (
            "wine",
            {"data_dir": Path("x")},
            SettingError,
            "data_dir was given, but wine is embedded and reads no folder: leave it out.",
        ),
        (
            "a.csv",
            {"data_dir": Path("x")},
            SettingError,
            "data_dir is for data sets with a name, and a.csv holds tables: leave it out.",
        ),
        ("wine", {"task": "binery"}, UnknownNameError, "unknown task 'binery'; did you mean 'binary'?"),
        (
            "wine",
            {"task": "binary"},
            DataError,
            "task 'binary' was asked for, but wine is classification with 3 classes; leave the task out.",
        ),
        (
            "diabetes",
            {"task": "classification"},
            DataError,
            "task 'classification' was asked for, but diabetes is regression; leave the task out.",
        ),
        ("wine", {"train_size": 0}, SettingError, "train_size is 0; give 1 or more."),
        (
            "wine",
            {"train_size": 108},
            DataError,
            "train_size is 108, but there are 107 rows to train on; give at most that.",
        ),
    ],
)
def test_a_bad_call_earns_a_sentence(data, options, error, message):
    with pytest.raises(CalmixError) as raised:
        load(data, **options)
    assert type(raised.value) is error
    assert str(raised.value) == message


def test_importing_the_layer_leaves_the_heavy_libraries_alone():
    code = "import sys, calmix.data; sys.exit(any(m in sys.modules for m in ('pandas', 'sklearn', 'pyarrow', 'PIL')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
