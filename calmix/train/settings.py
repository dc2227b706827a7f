"""How a network is trained: one frozen value. PyTorch is loaded only to ask whether there is a GPU."""

from dataclasses import asdict, dataclass

from calmix.core import require
from calmix.core.passes import BATCH_NORM
from calmix.errors import SettingError, UnknownNameError
from calmix.reprs import shown
from calmix.train.averaging import EMA, SWA, read_average
from calmix.train.schedules import Steps, read_steps

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("cosine", "one_cycle", "constant", "steps")
SELECTIONS = ("last", "best")
DEVICES = ("auto", "cpu", "cuda")
CLASS_WEIGHTS = ("none", "balanced")
SAMPLERS = ("shuffled", "balanced")
CHECKPOINT_MINUTES = 10.0  # between two checkpoints of a run
AUGMENT = ("auto", "none", "crop", "crop_flip", "resized_crop", "randaugment")
# than calmix 0.1.0
_LATER = ("class_weight", "sampler", "average", "augment", "devices", "dropout_passes", "max_grad_norm")
PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "batch_norm": BATCH_NORM,
    "select": SELECTIONS,
    "device": DEVICES,
    "precision": tuple(PRECISIONS),
    "class_weight": CLASS_WEIGHTS,
    "sampler": SAMPLERS,
    "augment": AUGMENT,
}


@dataclass(frozen=True, repr=False)
class TrainingSettings:
    """The settings of one training run.

    Args:
        epochs: Passes over the training split.
        batch_size: At most this many rows a batch; batches are nearly equal.
        optimizer: `sgd` (Nesterov momentum 0.9) or `adamw`.
        schedule: `cosine` to zero, `one_cycle`, `constant` or `steps(at=[0.5, 0.75])`.
        learning_rate: The largest of the schedule (default: 0.1 for sgd, 0.002 for adamw).
        weight_decay: Strength of the weight decay, at least 0.
        batch_norm: Which passes move the running statistics: `mixed`, `clean` or `both`.
        refresh_batch_norm: Re-estimate the running statistics on clean training rows after training.
        select: The epoch to keep: the `last`, or the `best` by the loss on validation rows.
        device: `auto` (a GPU where there is one), `cpu` or `cuda`.
        precision: `32`, or mixed precision: `bf16` or `16`.
        class_weight: `none`, or `balanced`: each class weighs n / (K n_k) in the loss.
        sampler: `shuffled`: every row once an epoch; `balanced`: classes equally often.
        average: Keep an average of the weights: `none`, `ema(decay=0.999)` or `swa(start=0.75)`.
        augment: Of images: `none`, `crop`, `crop_flip`, `resized_crop`, `randaugment`; `auto`: by data.
        threads: CPU threads of a run; another number rounds otherwise, to other weights.
        devices: Processes that share each batch of a run, each on a GPU, or on the CPU.
        dropout_passes: With dropout, whose mean and spread a regression answers; 0: dropout is off.
        max_grad_norm: Gradients are clipped to this norm; 0: never (default: 1 for regressions, else 0).

    Raises:
        SettingError, UnknownNameError: a value out of range, or that is not known.
    """

    epochs: int = 30
    batch_size: int = 64
    optimizer: str = "sgd"
    schedule: str = "cosine"
    learning_rate: float | None = None
    weight_decay: float = 5e-4
    batch_norm: str = "mixed"
    refresh_batch_norm: bool = False
    select: str = "last"
    device: str = "auto"
    precision: str = "32"
    threads: int = 1
    class_weight: str = "none"
    sampler: str = "shuffled"
    average: str = "none"
    augment: str = "auto"
    devices: int = 1
    dropout_passes: int = 0
    max_grad_norm: float | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "threads", "devices"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if self.learning_rate is not None:
            require.positive("learning_rate", self.learning_rate)
        for name in ("weight_decay", "max_grad_norm"):
            given = getattr(self, name) or 0
            require.at_least(name, given, 0)
            if given:
                require.positive(name, given)
        if self.dropout_passes < 0 or self.dropout_passes == 1:
            raise SettingError(f"dropout_passes must be 0, or at least 2 to have a spread; got {self.dropout_passes}.")
        for name, known in CHOICES.items():
            chosen = "steps" if name == "schedule" and self.steps else getattr(self, name)
            if chosen not in known:
                raise UnknownNameError(name, chosen, known)
        if self.device == "cuda" and not _has_gpu():
            raise SettingError("device 'cuda' was asked for, but PyTorch sees no GPU here; use --device cpu or auto.")
        if self.precision == "16" and self.accelerator == "cpu":
            raise SettingError("precision '16' needs a GPU; use 'bf16' or '32' on the CPU.")
        if isinstance(self.averaging, SWA) and self.select == "best":
            raise SettingError("average 'swa' is of the last epochs, and there is no best one; leave select out.")

    def __repr__(self) -> str:
        """Settings that runs of calmix 0.1.0 did not have stand in it only where they change something."""
        return shown(self, unless_default={*_LATER})

    @property
    def accelerator(self) -> str:
        """cpu or cuda: what `device` comes to here."""
        if self.device == "auto":
            return "cuda" if _has_gpu() else "cpu"
        return self.device

    @property
    def averaging(self) -> EMA | SWA | None:
        """What `average` says."""
        return read_average(self.average)

    @property
    def steps(self) -> Steps | None:
        """What `schedule` says, if its rate falls in steps."""
        return read_steps(self.schedule)

    @property
    def weights(self) -> str:
        """Which weights of a training are kept, in words: `trained`, or an average, and `refreshed` batch norm.

        >>> TrainingSettings().weights, TrainingSettings(average="ema", refresh_batch_norm=True).weights
        ('trained', 'ema refreshed')
        """
        name = "trained" if self.averaging is None else self.average
        return f"{name} refreshed" if self.refresh_batch_norm and not isinstance(self.averaging, SWA) else name

    @property
    def peak_rate(self) -> float:
        """The largest learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 0.1 if self.optimizer == "sgd" else 0.002

    def largest_gradient(self, task: str) -> float:
        """What `max_grad_norm` comes to for a task: a Euclidean norm over all weights; 0: gradients are not clipped.

        >>> settings = TrainingSettings()
        >>> settings.largest_gradient("regression"), settings.largest_gradient("classification")
        (1.0, 0.0)
        """
        if self.max_grad_norm is not None:
            return self.max_grad_norm
        return 1.0 if task == "regression" else 0.0

    def in_full(self, task: str) -> dict[str, str | int | float | bool | None]:
        """All settings by name, with what defaults come to for a task."""
        return {**asdict(self), "learning_rate": self.peak_rate, "max_grad_norm": self.largest_gradient(task)}


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
