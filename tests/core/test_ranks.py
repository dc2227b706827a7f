"""Two ranks with half of the batch each against one process with the whole batch, for every method."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import calmix
from calmix import METHODS, Classification, TrainingLoss
from calmix.core.memory import Memory
from calmix.core.random import beta
from calmix.core.ranks import (
    largest_over_ranks,
    mean_over_ranks,
    nanmean_over_ranks,
    of_all_ranks,
    rows_of_all_ranks,
    seed_of_step,
    sum_over_ranks,
)
from calmix.core.space import pair_distance
from calmix.parts import Batch, Jacobian, Method, Mix, SimilarityKernel, Step, TrainingSet, WholeSet, mixed_output
from tests.processes import needs_ranks, on_ranks

RANKS, N, CLASSES = 2, 6, 4  # N: rows of a rank
TASK = Classification(CLASSES)
SEED = 3
FURTHER = {  # beside those that a comparison offers, with their defaults
    "jacobian": calmix.mixup_e(slope=Jacobian()),
    "cutmix by similarity": calmix.cutmix(coefficient=SimilarityKernel(tau_std=1.0)),
    "whole set": calmix.with_whole_set(calmix.sk_mixup(tau_std=1.0)),
    "at a named module": calmix.manifold_mixup(sites=("body",)),
    "remembered": calmix.sk_mixup(remember=True),
    "of several mixes": calmix.rankmixup(mixes=2),
}
CASES = {**{name: make() for name, make in METHODS.items()}, **FURTHER}


class Network(nn.Module):
    """Without batch norm, which normalises each rank's rows on their own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Tanh())
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def network() -> Network:
    torch.manual_seed(0)
    return Network().double()


def data() -> tuple[Tensor, Tensor]:
    """The rows of both ranks, which differ much between them."""
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(RANKS * N, 1, 4, 3, generator=generator, dtype=torch.float64)
    x[N:] *= 3
    return x, torch.arange(RANKS * N) % CLASSES


class Taken(NamedTuple):
    """What a rank did in one step."""

    gradients: list[Tensor]
    terms: dict[str, Tensor]
    step: tuple[Tensor, Tensor]  # x, y with the rows that a pairing brought along
    mix: Mix
    seed: int


def taken(rank: int, method: Method) -> Taken:
    """A step of DDP with a seed by which all ranks mix at the same site."""
    (x, y), rows = data(), torch.arange(rank * N, (rank + 1) * N)
    seed, mix = SEED, None
    while True:
        model = DistributedDataParallel(network())
        training_loss = TrainingLoss(method, TASK, seed, data=(x, y))
        training_loss(model, x[rows], y[rows], rows).backward()
        mix = training_loss.mix
        assert mix is not None
        sites: list[Any] = [None] * RANKS
        torch.distributed.all_gather_object(sites, mix.site)
        if len(set(sites)) == 1:
            break
        seed += 1
    step = method.step(
        network(), TASK, Batch(x[rows], y[rows], rows), training_set=TrainingSet((x, y)), memory=Memory()
    )
    generator = torch.Generator().manual_seed(seed if rank == 0 else seed_of_step(seed, rank, 0))
    step, again = method.draw(step, generator)
    assert torch.equal(again.partner, mix.partner)
    assert torch.equal(again.lam_x, mix.lam_x)
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return Taken(gradients, training_loss.terms, (step.batch.x, step.batch.y), mix, seed)


def together(mixes: list[Mix], others: int) -> Mix:
    """The mixes of all ranks as one of all rows: every rank's own rows, then what each brought along."""

    def rows(index: Tensor, rank: int) -> Tensor:
        return torch.where(index < N, rank * N + index, RANKS * N + rank * others + index - N)

    def joined(parts: list[Tensor]) -> Tensor:
        return torch.cat([part.unflatten(0, (-1, N)) for part in parts], 1).flatten(0, 1)  # mix after mix

    first = mixes[0]
    return Mix(
        joined([rows(mix.anchor, rank) for rank, mix in enumerate(mixes)]),
        joined([rows(mix.partner, rank) for rank, mix in enumerate(mixes)]),
        joined([mix.lam_x for mix in mixes]),
        joined([mix.lam_y for mix in mixes]),
        first.site,
        tuple(together(list(later), others) for later in zip(*(mix.later for mix in mixes), strict=True)),
    )


