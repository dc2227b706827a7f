"""Where in the network: its stages, the site of a step, and forwards that end where nobody needs the rest."""

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import calmix
from calmix import Classification, TrainingLoss
from calmix.core.random import choose_index, seed_of
from calmix.core.site import stages
from calmix.errors import SettingError, SiteError
from calmix.models.residual import SmallResNet
from calmix.parts import CleanGrad, CleanPass, EverySite, Mix


class Branched(nn.Module):
    """Parts in an order of their own, a norm, a part without parameters, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 6)
        self.norm = nn.LayerNorm(6)
        self.act = nn.ReLU()
        self.left, self.right = nn.Linear(6, 6), nn.Sequential(nn.Linear(6, 6), nn.Tanh())
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.norm(self.embed(x)))
        return self.head(self.left(h) + self.right(h))


class Listed(nn.Module):
    """Blocks in a list, as transformers has them: the list is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 6)
        self.blocks = nn.ModuleList([nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 6)])
        self.more = nn.ModuleDict({"last": nn.Linear(6, 6)})
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.more["last"](x))


class Wrapped(nn.Module):
    """Everything in one part."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def mlp(*norms: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), *norms, nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))


@pytest.mark.parametrize(
    ("net", "names"),
    [
        (mlp(), "0 2"),
        (mlp(nn.BatchNorm1d(6)), "0 3"),
        (mlp(nn.LayerNorm(6)), "0 3"),
        (mlp(nn.GroupNorm(2, 6)), "0 3"),
        (mlp(nn.RMSNorm(6)), "0 3"),
        (mlp(nn.Dropout(), nn.Identity()), "0 4"),
        (Branched(), "embed left right"),
        (nn.Sequential(mlp(), nn.Linear(3, 2)), "0.0 0.2 0.4"),  # the one part before the last is opened
        (nn.Sequential(nn.Sequential(mlp()), nn.Linear(3, 2)), "0.0.0 0.0.2 0.0.4"),
        (Wrapped(Branched()), "net.embed net.left net.right"),
        (Wrapped(Wrapped(mlp())), "net.net.0 net.net.2"),
        (Listed(), "embed blocks.0 blocks.2 more.last"),
        (Wrapped(Listed()), "net.embed net.blocks.0 net.blocks.2 net.more.last"),
        (nn.DataParallel(Branched()), "module.embed module.left module.right"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), "1"),
        (SmallResNet((1, 8, 8), 3), "stem layer1 layer2 layer3"),
    ],
)
def test_stages_are_the_parts_before_the_last(net: nn.Module, names: str):
    assert stages(net) == tuple(names.split())


def test_a_compiled_model_has_the_stages_of_the_one_behind_it():
    assert stages(torch.compile(Branched(), backend="eager")) == ("embed", "left", "right")


@pytest.mark.parametrize("model", [nn.Linear(4, 3), nn.Sequential(nn.Linear(4, 3), nn.ReLU()), torch.tanh, nn.ReLU()])
def test_a_model_without_stages_is_one_sentence(model: Any):
    with pytest.raises(SiteError, match=r"no stages to mix after; name the modules: sites=\('layer1', 'layer2'\)"):
        stages(model)


# ---------------------------------------------------------------------------------- the site of a step

X, Y = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3


def drawn_sites(sites: tuple[str | None, ...] | None, net: nn.Module, steps: int = 400) -> Counter[str | None]:
    training_loss = TrainingLoss(calmix.manifold_mixup(sites=sites), Classification(3))
    count: Counter[str | None] = Counter()
    for _ in range(steps):
        training_loss(net, X, Y)
        assert training_loss.mix is not None
        count[training_loss.mix.site] += 1
    return count


@pytest.mark.parametrize(
    ("sites", "expected"),
    [(None, {None, "embed", "left", "right"}), ((None, "act"), {None, "act"}), (("right",), {"right"})],
)
def test_every_site_is_drawn_equally_often(sites: tuple[str | None, ...] | None, expected: set[str | None]):
    count = drawn_sites(sites, Branched())
    assert set(count) == expected
    mean = 400 / len(expected)
    assert all(abs(times - mean) < 4 * mean**0.5 for times in count.values())


def test_each_is_the_inputs_and_then_every_stage():
    step = calmix.mit_a().step(Branched(), Classification(3), calmix.parts.Batch(X, Y))
    assert EverySite()(step, None) == (None, "embed", "left", "right")
    assert EverySite(("act", "left"))(step, None) == (None, "act", "left")


def test_a_site_that_is_missing_lists_the_modules():
    for method in (calmix.manifold_mixup(sites=("layer9",)), calmix.mit_a(sites=("layer9",))):
        with pytest.raises(
            SiteError, match="no module 'layer9'; its modules are: embed, norm, act, left, right, right"
        ):
            TrainingLoss(method, Classification(3))(Branched(), X, Y)
    for sites in ((), "layer1", ["layer1"]):
        with pytest.raises(
            SettingError, match=r"sites must be a tuple of module names, such as \('layer1', 'layer2'\)"
        ):
            calmix.manifold_mixup(sites=sites)  # pyright: ignore[reportArgumentType]


# ---------------------------------------------------------------------------------------------- choose_index


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_choice_is_equally_likely(count: int):
    generator = torch.Generator().manual_seed(0)
    chosen = torch.tensor([choose_index(count, generator, torch.device("cpu")) for _ in range(3000)])
    times = chosen.bincount(minlength=count)
    assert len(times) == count
    assert (times - 3000 / count).abs().max() < 4 * (3000 / count) ** 0.5
    again = torch.Generator().manual_seed(0)
    assert [choose_index(count, again, torch.device("cpu")) for _ in range(20)] == chosen[:20].tolist()


@pytest.mark.parametrize("seed", [0, 42, 2**40 + 7, 2**64 - 1])
def test_a_device_s_generator_gives_other_seeds_as_it_moves_on(seed: int):
    """Its state is eight bytes of seed and then eight of what it has drawn, in steps of four."""
    states = [torch.tensor([*seed.to_bytes(8, "little"), *(4 * drawn).to_bytes(8, "little")]) for drawn in range(3000)]
    seeds = [seed_of(state.to(torch.uint8)) for state in states]
    assert len(set(seeds)) == 3000
    chosen = torch.tensor([choose_index(3, torch.Generator().manual_seed(s), torch.device("cpu")) for s in seeds])
    assert (chosen.bincount(minlength=3) - 1000).abs().max() < 4 * 1000**0.5
    assert abs(float((chosen[1:] == chosen[:-1]).double().mean()) - 1 / 3) < 0.04


# ------------------------------------------------------------------------ forwards that end before the end


class Counting(nn.Module):
    """Counts the forwards of its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.middle, self.head = nn.Linear(4, 5), nn.Linear(5, 6), nn.Linear(6, 3)
        self.calls: Counter[str] = Counter()
        for name, part in self.named_children():
            part.register_forward_hook(lambda *_, name=name: self.calls.update([name]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(self.body(x)).relu())


def test_the_clean_pass_ends_at_the_embedding_s_site():
    net = Counting()
    embedding = CleanPass(net, X).embedding("body")
    assert net.calls == {"body": 1}
    assert torch.equal(embedding, net.body(X))


def test_the_head_is_found_in_the_first_clean_pass_and_not_run_in_the_second():
    net = Counting()
    first = CleanPass(net, X).embedding()
    assert net.calls == {"body": 1, "middle": 1, "head": 1}
    second = CleanPass(net, X).embedding()
    assert net.calls == {"body": 2, "middle": 2, "head": 1}
    assert torch.equal(first, second)
    assert torch.equal(first, net.middle(net.body(X)).relu())


def test_a_pass_that_somebody_trains_on_goes_to_the_end():
    net = Counting()
    CleanPass(net, X).embedding()
    for grad in (CleanGrad.WEIGHTS, CleanGrad.INPUTS):
        net.calls.clear()
        clean = CleanPass(net, X, grad)
        clean.embedding()
        assert clean.output.requires_grad
        assert net.calls == {"body": 1, "middle": 1, "head": 1}


def test_the_output_is_still_there_for_who_asks_after_a_pass_that_ended_early():
    net = Counting()
    clean = CleanPass(net, X)
    embedding = clean.embedding("middle")
    assert torch.equal(clean.output, net(X))
    assert torch.equal(clean.embedding("middle"), embedding)


def test_a_network_with_a_new_last_layer_is_looked_at_anew():
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    assert CleanPass(net, X).embedding().shape == (8, 5)
    net[2] = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
    assert CleanPass(net, X).embedding().shape == (8, 7)


def test_a_step_of_the_kernel_runs_the_last_layer_once():
    net, training_loss = Counting(), TrainingLoss(calmix.sk_mixup(), Classification(3))
    training_loss(net, X, Y)
    net.calls.clear()
    training_loss(net, X, Y)
    assert net.calls == {"body": 2, "middle": 2, "head": 1}
    assert isinstance(training_loss.mix, Mix)


def test_nothing_is_left_behind_by_a_pass_that_ended_early():
    net = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))
    for _ in range(2):
        CleanPass(net, X).embedding()
        CleanPass(net, X).embedding("1")
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in net.modules())
    assert net[1].track_running_stats
    assert net[1].num_batches_tracked == 0
    assert torch.is_grad_enabled()
