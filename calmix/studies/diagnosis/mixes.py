"""The mixes of a method: a sample of those it was trained on, and one batch of them to look at.

OUT/mixes/SLUG.npz  the batch to look at: the fields of `MixedRows` as arrays

n rows of a batch, m mixed rows
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from calmix.core.coefficient import SimilarityKernel, TwoKernels
from calmix.core.method import Coefficient, Method, Scheduled, Step
from calmix.core.mix import Mix, blend
from calmix.core.space import ByTask, pair_distance
from calmix.errors import DataError, SettingError
from calmix.reading import AGAIN, check_arrays, read_arrays
from calmix.results.files import slug, write_arrays
from calmix.results.store import DataFacts


@dataclass(frozen=True)
class RecordedMixes:
    """`coefficient`, which records `keep` mixes of every step in `seen`, by their places in the training split.

    Which mixes of a step are kept is drawn apart from the method's own randomness, so the training is exactly that of
    the method itself.
    """

    coefficient: Coefficient
    keep: int = 8
    seen: list[Mix] = field(default_factory=list, compare=False, repr=False)

    def __call__(
        self, step: Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        lam_x, lam_y = self.coefficient(step, anchor, partner, generator)
        index = step.batch.index
        if index is None:
            raise SettingError("recording mixes needs the rows' positions: training_loss(model, x, y, index=index).")
        order = torch.Generator().manual_seed(len(self.seen))
        some = torch.randperm(len(anchor), generator=order)[: self.keep].to(anchor.device)
        kept = (part.detach().cpu() for part in (index[anchor[some]], index[partner[some]], lam_x[some], lam_y[some]))
        anchors, partners, share_x, share_y = kept
        self.seen.append(Mix(anchors, partners, share_x, share_y))
        return lam_x, lam_y

    def mixes(self) -> Mix:
        """Everything that was kept, as one mix of training rows.

        Raises:
            SettingError: nothing was recorded.
        """
        if not self.seen:
            raise SettingError("no mixes were recorded; train with the recording method first.")
        parts = zip(*((mix.anchor, mix.partner, mix.lam_x, mix.lam_y) for mix in self.seen), strict=True)
        anchor, partner, lam_x, lam_y = (torch.cat(part) for part in parts)
        return Mix(anchor, partner, lam_x, lam_y)


def recording(method: Method | Scheduled, keep: int = 8) -> tuple[Method | Scheduled, RecordedMixes]:
    """The method with its mixes recorded, and the record; of a scheduled method, the record of its first method.

    Raises:
        SettingError: a method that mixes inside the network, which an oracle of inputs cannot judge.
    """
    if isinstance(method, Scheduled):
        first, record = recording(method.method, keep)
        return replace(method, method=first), record
    if method.site is not None:
        raise SettingError(f"an oracle judges inputs, and this method mixes at {method.site!r}; leave it out.")
    record = RecordedMixes(method.coefficient, keep)
    return replace(method, coefficient=record), record


# ------------------------------------------------------------------------------------------ a batch to look at


@dataclass(frozen=True, eq=False)
class MixedRows:
    """A batch of mixes to look at: both parents, the mixed row, and what decided how strongly they were mixed.

    distance: normalised, in the method's own space. tau: the kernel's, None for methods without a kernel.
    """

    anchor: Tensor  # (m, ...)
    partner: Tensor
    mixed: Tensor
    anchor_y: Tensor  # (m,) class ids
    partner_y: Tensor
    distance: Tensor  # (m,)
    tau: Tensor | None
    lam: Tensor  # (m,), the anchor's share of the label


def mixed_rows(method: Method, step: Step, generator: torch.Generator | None = None) -> MixedRows:
    """Draw the step's mixes and lay them out.

    >>> from calmix import Classification, sk_mixup
    >>> from calmix.parts import Batch, Inputs
    >>> method = sk_mixup(space=Inputs())
    >>> step = method.step(torch.nn.Identity(), Classification(2), Batch(torch.eye(2), torch.arange(2)))
    >>> mixed_rows(method, step, torch.Generator().manual_seed(0)).mixed.shape
    torch.Size([2, 2])
    """
    step, mix = method.draw(step, generator)
    kernel = kernel_of(method.coefficient)
    space = ByTask() if kernel is None else kernel.space
    distance = pair_distance(space(step), mix.anchor, mix.partner)
    x, y = step.batch.x, step.batch.y
    return MixedRows(
        anchor=x[mix.anchor],
        partner=x[mix.partner],
        mixed=blend(x, mix, mix.lam_x),
        anchor_y=y[mix.anchor],
        partner_y=y[mix.partner],
        distance=distance,
        tau=None if kernel is None else kernel.tau(distance),
        lam=mix.lam_y,
    )


def kernel_of(coefficient: Any) -> SimilarityKernel | None:
    """The similarity kernel that a coefficient is or wraps; None where there is none.

    >>> from calmix import cutmix
    >>> kernel_of(cutmix(coefficient=SimilarityKernel(tau_max=0.3)).coefficient).tau_max
    0.3
    """
    while not isinstance(coefficient, SimilarityKernel | None):
        wraps_two = isinstance(coefficient, TwoKernels)
        coefficient = coefficient.inputs if wraps_two else vars(coefficient).get("coefficient")
    return coefficient


def write_batch(out: Path, label: str, batch: MixedRows) -> None:
    arrays = {name: value.detach().numpy() for name, value in vars(batch).items() if value is not None}
    write_arrays(_path(out, label), arrays)


def read_batch(out: Path, label: str, data: DataFacts) -> MixedRows | None:
    """The stored batch of a method on these data; None where there is none. Raise DataError where it is damaged."""
    path = _path(out, label)
    if not path.exists():
        return None
    arrays = read_arrays(path)
    shapes = {"anchor": "m *", "partner": "m *", "mixed": "m *", "distance": "m", "lam": "m"}
    shapes |= {"tau": "m"} if "tau" in arrays else {}
    check_arrays(path, arrays, {**shapes, "anchor_y": "K: m", "partner_y": "K: m"}, K=len(data.classes))
    if arrays["anchor"].shape[1:] != tuple(data.shape):
        raise DataError(f"{path} holds mixes of other rows; {AGAIN}.")
    parts: Any = {name: torch.from_numpy(arrays[name]) for name in (*shapes, "anchor_y", "partner_y")}
    return MixedRows(**{"tau": None, **parts})


def _path(out: Path, label: str) -> Path:
    return out / "mixes" / f"{slug(label)}.npz"
