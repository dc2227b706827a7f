"""The laws that every method must pass. A new entry of METHODS is tested here by itself."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import calmix
from calmix import METHODS, Batch, Beta, Classification, Method, Mix, SimilarityKernel, TrainingLoss, mixed_target
from calmix.core.coefficient import One
from calmix.core.space import pair_distance

N, CLASSES = 12, 12
NAMES = sorted(METHODS)
FORWARDS = {"erm": 1, "mixup": 1, "sk_mixup": 2, "mixup_e": 2, "sk_mixup_e": 2, "regmixup": 1}  # a step
MIXING = [name for name in NAMES if name != "erm"]


class Network(nn.Module):
    """Rows of any rank -> logits, through batch norm and a hidden site."""

    def __init__(self, features: int = 6, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(features, 8), nn.BatchNorm1d(8), nn.Tanh())
        self.head = nn.Linear(8, CLASSES)
        self.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def batch(n: int = N, shape: tuple[int, ...] = (6,), dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """n rows with labels 0, 1, 2, ..., all different where n <= CLASSES."""
    x = torch.randn(n, *shape, generator=torch.Generator().manual_seed(7))
    return x.to(dtype), torch.arange(n) % CLASSES


def network(**kwargs: Any) -> Network:
    torch.manual_seed(0)
    return Network(**kwargs)


def step(method: Method, net: nn.Module, x: Any, y: Tensor, seed: int = 0) -> tuple[Tensor, TrainingLoss]:
    training_loss = TrainingLoss(method, Classification(CLASSES), seed)
    return training_loss(net, x, y), training_loss


@pytest.mark.parametrize("name", NAMES)
def test_the_same_state_gives_the_same_terms_and_another_gives_another_mix(name: str):
    (x, y), terms, mixes = batch(), [], []
    for seed in (0, 0, 1):
        _, training_loss = step(METHODS[name](), network(), x, y, seed)
        terms.append(training_loss.terms)
        mixes.append(training_loss.mix)
    assert all(torch.equal(terms[0][term], terms[1][term]) for term in terms[0])
    if name != "erm":
        assert not (torch.equal(mixes[0].partner, mixes[2].partner) and torch.equal(mixes[0].lam_x, mixes[2].lam_x))


@pytest.mark.parametrize("name", NAMES)
def test_lam_one_is_plain_training_exactly(name: str):
    (x, y), method = batch(), METHODS[name]()
    reference, _ = step(calmix.erm(), network(), x, y)
    net = network()
    made = method.step(net, Classification(CLASSES), Batch(x, y))
    mix = replace(method.draw(made, torch.Generator().manual_seed(0)), lam_x=torch.ones(N), lam_y=torch.ones(N))
    objective = method.objective
    if isinstance(objective, calmix.DirectionalPenalty):
        objective = replace(objective, eta=0.0)
    terms = objective(made, mix).terms
    if isinstance(objective, calmix.CleanAndMixedLoss):  # both of its terms see the same rows, in one joint batch
        assert torch.equal(terms["clean"], terms["mixed"])
        assert torch.allclose(terms["mixed"], reference)
    else:
        assert torch.equal(torch.stack(list(terms.values())).sum(), reference)


@pytest.mark.parametrize("name", NAMES)
def test_mixed_targets_sum_to_one_with_at_most_two_classes(name: str):
    x, y = batch()
    for seed in range(5):
        _, training_loss = step(METHODS[name](), network(), x, y, seed)
        assert training_loss.mix is not None
        target = mixed_target(torch.eye(CLASSES)[y], training_loss.mix)
        assert torch.allclose(target.sum(1), torch.ones(len(target)))
        assert ((target > 0).sum(1) <= 2).all()
        assert (target >= 0).all()


def with_strength(method: Method, strength: float) -> Method | None:
    """The same method with its alpha or tau_max set; None where it has neither."""
    if isinstance(method.coefficient, Beta):
        return replace(method, coefficient=replace(method.coefficient, alpha=strength))
    if isinstance(method.coefficient, SimilarityKernel):
        return replace(method, coefficient=replace(method.coefficient, tau_max=strength, tau_std=10.0))
    assert isinstance(method.coefficient, One)
    return None


@pytest.mark.parametrize("name", MIXING)
def test_the_limits_are_no_mixing_and_half_and_half(name: str):
    x, y = batch()
    for strength, expected in ((1e-30, {0.0, 1.0}), (1e30, {0.5})):
        method = with_strength(METHODS[name](), strength)
        assert method is not None
        _, training_loss = step(method, network(), x, y)
        assert training_loss.mix is not None
        assert set(training_loss.mix.lam_x.tolist()) <= expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [2, 3, 7, 64])
def test_any_number_of_rows(name: str, n: int):
    loss, _ = step(METHODS[name](), network(), *batch(n))
    loss.backward()
    assert torch.isfinite(loss)


@pytest.mark.parametrize("name", NAMES)
def test_a_single_row_is_mixed_with_itself(name: str):
    x, y = batch(1)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, CLASSES))
    loss, training_loss = step(METHODS[name](), net, x, y)
    assert torch.isfinite(loss)
    assert training_loss.mix is not None
    assert torch.equal(calmix.blend(x, training_loss.mix, training_loss.mix.lam_x)[:1], x)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(6,), (2, 3), (1, 2, 3), (1, 2, 3, 1)])
def test_rows_of_any_rank(name: str, shape: tuple[int, ...]):
    loss, _ = step(METHODS[name](), network(), *batch(shape=shape))
    flat, _ = step(METHODS[name](), network(), *batch())
    assert torch.allclose(loss, flat)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_dtype_and_the_loss_is_at_least_float32(name: str, dtype: torch.dtype):
    x, y = batch(dtype=dtype)
    loss, _ = step(METHODS[name](), network(dtype=dtype), x, y)
    exact, _ = step(METHODS[name](), network(), x.float(), y)
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert float(loss.detach()) == pytest.approx(float(exact.detach()), abs=0.1)
    loss.backward()


@pytest.mark.parametrize("name", NAMES)
def test_channels_last_gives_the_same(name: str):
    x, y = batch(shape=(2, 3, 1))
    loss, _ = step(METHODS[name](), network(), x, y)
    other, _ = step(METHODS[name](), network(), x.to(memory_format=torch.channels_last), y)
    assert torch.allclose(loss, other)


@dataclass(frozen=True)
class Parts:
    left: Tensor
    right: Tensor


class Joined(nn.Module):
    """A network whose rows come in two parts."""

    def __init__(self, split: Callable[[Any], tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.net, self.split = network(), split

    def forward(self, x: Any) -> Tensor:
        return self.net(torch.cat(self.split(x), 1))


@pytest.mark.parametrize("name", NAMES)
def test_trees_of_tensors_give_what_one_tensor_gives(name: str):
    x, y = batch()
    whole, _ = step(METHODS[name](), network(), x, y)
    trees: list[tuple[Any, Callable[[Any], tuple[Tensor, Tensor]]]] = [
        ({"left": x[:, :2], "right": x[:, 2:]}, lambda t: (t["left"], t["right"])),
        ((x[:, :2], x[:, 2:]), lambda t: (t[0], t[1])),
        (Parts(x[:, :2], x[:, 2:]), lambda t: (t.left, t.right)),
    ]
    for tree, split in trees:
        loss, _ = step(METHODS[name](), Joined(split), tree, y)
        assert torch.allclose(loss, whole)


@pytest.mark.parametrize("name", NAMES)
def test_the_batch_is_never_changed(name: str):
    x, y = batch()
    kept = x.clone(), y.clone()
    loss, _ = step(METHODS[name](), network(), x, y)
    loss.backward()
    assert torch.equal(x, kept[0])
    assert torch.equal(y, kept[1])
    assert not x.requires_grad
    assert x.grad is None


class Failing(Network):
    """Fails in its k-th forward."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        self.left -= 1
        if self.left == 0:
            raise RuntimeError("on purpose")
        return out


