"""What of a short run is training: CPU seconds of a run on some 400 rows, 30 epochs, and of what comes before it.

python -m benchmarks.short_run
"""

import time
from collections.abc import Callable
from statistics import median

import lightning.pytorch  # noqa: F401 - its time counts
import torch

from calmix import TrainingLoss, mixup
from calmix.data import NamedSet
from calmix.train import Recipe, TrainingSettings
from calmix.train.batches import Batches
from calmix.train.cost import cost_of
from calmix.train.recipe import weighted_task
from calmix.train.running import run

ROUNDS = 5


def main() -> None:
    """Print a line for each part."""
    torch.set_num_threads(1)
    print(f"{time.process_time():.2f} s: imports of PyTorch, Lightning and calmix, once a process")
    recipe = Recipe(NamedSet("breast_cancer"), "mixup", mixup(), settings=TrainingSettings(epochs=30, device="cpu"))
    for name, part in {
        "reading the data, once a process": recipe.splits,
        "the cost of a method, once a comparison": lambda: cost_of(recipe),
    }.items():
        print(f"{seconds(part):.2f} s: {name}")
    rounds = [(seconds(lambda: run(recipe)), seconds(lambda: bare(recipe))) for _ in range(ROUNDS + 1)][1:]
    whole, steps = (median(part) for part in zip(*rounds, strict=True))
    print(f"{whole:.2f} s: a run; {steps:.2f} s: the same steps and validations in a loop without anything else")


def bare(recipe: Recipe) -> None:
    """The steps and validations of a training."""
    splits, settings, model = recipe.splits(), recipe.settings, recipe.network().train()
    training_loss = TrainingLoss(recipe.method, weighted_task(splits, settings), recipe.seed)
    train, validation = Batches(splits.train, settings.batch_size, recipe.seed), Batches(splits.validation, 1024)
    optimizer = torch.optim.SGD(model.parameters(), settings.peak_rate, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs * len(train))
    for _ in range(settings.epochs):
        training_loss.train()
        for x, y, index in train:
            optimizer.zero_grad()
            training_loss(model, x, y, index).backward()
            optimizer.step()
            schedule.step()
        training_loss.eval()
        with torch.inference_mode():
            for x, y, _ in validation:
                training_loss(model, x, y)


def seconds(part: Callable[[], object]) -> float:
    """CPU time of a call."""
    start = time.process_time()
    part()
    return time.process_time() - start


if __name__ == "__main__":
    main()
