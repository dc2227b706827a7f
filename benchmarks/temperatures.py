"""Whether corrections help or harm where calibration rows are few.

CALMIX_DATA=data python -m benchmarks.temperatures [--out calmix-runs/temperatures]

Every table in $CALMIX_DATA/tabular/classification and scikit-learn's digits. Of each: five splits into at most 1,000
rows (half of the table, if that is less) for a perceptron, and the rest; plain training and Mixup; of the rest n rows
for calibration and at most 1,000 others, on which NLL is compared before and after. What has been done is kept in OUT.
The five networks of a kind are trained side by side, S of them; n rows of a batch, d features, K classes.
"""

import argparse
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from calmix.data.sources import NamedSet, TableFile
from calmix.errors import DataError
from calmix.parts import beta
from calmix.posthoc import (
    CalibrationLogits,
    Temperature,
    fit_isotonic,
    fit_matrix_scaling,
    fit_temperature,
    fit_vector_scaling,
)
from calmix.posthoc.minimise import minimise
from calmix.results.statistics import interval

Fitter = Callable[[CalibrationLogits], Callable[[Tensor], Tensor]]

SEEDS, EPOCHS, BATCH, WIDTH = 5, 100, 50, 128
TRAIN, POOL, TEST = 1000, 6000, 1000  # rows at most: for training, of a table, to judge on
FEWEST = 20  # rows to judge on
COLUMNS = ["table", "kind", "seed", "n", "all_right", "correction", "before", "after", "least"]


def main() -> None:
    """Train, correct, and print the tables."""
    folder = Path(os.environ["CALMIX_DATA"]) / "tabular" / "classification"
    files = {path.name.split(".")[0]: TableFile(path, "target", "classification") for path in folder.glob("*.csv.gz")}
    sources = dict(sorted({**files, "digits": NamedSet("digits")}.items()))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("calmix-runs/temperatures"))
    parser.add_argument("--tables", nargs="+", choices=sources, default=list(sources), help="only these")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for group in GROUPS:
        found = [corrected(name, sources[name], options.out, group) for name in options.tables]
        print(f"\n{group.title}\n", *summary(pd.concat(found), group), sep="\n", flush=True)


def corrected(name: str, source: TableFile | NamedSet, out: Path, group: "Group") -> pd.DataFrame:
    """A row for each network, n and correction: NLL before and after. No rows for a table that cannot be split."""
    logits_file, scores_file = out / f"{name}.npz", out / f"{name}-{group.name}.csv"
    if scores_file.exists():
        return pd.read_csv(scores_file)
    if not logits_file.exists():
        try:
            logits, labels = networks(source)
        except DataError as error:  # classes of a single row
            print(f"{name}: {error}", flush=True)
            return pd.DataFrame(columns=COLUMNS)
        np.savez(logits_file, logits=logits.numpy(), labels=labels.numpy())
    with np.load(logits_file) as file:
        logits, labels = torch.from_numpy(file["logits"]).double(), torch.from_numpy(file["labels"])
    rows = []
    for (kind, of_kind), seed, n in product(
        zip(("plain", "mixup"), logits, strict=True), range(group.seeds), group.sizes
    ):
        z, y = of_kind[seed], labels[seed]
        if len(y) - n < FEWEST or z.shape[1] > group.classes:
            continue
        test, known = slice(n, n + TEST), CalibrationLogits(z[:n], y[:n])
        best = fit_temperature(CalibrationLogits(z[test], y[test]), math.inf)  # a yardstick: fitted on the test rows
        before, least = (cross_entropy(logits, y[test]).item() for logits in (z[test], best(z[test])))
        all_right = bool((z[:n].argmax(1) == y[:n]).all())
        for correction, fit in group.fits.items():
            after = cross_entropy(fit(known)(z[test]), y[test]).item()
            rows.append((name, kind, seed, n, all_right, correction, before, after, least))
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame.to_csv(scores_file, index=False)
    print(f"{name}: {len(frame):,} corrections", flush=True)
    return frame


# ----------------------------------------------------------------------------------------------- corrections


def platt(calibration: CalibrationLogits, prior_sd: float) -> Temperature:
    """`fit_temperature` with Platt's targets: (N + 1) / (N + 2) for a label that N rows have, the rest shared."""
    z, y = calibration.logits, calibration.labels
    n, classes = z.shape
    own = ((y.bincount(minlength=classes) + 1) / (y.bincount(minlength=classes) + 2)).double()[y][:, None]  # (n, 1)
    target = torch.where(one_hot(y, classes).bool(), own, (1 - own) / (classes - 1))

    def loss(log_t: Tensor) -> Tensor:
        return cross_entropy(z / log_t.exp(), target) + log_t.square() / (2 * n * prior_sd**2)

    return Temperature(math.exp(minimise(loss, torch.zeros((), dtype=torch.float64))[0].clamp(-5, 5).item()))


TEMPERATURES: Mapping[str, Fitter] = {
    "no prior": partial(fit_temperature, prior_sd=math.inf),
    "prior, sd 1": partial(fit_temperature, prior_sd=1.0),
    "prior, sd 1/2": partial(fit_temperature, prior_sd=0.5),
    "prior, sd 1/4": partial(fit_temperature, prior_sd=0.25),
    "Platt's targets": partial(platt, prior_sd=math.inf),
    "Platt's targets and sd 1/2": partial(platt, prior_sd=0.5),
}
OTHERS: Mapping[str, Fitter] = {
    "vector, no prior": partial(fit_vector_scaling, prior_sd=math.inf),
    "vector": fit_vector_scaling,
    "matrix, no prior": partial(fit_matrix_scaling, prior_sd=math.inf),
    "matrix": fit_matrix_scaling,
    "isotonic, whole": partial(fit_isotonic, share=1.0),
    "isotonic": fit_isotonic,
}


