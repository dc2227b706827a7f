"""The strength of mixing goes up where a network is too confident, down where it is not confident enough."""

import math
import multiprocessing
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import calmix
from calmix import Binary, Classification, Multilabel, TrainingLoss
from calmix.core.coefficient import strength_of, with_strength
from calmix.core.control import log_temperature
from calmix.errors import SettingError, ShapeError
from calmix.parts import Apart, Beta, Boxes, Control, Folded, NoMixing, SimilarityKernel, Sometimes, TwoKernels
from calmix.posthoc import CalibrationLogits, fit_temperature

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = 2 * torch.randn(4000, 5, generator=GENERATOR, dtype=torch.float64)
LABELS = torch.multinomial(LOGITS.softmax(1), 1, generator=GENERATOR).squeeze(1)  # so that LOGITS are calibrated


@pytest.mark.parametrize("factor", [0.3, 0.5, 2.0, 3.0])
def test_log_strength_moves_by_half_the_log_of_the_factor_that_confidence_is_off_by(factor: float):
    moved = Control().stronger(1.7, factor * LOGITS, LABELS)
    assert math.log(moved / 1.7) == pytest.approx(0.5 * math.log(factor), abs=0.03)
    assert math.log(Control(rate=0.1).stronger(1.7, factor * LOGITS, LABELS) / 1.7) == pytest.approx(
        0.1 * math.log(factor), abs=0.006
    )


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
    assert training_loss.strength == 1.0
    plain = TrainingLoss(calmix.mixup(per_row=True), Classification(5))
    assert torch.equal(shares(training_loss), shares(plain))  # until something is observed
    for _ in range(4):
        training_loss.observe(3 * LOGITS, LABELS)
    strength = training_loss.strength or 0.0
    assert strength == pytest.approx(9, rel=0.1)  # 3^(4 / 2)
    again = TrainingLoss(calmix.mixup(strength, per_row=True), Classification(5))
    shares(again)  # so that both have drawn once
    ours, theirs = ((shares(one) - 0.5).abs().mean().item() for one in (training_loss, again))
    assert ours == pytest.approx(theirs, rel=0.1)
    for _ in range(8):
        training_loss.observe(LOGITS / 3, LABELS)
    assert training_loss.strength == pytest.approx(1 / 9, rel=0.1)
    lam = shares(training_loss)
    assert (torch.minimum(lam, 1 - lam) < 0.01).float().mean() > 0.6


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
    assert found == [pytest.approx(found[0], rel=1e-6)] * 4
    assert found[0] == pytest.approx(2**0.5, rel=0.1)


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
    assert second.strength == first.strength != 1.0
    assert torch.equal(shares(second), shares(first))
    state = first.state_dict()
    del state["_extra_state"]["strength"]
    second.load_state_dict(state)
    assert second.strength == 1.0


def test_a_schedule_moves_the_strength_in_its_controlled_epochs_alone():
    training_loss = TrainingLoss(calmix.scheduled(calmix.auto(), until=1), Classification(5))
    training_loss.observe(3 * LOGITS, LABELS)
    moved = training_loss.strength
    training_loss.epoch = 1
    assert training_loss.strength is None
    training_loss.observe(3 * LOGITS, LABELS)
    assert set(shares(training_loss).tolist()) == {1.0}
    training_loss.epoch = 0
    assert training_loss.strength == moved != 1.0


def test_other_methods_and_other_tasks_are_refused_with_advice():
    with pytest.raises(SettingError, match=r"only auto\(\.\.\.\) observes"):
        TrainingLoss(calmix.mixup(), Classification(5)).observe(LOGITS, LABELS)
    for task in (calmix.Regression(), calmix.PerRow(lambda output, y: output), calmix.Dense(3)):
        with pytest.raises(SettingError, match=r"auto follows the confidence of classes.*mixup\(\) or sk_mixup\(\)"):
            TrainingLoss(calmix.scheduled(calmix.mixup(), 2, calmix.auto()), task)
    with pytest.raises(ShapeError, match=r"expected floating rows of shape \(n, 3\)"):
        TrainingLoss(calmix.auto(), Classification(3)).observe(LOGITS, LABELS)
    assert TrainingLoss(calmix.mixup(), Classification(5)).strength is None


def _observe_as_rank(rank: int, file: Path, found: "multiprocessing.Queue[tuple[int, float | None]]") -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    rows = slice(0, 300) if rank == 0 else slice(300, 1000)
    training_loss = TrainingLoss(calmix.auto(), Classification(5))
    training_loss.observe(3 * LOGITS[rows], LABELS[rows])
    found.put((rank, training_loss.strength))
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without torch.distributed")
def test_all_ranks_get_the_strength_of_all_rows(tmp_path: Path):
    context = multiprocessing.get_context("spawn")
    found = context.Queue()
    ranks = [context.Process(target=_observe_as_rank, args=(rank, tmp_path / "store", found)) for rank in range(2)]
    for process in ranks:
        process.start()
    strengths = dict(found.get(timeout=120) for _ in ranks)
    for process in ranks:
        process.join(60)
    alone = TrainingLoss(calmix.auto(), Classification(5))
    alone.observe(3 * LOGITS[:1000], LABELS[:1000])
    assert strengths[0] == strengths[1] == pytest.approx(alone.strength, rel=1e-9)
