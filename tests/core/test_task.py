"""Tasks against torch's own losses, and the slope that `mean` promises."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from calmix import Binary, Classification, Multilabel, Regression, Task
from calmix.errors import SettingError, ShapeError

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


@pytest.mark.parametrize(("task", "y", "width"), TASKS)
def test_mean_minus_target_is_the_slope_of_the_loss(task: Task, y: Tensor, width: int):
    output = torch.randn(5, width, requires_grad=True)
    target = task.target(y)
    (slope,) = torch.autograd.grad(task.loss(task.output(output), target).sum(), output)
    scale = {Classification: 1.0, Binary: 1.0, Multilabel: 1 / width, Regression: 2 / width}[type(task)]
    assert torch.allclose(slope, scale * (task.mean(output) - target), atol=1e-6)


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
