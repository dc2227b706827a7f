"""The parts of methods, and the tools to build and to apply a method of your own.

`eval(repr(method), vars(calmix.parts)) == method` for every method.
"""

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
from calmix.core.control import Control
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
from calmix.core.mix import Batch, Mix, Shares, blend, mixed_output, mixed_target
from calmix.core.objective import CleanAndMixedLoss, CleanLoss, MixedLoss
from calmix.core.pairing import SelfPairs, Shuffle, WholeSet
from calmix.core.random import beta, warp
from calmix.core.site import EverySite, RandomSite
from calmix.core.space import ByTask, Embedding, Inputs, Remembered, Targets
from calmix.core.task import Task
from calmix.core.training_set import TrainingSet
from calmix.methods.c_mixup import TargetNeighbours
from calmix.methods.cutmix import Boxes
from calmix.methods.k_mixup import OptimalAssignment
from calmix.methods.mit import Apart, DecoupledLoss, Twice
from calmix.methods.mixup_e import DirectionalPenalty, Jacobian, JacobianAbs, Logit, LogitDetached, Slope
from calmix.methods.mixup_idle import IdleCleanPass
from calmix.methods.quantile import QuantileBand
from calmix.methods.rankmixup import MNDCG, MRL, Ranking, RankingLoss, SeveralCoefficients, SeveralPairings

__all__ = [
    "MNDCG",
    "MRL",
    "Apart",
    "Batch",
    "Beta",
    "Boxes",
    "ByTask",
    "CleanAndMixedLoss",
    "CleanGrad",
    "CleanLoss",
    "CleanPass",
    "Coefficient",
    "Control",
    "DecoupledLoss",
    "DirectionalPenalty",
    "Embedding",
    "EverySite",
    "Folded",
    "IdleCleanPass",
    "Inputs",
    "InputsOnly",
    "Jacobian",
    "JacobianAbs",
    "Logit",
    "LogitDetached",
    "Memory",
    "Method",
    "Mix",
    "MixedLoss",
    "NoMixing",
    "Objective",
    "OptimalAssignment",
    "Outcome",
    "Pairing",
    "Pairs",
    "QuantileBand",
    "RandomSite",
    "Ranking",
    "RankingLoss",
    "Remembered",
    "Scheduled",
    "SelfPairs",
    "SeveralCoefficients",
    "SeveralPairings",
    "Shares",
    "Shuffle",
    "SimilarityKernel",
    "Site",
    "Slope",
    "Sometimes",
    "Space",
    "Step",
    "TargetNeighbours",
    "Targets",
    "TargetsOnly",
    "Task",
    "TrainingSet",
    "Twice",
    "TwoKernels",
    "WholeSet",
    "beta",
    "blend",
    "mixed_output",
    "mixed_target",
    "warp",
]
