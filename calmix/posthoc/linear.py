"""Vector and matrix scaling: a linear map of the logits, with a weight for each class or for each pair of classes.

    n  rows
    K  classes

Sources: Guo et al., On Calibration of Modern Neural Networks, ICML 2017; for the regularisation of matrix scaling
Kull et al., Beyond temperature scaling, NeurIPS 2019 (off-diagonal and intercept regularisation, ODIR).

Deviation: both act on centred logits, z_k minus the mean over k, while Guo et al. take the network's logits. Softmax
does not depend on the row's mean, so that a fit on logits and one on log-probabilities give the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from calmix.errors import SettingError, ShapeError
from calmix.posthoc.calibration import CalibrationLogits, folds_of, required
from calmix.posthoc.minimise import minimise
from calmix.posthoc.temperature import PRIOR_SD, fit_temperature

PENALTIES = (1e-2, 1e-1, 1.0, 10.0)
STEPS = 200
PIECE = 2**16  # logits that are looked at together


@dataclass(frozen=True, eq=False)
class VectorScaling:
    """weight_k z_k + bias_k, for centred logits z. The order of classes may change.

    >>> VectorScaling(torch.tensor([1.0, 0.5]), torch.tensor([0.0, 1.0]))(torch.tensor([[2.0, 0.0]]))
    tensor([[1.0000, 0.5000]])
    """

    weight: Tensor  # (K,)
    bias: Tensor  # (K,)

    def __call__(self, logits: Tensor) -> Tensor:
        centred = _centred(logits, len(self.bias))
        return centred * self.weight.to(centred) + self.bias.to(centred)


@dataclass(frozen=True, eq=False)
class MatrixScaling:
    """weight z + bias, for centred logits z. The order of classes may change.

    >>> MatrixScaling(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.zeros(2))(torch.tensor([[2.0, 0.0]]))
    tensor([[-1.,  1.]])
    """

    weight: Tensor  # (K, K), row k makes the new logit of class k
    bias: Tensor  # (K,)

    def __call__(self, logits: Tensor) -> Tensor:
        centred = _centred(logits, len(self.bias))
        return linear(centred, self.weight.to(centred), self.bias.to(centred))


@torch.inference_mode(False)
def fit_vector_scaling(calibration: CalibrationLogits, prior_sd: float = PRIOR_SD) -> VectorScaling:
    """The 2 K numbers that minimise the negative log-likelihood of softmax(weight * z + bias), and a penalty:

        sum_i NLL_i + (sum_k (T weight_k - 1)^2 + sum_k bias_k^2) / (2 prior_sd^2),

    with temperature scaling's T: the most probable numbers if T weight_k and bias_k are normal beforehand, with means 1
    and 0 and deviation `prior_sd`. As there, few rows stay near T, and with many the penalty hardly matters.

    Convex; L-BFGS from temperature scaling's solution, where the penalty is zero, so that the NLL on the calibration
    split is never above temperature scaling's.

    Args:
        calibration: the calibration split.
        prior_sd: the deviation, also of `fit_temperature`; math.inf is Guo's vector scaling, without a penalty.

    Raises:
        SettingError: `calibration` is not CalibrationLogits, or `prior_sd` is not positive.

    >>> import math
    >>> logits = torch.zeros(400, 2)  # constant logits: the fit gives the frequencies of the classes
    >>> calibration = CalibrationLogits(logits, torch.tensor([0, 0, 0, 1]).repeat(100))
    >>> fit_vector_scaling(calibration, prior_sd=math.inf)(logits).softmax(1)[0]
    tensor([0.7500, 0.2500])
    """
    temperature, z, labels = _scaled(calibration, prior_sd)

    def loss(weight: Tensor, bias: Tensor) -> Tensor:
        penalty = ((weight - 1).square().sum() + bias.square().sum()) / (2 * len(z) * prior_sd**2)
        return _nll(lambda rows: rows * weight + bias, z, labels) + penalty

    weight, bias = minimise(loss, torch.ones_like(z[0]), torch.zeros_like(z[0]), steps=STEPS)
    return VectorScaling(weight / temperature, bias)


@torch.inference_mode(False)
def fit_matrix_scaling(
    calibration: CalibrationLogits,
    penalties: Sequence[float] = PENALTIES,
    folds: int = 3,
    prior_sd: float = PRIOR_SD,
) -> MatrixScaling:
    """The K^2 + K numbers that minimise the regularised NLL of softmax(weight z + bias),

        NLL + p (mean of (T weight_kj)^2 over k != j  +  mean of bias_k^2)
            + sum_k (T weight_kk - 1)^2 / (2 n prior_sd^2).

    ODIR, which does not penalise the diagonal, so that a large p gives vector scaling without a bias; and vector
    scaling's prior on the diagonal. Of several `penalties` the p with the smallest NLL on the left-out folds of a
    cross-validation within the calibration split is taken.

    Convex; L-BFGS from temperature scaling's solution, where the penalty is zero, so that the NLL on the calibration
    split is never above temperature scaling's. Deviations from Kull et al.: one p for weight and bias, and weights are
    measured in units of temperature scaling's 1 / T, so that p means the same whatever the size of the logits.

    Cost: one fit for each fold and penalty, and one more; a fit takes about 50 products (n, K) (K, K). With more than a
    hundred classes use vector scaling.

    Args:
        calibration: the calibration split.
        penalties: candidates for p, each at least 0. A single one is taken without cross-validation; 0 is Guo's matrix
            scaling, which overfits unless n is much larger than K^2.
        folds: of the cross-validation, at least 2; with fewer rows than folds, one fold for each row.
        prior_sd: as in `fit_vector_scaling`; math.inf is ODIR alone.

    Raises:
        SettingError: `calibration` is not CalibrationLogits, `penalties` is empty or holds a negative number,
            `folds` is less than 2, or `prior_sd` is not positive.

    >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]]).repeat(20, 1)  # a network that confuses its two classes
    >>> swapped = fit_matrix_scaling(CalibrationLogits(logits, torch.tensor([1, 0]).repeat(20)))
    >>> swapped(logits[:2]).argmax(1)
    tensor([1, 0])
    """
    calibration = required(calibration, CalibrationLogits)
    if not penalties or not all(0 <= penalty < torch.inf for penalty in penalties):
        raise SettingError(f"penalties is {penalties}, expected at least one, each finite and at least 0.")
    if folds < 2:
        raise SettingError(f"folds is {folds}, expected at least 2; for no cross-validation pass a single penalty.")
    if len(penalties) == 1:
        return _fit_matrix(calibration, penalties[0], prior_sd)
    best = min(penalties, key=lambda penalty: (_left_out_nll(calibration, penalty, folds, prior_sd), -penalty))
    return _fit_matrix(calibration, best, prior_sd)


def _fit_matrix(calibration: CalibrationLogits, penalty: float, prior_sd: float) -> MatrixScaling:
    temperature, z, labels = _scaled(calibration, prior_sd)
    classes = z.shape[1]
    off_diagonal = 1 - torch.eye(classes, dtype=z.dtype)

    def loss(weight: Tensor, bias: Tensor) -> Tensor:
        odir = (weight * off_diagonal).square().sum() / (classes * (classes - 1)) + bias.square().mean()
        prior = (weight.diagonal() - 1).square().sum() / (2 * len(z) * prior_sd**2)
        return _nll(lambda rows: linear(rows, weight, bias), z, labels) + penalty * odir + prior

    start = torch.eye(classes, dtype=z.dtype), torch.zeros_like(z[0])
    weight, bias = minimise(loss, *start, steps=STEPS, tolerance=1e-6)
    return MatrixScaling(weight / temperature, bias)


def _scaled(calibration: CalibrationLogits, prior_sd: float) -> tuple[float, Tensor, Tensor]:
    """T of temperature scaling, centred logits divided by it, (n, K), and labels (n,)."""
    calibration = required(calibration, CalibrationLogits)
    temperature = fit_temperature(calibration, prior_sd).value
    return temperature, _centred(calibration.logits) / temperature, calibration.labels


def _nll(correct: Callable[[Tensor], Tensor], z: Tensor, labels: Tensor) -> Tensor:
    """The mean NLL of corrected rows, a few at a time.

    Between the small numbers of L-BFGS, blocks of all rows would leave holes in the heap: gigabytes, for ten
    thousand rows of a hundred classes.
    """
    rows = max(1, PIECE // z.shape[1])
    pieces = zip(z.split(rows), labels.split(rows), strict=True)
    return torch.stack([cross_entropy(correct(x), y, reduction="sum") for x, y in pieces]).sum() / len(z)


def _left_out_nll(calibration: CalibrationLogits, penalty: float, folds: int, prior_sd: float) -> float:
    """Summed NLL of all rows, each under the fit on the folds without it."""
    return sum(
        cross_entropy(_fit_matrix(rest, penalty, prior_sd)(left_out.logits), left_out.labels, reduction="sum").item()
        for rest, left_out in folds_of(calibration, folds)
    )


def _centred(logits: Tensor, classes: int | None = None) -> Tensor:
    """Logits (n, K) minus their row's mean. Raises ShapeError if K is not `classes`."""
    if classes is not None and (logits.ndim != 2 or logits.shape[1] != classes):
        raise ShapeError(
            f"logits has shape {tuple(logits.shape)}, expected (n, {classes}); "
            "pass logits of the classes that the calibration split had."
        )
    return logits - logits.mean(1, keepdim=True)