def left_behind(net: nn.Module) -> list[str]:
    hooks = [name for name, module in net.named_modules() if module._forward_hooks or module._forward_pre_hooks]
    frozen = [name for name, parameter in net.named_parameters() if not parameter.requires_grad]
    norms = [name for name, m in net.named_modules() if isinstance(m, nn.BatchNorm1d) and not m.track_running_stats]
    return hooks + frozen + norms


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("site", [None, "body.1"])
def test_nothing_is_left_behind_not_even_by_a_failing_step(name: str, site: str | None):
    method = replace(METHODS[name](), site=site)
    (x, y), net = batch(), network()
    step(method, net, x, y)[0].backward()
    assert left_behind(net) == []
    for at in range(1, 1 + FORWARDS[name]):
        failing = Failing(at)
        with pytest.raises(RuntimeError, match="on purpose"):
            step(method, failing, x, y)
        assert left_behind(failing) == []


@pytest.mark.parametrize("name", NAMES)
def test_running_statistics_are_moved_by_the_trained_rows_alone(name: str):
    """They end where one forward of the rows that are trained on, clean pass or not, leaves them."""
    (x, y), net = batch(), network()
    twin = copy.deepcopy(net)
    _, training_loss = step(METHODS[name](), net, x, y)
    mix = training_loss.mix
    assert mix is not None
    rows = calmix.blend(x, mix, mix.lam_x)
    twin(torch.cat([x, rows]) if name == "regmixup" else rows)
    for statistic in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.allclose(getattr(net.body[2], statistic), getattr(twin.body[2], statistic)), statistic


