"""Similarity Kernel Mixup and MixupE together, on one shared clean forward."""

from calmix.core.coefficient import SimilarityKernel
from calmix.core.method import Method, Space
from calmix.core.space import ByTask, remembering
from calmix.methods.mixup_e import LogitDetached, Slope, mixup_e


def sk_mixup_e(
    tau_max: float = 1.0,
    tau_std: float = 0.25,
    eta: float = 0.1,
    alpha: float = 1.0,
    slope: Slope = LogitDetached(),
    rescale: bool = True,
    space: Space = ByTask(),
    remember: bool = False,
    share: float = 1.0,
) -> Method:
    """Similarity Kernel Mixup with MixupE's penalty: both use one clean forward.

    Formula: that of `mixup_e`, with lam as in `sk_mixup`.
    Source: ours; the parts are arXiv 2311.01434 and arXiv 2212.13381.
    Defaults: those of the two methods.
    Deviation: E[a] = alpha / (2 alpha + 1) is that of the kernel's base coefficient Beta(alpha, alpha), not of the
    warped lam; it only scales eta.
    Cost: that of `mixup_e`: 2 forwards, 2 backwards. With remember=True and a share below 1, a forward and a backward
    of that share besides the mixed one; with a share alone, the kernel's clean pass comes on top.

    remember: as in `sk_mixup`; share: as in `mixup_e`.
    tau_max, tau_std, space: as in `sk_mixup`; slope, rescale: as in `mixup_e`.
    """
    kernel = SimilarityKernel(tau_max, tau_std, alpha, remembering(space) if remember else space)
    return mixup_e(eta, slope=slope, rescale=rescale, coefficient=kernel, share=share)
