"""Each method's terms against an independent plain-numpy transcription of its formula, on fixed inputs."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import calmix
from calmix import Classification, Regression
from calmix.core.method import Outcome
from calmix.parts import MNDCG, MRL, Batch, Jacobian, JacobianAbs, Logit, LogitDetached, Method, Mix, Slope, Task

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
SLOPES: dict[str, Slope] = {
    "jacobian": Jacobian(THRESHOLD),
    "jacobian_abs": JacobianAbs(),
    "logit": Logit(THRESHOLD),
    "logit_detached": LogitDetached(),
}


def expected_slope(slope_name: str, alpha: float) -> float:
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
        }[slope_name]
    )


@pytest.mark.parametrize("slope_name", SLOPES)
def test_mixup_e_has_the_published_slope(slope_name: str):
    s = slopes()
    assert 0 < (s["q"] < THRESHOLD).sum() < N
    assert 0 < (s["r"] < THRESHOLD).sum() < N
    slope = 0.3 * expected_slope(slope_name, alpha=2.0)
    assert terms(calmix.mixup_e(0.3, 2.0, SLOPES[slope_name], rescale=False)) == {
        "mixed": pytest.approx(MIXED),
        "slope": pytest.approx(slope),
    }


@pytest.mark.parametrize("slope_name", SLOPES)
@pytest.mark.parametrize("eta", [0.3, 300.0])  # with the latter some totals are negative
def test_rescaling_gives_the_total_the_size_of_the_mixup_loss(slope_name: str, eta: float):
    slope = eta * expected_slope(slope_name, alpha=2.0)
    scale = abs(MIXED) / abs(MIXED + slope)
    rescaled = terms(calmix.mixup_e(eta, 2.0, SLOPES[slope_name], rescale=True))
    assert rescaled == {"mixed": pytest.approx(scale * MIXED), "slope": pytest.approx(scale * slope)}
    assert abs(sum(rescaled.values())) == pytest.approx(MIXED)


def test_some_totals_are_negative():
    assert min(MIXED + 300 * expected_slope(name, alpha=2.0) for name in SLOPES) < 0


def total_gradient(method: Method) -> Tensor:
    net, lam = network(), torch.tensor(LAM)
    step = method.step(net, Classification(K), Batch(torch.tensor(X), torch.tensor(LABELS)))
    made = method.objective(step, Mix(torch.tensor(ANCHOR), torch.tensor(PARTNER), lam, lam)).terms
    return torch.autograd.grad(torch.stack(list(made.values())).sum(), net.get_parameter("2.weight"))[0]


@pytest.mark.parametrize("slope_name", SLOPES)
def test_rescaling_changes_the_size_of_the_gradient_and_not_its_direction(slope_name: str):
    scale = abs(MIXED) / abs(MIXED + 0.3 * expected_slope(slope_name, alpha=2.0))
    plain, rescaled = (
        total_gradient(calmix.mixup_e(0.3, 2.0, SLOPES[slope_name], rescale=rescale)) for rescale in (False, True)
    )
    assert torch.allclose(rescaled, scale * plain)


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
    ours = gradient(calmix.mixup_e(1.0, 1.0, LogitDetached(), rescale=False))
    assert np.allclose(ours.numpy(), (p - Y).sum(0) / N / 3)  # E[a] = 1/3


def test_logit_also_differentiates_the_probabilities():
    p, z = softmax(f(X)), f(X)
    through_p = p * z - p * (p * z).sum(1, keepdims=True)  # d (p . z) / d z beyond p itself
    ours = gradient(calmix.mixup_e(1.0, 1.0, Logit(threshold=1e9), rescale=False))
    assert np.allclose(ours.numpy(), (p - Y + through_p).sum(0) / N / 3)


@pytest.mark.parametrize("task", [Classification(K, weight=(0.5, 1.0, 3.0)), calmix.Multilabel(K), Regression(K)])
def test_the_slope_s_gradient_is_that_of_the_clean_loss_whatever_the_task(task: Task):
    method = calmix.mixup_e(0.3, 1.0, LogitDetached(), rescale=False)
    net = network()
    step = method.step(net, task, Batch(torch.tensor(X), torch.tensor(Y)))
    lam = torch.tensor(LAM)
    slope = method.objective(step, Mix(torch.tensor(ANCHOR), torch.tensor(PARTNER), lam, lam)).terms["slope"]
    clean = task.loss(net(torch.tensor(X)), task.target(torch.tensor(Y))).mean()
    for found, plain in zip(
        *(torch.autograd.grad(term, list(net.parameters())) for term in (slope, clean)), strict=True
    ):
        assert torch.allclose(found, 0.3 / 3 * plain)  # E[a] = 1/3


def test_regression_has_the_slope_of_its_squared_error():
    method = calmix.mixup_e(1.0, 1.0, LogitDetached(), rescale=False)
    net, target = network(1), RNG.normal(size=(N, 1))
    lam = torch.tensor(LAM)
    step = method.step(net, Regression(), Batch(torch.tensor(X), torch.tensor(target)))
    mix = Mix(torch.tensor(ANCHOR), torch.tensor(PARTNER), lam, lam)
    made = {name: term.item() for name, term in method.objective(step, mix).terms.items()}
    output = f(X)[:, :1]
    assert made["slope"] == pytest.approx((2 * (output - target) * output).mean() / 3)
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
    for variant, part in (("jacobian", Jacobian(threshold=1e9)), ("logit", Logit(threshold=1e9))):
        method = calmix.mixup_e(1.0, 1.0, part, rescale=False)
        step = method.step(net, Classification(K), Batch(x, labels))
        slope[variant] = method.objective(step, mix).terms["slope"].item()
    assert slope["jacobian"] == pytest.approx(-slope["logit"])
    assert slope["jacobian"] != 0


# -------------------------------------------------------------------------- the methods beside the two papers


@dataclass(frozen=True)
class Given:
    """The shares that were given, for parts that change them."""

    lam: tuple[float, ...]

    def __call__(
        self, step: calmix.parts.Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        lam = torch.tensor(self.lam, dtype=torch.float64)
        return lam, lam


def made_step(
    method: Method, index: Tensor | None = None, rows: calmix.parts.TrainingSet | None = None
) -> calmix.parts.Step:
    return method.step(
        network(), Classification(K), Batch(torch.tensor(X), torch.tensor(LABELS), index), training_set=rows
    )


def said(outcome: Outcome) -> dict[str, float]:
    return {name: term.item() for name, term in outcome.terms.items()}


PAIRS = torch.tensor(ANCHOR), torch.tensor(PARTNER)


@pytest.mark.parametrize(
    "method",
    [
        calmix.near_mixup(),
        calmix.far_mixup(),
        calmix.k_mixup(),
        calmix.c_mixup(whole_set=False),
        calmix.manifold_mixup(),
        calmix.mixup_idle(),
        calmix.sk_mixup(tau_max_y=0.3),
    ],
    ids=lambda method: str(method.pairing) + str(method.site),
)
def test_what_differs_in_its_pairs_shares_or_site_has_mixup_s_loss(method: Method):
    assert terms(method) == {"mixed": pytest.approx(MIXED)}


def shared_terms(method: Method) -> dict[str, float]:
    """The terms where the method's own coefficient made lam_x and lam_y of LAM."""
    part: Any = method.coefficient
    coefficient = replace(part, coefficient=Given(tuple(LAM)))
    step = made_step(method)
    return said(method.objective(step, Mix(*PAIRS, *coefficient(step, *PAIRS, None))))


