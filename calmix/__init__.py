"""Calibrated mixup for PyTorch: accuracy, and probabilities that mean what they say."""

from calmix.core.clean import CleanGrad, CleanPass
from calmix.core.coefficient import Beta, One, SimilarityKernel
from calmix.core.loss import TrainingLoss
from calmix.core.method import Coefficient, Method, Objective, Outcome, Pairing, Space, Step
from calmix.core.mix import Batch, Mix, blend, mixed_output, mixed_target
from calmix.core.objective import CleanAndMixedLoss, CleanLoss, MixedLoss
from calmix.core.pairing import Alone, Shuffle
from calmix.core.random import beta, warp
from calmix.core.space import ByTask, Embedding, Inputs, Targets
from calmix.core.task import Binary, Classification, Multilabel, Regression, Task
from calmix.errors import CalmixError
from calmix.methods import METHODS, erm, mixup, mixup_e, regmixup, sk_mixup, sk_mixup_e
from calmix.methods.mixup_e import DirectionalPenalty

__version__ = "0.1.0"

__all__ = [
    "METHODS",
    "Alone",
    "Batch",
    "Beta",
    "Binary",
    "ByTask",
    "CalmixError",
    "Classification",
    "CleanAndMixedLoss",
    "CleanGrad",
    "CleanLoss",
    "CleanPass",
    "Coefficient",
    "DirectionalPenalty",
    "Embedding",
    "Inputs",
    "Method",
    "Mix",
    "MixedLoss",
    "Multilabel",
    "Objective",
    "One",
    "Outcome",
    "Pairing",
    "Regression",
    "Shuffle",
    "SimilarityKernel",
    "Space",
    "Step",
    "Targets",
    "Task",
    "TrainingLoss",
    "beta",
    "blend",
    "erm",
    "mixed_output",
    "mixed_target",
    "mixup",
    "mixup_e",
    "regmixup",
    "sk_mixup",
    "sk_mixup_e",
    "warp",
]
