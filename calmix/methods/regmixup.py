"""RegMixup: training on mixed rows in addition to clean ones."""

from calmix.core.coefficient import coefficient_or_beta
from calmix.core.method import Coefficient, Method
from calmix.core.objective import CleanAndMixedLoss
from calmix.core.pairing import Shuffle


def regmixup(
    alpha: float | None = None, weight: float = 1.0, per_row: bool = False, coefficient: Coefficient | None = None
) -> Method:
    """RegMixup: the plain loss plus the mixup loss as a regulariser.

    Formula: mean loss(f(x_i), y_i) + weight mean loss(f(mixed x), mixed y), lam ~ Beta(alpha, alpha).
    Source: Pinto et al., Using Mixup as a Regularizer Can Surprisingly Improve Accuracy and Out-of-Distribution
    Robustness, NeurIPS 2022 (arXiv 2206.14502).
    Defaults: weight = 1, the paper's; alpha = 10, its code's for CIFAR-100 (20 for CIFAR-10); one lam for a batch as
    there.
    Deviation: the published code averages over the 2n joint rows, which halves both terms.
    Batch norm: as published, the joint forward normalises clean and mixed rows together, and its statistics are those
    of both kinds, also with TrainingLoss(batch_norm="mixed"), for which it is the pass on mixed rows.
    Cost: 2 forwards, 2 backwards: one joint forward of twice the rows.

    coefficient: in place of Beta(alpha, alpha), e.g. `SimilarityKernel()`, the combination of arXiv 2311.01434.
    The clean rows then have a forward of their own, which the kernel shares (still 2 and 2): the two kinds are
    normalised apart, and with batch_norm="mixed" the statistics are those of the mixed rows alone.
    per_row: a lam for each row, in place of one for the batch.
    """
    lam = coefficient_or_beta(coefficient, alpha, per_row, default_alpha=10.0)
    return Method(Shuffle(), lam, CleanAndMixedLoss(weight, joint=coefficient is None))