def alone(method: Method, found: list[Taken]) -> tuple[Step, Mix]:
    """The step of one process on the rows of all ranks, and the ranks' mixes."""
    others = len(found[0].step[0]) - N
    x, y = (torch.cat([*(one.step[k][:N] for one in found), *(one.step[k][N:] for one in found)]) for k in (0, 1))
    step = method.step(network(), TASK, Batch(x, y, torch.arange(len(x))))
    return replace(step, others=RANKS * others), together([one.mix for one in found], others)


# --------------------------------------------------------------------------------- on every rank, in one go


def on_rank(rank: int) -> dict[str, Any]:
    (x, y), rows = data(), torch.arange(rank * N, (rank + 1) * N)
    found: dict[str, Any] = {name: taken(rank, method) for name, method in CASES.items()}

    model, training_loss = DistributedDataParallel(network()), TrainingLoss(calmix.erm(), TASK)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    for _ in range(5):
        optimizer.zero_grad()
        training_loss(model, x[rows], y[rows]).backward()
        optimizer.step()
    found["weights"] = [parameter.detach() for parameter in model.parameters()]

    remembered = TrainingLoss(calmix.sk_mixup(remember=True), TASK, SEED)
    mixes, lost = [], DistributedDataParallel(network())
    for _ in range(3):
        remembered(lost, x[rows], y[rows], rows)
        mixes.append(remembered.mix)
    found["memory"] = mixes, remembered.state_dict()["_extra_state"]["memory"][None]

    few = torch.tensor([[float("nan"), 1.0], [2.0, float("nan"), 6.0]][rank])
    found["sums"] = sum_over_ranks(few[-1:]), mean_over_ranks(few[-1:]), nanmean_over_ranks(few)
    found["largest"] = largest_over_ranks([rank, -rank], torch.device("cpu")), of_all_ranks(rank)
    found["rows"] = rows_of_all_ranks(torch.full((2, 3), float(rank)))
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return on_ranks(RANKS, tmp_path_factory.mktemp("ranks"), on_rank)


@needs_ranks
@pytest.mark.parametrize("name", CASES)
def test_the_averaged_gradient_is_that_of_the_whole_batch_given_what_was_drawn(name: str, found: list[dict[str, Any]]):
    on_each: list[Taken] = [one[name] for one in found]
    step, mix = alone(CASES[name], on_each)
    outcome = CASES[name].objective(step, mix)
    torch.stack(list(outcome.terms.values())).sum().backward()
    for term, value in outcome.terms.items():
        torch.testing.assert_close(torch.stack([one.terms[term] for one in on_each]).mean(), value.detach())
    assert isinstance(step.model, nn.Module)
    gradients = [parameter.grad for parameter in step.model.parameters()]
    for one in on_each:  # the same on every rank, too
        torch.testing.assert_close(one.gradients, gradients, rtol=1e-9, atol=1e-11)


@needs_ranks
@pytest.mark.parametrize("name", sorted(set(CASES) - {"erm"}))
def test_every_rank_has_partners_and_coefficients_of_its_own(name: str, found: list[dict[str, Any]]):
    first, second = (one[name].mix for one in found)
    assert not (torch.equal(first.lam_x, second.lam_x) and torch.equal(first.lam_y, second.lam_y))
    if not isinstance(CASES[name].pairing, WholeSet) and name != "c_mixup":
        assert all(mix.partner.max() < N for mix in (first, second))  # of the rank's rows


@needs_ranks
def test_plain_training_ends_where_one_process_ends(found: list[dict[str, Any]]):
    (x, y), model = data(), network()
    training_loss, optimizer = (
        TrainingLoss(calmix.erm(), TASK),
        torch.optim.SGD(model.parameters(), 0.1, momentum=0.9),
    )
    for _ in range(5):
        optimizer.zero_grad()
        training_loss(model, x, y).backward()
        optimizer.step()
    for one in found:
        torch.testing.assert_close(one["weights"], [p.detach() for p in model.parameters()], rtol=1e-10, atol=1e-12)


