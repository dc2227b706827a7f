"""Each method's terms against an independent plain-numpy transcription of its formula, on fixed inputs."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import calmix
from calmix import Batch, Classification, Method, Mix, Regression
from calmix.core.method import Outcome

N, D, H, K = 6, 4, 5, 3
RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(N, D)), np.array([0, 2, 1, 1, 0, 2])
W1, W2, B2 = RNG.normal(size=(H, D)), RNG.normal(size=(K, H)), RNG.normal(size=K)
ANCHOR, PARTNER = np.arange(N), np.array([3, 0, 5, 1, 2, 4])
LAM = np.array([0.1, 0.9, 0.5, 0.3, 1.0, 0.0])


def network(widths: int = K) -> nn.Sequential:
    """tanh network in float64 with the weights above, so that numpy can say the same."""
    net = nn.Sequential(nn.Linear(D, H, bias=False), nn.Tanh(), nn.Linear(H, widths)).double()
    weights = {"0.weight": W1, "2.weight": W2[:widths], "2.bias": B2[:widths]}
    net.load_state_dict({name: torch.tensor(weight) for name, weight in weights.items()})
    return net


def f(x: np.ndarray) -> np.ndarray:
    return np.tanh(x @ W1.T) @ W2.T + B2


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def cross_entropy(z: np.ndarray, target: np.ndarray) -> float:
    return float(-(target * np.log(softmax(z))).sum(1).mean())


Y = np.eye(K)[LABELS]
MIXED_X = LAM[:, None] * X[ANCHOR] + (1 - LAM[:, None]) * X[PARTNER]
MIXED_Y = LAM[:, None] * Y[ANCHOR] + (1 - LAM[:, None]) * Y[PARTNER]
MIXED = cross_entropy(f(MIXED_X), MIXED_Y)


def outcome(method: Method) -> Outcome:
    lam = torch.tensor(LAM)
    mix = Mix(torch.tensor(ANCHOR), torch.tensor(PARTNER), lam, lam)
    step = method.step(network(), Classification(K), Batch(torch.tensor(X), torch.tensor(LABELS)))
    return method.objective(step, mix)


def terms(method: Method) -> dict[str, float]:
    return {name: float(term.detach()) for name, term in outcome(method).terms.items()}


def jacobian_times(direction: np.ndarray) -> np.ndarray:
    """J f(x_i) v_i by the derivative of tanh."""
    return ((1 - np.tanh(X @ W1.T) ** 2) * (direction @ W1.T)) @ W2.T


def slopes() -> dict[str, np.ndarray]:
    """q and r of MixupE for every row, on float64 inputs."""
    p = softmax(f(X))
    return {"q": ((Y - p) * f(X)).sum(1), "r": ((p - Y) * jacobian_times(X.mean(0) - X)).sum(1)}


def test_erm_is_the_clean_cross_entropy():
    assert terms(calmix.erm()) == {"clean": pytest.approx(cross_entropy(f(X), Y))}


def test_mixup_and_sk_mixup_are_the_cross_entropy_of_mixed_rows():
    for method in (calmix.mixup(), calmix.sk_mixup()):
        assert terms(method) == {"mixed": pytest.approx(MIXED)}


def test_mixed_targets_give_the_same_loss_as_mixed_losses():
    z, target = f(MIXED_X), np.log(softmax(f(MIXED_X)))
    two_losses = -(LAM * target[np.arange(N), LABELS[ANCHOR]] + (1 - LAM) * target[np.arange(N), LABELS[PARTNER]])
    assert cross_entropy(z, MIXED_Y) == pytest.approx(two_losses.mean())


def test_regmixup_adds_the_clean_loss():
    expected = {"clean": cross_entropy(f(X), Y), "mixed": 0.7 * MIXED}
    assert terms(calmix.regmixup(weight=0.7)) == {name: pytest.approx(value) for name, value in expected.items()}


THRESHOLD = 0.4  # on these rows some q and some r lie on either side


def expected_slope(variant: str, alpha: float) -> float:
    s = slopes()
    q, r = s["q"], s["r"]
    mean_share = alpha / (2 * alpha + 1)
    return (
        mean_share
        * {
            "jacobian": r[r < THRESHOLD].sum() / N,
            "jacobian_abs": np.abs(r).sum() / N,
            "logit": -q[q < THRESHOLD].sum() / N,
            "logit_detached": -q.sum() / N,
        }[variant]
    )


def variant_of(variant: str, eta: float, alpha: float, rescale: bool) -> Method:
    threshold = THRESHOLD if variant in ("jacobian", "logit") else None
    return calmix.mixup_e(eta, alpha, variant, threshold, rescale)


VARIANTS = ["jacobian", "jacobian_abs", "logit", "logit_detached"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_mixup_e_has_the_published_slope(variant: str):
    s = slopes()
    assert 0 < (s["q"] < THRESHOLD).sum() < N
    assert 0 < (s["r"] < THRESHOLD).sum() < N
    slope = 0.3 * expected_slope(variant, alpha=2.0)
    assert terms(variant_of(variant, 0.3, 2.0, rescale=False)) == {
        "mixed": pytest.approx(MIXED),
        "slope": pytest.approx(slope),
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_rescaling_gives_the_total_the_size_of_the_mixup_loss(variant: str):
    slope = 0.3 * expected_slope(variant, alpha=2.0)
    scale = abs(MIXED) / abs(MIXED + slope)
    rescaled = terms(variant_of(variant, 0.3, 2.0, rescale=True))
    assert rescaled == {"mixed": pytest.approx(scale * MIXED), "slope": pytest.approx(scale * slope)}
    assert abs(sum(rescaled.values())) == pytest.approx(MIXED)


def gradient(method: Method) -> Tensor:
    """d total / d last bias, which is the sum over rows of d total / d logits for one forward."""
    net = network()
    lam = torch.ones(N, dtype=torch.float64)
    same = Mix(torch.arange(N), torch.arange(N), lam, lam)
    step = method.step(net, Classification(K), Batch(torch.tensor(X), torch.tensor(LABELS)))
    made = method.objective(step, same).terms["slope"]
    return torch.autograd.grad(made, net.get_parameter("2.bias"))[0]


def test_logit_detached_has_the_gradient_of_a_clean_cross_entropy():
    p = softmax(f(X))
    ours = gradient(calmix.mixup_e(1.0, 1.0, "logit_detached", rescale=False))
    assert np.allclose(ours.numpy(), (p - Y).sum(0) / N / 3)  # E[a] = 1/3


def test_logit_also_differentiates_the_probabilities():
    p, z = softmax(f(X)), f(X)
    through_p = p * z - p * (p * z).sum(1, keepdims=True)  # d (p . z) / d z beyond p itself
    ours = gradient(calmix.mixup_e(1.0, 1.0, "logit", threshold=1e9, rescale=False))
    assert np.allclose(ours.numpy(), (p - Y + through_p).sum(0) / N / 3)


def test_regression_residuals_are_output_minus_target():
    method = calmix.mixup_e(1.0, 1.0, "logit_detached", rescale=False)
    net, target = network(1), RNG.normal(size=(N, 1))
    lam = torch.tensor(LAM)
    step = method.step(net, Regression(), Batch(torch.tensor(X), torch.tensor(target)))
    mix = Mix(torch.tensor(ANCHOR), torch.tensor(PARTNER), lam, lam)
    made = {name: term.item() for name, term in method.objective(step, mix).terms.items()}
    output = f(X)[:, :1]
    assert made["slope"] == pytest.approx(((output - target) * output).mean() / 3)
    mixed_output = f(MIXED_X)[:, :1]
    mixed_target = LAM[:, None] * target[ANCHOR] + (1 - LAM[:, None]) * target[PARTNER]
    assert made["mixed"] == pytest.approx(((mixed_output - mixed_target) ** 2).mean())


@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_sk_mixup_draws_the_beta_of_its_distances(alpha: float):
    """Over many draws lam of a pair follows Beta(tau, tau) warped from Beta(alpha, alpha), tau by the formula."""
    z = np.tanh(X @ W1.T)
    pairs = torch.tensor([0, 0]), torch.tensor([1, 4])
    squared = np.array([((z[0] - z[1]) ** 2).sum(), ((z[0] - z[4]) ** 2).sum()])
    tau = 0.6 * np.exp(-(squared / squared.mean() - 1) / (2 * 0.5**2))
    method = calmix.sk_mixup(tau_max=0.6, tau_std=0.5, alpha=alpha)
    step = method.step(network(), Classification(K), Batch(torch.tensor(X), torch.tensor(LABELS)))
    anchor, partner = (rows.repeat(4000) for rows in pairs)
    lam, lam_y = method.coefficient(step, anchor, partner, torch.Generator().manual_seed(0))
    assert lam is lam_y
    for pair in range(2):
        drawn = np.clip(lam[pair::2].double().numpy(), 1e-6, 1 - 1e-6)
        base = stats.beta.cdf(drawn, tau[pair], tau[pair])  # undo the warp: what is left is the base coefficient
        ends = stats.beta.cdf([1e-6, 1 - 1e-6], tau[pair], tau[pair])  # float32 lam rounds to 0 or 1 beyond these
        inside = base[(base > ends[0]) & (base < ends[1])]
        low, high = stats.beta.cdf(ends, alpha, alpha)
        uniform = (stats.beta.cdf(inside, alpha, alpha) - low) / (high - low)
        assert stats.kstest(uniform, "uniform").pvalue > 1e-3


def test_on_a_centred_linear_network_the_two_families_of_mixup_e_are_opposites():
    """There J f(x) (mean(x) - x) = -f(x): `jacobian` and `logit` then push the same quantity in opposite directions."""
    net = nn.Linear(D, K, bias=False).double()
    x, labels = torch.tensor(X - X.mean(0)), torch.tensor(LABELS)
    lam = torch.tensor(LAM)
    mix = Mix(torch.tensor(ANCHOR), torch.tensor(PARTNER), lam, lam)
    slope = {}
    for variant in ("jacobian", "logit"):
        method = calmix.mixup_e(1.0, 1.0, variant, threshold=1e9, rescale=False)
        step = method.step(net, Classification(K), Batch(x, labels))
        slope[variant] = method.objective(step, mix).terms["slope"].item()
    assert slope["jacobian"] == pytest.approx(-slope["logit"])
    assert slope["jacobian"] != 0
