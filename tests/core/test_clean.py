"""The clean pass: run once at most, what it captures, what it leaves alone."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

import calmix
from calmix.core.clean import frozen_statistics
from calmix.core.tree import leaves
from calmix.errors import SiteError
from calmix.parts import CleanGrad, CleanPass


class Counted(nn.Module):
    """A network with batch norm that counts its forwards."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU())
        self.head = nn.Linear(6, 3)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.head(self.body(x))


def test_nobody_asks_nobody_pays_and_all_share_one_pass():
    net, x = Counted(), torch.randn(8, 4)
    clean = CleanPass(net, x, CleanGrad.WEIGHTS)
    assert net.calls == 0
    embedding, output, again = clean.embedding(), clean.output, clean.embedding()
    assert net.calls == 1
    assert torch.equal(embedding, again)
    assert torch.allclose(net.head(embedding), output)


def test_the_default_embedding_is_the_input_of_the_last_linear_layer():
    net, x = Counted().eval(), torch.randn(8, 4)
    assert torch.equal(CleanPass(net, x).embedding(), net.body(x))


def test_the_last_layer_is_found_by_use_and_not_by_the_order_of_definition():
    class HeadFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(5, 3)
            self.body = nn.Linear(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.body(x).relu())

    net, x = HeadFirst(), torch.randn(2, 4)
    assert torch.equal(CleanPass(net, x).embedding(), net.body(x).relu())


def test_a_named_site_gives_that_module_s_output_flattened():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    x = torch.randn(5, 1, 4, 4)
    assert torch.equal(CleanPass(net, x).embedding("0"), net[0](x).flatten(1))


def test_no_or_several_last_layers_are_errors_that_list_the_names():
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.left(x) + self.right(x)

    with pytest.raises(SiteError, match=r"no nn\.Linear is.*left, right.*Embedding\(site="):
        CleanPass(TwoHeads(), torch.randn(2, 4)).embedding()
    with pytest.raises(SiteError, match=r"no nn\.Linear is"):
        CleanPass(nn.Conv1d(2, 3, 1), torch.randn(2, 2, 4)).embedding()
    with pytest.raises(SiteError, match="its modules are: left, right"):
        CleanPass(TwoHeads(), torch.randn(2, 4)).embedding("middle")


def test_a_model_that_transforms_its_last_layer_s_output_is_understood():
    class LogProbabilities(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.body(x)).log_softmax(1)

    net, x = LogProbabilities(), torch.randn(2, 4)
    assert torch.equal(CleanPass(net, x).embedding(), net.body(x))


def test_gradients_flow_as_far_as_asked():
    net, x = Counted(), torch.randn(8, 4)
    nothing = CleanPass(net, x, CleanGrad.NOTHING)
    weights = CleanPass(net, x, CleanGrad.WEIGHTS)
    inputs = CleanPass(net, x, CleanGrad.INPUTS)
    assert not nothing.output.requires_grad
    assert weights.output.requires_grad
    assert not weights.x.requires_grad
    assert torch.autograd.grad(inputs.output.sum(), inputs.x)[0].shape == x.shape
    assert not x.requires_grad
    assert not weights.embedding().requires_grad


def test_statistics_are_normalised_by_the_batch_but_not_moved():
    net, x = Counted(), 5 + torch.randn(8, 4)
    before = copy.deepcopy(net.state_dict())
    output = CleanPass(net, x).output
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.allclose(output, net(x))  # the same batch statistics as a training pass
    assert not torch.equal(
        net.state_dict()["body.1.running_mean"], before["body.1.running_mean"]
    )  # which does move them


def test_nothing_is_left_behind_after_an_exception():
    net = Counted()
    with pytest.raises(RuntimeError):
        CleanPass(net, torch.randn(8, 99)).embedding()
    assert net.body[1].track_running_stats
    assert all(not module._forward_hooks for module in net.modules())
    assert torch.is_grad_enabled()


def test_norms_that_never_tracked_or_do_not_train_are_not_touched():
    untracked, evaluated = nn.BatchNorm1d(2, track_running_stats=False), nn.BatchNorm1d(2).eval()
    with frozen_statistics(nn.ModuleList([untracked, evaluated])):
        assert evaluated.track_running_stats  # it must keep using its running statistics
    assert not untracked.track_running_stats


def test_a_head_of_one_output_is_found_whatever_its_shape():
    class Squeezed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.body(x)).squeeze(-1)

    net = Squeezed()
    for n in (8, 5):  # with eight rows the output is as long as the body is wide
        x = torch.randn(n, 4)
        assert torch.equal(CleanPass(net, x).embedding(), net.body(x))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_models_compiled_in_place_or_in_part_show_their_embeddings():
    def network() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))

    x, plain, in_place = torch.randn(5, 4), network(), network()
    in_place.compile(backend="eager")
    wrapped = nn.Sequential(cast(nn.Module, torch.compile(network(), backend="eager")))
    for net in (in_place, wrapped):
        net(x)  # traced without hooks
        assert torch.allclose(CleanPass(net, x).embedding(), plain[:2](x))
        mix = calmix.parts.Mix(torch.arange(5), torch.arange(5).flip(0), torch.rand(5), torch.rand(5), "0")
        site = next(name for name, module in net.named_modules() if isinstance(module, nn.Linear))
        mixed = calmix.parts.mixed_output(net, x, replace(mix, site=site))
        assert torch.allclose(mixed, calmix.parts.mixed_output(plain, x, mix))


