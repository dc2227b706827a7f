"""What is kept from one step to the next: an embedding of every training row, at no further forward.

N rows of the training set, n of a batch, m mixed rows, d entries of an embedding
"""

import torch
from torch import Tensor

from calmix.core.mix import Mix
from calmix.errors import SettingError, ShapeError


class Memory:
    """For each training row, an estimate of its embedding from the mixed rows in which it had the larger share.

    A mixed row's embedding is z ~ s z_i + (1 - s) z_j, s >= 1/2 the share of row i. With m the memory, the estimate
    e = (z - (1 - s) m_j) / s (z itself while j is not known) moves it by how much it says of i:
    m_i <- m_i + (2 s - 1) (e - m_i), and m_i <- e at the first sight of i.

    The rows (N, d) are kept in float16, NaN for a row not met yet, on the device of the embeddings or in the host's
    memory; one table a site. N grows with the indices that are met; told beforehand (`rows`), nothing in a step waits
    for the device. Under data-parallel training every process remembers the rows that it has met itself.

    Attributes:
        asked: the site that this step's forwards are watched at, in a tuple of one; None where nothing was recalled.
    """

    def __init__(self, rows: int | None = None) -> None:
        self.rows = rows
        self.asked: tuple[str | None] | None = None
        self._kept: dict[str | None, Tensor] = {}  # by site: (N + 1, d), the last row is for what is not to be kept
        self._host = False

    def begin_step(self) -> None:
        """Nothing is watched until something is recalled."""
        self.asked = None

    def recall(self, index: Tensor, site: str | None, host: bool = False) -> Tensor | None:
        """The rows' remembered embeddings (n, d), NaN where there is none; None before the first step.

        The step's forwards on mixed rows are watched at `site` from now on. host: keep the table in the host's memory.

        Raises:
            SettingError: another site in the same step.
            ShapeError: an index that is not positions in the training set.
        """
        if self.asked not in (None, (site,)):
            raise SettingError(f"a method can remember embeddings at one site; got {self.asked[0]!r} and {site!r}.")
        self.asked, self._host = (site,), host
        if site not in self._kept:
            return None
        kept = self._kept[site] = self._with_room(self._kept[site], index)
        rows = kept[index.to(kept.device)]
        return rows.pin_memory() if host and torch.cuda.is_available() else rows

    @torch.no_grad()
    def keep(self, index: Tensor, mix: Mix, embeddings: Tensor) -> None:
        """Learn from the embeddings of the mixed rows (m, d): of each row of the batch from its largest share."""
        assert self.asked is not None
        (site,) = self.asked
        device = torch.device("cpu") if self._host else embeddings.device
        kept = self._kept[site].to(device) if site in self._kept else _unseen(1, embeddings.shape[1], device)
        if kept.shape[1] != embeddings.shape[1]:
            raise ShapeError(
                f"embeddings of {embeddings.shape[1]} entries, but {kept.shape[1]} were remembered; take a new "
                "TrainingLoss for another network."
            )
        kept = self._with_room(kept, index)
        lam = mix.lam_x if mix.lam_x.ndim == 1 else mix.lam_y
        row = torch.where(lam >= 0.5, mix.anchor, mix.partner)  # (m,), in the batch
        other = torch.where(lam >= 0.5, mix.partner, mix.anchor)
        share = torch.maximum(lam, 1 - lam)
        largest = share.new_zeros(len(index)).scatter_reduce(0, row, share, "amax")
        number = torch.arange(len(row), device=row.device)
        number = torch.where(share == largest[row], number, -1)
        best = number.new_full((len(index),), -1).scatter_reduce(0, row, number, "amax")  # (n,), -1: not shown
        shown, best = (best >= 0).to(device), best.clamp(min=0)
        index = index.to(device)
        old = kept[index].to(embeddings.device, torch.float32)  # (n, d)
        mixed, partner, s = embeddings[best].float(), old[other[best]], share[best][:, None].float()
        estimate = torch.where(partner.isnan(), mixed, (mixed - (1 - s) * partner) / s)
        limit = torch.finfo(kept.dtype).max
        new = torch.where(old.isnan(), estimate, torch.lerp(old, estimate, 2 * s - 1)).clamp(-limit, limit)
        kept[torch.where(shown, index, len(kept) - 1)] = new.to(device, kept.dtype)
        self._kept[site] = kept

    def _with_room(self, kept: Tensor, index: Tensor) -> Tensor:
        """The table with a row for every position of the index, and one more."""
        if index.ndim != 1 or index.is_floating_point() or index.dtype == torch.bool:
            raise ShapeError(f"index must be positions, integers (n,); got {index.dtype} {tuple(index.shape)}.")
        needed = self.rows
        if needed is None or not index.is_cuda:  # else looking would wait for the device, which checks the range itself
            first, last = (int(end) for end in index.aminmax())
            if first < 0 or (self.rows is not None and last >= self.rows):
                known = "a training set" if self.rows is None else f"the training set's {self.rows} rows"
                raise ShapeError(f"index must hold positions in {known}; got {first}..{last}.")
            needed = last + 1 if self.rows is None else self.rows
        if needed < len(kept):
            return kept
        size = needed + 1 if self.rows is not None else max(needed + 1, 2 * len(kept))
        return torch.cat([kept[:-1], _unseen(size - len(kept) + 1, kept.shape[1], kept.device)])

    def state(self) -> dict[str | None, Tensor]:
        """The tables by site, to be stored."""
        return dict(self._kept)

    def load(self, state: dict[str | None, Tensor] | None) -> None:
        """Go on with what `state` gave."""
        self._kept = {site: kept.clone() for site, kept in (state or {}).items()}


def _unseen(rows: int, width: int, device: torch.device) -> Tensor:
    return torch.full((rows, width), torch.nan, dtype=torch.float16, device=device)