@needs_ranks
@pytest.mark.parametrize("name", ["sk_mixup", "sk_mixup_e"])
def test_the_kernel_s_mean_distance_is_that_of_all_ranks(name: str, found: list[dict[str, Any]]):
    method, (x, _) = CASES[name], data()
    embeddings = network().body(x).detach()
    mix = together([one[name].mix for one in found], others=0)
    kernel = method.coefficient
    assert isinstance(kernel, SimilarityKernel)
    tau = kernel.tau(pair_distance(embeddings, mix.anchor, mix.partner))
    for rank, one in enumerate(found):
        generator = torch.Generator().manual_seed(SEED if rank == 0 else seed_of_step(SEED, rank, 0))
        torch.randperm(N, generator=generator)
        drawn = beta(tau[rank * N : (rank + 1) * N], generator)
        torch.testing.assert_close(one[name].mix.lam_x, drawn, rtol=1e-4, atol=1e-5)


@needs_ranks
def test_ranks_remember_what_one_process_would(found: list[dict[str, Any]]):
    (x, _), model, memory = data(), network(), Memory()
    tables = [one["memory"][1] for one in found]
    for mixes in zip(*(one["memory"][0] for one in found), strict=True):
        mix, index = together(list(mixes), others=0), torch.arange(RANKS * N)
        memory.begin_step()
        memory.recall(index, None)
        with torch.no_grad():
            memory.keep(index, mix, mixed_output(model.body, x, mix))
    alone = memory.state()[None]
    seen = ~alone.isnan()
    assert seen[:N].sum() > 0
    assert seen[N:].sum() > 0
    for table in tables:
        torch.testing.assert_close(table[: RANKS * N], alone[: RANKS * N], equal_nan=True, rtol=0.01, atol=0.01)
    assert torch.equal(tables[0].isnan(), tables[1].isnan())
    assert torch.equal(tables[0].nan_to_num(), tables[1].nan_to_num())


@needs_ranks
def test_sums_and_rows_are_those_of_all_ranks(found: list[dict[str, Any]]):
    for one in found:
        assert [value.item() for value in one["sums"]] == [7.0, 3.5, 3.0]
        assert one["largest"] == ([1, 0], [0, 1])
        assert one["rows"].tolist() == [[0.0] * 3, [0.0] * 3, [1.0] * 3, [1.0] * 3]


def test_alone_they_are_what_was_given():
    few = torch.tensor([1.0, float("nan"), 3.0])
    assert torch.equal(sum_over_ranks(few).nan_to_num(), few.nan_to_num())
    assert torch.equal(mean_over_ranks(few).nan_to_num(), few.nan_to_num())
    assert nanmean_over_ranks(few) == 2.0
    assert rows_of_all_ranks(few) is few
    assert largest_over_ranks([3, 0], torch.device("cpu")) == [3, 0]
    assert of_all_ranks("own") == ["own"]


def learnt(rank: int, method: Method, wrap: Callable[[Network], nn.Module]) -> list[Tensor]:
    """The whole weights after three steps."""
    from torch.distributed.tensor import DTensor

    (x, y), rows = data(), torch.arange(rank * N, (rank + 1) * N)
    model, training_loss = wrap(network()), TrainingLoss(method, TASK, SEED, data=(x, y))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        training_loss(model, x[rows], y[rows], rows).backward()
        optimizer.step()
    return [(w.full_tensor() if isinstance(w, DTensor) else w).detach().clone() for w in model.parameters()]


def of_sharded_and_whole_networks(rank: int) -> dict[str, tuple[list[Tensor], list[Tensor]]]:
    from torch.distributed.device_mesh import init_device_mesh  # not in every PyTorch
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor

    mesh = init_device_mesh("cpu", (RANKS,))

    def sharded(model: Network) -> nn.Module:
        for part in (model.body, model.head, model):
            fully_shard(part, mesh=mesh)
        assert all(isinstance(weights, DTensor) for weights in model.parameters())
        return model

    methods = {name: method for name, method in CASES.items() if name != "jacobian"}
    return {
        name: (learnt(rank, method, sharded), learnt(rank, method, DistributedDataParallel))
        for name, method in methods.items()
    }


@needs_ranks
def test_a_network_in_shards_learns_what_a_whole_one_does(tmp_path: Path):
    """FSDP2 against DDP, for every method, in a loop of one's own."""
    found, _ = on_ranks(RANKS, tmp_path, of_sharded_and_whole_networks)
    assert len(found) == len(CASES) - 1
    for sharded, whole in found.values():
        torch.testing.assert_close(sharded, whole)
        assert not torch.allclose(whole[0], next(network().parameters()), atol=1e-4)
