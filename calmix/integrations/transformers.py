"""Hugging Face Transformers: a mixin for `Trainer` whose loss is a `TrainingLoss`.

n rows of a batch, m mixed rows, t tokens, d entries of a token's embedding
"""

import os
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from calmix.core.hooks import uncompiled, within_ddp
from calmix.core.loss import TrainingLoss
from calmix.core.tree import leaves
from calmix.errors import DataError, SettingError, ShapeError, not_installed
from calmix.integrations.observed import TrainingRows, ValidationRows
from calmix.reading import reading

try:
    from transformers import TrainerCallback
    from transformers.trainer_utils import get_last_checkpoint
except ModuleNotFoundError as _error:
    raise not_installed(__name__, _error, "transformers") from None

if TYPE_CHECKING:
    from transformers import Trainer
else:
    Trainer = object  # the class beside the mixin

FILE = "training_loss.pt"  # in a checkpoint's folder
ANEW = "resume from another checkpoint, or train anew from its weights"


class CalmixTrainerMixin(Trainer):
    """Put before `Trainer`, it trains by a `TrainingLoss`: `class MyTrainer(CalmixTrainerMixin, Trainer): pass`.

    training_loss: an argument in addition to those of `Trainer`.

    A batch is a dict with "labels", which go to the task. Texts ("input_ids", (n, t)) are mixed where the model has
    embedded their tokens, (n, t, d), and their "attention_mask" is or-ed; floating entries, such as "pixel_values", are
    mixed as they are. Integer entries that are the same in all rows ("token_type_ids" of single texts) stay; asking
    whether they are waits for the device. For other inputs override `inputs_to_mix`. Sites and spaces name modules as
    the model does: `parts.Embedding("bert.pooler")`.

    - The loss of a batch is its mean, and the Trainer divides it by the number of batches whose gradients it adds up.
    - In evaluations it is the task's plain loss.
    - `auto` is shown the rows of the first evaluation in each epoch, which `eval_strategy="epoch"` asks for, and the
      training rows of the last steps before.
    - What is logged has the means of the loss's terms since the last time, the accuracy on mixed targets (`accuracy`)
      and `strength`.
    - Each checkpoint holds the training loss's state; `train(resume_from_checkpoint=...)` reads it.
    - Methods that remember rows need an entry "index" in each row, its position in the training set.

    Raises:
        SettingError: an option of the Trainer that would be ignored (`compute_loss_func`, `label_smoothing_factor`);
            several GPUs in one process; `auto` without evaluations.
        ShapeError: a batch without "labels"; integers that cannot be mixed.
        DataError: a checkpoint without the training loss's state.
    """

    def __init__(self, *args: Any, training_loss: TrainingLoss, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(training_loss, TrainingLoss):
            raise SettingError(f"training_loss must be a calmix.TrainingLoss; got {type(training_loss).__name__}.")
        if self.compute_loss_func is not None:
            raise SettingError("compute_loss_func would be ignored, as the training loss is the loss; leave it out.")
        if self.args.label_smoothing_factor:
            raise SettingError(
                "label_smoothing_factor would be ignored; give it to the task: "
                f"calmix.Classification(..., label_smoothing={self.args.label_smoothing_factor:g})."
            )
        if self.args.n_gpu > 1:
            raise SettingError(
                f"one process would share its {self.args.n_gpu} GPUs by DataParallel, which runs copies of the model; "
                "start one process a GPU: torchrun --nproc-per-node gpu script.py."
            )
        if training_loss.method.controlled and self.args.eval_strategy == "no":
            raise SettingError(
                "auto sets its strength by evaluations; give TrainingArguments(..., eval_strategy='epoch') and an "
                "eval_dataset, or take a method of fixed strength."
            )
        self.training_loss = training_loss
        self.model_accepts_loss_kwargs = False  # the loss is a batch's mean: the Trainer divides it by their number
        self._rows, self._trained = ValidationRows(training_loss), TrainingRows(training_loss)
        self._sums: dict[str, Tensor] = {}  # of what is logged, weighted by rows
        self._counted = 0
        self._network: _Network | None = None
        self.add_callback(_Keeper(self))

    def inputs_to_mix(self, inputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What is mixed of a batch, tensors (n, ...) by the model's names for them, and what all rows have in common.

        Override it for a model that takes something else.
        """
        mixed, common = {}, {}
        for name, rows in inputs.items():
            if name == "input_ids" and "inputs_embeds" not in inputs:
                mixed["inputs_embeds"] = self.accelerator.unwrap_model(self.model).get_input_embeddings()(rows)
            elif name == "attention_mask" and rows.ndim == 2:
                mixed[name] = rows.bool()
            elif not isinstance(rows, Tensor) or rows.is_floating_point() or rows.dtype == torch.bool:
                mixed[name] = rows
            elif (rows == rows[:1]).all():
                common[name] = rows[:1]
            else:
                raise ShapeError(
                    f"{name!r} are integers that differ from row to row, and cannot be mixed; give floating numbers, "
                    "leave them out of the batch, or override inputs_to_mix."
                )
        return mixed, common

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        inputs = dict(inputs)
        if "labels" not in inputs:
            raise ShapeError(
                f"a batch must have an entry 'labels'; got one with {', '.join(inputs) or 'nothing'}: let the data set "
                "or data_collator give it."
            )
        y, index = inputs.pop("labels"), inputs.pop("index", None)
        network = self._network_of(model)
        training_loss = self.training_loss.train(model.training)
        if model.training:
            training_loss.epoch = int(self.state.epoch or 0)
            self._trained.note(inputs, y)
            inputs, network.common = self.inputs_to_mix(inputs)
        elif self.is_in_train:
            self._trained.ask(network)
        loss = training_loss(network, inputs, y, index)
        if model.training:
            network.common = {}
            self._count(loss)
            return loss
        if self.is_in_train:
            self._rows.note()
        return (loss, network.returned) if return_outputs else loss

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval") -> Any:
        whole = eval_dataset is None  # else one data set of several, or another one
        if whole:
            self._rows.forget()
        metrics = super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)
        if whole:
            self._rows.show(self._trained.said)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs and self._counted:
            logs |= {name: float(value) / self._counted for name, value in self._sums.items()}
            self._sums, self._counted = {}, 0
        super().log(logs, start_time)

    def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
        folder = resume_from_checkpoint
        if folder is True:
            folder = get_last_checkpoint(str(self.args.output_dir))
        if folder:
            self._go_on(Path(folder))
        return super().train(resume_from_checkpoint, *args, **kwargs)

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if self._signature_columns is not None and "index" not in self._signature_columns:
            self._signature_columns.append("index")

    def _go_on(self, folder: Path) -> None:
        if not (folder / FILE).exists():
            raise DataError(f"{folder} holds no {FILE}, the training loss's state; {ANEW}.")
        with reading(folder / FILE, ANEW):
            state = torch.load(folder / FILE, weights_only=True)
            self.training_loss.load_state_dict(state["training_loss"])
            self._rows.epoch = state["observed"]

    def _state(self) -> dict[str, Any]:
        return {"training_loss": self.training_loss.state_dict(), "observed": self._rows.epoch}

    def _network_of(self, model: nn.Module) -> "_Network":
        if self._network is None or self._network.model is not model:
            self._network = _Network(model)
        return self._network

    def _count(self, loss: Tensor) -> None:
        training_loss = self.training_loss
        values = dict(training_loss.terms)
        if (accuracy := training_loss.accuracy()) is not None:
            values["accuracy"] = accuracy
        if (strength := training_loss.strength) is not None:
            values["strength"] = torch.tensor(strength)
        assert training_loss.outcome is not None
        rows = len(leaves(training_loss.outcome.output)[0])
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + rows * value
        self._counted += rows


class _Network(nn.Module):
    """A model as the training loss calls it: with one dict, for its logits. Its modules keep the names that they have.

    common: (1, ...), what all rows of the step have in common. returned: what the model returned last.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._held = (model,)  # in a tuple, so that its modules' names get no prefix
        self.common: dict[str, Any] = {}
        self.returned: Any = None

    @property
    def model(self) -> nn.Module:
        return self._held[0]

    def forward(self, x: dict[str, Any]) -> Tensor:
        rows = len(leaves(x)[0])
        common = {name: value.expand(rows, *value.shape[1:]) for name, value in self.common.items()}
        mask = {name: value.long() for name, value in x.items() if name == "attention_mask" and value.ndim == 2}
        returned = self.model(**{**x, **mask, **common})
        if isinstance(returned, Mapping):
            self.returned, logits = returned, returned.get("logits")
        else:
            self.returned, logits = (None, *returned), returned[0]
        if not isinstance(logits, Tensor):
            raise ShapeError(f"the model must return 'logits'; got {', '.join(returned)}: take one with a head.")
        return logits

    def named_modules(self, *args: Any, **kwargs: Any) -> Generator[Any, None, None]:
        yield from within_ddp(uncompiled(self.model)).named_modules(*args, **kwargs)

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        return within_ddp(uncompiled(self.model)).named_children()

    def get_submodule(self, target: str) -> nn.Module:
        return within_ddp(uncompiled(self.model)).get_submodule(target)


class _Keeper(TrainerCallback):
    """Writes the training loss's state into each checkpoint."""

    def __init__(self, trainer: CalmixTrainerMixin) -> None:
        self._trainer = trainer

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        folder = os.path.join(args.output_dir, f"checkpoint-{state.global_step}")
        if args.should_save and os.path.isdir(folder):  # a search of hyperparameters has folders of its own
            torch.save(self._trainer._state(), os.path.join(folder, FILE))
