"""What to remember of a row: candidates against the exact embeddings, while the exact kernel trains.

python -m benchmarks.memories

Fashion-MNIST, 1,000 images, the small residual network, 60 epochs, seed 0; over the steps of the last epoch, for a
random pairing of each batch: the correlation of the normalised distances d with the exact ones, and the mean absolute
difference of log tau.
n rows of a batch, N of the training set, d entries of an embedding
"""

from collections.abc import Callable

import torch
from torch import Tensor

from calmix import Classification, sk_mixup
from calmix.core.embeddings import capture_embeddings
from calmix.core.space import pair_distance
from calmix.data import load
from calmix.models import build, resnet
from calmix.parts import Batch, SimilarityKernel, mixed_output, mixed_target
from calmix.train.batches import Batches

EPOCHS, SEED, ROWS = 60, 0, 1000
TAU_CAP = 50.0  # beyond, lam is 1/2 for all that matters

# what a mixed row's embedding z says of its row i, from the share s of i and what is remembered of the partner, m_j
Estimate = Callable[[Tensor, Tensor, Tensor], Tensor]
RATES: dict[str, tuple[Estimate, Callable[[Tensor], Tensor | float]]] = {
    "z, the last mixed row's embedding": (lambda z, s, m: z, lambda s: 1.0),
    "running mean of z, rate 1/2": (lambda z, s, m: z, lambda s: 0.5),
    "running mean of z, rate 2 s - 1": (lambda z, s, m: z, lambda s: 2 * s - 1),
    "(z - (1 - s) m_j) / s, the last": (lambda z, s, m: (z - (1 - s) * m) / s, lambda s: 1.0),
    "running mean of that, rate 2 s - 1": (lambda z, s, m: (z - (1 - s) * m) / s, lambda s: 2 * s - 1),
}


def main() -> None:
    """Train, remember in every way, and print how far each is from the exact distances."""
    torch.manual_seed(SEED)
    splits = load("fashion_mnist", seed=SEED, train_size=ROWS)
    model = build(resnet, tuple(splits.train.x.shape[1:]), 10).train()
    method, task, kernel = sk_mixup(), Classification(10), SimilarityKernel()
    batches, generator = Batches(splits.train, 64, SEED), torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(batches))
    memories: dict[str, Tensor] = {}  # (N, d) each, NaN where a row has not been met
    found: dict[str, list[Tensor]] = {name: [] for name in RATES}
    for epoch in range(EPOCHS):
        for x, y, index in batches:
            step, mix = method.draw(method.step(model, task, Batch(x, y, index)), generator)
            exact = step.clean.embedding()  # (n, d)
            partner = torch.randperm(len(y), generator=generator)
            for name in RATES:
                memory = memories.setdefault(name, torch.full((ROWS, exact.shape[1]), torch.nan))
                if epoch == EPOCHS - 1:
                    found[name].append(_distance_from(exact, memory[index], partner, kernel))
            with capture_embeddings(model, None) as capture:
                output = mixed_output(model, x, mix)
            shown = capture.embedding(output)
            for name, memory in memories.items():
                _learn(memory, index, shown, mix.lam_x, mix.partner, *RATES[name])
            optimizer.zero_grad()
            task.loss(task.output(output), mixed_target(step.target, mix)).mean().backward()
            optimizer.step()
            schedule.step()
    print("| what is remembered of row i | correlation | error of log tau |\n|---|---|---|")
    for name, values in found.items():
        correlation, error = torch.stack(values).mean(0).tolist()
        print(f"| {name} | {correlation:.2f} | {error:.2f} |")


def _distance_from(exact: Tensor, known: Tensor, partner: Tensor, kernel: SimilarityKernel) -> Tensor:
    """The correlation of d, and the mean error of log tau."""
    anchor = torch.arange(len(exact))
    pair = [pair_distance(rows, anchor, partner) for rows in (exact, known)]
    ours, theirs = (kernel.tau(d).clamp(max=TAU_CAP).log() for d in pair)
    return torch.stack([torch.corrcoef(torch.stack(pair))[0, 1], (ours - theirs).abs().mean()])


def _learn(
    memory: Tensor,
    index: Tensor,
    shown: Tensor,
    lam: Tensor,
    partner: Tensor,
    estimate: Estimate,
    rate: Callable[[Tensor], Tensor | float],
) -> None:
    """Each row of the batch from the mixed row in which it has its largest share above a half."""
    n = len(index)
    order = torch.maximum(lam, 1 - lam).argsort()  # the largest share writes last
    row = torch.where(lam >= 0.5, torch.arange(n), partner)
    other = torch.where(lam >= 0.5, partner, torch.arange(n))
    old = memory[index].clone()
    for k in order.tolist():
        i, j, s = row[k], other[k], torch.maximum(lam[k], 1 - lam[k])
        told = shown[k] if old[j].isnan().any() else estimate(shown[k], s, old[j])
        memory[index[i]] = told if old[i].isnan().any() else old[i] + rate(s) * (told - old[i])


if __name__ == "__main__":
    main()