@pytest.mark.parametrize("name", NAMES)
def test_repr_is_the_code_that_makes_it_and_methods_pickle(name: str):
    method = METHODS[name]()
    assert eval(repr(method), dict(vars(calmix))) == method
    assert pickle.loads(pickle.dumps(method)) == method
    assert hash(method) == hash(METHODS[name]())


@pytest.mark.parametrize("name", MIXING)
def test_a_mix_can_be_replayed(name: str):
    (x, y), method = batch(), METHODS[name]()
    loss, training_loss = step(method, network(), x, y)
    assert isinstance(training_loss.mix, Mix)
    made = method.step(network(), Classification(CLASSES), Batch(x, y))
    terms = method.objective(made, training_loss.mix).terms
    assert torch.equal(torch.stack(list(terms.values())).sum(), loss)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("site", [None, "body.1"])
def test_a_compiled_model_gives_the_same_step_after_step(name: str, site: str | None):
    method = replace(METHODS[name](), site=site)
    eager, (x, y) = network(), batch()
    compiled = torch.compile(copy.deepcopy(eager), backend="eager")
    losses = [TrainingLoss(method, Classification(CLASSES)) for _ in range(2)]
    for _ in range(3):
        ours, theirs = losses[0](compiled, x, y), losses[1](eager, x, y)
        assert torch.allclose(ours, theirs)
        ours.backward()


def test_more_or_fewer_mixed_rows_than_rows():
    (x, y), net = batch(), network()
    made = calmix.mixup().step(net, Classification(CLASSES), Batch(x, y))
    for rows in (5, 40):
        lam = torch.rand(rows)
        mix = Mix(torch.arange(rows) % N, (torch.arange(rows) + 1) % N, lam, lam)
        assert len(calmix.MixedLoss()(made, mix).output) == rows


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_says_formula_source_defaults_and_cost(name: str):
    text = METHODS[name].__doc__ or ""
    assert all(f"{word}:" in text for word in ("Formula", "Source", "Cost"))
    assert "Defaults:" in text or "No options" in text


def test_one_clean_forward_is_shared_by_the_kernel_and_the_penalty():
    calls = []
    net = network()
    net.register_forward_hook(lambda *_: calls.append(1))
    counts = {}
    for name in NAMES:
        calls.clear()
        step(METHODS[name](), net, *batch())
        counts[name] = len(calls)
    assert counts == FORWARDS


@pytest.mark.parametrize("space", [calmix.Inputs(), calmix.Targets()])
def test_spaces_without_a_network_cost_no_forward(space: calmix.Space):
    calls = []
    net = network()
    net.register_forward_hook(lambda *_: calls.append(1))
    step(calmix.sk_mixup(space=space), net, *batch())
    assert len(calls) == 1


@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_the_kernel_and_the_mix_compile_in_one_graph(alpha: float):
    """From distances and uniform numbers to mixed rows: no graph break and no wait for the device."""
    kernel = SimilarityKernel(alpha=alpha)

    def mixed(x: Tensor, target: Tensor, rows: Tensor, partner: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        anchor = torch.arange(len(x))
        tau = kernel.tau(pair_distance(rows, anchor, partner))
        lam = calmix.warp(calmix.warp(uniform, alpha), tau)
        mix = Mix(anchor, partner, lam, lam)
        return calmix.blend(x, mix, lam), mixed_target(target, mix)

    x, y = batch()
    arguments = x, torch.eye(CLASSES)[y], torch.randn(N, 3), torch.randperm(N), torch.rand(N)
    compiled = torch.compile(mixed, fullgraph=True, backend="aot_eager")
    for ours, eager in zip(compiled(*arguments), mixed(*arguments), strict=True):
        assert torch.allclose(ours, eager)
