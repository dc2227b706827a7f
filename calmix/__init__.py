"""Calibrated mixup for PyTorch: accuracy, and probabilities that mean what they say."""

from calmix.core.batch_norm import refresh_batch_norm
from calmix.core.clean import CleanGrad, CleanPass
from calmix.core.coefficient import (
    Beta,
    Folded,
    InputsOnly,
    NoMixing,
    SimilarityKernel,
    Sometimes,
    TargetsOnly,
    TwoKernels,
)
from calmix.core.loss import TrainingLoss
from calmix.core.memory import Memory
from calmix.core.method import (
    Coefficient,
    Method,
    Objective,
    Outcome,
    Pairing,
    Pairs,
    Scheduled,
    Site,
    Space,
    Step,
)
from calmix.core.mix import Batch, Mix, blend, mixed_output, mixed_target
from calmix.core.objective import CleanAndMixedLoss, CleanLoss, MixedLoss
from calmix.core.pairing import SelfPairs, Shuffle
from calmix.core.random import beta, warp
from calmix.core.site import EverySite, RandomSite
from calmix.core.space import ByTask, Embedding, Inputs, Remembered, Targets
from calmix.core.task import Binary, Classification, Multilabel, MultiTask, PerRow, Regression, Task
from calmix.core.training_set import IndexedDataset, TrainingSet
from calmix.errors import CalmixError
from calmix.methods import (
    METHODS,
    c_mixup,
    cutmix,
    erm,
    far_mixup,
    input_mixup,
    k_mixup,
    manifold_mixup,
    mit_a,
    mit_l,
    mixup,
    mixup_e,
    mixup_idle,
    near_mixup,
    rankmixup,
    regmixup,
    sk_mixup,
    sk_mixup_e,
    target_mixup,
)
from calmix.methods.c_mixup import TargetNeighbours
from calmix.methods.cutmix import Boxes
from calmix.methods.k_mixup import OptimalAssignment
from calmix.methods.mit import Apart, DecoupledLoss, Twice
from calmix.methods.mixup_e import DirectionalPenalty
from calmix.methods.mixup_idle import IdleCleanPass
from calmix.methods.quantile import QuantileBand
from calmix.methods.rankmixup import RankingLoss, SeveralCoefficients, SeveralPairings
from calmix.methods.wrappers import folded, scheduled, sometimes, without_self_pairs

__version__ = "0.1.0"

__all__ = [
    "METHODS",
    "Apart",
    "Batch",
    "Beta",
    "Binary",
    "Boxes",
    "ByTask",
    "CalmixError",
    "Classification",
    "CleanAndMixedLoss",
    "CleanGrad",
    "CleanLoss",
    "CleanPass",
    "Coefficient",
    "DecoupledLoss",
    "DirectionalPenalty",
    "Embedding",
    "EverySite",
    "Folded",
    "IdleCleanPass",
    "IndexedDataset",
    "Inputs",
    "InputsOnly",
    "Memory",
    "Method",
    "Mix",
    "MixedLoss",
    "MultiTask",
    "Multilabel",
    "NoMixing",
    "Objective",
    "OptimalAssignment",
    "Outcome",
    "Pairing",
    "Pairs",
    "PerRow",
    "QuantileBand",
    "RandomSite",
    "RankingLoss",
    "Regression",
    "Remembered",
    "Scheduled",
    "SelfPairs",
    "SeveralCoefficients",
    "SeveralPairings",
    "Shuffle",
    "SimilarityKernel",
    "Site",
    "Sometimes",
    "Space",
    "Step",
    "TargetNeighbours",
    "Targets",
    "TargetsOnly",
    "Task",
    "TrainingLoss",
    "TrainingSet",
    "Twice",
    "TwoKernels",
    "beta",
    "blend",
    "c_mixup",
    "cutmix",
    "erm",
    "far_mixup",
    "folded",
    "input_mixup",
    "k_mixup",
    "manifold_mixup",
    "mit_a",
    "mit_l",
    "mixed_output",
    "mixed_target",
    "mixup",
    "mixup_e",
    "mixup_idle",
    "near_mixup",
    "rankmixup",
    "refresh_batch_norm",
    "regmixup",
    "scheduled",
    "sk_mixup",
    "sk_mixup_e",
    "sometimes",
    "target_mixup",
    "warp",
    "without_self_pairs",
]
