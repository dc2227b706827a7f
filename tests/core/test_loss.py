"""TrainingLoss: state, evaluation, honest accuracy, distances and the kernel, and errors before anything happens."""

import copy
import io
import itertools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import calmix
import calmix.core.loss
from calmix import Classification, TrainingLoss
from calmix.core.space import pair_distance
from calmix.errors import SettingError, ShapeError
from calmix.parts import Embedding, Inputs, Method, Mix, SimilarityKernel, Targets


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


def batch(n: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    return torch.randn(n, 4, generator=generator), torch.randint(3, (n,), generator=generator)


def test_in_eval_it_is_the_plain_loss_and_draws_nothing():
    net, (x, y) = network(), batch()
    training_loss = TrainingLoss(calmix.mixup(), Classification(3)).eval()
    assert torch.equal(training_loss(net, x, y), Classification(3).loss(net(x), Classification(3).target(y)).mean())
    assert training_loss.mix is None
    accuracy = training_loss.accuracy()
    assert accuracy is not None
    assert torch.equal(accuracy, (net(x).argmax(1) == y).float().mean())


def test_a_state_saved_mid_training_goes_on_with_the_same_mixes():
    net, (x, y) = network(), batch()
    training_loss = TrainingLoss(calmix.mixup(per_row=True), Classification(3), seed=5)
    training_loss(net, x, y)
    file = io.BytesIO()
    torch.save(training_loss.state_dict(), file)
    ahead = [training_loss(net, x, y).item() for _ in range(3)]
    file.seek(0)
    resumed = TrainingLoss(calmix.mixup(per_row=True), Classification(3))
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert [resumed(net, x, y).item() for _ in range(3)] == ahead


def test_a_state_saved_before_the_first_step_keeps_the_seed():
    net, (x, y) = network(), batch()
    fresh, other = (TrainingLoss(calmix.mixup(), Classification(3), seed=seed) for seed in (5, 0))
    other.load_state_dict(copy.deepcopy(fresh.state_dict()))
    assert torch.equal(other(net, x, y), fresh(net, x, y))


def test_ranks_with_one_seed_draw_mixes_of_their_own(monkeypatch: pytest.MonkeyPatch):
    drawn = []
    for rank in (0, 1, 2):
        monkeypatch.setattr(calmix.core.loss, "rank", lambda rank=rank: rank)
        training_loss = TrainingLoss(calmix.mixup(per_row=True), Classification(3), seed=5)
        training_loss(network(), *batch())
        assert training_loss.mix is not None
        drawn.append((training_loss.mix.lam_x, training_loss.mix.partner))
    assert all(
        not torch.equal(a, b)
        for one, other in itertools.combinations(drawn, 2)
        for a, b in zip(one, other, strict=True)
    )


def lam_of(training_loss: TrainingLoss, steps: int) -> list[float]:
    """The first row's lam in so many steps."""
    shares = []
    for _ in range(steps):
        training_loss(network(), *batch())
        assert training_loss.mix is not None
        shares.append(training_loss.mix.lam_x[0].item())
    return shares


def test_no_rank_of_a_seed_is_a_rank_of_another_seed(monkeypatch: pytest.MonkeyPatch):
    shares = set()
    for rank, seed in itertools.product((0, 1, 2), (0, 1, 2, -1)):
        monkeypatch.setattr(calmix.core.loss, "rank", lambda rank=rank: rank)
        shares.update(lam_of(TrainingLoss(calmix.mixup(), Classification(3), seed), steps=5))
    assert len(shares) == 3 * 4 * 5


def test_rank_0_draws_what_a_process_alone_draws():
    generator = torch.Generator().manual_seed(5)
    training_loss = TrainingLoss(calmix.mixup(), Classification(3), seed=5)
    for _ in range(3):
        torch.randperm(16, generator=generator)  # the partners
        assert lam_of(training_loss, steps=1) == torch.rand(1, generator=generator).tolist()


@pytest.mark.parametrize("saved_on", [0, 1])
@pytest.mark.parametrize("rank", [0, 1, 2])
def test_the_state_of_rank_0_restores_every_rank_s_and_any_state_its_own(
    rank: int, saved_on: int, monkeypatch: pytest.MonkeyPatch
):
    states = {}
    for place in sorted({rank, saved_on}):
        monkeypatch.setattr(calmix.core.loss, "rank", lambda place=place: place)
        training_loss = TrainingLoss(calmix.mixup(per_row=True), Classification(3), seed=5)
        lam_of(training_loss, steps=3)
        states[place] = copy.deepcopy(training_loss.state_dict()), lam_of(training_loss, steps=2)
    monkeypatch.setattr(calmix.core.loss, "rank", lambda: rank)
    resumed = TrainingLoss(calmix.mixup(per_row=True), Classification(3))
    resumed.load_state_dict(states[saved_on][0])
    ahead = lam_of(resumed, steps=2)
    if saved_on in (0, rank) or rank > 0:
        assert ahead == states[rank][1]
    else:  # rank 0 has its state from nobody else, and begins its stream of the same seed anew
        fresh = TrainingLoss(calmix.mixup(per_row=True), Classification(3), seed=5)
        assert ahead == lam_of(fresh, steps=2) != states[rank][1]


def test_a_state_from_before_there_were_ranks_goes_on():
    training_loss = TrainingLoss(calmix.mixup(), Classification(3), seed=5)
    lam_of(training_loss, steps=2)
    state = copy.deepcopy(training_loss.state_dict())
    del state["_extra_state"]["steps"]
    resumed = TrainingLoss(calmix.mixup(), Classification(3))
    resumed.load_state_dict(state)
    assert lam_of(resumed, steps=2) == lam_of(training_loss, steps=2)


def test_a_state_of_another_kind_of_device_is_one_sentence():
    training_loss = TrainingLoss(calmix.mixup(), Classification(3))
    training_loss.set_extra_state({"seed": 0, "rank": 0, "generator": torch.zeros(16, dtype=torch.uint8)})
    with pytest.raises(SettingError, match="was not saved on a device like cpu"):
        training_loss(network(), *batch())


def test_honest_accuracy_is_weighted_by_lam():
    net, (x, y) = network(), batch()
    training_loss = TrainingLoss(calmix.mixup(per_row=True), Classification(3), seed=1)
    training_loss(net, x, y)
    mix = training_loss.mix
    assert isinstance(mix, Mix)
    guess = net(calmix.parts.blend(x, mix, mix.lam_x)).argmax(1)
    by_hand = mix.lam_y * (guess == y[mix.anchor]) + (1 - mix.lam_y) * (guess == y[mix.partner])
    accuracy = training_loss.accuracy()
    assert accuracy is not None
    assert torch.allclose(accuracy, by_hand.mean())
    assert TrainingLoss(calmix.mixup(), calmix.Regression()).accuracy() is None


def test_terms_are_named_and_sum_to_the_loss():
    net, (x, y) = network(), batch()
    training_loss = TrainingLoss(calmix.mixup_e(eta=0.5), Classification(3))
    loss = training_loss(net, x, y)
    assert sorted(training_loss.terms) == ["mixed", "slope"]
    assert float(sum(training_loss.terms.values())) == pytest.approx(loss.item())
    assert not any(term.requires_grad for term in training_loss.terms.values())


# ------------------------------------------------------------------------------------------- the kernel


def test_distances_are_divided_by_their_mean_before_anything_else():
    rows = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    anchor, partner = torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0])
    squared = torch.tensor([25.0, 18.0, 1.0])
    distance = pair_distance(rows, anchor, partner)
    assert torch.allclose(distance, squared / squared.mean())
    assert float(distance.mean()) == pytest.approx(1)
    assert pair_distance(torch.ones(3, 2), anchor, partner).tolist() == [1, 1, 1]  # all the same: no NaN


