"""What may be searched of each method."""

import inspect

import pytest

from calmix import METHODS
from calmix.core.method import Method
from calmix.errors import SettingError
from calmix.methods.spaces import SPACES, Between, OneOf, space_of


def test_numbers_lie_evenly_on_a_logarithmic_scale():
    range_ = Between(0.05, 5)
    assert [range_.at(share) for share in (0.0, 0.5, 1.0)] == [0.05, 0.5, 5.0]
    assert range_.at(1 / 3) == 0.232  # three digits that count: 0.05 * 100^(1/3) = 0.23208
    assert [OneOf((1.0, 0.9, 0.75, 0.5)).at(share) for share in (0.0, 0.24, 0.25, 0.99)] == [1.0, 1.0, 0.9, 0.5]


@pytest.mark.parametrize("ends", [(0.0, 1.0), (2.0, 1.0), (1.0, 1.0)])
def test_a_range_needs_two_positive_ends(ends: tuple[float, float]):
    with pytest.raises(SettingError, match="low"):
        Between(*ends)
    with pytest.raises(SettingError, match="two values"):
        OneOf((True,))


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("regression", [False, True])
def test_both_ends_of_every_range_make_the_method(name: str, regression: bool):
    space = space_of(name, regression)
    assert ("until" in space) == (name != "erm")
    own = {option: range_ for option, range_ in space.items() if option != "until"}
    assert own.keys() <= inspect.signature(METHODS[name]).parameters.keys()
    made = [METHODS[name](**{option: range_.at(share) for option, range_ in own.items()}) for share in (0.0, 0.999)]
    assert all(isinstance(one, Method) for one in made)
    assert (made[0] == made[1]) == (not own)


def test_the_ranges_are_those_that_were_said():
    assert SPACES.keys() == METHODS.keys() - {"mixup_idle", "auto"}  # a control, and a method that tunes itself
    assert space_of("sk_mixup", False) == {
        "tau_max": Between(0.05, 5), "tau_std": Between(0.15, 1.5), "until": OneOf((1.0, 0.9, 0.75, 0.5)),
    }  # fmt: skip
    assert space_of("sk_mixup", True)["tau_max"] == Between(1e-4, 5)
    assert space_of("regmixup", True)["alpha"] == Between(1, 20)
    assert space_of("mixup", False)["alpha"] == Between(0.1, 4)
    assert space_of("mixup_e", False)["eta"] == Between(1e-3, 1)
