"""Mixup's Taylor expansion: exact where it is finite, of the right order where it is not, and MixupE's first term."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import roots_jacobi
from torch import Tensor, nn

from calmix.core.loss import TrainingLoss
from calmix.core.mix import Mix, mixed_target
from calmix.core.task import Classification, Regression
from calmix.data import NamedSet
from calmix.errors import SettingError, ShapeError
from calmix.methods.erm import erm
from calmix.methods.mixup import mixup
from calmix.methods.mixup_e import Jacobian, mixup_e
from calmix.methods.wrappers import scheduled
from calmix.models import smooth_mlp
from calmix.studies.diagnosis.expansion import (
    PARTS_OF_THE_WAY,
    Follower,
    backward_derivatives,
    derivatives,
    expand,
    forward_derivatives,
    loss_path,
    measured_epochs,
    output_path,
    partner_moments,
    partner_nodes,
    partners,
)
from calmix.train import Recipe, TrainingSettings, train

N, D, K = 6, 3, 4


class Power(nn.Module):
    """(A x)^power + b: along a line a polynomial of that degree."""

    def __init__(self, power: int) -> None:
        super().__init__()
        self.linear, self.power = nn.Linear(D, 2), power
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) ** self.power


def perceptron(activation: Callable[[], nn.Module], outputs: int = K) -> nn.Sequential:
    return nn.Sequential(nn.Linear(D, 8), activation(), nn.Linear(8, 8), activation(), nn.Linear(8, outputs)).double()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def rows(n: int = N) -> tuple[Tensor, Tensor, Tensor]:
    """x, class ids, partners."""
    x = torch.randn(n, D, dtype=torch.float64)
    return x, torch.randint(K, (n,)), x.roll(1, 0)


def all_pairs(n: int) -> tuple[Tensor, Tensor]:
    """Every ordered pair, with itself too: (n n,) anchors and partners."""
    anchor, partner = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    return anchor.flatten(), partner.flatten()


# ---------------------------------------------------------------------------------------- the partner's share


@given(alpha=st.floats(0.05, 20.0), count=st.integers(3, 40))
def test_moments_and_nodes_are_those_of_the_beta_distribution(alpha: float, count: int):
    law = stats.beta(alpha, alpha + 1)
    nodes, weights = partner_nodes(alpha, count)
    for k, moment in enumerate(partner_moments(alpha, 4).tolist()):
        assert moment == pytest.approx(law.moment(k) if k else 1.0, rel=1e-8)
        assert float((weights * nodes**k).sum()) == pytest.approx(moment, rel=1e-8)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_mixed_labels_are_clean_labels_with_another_share(alpha: float):
    """The identity that everything here rests on, over all ordered pairs, against the mixup loss as it is trained."""
    x, y, _ = rows()
    net, task = perceptron(nn.Softplus), Classification(K)
    anchor, partner = all_pairs(N)
    lam, weights = roots_jacobi(40, alpha - 1, alpha - 1)  # Beta(alpha, alpha), unlike the partner's share
    direct = 0.0
    for share, weight in zip((1 + lam) / 2, weights / weights.sum(), strict=True):
        share = torch.full((len(anchor),), share, dtype=torch.float64)
        mix = Mix(anchor, partner, share, share)
        inputs = mix.lam_x[:, None] * x[anchor] + (1 - mix.lam_x[:, None]) * x[partner]
        direct += weight * float(task.loss(net(inputs), mixed_target(task.target(y).double(), mix)).mean().detach())
    assert expand(net, task, x[anchor], y[anchor], x[partner], alpha).mixup == pytest.approx(direct, rel=1e-9)


# ----------------------------------------------------------------------------------------- derivatives


@pytest.mark.parametrize("activation", [nn.Tanh, nn.GELU, nn.Softplus, nn.Sigmoid, nn.ReLU])
def test_forward_and_backward_give_the_same_numbers(activation: Callable[[], nn.Module]):
    x, y, toward = rows()
    phi = loss_path(perceptron(activation), Classification(K), x, y, toward)
    forward, backward = (way(phi, torch.full((N,), 0.3, dtype=torch.float64), 4) for way in WAYS)
    torch.testing.assert_close(forward, backward, rtol=1e-9, atol=1e-12)
    assert not forward.requires_grad
    assert not backward.requires_grad


WAYS = forward_derivatives, backward_derivatives


class PlainSiLU(nn.Module):
    """SiLU in operations that have forward mode of all orders."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x.sigmoid()


