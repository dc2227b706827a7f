"""Embeddings that are remembered from step to step: what of, for whom, and for how long."""

import io
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import calmix
from calmix import Classification, IndexedDataset, TrainingLoss
from calmix.core.space import pair_distance
from calmix.errors import SettingError, ShapeError
from calmix.parts import Batch, Embedding, Inputs, Memory, Mix, Remembered, SimilarityKernel, Targets, blend

N, D = 40, 3
HALF = {"rtol": 5e-3, "atol": 5e-3}  # what bfloat16 keeps


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


X, Y = torch.randn(N, D, generator=seeded(1)), torch.arange(N) % 4


def identity() -> nn.Linear:
    """A network whose embedding is its input."""
    torch.manual_seed(0)
    return nn.Linear(D, 4)


def loss(method: calmix.parts.Method | None = None, seed: int = 0, **options: Any) -> TrainingLoss:
    return TrainingLoss(method or calmix.sk_mixup(remember=True), Classification(4), seed, **options)


def remembered(training_loss: TrainingLoss) -> Tensor:
    """What is remembered of every row (N, d), in float32."""
    (table,) = training_loss.state_dict()["_extra_state"]["memory"].values()
    assert table.dtype == torch.bfloat16
    return table.float()


def close(ours: Tensor, theirs: Any) -> bool:
    return np.allclose(ours.numpy(), np.asarray(theirs), equal_nan=True, **HALF)


# ------------------------------------------------------------------------------------ what is remembered


def after(memory: np.ndarray, index: Tensor, mix: Mix, mixed: np.ndarray) -> np.ndarray:
    """The memory (N, d) after a step by the formula, row by row."""
    new = memory.copy()
    rows = index.tolist()
    pairs = list(zip(mix.anchor.tolist(), mix.partner.tolist(), mix.lam_x.tolist(), strict=True))

    def known(i: int) -> tuple[np.ndarray, float]:
        """What is known of a row of the batch before the step, and the variance of its error."""
        return (mixed.mean(0), 1.0) if np.isnan(memory[rows[i]]).any() else (memory[rows[i]], 0.3)

    for i in range(len(rows)):
        mean, variance = known(i)
        step, told = np.zeros_like(mean), 0.0
        for z, (anchor, partner, lam) in zip(mixed, pairs, strict=True):
            for row, other, s in ((anchor, partner, lam), (partner, anchor, 1 - lam)):
                if rows[row] == rows[i]:
                    mean_j, variance_j = known(other)
                    w = 1 / ((1 - s) ** 2 * variance_j + 0.2)
                    step += s * w * (z - s * mean - (1 - s) * mean_j)
                    told += s * s * w
        if variance < 1 or told >= 0.5:
            new[rows[i]] = mean + step / (1 / variance + told)
    return new


def test_step_after_step_the_memory_is_that_of_the_formula():
    training_loss, net, memory, unseen = loss(), identity(), np.full((N, D), np.nan), []
    for step in range(30):
        index = torch.randperm(N, generator=seeded(step))[:16]
        training_loss(net, X[index], Y[index], index)
        mix = training_loss.mix
        assert mix is not None
        memory = after(memory, index, mix, blend(X[index], mix, mix.lam_x).double().numpy())
        ours = remembered(training_loss)[:N]
        known = np.full((N, D), np.nan)
        known[: len(ours)] = ours.numpy()  # it grows with the positions that it meets
        assert np.allclose(known, memory, equal_nan=True, rtol=0.01, atol=0.01)
        memory = known.astype(float)  # rounded as ours
        unseen.append(int(np.isnan(memory[index]).any(1).sum()))
    assert unseen[0] > 0
    assert not np.isnan(memory).any()


def test_of_a_linear_network_it_learns_the_embeddings_from_mixed_rows_alone():
    net = nn.Sequential(nn.Linear(D, 5), nn.Linear(5, 4))
    training_loss, steps = loss(), 150
    for _ in range(steps):
        training_loss(net, X, Y, torch.arange(N))
    exact = net[0](X).detach()
    assert (remembered(training_loss) - exact).abs().mean() < 0.05 * exact.std()


def test_where_rows_are_not_mixed_the_kernel_is_the_exact_one():
    """With lam 0 and 1 alone, what is remembered are the embeddings themselves."""
    net = nn.Sequential(nn.Linear(D, 6), nn.Tanh(), nn.Linear(6, 4))
    method = calmix.sk_mixup(tau_max=1e-30, tau_std=100.0, remember=True)
    training_loss, index = loss(method), torch.arange(N)
    for _ in range(12):
        training_loss(net, X, Y, index)
        assert training_loss.mix is not None
        assert set(training_loss.mix.lam_x.tolist()) == {0.0, 1.0}
    step = method.step(net, Classification(4), Batch(X, Y, index), memory=training_loss._memory)
    known, exact = Remembered()(step), Embedding()(step)
    assert close(known.float(), exact)
    pairs = index, torch.randperm(N, generator=seeded())
    assert torch.allclose(pair_distance(known, *pairs), pair_distance(exact, *pairs), atol=0.01)


