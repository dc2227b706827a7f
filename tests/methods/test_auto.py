"""A method whose strength moves, made of any method that mixes."""

import pytest
import torch
from torch import nn

import calmix
from calmix import METHODS, Classification, TrainingLoss
from calmix.errors import SettingError
from calmix.methods.read import read_method
from calmix.parts import Beta, Control, Method

MIXING = sorted(METHODS.keys() - {"erm", "auto"})
OWN = {"manifold_mixup": 2.0, "regmixup": 10.0, "rankmixup": 2.0, "c_mixup": 2.0, "mit_a": 0.5, "mit_l": 0.5}  # else 1


@pytest.mark.parametrize("name", MIXING)
def test_every_method_that_mixes_can_set_its_strength(name: str):
    method = calmix.auto(METHODS[name]())
    training_loss = TrainingLoss(method, Classification(3))
    assert training_loss.strength == OWN.get(name, 1.0)
    assert method.control == Control()
    assert eval(repr(method), dict(vars(calmix.parts))) == method


def test_its_default_is_mixup_with_a_lam_of_at_least_a_half_for_each_row():
    assert calmix.auto() == calmix.auto(calmix.folded(calmix.mixup(alpha=0.2, per_row=True)))
    assert calmix.auto(rate=0.3, prior_sd=0.2).control == Control(rate=0.3, prior_sd=0.2)


def test_classes_of_their_own_are_written_where_they_are_asked_for():
    plain, each = calmix.auto(), calmix.auto(per_class=True)
    assert repr(plain.control) == "Control(rate=0.5, prior_sd=0.5, until=0.8, least=0.0025, most=20.0)"
    assert repr(each.control) == "Control(rate=0.5, prior_sd=0.5, until=0.8, least=0.0025, most=20.0, class_sd=0.25)"
    assert eval(repr(each), dict(vars(calmix.parts))) == each
    assert read_method("auto(method=sk_mixup(tau_max=0.5), per_class=True)") == calmix.auto(
        calmix.sk_mixup(tau_max=0.5), per_class=True
    )


@pytest.mark.parametrize(
    "inside",
    [
        calmix.regmixup(alpha=1.0, per_row=True),
        calmix.cutmix(per_row=True),
        calmix.manifold_mixup(per_row=True),
        calmix.sometimes(calmix.folded(calmix.sk_mixup())),
        calmix.with_whole_set(calmix.mixup(per_row=True)),
        calmix.rankmixup(per_row=True),
    ],
)
def test_any_method_with_pairs_of_their_own_may_have_them(inside: Method):
    x, y = torch.randn(30, 3, 8, 8), torch.arange(30) % 3
    method = calmix.auto(inside, per_class=True)
    training_loss = TrainingLoss(method, Classification(3), data=(x, y), epochs=10)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    for _ in range(2):
        loss = training_loss(network, x, y, torch.arange(30))
        assert torch.isfinite(loss)
        training_loss.observe(torch.eye(3)[y] * torch.tensor([9.0, 3.0, 1.0])[y][:, None], y.roll(1))
    strengths = training_loss.class_strengths
    assert strengths is not None
    assert len(set(strengths)) == 3


@pytest.mark.parametrize(("epochs", "mixed"), [(1, 1), (2, 2), (3, 2), (10, 8), (None, 10)])
def test_plain_training_ends_the_run_where_the_number_of_epochs_is_known(epochs: int | None, mixed: int):
    training_loss = TrainingLoss(calmix.auto(), Classification(3), epochs=epochs)
    network, plain = nn.Linear(4, 3), TrainingLoss(calmix.erm(), Classification(3))
    x, y = torch.randn(30, 4), torch.arange(30) % 3
    for epoch in range(epochs or 10):
        training_loss.epoch = epoch
        training_loss(network, x, y)
        assert list(training_loss.terms) == (["mixed"] if epoch < mixed else ["clean"])
        assert (training_loss.strength is None) == (epoch >= mixed)
        training_loss.observe(network(x), y)  # which after the end changes nothing
    assert torch.equal(training_loss(network, x, y), plain(network, x, y)) == (epochs in (3, 10))


def test_it_may_mix_to_the_end_or_end_in_a_schedule_of_the_users():
    assert calmix.auto(until=1).control == Control(until=1)
    for method, mixed in ((calmix.auto(until=1), 10), (calmix.scheduled(calmix.auto(), 5), 5)):
        training_loss, strengths = TrainingLoss(method, Classification(3), epochs=10), []
        for training_loss.epoch in range(10):
            strengths.append(training_loss.strength)
        assert strengths == [0.2] * mixed + [None] * (10 - mixed)


def test_methods_without_a_control_are_written_as_before_there_was_one():
    text = (
        "pairing=Shuffle(self_pairs=True), coefficient=Beta(alpha=1.0, per_row=False), objective=MixedLoss(), site=None"
    )
    assert repr(calmix.mixup()) == f"Method({text})"


def test_wrappers_keep_the_control():
    for method in (calmix.folded(calmix.auto()), calmix.sometimes(calmix.auto()), calmix.with_whole_set(calmix.auto())):
        assert method.control == Control()
        assert TrainingLoss(method, Classification(3)).strength == 0.2
    assert calmix.scheduled(calmix.mixup(), 2, calmix.auto()).controlled
    assert calmix.scheduled(calmix.auto(), 2).controlled
    assert not calmix.scheduled(calmix.mixup(), 2).controlled


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (calmix.erm(), "mixes nothing; give a method that does"),
        (calmix.scheduled(calmix.mixup(), 2), r"inside scheduled\(\.\.\.\), write auto for each"),
        (calmix.mixup(alpha=21), "must lie within 0.0025 and 20, between which it may move; got 21"),
        (calmix.sk_mixup(tau_max=1e-4), "must lie within 0.0025 and 20, between which it may move; got 0.0001"),
        (Beta(), "auto controls one method; got Beta"),
    ],
)
def test_what_has_no_strength_to_set_is_refused(method: Method, message: str):
    with pytest.raises(SettingError, match=message):
        calmix.auto(method)