def test_without_forward_mode_it_is_double_backward():
    x, _, toward = rows()
    net = perceptron(nn.SiLU)
    plain = nn.Sequential(*(PlainSiLU() if isinstance(layer, nn.SiLU) else layer for layer in net))
    at = torch.zeros(N, dtype=torch.float64)
    paths = [output_path(model, Classification(K), x, toward) for model in (net, plain)]
    with pytest.raises(NotImplementedError, match="forward AD"):
        forward_derivatives(paths[0], at, 2)
    torch.testing.assert_close(derivatives(paths[0], at), forward_derivatives(paths[1], at, 4))


@pytest.mark.parametrize("way", WAYS)
def test_derivatives_of_the_logistic_loss_have_closed_forms(way: Callable[..., Tensor]):
    z = torch.linspace(-3, 3, 7, dtype=torch.float64)
    p = z.sigmoid()
    q = p * (1 - p)
    expected = [nn.functional.softplus(z), p, q, q * (1 - 2 * p), q * (1 - 6 * q)]
    torch.testing.assert_close(way(nn.functional.softplus, z, 4), torch.stack(expected))


@pytest.mark.parametrize("way", WAYS)
def test_what_does_not_depend_on_the_share_has_no_derivatives(way: Callable[..., Tensor]):
    constant = torch.tensor([2.0, 3.0])
    found = way(lambda a: torch.stack([constant, constant * a], 1), torch.ones(2), 2)
    assert found.tolist() == [[[2, 2], [3, 3]], [[0, 2], [0, 3]], [[0, 0], [0, 0]]]


def test_a_piecewise_linear_network_has_first_derivatives_alone():
    x, _, toward = rows()
    found = derivatives(output_path(perceptron(nn.ReLU), Classification(K), x, toward), x.new_zeros(N))
    assert found[1].abs().min() > 0
    assert found[2:].abs().max() == 0


# ---------------------------------------------------------------------------------------- the expansion


@pytest.mark.parametrize(("power", "orders"), [(1, 2), (2, 4), (3, 6)])
@pytest.mark.parametrize("alpha", [0.4, 1.0])
def test_a_polynomial_has_a_finite_series(power: int, orders: int, alpha: float):
    """The squared error of a polynomial of degree p is one of degree 2 p: nothing is left, and less is not enough."""
    x, _, toward = rows()
    y = torch.randn(N, 2, dtype=torch.float64)
    found = expand(Power(power), Regression(2), x, y, toward, alpha, orders + 1)
    left = found.remainders
    assert found.mixup == pytest.approx(found.clean + sum(found.terms), rel=1e-10)
    assert abs(left[orders]) < 1e-10 * found.mixup < 1e-3 * abs(left[orders - 1])
    assert found.terms[orders] == pytest.approx(0, abs=1e-12 * found.mixup)
    assert found.output_sizes[power - 1] > 0
    assert found.output_sizes[power:] == pytest.approx((0,) * (orders + 1 - power), abs=1e-12 * found.mixup)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.GELU, nn.Softplus])
def test_the_remainder_of_a_smooth_network_is_of_the_next_order(activation: Callable[[], nn.Module]):
    """Partners at a part of the way: what k orders leave shrinks as part^(k + 1)."""
    x, y, toward = rows(40)
    net, task = perceptron(activation), Classification(K)
    near, nearer = (expand(net, task, x, y, x + part * (toward - x)).remainders for part in (0.02, 0.01))
    for order in range(5):
        assert math.log2(abs(near[order] / nearer[order])) == pytest.approx(order + 1, abs=0.15)
    assert abs(nearer[4]) < 1e-6 * abs(nearer[0])


