"""A method whose strength moves, made of any method that mixes."""

import pytest

import calmix
from calmix import METHODS, Classification, TrainingLoss
from calmix.errors import SettingError
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


def test_its_default_is_mixup_with_a_lam_for_each_row():
    assert calmix.auto() == calmix.auto(calmix.mixup(per_row=True))
    assert calmix.auto(rate=0.3, prior_sd=0.2).control == Control(rate=0.3, prior_sd=0.2)


def test_methods_without_a_control_are_written_as_before_there_was_one():
    text = (
        "pairing=Shuffle(self_pairs=True), coefficient=Beta(alpha=1.0, per_row=False), objective=MixedLoss(), site=None"
    )
    assert repr(calmix.mixup()) == f"Method({text})"


def test_wrappers_keep_the_control():
    for method in (calmix.folded(calmix.auto()), calmix.sometimes(calmix.auto()), calmix.with_whole_set(calmix.auto())):
        assert method.control == Control()
        assert TrainingLoss(method, Classification(3)).strength == 1.0
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
