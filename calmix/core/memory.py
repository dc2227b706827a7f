"""Remembered embeddings: an estimate for every training row, kept from step to step, without a further forward.

N rows of the training set, n of a batch, m mixed rows, d entries of an embedding
"""

import torch
from torch import Tensor

from calmix.core.mix import Mix, blend
from calmix.core.ranks import mean_over_ranks, ranks, rows_of_all_ranks
from calmix.errors import SettingError, ShapeError

_REMEMBERED = 0.3  # the error variance of what is remembered of a row, over the variance of embeddings
_MIXED = 0.2  # and that of a mixed row's embedding about the mix of its two rows' embeddings


class Memory:
    """For each training row, an estimate of its embedding from the mixed rows in which it took part.

    Formula: a mixed row's embedding is about z = s z_i + (1 - s) z_j, s the share of row i. With m the memory, and of
    a row not yet seen the mean of the step's z, the estimate is that of least squares, a Kalman filter's:

        m_i <- m_i + sum_k s_k w_k (z_k - s_k m_i - (1 - s_k) m_j) / (1 / v_i + sum_k s_k^2 w_k)
        w_k = 1 / ((1 - s_k)^2 v_j + 0.2), v = 0.3 of a row seen before and 1 of another,

    over the step's mixed rows k that hold row i, whose other row is j. A new row counts as seen once the sum of its
    s_k^2 w_k is 1/2: when its mixed rows tell at least half as much of it as the mean does.

    In the first epochs, while the network changes fast, remembered distances are a poor stand-in for exact ones: their
    correlation is 0.54, 0.67, 0.80, 0.85 and 0.88 after 1, 2, 3, 5 and 10 epochs (python -m benchmarks.memories). That
    is mostly their age: exact embeddings of an epoch ago have 0.68, 0.85, 0.89, 0.89 and 0.88.

    The table (N, d) is bfloat16, which has the range of float32 and rounds distances by 0.1 %; NaN for a row not yet
    seen; on the device of the embeddings or in the host's memory. There is one for each site. N grows with the indices
    that are seen; if it is given (`rows`), nothing in a step waits for the device.

    Under torch.distributed every rank has the same table: after a step the ranks tell each other what is new, 2 d bytes
    a row. If each remembered what it saw itself, a row that is drawn anew among R ranks would be R epochs old.

    Attributes:
        sites: where this step captures embeddings: a tuple of one site, or () if nothing was recalled in this step.
    """

    def __init__(self, rows: int | None = None) -> None:
        self.rows = rows
        self.sites: tuple[str | None, ...] = ()
        self._kept: dict[str | None, Tensor] = {}  # by site
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
        """Update the table from the embeddings of the mixed rows (m, d)."""
        (site,) = self.sites
        device = torch.device("cpu") if self._host else embeddings.device
        kept = self._kept[site].to(device) if site in self._kept else _unseen(0, embeddings.shape[1], device)
        if kept.shape[1] != embeddings.shape[1]:
            raise ShapeError(
                f"embeddings of {embeddings.shape[1]} entries, but {kept.shape[1]} were remembered; take a new "
                "TrainingLoss for another network."
            )
        kept = self._kept[site] = self._with_room(kept, index)
        lam = mix.lam_x if mix.lam_x.ndim == 1 else mix.lam_y
        first = (index[:, None] == index).int().argmax(1)  # (n,): a training row that is there twice is one row
        mixed, index = embeddings.float(), index.to(device)
        old = kept.index_select(0, index).to(mixed.device, torch.float32)  # (n, d)
        unseen = old.sum(1, keepdim=True).isnan()  # (n, 1)
        mean, variance = torch.where(unseen, mean_over_ranks(mixed.mean(0)), old), torch.where(unseen, 1.0, _REMEMBERED)
        surprise = mixed - blend(mean, mix, lam)  # (m, d)
        pairs = torch.stack((mix.anchor, mix.partner))  # (2, m)
        share = torch.stack((lam, 1 - lam)).float()
        gain = share / ((1 - share).square() * variance[pairs.flip(0), 0] + _MIXED)
        step, told = torch.zeros_like(mean), torch.zeros_like(variance)
        for row, weight, s in zip(first[pairs], gain[..., None], share[..., None], strict=True):
            told.index_add_(0, row, weight * s)
            step.index_add_(0, row, weight * surprise)
        new = mean + step / (1 / variance + told)
        too_little = torch.where(unseen & (told < 0.5), torch.nan, 0 * new.sum(1, keepdim=True))
        new = (new + too_little).index_select(0, first).to(kept.dtype)
        if ranks() > 1:
            index = rows_of_all_ranks(index.to(new.device)).to(device)
            new = rows_of_all_ranks(new.view(torch.uint8)).view(kept.dtype)  # bytes, which every backend sends
            kept = self._kept[site] = self._with_room(kept, index)
        kept.index_copy_(0, index, new.to(device))

    def _with_room(self, kept: Tensor, index: Tensor) -> Tensor:
        """The table with a row for every position of the index."""
        needed = self.rows
        if needed is None or not index.is_cuda:  # a GPU checks the range itself, and reading the index waits
            first, last = (int(end) for end in index.aminmax())
            if first < 0 or (self.rows is not None and last >= self.rows):
                known = "a training set" if self.rows is None else f"the training set's {self.rows} rows"
                raise ShapeError(f"index must hold positions in {known}; got {first}..{last}.")
            needed = last + 1 if self.rows is None else self.rows
        if needed <= len(kept):
            return kept
        room = _unseen(needed if self.rows is not None else max(needed, 2 * len(kept)), kept.shape[1], kept.device)
        room[: len(kept)] = kept
        return room

    def state(self) -> dict[str | None, Tensor]:
        """The tables by site, for a checkpoint."""
        return dict(self._kept)

    def load(self, state: dict[str | None, Tensor] | None) -> None:
        """Restore the tables that `state` returned; None is an empty memory."""
        self._kept = {site: kept.to(torch.bfloat16, copy=True) for site, kept in (state or {}).items()}


def _unseen(rows: int, width: int, device: torch.device) -> Tensor:
    return torch.full((rows, width), torch.nan, dtype=torch.bfloat16, device=device)