def test_the_first_term_is_the_slope_of_mixup_e():
    """Over all pairs the mean partner is mean(x); there the jacobian variant's slope is the first Taylor term."""
    x, y, _ = rows()
    net, task, alpha = perceptron(nn.GELU), Classification(K), 0.7
    anchor, partner = all_pairs(N)
    first, *_ = expand(net, task, x[anchor], y[anchor], x[partner], alpha).terms
    method = mixup_e(eta=1.0, alpha=alpha, slope=Jacobian(threshold=1e9), rescale=False)
    training_loss = TrainingLoss(method, task)
    training_loss(net, x, y)
    assert float(training_loss.terms["slope"]) == pytest.approx(first, rel=1e-6)


def test_sizes_are_those_of_the_terms_without_cancellation():
    x, y, toward = rows()
    net, task = perceptron(nn.Tanh), Classification(K)
    found = expand(net, task, x, y, toward)
    one_by_one = [expand(net, task, x[i : i + 1], y[i : i + 1], toward[i : i + 1]) for i in range(N)]
    for k in range(4):
        assert found.terms[k] == pytest.approx(sum(row.terms[k] for row in one_by_one) / N)
        assert found.sizes[k] == pytest.approx(sum(abs(row.terms[k]) for row in one_by_one) / N)
        assert found.output_sizes[k] == pytest.approx(sum(row.output_sizes[k] for row in one_by_one) / N)


def test_output_sizes_do_not_see_what_softmax_does_not_see():
    class Shifted(nn.Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x) + x.square().sum(1, keepdim=True)

    x, y, toward = rows()
    net, task = perceptron(nn.Tanh), Classification(K)
    plain, shifted = (expand(model, task, x, y, toward) for model in (net, Shifted(net)))
    assert shifted.output_sizes == pytest.approx(plain.output_sizes)
    assert shifted.terms == pytest.approx(plain.terms, abs=1e-12)


def test_many_rows_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch):
    x, y, toward = rows(7)
    net, task = perceptron(nn.Tanh), Classification(K)
    whole = expand(net, task, x, y, toward)
    monkeypatch.setattr("calmix.studies.diagnosis.expansion._ROWS", 3)
    parts = expand(net, task, x, y, toward)
    assert parts.mixup == pytest.approx(whole.mixup)
    assert parts.terms == pytest.approx(whole.terms)


def test_the_network_is_left_as_it_was():
    net = nn.Sequential(nn.Linear(D, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, K)).double()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    x, y, toward = rows()
    first, second = (expand(net, Classification(K), x, y, toward) for _ in range(2))
    assert first == second
    assert net.training
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_errors_are_advice():
    x, y, toward = rows()
    net, task = perceptron(nn.Tanh), Classification(K)
    with pytest.raises(ShapeError, match="as their embeddings"):
        expand(net, task, x.long(), y, toward.long())
    with pytest.raises(ShapeError, match=r"of one shape; got .*\(6, 3\) and .*\(5, 3\)"):
        loss_path(net, task, x, y, toward[:5])
    with pytest.raises(SettingError, match="alpha must be a positive number"):
        expand(net, task, x, y, toward, alpha=0)
    with pytest.raises(SettingError, match="orders must be at least 1"):
        expand(net, task, x, y, toward, orders=0)
    with pytest.raises(SettingError, match="orders must be at least 0"):
        derivatives(torch.sin, torch.zeros(1), -1)


# ------------------------------------------------------------------------------------ while a network learns

WINE = NamedSet("wine")
METHODS = {"erm": erm(), "mixup": mixup(), "late": scheduled(erm(), 2, mixup())}
Scores = dict[str, dict[str, float]]


def followed(label: str, seed: int = 0, epochs: int = 3, data: NamedSet = WINE, orders: int = 2) -> Scores:
    settings = TrainingSettings(epochs=epochs, device="cpu")
    recipe = Recipe(data, label, METHODS[label], smooth_mlp, settings, seed)
    follower = Follower.of(recipe, pairs=16, orders=orders)
    return follower.scores(train(recipe, follower.on_epoch).model)


@pytest.fixture(scope="module")
def found() -> dict[tuple[str, int], Scores]:
    runs = [("erm", 0), ("mixup", 0), ("late", 0), ("erm", 1), ("mixup", 1)]
    return {run: followed(*run) for run in runs}