def test_input_mixup_takes_the_target_of_the_larger_share():
    dominant = np.where(LAM >= 0.5, LABELS[ANCHOR], LABELS[PARTNER])
    assert shared_terms(calmix.input_mixup()) == {
        "mixed": pytest.approx(cross_entropy(f(MIXED_X), np.eye(K)[dominant]))
    }


def test_target_mixup_takes_the_inputs_as_they_are_and_folds_the_share():
    lam = np.maximum(LAM, 1 - LAM)[:, None]
    expected = cross_entropy(f(X[ANCHOR]), lam * Y[ANCHOR] + (1 - lam) * Y[PARTNER])
    assert shared_terms(calmix.target_mixup()) == {"mixed": pytest.approx(expected)}


def hidden_mixed() -> float:
    """The loss of rows mixed after the tanh."""
    h = np.tanh(X @ W1.T)
    return cross_entropy((LAM[:, None] * h[ANCHOR] + (1 - LAM[:, None]) * h[PARTNER]) @ W2.T + B2, MIXED_Y)


def at_the_tanh(method: Method) -> dict[str, float]:
    lam = torch.tensor(LAM)
    return said(method.objective(made_step(method), Mix(*PAIRS, lam, lam, "1")))


def test_manifold_mixup_mixes_hidden_rows():
    assert at_the_tanh(calmix.manifold_mixup()) == {"mixed": pytest.approx(hidden_mixed())}


