"""What a method says to what it cannot do: one sentence, before anything is trained."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import calmix
from calmix import Classification, Regression, TrainingLoss
from calmix.errors import CalmixError, SettingError, ShapeError, SiteError
from calmix.parts import Method

X, Y = torch.randn(8, 6), torch.arange(8) % 4


def step(method: Method, y: torch.Tensor = Y, **options: object) -> None:
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
    TrainingLoss(method, Classification(4), **options)(net, X, y)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: calmix.manifold_mixup(sites=("middle",)), SiteError, r"no module 'middle'; its modules are: 0, 1, 2"),
        (lambda: calmix.mit_a(sites=("middle",)), SiteError, "its modules are: 0, 1, 2"),
        (lambda: calmix.mit_a(sites=("2", "0")), SiteError, "once, in this order: 2, 0"),
        (lambda: calmix.mixup_e(sites=("middle",)), SiteError, "its modules are: 0, 1, 2"),
        (lambda: calmix.sk_mixup(space=calmix.parts.Embedding("middle")), SiteError, "its modules are: 0, 1, 2"),
        (calmix.c_mixup, SettingError, r"whole training set: .*data=\(x, y\)"),
        (lambda: calmix.with_whole_set(calmix.mixup()), SettingError, r"whole training set: .*data=\(x, y\)"),
        (lambda: calmix.sk_mixup(remember=True), SettingError, r"index=index.*IndexedDataset\(dataset\)"),
        (
            lambda: replace(calmix.mixup(), site=calmix.parts.EverySite()),
            SiteError,
            "taken apart in between, as in mit_a",
        ),
        (lambda: calmix.manifold_mixup(sites=(None,) * 50 + ("middle",)), SiteError, "its modules are: 0, 1, 2"),
        (calmix.cutmix, ShapeError, r"images \(C, H, W\); got rows of the shape \(6,\): use mixup"),
    ],
)
def test_in_a_step(make: Callable[[], Method], error: type[CalmixError], message: str):
    with pytest.raises(error, match=message) as caught:
        step(make())
    assert "\n" not in str(caught.value)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(6, 5, num_layers=2, batch_first=True), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


@pytest.mark.parametrize("rows", [8, 2])  # of 2 rows, the states of 2 layers would be taken for rows
@pytest.mark.parametrize("method", [calmix.manifold_mixup(sites=("lstm",)), calmix.mit_a(sites=("lstm",))])
def test_a_site_that_returns_more_than_rows_is_refused(rows: int, method: Method):
    with pytest.raises(SiteError, match=r"'lstm', of LSTM, does not hold one row for each.*its output alone"):
        TrainingLoss(method, Classification(4))(Recurrent(), torch.randn(rows, 3, 6), torch.arange(rows) % 4)


class Unrolled(nn.Module):
    """A row a moment inside: what goes in with n rows is n * 3 rows at `each`."""

    def __init__(self) -> None:
        super().__init__()
        self.each, self.head = nn.Linear(6, 5), nn.Linear(15, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.each(x.flatten(0, 1)).view(len(x), -1))


def test_a_site_with_more_rows_than_the_batch_is_refused():
    with pytest.raises(SiteError, match=r"each of the 8 rows of the batch.*\(24, 5\)"):
        TrainingLoss(calmix.manifold_mixup(sites=("each",)), Classification(4))(Unrolled(), torch.randn(8, 3, 6), Y)


def test_a_compiled_step_that_needs_hooks_is_refused():
    training_loss = TrainingLoss(calmix.manifold_mixup(sites=("0",)), Classification(4))
    net = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))
    step = torch.compile(lambda: training_loss(net, X, Y), backend="eager")
    with pytest.raises(SettingError, match=r"compile the model alone, net = torch\.compile\(net\)"):
        step()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (nn.utils.rnn.pack_sequence([X[:4], X[:3]]), "a PackedSequence cannot be mixed; pad the rows"),
        ([[1.0, 2.0], [3.0, 4.0]], r"got float: make tensors of numbers and arrays \(torch\.as_tensor\)"),
        ({"x": X[:2], "mask": torch.ones(2, 6).long()}, r"int64 cannot be blended; .*masks with \.bool\(\)"),
    ],
)
def test_rows_that_cannot_be_mixed(x: Any, message: str):
    with pytest.raises(ShapeError, match=message):
        TrainingLoss(calmix.mixup(), Classification(4))(lambda rows: rows, x, Y[:2])


@pytest.mark.parametrize("part", [calmix.parts.Folded, calmix.parts.InputsOnly])
def test_what_takes_one_share_a_row_does_not_take_a_map(part: Callable[..., calmix.parts.Coefficient]):
    method = replace(calmix.cutmix(), coefficient=part(calmix.parts.Boxes(calmix.parts.Beta())))
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 4))
    with pytest.raises(SettingError, match=rf"put it inside: Boxes\({part.__name__}\("):
        TrainingLoss(method, Classification(4))(net, X.view(8, 1, 3, 2), Y)


@pytest.mark.parametrize(
    ("x", "y", "index", "message"),
    [
        (X, Y.tolist(), None, "expected a tensor, got list"),
        (X.numpy(), Y, None, "a batch holds tensors.*got ndarray"),
        (X, Y, torch.arange(7), r"the position of each of the 8 rows; got \(7,\)"),
        (X, Y, list(range(8)), "the position of each of the 8 rows; got list"),
        (X[:1], Y, None, "the same number of rows"),
    ],
)
@pytest.mark.parametrize("train", [True, False])
def test_batches_that_do_not_fit(x: object, y: object, index: object, message: str, train: bool):
    training_loss = TrainingLoss(calmix.mixup(), Classification(4)).train(train)
    if index is None or train:
        with pytest.raises(ShapeError, match=message):
            training_loss(nn.Linear(6, 4), x, y, index)


def test_a_model_that_returns_a_tuple_or_one_row():
    for model, message in ((lambda x: (x, x), "expected a tensor, got tuple"), (lambda x: x[:1, :4], "one shape")):
        with pytest.raises(ShapeError, match=message):
            TrainingLoss(calmix.mixup(), Classification(4))(model, X, Y)


def test_a_random_state_of_another_device_is_refused_every_time():
    training_loss = TrainingLoss(calmix.mixup(), Classification(4))
    training_loss.set_extra_state({"seed": 0, "rank": 0, "generator": torch.zeros(16, dtype=torch.uint8)})
    for _ in range(2):
        with pytest.raises(SettingError, match="not saved on a device like cpu"):
            training_loss(nn.Linear(6, 4), X, Y)


SOFT = torch.rand(8, 4).softmax(1)


@pytest.mark.parametrize("make", [calmix.c_mixup, lambda: calmix.with_whole_set(calmix.sk_mixup())])
@pytest.mark.parametrize(
    ("y", "data", "message"),
    [
        (
            SOFT,
            (X, Y),
            r"its y has the shape \(\), in the batch \(4,\): give data= the rows that the loader draws from",
        ),
        (Y, (X, SOFT), r"its y has the shape \(4,\), in the batch \(\)"),
        (Y, (X[:, :3], Y), r"its x has the shape \(3,\), in the batch \(6,\)"),
        (Y, ({"a": X}, Y), r"its x has the shape {'a': \(6,\)}, in the batch \(6,\)"),
        (Y, list(X), r"data must have rows \(x, y\); got Tensor"),
    ],
)
def test_training_sets_whose_rows_are_not_like_the_batch(
    make: Callable[[], Method], y: torch.Tensor, data: object, message: str
):
    with pytest.raises(CalmixError, match=message):
        step(make(), y, data=data)


@pytest.mark.parametrize("make", [calmix.c_mixup, lambda: calmix.with_whole_set(calmix.sk_mixup())])
def test_soft_labels_in_both_are_rows_like_others(make: Callable[[], Method]):
    step(make(), SOFT, data=(X, SOFT))
    step(make(), SOFT, data=[(x, y) for x, y in zip(X, SOFT, strict=True)])


def test_distances_between_the_targets_of_one_class():
    with pytest.raises(SettingError, match=r"several classes.*space=Embedding\(\)"):
        step(calmix.sk_mixup(space=calmix.parts.Targets()), y=torch.zeros(8, dtype=torch.long))
    step(calmix.sk_mixup(space=calmix.parts.Targets()))


def test_ranks_of_classes_need_classes():
    with pytest.raises(SettingError, match=r"rankmixup ranks the confidences of classes; the task Regression"):
        TrainingLoss(calmix.rankmixup(), Regression())(nn.Linear(6, 1), X, torch.randn(8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: calmix.mixup_e(eta=-0.1), "eta must be at least 0; got -0.1"),
        (lambda: calmix.mixup_e(eta=float("nan")), "eta must be at least 0; got nan"),
        (lambda: calmix.mixup_e(share=0.0), "share must be a number above 0 and at most 1; got 0.0"),
        (lambda: calmix.sk_mixup_e(share=1.5), "share must be a number above 0 and at most 1; got 1.5"),
        (
            lambda: calmix.sk_mixup(remember=True, space=calmix.parts.Inputs()),
            r"remember=True is for embeddings; Inputs\(\)",
        ),
        (lambda: calmix.mit_l(margin=0.0), "margin must be a number from 0.001 to below 1; got 0.0"),
        (lambda: calmix.near_mixup(quantile=0.0), "quantile must be a number between 0 and 1"),
        (lambda: calmix.k_mixup(k=0), "k must be at least 1; got 0"),
        (lambda: calmix.c_mixup(bandwidth=0.0), "bandwidth must be a positive number; got 0.0"),
        (lambda: calmix.mixup_e(slope="logit"), r"slope must be a part such as LogitDetached\(\) .*; got 'logit'"),  # pyright: ignore
        (lambda: calmix.mixup_e(coefficient=calmix.parts.NoMixing()), r"NoMixing\(\) has no alpha; build the method"),
        (lambda: calmix.parts.Logit(threshold=float("nan")), "threshold must be a number; got nan"),
        (lambda: calmix.parts.Jacobian(threshold=float("nan")), "threshold must be a number; got nan"),
        (lambda: calmix.parts.MRL(margin=float("inf")), "margin must be a finite number; got inf"),
        (lambda: calmix.rankmixup(ranking="mndcg"), r"ranking must be a part, MRL\(\) or MNDCG\(\); got 'mndcg'"),  # pyright: ignore
        (lambda: calmix.rankmixup(mixes=0), "mixes must be at least 1; got 0"),
        (lambda: calmix.manifold_mixup(sites=()), "sites must be a tuple of module names"),
        (lambda: calmix.sometimes(calmix.mixup(), p=2.0), "p must be a number above 0 and at most 1; got 2.0"),
        (
            lambda: calmix.scheduled(calmix.mixup(), until=0),
            "until must be a whole number of epochs, at least 1, or a share of them below 1; got 0",
        ),
        (lambda: calmix.without_self_pairs(calmix.near_mixup()), "this one pairs by QuantileBand"),
        (
            lambda: TrainingLoss(calmix.mixup(), Classification(3), batch_norm="mix"),
            "unknown batch_norm 'mix'; did you",
        ),
        (lambda: calmix.mixup(alpha=1e300), "alpha must lie between 1e-30 and 1e[+]30"),
        (lambda: calmix.sk_mixup(space="embedding"), r"space must be a part such as Embedding\(\)"),  # pyright: ignore
        (lambda: TrainingLoss(calmix.mixup, Classification(3)), r"method must be a method, such as calmix.mixup\(\)"),  # pyright: ignore
        (lambda: TrainingLoss(calmix.mixup(), 3), r"task must be a task, such as calmix.Classification\(10\); got 3"),  # pyright: ignore
        (lambda: TrainingLoss(calmix.mixup(), Classification(3), data=(X, Y[:5])), "the same number of rows"),
        (lambda: TrainingLoss(calmix.mixup(), Classification(3), data=(X[0, 0], Y[0])), "the same number of rows"),
        (lambda: TrainingLoss(calmix.mixup(), Classification(3), data=(X[:0], Y[:0])), "got one without rows"),
        (lambda: TrainingLoss(calmix.mixup(), Classification(3), data=[]), "got one without rows"),
        (lambda: TrainingLoss(calmix.mixup(), Classification(3), data={"x": X}), "data must be .*got dict"),
        (lambda: calmix.with_whole_set(calmix.c_mixup()), "with_whole_set is for methods that shuffle; .*Neighbours"),
        (lambda: TrainingLoss(calmix.mixup(), Classification(3), data=[X, Y]), r"data must be the tuple \(x, y\)"),
        (lambda: TrainingLoss(calmix.mixup(), Classification(3), data=3), r"data must be the training set.*got int"),
    ],
)
def test_in_a_setting(make: Callable[[], object], message: str):
    with pytest.raises(CalmixError, match=message):
        make()


def test_embeddings_remembered_before_the_rows_are_mixed():
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
    kernel = calmix.parts.SimilarityKernel(space=calmix.parts.Remembered("0"))
    training_loss = TrainingLoss(calmix.manifold_mixup(sites=("0",), coefficient=kernel), Classification(4))
    with pytest.raises(SettingError, match=r"remembered at '0' may come before.*at '0'; remember those of the last"):
        training_loss(net, X, Y, torch.arange(8))


KERNEL = calmix.parts.SimilarityKernel()


@pytest.mark.parametrize("make", [calmix.mixup_e, calmix.regmixup, calmix.manifold_mixup, calmix.cutmix])
def test_alpha_beside_a_coefficient_would_be_ignored(make: Callable[..., Method]):
    with pytest.raises(SettingError, match=r"alpha is an option of Beta, which coefficient=SimilarityKernel.*replaces"):
        make(alpha=1.0, coefficient=KERNEL)


@pytest.mark.parametrize("make", [calmix.mixup_e, calmix.regmixup, calmix.manifold_mixup])
def test_per_row_beside_a_coefficient_would_be_ignored(make: Callable[..., Method]):
    with pytest.raises(SettingError, match=r"per_row is an option of Beta, .*leave per_row out"):
        make(per_row=True, coefficient=KERNEL)


Beta, Several = calmix.parts.Beta, calmix.parts.SeveralCoefficients


@pytest.mark.parametrize(
    ("method", "coefficient"),
    [
        (calmix.regmixup(), Beta(10.0)),
        (calmix.manifold_mixup(), Beta(2.0)),
        (calmix.mixup_e(), Beta(1.0)),
        (calmix.cutmix(), calmix.parts.Boxes(Beta(1.0))),
        (calmix.rankmixup(), Several(Beta(2.0), mixes=1)),
        (calmix.rankmixup(ranking=calmix.parts.MNDCG()), Several(Beta(2.0), mixes=3)),
        (calmix.rankmixup(ranking=calmix.parts.MNDCG(), mixes=2), Several(Beta(2.0), mixes=2)),
    ],
)
def test_without_a_coefficient_the_published_default_is_taken(method: Method, coefficient: calmix.parts.Coefficient):
    assert method.coefficient == coefficient


def test_per_row_beside_a_coefficient_of_cutmix_draws_the_centres():
    assert calmix.cutmix(per_row=True, coefficient=KERNEL).coefficient == calmix.parts.Boxes(KERNEL, per_row=True)


def test_a_second_alpha_of_two_kernels_would_be_ignored():
    with pytest.raises(SettingError, match=r"need the same alpha; got 1.0 for the inputs and 2.0 for the targets"):
        calmix.parts.TwoKernels(KERNEL, replace(KERNEL, alpha=2.0))


def test_remember_would_be_ignored_in_regression():
    with pytest.raises(SettingError, match=r"remember=True is for embeddings, and in regression .*space=Embedding\(\)"):
        TrainingLoss(calmix.sk_mixup(remember=True), Regression())(nn.Linear(6, 1), X, torch.randn(8), torch.arange(8))


@pytest.mark.parametrize(
    ("coefficient", "alpha"),
    [
        (calmix.parts.Beta(0.2), 0.2),
        (replace(KERNEL, alpha=3.0), 3.0),
        (calmix.parts.TwoKernels(replace(KERNEL, alpha=3.0), replace(KERNEL, alpha=3.0)), 3.0),
        (calmix.parts.Sometimes(calmix.parts.Folded(calmix.parts.Beta(0.2)), p=0.5), 0.2),
    ],
)
def test_the_penalty_s_alpha_is_the_coefficient_s(coefficient: calmix.parts.Coefficient, alpha: float):
    objective = calmix.mixup_e(coefficient=coefficient).objective
    assert isinstance(objective, calmix.parts.DirectionalPenalty)
    assert objective.alpha == alpha
