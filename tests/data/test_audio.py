"""Folders of recordings become splits: labels by folders or tables, one rate, one length, and new recordings alike."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from calmix.cli import main
from calmix.data import Splits, load, read_source
from calmix.data.audio import AudioEncoding, AudioFolder, Recordings, fitted, header_of, sound_of
from calmix.data.labelled_files import only_listed
from calmix.data.splits import Fold
from calmix.data.table.format import DETECTED, TableFormat
from calmix.errors import DataError, SettingError

soundfile = pytest.importorskip("soundfile")

RATE = 8000
RNG = np.random.default_rng(0)


def noise(seconds: float = 0.3, rate: int = RATE) -> np.ndarray:
    return 0.1 * RNG.normal(size=round(seconds * rate)).astype(np.float32)


def write(path: Path, sound: np.ndarray | None = None, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, noise() if sound is None else sound, rate)
    return path


def folder_of(path: Path, names: Sequence[str]) -> Path:
    for name in names:
        write(path / name)
    return path


def listing(path: Path, rows: Sequence[Sequence[str]], columns: Sequence[str] = ("file", "label")) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


CLASSES = [f"{word}/{k}.wav" for word in ("no", "yes") for k in range(10)]
FLAT = [f"{k % 2}_{'ab'[k // 10]}_{k}.wav" for k in range(20)]


def encoding_of(splits: Splits) -> AudioEncoding:
    assert isinstance(splits.encoding, AudioEncoding)
    return splits.encoding


# ------------------------------------------------------------------------------------------------------------- labels


def test_folders_are_classes(tmp_path: Path):
    splits = load(str(folder_of(tmp_path / "words", CLASSES)))
    about = splits.about
    assert (about.name, about.kind, about.task, about.classes) == ("words", "audio", "classification", ("no", "yes"))
    assert splits.train.shape == (1, 40, 31)  # of 0.3 seconds
    assert [len(getattr(splits, part)) for part in ("train", "validation", "calibration", "test")] == [12, 2, 2, 4]
    assert splits.train.x.mean().abs() < 1e-5
    assert splits.train.x.std() == pytest.approx(1, abs=0.01)
    assert about.digest


def test_parts_are_given_by_folders_above_the_classes(tmp_path: Path):
    names = [f"{part}/{name}" for part in ("train", "val", "test") for name in CLASSES]
    first, second = (load(str(folder_of(tmp_path, names)), seed=seed) for seed in (0, 1))
    assert (len(first.test), len(first.validation), len(first.train), len(first.calibration)) == (20, 20, 17, 3)
    assert first.given is not None
    # by name: 20 of test, 20 of train, 20 of val
    assert first.given.tested.tolist() == list(range(1, 21))
    assert torch.equal(first.test.y, second.test.y)
    assert not torch.equal(first.train.y, second.train.y)
    assert not AudioFolder(tmp_path).foldable
    with pytest.raises(SettingError, match="has a test split of its own"):
        AudioFolder(tmp_path).splits(Fold(0, 5))


def test_folders_are_called_as_those_of_images_are(tmp_path: Path):
    """Parts by their other names; and a class in the letters that a Mac writes in two signs."""
    names = [
        f"{part}/{name}/{k}.wav" for part in ("train", "dev", "testing") for name in ("n\u00f6", "jo") for k in range(6)
    ]
    names += ["train/no\u0308/7.wav"]
    splits = load(str(folder_of(tmp_path, names)))
    assert splits.about.classes == ("jo", "n\u00f6")
    assert (len(splits.test), len(splits.validation)) == (12, 12)
    rows = encoding_of(splits).read(tmp_path / "train", DETECTED)
    assert rows.truth is not None
    assert rows.truth.tolist().count("n\u00f6") == 7


def test_a_class_may_be_called_test(tmp_path: Path):
    names = [f"{word}/{k}.wav" for word in ("test", "rest") for k in range(8)]
    assert load(str(folder_of(tmp_path, names))).about.classes == ("rest", "test")


def test_files_without_a_folder_need_a_table(tmp_path: Path):
    folder = folder_of(tmp_path / "flat", FLAT)
    with pytest.raises(DataError, match=r"20 of 20 files, such as '0_a_0\.wav', lie in no folder of a class"):
        load(str(folder))
    table = listing(tmp_path / "l.csv", [(name, name[0]) for name in FLAT])
    splits = read_source(str(folder), labels=table).splits(0)
    assert splits.about.classes == ("0", "1")
    assert splits.given is not None
    assert splits.given.note == "Lines are those of l.csv, counted from 1."
    for row, label in zip(splits.given.tested, splits.test.y.tolist(), strict=True):
        assert label == int(FLAT[row - 2][0])  # line 2 is the first file
    expected = sound_of(folder / FLAT[splits.given.tested[0] - 2], RATE)
    encoding = encoding_of(splits)
    assert torch.equal(encoding(expected[None].numpy()).x[:], splits.test.x[:1])


def test_splits_and_groups_of_a_table(tmp_path: Path):
    folder = folder_of(tmp_path / "flat", FLAT)
    parts = [(name, name[0], "test" if k >= 14 else "train" if k % 3 else "") for k, name in enumerate(FLAT)]
    table = listing(tmp_path / "parts.csv", parts, ("file", "label", "split"))
    splits = read_source(str(folder), labels=table).splits(3)
    assert splits.given is not None
    assert splits.given.tested.tolist() == list(range(16, 22))
    groups = [(name, name[0], str(k // 2 % 5)) for k, name in enumerate(FLAT)]
    table = listing(tmp_path / "groups.csv", groups, ("file", "label", "group"))
    for seed in range(5):
        splits = read_source(str(folder), labels=table).splits(seed)
        assert splits.given is not None
        tested = {groups[row - 2][2] for row in splits.given.tested}
        assert len(splits.test) == 4 * len(tested)  # whole groups of four
        assert any("all rows of a group stand in one split" in notice for notice in splits.about.notices)


def test_groups_are_whole_in_folds(tmp_path: Path):
    folder = folder_of(tmp_path / "flat", FLAT)
    groups = {name: str(k // 2 % 5) for k, name in enumerate(FLAT)}
    rows = [(name, name[0], group) for name, group in groups.items()]
    source = AudioFolder(folder, listing(tmp_path / "groups.csv", rows, ("file", "label", "group")))
    assert source.foldable
    tested = [source.splits(Fold(k, 5)).given for k in range(5)]
    seen = [{rows[row - 2][2] for row in given.tested} for given in tested if given is not None]
    assert sorted(group for groups in seen for group in groups) == ["0", "1", "2", "3", "4"]


def test_numbers_are_regressed(tmp_path: Path):
    folder = folder_of(tmp_path / "flat", FLAT)
    table = listing(tmp_path / "l.csv", [(name, f"{k + 0.5}") for k, name in enumerate(FLAT)])
    splits = read_source(str(folder), labels=table).splits(0)
    assert splits.about.task == "regression"
    assert splits.train.y.shape == (12, 1)
    assert encoding_of(splits).classes == ()


WRONG_TABLES = {
    "no file column": ([("a", "0")], ("name", "label"), "lacks the column file"),
    "no label column": ([(name, "0") for name in FLAT], ("file", "kind"), "lacks the column label"),
    "a missing file": (
        [(FLAT[0], "0"), ("x.wav", "1")],
        ("file", "label"),
        r"lists 1 files that are not in .*'x\.wav'",
    ),
    "a file twice": ([(FLAT[0], "0"), (FLAT[0], "1")], ("file", "label"), "lists '0_a_0.wav' twice"),
    "an empty label": ([(FLAT[0], "a"), (FLAT[1], "")], ("file", "label"), "line 3 has no label"),
    "a split": ([(FLAT[0], "0", "new"), (FLAT[1], "1", "")], ("file", "label", "split"), "line 2 has the split 'new'"),
    "a group in two splits": (
        [(FLAT[0], "0", "test", "x"), (FLAT[1], "1", "", "x")],
        ("file", "label", "split", "group"),
        "groups 'x' stand in the test split and in another",
    ),
}


@pytest.mark.parametrize(("rows", "columns", "advice"), WRONG_TABLES.values(), ids=WRONG_TABLES)
def test_tables_that_list_no_files(rows: list, columns: tuple[str, ...], advice: str, tmp_path: Path):
    folder = folder_of(tmp_path / "flat", FLAT)
    with pytest.raises(DataError, match=advice):
        read_source(str(folder), labels=listing(tmp_path / "l.csv", rows, columns)).splits(0)


def test_files_that_no_table_lists_are_named(tmp_path: Path):
    folder = folder_of(tmp_path / "flat", [*FLAT, "more.flac", ".hidden.wav"])
    table = listing(tmp_path / "l.csv", [(name, name[0]) for name in FLAT])
    notices = read_source(str(folder), labels=table).splits(0).about.notices
    assert any(notice.startswith("1 files of") and "are not in l.csv" in notice for notice in notices)


# ------------------------------------------------------------------------------------------------------------- sounds


def test_a_sound_is_cut_and_filled_around_its_middle():
    sound = torch.arange(1.0, 7)
    assert fitted(sound, 9).tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 0]
    assert fitted(sound, 3).tolist() == [3, 4, 5] or fitted(sound, 3).tolist() == [2, 3, 4]
    assert torch.equal(fitted(sound, 6), sound)
    assert torch.equal(fitted(fitted(sound, 10), 6), sound)


def test_channels_are_averaged_and_formats_agree(tmp_path: Path):
    left, right = (np.round(noise() * 2**15) / 2**15 for _ in range(2))
    stereo = write(tmp_path / "s.wav", np.stack([left, right], 1))
    np.testing.assert_allclose(sound_of(stereo, RATE), (left + right) / 2, atol=1e-4)
    flac = write(tmp_path / "s.flac", np.stack([left, right], 1))
    assert torch.equal(sound_of(stereo, RATE), sound_of(flac, RATE))
    assert (header_of(flac).channels, header_of(flac).samples) == (2, 2400)


def test_a_tone_is_the_same_tone_at_another_rate(tmp_path: Path):
    def tone(rate: int) -> np.ndarray:
        return np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)

    path = write(tmp_path / "t.wav", tone(22050), 22050)
    sound = sound_of(path, RATE)
    assert len(sound) == RATE
    np.testing.assert_allclose(sound[500:-500], tone(RATE)[500:-500], atol=2e-3)


def test_most_files_say_the_rate(tmp_path: Path):
    folder = folder_of(tmp_path, CLASSES)
    for k in range(3):
        write(folder / "yes" / f"other{k}.wav", noise(rate=16_000), 16_000)
    splits = load(str(folder))
    assert encoding_of(splits).features.rate == RATE
    assert any("2 sampling rates (8,000 Hz 20, 16,000 Hz 3)" in notice for notice in splits.about.notices)


@pytest.mark.parametrize(("higher", "rate"), [(9, 8000), (10, 8000), (11, 16_000)])
def test_of_two_rates_the_more_frequent_is_heard_and_of_equals_the_lower(higher: int, rate: int, tmp_path: Path):
    for k in range(20):
        own = 16_000 if k < higher else 8000
        write(tmp_path / ("no", "yes")[k % 2] / f"{k}.wav", noise(rate=own), own)
    features = encoding_of(load(str(tmp_path))).features
    assert (features.rate, features.bands) == (rate, 64 if rate == 16_000 else 40)


def test_the_length_is_that_of_most(tmp_path: Path):
    folder = folder_of(tmp_path, CLASSES)
    write(folder / "yes" / "9.wav", noise(2.0))  # one of twenty
    splits = load(str(folder))
    assert encoding_of(splits).features.seconds == pytest.approx(0.4)  # interpolated between 0.3 and 2, rounded up
    assert any("1 are cut and 19 filled with zeros" in notice for notice in splits.about.notices)
    own = read_source(str(folder), seconds=1.0).splits(0)
    assert own.train.shape == (1, 40, 101)
    for k in range(10):
        write(folder / "yes" / f"{k}.wav", noise(12.0))
    assert encoding_of(AudioFolder(folder, train_size=11).splits(0)).features.seconds in (10.0, 0.4)


def test_recordings_of_one_length_are_neither_cut_nor_filled(tmp_path: Path):
    for name in CLASSES:
        write(tmp_path / name, noise(1.1))
    splits = load(str(tmp_path))
    assert encoding_of(splits).features.seconds == 1.1
    assert any(" seconds: 0 are cut and 0 filled with zeros" in notice for notice in splits.about.notices)


def test_spectrograms_that_memory_may_not_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, size = folder_of(tmp_path, CLASSES), 4 * 20 * 40 * 31  # bytes
    monkeypatch.setattr("calmix.data.audio.IN_MEMORY", size - 1)
    with pytest.raises(DataError, match=r"20 recordings of 0\.3 seconds take .* GB as spectrograms"):
        AudioFolder(folder).splits(0)
    monkeypatch.setattr("calmix.data.audio.IN_MEMORY", size)
    assert AudioFolder(folder).splits(1).train.shape == (1, 40, 31)


def test_bad_files_are_named_and_silent_ones_told(tmp_path: Path):
    folder = folder_of(tmp_path / "words", CLASSES)
    write(folder / "yes" / "quiet.wav", np.zeros(2400, np.float32))
    assert any("1 recordings are silent" in said and "quiet.wav" in said for said in load(str(folder)).about.notices)
    other = folder_of(tmp_path / "others", CLASSES)
    (other / "no" / "3.wav").write_bytes(b"RIFF, but no sound")
    write(other / "yes" / "4.wav", np.zeros(0, np.float32))
    with pytest.raises(DataError, match=r"(?s)no/3\.wav cannot be read.*yes/4\.wav holds no samples"):
        load(str(other))
    third = folder_of(tmp_path / "third", CLASSES)
    soundfile.write(third / "no" / "1.wav", np.full(2400, np.nan, np.float32), RATE, subtype="FLOAT")
    with pytest.raises(DataError, match=r"no/1\.wav holds NaN"):
        load(str(third))


def test_options_of_others_are_refused(tmp_path: Path):
    folder = str(folder_of(tmp_path, CLASSES))
    with pytest.raises(SettingError, match=r"target is for tables.*holds audio files: leave it out"):
        read_source(folder, target="x")
    with pytest.raises(SettingError, match="seconds is for audio files"):
        read_source("own.csv", target="y", seconds=1.0)
    with pytest.raises(
        SettingError, match="seconds is for audio files, and digits is one of the data sets with a name"
    ):
        read_source("digits", seconds=1.0)
    with pytest.raises(SettingError, match=r"seconds must lie between 0\.05 and 600"):
        read_source(folder, seconds=0.01).splits(0)


def test_the_text_of_a_source_tells_its_options():
    assert repr(AudioFolder(Path("a"))) == "AudioFolder(path=PosixPath('a'))"
    assert repr(AudioFolder(Path("a"), seconds=2.0)) == "AudioFolder(path=PosixPath('a'), seconds=2.0)"


# ----------------------------------------------------------------------------------------------------- new recordings


def test_new_recordings_are_heard_as_those_of_training(tmp_path: Path):
    folder = folder_of(tmp_path / "words", CLASSES)
    splits = load(str(folder))
    encoding = encoding_of(splits)
    rows = encoding.read(folder, DETECTED)
    assert splits.given is not None
    tested = torch.from_numpy(splits.given.tested) - 1
    assert isinstance(rows.x, Recordings)
    assert torch.equal(rows.x[tested], splits.test.x)
    assert torch.equal(rows.x.part(tested)[:], splits.test.x)
    assert rows.names["file"] == sorted(CLASSES)
    assert rows.truth is not None
    assert rows.truth.tolist() == [name.split("/")[0] for name in sorted(CLASSES)]
    one = encoding(folder / "yes" / "3.wav")
    assert torch.equal(one.x[:][0], rows.x[sorted(CLASSES).index("yes/3.wav")])
    assert one.truth is None
    listed = encoding([folder / "yes" / "3.wav", str(folder / "no" / "1.wav")])
    assert torch.equal(listed.x[:1], one.x[:])
    encoding.check(splits.train.shape)
    with pytest.raises(ValueError, match="does not fit the network"):
        encoding.check((1, 40, 32))


def test_new_recordings_that_are_none(tmp_path: Path):
    folder = folder_of(tmp_path / "words", CLASSES)
    encoding = encoding_of(load(str(folder)))
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    (tmp_path / "empty").mkdir()
    for path, advice in (("bad.wav", "cannot be read"), ("empty", "holds no recordings")):
        with pytest.raises(DataError, match=advice):
            encoding.read(tmp_path / path, DETECTED)
    with pytest.raises(SettingError, match="is for tables"):
        encoding.read(folder, TableFormat(sep=";"))
    for rows in (np.zeros((2, 3), int), np.zeros(5), np.full((1, 9), np.nan)):
        with pytest.raises(DataError, match="finite floating numbers"):
            encoding(rows)


def test_other_rates_are_resampled_and_told(tmp_path: Path):
    encoding = encoding_of(load(str(folder_of(tmp_path / "words", CLASSES))))
    write(tmp_path / "new" / "a.wav", noise(rate=16_000), 16_000)
    rows = encoding.read(tmp_path / "new", DETECTED)
    assert rows.notices == ["1 recordings have other rates, and are resampled to 8,000 Hz."]
    assert rows.x[:].shape == (1, 1, 40, 31)
    assert rows.truth is None


def test_of_a_folder_with_parts_the_test_part_is_predicted(tmp_path: Path):
    folder = folder_of(tmp_path / "new", [f"{part}/{name}" for part in ("train", "val", "test") for name in CLASSES])
    encoding = encoding_of(load(str(folder)))
    rows = encoding.read(folder, DETECTED).tested("new")
    assert rows.names["file"] == sorted(f"test/{name}" for name in CLASSES)
    assert rows.truth is not None
    assert rows.truth.tolist() == ["no"] * 10 + ["yes"] * 10
    assert rows.notices == ("the test part of new is predicted, 20 of 60 rows, and no other.",)
    assert torch.equal(rows.x[:3], encoding([folder / name for name in rows.names["file"][:3]]).x[:])
    table = listing(
        tmp_path / "l.csv", [("train/no/3.wav", "no"), ("val/yes/1.wav", "yes")]
    )  # a table says it otherwise
    assert only_listed(encoding.read(folder, DETECTED), table, False).names["file"] == [
        "train/no/3.wav",
        "val/yes/1.wav",
    ]


def test_a_table_chooses_and_labels_what_is_predicted(tmp_path: Path):
    folder = folder_of(tmp_path / "flat", FLAT)
    rows = [(name, name[2], "test" if k >= 6 else "train") for k, name in enumerate(FLAT)]
    table = listing(tmp_path / "l.csv", [*rows[4:], *rows[:4]], ("file", "label", "split"))
    encoding = encoding_of(read_source(str(folder), labels=table).splits(0))
    new = only_listed(encoding.read(folder, DETECTED), table, regression=False)
    assert new.names["file"] == FLAT[6:]
    assert new.truth is not None
    assert new.truth.tolist() == [name[2] for name in FLAT[6:]]
    assert torch.equal(new.x[:1], encoding(folder / FLAT[6]).x[:])
    listing(table, [("x.wav", "0")])
    with pytest.raises(DataError, match=r"not among those to predict: 'x\.wav'"):
        only_listed(encoding.read(folder, DETECTED), table, regression=False)


@pytest.mark.timeout(600)
def test_from_the_command_to_the_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Two tones, told apart by every network."""
    monkeypatch.chdir(tmp_path)
    for k in range(60):
        hertz, start = (500, 1500)[k % 2], RNG.uniform(0, 1)
        sound = 0.3 * np.sin(2 * np.pi * (hertz * np.arange(800) / RATE + start)) + noise(0.1)
        write(tmp_path / "tones" / ("low", "high")[k % 2] / f"{k}.wav", sound.astype(np.float32))
    main(["train", "tones", "--method", "erm", "--epochs", "8", "--out", "net", "--quiet"])
    main(["predict", "net", "tones", "--out", "said.csv"])
    main(["evaluate", "said.csv", "--out", "judged", "--quiet"])
    with (tmp_path / "said.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert np.mean([row["answer"] == row["label"] == row["file"].split("/")[0] for row in rows]) > 0.95
    assert (tmp_path / "judged" / "report.html").exists()
    for arguments in ("compare tones --target x", "train tones --sep ;", "compare missing.csv --target y --seconds 1"):
        with pytest.raises(SystemExit):
            main(arguments.split())
        assert "leave it out" in capsys.readouterr().err


def test_a_recording_in_another_folder_makes_other_data(tmp_path: Path):
    """The last one of no becomes the first one of yes, so that their order and names stay."""
    source = AudioFolder(folder_of(tmp_path / "words", [name.replace("yes/", "yes/a") for name in CLASSES]))
    before = source.splits(0)
    (tmp_path / "words" / "no" / "9.wav").rename(tmp_path / "words" / "yes" / "9.wav")
    after = source.splits(0)
    assert before.about.digest != after.about.digest
    rows = [(splits.train, splits.validation, splits.calibration, splits.test) for splits in (before, after)]
    assert [sum(int(part.y.sum()) for part in parts) for parts in rows] == [10, 11]