def test_tau_is_tau_max_at_the_mean_distance_and_falls_with_distance():
    kernel = SimilarityKernel(tau_max=0.7, tau_std=0.5)
    tau = kernel.tau(torch.tensor([0.0, 1.0, 2.0]))
    assert torch.allclose(tau, torch.tensor([0.7 * 2.718281828**2, 0.7, 0.7 / 2.718281828**2]))


@pytest.mark.parametrize("alpha", [1.0, 0.4])
def test_near_pairs_are_mixed_more_than_far_ones(alpha: float):
    x = torch.cat([torch.zeros(50, 4), 0.1 * torch.randn(50, 4), 9 * torch.randn(100, 4)])
    y = torch.zeros(200, dtype=torch.int64)
    training_loss = TrainingLoss(calmix.sk_mixup(alpha=alpha, space=Inputs()), Classification(3))
    near, far = [], []
    for _ in range(20):
        training_loss(network(), x, y)
        mix = training_loss.mix
        assert mix is not None
        depth = torch.minimum(mix.lam_x, 1 - mix.lam_x)
        both_near = (mix.anchor < 100) & (mix.partner < 100)
        both_far = (mix.anchor >= 100) & (mix.partner >= 100)
        near.append(float(depth[both_near].mean()))
        far.append(float(depth[both_far].mean()))
    assert min(near) > 2 * max(far)


