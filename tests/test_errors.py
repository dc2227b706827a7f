"""What is said where a package is not installed."""

import sys

import pytest

import calmix
from calmix.errors import CalmixError, needs, not_installed


def test_a_missing_package_is_named_by_its_top_and_with_its_extra():
    error = not_installed("calmix.compare", ModuleNotFoundError("no", name="lightning.pytorch.callbacks"), "train")
    assert str(error) == "calmix.compare needs lightning; install it with: pip install 'calmix[train]'"
    assert str(error) == needs("calmix.compare", "lightning", "train")
    assert error.name == "lightning"
    assert not isinstance(error, CalmixError)


@pytest.mark.parametrize("name", ["calmix", "calmix.train.gone", None])
def test_a_missing_module_of_calmix_stays_the_error_itself(name: str | None):
    error = ModuleNotFoundError("no", name=name)
    assert not_installed("calmix.compare", error, "train") is error


def test_a_package_whose_name_begins_like_calmix_is_not_calmix():
    assert "needs calmix_more; install" in str(not_installed("x", ModuleNotFoundError(name="calmix_more.a"), "train"))


def test_a_name_whose_module_is_gone_does_not_ask_for_an_installation(monkeypatch: pytest.MonkeyPatch):
    """As with `pip install` halfway: calmix.compare is listed, and its file is not there."""
    monkeypatch.delitem(vars(calmix), "compare", raising=False)
    monkeypatch.setitem(sys.modules, "calmix.studies.comparison.study", None)
    with pytest.raises(ModuleNotFoundError) as raised:
        _ = calmix.compare
    assert raised.value.name == "calmix.studies.comparison.study"
    assert "pip install" not in str(raised.value)