def test_a_named_site_is_remembered_flattened():
    net = nn.Sequential(nn.Unflatten(1, (1, D)), nn.Conv1d(1, 2, 1), nn.Flatten(), nn.Linear(2 * D, 4))
    training_loss = loss(calmix.sk_mixup(tau_max=1e-30, tau_std=100.0, space=Remembered("1")))
    for _ in range(12):
        training_loss(net, X, Y, torch.arange(N))
    assert close(remembered(training_loss), net[1](net[0](X)).flatten(1).detach())


def test_it_costs_no_further_forward():
    calls, net = [], identity()
    net.register_forward_hook(lambda *_: calls.append(1))
    training_loss = loss()
    for _ in range(3):
        training_loss(net, X, Y, torch.arange(N))
    assert len(calls) == 3
    assert not net._forward_pre_hooks
    assert len(net._forward_hooks) == 1


def test_nothing_is_remembered_where_nobody_asks_or_in_eval():
    training_loss = loss(calmix.mixup())
    training_loss(identity(), X, Y, torch.arange(N))
    assert training_loss.state_dict()["_extra_state"]["memory"] == {}
    training_loss = loss().eval()
    training_loss(identity(), X, Y, torch.arange(N))
    assert training_loss.state_dict()["_extra_state"]["memory"] == {}


# -------------------------------------------------------------------------------------- rows not met yet


def test_a_pair_with_an_unseen_row_is_at_the_mean_distance():
    rows = torch.tensor([[0.0], [1.0], [torch.nan], [3.0]])
    distance = pair_distance(rows, torch.tensor([0, 0, 0, 2]), torch.tensor([1, 3, 2, 2]))
    assert torch.allclose(distance, torch.tensor([0.2, 1.8, 1.0, 1.0]))
    assert SimilarityKernel(tau_max=0.7).tau(distance)[2:].tolist() == pytest.approx([0.7, 0.7])
    nobody = torch.full((4, 1), torch.nan)
    assert pair_distance(nobody, torch.arange(4), torch.arange(4).flip(0)).tolist() == [1, 1, 1, 1]


def test_the_first_step_draws_beta_of_tau_max():
    training_loss = loss(calmix.sk_mixup(tau_max=0.6, remember=True))
    x, index = torch.randn(4000, D, generator=seeded(2)), torch.arange(4000)
    training_loss(identity(), x, index % 4, index)
    assert training_loss.mix is not None
    assert stats.kstest(training_loss.mix.lam_x.numpy(), stats.beta(0.6, 0.6).cdf).pvalue > 1e-3


def test_similar_pairs_are_mixed_more_once_they_are_known():
    near = torch.cat([0.01 * torch.randn(20, D, generator=seeded(3)), 9 * torch.randn(20, D, generator=seeded(4))])
    training_loss, net, depth = loss(), identity(), {"near": [], "far": []}
    for step in range(60):
        training_loss(net, near, Y, torch.arange(N))
        mix = training_loss.mix
        assert mix is not None
        shallow = torch.minimum(mix.lam_x, 1 - mix.lam_x)
        if step > 20:
            depth["near"].append(shallow[(mix.anchor < 20) & (mix.partner < 20)].mean())
            depth["far"].append(shallow[(mix.anchor >= 20) & (mix.partner >= 20)].mean())
    assert torch.stack(depth["near"]).nanmean() > 2 * torch.stack(depth["far"]).nanmean()


# ----------------------------------------------------------------------------------------- room and state


def test_it_grows_with_the_positions_it_meets_and_forgets_nothing():
    memory, mix = Memory(), Mix(torch.tensor([0, 1]), torch.tensor([1, 0]), torch.ones(2), torch.ones(2))
    assert memory.recall(torch.tensor([5]), None) is None
    expected = np.full((5001, 1), np.nan)
    for positions in torch.tensor([[0, 3], [7, 2], [100, 5]]):
        memory.keep(positions, mix, positions[:, None].float())
        expected = after(expected, positions, mix, positions[:, None].numpy())
    assert np.isfinite(expected).sum() == 6
    state = memory.state()[None].float()
    assert len(state) >= 101
    assert close(state, expected[: len(state)])
    further = memory.recall(torch.tensor([3, 5000]), None)
    assert further is not None
    assert close(further.float(), expected[[3, 5000]])


