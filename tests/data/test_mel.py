"""Log-mel spectrograms: closed forms, and what librosa says."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from calmix.data.mel import FLOOR, LogMel, mel_filters
from calmix.errors import SettingError

RATES = (8000, 11025, 16_000, 22_050, 44_100, 48_000)


def tone(hertz: float, rate: int, samples: int) -> torch.Tensor:
    return torch.sin(2 * math.pi * hertz * torch.arange(samples) / rate)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("bands", [40, 64])
def test_filters_are_triangles_that_overlap_to_one(rate: int, bands: int):
    """Between the second corner and the last but one, the falling side of one and the rising side of the next: 1."""
    filters = mel_filters(rate, LogMel(rate, 1.0)._size, bands).double()
    assert filters.min() == 0
    assert (filters.sum(1) > 0).all()  # no band is deaf
    inner = filters[:, filters[0].argmax() + 1 : filters[-1].argmax()]
    # rising and falling sides of neighbours are linear in Hz between the same two corners
    torch.testing.assert_close(inner.sum(0), torch.ones(inner.shape[1]).double(), atol=1e-5, rtol=0)


def test_filters_peak_where_the_formula_says():
    """700 (10^(m / 2595) - 1), at m = (b + 1) / (B + 1) of mel(rate / 2)."""
    filters, top = mel_filters(8000, 8192, 40), 2595 * math.log10(1 + 4000 / 700)
    for band in (0, 7, 39):
        peak = 700 * (10 ** (top * (band + 1) / 41 / 2595) - 1)
        assert filters[band].argmax() * 8000 / 8192 == pytest.approx(peak, abs=1)


def test_filters_are_those_of_librosa():
    """librosa 0.11.0, filters.mel(sr=8000, n_fft=512, n_mels=40, htk=True, norm=None).sum(1)"""
    sums = mel_filters(8000, 512, 40).sum(1)[[0, 20, 39]]
    torch.testing.assert_close(sums, torch.tensor([2.1802864, 5.5595903, 13.332647]))


def test_spectrograms_are_those_of_librosa():
    librosa = pytest.importorskip("librosa")
    sound = 0.1 * torch.randn(4000, generator=torch.Generator().manual_seed(0))
    energy = librosa.feature.melspectrogram(
        y=sound.numpy(), sr=8000, n_fft=512, hop_length=80, win_length=200, window="hann", pad_mode="constant",
        power=2, n_mels=40, htk=True, norm=None,
    )  # fmt: skip
    torch.testing.assert_close(LogMel(8000, 0.5)(sound)[0], torch.from_numpy(energy).add(FLOOR).log())


@pytest.mark.parametrize(("rate", "bands", "size"), [(8000, 40, 512), (16_000, 64, 1024)])
def test_spectrograms_are_those_of_the_formula_in_numpy(rate: int, bands: int, size: int):
    """size: of the transform, the first power of two from twice the window on: 25 ms are 200 and 400 samples."""
    sound = 0.1 * torch.randn(rate // 2, generator=torch.Generator().manual_seed(0))
    window, hop = rate // 40, rate // 100
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    padded = np.pad(sound.double().numpy(), window // 2)
    frames = np.stack([padded[t * hop : t * hop + window] for t in range(51)])
    energy = np.abs(np.fft.rfft(hann * frames, size)) ** 2  # (T, F)
    expected = np.log(FLOOR + mel_filters(rate, size, bands).double().numpy() @ energy.T)
    said = LogMel(rate, 0.5, bands)(sound)[0]
    torch.testing.assert_close(said.double(), torch.from_numpy(expected), atol=1e-4, rtol=0)


def test_silence_is_the_floor_and_loudness_is_a_shift():
    features = LogMel(8000, 0.5)
    assert torch.allclose(features(torch.zeros(4000)), torch.tensor(math.log(FLOOR)))
    sound = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    loud, louder = features(sound), features(10 * sound)
    torch.testing.assert_close(louder - loud, torch.full_like(loud, 2 * math.log(10)), atol=1e-3, rtol=0)


def test_energy_is_where_the_tone_is():
    """A sine of amplitude 1 at the peak of band b has the energy (window sum / 2)^2 in its own frequency."""
    features = LogMel(8000, 0.5)
    for hertz in (300.0, 1000.0, 3000.0):
        said = features(tone(hertz, 8000, 4000))[0, :, 25]
        filters = mel_filters(8000, 512, 40)
        assert said.argmax() == filters[:, round(hertz / 8000 * 512)].argmax()
    window = torch.hann_window(200).sum().item()
    exact = features(tone(1000.0, 8000, 4000))[0, :, 25].exp()
    assert exact.max() > 0.5 * (window / 2) ** 2


def test_a_click_is_in_the_frame_of_its_moment():
    """Frame t is centred on the sample t hop."""
    sound = torch.zeros(4000)
    sound[10 * 80] = 1.0
    said = LogMel(8000, 0.5)(sound)[0].sum(0)
    assert said.argmax() == 10
    assert torch.isclose(said[9], said[11], atol=1e-2)


def test_zeros_lie_around_the_sound():
    """The first frame hears half a window of a constant, and so a quarter of the energy at 0 Hz."""
    said = LogMel(8000, 0.5)(torch.ones(4000))[0, 0]  # the lowest band
    assert said[0] < said[25]
    torch.testing.assert_close(said[5:-5], said[25].expand(41))


def test_the_shape_is_known_before():
    for rate in RATES:
        features = LogMel(rate, 0.73)
        assert features(torch.zeros(features.samples)).shape == features.shape
    assert LogMel(8000, 1.0).shape == (1, 40, 101)
    assert replace(LogMel(8000, 1.0), hop=0.02).shape == (1, 40, 51)


@pytest.mark.parametrize("options", [{"rate": 0}, {"seconds": 0.04}, {"seconds": 1e9}, {"bands": 0}])
def test_what_is_no_spectrogram_is_refused(options: dict[str, float]):
    with pytest.raises(SettingError, match="must"):
        LogMel(**{"rate": 8000, "seconds": 1.0, **options})  # pyright: ignore[reportArgumentType]
