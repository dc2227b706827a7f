"""Label noise: in the training split alone, at exactly the rate that was asked for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from calmix.data import HumanNoise, Split, Splits, Symmetric, cifar10, diabetes, digits, read_label_noise, wine
from calmix.errors import DataError, SettingError, UnknownNameError

CLEAN = digits()


@given(st.floats(0.001, 0.999), st.integers(0, 1_000))
def test_exactly_the_share_that_was_asked_for_is_wrong(rate, seed):
    noisy = Symmetric(rate)(CLEAN, seed)
    assert (noisy.train.y != CLEAN.train.y).sum() == round(rate * len(CLEAN.train))
    assert noisy.train.y.min() >= 0
    assert noisy.train.y.max() <= 9


def test_nothing_else_changes():
    before = CLEAN.train.y.clone()
    noisy = Symmetric(0.4)(CLEAN, 1)
    assert torch.equal(CLEAN.train.y, before)
    assert noisy.train.x is CLEAN.train.x
    assert noisy.train.y.dtype == torch.int64
    for part in ("validation", "calibration", "test"):
        assert getattr(noisy, part) is getattr(CLEAN, part)
    assert noisy.about.notices == ("40.0 % of the training labels are wrong, as asked; the other splits are clean.",)


def test_a_wrong_label_is_any_other_class_alike():
    wrong = torch.zeros(10, 10)
    for seed in range(40):
        noisy = Symmetric(0.5)(CLEAN, seed).train.y
        wrong.index_put_((CLEAN.train.y, noisy), torch.tensor(1.0), accumulate=True)
    wrong.fill_diagonal_(0)
    expected = wrong.sum() / 90
    chi = ((wrong - expected) ** 2 / expected).fill_diagonal_(0).sum()
    assert chi < 150  # 89 degrees of freedom: beyond 150 once in 20,000 times


def test_the_seed_draws():
    first, again, other = (Symmetric(0.3)(CLEAN, seed).train.y for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_two_classes_are_swapped():
    noisy = Symmetric(0.25)(wine_of_two(), 0)
    assert set(noisy.train.y.tolist()) == {0, 1}


def wine_of_two() -> Splits:
    splits = wine()
    about = replace(splits.about, classes=("a", "b"))
    return replace(splits, train=Split(splits.train.x, splits.train.y % 2), about=about)


# ------------------------------------------------------------------------------------------- people's labels


def cifar_like(folder: Path, right: bool = True) -> Splits:
    """Eight training images, of which a run holds rows 6, 1 and 4; people got row 4 wrong."""
    clean = np.arange(8, dtype=np.uint8)
    worse = clean.copy()
    worse[[4, 5]] = 9
    (folder / "cifar10h").mkdir()
    np.savez(folder / "cifar10h" / "cifar10n.npz", clean_label=clean if right else clean[::-1], worse_label=worse)
    rows = np.array([6, 1, 4])
    train = Split(torch.zeros(3, 3, 4, 4), torch.tensor(rows))
    about = replace(CLEAN.about, name="cifar10")
    return replace(CLEAN, train=train, about=about, train_rows=rows)


def test_people_s_labels_go_to_their_images(tmp_path, monkeypatch):
    monkeypatch.setenv("CALMIX_DATA", str(tmp_path))
    noisy = HumanNoise("worse")(cifar_like(tmp_path))
    assert noisy.train.y.tolist() == [6, 1, 9]
    assert noisy.about.notices[-1].startswith("33.3 % of the training labels are wrong")
    with pytest.raises(DataError, match=r"cifar10n\.npz lacks aggre_label; get the file anew"):
        HumanNoise("aggre")(noisy)


def test_another_order_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("CALMIX_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"cifar10n\.npz lists other images than the training part"):
        HumanNoise("worse")(cifar_like(tmp_path, right=False))


def test_real_people_s_labels(real_data):
    clean = cifar10(train_size=5_000, data_dir=real_data / "cifar10", seed=3)
    for kind, share in (("aggre", 0.0903), ("random1", 0.1723), ("random2", 0.1812), ("worse", 0.4021)):
        noisy = HumanNoise(kind)(clean, data_dir=real_data / "cifar10")
        assert (noisy.train.y != clean.train.y).float().mean() == pytest.approx(share, abs=0.02)


# ------------------------------------------------------------------------------------------------ bad input


def test_noise_is_read_from_text():
    assert read_label_noise(" symmetric:0.25") == Symmetric(0.25)
    assert read_label_noise("human:aggre") == HumanNoise("aggre")
    for noise in (Symmetric(0.25), HumanNoise("random3")):
        assert eval(repr(noise), {"Symmetric": Symmetric, "HumanNoise": HumanNoise}) == noise


@pytest.mark.parametrize("text", ["", "symmetric", "symmetric:", "symmetric:half", "human", "0.4", "asymmetric:0.4"])
def test_what_cannot_be_read_earns_a_sentence(text):
    with pytest.raises(SettingError, match=r"cannot read the label noise '.*'; write symmetric:RATE, e\.g\. "):
        read_label_noise(text)


@pytest.mark.parametrize("rate", ["0", "1", "-0.1", "40", "nan", "inf"])
def test_a_rate_is_a_share(rate):
    with pytest.raises(SettingError, match="the rate of label noise must be above 0 and below 1; got"):
        read_label_noise(f"symmetric:{rate}")


def test_noise_that_does_not_fit_the_data(tmp_path, monkeypatch):
    with pytest.raises(UnknownNameError, match="unknown kind of human label noise 'worst'; did you mean 'worse'"):
        read_label_noise("human:worst")
    with pytest.raises(SettingError, match="label noise is for classes, and diabetes is regression; leave it out"):
        Symmetric(0.4)(diabetes())
    with pytest.raises(SettingError, match="human label noise is known for cifar10 alone, not for digits; give"):
        HumanNoise("worse")(CLEAN)
    monkeypatch.delenv("CALMIX_DATA", raising=False)
    with pytest.raises(DataError, match=r"no file cifar10n\.npz found .*; set CALMIX_DATA to the folder that holds"):
        HumanNoise("worse")(replace(cifar_like(tmp_path)))
