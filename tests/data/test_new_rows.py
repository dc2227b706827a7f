"""New rows are encoded as the training rows were: by plain numbers and texts that a file can hold."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calmix.data import Splits
from calmix.data.splits import draw_parts
from calmix.data.table.encoding import OneHot
from calmix.data.table.format import DETECTED
from calmix.data.table.frames import table_splits
from calmix.data.table.new_rows import TableEncoding
from calmix.errors import DataError
from calmix.reading import typed

N = 240
RNG = np.random.default_rng(5)
MOMENTS = pd.Series(pd.date_range("2021-03-05 06:00", periods=N, freq="31h"))


def frame_of_all_kinds() -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "number": np.where(RNG.random(N) < 0.1, np.nan, RNG.normal(size=N)),
            "weight": [f"{x:.1f} kg" for x in RNG.normal(70, 9, N)],
            "at": MOMENTS,
            "day": MOMENTS.dt.strftime("%d/%m/%Y"),
            "city": np.array(["Oslo", "Lima", None], object)[RNG.integers(0, 3, N)],
            "flag": RNG.random(N) < 0.5,
            "mixed": np.array(["A", "1", "2"])[RNG.integers(0, 3, N)],
            "tail": [f"N{i}" for i in RNG.integers(0, 60, N)],
            "y": np.array(["no", "yes"])[RNG.integers(0, 2, N)],
        }
    )
    frame.loc[3:9, "tail"] = None
    return frame


FRAME = frame_of_all_kinds()


def splits_of(frame: pd.DataFrame, **options) -> Splits:
    return table_splits(frame, "y", name="t", source="s", **options)


SPLITS = splits_of(FRAME)


def encoding(splits: Splits = SPLITS) -> TableEncoding:
    assert isinstance(splits.encoding, TableEncoding)
    return splits.encoding


def features(rows: Any, of: TableEncoding | None = None) -> np.ndarray:
    return (of or encoding())(rows).x[:].numpy()


def test_the_rows_of_the_splits_are_encoded_as_they_were():
    x, notices = features(FRAME), encoding()(FRAME).notices
    _, *parts = draw_parts((FRAME.y == "yes").to_numpy(int), N, 0)
    for rows, split in zip(parts, (SPLITS.validation, SPLITS.calibration, SPLITS.test), strict=True):
        np.testing.assert_array_equal(x[rows], split.x.numpy())
    assert x.shape[1] == len(SPLITS.about.features)
    assert not notices or all("no training row had" in notice for notice in notices)


def test_training_rows_are_too_where_no_feature_is_made_of_labels():
    frame = FRAME.drop(columns="tail")
    splits = splits_of(frame)
    train, *_ = draw_parts((frame.y == "yes").to_numpy(int), N, 0)
    np.testing.assert_array_equal(features(frame, encoding(splits))[train], splits.train.x.numpy())


def test_a_row_alone_is_encoded_as_among_others():
    whole = features(FRAME)
    for i in range(0, N, 7):
        alone = features(FRAME.iloc[[i]])
        np.testing.assert_array_equal(alone[0], whole[i])


def test_a_row_from_a_file_of_its_own_is_the_same(tmp_path: Path):
    """A file of one row shows less than a whole one: 1 is a number there, and 3/4/2021 could be in March."""
    whole = features(FRAME)
    for i in (0, 5, 40, 41, 77):
        path = tmp_path / f"{i}.csv"
        FRAME.drop(columns="y").iloc[[i]].to_csv(path, index=False)
        alone = encoding().read(path, DETECTED).x[:].numpy()
        np.testing.assert_allclose(alone[0], whole[i], atol=1e-6)


def test_what_was_learnt_survives_json():
    back = typed(TableEncoding, json.loads(json.dumps(asdict(encoding()))))
    assert back == encoding()
    assert [type(encoder).__name__ for encoder in back.encoders] == [
        type(encoder).__name__ for encoder in encoding().encoders
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=5), min_size=3, max_size=6, unique_by=lambda text: text.strip().lower()))
def test_levels_of_any_letters_survive_json(levels: list[str]):
    cells = [*levels, *(f"word {name}" for name in "abc")] * 6
    frame = pd.DataFrame({"c": cells, "n": np.arange(len(cells)) * 0.5, "y": np.arange(len(cells)) % 2})
    try:
        splits = splits_of(frame, task="classification")
    except DataError:
        return  # such as markers of missing cells
    back = typed(TableEncoding, json.loads(json.dumps(asdict(encoding(splits)))))
    np.testing.assert_array_equal(features(frame, back), features(frame, encoding(splits)))


def test_columns_in_another_order_and_further_ones_change_nothing():
    other = FRAME[[*reversed(FRAME.columns)]].assign(more=1)
    np.testing.assert_array_equal(features(other), features(FRAME))


def test_a_level_that_no_training_row_had_is_said_and_is_unknown():
    rows = encoding()(FRAME.drop(columns="tail").assign(tail="N1", city="Paris"))
    x, [notice] = rows.x[:].numpy(), rows.notices
    assert "column 'city': 240 of 240 rows have values that no training row had" in notice
    assert "'Paris'" in notice
    places = [place for place, name in enumerate(SPLITS.about.features) if name.startswith("city_")]
    assert len(places) == 2
    assert not x[:, places].any()


def test_missing_cells_everywhere_are_the_median_and_the_most_frequent_level():
    rows = encoding()(pd.DataFrame({name: [None] for name in encoding().columns}))
    x = rows.x[:].numpy()
    assert not rows.notices
    assert rows.truth is None
    assert np.isfinite(x).all()
    train, *_ = draw_parts((FRAME.y == "yes").to_numpy(int), N, 0)
    known = FRAME.number.iloc[train]
    filled = known.fillna(known.median())
    expected = (known.median() - filled.mean()) / filled.std(ddof=0)
    assert x[0, SPLITS.about.features.index("number")] == pytest.approx(expected, rel=1e-5)
    frequent = FRAME.city.iloc[train].mode()[0]
    assert x[0, SPLITS.about.features.index(f"city_{frequent}")] == 1


@pytest.mark.parametrize(
    ("column", "cell", "expected"),
    [
        ("number", "tall", "column 'number' held numbers in training, and holds 'tall' here; give numbers"),
        ("at", "noon", "column 'at' held dates in training, and holds 'noon' here; give dates"),
        ("number", 1e300, "infinite or beyond float32"),
    ],
)
def test_other_things_than_in_training_are_refused(column: str, cell: object, expected: str):
    with pytest.raises(DataError, match=expected):
        encoding()(FRAME.drop(columns=column).assign(**{column: cell}))


def test_missing_columns_are_named():
    with pytest.raises(DataError, match="lacks columns that the network was trained on: 'at', 'city'; add them"):
        encoding()(FRAME.drop(columns=["at", "city"]))


def test_classes_that_are_whole_numbers_are_called_so_where_some_are_missing():
    frame = FRAME.assign(y=np.arange(N) % 2)
    missing = frame.assign(y=frame.y.astype(float).where(frame.index != 3))
    truth = encoding(splits_of(frame, task="classification"))(missing).truth
    assert truth is not None
    assert truth[:5].tolist() == ["0", "1", "0", None, "0"]


def test_an_unknown_level_is_nothing_or_other_and_a_missing_one_the_most_frequent():
    cells = np.array(["a", "b", "c", None], object)
    assert OneHot("c", ("a", "b"), "b")(cells).tolist() == [[1, 0], [0, 1], [0, 0], [0, 1]]
    assert OneHot("c", ("a", "b"), "b", others=True)(cells).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]]


def test_the_truth_is_read_as_the_target_was():
    assert encoding()(FRAME).truth.tolist() == FRAME.y.tolist()  # pyright: ignore[reportOptionalMemberAccess]
    numbers = splits_of(FRAME.assign(y=np.arange(N) + 0.5))
    texts = FRAME.assign(y=["1250.5", "n/a", *["7"] * (N - 2)])
    truth = encoding(numbers)(texts).truth
    assert truth is not None
    np.testing.assert_array_equal(truth, [1250.5, np.nan, *[7.0] * (N - 2)])