def test_spaces_measure_where_they_say():
    net, (x, y) = network(), batch()
    step = calmix.sk_mixup().step(net, Classification(3), calmix.parts.Batch(x, y))
    assert torch.equal(Inputs()(step), x)
    assert torch.equal(Targets()(step), F.one_hot(y, 3).float())
    assert torch.equal(Embedding()(step), net[1](net[0](x)))
    assert torch.equal(calmix.parts.ByTask()(step), Embedding()(step))
    regression = calmix.sk_mixup().step(nn.Linear(4, 1), calmix.Regression(), calmix.parts.Batch(x, x[:, 0]))
    assert torch.equal(calmix.parts.ByTask()(regression), x[:, :1])


# --------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.randn(4, 4), torch.zeros(3, dtype=torch.int64), r"same number of rows; got \(4, 4\) and 3 targets"),
        ({"a": torch.randn(3, 4), "b": torch.randn(2, 4)}, torch.zeros(3, dtype=torch.int64), "same number of rows"),
        (torch.ones(3, 4, dtype=torch.int64), torch.zeros(3, dtype=torch.int64), "cannot be blended"),
        (torch.randn(0, 4), torch.zeros(0, dtype=torch.int64), "no rows"),
    ],
)
def test_batches_that_cannot_be_mixed_are_one_sentence(x: object, y: Tensor, message: str):
    with pytest.raises(ShapeError, match=message):
        TrainingLoss(calmix.mixup(), Classification(3))(network(), x, y)


@pytest.mark.parametrize("make", [calmix.mixup, calmix.sk_mixup, calmix.regmixup, calmix.rankmixup, calmix.mit_l])
def test_integer_inputs_are_refused_before_the_network_sees_them(make: Callable[[], Method]):
    def unreached(x: Tensor) -> Tensor:
        raise AssertionError

    with pytest.raises(ShapeError, match=r"int64 cannot be blended.*site="):
        TrainingLoss(make(), Classification(3))(unreached, torch.ones(3, 4, dtype=torch.int64), torch.arange(3))


def test_plain_training_takes_integer_inputs():
    net = nn.Sequential(nn.Embedding(9, 2), nn.Flatten(), nn.Linear(8, 3))
    loss = TrainingLoss(calmix.erm(), Classification(3))(net, torch.arange(8).view(2, 4), torch.arange(2))
    assert torch.isfinite(loss)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: calmix.mixup(alpha=0), "alpha must be a positive number; got 0"),
        (lambda: calmix.mixup(alpha=float("nan")), "alpha must be a positive number; got nan"),
        (lambda: calmix.sk_mixup(tau_max=-1), "tau_max must be a positive number; got -1"),
        (lambda: calmix.sk_mixup(tau_std=float("inf")), "tau_std must be a positive number; got inf"),
        (lambda: calmix.mixup_e(eta=-0.1), "eta must be at least 0; got -0.1"),
        (lambda: calmix.regmixup(weight=-1), "weight must be at least 0; got -1"),
    ],
)
def test_settings_out_of_range_are_one_sentence(make, message: str):
    with pytest.raises(SettingError, match=message):
        make()


def test_directional_derivatives_of_a_tree_are_refused_with_advice():
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 3)

        def forward(self, x: dict[str, Tensor]) -> Tensor:
            return self.head(x["a"])

    x, y = batch()
    with pytest.raises(ShapeError, match=r"one floating tensor; use slope=LogitDetached\(\)"):
        TrainingLoss(calmix.mixup_e(slope=calmix.parts.Jacobian()), Classification(3))(Joined(), {"a": x}, y)


def test_its_repr_tells_its_settings():
    training_loss = TrainingLoss(calmix.mixup(), Classification(3), seed=3, batch_norm="clean", data=batch(7))
    shown = repr(training_loss)
    assert repr(calmix.mixup()) in shown
    assert all(part in shown for part in ("num_classes=3", "seed=3", "batch_norm='clean'", "data of 7 rows"))