def test_with_the_training_set_the_room_is_known_beforehand():
    training_loss = loss(data=(X, Y))
    index = torch.tensor([3, 1])
    training_loss(identity(), X[index], Y[index], index)
    assert remembered(training_loss).shape == (N, D)
    with pytest.raises(ShapeError, match=r"positions in the training set's 40 rows; got 3\.\.40"):
        training_loss(identity(), X[index], Y[index], torch.tensor([3, 40]))


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (None, SettingError, r"call training_loss\(model, x, y, index=index\), with IndexedDataset\(dataset\)"),
        (torch.rand(4), ShapeError, r"positions, integers \(n,\); got torch.float32 \(4,\)"),
        (torch.zeros(4, 1, dtype=torch.int64), ShapeError, r"the position of each of the 4 rows; got \(4, 1\)"),
    ],
)
def test_an_index_that_is_none_is_one_sentence(index: Tensor | None, error: type[Exception], message: str):
    training_loss = loss()
    for _ in range(2):
        with pytest.raises(error, match=message):
            training_loss(identity(), X[:4], Y[:4], index)
        training_loss(identity(), X[:4], Y[:4], torch.arange(4))


def test_saved_mid_training_it_goes_on_with_the_same_memory():
    net, training_loss = identity(), loss()
    for _ in range(3):
        training_loss(net, X, Y, torch.arange(N))
    file = io.BytesIO()
    torch.save(training_loss.state_dict(), file)
    ahead = [training_loss(net, X, Y, torch.arange(N)).item() for _ in range(4)]
    file.seek(0)
    resumed = loss(seed=9)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert [resumed(net, X, Y, torch.arange(N)).item() for _ in range(4)] == ahead
    assert torch.equal(remembered(resumed), remembered(training_loss))
    assert len(set(ahead)) == 4


def test_in_the_host_s_memory_it_is_the_same():
    states, mixes = [], []
    for host in (False, True):
        training_loss, net = loss(calmix.sk_mixup(space=Remembered(host=host))), identity()
        for _ in range(5):
            training_loss(net, X, Y, torch.arange(N))
        assert training_loss.mix is not None
        states.append(remembered(training_loss))
        mixes.append(training_loss.mix.lam_x)
        assert states[-1].device.type == "cpu"
    assert torch.equal(*states)
    assert torch.equal(*mixes)


def test_a_row_that_is_twice_in_a_batch_learns_from_both_as_one():
    rows, lam = torch.randn(4, D, generator=seeded(5)), torch.tensor([0.9, 0.7, 0.4, 0.2])
    mix = Mix(torch.tensor([0, 1, 2, 3]), torch.tensor([2, 0, 3, 1]), lam, lam)
    index, memory, expected = torch.tensor([7, 3, 7, 1]), Memory(8), np.full((8, D), np.nan)
    for _ in range(3):
        memory.begin_step()
        memory.recall(index, None)
        memory.keep(index, mix, rows)
        expected = after(expected, index, mix, rows.double().numpy())
    assert close(memory.state()[None].float(), expected)
    assert np.isfinite(expected[[1, 3, 7]]).all()


def test_what_tells_little_of_a_row_does_not_make_it_seen():
    memory, lam = Memory(2), torch.tensor([1.0])
    memory.recall(torch.tensor([0, 1]), None)
    memory.keep(torch.tensor([0, 1]), Mix(torch.tensor([0]), torch.tensor([1]), lam, lam), torch.ones(1, 3))
    assert memory.state()[None].isnan().tolist() == [[False] * 3, [True] * 3]


def test_two_sites_in_one_step_and_another_network_are_one_sentence():
    memory, mix = Memory(), Mix(torch.tensor([0]), torch.tensor([0]), torch.ones(1), torch.ones(1))
    memory.recall(torch.tensor([0]), "a")
    with pytest.raises(SettingError, match="at one site; got 'a' and None"):
        memory.recall(torch.tensor([0]), None)
    memory.keep(torch.tensor([0]), mix, torch.ones(1, 3))
    with pytest.raises(ShapeError, match="embeddings of 4 entries, but 3 were remembered"):
        memory.keep(torch.tensor([0]), mix, torch.ones(1, 4))
    memory.begin_step()
    assert memory.recall(torch.tensor([0]), "b") is None  # a table of its own


def test_a_loaded_memory_is_a_copy():
    ours, theirs = loss(), loss()
    ours(identity(), X, Y, torch.arange(N))
    theirs.load_state_dict(ours.state_dict())
    before = remembered(ours).clone()
    theirs(identity(), X + 5, Y, torch.arange(N))
    assert close(remembered(ours), before)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e5, 1e12])