def test_mixup_e_at_a_hidden_site_mixes_there_and_keeps_its_clean_slope():
    method = calmix.mixup_e(0.3, 2.0, rescale=False, sites=(None, "1"))
    expected = {"mixed": hidden_mixed(), "slope": 0.3 * expected_slope("logit_detached", 2.0)}
    assert at_the_tanh(method) == {name: pytest.approx(value) for name, value in expected.items()}


@pytest.mark.parametrize("slope_name", SLOPES)
@pytest.mark.parametrize(("share", "rows"), [(0.5, 3), (0.6, 4), (0.01, 2), (1.0, 6)])
def test_a_share_of_the_slope_is_the_mean_over_the_first_rows(slope_name: str, share: float, rows: int):
    s = slopes()
    q, r = s["q"][:rows], s["r"][:rows]  # r towards the mean of the whole batch
    mean = {
        "jacobian": np.where(r < THRESHOLD, r, 0).mean(),
        "jacobian_abs": np.abs(r).mean(),
        "logit": -np.where(q < THRESHOLD, q, 0).mean(),
        "logit_detached": -q.mean(),
    }[slope_name]
    method = calmix.mixup_e(0.3, 2.0, SLOPES[slope_name], rescale=False)
    penalty: Any = method.objective
    method = replace(method, objective=replace(penalty, share=share))
    assert terms(method) == {"mixed": pytest.approx(MIXED), "slope": pytest.approx(0.3 * 2 / 5 * mean)}


def test_regmixup_with_a_kernel_has_the_same_two_terms():
    method = calmix.regmixup(weight=0.7, coefficient=calmix.parts.SimilarityKernel())
    expected = {"clean": cross_entropy(f(X), Y), "mixed": 0.7 * MIXED}
    assert terms(method) == {name: pytest.approx(value) for name, value in expected.items()}


def test_c_mixup_mixes_with_the_drawn_rows_of_the_whole_set():
    others, labels = RNG.normal(size=(9, D)), RNG.integers(K, size=9)
    everything = np.concatenate([X, others]), np.concatenate([LABELS, labels])
    data = calmix.parts.TrainingSet((torch.tensor(everything[0]), torch.tensor(everything[1])))
    method = replace(calmix.c_mixup(), coefficient=Given(tuple(LAM)))
    step, mix = method.draw(made_step(method, torch.arange(N), data), torch.Generator().manual_seed(0))
    index = step.batch.index
    assert index is not None
    i, j = index[mix.anchor].numpy(), index[mix.partner].numpy()
    assert (i == np.arange(N)).all()
    assert (j >= N).any()
    lam, one_hot = LAM[:, None], np.eye(K)[everything[1]]
    x = lam * everything[0][i] + (1 - lam) * everything[0][j]
    y = lam * one_hot[i] + (1 - lam) * one_hot[j]
    assert said(method.objective(step, mix)) == {"mixed": pytest.approx(cross_entropy(f(x), y))}


