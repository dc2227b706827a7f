"""Spoken words: who and what is tested, and archives that are not whole."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from calmix.data import Splits, spoken
from calmix.data.audio import sound_of
from calmix.data.dataset_rows import DatasetRows
from calmix.data.splits import PARTS, SAME_TEST, Joined
from calmix.data.spoken import SpeechCommands, SpokenDigits
from calmix.errors import DataError, SettingError

soundfile = pytest.importorskip("soundfile")

SPEAKERS = ("carl", "anna", "berta")
DIGITS = [f"{digit}_{who}_{take}.wav" for digit in range(3) for who in SPEAKERS for take in range(12)]
WORDS = [f"{word}/{who:08x}_nohash_{k}.wav" for word in ("bed", "cat") for who in range(30) for k in range(2)]
TESTED = [name for name in WORDS if int(name[4:12], 16) < 4]
VALIDATED = [name for name in WORDS if 4 <= int(name[4:12], 16) < 7]


def write(path: Path, rate: int = 8000, seconds: float = 0.2) -> None:
    """A sound of its own: it is told by its name."""
    path.parent.mkdir(exist_ok=True, parents=True)
    draw = np.random.default_rng(sum(map(ord, path.as_posix()[-24:])))
    soundfile.write(path, 0.1 * draw.normal(size=round(seconds * rate)), rate)


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    for name in DIGITS:
        write(tmp_path / "recordings" / name)
    return tmp_path / "recordings"


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    for name in WORDS:
        write(tmp_path / "words" / name, 16_000)
    write(tmp_path / "words" / "_background_noise_" / "pink.wav", 16_000)
    (tmp_path / "words" / "testing_list.txt").write_text("\n".join(TESTED) + "\n")
    (tmp_path / "words" / "validation_list.txt").write_text("\n".join(VALIDATED) + "\n")
    return tmp_path / "words"


def of_test(splits: Splits, files: list[str]) -> list[str]:
    """The files of the test rows."""
    assert splits.given is not None
    return [sorted(files)[number - 1] for number in splits.given.tested]


def sizes(splits: Splits) -> list[int]:
    return [len(getattr(splits, part)) for part in PARTS]


# --------------------------------------------------------------------------------------------------------- the digits


def test_the_official_takes_are_tested_and_the_others_drawn(digits: Path):
    first, second = (SpokenDigits(digits).splits(seed) for seed in (0, 1))
    names = of_test(first, DIGITS)
    assert set(names) == {name for name in DIGITS if int(name.split("_")[2][:-4]) < 5}
    assert [int(name[0]) for name in names] == first.test.y.tolist()
    assert sizes(first) == [47, 8, 8, 45]
    assert max(Counter(first.train.y.tolist()).values()) - min(Counter(first.train.y.tolist()).values()) <= 1
    assert torch.equal(first.test.y, second.test.y)
    assert not torch.equal(first.train.y, second.train.y)
    assert (first.about.name, first.about.classes, first.about.folds) == ("fsdd", ("0", "1", "2"), 0)
    assert SAME_TEST in first.about.notices


def test_a_row_is_the_recording_of_its_name(digits: Path):
    splits = SpokenDigits(digits).splits(0)
    assert splits.encoding is not None
    for row in (0, 7):
        heard = splits.encoding(sound_of(digits / of_test(splits, DIGITS)[row], 8000)[None].numpy())
        assert torch.allclose(heard.x[:][0], splits.test.x[row], atol=1e-5)


def test_each_seed_leaves_one_speaker_out_in_the_order_of_their_names(digits: Path):
    source = SpokenDigits(digits, by_speaker=True)
    for seed, who in enumerate([*sorted(SPEAKERS), *sorted(SPEAKERS)]):
        splits = source.splits(seed)
        assert {name.split("_")[1] for name in of_test(splits, DIGITS)} == {who}
        assert sizes(splits) == [54, 9, 9, 36]
        assert splits.about.folds == 3
        assert SAME_TEST not in splits.about.notices
        assert any("one of 3 speakers (anna, berta, carl)" in notice for notice in splits.about.notices)
    assert not torch.equal(source.splits(0).train.y, source.splits(3).train.y)
    assert sizes(source.splits(Joined(0))) == [63, 0, 9, 36]


def test_fewer_rows_to_train_on_leave_the_test_rows(digits: Path):
    whole, cut = SpokenDigits(digits), SpokenDigits(digits, train_size=6)
    assert len(cut.splits(0).train) == 6
    assert torch.equal(cut.splits(0).test.y, whole.splits(0).test.y)
    assert cut.whole() == whole
    assert repr(cut) == f"SpokenDigits(path={digits!r}, train_size=6)"


def test_archives_of_digits_that_are_not_whole(digits: Path, tmp_path: Path):
    (digits / "1_anna_3.wav").unlink()
    with pytest.raises(DataError, match=r"lacks '1_anna_3\.wav'; get the archive anew"):
        SpokenDigits(digits).splits(0)
    write(digits / "one.wav")
    with pytest.raises(DataError, match=re.escape("holds 'one.wav', and expected are files {digit}_{speaker}_{take}")):
        SpokenDigits(digits).splits(0)
    with pytest.raises(DataError, match="holds no recordings, and expected"):
        SpokenDigits(tmp_path / "empty").splits(0)
    write(tmp_path / "one" / "0_anna_0.wav")
    write(tmp_path / "one" / "1_anna_0.wav")
    with pytest.raises(DataError, match="holds one speaker, 'anna'"):
        SpokenDigits(tmp_path / "one", by_speaker=True).splits(0)


def test_a_recording_that_is_cut_short_is_named(digits: Path):
    file = digits / "2_carl_11.wav"
    whole = file.read_bytes()
    assert len(whole) == 44 + 2 * 1600
    for length in (1000, len(whole) - 2):
        file.write_bytes(whole[:length])
        said = rf"2_carl_11\.wav is cut short: it says that it has 3,244 bytes, and has {length:,}; get the file anew"
        with pytest.raises(DataError, match=said):
            SpokenDigits(digits).splits(0)
    file.write_bytes(b"\0" * 3244)
    with pytest.raises(DataError, match=r"2_carl_11\.wav cannot be read"):
        SpokenDigits(digits).splits(0)
    file.write_bytes(whole[:4] + b"\xff\xff\xff\xff" + whole[8:])  # as programs write to a pipe
    assert sizes(SpokenDigits(digits).splits(0)) == [47, 8, 8, 45]


# --------------------------------------------------------------------------------------------------- speech commands


def test_the_official_lists_and_whole_speakers_to_calibrate_on(commands: Path):
    splits = SpeechCommands(commands).splits(0)
    assert set(of_test(splits, WORDS)) == set(TESTED)
    assert sizes(splits)[1::2] == [len(VALIDATED), len(TESTED)]
    train, _, calibration, _ = sizes(splits)
    assert train + calibration == len(WORDS) - len(TESTED) - len(VALIDATED)
    assert calibration % 4 == 0  # all that a speaker says
    assert calibration == pytest.approx((train + calibration) / 7, abs=4)
    assert (splits.about.name, splits.about.classes) == ("speech_commands", ("bed", "cat"))
    assert splits.train.shape == (1, 64, 101)  # of a second


def test_spectrograms_that_memory_may_not_hold_are_heard_when_asked_for(
    commands: Path, monkeypatch: pytest.MonkeyPatch
):
    held = SpeechCommands(commands).splits(0)
    monkeypatch.setattr("calmix.data.audio.IN_MEMORY", 10**6)
    spoken._read_commands.cache_clear()
    streamed = SpeechCommands(commands, train_size=len(held.train)).splits(0)
    assert isinstance(streamed.train.rows, DatasetRows)
    for part in PARTS:
        known, heard = getattr(held, part), getattr(streamed, part)
        assert torch.equal(known.y[known.y.argsort(stable=True)], heard.y[heard.y.argsort(stable=True)])
    assert torch.allclose(streamed.test.x, held.test.x, atol=1e-4)
    assert streamed.encoding is not None
    assert held.encoding is not None


def test_a_share_of_the_speakers_is_the_same_in_every_run_and_whole(commands: Path):
    some = SpeechCommands(commands, share=0.6)
    splits = some.splits(0)
    assert 40 <= sum(sizes(splits)) <= 100
    assert all(size % 4 == 0 for size in sizes(splits))  # a speaker says two words twice
    assert torch.equal(splits.test.y, some.splits(1).test.y)
    (commands / "bed" / "00000000_nohash_0.wav").unlink()
    with pytest.raises(DataError, match="lists 1 recordings that are not there"):  # also where it would be left out
        SpeechCommands(commands, share=0.5).splits(0)
    with pytest.raises(SettingError, match="share must be a number above 0 and at most 1; got 0"):
        SpeechCommands(commands, share=0)


def test_archives_of_words_that_are_not_whole(commands: Path, tmp_path: Path):
    with pytest.raises(DataError, match="with share 1e-06 a split is empty"):
        SpeechCommands(commands, share=1e-6).splits(0)
    (commands / "testing_list.txt").write_text("\n".join([*TESTED, VALIDATED[0]]))
    with pytest.raises(DataError, match=r"'bed/00000004_nohash_0\.wav' stands in both"):
        SpeechCommands(commands).splits(0)
    (commands / "testing_list.txt").write_text("")
    with pytest.raises(DataError, match=r"testing_list\.txt lists nothing; get the archive anew"):
        SpeechCommands(commands).splits(0)
    (commands / "testing_list.txt").unlink()
    with pytest.raises(DataError, match=r"testing_list\.txt cannot be read \(No such file"):
        SpeechCommands(commands).splits(0)
    with pytest.raises(DataError, match="holds no folders of words"):
        SpeechCommands(tmp_path / "empty").splits(0)


def test_the_real_digits_are_3000(real_data: Path):
    source = SpokenDigits(real_data / "speech" / "fsdd" / "recordings", by_speaker=True)
    splits = source.splits(5)
    assert sizes(splits) == [1875, 313, 312, 500]
    assert torch.bincount(splits.test.y).tolist() == [50] * 10
