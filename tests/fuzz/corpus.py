"""Real files of small size, which the fuzz test damages: made by the command itself, once."""

import io
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from calmix.cli import main
from calmix.results.files import write_arrays

TINY = ["--epochs", "2", "--train-size", "20"]
FEW_IMAGES = 6_020  # of which 6,000 are held out


def make_corpus(folder: Path) -> None:
    """A comparison, a diagnosis, a network, and files to evaluate, train on, predict and configure by."""
    rng = np.random.default_rng(0)
    with dry(), chdir(folder):  # what they say of their own place is the same everywhere, so that cases are
        main(["compare", "wine", "--methods", "erm", "mixup", "--seeds", "2", "--workers", "1", *TINY,
              "--out", "wine"])  # fmt: skip
        main(["compare", "diabetes", "--methods", "erm", "--seeds", "1", "--workers", "1", *TINY,
              "--out", "diabetes"])  # fmt: skip
        main(["compare", "digits", "--methods", "erm", "--seeds", "2", "--workers", "1", *TINY,
              "--corruptions", "contrast", "--out", "digits"])  # fmt: skip
        main(["diagnose", "two_moons", "--methods", "sk_mixup", "--seeds", "1", *TINY, "--pairs", "60",
              "--oracle-rows", "40", "--oracle-epochs", "2", "--out", "moons"])  # fmt: skip
        table(rng).to_csv("old.csv", index=False)
        main(["train", "old.csv", "--target", "kind", *TINY, "--out", "net"])
    for name, held in (("classes.npz", True), ("plain.npz", False)):
        write_arrays(folder / name, class_arrays(rng, held))
    write_arrays(folder / "numbers.npz", number_arrays(rng))
    frame_of_predictions(rng).to_csv(folder / "predictions.csv", index=False)
    frame_of_predictions(rng).to_parquet(folder / "predictions.parquet")
    np.save(folder / "votes.npy", rng.integers(1, 9, (40, 3)))
    table(rng).to_csv(folder / "table.csv", index=False)
    table(rng).to_csv(folder / "table.csv.gz", index=False)
    table(rng).to_parquet(folder / "table.parquet")
    for name in ("fashion", "cifar"):
        (folder / name).mkdir()
    for part, count in (("train", FEW_IMAGES), ("t10k", 30)):
        write_idx(folder / "fashion" / f"{part}-images-idx3-ubyte", rng.integers(0, 256, (count, 4, 4)))
        write_idx(folder / "fashion" / f"{part}-labels-idx1-ubyte", np.arange(count) % 10)
    for part, count in (("train", FEW_IMAGES), ("test", 30)):
        pictures(count).to_parquet(folder / "cifar" / f"{part}-0.parquet")


def class_arrays(rng: np.random.Generator, held: bool) -> dict[str, np.ndarray]:
    probs = rng.dirichlet(np.ones(3), 40)
    found = {"probs": probs, "labels": rng.integers(0, 3, 40)}
    if held:
        found |= {"calibration_probs": rng.dirichlet(np.ones(3), 30), "calibration_labels": rng.integers(0, 3, 30)}
        found |= {"ood_far_probs": rng.dirichlet(np.ones(3), 20), "human_labels": rng.integers(1, 9, (40, 3))}
        found |= {"classes": np.array(["ant", "bee", "cat"])}
    return found


def number_arrays(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"mean": rng.normal(size=40), "std": rng.uniform(1, 2, 40), "targets": rng.normal(size=40)}


def frame_of_predictions(rng: np.random.Generator) -> pd.DataFrame:
    frame = pd.DataFrame(rng.dirichlet(np.ones(3), 40), columns=["probs_ant", "probs_bee", "probs_cat"])
    frame["label"] = np.array(["ant", "bee", "cat"])[rng.integers(0, 3, 40)]
    return frame


def table(rng: np.random.Generator) -> pd.DataFrame:
    n = 60
    days = pd.to_datetime(rng.integers(18_262, 19_261, n), unit="D")  # since 1970
    return pd.DataFrame(
        {
            "id": np.arange(n),
            "height": np.where(rng.random(n) < 0.1, np.nan, rng.normal(170, 10, n)),
            "colour": np.array(["red", "green", None])[rng.integers(0, 3, n)],
            "since": days.strftime("%Y-%m-%d"),
            "kind": np.array(["a", "b", "c"])[np.arange(n) % 3],
        }
    )


def write_idx(path: Path, values: np.ndarray) -> None:
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    path.write_bytes(head + values.astype(np.uint8).tobytes())


def picture(seed: int, size: tuple[int, int] = (4, 4), format: str = "PNG") -> bytes:
    file, shades = io.BytesIO(), np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(shades).save(file, format)
    return file.getvalue()


def pictures(count: int) -> pd.DataFrame:
    some = [picture(seed) for seed in range(10)]
    rows = [{"img": {"bytes": some[i % 10], "path": None}, "label": i % 10} for i in range(count)]
    return pd.DataFrame(rows)


# --------------------------------------------------------------------------------------- without the slow parts


class dry:
    """Within it, nothing is really trained, timed or painted: what is read and what is written stays as it is."""

    def __enter__(self) -> None:
        from calmix.report import page
        from calmix.results.records import Epoch
        from calmix.studies.diagnosis import oracle
        from calmix.studies.evaluation import study as evaluation
        from calmix.train import cost, running
        from calmix.train.recipe import Recipe, task_of
        from calmix.train.training import Trained

        def untrained(recipe: Recipe, *others: object) -> Trained:
            history = tuple(
                Epoch(number, {"loss": 1.0, "accuracy": 0.5}, {"loss": 1.0, "accuracy": 0.5}) for number in (1, 2)
            )
            splits = recipe.splits()
            return Trained(recipe.network().eval(), splits, task_of(splits.about), 2, history, 0.1, 0.0)

        def unpainted(folder: Path, drawing: object, files: dict[Path, bytes]) -> dict[str, str]:
            files[folder / f"{drawing.name}.csv"] = page._csv(drawing)  # pyright: ignore
            return {"name": drawing.name, "uri": "", "alt": drawing.alt, "width": "1", "height": "1", "looks": ""}  # pyright: ignore

        self.before = []
        for module, name, stub in (
            (running, "train", untrained),
            (cost, "relative_cost", lambda *given: 1.0),
            (oracle, "train", untrained),
            (page, "_drawn", unpainted),
            (evaluation, "MOST_CLASSES", 0),  # fitting a matrix takes long
        ):
            self.before.append((module, name, getattr(module, name)))
            setattr(module, name, stub)

    def __exit__(self, *error: object) -> None:
        for module, name, value in self.before:
            setattr(module, name, value)
