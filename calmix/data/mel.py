"""Log-mel spectrograms: what a network sees of a sound.

L samples, F frequencies, B bands, T frames
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from calmix.errors import SettingError

FLOOR = 1e-6  # of the energy in a band, so that silence has a logarithm
_LONGEST = 600.0  # seconds


@dataclass(frozen=True)
class LogMel:
    """A sound (L,) of a given rate and length -> its log-mel spectrogram (1, B, T).

    log(1e-6 + sum_f H[b, f] |S[f, t]|^2), with S the short-time Fourier transform by Hann windows of `window` seconds
    every `hop` seconds, of which the first is centred on the first sample (zeros lie around the sound), and H the
    triangular filters of `mel_filters`. So T = 1 + L // (hop rate), and more is heard of low frequencies than of high
    ones, about as by people.

    rate: samples a second. seconds: the length.

    >>> LogMel(8000, 0.5)(torch.zeros(4000)).shape
    torch.Size([1, 40, 51])
    """

    rate: int
    seconds: float
    bands: int = 40
    window: float = 0.025
    hop: float = 0.010

    def __post_init__(self) -> None:
        if not (1000 <= self.rate <= 10**6 and 1 <= self.bands <= 1024):
            raise SettingError(f"rate and bands must be those of a sound; got {self.rate} and {self.bands}.")
        if not 2 * self.window <= self.seconds <= _LONGEST:
            raise SettingError(f"seconds must lie between {2 * self.window:g} and {_LONGEST:g}; got {self.seconds:g}.")

    @property
    def samples(self) -> int:
        return round(self.seconds * self.rate)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a spectrogram."""
        return 1, self.bands, 1 + self.samples // self._hop

    def __call__(self, sound: Tensor) -> Tensor:
        window = round(self.window * self.rate)
        size = self._size
        spectrum = torch.stft(
            sound, size, self._hop, window, torch.hann_window(window), pad_mode="constant", return_complex=True
        )
        energy = spectrum.real.square() + spectrum.imag.square()  # (F, T)
        return (FLOOR + mel_filters(self.rate, size, self.bands) @ energy).log()[None]

    @property
    def _hop(self) -> int:
        return round(self.hop * self.rate)

    @property
    def _size(self) -> int:
        """Of the transform: twice the window, so that no filter falls between two frequencies; a power of two."""
        return 2 ** math.ceil(math.log2(2 * self.window * self.rate))


@lru_cache(maxsize=4)
def mel_filters(rate: int, size: int, bands: int) -> Tensor:
    """(B, F) triangles over the F = size / 2 + 1 frequencies of a Fourier transform of `size` samples.

    Band b rises from 0 at corner b to 1 at corner b + 1 and falls to 0 at corner b + 2; the corners are equally far
    apart in mel, from 0 to rate / 2, with mel(f) = 2595 log10(1 + f / 700) (O'Shaughnessy, 1987, as in HTK).

    >>> mel_filters(8000, 512, 64).shape
    torch.Size([64, 257])
    """
    top = 2595 * math.log10(1 + rate / 2 / 700)
    corners = 700 * (10 ** (torch.linspace(0, top, bands + 2, dtype=torch.float64) / 2595) - 1)  # in Hz
    hertz = torch.linspace(0, rate / 2, size // 2 + 1, dtype=torch.float64)
    low, middle, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising, falling = (hertz - low) / (middle - low), (high - hertz) / (high - middle)
    return torch.minimum(rising, falling).clamp(min=0).float()