def test_cutmix_is_the_cross_entropy_of_pasted_images_by_area():
    images = RNG.normal(size=(N, 1, 2, 2))
    outside = np.array(
        [[[1, 1], [1, 0]], [[0, 0], [1, 1]], [[1, 1], [1, 1]], [[0, 0], [0, 0]], [[1, 0], [1, 0]], [[0, 1], [1, 1]]]
    )
    pasted = np.where(outside[:, None] == 1, images[ANCHOR], images[PARTNER])
    area = outside.mean((1, 2))
    target = area[:, None] * Y[ANCHOR] + (1 - area[:, None]) * Y[PARTNER]
    method = calmix.cutmix()
    net = nn.Sequential(nn.Flatten(), *network())
    step = method.step(net, Classification(K), Batch(torch.tensor(images), torch.tensor(LABELS)))
    mix = Mix(*PAIRS, torch.tensor(outside[:, None], dtype=torch.float32), torch.tensor(area))
    expected = cross_entropy(f(pasted.reshape(N, D)), target)
    assert said(method.objective(step, mix)) == {"mixed": pytest.approx(expected)}


# -------------------------------------------------------------------------- Mixup Inference in Training

FIRST, SECOND = np.array([0.9, 0.8, 1.0, 0.75, 0.6, 0.7]), np.array([0.3, 0.1, 0.0, 0.25, 0.05, 0.2])


