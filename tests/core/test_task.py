"""Tasks against torch's own losses, what is linear in the target, and `residual`, the derivative of the loss."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from calmix import Binary, Classification, Dense, Multilabel, MultiTask, PerRow, Regression
from calmix.core.tree import leaves, map_leaves
from calmix.errors import SettingError, ShapeError, UnknownNameError
from calmix.parts import Mix, Task, mixed_target

TASKS: list[tuple[Task, Tensor, int]] = [
    (Classification(4), torch.tensor([0, 3, 1, 2, 2]), 4),
    (Binary(), torch.tensor([0, 1, 1, 0, 1]), 1),
    (Multilabel(3), torch.tensor([[0, 1, 1], [1, 1, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0]]), 3),
    (Regression(2), torch.randn(5, 2), 2),
]


@pytest.mark.parametrize(("task", "y", "width"), TASKS)
def test_losses_are_torch_s(task: Task, y: Tensor, width: int):
    output = torch.randn(5, width)
    ours = task.loss(task.output(output), task.target(y)).mean()
    if isinstance(task, Classification):
        expected = F.cross_entropy(output, y)
    elif isinstance(task, Regression):
        expected = F.mse_loss(output, y)
    else:
        expected = F.binary_cross_entropy_with_logits(output, y.float().reshape(5, width))
    assert torch.allclose(ours, expected)


def test_class_ids_and_rows_say_the_same():
    ids, task = torch.tensor([2, 0, 1]), Classification(3)
    assert torch.equal(task.target(ids), task.target(F.one_hot(ids, 3).double()).float())
    assert torch.equal(task.target(ids.to(torch.uint8)), task.target(ids))


def test_hits_are_accuracy_on_clean_targets_and_shares_on_mixed_ones():
    output = torch.tensor([[3.0, 0, 0], [0, 3.0, 0], [0, 0, 3.0]])
    assert Classification(3).hits(output, torch.eye(3)[[0, 1, 1]]).tolist() == [1, 1, 0]
    assert Classification(3).hits(output[:1], torch.tensor([[0.7, 0.3, 0]])).tolist() == [pytest.approx(0.7)]
    assert Binary().hits(torch.tensor([[2.0], [-2.0]]), torch.tensor([[0.9], [0.9]])).tolist() == [
        pytest.approx(0.9),
        pytest.approx(0.1),
    ]
    assert Regression().hits(torch.zeros(1, 1), torch.zeros(1, 1)) is None


@pytest.mark.parametrize(
    ("task", "y", "message"),
    [
        (Classification(3), torch.tensor([0, 3]), r"0\.\.2; got 0\.\.3"),
        (Classification(3), torch.tensor([-1, 0]), r"got -1\.\.0"),
        (Classification(3), torch.tensor([[0], [1]]), r"shape \(n,\).*One-hot rows must be floating"),
        (Classification(3), torch.rand(2, 4), r"\(n, 3\), got \(2, 4\)"),
        (Binary(), torch.tensor([0, 2]), r"0\.\.1; got 0\.\.2"),
        (Multilabel(3), torch.rand(2, 2), r"\(n, 3\), got \(2, 2\)"),
        (Regression(2), torch.rand(2), r"\(n, 2\), got \(2,\)"),
    ],
)
def test_targets_that_do_not_fit_are_errors_that_say_what_was_expected(task: Task, y: Tensor, message: str):
    with pytest.raises(ShapeError, match=message):
        task.target(y)


def test_outputs_of_the_wrong_width_and_tasks_without_width_are_errors():
    with pytest.raises(ShapeError, match=r"model output.*\(n, 10\), got \(4, 7\).*last layer"):
        Classification(10).output(torch.rand(4, 7))
    with pytest.raises(SettingError, match="num_classes must be at least 1; got 0"):
        Classification(0)


def test_half_precision_outputs_are_judged_in_float32():
    assert Classification(3).output(torch.rand(4, 3).bfloat16()).dtype == torch.float32
    assert PerRow(absolute).output({"a": torch.rand(4, 3).half()})["a"].dtype == torch.float32


# ------------------------------------------------------------------------------- the losses of classification

LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.0, 3.0], [-2.0, 0.0, 0.5], [1.0, 1.0, 1.0]])
IDS = torch.tensor([0, 2, 1, 0])
LAM = torch.tensor([0.7, 1.0, 0.2, 0.5])
MIX = Mix(torch.arange(4), torch.tensor([1, 3, 0, 2]), LAM, LAM)
WEIGHT = (0.5, 1.0, 3.0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_weights_and_smoothing_are_torch_s_for_probabilities(smoothing: float, weight: tuple[float, ...] | None):
    task = Classification(3, label_smoothing=smoothing, weight=weight)
    target = mixed_target(task.target(IDS), MIX)
    ours = task.loss(LOGITS.double(), target.double()).mean()
    w = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    assert torch.allclose(ours, F.cross_entropy(LOGITS.double(), target.double(), w, label_smoothing=smoothing))
    rows = F.cross_entropy(LOGITS.double(), IDS, w, label_smoothing=smoothing, reduction="none")
    assert torch.allclose(task.loss(LOGITS.double(), task.target(IDS).double()), rows)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_rows_without_a_label_lose_nothing_and_the_mean_is_torch_s(smoothing: float):
    task, ids = Classification(3, label_smoothing=smoothing, ignore_index=-100), torch.tensor([0, -100, 1, -100])
    logits = LOGITS.clone().requires_grad_()
    target = task.target(ids)
    loss = task.loss(logits, target)
    assert loss[[1, 3]].tolist() == [0, 0]
    assert torch.allclose(loss.mean(), F.cross_entropy(logits, ids, label_smoothing=smoothing))
    guesses = LOGITS.argmax(1)
    assert float(task.hits(LOGITS, target).mean()) == ((guesses == ids).sum() / 2).item()


def test_a_row_mixed_with_one_without_a_label_keeps_its_own_share_alone():
    task, ids = Classification(3, ignore_index=7), torch.tensor([0, 7, 1, 7])
    loss = task.loss(LOGITS, mixed_target(task.target(ids), MIX))
    lost = F.log_softmax(LOGITS, 1).neg()
    by_hand = 0.7 * lost[0, 0] + 0.2 * lost[2, 1] + 0.8 * lost[2, 0] + 0.5 * lost[3, 1]  # the second row is unlabelled
    assert torch.allclose(loss.mean(), by_hand / (0.7 + 1.0 + 0.5))


def test_a_batch_without_any_label_loses_nothing_and_moves_nothing():
    task, logits = Classification(3, ignore_index=-1), LOGITS.clone().requires_grad_()
    target = task.target(torch.full((4,), -1))
    loss = task.loss(logits, target).mean()
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()
    assert (task.hits(LOGITS, target) == 0).all()


def test_an_id_out_of_range_is_an_error_unless_it_is_the_ignored_one():
    with pytest.raises(ShapeError, match=r"0\.\.2; got 0\.\.9"):
        Classification(3, ignore_index=-100).target(torch.tensor([9, -100]))
    small = torch.tensor([156], dtype=torch.uint8)  # -100 of 8 bits
    assert Classification(157, ignore_index=-100).target(small).sum() == 1
    assert Classification(3, ignore_index=1).target(torch.tensor([1, 2])).tolist() == [[0, 0, 0], [0, 0, 1]]


def test_focal_loss_is_its_closed_form_and_none_at_zero():
    p = LOGITS.softmax(1)[torch.arange(4), IDS]
    loss = Classification(3, focal=2.0, weight=WEIGHT).loss(LOGITS, F.one_hot(IDS, 3).float())
    assert torch.allclose(loss, -torch.tensor(WEIGHT)[IDS] * (1 - p) ** 2 * p.log())
    almost = Classification(3, focal=1e-7).loss(LOGITS, F.one_hot(IDS, 3).float())
    assert torch.allclose(almost, F.cross_entropy(LOGITS, IDS, reduction="none"), atol=1e-5)


@pytest.mark.parametrize("focal", [0.5, 1.0, 2.0])
def test_focal_loss_has_a_slope_where_the_network_is_certain(focal: float):
    logits = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    for label in range(3):
        Classification(3, focal=focal).loss(logits, torch.eye(3)[label, None]).sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


LINEAR: list[tuple[Task, Tensor, Tensor]] = [
    (Classification(3), LOGITS, IDS),
    (Classification(3, label_smoothing=0.2, weight=WEIGHT, focal=1.5), LOGITS, IDS),
    (Binary(), LOGITS[:, 0], IDS.clamp(max=1)),
    (Multilabel(3), LOGITS, F.one_hot(IDS, 3)),
]


def mixed_losses(task: Task, output: Tensor, y: Tensor) -> Tensor:
    anchor, partner = (task.loss(task.output(output), task.target(y[row])) for row in (MIX.anchor, MIX.partner))
    return MIX.lam_y * anchor + (1 - MIX.lam_y) * partner


@pytest.mark.parametrize(("task", "output", "y"), LINEAR)
def test_mixing_targets_is_mixing_losses_where_the_loss_is_linear(task: Task, output: Tensor, y: Tensor):
    loss = task.loss(task.output(output), mixed_target(task.target(y), MIX))
    assert torch.allclose(loss, mixed_losses(task, output, y))


def test_for_squared_errors_it_differs_by_what_no_output_changes():
    output, y = torch.randn(4, 2), torch.randn(4, 2)
    loss = Regression(2).loss(output, mixed_target(y, MIX))
    between = (MIX.lam_y * (1 - MIX.lam_y))[:, None] * (y[MIX.anchor] - y[MIX.partner]).square()
    assert torch.allclose(mixed_losses(Regression(2), output, y) - loss, between.mean(1), atol=1e-6)


def test_smoothing_is_the_loss_s_alone():
    plain, smoothed = Classification(3), Classification(3, label_smoothing=0.3, weight=WEIGHT, focal=2.0)
    target = smoothed.target(IDS)
    assert torch.equal(target, plain.target(IDS))
    assert torch.equal(smoothed.hits(LOGITS, target), plain.hits(LOGITS, target))
    assert plain.label_smoothing == 0


def test_the_best_output_under_smoothing_is_the_smoothed_target():
    task, target = Classification(3, label_smoothing=0.3), mixed_target(torch.eye(3)[IDS], MIX)
    logits = (0.7 * target + 0.1).log().requires_grad_()
    task.loss(logits, target).sum().backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-6


def test_reprs_are_short_and_are_the_code_that_makes_it():
    assert repr(Classification(10)) == "Classification(num_classes=10)"
    full = Classification(3, 0.1, WEIGHT, 2.0, -100)
    assert eval(repr(full)) == full
    assert hash(full) == hash(eval(repr(full)))
    assert full != Classification(3)
    both = MultiTask({"kind": full, "size": Regression(2)}, {"size": 0.5})
    assert eval(repr(both)) == both
    assert hash(both) == hash(eval(repr(both)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Classification(3, label_smoothing=1.5), "label_smoothing must be a number from 0 to 1; got 1.5"),
        (lambda: Classification(3, label_smoothing=math.nan), "label_smoothing .* got nan"),
        (lambda: Classification(3, focal=-1), "focal must be at least 0; got -1"),
        (lambda: Classification(3, focal=math.inf), "focal must be at least 0; got inf"),
        (lambda: Classification(3, weight=(1.0, 2.0)), r"each of the 3 classes; got \(1.0, 2.0\).*tuple\(map"),
        (lambda: Classification(3, weight=torch.ones(3)), "weight must be a tuple"),  # pyright: ignore[reportArgumentType]
        (lambda: Classification(2, weight=(1.0, -2.0)), "each weight must be at least 0; got -2.0"),
        (lambda: MultiTask({}), "at least one task"),
        (lambda: MultiTask({"kind": Binary()}, {"kind": -1}), "the weight of 'kind' must be at least 0; got -1"),
    ],
)
def test_settings_out_of_range_are_one_sentence(make: Callable[[], Task], message: str):
    with pytest.raises(SettingError, match=message):
        make()


# --------------------------------------------------------------------------------------------------- series


def test_series_are_regressed_value_by_value():
    output, y = torch.randn(4, 5, 2), torch.randn(4, 5, 2)
    task = Regression(2)
    loss = task.loss(task.output(output), task.target(y))
    assert torch.allclose(loss.mean(), F.mse_loss(output, y))
    assert torch.allclose(loss[1], F.mse_loss(output[1], y[1]))


def test_shapes_that_would_broadcast_are_an_error():
    task = Regression()
    with pytest.raises(ShapeError, match=r"one shape; got \(4, 5, 1\) and \(4, 1\)"):
        task.loss(task.output(torch.randn(4, 5, 1)), task.target(torch.randn(4)))
    with pytest.raises(ShapeError, match=r"\(n, 3\), got \(4, 5, 3\)"):
        Classification(3).output(torch.randn(4, 5, 3))


# ------------------------------------------------------------------------------- any loss, and several targets


def absolute(output: Tensor, y: Tensor) -> Tensor:
    return (output - y).abs().flatten(1).sum(1)


def test_any_loss_of_a_row_is_mixed_by_the_shares():
    task, output, y = PerRow(absolute), torch.randn(4, 3), torch.randint(9, (4, 3))
    assert torch.equal(task.loss(output, task.target(y)), absolute(output, y))
    mixed = mixed_target(task.target(y), MIX)
    assert torch.allclose(task.loss(output, mixed), mixed_losses(task, output, y))


def test_a_loss_that_is_not_one_of_rows_is_an_error_that_says_what_to_do():
    task = PerRow(F.cross_entropy)
    with pytest.raises(ShapeError, match=r"\(4,\); got \(\): take reduction='none'"):
        task.loss(LOGITS, task.target(IDS))
    with pytest.raises(SettingError, match="use a method that takes the loss alone"):
        PerRow(absolute).residual(LOGITS, PerRow(absolute).target(LOGITS))
    assert PerRow(absolute).hits(LOGITS, None) is None


BOTH = MultiTask({"size": Regression(), "kind": Classification(3)}, weights={"size": 0.5})
OUTPUTS = {"kind": LOGITS, "size": LOGITS[:, :1]}
YS = {"kind": IDS, "size": torch.tensor([1.0, 2.0, 3.0, 4.0])}


def test_several_tasks_add_up_and_each_mixes_as_it_does_alone():
    tasks = MultiTask({**BOTH.tasks, "any": PerRow(absolute)}, BOTH.weights)
    output, y = {**OUTPUTS, "any": LOGITS}, {**YS, "any": torch.arange(12).view(4, 3)}
    target = mixed_target(tasks.target(y), MIX)
    alone = {name: t.loss(output[name], mixed_target(t.target(y[name]), MIX)) for name, t in tasks.tasks.items()}
    assert torch.allclose(tasks.loss(output, target), 0.5 * alone["size"] + alone["kind"] + alone["any"])


def test_the_hits_of_several_tasks_are_those_of_the_first_that_decides():
    hits = BOTH.hits(OUTPUTS, BOTH.target(YS))
    assert hits is not None
    assert torch.equal(hits, Classification(3).hits(LOGITS, F.one_hot(IDS, 3).float()))
    assert MultiTask({"size": Regression()}).hits({"size": LOGITS}, {"size": LOGITS}) is None


PLACES = torch.randn(4, 3, 5, 2, generator=torch.Generator().manual_seed(2))  # logits of 5 x 2 places
LABELS = torch.randint(3, (4, 5, 2), generator=torch.Generator().manual_seed(3))
BOX = torch.ones(4, 1, 5, 2)
BOX[1:, :, 1:3] = 0
PASTED = Mix(MIX.anchor, MIX.partner, BOX, BOX.flatten(1).mean(1))


@pytest.mark.parametrize("ignore", [None, 1])
def test_the_loss_of_places_is_torch_s_and_mixed_by_the_shares(ignore: int | None):
    task = Dense(3, ignore)
    plain = task.loss(PLACES, task.target(LABELS))
    torchs = F.cross_entropy(PLACES, LABELS, ignore_index=-100 if ignore is None else ignore)
    assert torch.allclose(plain.mean(), torchs)
    target, hits = task.target(LABELS), (PLACES.argmax(1) == LABELS).float()
    known = torch.ones_like(LABELS, dtype=torch.bool) if ignore is None else LABELS.ne(ignore)
    assert torch.allclose(task.hits(PLACES, target).mean(), hits[known].mean())
    if ignore is None:
        rows = F.cross_entropy(PLACES, LABELS, reduction="none").mean((1, 2))
        assert torch.allclose(plain, rows)
        mixed = task.loss(PLACES, mixed_target(target, MIX))
        partner = F.cross_entropy(PLACES, LABELS[MIX.partner], reduction="none").mean((1, 2))
        assert torch.allclose(mixed, LAM * rows + (1 - LAM) * partner)


@pytest.mark.parametrize("ignore", [-100, 1])
def test_labels_of_places_are_pasted_where_the_pixels_are(ignore: int):
    task = Dense(3, ignore)
    pasted = torch.where(BOX[:, 0] == 1, LABELS, LABELS[MIX.partner])
    assert not torch.equal(pasted, LABELS)
    mixed = mixed_target(task.target(LABELS), PASTED)
    assert torch.allclose(task.loss(PLACES, mixed).mean(), F.cross_entropy(PLACES, pasted, ignore_index=ignore))
    assert torch.allclose(task.loss(PLACES, mixed), task.loss(PLACES, task.target(pasted)))
    assert torch.allclose(task.hits(PLACES, mixed), task.hits(PLACES, task.target(pasted)))


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: Dense(3).target(IDS), r"integers \(n, H, W\) or \(n, t\); got int64 \(4,\)"),
        (lambda: Dense(3).target(LABELS + 1), r"0\.\.2; got 1\.\.3"),
        (lambda: Dense(3).output(PLACES[:, :2]), r"\(n, 3, H, W\).*got \(4, 2, 5, 2\)"),
        (lambda: Dense(3).loss(PLACES[..., :1], Dense(3).target(LABELS)), r"the same places; got \(4, 3, 5, 1\)"),
        (lambda: mixed_target(Dense(3).target(LABELS[:, :4]), PASTED), r"\(5, 2\) pixels.*\(4, 4, 2\).*resize"),
        (lambda: mixed_target(PerRow(absolute).target(LABELS), PASTED), r"\(4, 5, 2\) would not follow.*Dense"),
        (lambda: mixed_target(Regression(2).target(SERIES), PASTED), r"\(4, 5, 2\) would not follow.*as mixup does"),
        (lambda: mixed_target({"a": Regression(2).target(SERIES)}, PASTED), "would not follow"),
    ],
)
def test_places_that_do_not_fit_are_errors_that_say_what_to_do(use: Callable[[], Any], message: str):
    with pytest.raises(ShapeError, match=message):
        use()


def test_targets_without_places_are_mixed_by_area():
    target = mixed_target(Classification(3).target(IDS), PASTED)
    assert torch.allclose(target[1], 0.6 * F.one_hot(IDS[1], 3) + 0.4 * F.one_hot(IDS[3], 3))
    assert torch.equal(mixed_target(PerRow(absolute).target(LOGITS), PASTED).parts[0][0], PASTED.lam_y)


YES = F.one_hot(IDS, 3)
SERIES = torch.randn(4, 5, 2, generator=torch.Generator().manual_seed(1))
DERIVED: list[tuple[Task, Any, Any]] = [
    (Classification(3), LOGITS, IDS),
    (Classification(3, label_smoothing=0.2), LOGITS, IDS),
    (Classification(3, weight=WEIGHT), LOGITS, IDS),
    (Classification(3, focal=0.5), LOGITS, IDS),
    (Classification(3, label_smoothing=0.2, weight=WEIGHT, focal=2.0), LOGITS, IDS),
    (Classification(3, label_smoothing=0.2, weight=WEIGHT, focal=1.0, ignore_index=1), LOGITS, IDS),
    (Binary(), LOGITS[:, 0], IDS.clamp(max=1)),
    (Multilabel(3), LOGITS, YES),
    (Regression(), LOGITS[:, 0], YES[:, 0]),
    (Regression(3), LOGITS, YES),
    (Regression(2), SERIES, SERIES.cos()),
    (Dense(3), PLACES, LABELS),
    (Dense(3, ignore_index=1), PLACES, LABELS),
    (BOTH, OUTPUTS, YS),
    (
        MultiTask({"both": BOTH, "yes": Multilabel(3)}, {"both": 2.0}),
        {"both": OUTPUTS, "yes": LOGITS},
        {"both": YS, "yes": YES},
    ),
]


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(("task", "output", "y"), DERIVED)
def test_the_residual_is_the_derivative_of_the_loss_for_every_task(task: Task, output: Any, y: Any, mixed: bool):
    rows = map_leaves(lambda leaf: leaf.double().clone().requires_grad_(), task.output(output))
    target = mixed_target(task.target(y), MIX) if mixed else task.target(y)
    slopes = torch.autograd.grad(task.loss(rows, target).sum(), leaves(rows))
    for slope, residual in zip(slopes, leaves(task.residual(rows, target)), strict=True):
        assert torch.allclose(slope, residual, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: BOTH.target({"kind": IDS}), "targets: expected a dict with size, kind; got one with kind: add size"),
        (lambda: BOTH.target(IDS), "targets: .* got a Tensor: add size, kind"),  # pyright: ignore[reportArgumentType]
        (lambda: BOTH.output({}), "model output: expected a dict with size, kind"),
        (lambda: MultiTask(BOTH.tasks, {"sise": 1.0}), "unknown task 'sise'; did you mean 'size'"),
    ],
)
def test_missing_and_unknown_tasks_are_named(use: Callable[[], Any], message: str):
    with pytest.raises((ShapeError, UnknownNameError), match=message):
        use()
