"""The strength of mixing goes up where a network is too confident, down where it is not confident enough."""

import math
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import calmix
from calmix import Binary, Classification, Multilabel, TrainingLoss
from calmix.core.coefficient import OfClasses, strength_of, with_strength
from calmix.core.control import class_log_temperatures, log_temperature
from calmix.errors import SettingError, ShapeError
from calmix.parts import (
    Apart,
    Batch,
    Beta,
    Boxes,
    Control,
    Folded,
    Inputs,
    NoMixing,
    SimilarityKernel,
    Sometimes,
    TwoKernels,
)
from calmix.posthoc import CalibrationLogits, fit_temperature

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = 2 * torch.randn(4000, 5, generator=GENERATOR, dtype=torch.float64)
LABELS = torch.multinomial(LOGITS.softmax(1), 1, generator=GENERATOR).squeeze(1)  # so that LOGITS are calibrated


@pytest.mark.parametrize("factor", [0.3, 0.5, 2.0, 3.0])
@pytest.mark.parametrize("rate", [1.0, 0.5, 0.1])
def test_log_strength_moves_by_a_part_of_the_log_of_the_factor_that_confidence_is_off_by(factor: float, rate: float):
    moved = Control(rate=rate).stronger(1.7, factor * LOGITS, LABELS)
    assert math.log(moved / 1.7) == pytest.approx(rate * math.log(factor), abs=0.06 * rate)


def test_what_training_rows_show_of_confidence_too_does_not_count():
    """log T - max(0, log T_train): the rows that are not trained on are three times as sure as they should be."""

    def log_moved(factor: float) -> float:
        of_training = factor * LOGITS.flip(0), LABELS.flip(0)
        return math.log(Control().stronger(1.7, 3 * LOGITS, LABELS, of_training) / 1.7)

    alone = math.log(Control().stronger(1.7, 3 * LOGITS, LABELS) / 1.7)
    assert log_moved(2) == pytest.approx(0.5 * math.log(3 / 2), abs=0.03)
    assert log_moved(3) == pytest.approx(0, abs=1e-7)
    assert log_moved(4) == pytest.approx(0.5 * math.log(3 / 4), abs=0.03)
    assert log_moved(0.5) == alone  # not sure enough of training rows, as a network is that mixes


def test_of_each_class_training_rows_count_for_itself():
    shown, of_training = (sharpened([3, 3, 3, 2, 3]), LABELS), (sharpened([1, 3, 2, 1, 0.4]), LABELS)
    strengths = Control(class_sd=0.25).stronger_of_classes([1.0] * 5, *shown, of_training)
    both = zip(*(class_log_temperatures(*said, 0.5, 0.25) for said in (shown, of_training)), strict=True)
    assert strengths == tuple(pytest.approx(math.exp(0.5 * (log_t - max(0, of_train)))) for log_t, of_train in both)
    assert strengths[1] < 1.1 < 1.3 < strengths[4]


@pytest.mark.parametrize("factor", [0.2, 0.4, 0.6])
def test_a_lower_bound_moves_no_class_but_those_below_it(factor: float):
    """What is minimised falls and then rises, so that above a bound it is least where it was, or at the bound."""
    said = factor * sharpened([0.9, 0.5, 1.1, 1.3, 3]), LABELS
    free = class_log_temperatures(*said, 0.5, 0.25)
    assert min(free) < 0
    assert class_log_temperatures(*said, 0.5, 0.25, least=0.0) == pytest.approx([max(0, log_t) for log_t in free])


def test_a_calibrated_network_keeps_its_strength_but_for_noise():
    """In 100 draws of 500 labels log T is centred on 0, with the deviation that the information says."""
    found = []
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        logits = 2 * torch.randn(500, 5, generator=generator)
        labels = torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)
        found.append(log_temperature(logits, labels, prior_sd=0.5))
    found = torch.tensor(found)
    p = LOGITS.softmax(1)
    variance = ((p * LOGITS**2).sum(1) - (p * LOGITS).sum(1) ** 2).mean()
    expected = (500 * variance) ** -0.5
    assert abs(found.mean()) < 3 * expected / 10
    assert 0.8 * expected < found.std() < 1.2 * expected


