"""Networks come from any callable: what it is called with, what it is called, and what is refused."""

import copy
import hashlib
import importlib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from calmix.errors import SettingError
from calmix.models import build, digest_of, mlp, name_of


class Net(nn.Linear):
    def __init__(self, shape: tuple[int, ...], num_classes: int, width: int = 3) -> None:
        super().__init__(shape[0], num_classes)
        self.width = width


class Maker:
    def __call__(self, outputs: int) -> nn.Module:
        return nn.Linear(4, outputs)


FACTORIES: dict[str, Any] = {
    "mlp": mlp,
    "a class": Net,
    "by either name": lambda shape, num_classes: nn.Linear(shape[0], num_classes),
    "outputs alone": lambda outputs: nn.Linear(4, outputs),
    "nothing": lambda: nn.Linear(4, 7),
    "keywords": lambda *, shape, outputs: nn.Linear(shape[0], outputs),
    "a default that is not ours": lambda outputs, bias=False: nn.Linear(4, outputs, bias=bias),
    "bound": partial(nn.Linear, 4, 7),
    "bound by name": partial(Net, width=5),
    "an object": Maker(),
}


@pytest.mark.parametrize("name", FACTORIES)
def test_a_factory_is_called_with_what_it_names(name: str):
    net = build(FACTORIES[name], (4,), 7)
    assert net(torch.randn(2, 4)).shape == (2, 7)


def test_bound_settings_arrive():
    net = build(partial(Net, width=5), (4,), 7)
    assert isinstance(net, Net)
    assert net.width == 5


def test_every_call_makes_a_new_network():
    first, second = (build(mlp, (4,), 2) for _ in range(2))
    assert not torch.equal(next(first.parameters()), next(second.parameters()))


def test_what_is_no_factory_is_an_error():
    with pytest.raises(SettingError, match=r"got Linear\. Runs of many seeds need a new network each"):
        build(nn.Linear(4, 7), (4,), 7)  # pyright: ignore[reportArgumentType]
    with pytest.raises(SettingError, match="got str"):
        build("mlp", (4,), 7)  # pyright: ignore[reportArgumentType]
    with pytest.raises(SettingError, match=r"needs width, depth.*bind the rest with functools\.partial"):
        build(lambda outputs, width, depth: nn.Linear(width, depth), (4,), 7)
    with pytest.raises(SettingError, match=r"made int, not an nn\.Module"):
        build(lambda outputs: outputs, (4,), 7)  # pyright: ignore[reportArgumentType]


def test_names_are_the_same_in_every_process():
    assert name_of(mlp) == "mlp"
    assert name_of(Net) == "Net"
    assert name_of(Maker()) == "Maker"
    assert name_of(partial(Net, width=5)) == "Net(width=5)"
    assert name_of(partial(nn.Linear, 4, bias=False)) == "Linear(4, bias=False)"
    assert name_of(partial(partial(Net, width=5), num_classes=2)) == "Net(width=5, num_classes=2)"
    assert name_of(lambda outputs: nn.Linear(4, outputs)) == "<lambda>"


def test_a_network_is_told_by_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of the same name, modules and weights: what its forward does."""
    monkeypatch.syspath_prepend(tmp_path)
    code = "from torch import nn\nclass Twice(nn.Module):\n    def forward(self, x):\n        return {} * x\n"
    digests = set()
    for number, factor in enumerate((2, 3, 2)):
        (tmp_path / f"nets{number}.py").write_text(code.format(factor))
        digests.add(digest_of(importlib.import_module(f"nets{number}").Twice()))
    assert len(digests) == 2


class Stateful(nn.Linear):
    """A layer whose state is more than its weights."""

    def __init__(self, state: object) -> None:
        super().__init__(1, 1)
        nn.init.ones_(self.weight)
        nn.init.ones_(self.bias)
        self.state = state

    def get_extra_state(self) -> Any:
        return self.state

    def set_extra_state(self, state: Any) -> None:
        self.state = state


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"scale": 1.0}, {"scale": 2.0}),
        ({"scale": 1.0}, {"width": 1.0}),
        ([torch.tensor([1.0, 2.0])], [torch.tensor([1.0, 2.00001])]),
        (torch.tensor(True), torch.tensor(False)),
        ("a", None),
        ([[1], [2, 3]], [[1, 2], [3]]),
        (({}, 1), ({1: 1},)),
    ],
)
def test_a_network_is_told_by_its_extra_state(one: object, other: object):
    assert len({digest_of(Stateful(state)) for state in (one, copy.deepcopy(one), other)}) == 2


def test_what_prints_its_address_does_not_tell_networks_apart():
    assert digest_of(Stateful({"a": object()})) == digest_of(Stateful({"a": object()}))


def test_without_extra_state_a_network_is_told_as_it_was():
    """So that runs of earlier versions go on."""
    weights = torch.ones(1, dtype=torch.float32).numpy().tobytes()
    net = nn.Linear(1, 1)
    nn.init.ones_(net.weight)
    nn.init.ones_(net.bias)
    expected = hashlib.sha256(repr(net).encode() + b"weight" + weights + b"bias" + weights).hexdigest()[:16]
    assert digest_of(net) == expected


def test_a_factory_may_ask_for_channels_and_features():
    net = build(lambda in_channels, outputs: nn.Conv2d(in_channels, outputs, 1), (5, 8, 8), 7)
    assert net(torch.zeros(2, 5, 8, 8)).shape == (2, 7, 8, 8)
    net = build(lambda num_features, outputs: nn.Linear(num_features, outputs, bias=False), (5,), 7)
    assert net(torch.zeros(2, 5)).shape == (2, 7)
    with pytest.raises(
        SettingError, match=r"needs in_channels; for rows of the shape \(8, 5\) a factory is given shape"
    ):
        build(lambda in_channels, outputs: nn.Linear(in_channels, outputs, bias=False), (8, 5), 7)


def test_what_is_bound_stays():
    assert build(partial(Net, num_classes=2), (4,), 7)(torch.zeros(1, 4)).shape == (1, 2)


def test_lazy_layers_get_their_shapes_and_stay_as_they_were():
    def lazy(outputs: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.LazyBatchNorm1d(), nn.Dropout(), nn.LazyLinear(outputs)).train()

    torch.manual_seed(0)
    first = build(lazy, (2, 3), 7)
    torch.manual_seed(0)
    assert digest_of(first) == digest_of(build(lazy, (2, 3), 7))
    assert first.get_parameter("3.weight").shape == (7, 6)
    assert all(module.training for module in first.modules())
    assert torch.equal(first.get_buffer("1.running_mean"), torch.zeros(6))
