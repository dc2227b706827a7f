"""Batch norm's running statistics: re-estimated on clean rows, and frozen while others pass."""

import copy
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import calmix
from calmix import Classification, TrainingLoss, refresh_batch_norm
from calmix.core.batch_norm import frozen_statistics
from calmix.errors import SettingError, UnknownNameError


def network(momentum: float | None = 0.1) -> nn.Sequential:
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(4, momentum=momentum)
    return nn.Sequential(nn.Linear(3, 4), norm, nn.Tanh(), nn.BatchNorm1d(4), nn.Linear(4, 2))


BATCHES = [3 + torch.randn(n, 3, generator=torch.Generator().manual_seed(n)) for n in (8, 5, 9)]


@pytest.mark.parametrize("momentum", [0.1, 0.9, None])
def test_the_running_statistics_become_the_mean_over_the_batches(momentum: float | None):
    net = network(momentum)
    net(100 * torch.randn(6, 3))  # what must be forgotten
    refresh_batch_norm(net, BATCHES)
    hidden = [net[0](x) for x in BATCHES]
    assert torch.allclose(net.get_buffer("1.running_mean"), torch.stack([h.mean(0) for h in hidden]).mean(0), atol=1e-5)
    assert torch.allclose(net.get_buffer("1.running_var"), torch.stack([h.var(0) for h in hidden]).mean(0), atol=1e-5)
    # the next norm sees what the first gives in training, normalised by its batches
    later = [((h - h.mean(0)) / (h.var(0, correction=0) + 1e-5).sqrt()).tanh() for h in hidden]
    assert torch.allclose(net.get_buffer("3.running_mean"), torch.stack([h.mean(0) for h in later]).mean(0), atol=1e-5)
    assert net[1].num_batches_tracked == len(BATCHES)
    assert net[1].momentum == momentum


def test_after_it_the_evaluated_model_normalises_what_it_was_refreshed_on():
    net, x = network(), torch.cat(BATCHES)
    refresh_batch_norm(net, [x])
    net.eval()
    normalised = net[1](net[0](x))
    assert torch.allclose(normalised.mean(0), torch.zeros(4), atol=1e-5)
    assert torch.allclose(normalised.var(0), torch.ones(4), atol=1e-3)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_restored_and_nothing_is_learnt(training: bool):
    net = network().train(training)
    net[2].train(not training)  # a part of its own mind
    modes = [module.training for module in net.modules()]
    weights = copy.deepcopy(dict(net.named_parameters()))
    refresh_batch_norm(net, DataLoader(TensorDataset(torch.cat(BATCHES), torch.zeros(22)), 11))
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(weight, weights[name]) and weight.grad is None for name, weight in net.named_parameters())
    assert net[1].num_batches_tracked == 2


def test_a_model_without_batch_norm_is_not_run():
    calls = []
    net = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    net.register_forward_pre_hook(lambda *_: calls.append(1))
    before = copy.deepcopy(net.state_dict())
    refresh_batch_norm(net, BATCHES)
    assert calls == []
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training


def test_frozen_statistics_stay_and_move_again_afterwards():
    net, x = network(), BATCHES[0]
    before = copy.deepcopy(net.state_dict())
    with frozen_statistics(net):
        frozen = net(x)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(net(x), frozen)  # by batch statistics either way
    assert not torch.equal(net.get_buffer("1.running_mean"), before["1.running_mean"])


def trained_on(batch_norm: str, x: Tensor) -> Tensor:
    """The running mean of inputs after one step of Mixup with far-away partners."""
    net = nn.Sequential(nn.BatchNorm1d(3, momentum=1.0), nn.Linear(3, 2))
    method = calmix.regmixup(coefficient=calmix.parts.Beta(1e9))  # half and half
    TrainingLoss(method, Classification(2), batch_norm=batch_norm)(net, x, torch.arange(len(x)) % 2)
    return net.get_buffer("0.running_var")


def test_a_step_moves_them_by_the_rows_it_was_told_to():
    x = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(trained_on("clean", x), torch.ones(3), atol=0.1)
    assert torch.allclose(trained_on("mixed", x), torch.full((3,), 0.5), atol=0.1)  # of the mean of two rows
    with pytest.raises(UnknownNameError, match="unknown batch_norm 'mixd'; did you mean 'mixed'"):
        TrainingLoss(calmix.mixup(), Classification(2), batch_norm="mixd")


@pytest.mark.parametrize("batch_norm", ["mixed", "clean", "both"])
def test_plain_training_has_one_pass_whichever_is_to_move_them(batch_norm: str):
    net, passes = network(), []
    net.register_forward_pre_hook(lambda *_: passes.append(1))
    TrainingLoss(calmix.erm(), Classification(2), batch_norm=batch_norm)(
        net, BATCHES[0], torch.arange(len(BATCHES[0])) % 2
    )
    assert passes == [1]
    assert net.get_buffer("1.num_batches_tracked") == 1


def test_after_a_failing_loader_nothing_is_left_changed():
    model = nn.Sequential(nn.BatchNorm1d(2)).eval()

    def loader():
        yield torch.randn(4, 2)
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        refresh_batch_norm(model, loader())
    assert model[0].momentum == 0.1
    assert not model[0].training


def test_norms_that_are_frozen_on_purpose_stay_as_they_are():
    for freeze in (lambda norm: norm.eval(), lambda norm: setattr(norm, "track_running_stats", False)):
        net = network()
        net(BATCHES[0])
        freeze(net[1])
        before = copy.deepcopy(net[1].state_dict())
        refresh_batch_norm(net, BATCHES)
        assert all(torch.equal(value, before[name]) for name, value in net[1].state_dict().items())
        assert net[3].num_batches_tracked == len(BATCHES)