def test_every_epoch_and_every_part_of_the_way_has_every_order(found: dict):
    for scores in found.values():
        parts = [f"reach/{part:g}" for part in PARTS_OF_THE_WAY]
        tops = [f"expansion/{epoch}" for epoch in range(4)] + parts
        assert list(scores) == [path for top in tops for path in (top, f"{top}/0", f"{top}/1", f"{top}/2")]
        for top in tops:
            assert list(scores[top]) == ["clean_loss", "mixup_loss"]
            assert list(scores[f"{top}/0"]) == ["remainder"]
            assert list(scores[f"{top}/2"]) == ["term", "term_size", "output_size", "remainder"]
            lacking = scores[top]["mixup_loss"] - scores[top]["clean_loss"]
            assert scores[f"{top}/0"]["remainder"] == lacking
            assert scores[f"{top}/1"]["remainder"] == lacking - scores[f"{top}/1"]["term"]


def test_networks_of_a_seed_start_alike_and_those_of_two_seeds_do_not(found: dict):
    start = {run: scores["expansion/0"]["mixup_loss"] for run, scores in found.items()}
    assert start["erm", 0] == start["mixup", 0] != start["erm", 1]


def test_each_epoch_is_that_of_the_network_then(found: dict):
    """A method that is plain training for two epochs is plain training so far, and no longer."""
    late, plain = found["late", 0], found["erm", 0]
    paths = [f"expansion/{epoch}" for epoch in range(4)]
    assert [late[path] == plain[path] for path in paths] == [True, True, True, False]


def test_the_last_epoch_is_the_trained_network(found: dict):
    trained = train(Recipe(WINE, "mixup", mixup(), smooth_mlp, TrainingSettings(epochs=3, device="cpu"), 1))
    expected = expand(trained.model.double(), Classification(3), *partners(trained.splits.train, 16, 1), orders=2)
    for top in ("expansion/3", "reach/1"):
        scores = found["mixup", 1]
        assert scores[top]["mixup_loss"] == pytest.approx(expected.mixup)
        assert [scores[f"{top}/{order}"]["term"] for order in (1, 2)] == pytest.approx(list(expected.terms))
        assert [scores[f"{top}/{order}"]["output_size"] for order in (1, 2)] == pytest.approx(expected.output_sizes)


def test_a_part_of_the_way_moves_the_partners_that_much_closer(found: dict):
    trained = train(Recipe(WINE, "mixup", mixup(), smooth_mlp, TrainingSettings(epochs=3, device="cpu"), 1))
    x, y, toward = partners(trained.splits.train, 16, 1)
    expected = expand(trained.model.double(), Classification(3), x, y, x + (toward - x) / 4, orders=1)
    assert found["mixup", 1]["reach/0.25"]["mixup_loss"] == pytest.approx(expected.mixup)


def test_following_changes_no_training():
    """Measured at six of twenty epochs or not at all: the trained network is the same to the bit."""
    recipe = Recipe(WINE, "mixup", mixup(), smooth_mlp, TrainingSettings(epochs=20, device="cpu"))
    trained = train(recipe)
    expected = expand(trained.model.double(), Classification(3), *partners(trained.splits.train, 16, 0), orders=1)
    scores = followed("mixup", epochs=20, orders=1)
    assert len([path for path in scores if path.startswith("expansion/") and path.count("/") == 1]) == 7
    assert scores["expansion/20"]["mixup_loss"] == expected.mixup


def test_every_pair_comes_with_its_reverse():
    x, y, toward = partners(WINE.splits(0).train, 10, seed=3)
    assert x.dtype == torch.float64
    assert torch.equal(x[:5], toward[5:])
    assert torch.equal(toward[:5], x[5:])
    assert y.shape == (10,)
    with pytest.raises(SettingError, match="pairs must be at least 2"):
        partners(WINE.splits(0).train, 1, seed=0)


@pytest.mark.parametrize("last", [1, 2, 7, 30, 1000])
def test_epochs_begin_untrained_and_end_with_the_last(last: int):
    epochs = measured_epochs(last)
    assert epochs[0] == 0
    assert epochs[-1] == last
    assert epochs == sorted(set(epochs))
    assert len(epochs) <= 7


def test_regression_is_expanded_too():
    assert followed("erm", epochs=1, data=NamedSet("diabetes"), orders=1)["reach/1"]["mixup_loss"] > 0
