"""Series of one's own become splits: .ts files, and long tables."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from calmix.cli import main
from calmix.data import Splits, load, read_source
from calmix.data.series_files import SeriesEncoding, SeriesFile, SeriesTable, alike
from calmix.data.series_text import read_ts
from calmix.data.table.format import DETECTED, TableFormat
from calmix.errors import DataError, SettingError, UnknownNameError
from calmix.reading import typed

RNG = np.random.default_rng(0)
N, T = 40, 6
VALUES = RNG.normal(size=(N, T, 2)).round(3) + np.arange(T)[:, None]
KINDS = np.array(["up", "down"])[np.arange(N) % 2]


def ts_text(values: list[np.ndarray], labels: list[str], head: str = "@classLabel true up down") -> str:
    lines = [
        ":".join(",".join(map(str, column)) for column in one.T) + f":{label}"
        for one, label in zip(values, labels, strict=True)
    ]
    return "\n".join(["# made here", "@problemName made", "@univariate false", head, "@data", *lines, ""])


def write_ts(path: Path, values: list[np.ndarray] | None = None, labels: list[str] | None = None, **options) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(ts_text(values or [*VALUES], labels or KINDS.tolist(), **options))
    return path


def long_frame() -> pd.DataFrame:
    """Rows in no order."""
    steps = [
        {"who": f"p{n}", "when": t, "a": VALUES[n, t, 0], "b": VALUES[n, t, 1], "kind": KINDS[n]}
        for n in range(N)
        for t in range(T)
    ]
    return pd.DataFrame(steps).sample(frac=1, random_state=0)


def long_source(path: Path, frame: pd.DataFrame, **options) -> SeriesTable:
    frame.to_csv(path, index=False)
    return SeriesTable(path, "kind", "who", "when", **options)


def encoding_of(splits: Splits) -> SeriesEncoding:
    assert isinstance(splits.encoding, SeriesEncoding)
    return splits.encoding


# ---------------------------------------------------------------------------------------------------------- .ts files


def test_a_ts_file_is_its_series(tmp_path: Path):
    read = read_ts(write_ts(tmp_path / "made.ts"))
    np.testing.assert_array_equal(np.stack(read.series), VALUES)
    assert read.labels is not None
    assert read.labels.tolist() == KINDS.tolist()
    assert read.lines.tolist() == list(range(6, 6 + N))
    splits = load(str(tmp_path / "made.ts"), seed=1)
    about = splits.about
    assert (about.name, about.kind, about.classes, splits.train.shape) == ("made", "series", ("down", "up"), (T, 2))
    torch.testing.assert_close(splits.train.x.mean((0, 1)), torch.zeros(2), atol=1e-5, rtol=0)
    assert splits.given is not None
    for line, label in zip(splits.given.tested, splits.test.y.tolist(), strict=True):
        assert about.classes[label] == KINDS[line - 6]
    again = encoding_of(splits)(VALUES[splits.given.tested - 6])
    assert torch.equal(again.x[:], splits.test.x)


def test_a_folder_of_two_files_has_its_test_part(tmp_path: Path):
    write_ts(tmp_path / "A" / "A_TRAIN.ts")
    write_ts(tmp_path / "A" / "A_TEST.ts", [*VALUES[:12]], KINDS[:12].tolist())
    source = read_source(str(tmp_path / "A"))
    splits = source.splits(0)
    assert not source.foldable
    assert len(splits.test) == 12
    assert splits.test.y.tolist() == [splits.about.classes.index(kind) for kind in KINDS[:12]]
    assert len(splits.train) + len(splits.validation) + len(splits.calibration) == N
    assert splits.given is not None
    assert splits.given.tested.tolist() == list(range(6, 18))
    assert (np.diff(splits.given.numbers) > 0).all()  # those of the training file follow
    rows = encoding_of(splits).read(tmp_path / "A", DETECTED)
    assert torch.equal(rows.x[:], splits.test.x)
    assert rows.truth is not None
    assert rows.truth.tolist() == KINDS[:12].tolist()
    (tmp_path / "A" / "A_TEST.ts").unlink()
    with pytest.raises(DataError, match="should hold one file NAME_TRAIN"):
        SeriesFile(tmp_path / "A").splits(0)


def test_numbers_to_regress(tmp_path: Path):
    path = write_ts(tmp_path / "r.ts", labels=[str(k / 2) for k in range(N)], head="@targetLabel true")
    splits = load(str(path))
    assert splits.about.task == "regression"
    assert splits.train.y.shape == (24, 1)


HEAD = "@classLabel true up down\n@data\n"
WRONG = {
    "no data line": ("@classLabel true a\n1,2:a\n", "has no line @data"),
    "no series": (HEAD, "holds no series after @data"),
    "time stamps": (f"@timeStamps true\n{HEAD}(0,1),(1,2):up\n", "has time stamps"),
    "missing values": (f"{HEAD}1,?:up\n", r"line 3 holds missing values \(\?\)"),
    "words": (f"{HEAD}1,b:up\n", "line 3 holds something else than numbers"),
    "NaN": (f"{HEAD}1,2:up\n1,NaN:up\n", "line 4 holds NaN"),
    "an unknown class": (f"{HEAD}1,2:left\n", "line 3 has the class 'left'"),
    "columns of two lengths": (f"{HEAD}1,2:1,2,3:up\n", "line 3 has columns of different lengths"),
    "another number of columns": (f"{HEAD}1,2:1,2:up\n1,2:up\n", "line 4 has 1 columns, and the first 2"),
    "not of equal length": (f"@equalLength true\n{HEAD}1,2:up\n1,2,3:down\n", "and they are not"),
    "no classes": ("@classLabel false\n@data\n1,2\n", "series without classes or targets"),
    "bytes": ("\udcff", "cannot be read"),
}


@pytest.mark.parametrize(("text", "advice"), WRONG.values(), ids=WRONG)
def test_what_is_no_ts_file_is_an_error(text: str, advice: str, tmp_path: Path):
    (tmp_path / "bad.ts").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=advice):
        load(str(tmp_path / "bad.ts"))


def test_lengths_are_made_alike(tmp_path: Path):
    values = [one[: 4 + k % 3] for k, one in enumerate(VALUES)]
    splits = load(str(write_ts(tmp_path / "made.ts", values)))
    assert splits.train.shape == (6, 2)
    assert any(
        "4 to 6 steps become 6 steps: 0 are cut" in notice and "27 begin" in notice for notice in splits.about.notices
    )
    padded = np.concatenate([VALUES[0][[0, 0]], VALUES[0][:4]]).astype(np.float32)
    assert alike([VALUES[0][:4]], 6)[0].tolist() == padded.tolist()
    assert alike([VALUES[0]], 4)[0].tolist() == VALUES[0][2:].astype(np.float32).tolist()
    told = encoding_of(splits)([VALUES[0][:3], VALUES[1]]).notices
    assert told == ["some series are not of 6 steps, as those of training, and are made so."]


def test_options_of_others_are_refused(tmp_path: Path):
    path = str(write_ts(tmp_path / "made.ts"))
    with pytest.raises(SettingError, match=r"series_id is for tables of series, and .* holds series: leave it out"):
        read_source(path, series_id="who")
    with pytest.raises(SettingError, match="target is for tables"):
        read_source(path, target="who")
    with pytest.raises(SettingError, match="is for tables"):
        encoding_of(load(path)).read(Path(path), TableFormat(sep=";"))
    for rows in ([VALUES[0][:, :1]], [VALUES[0, :, 0]], []):
        with pytest.raises(DataError, match="series"):
            encoding_of(load(path))(rows)
    with pytest.raises(DataError, match=r"x: series 1 \(counted from 0\) holds NaN"):
        encoding_of(load(path))([VALUES[0], VALUES[0] * np.nan])


# -------------------------------------------------------------------------------------------------------- long tables


def test_a_long_table_is_the_series_that_it_was_made_of(tmp_path: Path):
    frame = long_frame()
    splits = long_source(tmp_path / "long.csv", frame).splits(0)
    order = [int(name[1:]) for name in dict.fromkeys(frame.who)]
    assert (splits.train.shape, splits.about.classes, splits.about.kind) == ((T, 2), ("down", "up"), "series")
    assert splits.given is not None
    tested = [order[row - 1] for row in splits.given.tested]
    assert torch.equal(encoding_of(splits)(VALUES[tested]).x[:], splits.test.x)
    assert [splits.about.classes[k] for k in splits.test.y] == KINDS[tested].tolist()


def test_dates_order_steps(tmp_path: Path):
    frame = long_frame()
    days = pd.date_range("2026-01-28", periods=T).strftime("%Y-%m-%d")
    dated = frame.assign(when=[days[t] for t in frame.when])
    one, other = (long_source(tmp_path / "l.csv", each).splits(0).test.x for each in (frame, dated))
    assert torch.equal(one, other)
    hours = pd.date_range("2026-03-28 23:30", periods=T, freq="h", tz="UTC").tz_convert("Europe/Berlin")  # 01:30, 03:30
    dated = frame.assign(when=[hour.isoformat() for hour in hours[list(frame.when)]])
    assert torch.equal(one, long_source(tmp_path / "l.csv", dated).splits(0).test.x)
    wrong = frame.assign(when=[f"step {t}" for t in frame.when])
    with pytest.raises(DataError, match="'when' holds neither numbers nor dates"):
        long_source(tmp_path / "l.csv", wrong).splits(0)


def test_new_rows_of_a_long_table(tmp_path: Path):
    splits = long_source(tmp_path / "long.csv", long_frame()).splits(0)
    encoding = encoding_of(splits)
    assert typed(SeriesEncoding, json.loads(json.dumps(asdict(encoding)))) == encoding
    frame = long_frame().sort_values(["who", "when"], key=lambda column: column.astype(str))
    frame.drop(columns="kind").assign(more="x").to_csv(tmp_path / "new.csv", index=False)
    rows = encoding.read(tmp_path / "new.csv", DETECTED)
    names = list(dict.fromkeys(frame.who))
    assert rows.names == {"who": names}
    assert torch.equal(rows.x[:], encoding(VALUES[[int(name[1:]) for name in names]]).x[:])
    assert rows.truth is None
    frame.to_csv(tmp_path / "new.csv", index=False)
    truth = encoding.read(tmp_path / "new.csv", DETECTED).truth
    assert truth is not None
    assert truth.tolist() == [KINDS[int(name[1:])] for name in names]
    encoding.check((T, 2))
    for shape in ((T + 1, 2), (T, 3)):
        with pytest.raises(ValueError, match="does not fit"):
            encoding.check(shape)
    frame.drop(columns="b").to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(DataError, match="lacks the columns 'b'"):
        encoding.read(tmp_path / "new.csv", DETECTED)


def test_long_tables_that_are_none(tmp_path: Path):
    frame, path = long_frame(), tmp_path / "l.csv"
    with pytest.raises(DataError, match="the target 'kind' changes within the series 'p"):
        long_source(path, frame.assign(kind=KINDS[frame.when % 2])).splits(0)
    with pytest.raises(DataError, match=r"lines \d+ and \d+ are of one series and one time"):
        long_source(path, pd.concat([frame, frame.head(1)])).splits(0)
    with pytest.raises(DataError, match="line 2 has no 'a'"):
        long_source(path, frame.assign(a=[np.nan, *frame.a[1:]])).splits(0)
    with pytest.raises(DataError, match="'word' holds other things than numbers; leave it out with --drop"):
        long_source(path, frame.assign(word="x" + frame.who)).splits(0)
    assert long_source(path, frame.assign(word="x"), drop=("word",)).splits(0).train.shape == (T, 2)
    with pytest.raises(UnknownNameError, match="unknown series time column 'wen'; did you mean 'when'"):
        SeriesTable(path, "kind", "who", "wen").splits(0)
    with pytest.raises(SettingError, match="need three columns"):
        read_source(str(path), target="kind", series_id="who")


@pytest.mark.timeout(600)
def test_from_the_command_to_the_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Rising and falling series."""
    monkeypatch.chdir(tmp_path)
    rising = np.where(KINDS == "up", 3.0, -3.0)[:, None, None] * np.arange(T)[:, None] + VALUES
    write_ts(tmp_path / "made.ts", [*rising] * 3, KINDS.tolist() * 3)
    main(["train", "made.ts", "--method", "erm", "--epochs", "8", "--out", "net", "--quiet", "--model", "gru(width=8)"])
    main(["predict", "net", "made.ts", "--out", "said.csv"])
    main(["evaluate", "said.csv", "--out", "judged", "--quiet"])
    said = pd.read_csv(tmp_path / "said.csv")
    assert (said.answer == said.label).mean() > 0.95
    long_frame().to_csv("long.csv", index=False)
    columns = ["--target", "kind", "--series-id", "who", "--series-time", "when"]
    main(["train", "long.csv", *columns, "--epochs", "1", "--out", "long", "--quiet"])
    main(["predict", "long", "long.csv"])
    assert pd.read_csv(tmp_path / "long-predictions.csv").columns[0] == "who"
    capsys.readouterr()
    for arguments, said in (
        (
            ["compare", "long.csv", "--target", "kind", "--series-id", "whom", "--series-time", "when"],
            "did you mean 'who'",
        ),
        (["compare", "long.csv", "--target", "kind", "--series-id", "who"], "need three columns"),
        (["compare", "made.ts", "--series-id", "who"], "series_id is for tables of series"),
        (["compare", "digits", "--series-id", "who"], "digits is one of the data sets with a name: leave"),
    ):
        with pytest.raises(SystemExit):
            main(arguments)
        assert said in capsys.readouterr().err


def test_the_other_file_to_test_on_makes_other_data(tmp_path: Path):
    train, test = write_ts(tmp_path / "A" / "A_TRAIN.ts"), write_ts(tmp_path / "A" / "A_TEST.ts", [*VALUES[::-1]])
    before = SeriesFile(tmp_path / "A").splits(0).about.digest
    train.rename(tmp_path / "kept")
    test.rename(train)
    (tmp_path / "kept").rename(test)
    assert SeriesFile(tmp_path / "A").splits(0).about.digest != before