class AroundHead(nn.Module):
    """A network with something around, after or beside a head of three outputs."""

    def __init__(self, output: Callable[["AroundHead", Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.body, self.bottleneck, self.head = nn.Linear(4, 5), nn.Linear(5, 3), nn.Linear(5, 3)
        self.conv, self.later = nn.Conv1d(1, 1, 3, padding=1), nn.Parameter(torch.randn(3, 3))
        self.scale, self.shift = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(3))
        self.output = output

    def forward(self, x: Tensor) -> Any:
        return self.output(self, x, self.body(x).tanh())


COMPUTED_OF_THE_HEAD: dict[str, Callable[[AroundHead, Tensor, Tensor], Any]] = {
    "scaled and shifted": lambda net, _, h: net.scale * net.head(h) + net.shift,
    "divided in place": lambda net, _, h: net.head(h).div_(2),
    "reshaped": lambda net, _, h: net.head(h).view(-1, 3, 1),
    "in a dict, with what is fixed": lambda net, x, h: {"logits": net.head(h).log_softmax(1), "x": x},
    "joined": lambda net, x, h: torch.cat([net.head(h), x], 1),
}
NOT_COMPUTED_OF_IT_ALONE: dict[str, Callable[[AroundHead, Tensor, Tensor], Any]] = {
    "a bottleneck before a convolution": lambda net, _, h: net.conv(net.bottleneck(h)[:, None])[:, 0],
    "a bottleneck before a matrix": lambda net, _, h: net.bottleneck(h).tanh() @ net.later,
    "beside a matrix": lambda net, _, h: net.head(h) + h[:, :3] @ net.later,
    "not used": lambda net, x, h: (net.head(h), x @ net.later[:1].expand(4, 3))[1],
    "two": lambda net, _, h: net.head(h) + net.bottleneck(h),
}


@pytest.mark.parametrize("kind", COMPUTED_OF_THE_HEAD)
@pytest.mark.parametrize("grad", CleanGrad)
def test_the_last_layer_is_the_one_of_which_the_output_is_computed(kind: str, grad: CleanGrad):
    net, x = AroundHead(COMPUTED_OF_THE_HEAD[kind]), torch.randn(2, 4)
    for _ in range(2):  # it is looked for, and then known
        clean = CleanPass(net, x, grad)
        assert torch.equal(clean.embedding(), net.body(x).tanh())
        outputs = leaves(clean.output)
        assert outputs[0].requires_grad == (grad is not CleanGrad.NOTHING)


@pytest.mark.parametrize("kind", NOT_COMPUTED_OF_IT_ALONE)
def test_a_layer_of_the_output_s_width_is_no_last_layer_unless_it_alone_makes_the_output(kind: str):
    net = AroundHead(NOT_COMPUTED_OF_IT_ALONE[kind])
    for grad in CleanGrad:
        with pytest.raises(SiteError, match=r"no nn\.Linear is the model's last layer .*Embedding\(site="):
            CleanPass(net, torch.randn(2, 4), grad).embedding()


@pytest.mark.parametrize("site", ["1", None])
def test_what_is_captured_is_what_the_module_put_out_also_if_it_is_overwritten(site: str | None):
    net = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 6), nn.ReLU(inplace=True), nn.Linear(6, 3))
    x = torch.randn(8, 4)
    exact = net[1](net[0](x)) if site else net[:3](x)
    for grad in CleanGrad:
        for _ in range(2):
            assert torch.equal(CleanPass(net, x, grad).embedding(site), exact)
    for method in (calmix.sk_mixup, calmix.sk_mixup_e):
        space = calmix.parts.Embedding(site)
        step = method(space=space).step(net, calmix.Classification(3), calmix.parts.Batch(x, torch.arange(8) % 3))
        assert torch.equal(space(step), exact)


def test_a_plain_function_has_no_modules_to_find():
    net = Counted()
    for site in (None, "body"):
        with pytest.raises(SiteError, match=r"give the nn\.Module itself, in place of a function that calls it"):
            CleanPass(net.forward, torch.randn(4, 4)).embedding(site)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("slope", [calmix.parts.Jacobian(), calmix.parts.JacobianAbs()])
@pytest.mark.parametrize("make", [calmix.mixup_e, calmix.sk_mixup_e])
def test_a_compiled_model_is_differentiated_twice(slope: calmix.parts.Slope, make: Callable[..., calmix.parts.Method]):
    x, y = torch.randn(8, 4), torch.arange(8) % 3
    nets = Counted(), Counted()
    nets[1].load_state_dict(nets[0].state_dict())
    models = nets[0], torch.compile(nets[1], backend="aot_eager")
    for net, model in zip(nets, models, strict=True):
        training_loss = calmix.TrainingLoss(make(slope=slope), calmix.Classification(3))
        for _ in range(2):
            training_loss(model, x, y).backward()
        assert net.calls > 0
    for ours, theirs in zip(nets[1].parameters(), nets[0].parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)
