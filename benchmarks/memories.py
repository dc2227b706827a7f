"""What to remember of a row: candidates against the exact embeddings, while the exact kernel trains.

python -m benchmarks.memories [EPOCHS]

Fashion-MNIST, 1,000 images, the small residual network, 60 epochs, seed 0; over the steps of an epoch, for a random
pairing of each batch: the correlation of the normalised distances d with the exact ones, and the mean absolute
difference of log tau. The best that any memory could do without following the network's change are the exact
embeddings of an epoch ago.
n rows of a batch, N of the training set, d entries of an embedding
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from calmix import Classification, sk_mixup
from calmix.core.embeddings import capture_embeddings
from calmix.core.space import pair_distance
from calmix.data import load
from calmix.models import build, resnet
from calmix.parts import Batch, Memory, Mix, SimilarityKernel, mixed_output, mixed_target
from calmix.train.batches import Batches

EPOCHS, SEED, ROWS = 60, 0, 1000
SHOWN = (1, 2, 3, 5, 10)  # epochs after which, and after all, the memories are looked at
TAU_CAP = 50.0  # beyond, lam is 1/2 for all that matters

# what a mixed row's embedding z says of its row i, from the share s of i and what is remembered of the partner, m_j
Estimate = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass
class Running:
    """A running mean of estimates from the mixed row in which a row has its largest share above a half."""

    estimate: Estimate
    rate: Callable[[Tensor], Tensor | float]
    rows: Tensor  # (N, d), NaN where a row has not been met

    def recall(self, index: Tensor) -> Tensor:
        return self.rows[index]

    def keep(self, index: Tensor, mix: Mix, shown: Tensor, exact: Tensor) -> None:
        anchor, lam = mix.anchor, mix.lam_x
        row, other = torch.where(lam >= 0.5, anchor, mix.partner), torch.where(lam >= 0.5, mix.partner, anchor)
        share, old = torch.maximum(lam, 1 - lam), self.rows[index]
        for k in share.argsort().tolist():  # the largest share writes last
            i, j, s = row[k], other[k], share[k]
            told = shown[k] if old[j].isnan().any() else self.estimate(shown[k], s, old[j])
            self.rows[index[i]] = told if old[i].isnan().any() else old[i] + self.rate(s) * (told - old[i])


@dataclass
class Exact:
    """The exact embeddings of the row's last step."""

    rows: Tensor

    def recall(self, index: Tensor) -> Tensor:
        return self.rows[index]

    def keep(self, index: Tensor, mix: Mix, shown: Tensor, exact: Tensor) -> None:
        self.rows[index] = exact


@dataclass
class Ours:
    """What calmix does."""

    memory: Memory

    def recall(self, index: Tensor) -> Tensor:
        known = self.memory.recall(index, None)
        return torch.full((len(index), 1), torch.nan) if known is None else known

    def keep(self, index: Tensor, mix: Mix, shown: Tensor, exact: Tensor) -> None:
        self.memory.keep(index, mix, shown)


def candidates(width: int) -> dict[str, Running | Exact | Ours]:
    """All ways to remember embeddings of this width, by name."""

    def empty() -> Tensor:
        return torch.full((ROWS, width), torch.nan)

    return {
        "z, the last mixed row's embedding": Running(lambda z, s, m: z, lambda s: 1.0, empty()),
        "running mean of z, rate 1/2": Running(lambda z, s, m: z, lambda s: 0.5, empty()),
        "running mean of z, rate 2 s - 1": Running(lambda z, s, m: z, lambda s: 2 * s - 1, empty()),
        "(z - (1 - s) m_j) / s, the last": Running(lambda z, s, m: (z - (1 - s) * m) / s, lambda s: 1.0, empty()),
        "running mean of that, rate 2 s - 1": Running(
            lambda z, s, m: (z - (1 - s) * m) / s, lambda s: 2 * s - 1, empty()
        ),
        "least squares: Memory": Ours(Memory(ROWS)),
        "the exact embeddings of an epoch ago": Exact(empty()),
    }


def main(epochs: int) -> None:
    """Train, remember in every way, and print how far each is from the exact distances."""
    torch.manual_seed(SEED)
    splits = load("fashion_mnist", seed=SEED, train_size=ROWS)
    model = build(resnet, tuple(splits.train.x.shape[1:]), 10).train()
    method, task, kernel = sk_mixup(), Classification(10), SimilarityKernel()
    batches, generator = Batches(splits.train, 64, SEED), torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(batches))
    ways: dict[str, Running | Exact | Ours] = {}
    shown_after = [*(epoch for epoch in SHOWN if epoch < epochs - 1), epochs - 1]
    found: dict[str, dict[int, list[Tensor]]] = {}
    for epoch in range(epochs):
        for x, y, index in batches:
            step, mix = method.draw(method.step(model, task, Batch(x, y, index)), generator)
            exact = step.clean.embedding()  # (n, d)
            ways = ways or candidates(exact.shape[1])
            partner = torch.randperm(len(y), generator=generator)
            for name, way in ways.items():
                distance = _distance_from(exact, way.recall(index), partner, kernel)
                found.setdefault(name, {}).setdefault(epoch, []).append(distance)
            with capture_embeddings(model, None) as capture:
                output = mixed_output(model, x, mix)
            for way in ways.values():
                way.keep(index, mix, capture.embedding(output), exact)
            optimizer.zero_grad()
            task.loss(task.output(output), mixed_target(step.target, mix)).mean().backward()
            optimizer.step()
            schedule.step()
    print("Correlation (error of log tau), after this many epochs:\n")
    print(f"| what is remembered of row i | {' | '.join(map(str, shown_after))} |\n|---|{'---|' * len(shown_after)}")
    for name, by_epoch in found.items():
        cells = [torch.stack(by_epoch[epoch]).mean(0).tolist() for epoch in shown_after]
        print(f"| {name} | {' | '.join(f'{correlation:.2f} ({error:.2f})' for correlation, error in cells)} |")


def _distance_from(exact: Tensor, known: Tensor, partner: Tensor, kernel: SimilarityKernel) -> Tensor:
    """The correlation of d, and the mean error of log tau."""
    anchor = torch.arange(len(exact))
    pair = [pair_distance(rows, anchor, partner) for rows in (exact, known)]
    ours, theirs = (kernel.tau(d).clamp(max=TAU_CAP).log() for d in pair)
    return torch.stack([torch.corrcoef(torch.stack(pair))[0, 1], (ours - theirs).abs().mean()])


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else EPOCHS)