def decoupled(first: np.ndarray, second: np.ndarray, l1: np.ndarray, l2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As the authors' code has it, by two coefficients."""
    l1, l2 = l1[:, None], l2[:, None]
    coef_1, coef_2 = (1 - l1) / (1 - l2), l2 / l1
    return (first - coef_1 * second) / (l1 - l2 * coef_1), (second - coef_2 * first) / (1 - l2 - (1 - l1) * coef_2)


def mixed_twice(a: np.ndarray, b: np.ndarray, l1: np.ndarray, l2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    l1, l2 = l1[:, None], l2[:, None]
    return l1 * a + (1 - l1) * b, l2 * a + (1 - l2) * b


def twice(l1: np.ndarray, l2: np.ndarray, site: str | None = None) -> Mix:
    lam = torch.tensor(np.concatenate([l1, l2]))
    return Mix(PAIRS[0].repeat(2), PAIRS[1].repeat(2), lam, lam, site)


def test_mit_l_takes_the_outputs_of_two_mixes_apart():
    first, second = (f(x) for x in mixed_twice(X[ANCHOR], X[PARTNER], FIRST, SECOND))
    a, b = decoupled(first, second, FIRST, SECOND)
    expected = {"anchor": cross_entropy(a, Y[ANCHOR]) / 2, "partner": cross_entropy(b, Y[PARTNER]) / 2}
    method = calmix.mit_l()
    made = said(method.objective(made_step(method), twice(FIRST, SECOND)))
    assert made == {name: pytest.approx(value) for name, value in expected.items()}


def test_mit_a_also_takes_hidden_rows_apart_and_mixes_them_anew():
    again = np.array([0.95, 0.6, 0.8, 0.9, 0.7, 1.0]), np.array([0.05, 0.0, 0.25, 0.3, 0.1, 0.2])
    first, second = (np.tanh(x @ W1.T) for x in mixed_twice(X[ANCHOR], X[PARTNER], FIRST, SECOND))
    hidden = mixed_twice(*decoupled(first, second, FIRST, SECOND), *again)
    first, second = (h @ W2.T + B2 for h in hidden)
    a, b = decoupled(first, second, *again)
    expected = {"anchor": cross_entropy(a, Y[ANCHOR]) / 2, "partner": cross_entropy(b, Y[PARTNER]) / 2}
    method = calmix.mit_a(sites=("1",))
    mix = replace(twice(FIRST, SECOND), later=(twice(*again, site="1"),))
    made = said(method.objective(made_step(method), mix))
    assert made == {name: pytest.approx(value) for name, value in expected.items()}


# -------------------------------------------------------------------------- RankMixup

MIXES = 3
SHARES = np.array([LAM, [0.5, 0.6, 0.9, 0.2, 0.8, 0.7], [0.95, 0.4, 0.1, 0.65, 0.35, 0.55]])
PARTNERS = np.array(
    [PARTNER, [1, 2, 3, 4, 5, 0], [4, 5, 3, 2, 0, 1]]
)  # in some pairs of the latter two the classes agree


def rank_terms(method: Method, k: int) -> dict[str, float]:
    """The terms with the first k of the mixes above."""
    lam = torch.tensor(SHARES[:k].ravel())
    mix = Mix(PAIRS[0].repeat(k), torch.tensor(PARTNERS[:k].ravel()), lam, lam)
    return said(method.objective(made_step(method), mix))


def rank_rows(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits (k, n, K) and targets (k, n, K) of the mixes."""
    lam = SHARES[:k, :, None]
    return (
        np.stack([f(x) for x in lam * X + (1 - lam) * X[PARTNERS[:k]]]),
        lam * Y + (1 - lam) * Y[PARTNERS[:k]],
    )


@pytest.mark.parametrize("k", [1, 3])
def test_rankmixup_mrl_keeps_a_margin_below_the_clean_logit(k: int):
    logits, target = rank_rows(k)
    excess = np.maximum(0, logits.max(2) - f(X).max(1) + 0.5)
    one_class = (target == 1).any(2)
    assert one_class.any()
    assert (excess[one_class] > 0).any()  # which must not count
    assert (excess == 0).any()
    rank = 0.2 * np.where(one_class, 0, excess).mean()
    expected = {"clean": pytest.approx(cross_entropy(f(X), Y)), "rank": pytest.approx(rank)}
    assert rank_terms(calmix.rankmixup(weight=0.2, ranking=MRL(margin=0.5), mixes=k), k) == expected


@pytest.mark.parametrize("k", [1, 3])
def test_rankmixup_mndcg_ranks_confidence_by_the_share(k: int):
    logits, target = rank_rows(k)
    ratios = []
    for i in range(N):
        order = sorted(range(k), key=lambda j: -target[j, i].max())
        relevance = [1.0] + [target[j, i].max() for j in order]
        confidence = [softmax(f(X))[i].max()] + [softmax(logits[j])[i].max() for j in order]
        gain, ideal = (sum(v / np.log2(j + 2) for j, v in enumerate(values)) for values in (confidence, relevance))
        ratios.append(gain / ideal if ideal > gain else ideal / gain)
    expected = {
        "clean": pytest.approx(cross_entropy(f(X), Y)),
        "rank": pytest.approx(0.2 * np.mean(1 - np.array(ratios))),
    }
    assert rank_terms(calmix.rankmixup(weight=0.2, ranking=MNDCG(), mixes=k), k) == expected


def test_mixes_of_one_class_are_not_ranked():
    """Their targets are as certain as the clean row's: no margin is asked for."""
    same = replace(calmix.rankmixup(), pairing=calmix.parts.Shuffle())
    step = same.step(network(), Classification(K), Batch(torch.tensor(X), torch.full((N,), 1)))
    lam = torch.full((N,), 0.3)
    assert said(same.objective(step, Mix(*PAIRS, lam, lam)))["rank"] == 0
    step = made_step(same)
    assert said(same.objective(step, Mix(*PAIRS, lam, lam)))["rank"] > 0