@dataclass(frozen=True)
class Group:
    """Corrections that are compared, and on how much: seeds and calibration sizes, tables of at most `classes`."""

    name: str
    title: str
    fits: Mapping[str, Fitter]
    seeds: int
    sizes: tuple[int, ...]
    classes: int


GROUPS = (
    Group("temperatures", "Temperature: NLL after minus before", TEMPERATURES, SEEDS, (50, 100, 150, 1000), 100),
    Group("others", "Other corrections: NLL after minus before", OTHERS, 1, (50, 150, 1000), 10),  # slower to fit
)


# -------------------------------------------------------------------------------------------------- what it says


def summary(rows: pd.DataFrame, group: Group) -> list[str]:
    """Means over tables, as Markdown: a row for each n and correction."""
    rows = rows.assign(change=rows.after - rows.before, best=rows.least - rows.before)
    heads = [
        "n",
        "correction",
        "tables",
        "mean over tables [95 %]",
        "worst table",
        "worse",
        "beyond chance",
        "gain kept",
    ]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for n, name in product(group.sizes, group.fits):
        of: Any = rows[(rows.n == n) & (rows.correction == name)]
        by_seed = of.groupby(["table", "seed"]).change.mean()
        tables = by_seed.groupby("table").mean()
        mean = interval(list(tables))
        beyond = sum(interval(list(by_seed[table])).side == 1 for table in tables.index)
        plain = of[of.kind == "plain"].groupby("table")[["change", "best"]].mean().sum()
        cells = [
            f"{n:,}",
            name,
            str(len(tables)),
            f"{mean.mean:+.3f} [{mean.low:+.3f}, {mean.high:+.3f}]",
            f"{tables.max():+.3f} ({tables.idxmax()})",
            str((tables > 0).sum()),
            str(beyond) if group.seeds > 1 else "",
            f"{100 * plain.change / plain.best:.0f} %",
        ]
        lines.append("| " + " | ".join(cells).replace("-", "−") + " |")
    share: Any = rows[rows.correction == next(iter(group.fits))].groupby("n").all_right.mean()
    return [*lines, "", "All calibration rows right: " + ", ".join(f"n = {n}: {s:.1%}" for n, s in share.items())]


# ------------------------------------------------------------------------------------------------ networks


def networks(source: TableFile | NamedSet) -> tuple[Tensor, Tensor]:
    """Logits (2, S, m, K) of rows that were not trained on, plain training first, then Mixup; and labels (S, m)."""
    splits = source.splits(0)
    parts = (splits.train, splits.validation, splits.calibration, splits.test)
    x, y = torch.cat([part.x.flatten(1) for part in parts]), torch.cat([part.y.flatten() for part in parts])
    generator = torch.Generator().manual_seed(0)
    rows = torch.stack([torch.randperm(len(y), generator=generator)[:POOL] for _ in range(SEEDS)])  # (S, pool)
    size = min(TRAIN, rows.shape[1] // 2)
    train, left = rows[:, :size], rows[:, size:]
    classes = len(splits.about.classes)
    weights = [_train(x[train], y[train], classes, mixing, generator) for mixing in (False, True)]
    return torch.stack([_outputs(x[left], layers) for layers in weights]), y[left]


def _train(x: Tensor, y: Tensor, classes: int, mixing: bool, generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    """Weights (S, d, width) and biases (S, 1, width) of three layers, for x (S, n, d) and y (S, n)."""
    sizes = [x.shape[2], WIDTH, WIDTH, classes]
    layers = [
        (torch.randn(SEEDS, d, out, generator=generator) * math.sqrt(2 / d), torch.zeros(SEEDS, 1, out))
        for d, out in pairwise(sizes)
    ]
    layers = [(weight.requires_grad_(), bias.requires_grad_()) for weight, bias in layers]
    optimizer = torch.optim.AdamW([tensor for layer in layers for tensor in layer], 2e-3, weight_decay=0.01)
    target = one_hot(y, classes).float()  # (S, n, K)
    for _ in range(EPOCHS):
        for batch in torch.randperm(x.shape[1], generator=generator).split(BATCH):
            rows, goals = x[:, batch], target[:, batch]
            if mixing:
                lam = beta(torch.ones(SEEDS, 1, 1), generator)
                rows, goals = (lam * each + (1 - lam) * each.roll(1, 1) for each in (rows, goals))
            loss = -(goals * _outputs(rows, layers, training=True).log_softmax(-1)).sum(-1).mean(-1).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return [(weight.detach(), bias.detach()) for weight, bias in layers]


def _outputs(x: Tensor, layers: list[tuple[Tensor, Tensor]], training: bool = False) -> Tensor:
    """(S, n, K)."""
    for weight, bias in layers[:-1]:
        x = torch.baddbmm(bias, x, weight).relu()
    weight, bias = layers[-1]
    return torch.baddbmm(bias, x, weight)


if __name__ == "__main__":
    main()
