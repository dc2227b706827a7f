"""Manifold Mixup: mixing the outputs of a hidden layer."""

from calmix.core.coefficient import coefficient_or_beta
from calmix.core.method import Coefficient, Method
from calmix.core.objective import MixedLoss
from calmix.core.pairing import Shuffle
from calmix.core.site import RandomSite


def manifold_mixup(
    alpha: float | None = None,
    sites: tuple[str | None, ...] | None = None,
    per_row: bool = False,
    coefficient: Coefficient | None = None,
) -> Method:
    """Manifold Mixup: mix the inputs, or the output of one of the network's stages, drawn in every step.

    Formula: with f = g(h(x)), h the part up to the drawn site: mean loss(g(lam h(x_i) + (1 - lam) h(x_j)), mixed y),
    lam ~ Beta(alpha, alpha). Any model; the mixing is a hook on the site's output.
    Source: Verma et al., Manifold Mixup: Better Representations by Interpolating Hidden States, ICML 2019
    (arXiv 1806.05236).
    Defaults: alpha = 2, the paper's for CIFAR; one lam a batch. sites: None is the inputs and every stage of the model
    (see `RandomSite`); the paper takes the inputs and the first two groups of blocks: sites=(None, 'layer1', 'layer2').
    Deviation: the authors' code computes a binary cross-entropy on a softmax; the paper's text, and this, the task's
    loss (cross-entropy).
    Cost: 1 forward, 1 backward.

    coefficient: in place of Beta(alpha, alpha), e.g. `SimilarityKernel()`.
    per_row: a lam for each row, in place of one for the batch.
    """
    lam = coefficient_or_beta(coefficient, alpha, per_row, default_alpha=2.0)
    return Method(Shuffle(), lam, MixedLoss(), RandomSite(sites))