@pytest.mark.parametrize("prior_sd", [0.1, 0.5, 3.0])
@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("rows", [20, 400])
def test_the_temperature_is_the_one_that_temperature_scaling_fits(prior_sd: float, factor: float, rows: int):
    logits, labels = factor * LOGITS[:rows], LABELS[:rows]
    fitted = fit_temperature(CalibrationLogits(logits, labels), prior_sd).value
    assert math.exp(log_temperature(logits, labels, prior_sd)) == pytest.approx(fitted, rel=1e-5)


@pytest.mark.parametrize("scale", [0.05, 0.3, 1.0, 3.0, 10.0])
def test_few_steps_find_the_temperature(monkeypatch: pytest.MonkeyPatch, scale: float):
    """Newton's: each doubles the number of right digits, where a wrong derivative needs twice as many steps or more."""
    draw, asked = torch.Generator().manual_seed(0), []
    labels = torch.randint(5, (300,), generator=draw)
    logits = scale * (1.5 * torch.nn.functional.one_hot(labels, 5) + torch.randn(300, 5, generator=draw))
    monkeypatch.setattr("calmix.core.control.sum_over_ranks", lambda of_step: asked.append(0) or of_step)
    log_temperature(logits, labels, prior_sd=0.5)
    assert len(asked) <= (5 if 0.5 < scale < 5 else 7)


@pytest.mark.parametrize("factor", [0.01, 0.9, 1.1, 3.0])
def test_where_a_lower_bound_is_asked_for_no_steps_are_made_below_it(monkeypatch: pytest.MonkeyPatch, factor: float):
    """A network that is certain of its training rows, and right, has a T near 0, which many steps would find."""
    free, asked = log_temperature(factor * LOGITS, LABELS, 0.5), []
    monkeypatch.setattr("calmix.core.control.sum_over_ranks", lambda of_step: asked.append(0) or of_step)
    assert log_temperature(factor * LOGITS, LABELS, 0.5, least=0.0) == max(0.0, free)
    assert len(asked) == 1 or factor > 1
    sure = 50 * torch.nn.functional.one_hot(LABELS, 5)
    asked.clear()
    assert log_temperature(sure, LABELS, 0.5, least=0.0) == 0
    assert len(asked) == 1


