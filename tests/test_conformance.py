"""The laws that every method must pass. A new entry of METHODS is tested here by itself."""

import copy
import inspect
import pickle
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import checkpoint as checkpointing
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

import calmix
from calmix import METHODS, Classification, TrainingLoss
from calmix.core.space import pair_distance
from calmix.methods.mit import Twice
from calmix.parts import (
    MNDCG,
    Beta,
    CleanAndMixedLoss,
    DirectionalPenalty,
    Jacobian,
    JacobianAbs,
    Logit,
    Method,
    Mix,
    RankingLoss,
    SimilarityKernel,
    mixed_target,
)

N, CLASSES = 12, 12
IMAGE = (1, 3, 2)  # of the rows; every method can mix images
NAMES = sorted(METHODS)
MIXING = [name for name in NAMES if name != "erm"]
ANY_ROWS = [name for name in NAMES if name != "cutmix"]  # its boxes need images
CLEAN_PASS = {"mixup_idle", "sk_mixup", "mixup_e", "sk_mixup_e", "rankmixup", "near_mixup", "far_mixup"}
FORWARDS = {name: 2 if name in CLEAN_PASS else 1 for name in NAMES}  # a step


class Network(nn.Module):
    """Rows of any rank -> logits, through batch norm and a hidden site."""

    def __init__(self, features: int = 6, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(features, 8), nn.BatchNorm1d(8), nn.Tanh())
        self.head = nn.Linear(8, CLASSES)
        self.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def batch(n: int = N, shape: tuple[int, ...] = IMAGE, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """n rows with labels 0, 1, 2, ..., all different where n <= CLASSES."""
    x = torch.randn(n, *shape, generator=torch.Generator().manual_seed(7))
    return x.to(dtype), torch.arange(n) % CLASSES


def network(**kwargs: Any) -> Network:
    torch.manual_seed(0)
    return Network(**kwargs)


def step(method: Method, net: nn.Module, x: Any, y: Tensor, seed: int = 0, **options: Any) -> tuple[Tensor, Any]:
    """The loss and the training loss after one step on a batch that is the whole training set."""
    training_loss = TrainingLoss(method, Classification(CLASSES), seed, data=(x, y), **options)
    return training_loss(net, x, y, torch.arange(len(y))), training_loss


def drawn(method: Method, net: nn.Module, x: Any, y: Tensor, seed: int = 0) -> tuple[calmix.parts.Step, Mix]:
    """A step with its mix, as the training loss above draws it."""
    one = method.step(
        net,
        Classification(CLASSES),
        calmix.parts.Batch(x, y, torch.arange(len(y))),
        training_set=calmix.parts.TrainingSet((x, y)),
    )
    return method.draw(one, torch.Generator().manual_seed(seed))


def total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


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
def test_the_global_generator_is_neither_used_nor_moved(name: str):
    net, before = network(), torch.get_rng_state()
    step(METHODS[name](), net, *batch())
    assert torch.equal(before, torch.get_rng_state())


def unmixed(method: Method, mix: Mix) -> Mix:
    """The same pairs without any mixing: lam = 1; where a pair is mixed twice, 1 and then 0."""
    ones = torch.ones(len(mix.anchor))
    if isinstance(method.pairing, Twice):
        ones = torch.cat([ones[: len(ones) // 2], 1 - ones[len(ones) // 2 :]])
    later = tuple(replace(other, lam_x=ones, lam_y=ones) for other in mix.later)
    return replace(mix, lam_x=ones, lam_y=ones, later=later)


@pytest.mark.parametrize("name", NAMES)
def test_without_mixing_it_is_plain_training(name: str):
    (x, y), method, net = batch(), METHODS[name](), network()
    reference, _ = step(calmix.erm(), network(), x, y)
    made, mix = drawn(method, net, x, y)
    objective = method.objective
    if isinstance(objective, DirectionalPenalty):
        objective = replace(objective, eta=0.0)
    terms = objective(made, unmixed(method, mix)).terms
    if isinstance(objective, CleanAndMixedLoss):  # both of its terms see the same rows, in one joint batch
        assert torch.equal(terms["clean"], terms["mixed"])
        assert torch.allclose(terms["mixed"], reference)
    elif isinstance(objective, RankingLoss):
        assert terms["rank"] == 0
        assert torch.equal(terms["clean"], reference)
    elif isinstance(method.pairing, Twice):
        assert torch.allclose(total(terms), reference)
    else:
        assert torch.equal(total(terms), reference)


@pytest.mark.parametrize("name", NAMES)
def test_mixed_targets_sum_to_one_with_at_most_two_classes(name: str):
    x, y = batch()
    for seed in range(5):
        made, mix = drawn(METHODS[name](), network(), x, y, seed)
        target = mixed_target(made.target, mix)
        assert torch.allclose(target.sum(1), torch.ones(len(target)))
        assert ((target > 0).sum(1) <= 2).all()
        assert (target >= 0).all()


def with_strength(part: Any, strength: float) -> Any:
    """The same coefficient with its alpha or tau_max set."""
    if isinstance(part, SimilarityKernel):
        return replace(part, tau_max=strength, tau_std=10.0)
    if isinstance(part, Beta | calmix.parts.Apart):
        return replace(part, alpha=strength)
    return replace(part, coefficient=with_strength(part.coefficient, strength))


@pytest.mark.parametrize("name", MIXING)
def test_the_limits_are_no_mixing_and_half_and_half(name: str):
    x, y = batch()
    for strength, expected in ((1e-30, {0.0, 1.0}), (1e30, {0.5})):
        method = METHODS[name]()
        method = replace(method, coefficient=with_strength(method.coefficient, strength))
        _, mix = drawn(method, network(), x, y)
        if name == "cutmix":  # clipped boxes: a quarter of the image at least, or at most the whole
            low, high = (0.0, 1.0) if strength < 1 else (0.5, 1.0)
            assert ((mix.lam_y >= low) & (mix.lam_y <= high)).all()
        elif name.startswith("mit") and strength > 1:  # both lam would tend to 1/2, but for the margin of 1/2
            assert set(mix.lam_x.tolist()) == {0.75, 0.25}
        else:
            assert set((mix.lam_y if name == "target_mixup" else mix.lam_x).tolist()) <= expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [2, 3, 7, 64])
def test_any_number_of_rows(name: str, n: int):
    loss, _ = step(METHODS[name](), network(), *batch(n))
    loss.backward()
    assert torch.isfinite(loss)


@pytest.mark.parametrize("name", NAMES)
def test_a_single_row_is_mixed_with_itself(name: str):
    x, y = batch(1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, CLASSES))
    loss, _ = step(METHODS[name](), net, x, y)
    assert torch.isfinite(loss)
    made, mix = drawn(METHODS[name](), net, x, y)
    assert torch.allclose(calmix.parts.blend(made.batch.x, mix, mix.lam_x)[:1], x)


@pytest.mark.parametrize("name", ANY_ROWS)
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
    x, y = batch(shape=(3, 2, 1))
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


@pytest.mark.parametrize("name", ANY_ROWS)
def test_trees_of_tensors_give_what_one_tensor_gives(name: str):
    x, y = batch(shape=(6,))
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


CHECKPOINTING = dict(vars(checkpointing))


def left_behind(net: nn.Module) -> list[str]:
    hooks = [name for name, module in net.named_modules() if module._forward_hooks or module._forward_pre_hooks]
    frozen = [name for name, parameter in net.named_parameters() if not parameter.requires_grad]
    norms = [name for name, m in net.named_modules() if isinstance(m, nn.BatchNorm1d) and not m.track_running_stats]
    torchs = [name for name, thing in CHECKPOINTING.items() if vars(checkpointing)[name] is not thing]
    return hooks + frozen + norms + torchs


@pytest.mark.parametrize("name", ANY_ROWS)
@pytest.mark.parametrize("site", ["its own", None, "body.1"])
def test_nothing_is_left_behind_not_even_by_a_failing_step(name: str, site: str | None):
    method = METHODS[name]()
    method = method if site == "its own" else replace(method, site=site)
    (x, y), net = batch(), network()
    step(method, net, x, y)[0].backward()
    assert left_behind(net) == []
    for at in range(1, 1 + FORWARDS[name]):
        failing = Failing(at)
        with pytest.raises(RuntimeError, match="on purpose"):
            step(method, failing, x, y)
        assert left_behind(failing) == []


class Recomputed(nn.Module):
    """A network whose middle, with batch norm and a site in it, is computed again in backward unless mode is 'kept'."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mode = mode
        self.stem = nn.Sequential(nn.Flatten(), nn.Linear(6, 8))
        self.middle = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 8), nn.Tanh(), nn.BatchNorm1d(8), nn.Linear(8, 8))
        self.last = nn.Sequential(nn.Tanh(), nn.Linear(8, 8))
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h, reentrant = self.stem(x), self.mode.startswith("reentrant")
        if self.mode == "kept":
            h = self.last(self.middle(h))
        elif self.mode.endswith("sequential"):
            h = checkpoint_sequential([*self.middle, *self.last], 2, h, use_reentrant=reentrant)
        elif self.mode.endswith("nested"):
            inner = lambda rows: checkpoint(self.middle.__call__, rows, use_reentrant=reentrant)  # noqa: E731
            h = checkpoint(lambda rows: self.last(inner(rows)), h, use_reentrant=reentrant)
        else:
            h = checkpoint(self.last, checkpoint(self.middle, h, use_reentrant=reentrant), use_reentrant=reentrant)
        return self.head(h)


KINDS = ["reentrant", "not reentrant"]
WAYS = ["", ", sequential", ", nested"]


def gradients(net: nn.Module, method: Method, batch_norm: str = "mixed") -> dict[str, Tensor]:
    """The gradients of two losses on different batches and mixes that are back-propagated together."""
    (x, y), index = batch(), torch.arange(N)
    training_loss = TrainingLoss(method, Classification(CLASSES), batch_norm=batch_norm, data=(x, y))
    torch.stack([training_loss(net, rows, y, index) for rows in (x, x.flip(0) + 1)]).sum().backward()
    return {name: parameter.grad for name, parameter in net.named_parameters() if parameter.grad is not None}


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # in passes without gradient
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_activation_checkpointing_changes_no_gradient(name: str, kind: str):
    """At the inputs, at a site that is computed again in backward, and with frozen statistics."""
    sites = [None] if name == "cutmix" else [None, "middle.1"]
    methods = [replace(METHODS[name](), site=site) for site in sites]
    if name == "mit_a":
        methods = [METHODS[name](sites=("stem", "middle.1", "last.1"))]
    if name == "mixup_e" and kind == "not reentrant":  # torch has no second derivative of the other kind
        methods.append(METHODS[name](slope=Jacobian(), sites=("middle.1",)))
    ways = WAYS if name in ("manifold_mixup", "mixup_e", "mit_a") else WAYS[:1]
    for method, batch_norm in product(methods, ("mixed", "clean")):
        plain = Recomputed("kept")
        theirs = gradients(plain, method, batch_norm)
        for way in ways:
            net = Recomputed(kind + way)
            ours = gradients(net, method, batch_norm)
            assert ours.keys() == theirs.keys()
            assert all(torch.allclose(ours[key], theirs[key], atol=1e-6) for key in ours), (method, batch_norm, way)
            assert left_behind(net) == []
            if batch_norm == "clean" and name not in ("erm", "rankmixup", "mixup_e", "sk_mixup_e"):
                assert net.middle[0].num_batches_tracked == 2  # by the clean pass, which has no graph
                assert torch.equal(net.get_buffer("middle.3.running_var"), plain.get_buffer("middle.3.running_var"))


def test_what_torch_cannot_checkpoint_is_a_clear_error():
    net, (x, y) = Recomputed("reentrant"), batch()
    with pytest.raises(RuntimeError, match="set use_reentrant=False"):
        step(calmix.mixup_e(slope=Jacobian()), net, x, y)
    assert left_behind(net) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_that_fails_while_it_is_recomputed_leaves_nothing_behind(kind: str):
    net = Recomputed(kind)
    loss, _ = step(calmix.mixup_e(sites=("middle.1",)), net, *batch())

    def fail(*_: Any) -> None:
        raise RuntimeError("on purpose")

    handle = net.middle[3].register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        loss.backward()
    handle.remove()
    assert left_behind(net) == []


def test_what_is_recomputed_does_not_enter_the_step_of_another_thread():
    ours, theirs, inside, on = Recomputed("reentrant"), Recomputed("kept"), threading.Event(), threading.Event()

    def wait(*_: Any) -> None:
        inside.set()
        assert on.wait(60)

    handle = theirs.stem.register_forward_hook(wait)
    method = calmix.manifold_mixup(sites=("middle.1",))
    thread = threading.Thread(target=step, args=(method, theirs, *batch()))
    thread.start()
    assert inside.wait(60)
    loss, _ = step(method, ours, *batch())
    on.set()
    thread.join()
    handle.remove()
    found: list[list[str]] = []
    ours.middle[3].register_forward_hook(lambda *_: found.append(left_behind(theirs)))
    loss.backward()
    assert [name for names in found for name in names if name.startswith("middle")] == []
    assert len(found) == 1


STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@pytest.mark.parametrize("name", NAMES)
def test_running_statistics_are_moved_by_the_trained_rows_alone(name: str):
    """They end where one forward of the rows that are trained on, clean pass or not, leaves them."""
    (x, y), net, method = batch(), network(), METHODS[name]()
    twin = copy.deepcopy(net)
    step(method, net, x, y)
    made, mix = drawn(method, copy.deepcopy(net), x, y)
    if name == "mixup_idle":  # what it is for
        twin(x)
    if name == "regmixup":
        twin(torch.cat([x, calmix.parts.blend(x, mix, mix.lam_x)]))
    elif name != "mit_a":  # which has but one forward
        calmix.parts.mixed_output(twin, made.batch.x, mix)
    if name != "mit_a":
        for statistic in STATISTICS:
            assert torch.allclose(getattr(net.body[2], statistic), getattr(twin.body[2], statistic)), statistic
    assert net.body[2].num_batches_tracked == (2 if name == "mixup_idle" else 1)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mixup_idle"])
@pytest.mark.parametrize("batch_norm", ["clean", "both"])
def test_batch_norm_follows_the_clean_rows_where_it_is_told_to(name: str, batch_norm: str):
    (x, y), net, method = batch(), network(), METHODS[name]()
    twin = copy.deepcopy(net)
    step(method, net, x, y, batch_norm=batch_norm)
    made, mix = drawn(method, copy.deepcopy(net), x, y)
    passes = 2 if batch_norm == "both" and name != "erm" else 1
    assert net.body[2].num_batches_tracked == passes
    twin(made.batch.x)
    if passes == 2 and name not in ("regmixup", "mit_a"):
        calmix.parts.mixed_output(twin, made.batch.x, mix)
    if passes == 1 or name not in ("regmixup", "mit_a"):
        for statistic in STATISTICS:
            assert torch.allclose(getattr(net.body[2], statistic), getattr(twin.body[2], statistic)), statistic


VARIED = [
    *(lambda slope=slope: calmix.mixup_e(slope=slope) for slope in (Jacobian(0.5), JacobianAbs(), Logit(0.5))),
    lambda: calmix.rankmixup(ranking=MNDCG()),
    lambda: calmix.sk_mixup(tau_max_y=0.5, remember=True),
    lambda: calmix.regmixup(coefficient=SimilarityKernel()),
    lambda: calmix.cutmix(coefficient=SimilarityKernel(space=calmix.parts.Embedding("body"))),
    lambda: calmix.sometimes(calmix.mixup(), p=0.5, per_row=True),
    lambda: calmix.folded(calmix.cutmix()),
    lambda: calmix.without_self_pairs(calmix.manifold_mixup(sites=(None, "body"))),
    lambda: calmix.with_whole_set(calmix.sk_mixup(tau_max=5)),
    lambda: calmix.scheduled(calmix.mixup_e(), until=3),
    lambda: calmix.scheduled(calmix.mixup(), 3, then=calmix.scheduled(calmix.mit_a(), 5)),
]


@pytest.mark.parametrize("make", [*(METHODS[name] for name in NAMES), *VARIED])
def test_repr_is_the_code_that_makes_it_and_methods_pickle(make: Callable[[], Method]):
    method = make()
    assert eval(repr(method), dict(vars(calmix.parts))) == method
    assert pickle.loads(pickle.dumps(method)) == method
    assert hash(method) == hash(make())


@pytest.mark.parametrize("name", MIXING)
def test_a_mix_can_be_replayed(name: str):
    (x, y), method = batch(), METHODS[name]()
    loss, training_loss = step(method, network(), x, y)
    made, mix = drawn(method, network(), x, y)
    assert torch.equal(mix.lam_x, training_loss.mix.lam_x)
    assert torch.equal(total(method.objective(made, mix).terms), loss)


@pytest.mark.parametrize("name", ANY_ROWS)
@pytest.mark.parametrize("site", [None, "body.1"])
def test_a_compiled_model_gives_the_same_step_after_step(name: str, site: str | None):
    method = replace(METHODS[name](), site=site)
    eager, (x, y) = network(), batch()
    compiled = torch.compile(copy.deepcopy(eager), backend="eager")
    losses = [TrainingLoss(method, Classification(CLASSES), data=(x, y)) for _ in range(2)]
    index = torch.arange(N)
    for _ in range(3):
        ours, theirs = losses[0](compiled, x, y, index), losses[1](eager, x, y, index)
        assert torch.allclose(ours, theirs)
        ours.backward()


def test_more_or_fewer_mixed_rows_than_rows():
    (x, y), net = batch(), network()
    made = calmix.mixup().step(net, Classification(CLASSES), calmix.parts.Batch(x, y))
    for rows in (5, 40):
        lam = torch.rand(rows)
        mix = Mix(torch.arange(rows) % N, (torch.arange(rows) + 1) % N, lam, lam)
        assert len(calmix.parts.MixedLoss()(made, mix).output) == rows


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_says_formula_source_defaults_and_cost(name: str):
    text = METHODS[name].__doc__ or ""
    assert all(f"{word}:" in text for word in ("Formula", "Source", "Cost"))
    assert "Defaults:" in text or "No options" in text
    options = inspect.signature(METHODS[name]).parameters
    assert [option for option in options if not re.search(rf"\b{option}\b", text)] == []


def test_one_clean_forward_is_shared_by_the_kernel_and_the_penalty():
    calls = []
    net = network()
    net.register_forward_pre_hook(lambda *_: calls.append(1))
    counts = {}
    for name in NAMES:
        calls.clear()
        step(METHODS[name](), net, *batch())
        counts[name] = len(calls)
    assert counts == FORWARDS


@pytest.mark.parametrize("space", [calmix.parts.Inputs(), calmix.parts.Targets()])
def test_spaces_without_a_network_cost_no_forward(space: calmix.parts.Space):
    calls = []
    net = network()
    net.register_forward_hook(lambda *_: calls.append(1))
    step(calmix.sk_mixup(space=space), net, *batch())
    assert len(calls) == 1


def without_a_forward(name: str) -> Method:
    """The method with distances between inputs, and partners from the batch."""
    if name == "c_mixup":
        return calmix.c_mixup(whole_set=False)
    if name in ("sk_mixup", "sk_mixup_e", "near_mixup", "far_mixup"):
        return METHODS[name](space=calmix.parts.Inputs())
    return METHODS[name](sites=("body.1",)) if name == "mit_a" else METHODS[name]()


# an assignment is solved on the CPU, and which site it is to be is the host's question
HOST_DECIDES = ("k_mixup", "manifold_mixup")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in HOST_DECIDES])
def test_a_mix_is_drawn_and_applied_in_one_graph(name: str):
    """No graph break and no wait for the device, by torch's own generator (a graph cannot hold another)."""
    method, net = without_a_forward(name), network()

    def mixed(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        made, mix = method.draw(method.step(net, Classification(CLASSES), calmix.parts.Batch(x, y)))
        return calmix.parts.blend(x, mix, mix.lam_x), mixed_target(made.target, mix), mix.lam_y

    torch._dynamo.reset()
    x, target, lam = torch.compile(mixed, fullgraph=True, backend="aot_eager")(*batch())
    assert x.shape[1:] == IMAGE
    assert len(x) == len(target) == len(lam)
    assert torch.allclose(target.sum(1), torch.ones(len(x)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", [name for name in NAMES if name != "k_mixup"])
def test_no_step_waits_for_the_gpu(name: str):
    x, y, index = (rows.cuda() for rows in (*batch(), torch.arange(N)))
    net, methods = network().cuda(), [METHODS[name]()]
    methods += [calmix.sk_mixup(remember=True)] if name == "sk_mixup" else []
    for method in methods:
        training_loss = TrainingLoss(method, Classification(CLASSES), data=(x, y))
        for mode in ("default", "error"):  # the first step sets things up
            torch.cuda.set_sync_debug_mode(mode)
            try:
                training_loss(net, x, y, index).backward()
            finally:
                torch.cuda.set_sync_debug_mode("default")


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_the_kernel_and_the_mix_compile_in_one_graph(alpha: float):
    """From distances and uniform numbers to mixed rows: no graph break and no wait for the device."""
    kernel = SimilarityKernel(alpha=alpha)

    def mixed(x: Tensor, target: Tensor, rows: Tensor, partner: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        anchor = torch.arange(len(x))
        tau = kernel.tau(pair_distance(rows, anchor, partner))
        lam = calmix.parts.warp(calmix.parts.warp(uniform, alpha), tau)
        mix = Mix(anchor, partner, lam, lam)
        return calmix.parts.blend(x, mix, lam), mixed_target(target, mix)

    x, y = batch()
    arguments = x, torch.eye(CLASSES)[y], torch.randn(N, 3), torch.randperm(N), torch.rand(N)
    compiled = torch.compile(mixed, fullgraph=True, backend="aot_eager")
    for ours, eager in zip(compiled(*arguments), mixed(*arguments), strict=True):
        assert torch.allclose(ours, eager, rtol=0, atol=1e-6)
