"""The clean pass: run once at most, what it captures, what it leaves alone."""

import copy
from dataclasses import replace
from typing import cast

import pytest
import torch
from torch import Tensor, nn

import calmix
from calmix.core.clean import frozen_statistics
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

    with pytest.raises(SiteError, match=r"several nn\.Linear.*left, right.*Embedding\(site="):
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
