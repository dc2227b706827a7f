"""What a method says to what it cannot do: one sentence, before anything is trained."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import calmix
from calmix import Classification, Method, Regression, TrainingLoss
from calmix.errors import CalmixError, SettingError, ShapeError, SiteError

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
        (lambda: calmix.sk_mixup(space=calmix.Embedding("middle")), SiteError, "its modules are: 0, 1, 2"),
        (calmix.c_mixup, SettingError, r"data=\(x, y\).*pass index=index.*whole_set=False"),
        (lambda: calmix.sk_mixup(remember=True), SettingError, r"index=index.*Indexed\(dataset\)"),
        (calmix.cutmix, ShapeError, r"images \(C, H, W\); got rows of the shape \(6,\): use mixup"),
    ],
)
def test_in_a_step(make: Callable[[], Method], error: type[CalmixError], message: str):
    with pytest.raises(error, match=message) as caught:
        step(make())
    assert "\n" not in str(caught.value)


def test_c_mixup_with_the_training_set_but_no_index():
    with pytest.raises(SettingError, match="pass index=index"):
        step(calmix.c_mixup(), data=(X, Y))


def test_distances_between_the_targets_of_one_class():
    with pytest.raises(SettingError, match=r"several classes.*space=Embedding\(\)"):
        step(calmix.sk_mixup(space=calmix.Targets()), y=torch.zeros(8, dtype=torch.long))
    step(calmix.sk_mixup(space=calmix.Targets()))


def test_ranks_of_classes_need_classes():
    with pytest.raises(SettingError, match=r"rankmixup ranks the confidences of classes; the task Regression"):
        TrainingLoss(calmix.rankmixup(), Regression())(nn.Linear(6, 1), X, torch.randn(8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: calmix.mixup_e(eta=-0.1), "eta must be a number of at least 0; got -0.1"),
        (lambda: calmix.mixup_e(eta=float("nan")), "eta must be a number"),
        (lambda: calmix.mixup_e(share=0.0), "share must be a number above 0 and at most 1; got 0.0"),
        (lambda: calmix.sk_mixup_e(share=1.5), "share must be a number above 0 and at most 1; got 1.5"),
        (lambda: calmix.sk_mixup(remember=True, space=calmix.Inputs()), r"remember=True is for embeddings; Inputs\(\)"),
        (lambda: calmix.mit_l(margin=0.0), "margin must be a number between 0 and 1; got 0.0"),
        (lambda: calmix.near_mixup(quantile=0.0), "quantile must be a number between 0 and 1"),
        (lambda: calmix.k_mixup(k=0), "k must be at least 1; got 0"),
        (lambda: calmix.c_mixup(bandwidth=0.0), "bandwidth must be a positive number; got 0.0"),
        (lambda: calmix.rankmixup(variant="mlr"), "variant must be one of mrl, mndcg; got 'mlr'"),
        (lambda: calmix.rankmixup(variant="mndcg", margin=1.0), "'mndcg' has no margin"),
        (lambda: calmix.rankmixup(mixes=0), "mixes must be at least 1; got 0"),
        (lambda: calmix.manifold_mixup(sites=()), "sites must be a tuple of module names"),
        (lambda: calmix.sometimes(calmix.mixup(), p=2.0), "p must be a number above 0 and at most 1; got 2.0"),
        (lambda: calmix.scheduled(calmix.mixup(), until=-1), "until must be a number of epochs"),
        (lambda: calmix.without_self_pairs(calmix.near_mixup()), "this one pairs by QuantileBand"),
        (
            lambda: TrainingLoss(calmix.mixup(), Classification(3), batch_norm="mix"),
            "unknown batch_norm 'mix'; did you",
        ),
        (lambda: TrainingLoss(calmix.mixup(), Classification(3), data=3), r"data must be the training set.*got int"),
    ],
)
def test_in_a_setting(make: Callable[[], object], message: str):
    with pytest.raises(CalmixError, match=message):
        make()


def test_embeddings_remembered_before_the_rows_are_mixed():
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
    kernel = calmix.SimilarityKernel(space=calmix.Remembered("0"))
    training_loss = TrainingLoss(calmix.manifold_mixup(sites=("0",), coefficient=kernel), Classification(4))
    with pytest.raises(SettingError, match=r"remembered at '0' may come before.*at '0'; remember those of the last"):
        training_loss(net, X, Y, torch.arange(8))
