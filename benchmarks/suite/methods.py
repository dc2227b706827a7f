"""What is compared: methods at their defaults, and the fixed ones with settings chosen by a search of eight trials."""

from dataclasses import dataclass, replace

from calmix.core.clean import CleanGrad
from calmix.core.coefficient import NoMixing
from calmix.core.method import Method, Outcome, Scheduled, Step
from calmix.core.mix import Mix
from calmix.core.pairing import SelfPairs
from calmix.core.task import Classification
from calmix.methods.read import read_method

SMOOTHING = "label_smoothing"
FIXED = (
    "erm",
    SMOOTHING,
    "mixup",
    "mixup(per_row=True)",
    "manifold_mixup",
    "regmixup",
    "sk_mixup",
    "sk_mixup(remember=True)",
    "mixup_e",
    "sk_mixup_e",
)
AUTO = ("auto", "auto(method=sk_mixup(remember=True))")
TUNED = ("erm", "mixup", "manifold_mixup", "regmixup", "sk_mixup", "sk_mixup(remember=True)", "mixup_e", "sk_mixup_e")
MORE_ROWS = ("erm", "mixup", "regmixup", "sk_mixup")  # trained on the validation rows, too, which auto learns from
TRIALS = 8


@dataclass(frozen=True)
class SmoothedLoss:
    """The loss of clean rows against smoothed labels. Term: clean."""

    smoothing: float = 0.1

    @property
    def clean_grad(self) -> CleanGrad:
        return CleanGrad.NOTHING

    def __call__(self, step: Step, mix: Mix) -> Outcome:
        assert isinstance(step.task, Classification)
        task, output = replace(step.task, label_smoothing=self.smoothing), step.model(step.batch.x)
        return Outcome({"clean": task.loss(output, step.target).mean()}, output, step.target)


def method_of(text: str) -> Method | Scheduled:
    """The method that a text names; label smoothing is no mixing, and stands only here."""
    return Method(SelfPairs(), NoMixing(), SmoothedLoss()) if text == SMOOTHING else read_method(text)