def test_a_model_whose_train_freezes_a_norm_keeps_it_frozen_after_eval():
    class Frozen(nn.Sequential):
        def train(self, mode: bool = True) -> "Frozen":
            super().train(mode)
            self[1].eval()
            return self

    net = Frozen(*network())
    net(BATCHES[0])
    before = net.eval().get_buffer("1.running_mean").clone()
    refresh_batch_norm(net, BATCHES)
    assert torch.equal(net.get_buffer("1.running_mean"), before)
    assert net[3].num_batches_tracked == len(BATCHES)
    assert not net.training


def test_instance_norm_s_statistics_become_the_mean_over_the_batches():
    net = nn.Sequential(nn.InstanceNorm1d(3, track_running_stats=True))
    series = [torch.randn(4, 3, 5) + shift for shift in (1.0, 2.0, 6.0)]
    refresh_batch_norm(net, series)
    means = torch.stack([x.mean((0, 2)) for x in series])
    assert torch.allclose(net[0].get_buffer("running_mean"), means.mean(0), atol=1e-6)


@pytest.mark.parametrize("batches", [[], iter(())])
def test_an_empty_loader_is_one_sentence_and_changes_nothing(batches: Any):
    net = network()
    net(BATCHES[0])
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(SettingError, match="the loader gave no batch"):
        refresh_batch_norm(net, batches)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_batches_may_be_trees():
    class Left(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x: dict[str, Tensor]) -> Tensor:
            return self.norm(x["left"])

    net = Left()
    refresh_batch_norm(net, [{"left": BATCHES[0]}])
    assert torch.allclose(net.norm.get_buffer("running_mean"), BATCHES[0].mean(0))


class Holder:
    """A model that is no module and hides one."""

    def __init__(self, net: Callable[[Tensor], Tensor]) -> None:
        self.net = net

    def predict(self, x: Tensor) -> Tensor:
        return self.net(x)


def closure(net: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def model(x: Tensor) -> Tensor:
        return net(x)

    return model


CALLABLES: dict[str, Callable[[nn.Module], Callable[[Tensor], Tensor]]] = {
    "closure": closure,
    "partial": partial,
    "bound forward": lambda net: net.forward,
    "method of another object": lambda net: Holder(net).predict,
    "functional": lambda net: lambda x: torch.func.functional_call(net, dict(net.named_parameters()), (x,)),
    "around a compiled module": lambda net: closure(torch.compile(net, backend="eager")),
    "compiled function": lambda net: torch.compile(closure(net), backend="eager"),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Using .torch.compile.module")
@pytest.mark.parametrize("kind", CALLABLES)
@pytest.mark.parametrize("batch_norm", ["mixed", "clean"])
def test_of_a_plain_callable_the_statistics_are_those_of_the_module_it_calls(kind: str, batch_norm: str):
    torch._dynamo.reset()
    x, y = BATCHES[0], torch.arange(8) % 2
    nets = network(), network()
    for net, model in zip(nets, (nets[0], CALLABLES[kind](nets[1])), strict=True):
        training_loss = TrainingLoss(calmix.mixup_e(), Classification(2), batch_norm=batch_norm)
        for _ in range(2):
            training_loss(model, x, y).backward()
        assert net[1].track_running_stats
        assert all(not module._forward_pre_hooks for module in net.modules())
    assert not torch.nn.modules.module._global_forward_pre_hooks
    assert nets[1][1].num_batches_tracked == 2
    for ours, theirs in zip(nets[1].state_dict().values(), nets[0].state_dict().values(), strict=True):
        assert torch.allclose(ours, theirs)


def test_the_norms_of_another_thread_go_on():
    ours, theirs = network(), network()

    def model(x: Tensor) -> Tensor:
        thread = threading.Thread(target=theirs, args=(x,))
        thread.start()
        thread.join()
        return ours(x)

    with frozen_statistics(model):
        model(BATCHES[0])
    assert (ours[1].num_batches_tracked, theirs[1].num_batches_tracked) == (0, 1)


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
@pytest.mark.parametrize("method", [calmix.mixup(), calmix.mixup_e(), calmix.sk_mixup(), calmix.mixup_idle()])
@pytest.mark.parametrize("batch_norm", ["mixed", "clean"])
@pytest.mark.parametrize("closed", [False, True])
def test_lazy_norms_end_a_step_as_others_do(method: calmix.parts.Method, batch_norm: str, closed: bool):
    statistics = []
    for norm in (nn.BatchNorm1d(4), nn.LazyBatchNorm1d()):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 4), norm, nn.Tanh(), nn.Linear(4, 2))
        model = closure(net) if closed and method == calmix.mixup_e() else net
        training_loss = TrainingLoss(method, Classification(2), batch_norm=batch_norm)
        for _ in range(2):
            training_loss(model, BATCHES[0], torch.arange(8) % 2)
        assert norm.track_running_stats
        assert not norm._forward_pre_hooks
        statistics.append(net[1].state_dict())
    assert statistics[0].keys() == statistics[1].keys()
    assert all(torch.allclose(value, statistics[1][name]) for name, value in statistics[0].items())


def test_without_batch_norm_no_clean_pass_is_run_for_it():
    net, calls = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)), []
    net.register_forward_pre_hook(lambda *_: calls.append(1))
    for batch_norm in ("clean", "both"):
        calls.clear()
        TrainingLoss(calmix.mixup(), Classification(2), batch_norm=batch_norm)(net, BATCHES[0], torch.arange(8) % 2)
        assert len(calls) == 1
