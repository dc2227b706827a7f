"""Plain training (empirical risk minimisation): the baseline of every comparison."""

from calmix.core.coefficient import NoMixing
from calmix.core.method import Method
from calmix.core.objective import CleanLoss
from calmix.core.pairing import SelfPairs


def erm() -> Method:
    """Plain training: nothing is mixed.

    Formula: mean_i loss(f(x_i), y_i). Source: Vapnik, 1991. No options.
    Cost: 1 forward, 1 backward.
    """
    return Method(SelfPairs(), NoMixing(), CleanLoss())
