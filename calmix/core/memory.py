"""Remembered embeddings: an estimate for every training row, kept from step to step, without a further forward.

N rows of the training set, n of a batch, m mixed rows, d entries of an embedding
"""

import torch
from torch import Tensor

from calmix.core.mix import Mix
from calmix.errors import SettingError, ShapeError


class Memory:
    """For each training row, an estimate of its embedding from the mixed rows in which it had the larger share.

    Formula: a mixed row's embedding is about z = s z_i + (1 - s) z_j, s >= 1/2 the share of row i. With m the memory,
    e = (z - (1 - s) m_j) / s estimates z_i (e = z if j is not known), and m_i <- m_i + (2 s - 1) (e - m_i); the first
    time that row i is seen, m_i <- e.

    The table (N, d) is float16, NaN for a row not yet seen, on the device of the embeddings or in the host's memory;
    there is one for each site. N grows with the indices that are seen; if it is given (`rows`), nothing in a step waits
    for the device. Under data-parallel training every process remembers the rows that it has seen itself.

    Attributes:
        sites: where this step captures embeddings: a tuple of one site, or () if nothing was recalled in this step.
    """

    def __init__(self, rows: int | None = None) -> None:
        self.rows = rows
        self.sites: tuple[str | None, ...] = ()
        self._kept: dict[str | None, Tensor] = {}  # by site: (N + 1, d); what is not to be kept goes to the last row
        self._host = False

    def begin_step(self) -> None:
        """Forget where the last step captured embeddings; `recall` says it for this one."""
        self.sites = ()

    def recall(self, index: Tensor, site: str | None, host: bool = False) -> Tensor | None:
        """The rows' remembered embeddings (n, d), NaN for a row not yet seen; None before the first step.

        From now on the step captures embeddings at `site`. host: keep the table in the host's memory.

        Raises:
            SettingError: another site in the same step.
            ShapeError: an index that is not positions in the training set.
        """
        if self.sites not in ((), (site,)):
            raise SettingError(f"a method can remember embeddings at one site; got {self.sites[0]!r} and {site!r}.")
        self.sites, self._host = (site,), host
        if site not in self._kept:
            return None
        kept = self._kept[site] = self._with_room(self._kept[site], index)
        rows = kept[index.to(kept.device)]
        return rows.pin_memory() if host and torch.cuda.is_available() else rows

    @torch.no_grad()
    def keep(self, index: Tensor, mix: Mix, embeddings: Tensor) -> None:
        """Update the table from the embeddings of the mixed rows (m, d): each row by the mix with its largest share."""
        (site,) = self.sites
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
        if needed is None or not index.is_cuda:  # a GPU checks the range itself, and reading the index waits
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
        """The tables by site, for a checkpoint."""
        return dict(self._kept)

    def load(self, state: dict[str | None, Tensor] | None) -> None:
        """Restore the tables that `state` returned; None is an empty memory."""
        self._kept = {site: kept.clone() for site, kept in (state or {}).items()}


def _unseen(rows: int, width: int, device: torch.device) -> Tensor:
    return torch.full((rows, width), torch.nan, dtype=torch.float16, device=device)
