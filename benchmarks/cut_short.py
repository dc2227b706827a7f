"""Which trainings a comparison calls cut short or over-fitted, and what twice as many epochs make of their loss.

python -m benchmarks.cut_short
"""

import numpy as np

import calmix
from calmix.core.method import Method
from calmix.data import NamedSet
from calmix.studies.comparison.cautions import Course, rose_long_ago, still_falls
from calmix.train import Recipe, TrainingSettings, train

DATA = {
    "wine": NamedSet("wine"),
    "breast_cancer": NamedSet("breast_cancer"),
    "diabetes": NamedSet("diabetes"),
    "digits": NamedSet("digits", train_size=300),
}
METHODS = {"erm": calmix.erm(), "mixup": calmix.mixup()}
EPOCHS, SEEDS = (3, 6, 12, 24), 3


def course(data: NamedSet, method: Method, epochs: int) -> Course:
    """The validation loss of a few seeds."""
    curves = []
    for seed in range(SEEDS):
        settings = TrainingSettings(epochs=epochs, device="cpu")
        curves.append(
            [e for e in train(Recipe(data, "m", method, settings=settings, seed=seed)).history if e.validation]
        )
    losses = [[epoch.validation["loss"] for epoch in curve] for curve in curves]
    return Course(np.array([epoch.number for epoch in curves[0]]), np.array(losses))


def main() -> None:
    """A line a training."""
    for name, data in DATA.items():
        for label, method in METHODS.items():
            found = {epochs: course(data, method, epochs) for epochs in (*EPOCHS, 2 * EPOCHS[-1])}
            for epochs in EPOCHS:
                end, later = (found[many].losses[:, -1].mean() for many in (epochs, 2 * epochs))
                said = "cut short" if still_falls(found[epochs]) else ""
                said += " over-fitted" if rose_long_ago(found[epochs]) else ""
                print(f"{name:14}{label:6}{epochs:3} epochs: {end:.3f}, twice as many {later / end - 1:+.0%} {said}")


if __name__ == "__main__":
    main()
