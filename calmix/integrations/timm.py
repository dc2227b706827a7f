"""timm and torchvision: mixing in the place of `timm.data.Mixup` and `torchvision.transforms.v2.MixUp` or `CutMix`.

Neither package is imported. n rows of a batch, K classes
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate, get_worker_info

from calmix.core.method import Method
from calmix.core.mix import Batch, blend, mixed_target
from calmix.core.objective import CleanLoss, MixedLoss
from calmix.core.ranks import rank, seed_of_step
from calmix.core.task import Classification
from calmix.errors import CalmixError, SettingError


class MixupFn:
    """Mixes a batch before the forward: `x, target = mixup_fn(x, target)`, with soft targets for a cross-entropy.

    For methods that need nothing of the network and minimise the plain loss of mixed rows: `mixup`, `cutmix`,
    `input_mixup`, `target_mixup`, `sometimes(...)`, `sk_mixup(space=parts.Inputs())`. The others ask the network in
    each step, and a `TrainingLoss` asks it.

    method: such as `calmix.mixup(alpha=0.2)`. num_classes: K. label_smoothing: s; mixed targets t become
    (1 - s) t + s / K. seed: of its own random numbers. In a process of a loader they follow from the process's seed,
    too, which the loader draws anew in every epoch; on several ranks each rank has its own.

    Attributes:
        mixup_enabled: False gives rows as they are, and their targets as rows; timm sets it by `--mixup-off-epoch`.

    Call: x (n, ...) floating and target (n,) class ids, or (n, K) rows -> mixed x, target (n, K) float32. Any number of
    rows; the batch is not changed in place. Each row has the share of its partner that the method draws for it.

    Raises:
        SettingError: a method that needs the network, or changes with the epoch.
        ShapeError: integer x; a target that does not fit.

    >>> import calmix
    >>> mixup_fn = MixupFn(calmix.mixup(), num_classes=3)
    >>> x, target = mixup_fn(torch.randn(5, 3, 8, 8), torch.tensor([0, 2, 1, 1, 0]))
    >>> x.shape, target.shape, bool(torch.allclose(target.sum(1), torch.ones(5)))
    (torch.Size([5, 3, 8, 8]), torch.Size([5, 3]), True)
    """

    def __init__(self, method: Method, num_classes: int, label_smoothing: float = 0.0, seed: int = 0) -> None:
        if not isinstance(method, Method) or method.controlled:
            raise SettingError(
                f"{method!r} changes from epoch to epoch; mix by a TrainingLoss, which is told of epochs."
            )
        if method.site is not None or not isinstance(method.objective, CleanLoss | MixedLoss):
            raise SettingError(f"{method!r} is more than the plain loss of mixed inputs; {_REMEDY}.")
        self._task = Classification(num_classes, label_smoothing)
        self._method = method
        self._seed = seed
        self._generators: dict[tuple[torch.device, int], torch.Generator] = {}
        self.mixup_enabled: bool = True
        rows, ids = torch.arange(12.0).view(3, 1, 2, 2), torch.arange(3) % num_classes
        try:
            self._mixed(rows, ids, torch.Generator())
        except CalmixError as error:
            raise SettingError(f"{method!r} needs more than a batch to mix it; {_REMEDY}.") from error

    def __call__(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if self.mixup_enabled:
            x, rows = self._mixed(x, target, self._generator_on(x.device))
        else:
            rows = self._task.target(target)
        share = self._task.label_smoothing
        return x, (1 - share) * rows + share / self._task.num_classes

    def collate_fn(self, batch: list[Any]) -> tuple[Tensor, Tensor]:
        """For a DataLoader of rows (x, target): `DataLoader(dataset, collate_fn=mixup_fn.collate_fn)`."""
        made = default_collate(batch)
        if not isinstance(made, list | tuple) or len(made) != 2:
            given = f"rows of {len(made)} entries" if isinstance(made, list | tuple) else f"a {type(made).__name__}"
            raise SettingError(f"collate_fn is for rows (x, target); got {given}: take those two, and call mixup_fn.")
        x, target = made
        return self(x, target)

    def _mixed(self, x: Tensor, target: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        step = self._method.step(_no_network, self._task, Batch(x, target))
        step, mix = self._method.draw(step, generator)
        return blend(step.batch.x, mix, mix.lam_x), mixed_target(step.target, mix)

    def _generator_on(self, device: torch.device) -> torch.Generator:
        worker = get_worker_info()
        of_worker = -1 if worker is None else worker.seed
        if (device, of_worker) not in self._generators:
            self._generators = {}
            seed = self._seed if worker is None and rank() == 0 else seed_of_step(self._seed, rank(), of_worker)
            self._generators[device, of_worker] = torch.Generator(device).manual_seed(seed)
        return self._generators[device, of_worker]


_REMEDY = "in the training step let a TrainingLoss call the network: loss = training_loss(model, x, target)"


def _no_network(x: Any) -> Any:
    raise SettingError("the method asks the network")