def test_a_constant_added_to_a_row_changes_nothing_and_units_below_float32_count():
    offset = 1e4 * torch.randn(4000, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    exact = log_temperature(LOGITS, LABELS, 0.5)
    assert log_temperature(LOGITS + offset, LABELS, 0.5) == pytest.approx(exact, abs=1e-6)


def test_few_rows_move_the_strength_less_than_many_that_say_the_same():
    logits, labels = 3 * LOGITS[:20], LABELS[:20]
    moves = [log_temperature(logits.repeat(times, 1), labels.repeat(times), 0.5) for times in (1, 4, 16)]
    assert 0 < moves[0] < moves[1] < moves[2]
    assert log_temperature(logits, labels, 0.01) == pytest.approx(0, abs=0.01)


def test_rows_that_are_all_right_do_not_end_the_mixing_at_once():
    """Their likelihood alone would take T to 0."""
    sure = torch.tensor([[5.0, 0.0]]).repeat(65, 1)
    assert 0.25 < Control().stronger(1.0, sure, torch.zeros(65).long()) < 1


def test_the_strength_stays_within_its_bounds():
    sure, right = torch.tensor([[9.0, 0.0]]).repeat(500, 1), torch.zeros(500).long()
    control = Control(rate=1.0, least=0.5, most=2.0)
    assert control.stronger(1.9, sure, 1 - right) == 2.0
    assert control.stronger(0.51, sure / 100, right) == 0.5


@pytest.mark.parametrize("start", [0.01, 1.0, 15.0])
def test_it_comes_to_rest_where_a_network_is_calibrated(start: float):
    """A network whose logits are too large by (3 / strength)^1/2: calibrated where the strength is 3."""
    strength, control = start, Control()
    for _ in range(60):
        strength = control.stronger(strength, (3 / strength) ** 0.5 * LOGITS, LABELS)
    assert strength == pytest.approx(3, rel=0.06)  # LABELS are one draw
    assert control.stronger(strength, (3 / strength) ** 0.5 * LOGITS, LABELS) == pytest.approx(strength, rel=1e-3)


def test_it_rests_at_a_bound_where_no_strength_calibrates():
    strength = 1.0
    for _ in range(60):
        strength = Control().stronger(strength, 5 * LOGITS, LABELS)
    assert strength == Control().most


def test_target_rows_count_by_their_weights():
    one_hot = nn.functional.one_hot(LABELS[:300], 5).double()
    logits = 2 * LOGITS[:300]
    assert log_temperature(logits, one_hot, 0.5) == pytest.approx(log_temperature(logits, LABELS[:300], 0.5))
    twice = log_temperature(logits.repeat(2, 1), LABELS[:300].repeat(2), 0.5)
    assert log_temperature(logits, 2 * one_hot, 0.5) == pytest.approx(twice)
    without = one_hot.clone()
    without[100:] = 0
    assert log_temperature(logits, without, 0.5) == pytest.approx(log_temperature(logits[:100], LABELS[:100], 0.5))


def test_a_class_that_is_ruled_out_and_rows_of_no_use():
    masked = torch.cat([2 * LOGITS, torch.full((4000, 1), -torch.inf)], 1)
    assert log_temperature(masked, LABELS, 0.5) == pytest.approx(log_temperature(2 * LOGITS, LABELS, 0.5))
    assert log_temperature(torch.zeros(10, 3), torch.zeros(10).long(), 0.5) == pytest.approx(0, abs=1e-7)
    for wrong in (torch.nan, torch.inf):
        with pytest.raises(ShapeError, match="did it diverge"):
            log_temperature(torch.tensor([[wrong, 0.0]]), torch.tensor([0]), 0.5)


@pytest.mark.parametrize(("name", "value"), [("rate", 0), ("prior_sd", -1), ("least", 0.0), ("most", float("inf"))])
def test_settings_out_of_range_are_named(name: str, value: float):
    with pytest.raises(SettingError, match=f"{name} must be a positive number"):
        Control(**{name: value})
    with pytest.raises(SettingError, match="least must not be above most; got 2 and 1"):
        Control(least=2, most=1)


# ------------------------------------------------------------------------------------------- classes of their own

TAKEN = LOGITS.argmax(1)  # for which class the rows are taken


def sharpened(factors: list[float]) -> Tensor:
    """LOGITS, those of the rows that are taken for class k times the k-th factor."""
    return torch.tensor(factors, dtype=torch.float64)[TAKEN][:, None] * LOGITS


def test_a_class_that_the_network_is_too_sure_of_gets_its_own_strength():
    found = class_log_temperatures(sharpened([1, 3, 1, 0.4, 1]), LABELS, prior_sd=0.5, class_sd=0.25)
    assert found[1] == pytest.approx(math.log(3), abs=0.15)
    assert found[3] == pytest.approx(math.log(0.4), abs=0.15)
    for calm in (0, 2, 4):
        assert found[calm] == pytest.approx(0, abs=0.1)
    moved = Control(class_sd=0.25).stronger_of_classes([1.0, 1.0, 2.0, 1.0, 1.0], sharpened([1, 3, 1, 0.4, 1]), LABELS)
    assert moved == tuple(pytest.approx(s * math.exp(0.5 * t)) for s, t in zip((1, 1, 2, 1, 1), found, strict=True))


@pytest.mark.parametrize("rows", [20, 300])
@pytest.mark.parametrize("class_sd", [0.05, 0.25, 5.0])
def test_classes_that_are_alike_have_the_strength_that_one_for_all_would_have(rows: int, class_sd: float):
    """Every class has the same rows, with its logit and label in the place of another's."""
    logits = torch.cat([2 * LOGITS[:rows].roll(k, 1) for k in range(5)])
    labels = torch.cat([(LABELS[:rows] + k) % 5 for k in range(5)])
    common = log_temperature(logits, labels, 0.5)
    assert abs(common) > 0.05
    assert class_log_temperatures(logits, labels, 0.5, class_sd) == [pytest.approx(common, abs=1e-7)] * 5
    losses = [TrainingLoss(calmix.auto(per_class=each), Classification(5)) for each in (True, False)]
    for loss in losses:
        loss.observe(logits, labels)
    assert losses[0].strength == pytest.approx(losses[1].strength, rel=1e-7)
    assert torch.allclose(shares(losses[0]), shares(losses[1]), atol=1e-6)


def test_the_strength_of_a_class_is_the_optimum_of_its_formula():
    logits, prior_sd, class_sd = sharpened([1, 2, 1, 0.5, 1])[:200], 0.7, 0.3
    found = class_log_temperatures(logits, LABELS[:200], prior_sd, class_sd)
    common = log_temperature(logits, LABELS[:200], prior_sd)

    def loss(k: int, log_t: float) -> float:
        own = TAKEN[:200] == k
        nll = nn.functional.cross_entropy(logits[own] / math.exp(log_t), LABELS[:200][own], reduction="sum").item()
        share = own.double().mean().item()
        return nll + share * log_t**2 / (2 * prior_sd**2) + (log_t - common) ** 2 / (2 * class_sd**2)

    for k, log_t in enumerate(found):
        assert all(loss(k, log_t) < loss(k, log_t + off) for off in (-1e-3, 1e-3))


def test_a_class_with_fewer_rows_stays_closer_to_the_others():
    """Rows of class 1 are three times as sure as they should be, the others are right."""
    logits = sharpened([1, 3, 1, 1, 1])
    own, rest = torch.nonzero(TAKEN == 1).flatten()[:60], torch.nonzero(TAKEN != 1).flatten()
    found = []
    for rows in (torch.cat([own.repeat(times), rest]) for times in (1, 4, 16)):
        of_classes = class_log_temperatures(logits[rows], LABELS[rows], 0.5, 0.05)
        found.append(of_classes[1] - log_temperature(logits[rows], LABELS[rows], 0.5))
    assert 0 < found[0] < found[1] < found[2]
    none = class_log_temperatures(logits[rest], LABELS[rest], 0.5, 0.25)
    assert none[1] == pytest.approx(log_temperature(logits[rest], LABELS[rest], 0.5), abs=1e-9)


def test_a_rare_class_of_a_calibrated_network_looks_calibrated():
    """By its true rows it would look too sure of the others."""
    logits = LOGITS + torch.tensor([0.0, 0, 0, 0, -3])
    labels = torch.multinomial(logits.softmax(1), 1, generator=torch.Generator().manual_seed(3)).squeeze(1)
    assert 0 < (labels == 4).double().mean() < 0.05
    assert class_log_temperatures(logits, labels, 0.5, 5.0) == [pytest.approx(0, abs=0.25)] * 5


def test_a_pair_is_mixed_by_the_geometric_mean_of_its_classes():
    training_loss = TrainingLoss(calmix.auto(per_class=True), Classification(5))
    for _ in range(12):
        training_loss.observe(sharpened([1, 4, 1, 0.3, 1]), LABELS)
    strengths = training_loss.class_strengths
    assert strengths is not None
    assert training_loss.strength == pytest.approx(math.prod(strengths) ** 0.2)
    assert strengths[1] > 15
    assert strengths[3] < 0.01
    lam = shares(training_loss)
    assert training_loss.mix is not None
    kinds = torch.stack([training_loss.mix.anchor % 5, training_loss.mix.partner % 5])
    spread = {
        pair: (lam[(kinds == torch.tensor(pair)[:, None]).all(0)] - 0.5).abs().mean() for pair in ((1, 1), (3, 3))
    }
    assert spread[1, 1] < 0.15
    assert spread[3, 3] > 0.45
    coefficient = OfClasses(Beta(per_row=True), torch.tensor([0.1, 1.0, 10.0]))
    for target, expected in (
        ([[1.0, 0, 0], [0, 0, 1.0]], [0.1, 10.0, 1.0]),  # the last two are of the pair
        ([[0.5, 0, 0.5], [0, 1.0, 0]], [1.0, 1.0, 1.0]),
        ([[0.0, 0, 0], [0, 0, 1.0]], [1.0, 10.0, 10**0.5]),  # without a label
    ):
        step = calmix.mixup().step(nn.Identity(), Classification(3), Batch(torch.zeros(2, 1), torch.tensor(target)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("calmix.core.coefficient.beta", lambda tau, generator: tau)
            strengths, _ = coefficient(step, torch.tensor([0, 1, 0]), torch.tensor([0, 1, 1]), None)
        assert strengths.tolist() == pytest.approx(expected)


def test_a_kernel_s_tau_grows_with_the_strength_of_the_pair():
    kernel = SimilarityKernel(tau_max=0.5, tau_std=0.4, space=Inputs())
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    task, anchor, partner = Classification(2), torch.arange(40), torch.arange(40).roll(1)
    step = calmix.mixup().step(nn.Linear(3, 2), task, Batch(x, torch.arange(40) % 2))
    alike = OfClasses(kernel, torch.tensor([0.5, 0.5]))
    found, expected = (part(step, anchor, partner, torch.Generator().manual_seed(0))[0] for part in (alike, kernel))
    assert torch.allclose(found, expected, atol=1e-6)
    apart = OfClasses(kernel, torch.tensor([0.5 * 4, 0.5 / 4]))  # each pair is of both classes
    assert torch.allclose(apart(step, anchor, partner, torch.Generator().manual_seed(0))[0], expected, atol=1e-6)
    strong = OfClasses(kernel, torch.tensor([5.0, 5.0]))(step, anchor, partner, torch.Generator().manual_seed(0))[0]
    assert (strong - 0.5).abs().mean() < (expected - 0.5).abs().mean()


def test_two_classes_of_a_binary_task_have_strengths_of_their_own():
    z = 3 * torch.randn(1000, generator=torch.Generator().manual_seed(0))
    y = torch.rand(1000, generator=torch.Generator().manual_seed(1)) < z.sigmoid()
    logits = torch.where(z > 0, 3 * z, z)
    one, two = (
        TrainingLoss(calmix.auto(per_class=True), Binary()),
        TrainingLoss(calmix.auto(per_class=True), Classification(2)),
    )
    assert one.class_strengths == (0.2, 0.2)
    one.observe(logits, y)
    two.observe(torch.stack([torch.zeros(1000), logits], 1), y.long())
    assert one.class_strengths == pytest.approx(two.class_strengths)
    assert one.class_strengths is not None
    assert one.class_strengths[1] > 0.26 > 0.22 > one.class_strengths[0]
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    one(nn.Linear(3, 1), x, torch.arange(60) % 2)
    two(nn.Linear(3, 2), x, torch.arange(60) % 2)
    assert one.mix is not None
    assert two.mix is not None
    assert torch.equal(one.mix.lam_x, two.mix.lam_x)


def test_the_state_holds_the_strengths_of_classes():
    first, second = (TrainingLoss(calmix.auto(per_class=True), Classification(5)) for _ in range(2))
    first.observe(sharpened([1, 3, 1, 1, 1]), LABELS)
    shares(second)  # before it is told otherwise
    second = TrainingLoss(calmix.auto(per_class=True), Classification(5))
    second.load_state_dict(first.state_dict())
    assert second.class_strengths == first.class_strengths != (0.2,) * 5
    assert torch.equal(shares(second), shares(first))
    before = first.class_strengths
    first.observe(sharpened([1, 3, 1, 1, 1]), LABELS)
    assert first.class_strengths != before
    assert not torch.equal(shares(second), shares(first))


def test_schedules_may_begin_with_classes_and_go_on_with_one_strength():
    method = calmix.scheduled(calmix.auto(per_class=True), 1, calmix.auto(until=1))
    training_loss = TrainingLoss(method, Classification(5))
    training_loss.observe(sharpened([1, 3, 1, 1, 1]), LABELS)
    mean = training_loss.strength
    training_loss.epoch = 1
    assert training_loss.class_strengths is None
    assert training_loss.strength == mean
    shares(training_loss)
    training_loss.observe(3 * LOGITS, LABELS)
    assert training_loss.strength == pytest.approx((mean or 0) * 3**0.5, rel=0.05)


def test_classes_of_their_own_need_classes_and_pairs_of_their_own():
    with pytest.raises(SettingError, match=r"rows of one class each, and those of Multilabel.* have several labels"):
        TrainingLoss(calmix.scheduled(calmix.mixup(), 2, calmix.auto(per_class=True)), Multilabel(4))
    with pytest.raises(SettingError, match="auto follows the confidence of classes"):
        TrainingLoss(calmix.auto(per_class=True), calmix.Regression())
    for method in (calmix.mixup(), calmix.cutmix(), calmix.mit_l()):
        with pytest.raises(
            SettingError, match=r"needs a kernel, or a Beta that draws a lam for each row, such as mixup"
        ):
            calmix.auto(method, per_class=True)
    with pytest.raises(SettingError, match="class_sd must be a positive number"):
        Control(class_sd=0.0)


# ------------------------------------------------------------------------------------------------ strengths of parts


COEFFICIENTS = [
    (Beta(0.4, per_row=True), Beta(2.0, per_row=True)),
    (SimilarityKernel(0.4, alpha=3.0), SimilarityKernel(2.0, alpha=3.0)),
    (Apart(0.4, 0.5), Apart(2.0, 0.5)),
    (Boxes(Beta(0.4)), Boxes(Beta(2.0))),
    (Sometimes(Folded(SimilarityKernel(0.4)), 0.5), Sometimes(Folded(SimilarityKernel(2.0)), 0.5)),
    (
        TwoKernels(SimilarityKernel(0.4), SimilarityKernel(0.1, 2.0)),
        TwoKernels(SimilarityKernel(2.0), SimilarityKernel(0.5, 2.0)),
    ),
]


@pytest.mark.parametrize(("weak", "strong"), COEFFICIENTS, ids=lambda part: type(part).__name__)
def test_the_strength_is_the_innermost_tau_max_or_alpha(weak: object, strong: object):
    assert (strength_of(weak), strength_of(strong)) == (0.4, 2.0)
    assert with_strength(weak, 2.0) == strong


def test_what_does_not_mix_has_no_strength():
    assert strength_of(NoMixing()) is None


# -------------------------------------------------------------------------------------------------- in a training loss


def shares(training_loss: TrainingLoss) -> Tensor:
    """lam of a step on 500 rows."""
    x = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    training_loss(nn.Linear(3, 5), x, torch.arange(500) % 5)
    assert training_loss.mix is not None
    return training_loss.mix.lam_x


def test_what_is_observed_decides_how_strongly_the_next_step_mixes():
    training_loss = TrainingLoss(calmix.auto(), Classification(5))
    assert training_loss.strength == 0.2
    plain = TrainingLoss(calmix.folded(calmix.mixup(alpha=0.2, per_row=True)), Classification(5))
    assert torch.equal(shares(training_loss), shares(plain))  # until something is observed
    for _ in range(4):
        training_loss.observe(3 * LOGITS, LABELS)
    strength = training_loss.strength or 0.0
    assert strength == pytest.approx(0.2 * 9, rel=0.1)  # 3^(4 / 2)
    again = TrainingLoss(calmix.mixup(strength, per_row=True), Classification(5))
    shares(again)  # so that both have drawn once
    ours, theirs = ((shares(one) - 0.5).abs().mean().item() for one in (training_loss, again))
    assert ours == pytest.approx(theirs, rel=0.1)
    for _ in range(6):
        training_loss.observe(LOGITS / 3, LABELS)
    assert training_loss.strength == pytest.approx(0.2 / 3, rel=0.1)
    lam = shares(training_loss)
    assert (1 - lam < 0.01).float().mean() > 0.6


@pytest.mark.parametrize("method", [calmix.sk_mixup(tau_max=0.5), calmix.regmixup(alpha=0.5), calmix.cutmix(alpha=0.5)])
def test_a_given_method_begins_as_it_is(method: calmix.parts.Method):
    training_loss = TrainingLoss(calmix.auto(method), Classification(5))
    assert training_loss.strength == 0.5
    training_loss.observe(4 * LOGITS, LABELS)
    assert training_loss.strength == pytest.approx(1, rel=0.05)


def test_a_binary_task_is_one_of_two_classes_and_labels_are_binary_tasks():
    z = 3 * torch.randn(1000, generator=torch.Generator().manual_seed(0))
    y = torch.rand(1000, generator=torch.Generator().manual_seed(1)) < z.sigmoid()
    two = torch.stack([torch.zeros(1000), 2 * z], 1)
    found = []
    for task, logits, labels in (
        (Classification(2), two, y.long()),
        (Binary(), 2 * z, y),
        (Binary(), 2 * z[:, None], y.float()[:, None]),
        (Multilabel(4), 2 * z.view(250, 4), y.view(250, 4)),
    ):
        training_loss = TrainingLoss(calmix.auto(), task)
        training_loss.observe(logits, labels)
        found.append(training_loss.strength)
        training_loss.observe(logits, labels, of_training=(logits, labels))
        assert training_loss.strength == pytest.approx(found[-1], rel=1e-6)
    assert found == [pytest.approx(found[0], rel=1e-6)] * 4
    assert found[0] == pytest.approx(0.2 * 2**0.5, rel=0.1)


def test_class_weights_and_missing_labels_are_those_of_the_loss():
    """Weights: as if rows of the class came so often. Rows without a label say nothing."""
    weighed, repeated, missing, fewer = (
        TrainingLoss(calmix.auto(), Classification(5, weight=weight, ignore_index=ignored))
        for weight, ignored in (((3.0, 1.0, 1.0, 1.0, 1.0), None), (None, None), (None, -1), (None, None))
    )
    weighed.observe(2 * LOGITS, LABELS)
    order = torch.cat([torch.arange(4000), *[torch.nonzero(LABELS == 0).flatten()] * 2])
    repeated.observe(2 * LOGITS[order], LABELS[order])
    assert weighed.strength == pytest.approx(repeated.strength)
    missing.observe(2 * LOGITS[:200], torch.where(torch.arange(200) < 50, LABELS[:200], -1))
    fewer.observe(2 * LOGITS[:50], LABELS[:50])
    assert missing.strength == pytest.approx(fewer.strength)


def test_the_state_holds_the_strength_and_older_states_have_none():
    first, second = (TrainingLoss(calmix.auto(), Classification(5)) for _ in range(2))
    first.observe(3 * LOGITS, LABELS)
    second.load_state_dict(first.state_dict())
    assert second.strength == first.strength != 0.2
    assert torch.equal(shares(second), shares(first))
    state = first.state_dict()
    del state["_extra_state"]["strength"]
    second.load_state_dict(state)
    assert second.strength == 0.2


def test_a_schedule_moves_the_strength_in_its_controlled_epochs_alone():
    training_loss = TrainingLoss(calmix.scheduled(calmix.auto(), until=1), Classification(5))
    training_loss.observe(3 * LOGITS, LABELS)
    moved = training_loss.strength
    training_loss.epoch = 1
    assert training_loss.strength is None
    training_loss.observe(3 * LOGITS, LABELS)
    assert set(shares(training_loss).tolist()) == {1.0}
    training_loss.epoch = 0
    assert training_loss.strength == moved != 0.2


def test_other_methods_and_other_tasks_are_refused_with_advice():
    with pytest.raises(SettingError, match=r"only auto\(\.\.\.\) observes"):
        TrainingLoss(calmix.mixup(), Classification(5)).observe(LOGITS, LABELS)
    for task in (calmix.Regression(), calmix.PerRow(lambda output, y: output), calmix.Dense(3)):
        with pytest.raises(SettingError, match=r"auto follows the confidence of classes.*mixup\(\) or sk_mixup\(\)"):
            TrainingLoss(calmix.scheduled(calmix.mixup(), 2, calmix.auto()), task)
    with pytest.raises(ShapeError, match=r"expected floating rows of shape \(n, 3\)"):
        TrainingLoss(calmix.auto(), Classification(3)).observe(LOGITS, LABELS)
    assert TrainingLoss(calmix.mixup(), Classification(5)).strength is None


def _observe_as_rank(rank: int, file: Path, found: "multiprocessing.Queue[Any]") -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    rows = slice(0, 300) if rank == 0 else slice(300, 1000)
    training_loss = TrainingLoss(calmix.auto(per_class=True), Classification(5))
    training_loss.observe(sharpened([1, 3, 2, 1, 1])[rows], LABELS[rows], (2 * LOGITS[rows], LABELS[rows]))
    of_classes = training_loss.class_strengths
    training_loss = TrainingLoss(calmix.auto(), Classification(5))
    training_loss.observe(3 * LOGITS[rows], LABELS[rows], (2 * LOGITS[rows], LABELS[rows]))
    found.put((rank, training_loss.strength, of_classes))
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without torch.distributed")
def test_all_ranks_get_the_strength_of_all_rows(tmp_path: Path):
    context = multiprocessing.get_context("spawn")
    found = context.Queue()
    ranks = [context.Process(target=_observe_as_rank, args=(rank, tmp_path / "store", found)) for rank in range(2)]
    for process in ranks:
        process.start()
    told = [found.get(timeout=120) for _ in ranks]
    strengths = {rank: strength for rank, strength, _ in told}
    for process in ranks:
        process.join(60)
    alone = TrainingLoss(calmix.auto(), Classification(5))
    alone.observe(3 * LOGITS[:1000], LABELS[:1000], (2 * LOGITS[:1000], LABELS[:1000]))
    assert strengths[0] == strengths[1] == pytest.approx(alone.strength, rel=1e-9)
    classes = TrainingLoss(calmix.auto(per_class=True), Classification(5))
    classes.observe(sharpened([1, 3, 2, 1, 1])[:1000], LABELS[:1000], (2 * LOGITS[:1000], LABELS[:1000]))
    expected = Control(class_sd=0.25).stronger_of_classes(
        [0.2] * 5, sharpened([1, 3, 2, 1, 1])[:1000], LABELS[:1000], (2 * LOGITS[:1000], LABELS[:1000])
    )
    assert classes.class_strengths == pytest.approx(expected)
    assert told[0][2] == told[1][2] == pytest.approx(classes.class_strengths, rel=1e-9)
