"""What is kept from one step to the next: an embedding of every training row, at no further forward.

N rows of the training set, n of a batch, m mixed rows, d entries of an embedding
"""

import torch
from torch import Tensor

from calmix.core.mix import Mix
from calmix.errors import ShapeError


class Memory:
    """For each training row, an estimate of its embedding from the mixed rows in which it had the larger share.

    A mixed row's embedding is z ~ s z_i + (1 - s) z_j, s >= 1/2 the share of row i. With m the memory, the estimate
    e = (z - (1 - s) m_j) / s (z itself while j is not known) moves it by how much it says of i:
    m_i <- m_i + (2 s - 1) (e - m_i), and m_i <- e at the first sight of i.

    The rows (N, d) are kept in float16, NaN for a row not met yet, on the device of the embeddings or in the host's
    memory. N grows with the indices that are met; told beforehand (`rows`), nothing in a step waits for the device.
    Under data-parallel training every process remembers the rows that it has met itself.

    Attributes:
        asked: the site that is watched, in a tuple of one; None as long as nobody recalled anything.
    """

    def __init__(self, rows: int | None = None) -> None:
        self.rows = rows
        self.asked: tuple[str | None] | None = None
        self._embeddings: Tensor | None = None  # (N, d)
        self._host = False

    def recall(self, index: Tensor, site: str | None, host: bool = False) -> Tensor | None:
        """The rows' remembered embeddings (n, d), NaN where there is none; None before the first step.

        From now on the forwards on mixed rows are watched at `site`. host: keep them in the host's memory.
        """
        self.asked, self._host = (site,), host
        if self._embeddings is None:
            return None
        kept = self._with_room(index, self._embeddings)
        return kept[index.to(kept.device)]

    @torch.no_grad()
    def keep(self, index: Tensor, mix: Mix, embeddings: Tensor) -> None:
        """Learn from the embeddings of the mixed rows (m, d): of each row of the batch from its largest share."""
        if self._embeddings is None:
            device = "cpu" if self._host else embeddings.device
            self._embeddings = _unseen(self.rows or 0, embeddings.shape[1], device)
        kept = self._with_room(index, self._embeddings)
        lam = mix.lam_x if mix.lam_x.ndim == 1 else mix.lam_y
        row = torch.where(lam >= 0.5, mix.anchor, mix.partner)  # (m,), in the batch
        other = torch.where(lam >= 0.5, mix.partner, mix.anchor)
        share = torch.maximum(lam, 1 - lam)
        largest = share.new_zeros(len(index)).scatter_reduce(0, row, share, "amax")
        number = torch.arange(len(row), device=row.device)
        number = torch.where(share == largest[row], number, -1)
        best = number.new_full((len(index),), -1).scatter_reduce(0, row, number, "amax")  # (n,), -1: not shown
        shown, best = (best >= 0)[:, None], best.clamp(min=0)
        old = kept[index.to(kept.device)].to(embeddings.device, torch.float32)  # (n, d)
        mixed, partner, s = embeddings[best].float(), old[other[best]], share[best][:, None].float()
        estimate = torch.where(partner.isnan(), mixed, (mixed - (1 - s) * partner) / s)
        new = torch.where(old.isnan(), estimate, torch.lerp(old, estimate, 2 * s - 1))
        limit = torch.finfo(kept.dtype).max
        new = torch.where(shown, new, old).clamp(-limit, limit)
        kept[index.to(kept.device)] = new.to(kept.device, kept.dtype)
        self._embeddings = kept

    def _with_room(self, index: Tensor, kept: Tensor) -> Tensor:
        """What is kept, with a row for every position of the index."""
        if index.ndim != 1 or index.is_floating_point():
            raise ShapeError(f"index must be the rows' positions, integers (n,); got {tuple(index.shape)}.")
        if self.rows is not None and index.is_cuda:
            return kept  # looking would wait for the device, which refuses a position out of range itself
        needed = int(index.max()) + 1 if len(index) else 0
        if self.rows is not None and needed > self.rows:
            raise ShapeError(f"index holds the position {needed - 1}, but the training set has {self.rows} rows.")
        if needed > len(kept):
            more = max(needed, 2 * len(kept)) - len(kept)
            kept = torch.cat([kept, _unseen(more, kept.shape[1], kept.device)])
        return kept

    def state(self) -> Tensor | None:
        """What is kept (N, d), to be stored."""
        return self._embeddings

    def load(self, state: Tensor | None) -> None:
        """Go on with what `state` gave."""
        self._embeddings = state


def _unseen(rows: int, width: int, device: torch.device | str) -> Tensor:
    kept = torch.full((rows, width), torch.nan, dtype=torch.float16, device=device)
    pinned = kept.device.type == "cpu" and torch.cuda.is_available()
    return kept.pin_memory() if pinned else kept
