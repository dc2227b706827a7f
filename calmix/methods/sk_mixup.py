"""Similarity Kernel Mixup: how strongly a pair is mixed depends on how similar the two are."""

from calmix.core.coefficient import SimilarityKernel, TwoKernels
from calmix.core.method import Method, Space
from calmix.core.objective import MixedLoss
from calmix.core.pairing import Shuffle
from calmix.core.space import ByTask, remembering


def sk_mixup(
    tau_max: float = 1.0,
    tau_std: float = 0.25,
    alpha: float = 1.0,
    space: Space = ByTask(),
    remember: bool = False,
    tau_max_y: float | None = None,
    tau_std_y: float | None = None,
) -> Method:
    """Similarity Kernel Mixup: mix similar pairs strongly, distant pairs hardly.

    Formula: d = |z_i - z_j|^2 / mean over the batch's pairs, tau = tau_max exp(-(d - 1) / (2 tau_std^2)),
    lam = quantile of Beta(tau, tau) at u ~ Beta(alpha, alpha), one for each row; then as Mixup. With tau_max_y or
    tau_std_y the targets have a tau of their own, and their lam is the quantile of its Beta at the same u.
    Source: Bouniot et al., Tailoring Mixup to Data for Calibration, ICLR 2025 (arXiv 2311.01434).
    Defaults: tau_max = 1, tau_std = 0.25, the paper's for CIFAR-10 and CIFAR-100 (Tiny-ImageNet: 1 and 1.25; ImageNet
    with ResNet-50: 0.1 and 0.25; regression on Airfoil: 0.0001 and 0.5, on Exchange-Rate: 5 and 1).
    tau_max_y, tau_std_y: those of the inputs. space: z is the penultimate features with `Embedding()` (the paper's for
    classification), the targets with `Targets()` (the paper's for regression) or the inputs with `Inputs()`; `ByTask()`
    chooses as the paper does.
    Deviations: batch-norm statistics are not moved by the clean pass. In regression the authors draw partners from the
    whole training set, as `with_whole_set(sk_mixup())` does.
    Cost: 1 forward, 1 backward; with `Embedding()` 1 more forward, without a graph and without the last layer.

    remember: ours; z is an estimate from the mixed rows of earlier steps, so that there is no further forward. The
    training loss then needs the rows' positions, `index`; see `Remembered` and `Memory`. Not for regression, nor for
    trainings of a few epochs: in the first five or so, remembered distances are a poor stand-in for exact ones.
    """
    space = remembering(space) if remember else space
    kernel = SimilarityKernel(tau_max, tau_std, alpha, space)
    if tau_max_y is None and tau_std_y is None:
        return Method(Shuffle(), kernel, MixedLoss())
    tau_max_y = tau_max if tau_max_y is None else tau_max_y
    tau_std_y = tau_std if tau_std_y is None else tau_std_y
    return Method(Shuffle(), TwoKernels(kernel, SimilarityKernel(tau_max_y, tau_std_y, alpha, space)), MixedLoss())