def test_embeddings_of_any_size_are_remembered_alike(scale: float):
    """Neither clipped nor flushed to zero."""
    method = calmix.sk_mixup(tau_max=1e-30, tau_std=100.0, remember=True)
    training_loss = loss(method)
    net = identity()
    nn.init.zeros_(net.weight)
    for _ in range(12):
        training_loss(net, scale * X, Y, torch.arange(N))
    assert close(remembered(training_loss) / scale, X)
    step = method.step(net, Classification(4), Batch(X, Y, torch.arange(N)), memory=training_loss._memory)
    pairs = torch.arange(N), torch.arange(N).roll(1)
    assert torch.allclose(pair_distance(Remembered()(step), *pairs), pair_distance(X, *pairs), rtol=0.02)


def test_embeddings_that_are_not_finite_are_forgotten():
    training_loss, net, index = loss(), identity(), torch.arange(N)
    for _ in range(12):
        training_loss(net, X, Y, index)
    spoilt = X.clone()
    spoilt[3] = torch.inf
    training_loss(net, spoilt, Y, index)
    table = remembered(training_loss)
    assert table[3].isnan().all()
    assert 1 <= table.isnan().any(1).sum() <= 3  # and of the rows that were mixed with it
    for _ in range(3):
        training_loss(net, X, Y, index)
    assert not remembered(training_loss).isnan().any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rows", [None, N])
def test_autocast_remembers_what_full_precision_does(dtype: torch.dtype, rows: int | None):
    tables = []
    for enabled in (False, True):
        torch.manual_seed(0)
        training_loss, net = loss(data=(X, Y) if rows else None), nn.Sequential(nn.Linear(D, 5), nn.Linear(5, 4))
        for step in range(4):
            index = torch.randperm(N, generator=seeded(step))[: 10 * (step + 1)]
            with torch.autocast("cpu", dtype, enabled=enabled):
                training_loss(net, X[index], Y[index], index).backward()
        tables.append(remembered(training_loss)[:N])
    assert torch.allclose(*tables, equal_nan=True, atol=0.1)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32])
@pytest.mark.parametrize("make", [lambda: calmix.sk_mixup(remember=True), calmix.c_mixup])
def test_positions_may_be_integers_of_any_kind(make: Any, dtype: torch.dtype):
    losses = []
    for kind in (torch.int64, dtype):
        training_loss = loss(make(), data=(X, Y))
        for _ in range(3):
            index = torch.arange(N).flip(0)[:30]
            losses.append(training_loss(identity(), X[index], Y[index], index.to(kind)).detach())
    assert torch.equal(torch.stack(losses[:3]), torch.stack(losses[3:]))


def test_with_a_loader_over_indexed_rows_every_row_is_remembered_as_itself():
    data = TensorDataset(X, Y)
    training_loss = loss(calmix.sk_mixup(tau_max=1e-30, tau_std=100.0, remember=True))
    loader = DataLoader(IndexedDataset(data), batch_size=7, shuffle=True, generator=seeded())
    net = identity()
    for _ in range(20):
        for x, y, index in loader:
            assert torch.equal(x, X[index])
            training_loss(net, x, y, index)
    assert close(remembered(training_loss)[:N], X)
    assert len(IndexedDataset(data)) == N
    assert IndexedDataset(data)[3][2] == 3


def test_spaces_that_cost_nothing_need_no_memory():
    for space in (Inputs(), Targets()):
        with pytest.raises(
            SettingError, match=r"remember=True is for embeddings; .* costs no forward, so leave it out"
        ):
            calmix.sk_mixup(space=space, remember=True)
    assert calmix.sk_mixup(space=Embedding("body"), remember=True).coefficient == SimilarityKernel(
        space=Remembered("body")
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_model_remembers_what_the_plain_one_does_and_says_when_it_cannot():
    x, y = torch.randn(4, 24, 5, generator=seeded(1)), torch.arange(24) % 4

    def network() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))

    for traced_before in (False, True):
        torch._dynamo.reset()
        plain, compiled = network(), torch.compile(network(), backend="aot_eager")
        ours, theirs = loss(), loss()
        if traced_before:
            compiled(x[0])
            plain(x[0])
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            for rows in x:
                index = torch.randperm(40, generator=seeded(2))[:24]
                assert torch.allclose(ours(compiled, rows, y, index), theirs(plain, rows, y, index), atol=1e-5)
        assert close(remembered(ours), remembered(theirs))
        advice = [str(warning.message) for warning in said if "compile the model anew" in str(warning.message)]
        assert len(advice) == (1 if traced_before else 0)
