"""What networks return: an entry chosen, and its shape checked before anything trains."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import calmix
from calmix import Classification, TrainingLoss
from calmix.errors import SettingError, ShapeError
from calmix.models import Output, build, check_outputs, digest_of, name_of, with_output

X = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))


class Pair(NamedTuple):
    features: Tensor
    logits: Tensor


class Made(OrderedDict):
    """As transformers has it: a dict whose keys are attributes, too."""


@dataclass
class Plain:
    features: Tensor
    logits: Tensor


class Several(nn.Module):
    def __init__(self, outputs: int, kind: Callable[..., Any]) -> None:
        super().__init__()
        self.kind = kind
        self.body = nn.Linear(4, 5)
        self.head = nn.Linear(5, outputs)

    def forward(self, x: Tensor) -> Any:
        features = self.body(x)
        return self.kind(features, self.head(features))


KINDS: dict[str, tuple[Callable[..., Any], Any]] = {
    "dict": (lambda f, z: {"features": f, "logits": z}, "logits"),
    "ModelOutput": (lambda f, z: Made(features=f, logits=z), "logits"),
    "tuple": (lambda f, z: (f, z), 1),
    "list": (lambda f, z: [f, z], 1),
    "named tuple": (Pair, "logits"),
    "named tuple by place": (Pair, 1),
    "dataclass": (Plain, "logits"),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_entry_is_the_network_s_own_tensor(name: str):
    kind, entry = KINDS[name]
    net = build(with_output(lambda outputs: Several(outputs, kind), entry), (4,), 3)
    assert isinstance(net, Output)
    several = net.network
    assert isinstance(several, Several)
    assert torch.equal(net(X), several.head(several.body(X)))
    loss = TrainingLoss(calmix.sk_mixup(), Classification(3))(net, X, torch.tensor([0, 1]))  # finds the last layer
    assert torch.isfinite(loss)


@pytest.mark.parametrize("name", KINDS)
def test_a_network_with_several_outputs_is_refused_with_the_entry_that_fits(name: str):
    kind, entry = KINDS[name]
    net = Several(3, kind)
    found = rf"returns \w+ with .*\(2, 5\), .*\(2, 3\).*--output {'1' if name == 'named tuple by place' else entry},"
    if name == "named tuple by place":
        found = "--output logits,"
    with pytest.raises(ShapeError, match=found):
        check_outputs(net, X, 3, lambda: net)


def test_an_entry_that_is_not_there():
    net = Output(Several(3, KINDS["dict"][0]), "logit")
    with pytest.raises(ShapeError, match=r"dict with 'features' \(2, 5\), 'logits' \(2, 3\), without 'logit'; choose"):
        net(X)
    with pytest.raises(ShapeError, match="returns Tensor, without 0; leave the output out"):
        Output(nn.Linear(4, 3), 0)(X)


def test_the_choice_is_part_of_the_name_and_of_the_digest():
    def several(outputs: int) -> nn.Module:
        torch.manual_seed(0)
        return Several(outputs, KINDS["dict"][0])

    factories = [with_output(several, entry) for entry in ("features", "logits")]
    assert [name_of(factory) for factory in factories] == ["several, output features", "several, output logits"]
    assert len({digest_of(build(factory, (4,), 3), factory) for factory in factories}) == 2


@pytest.mark.parametrize(
    ("made", "outputs", "message"),
    [
        (torch.zeros(2, 7), 3, r"returns \(2, 7\) for 2 rows; \(2, 3\) is needed: 3 floating outputs of each row"),
        (torch.zeros(2, 3, 1, 1), 3, r"returns \(2, 3, 1, 1\) for 2 rows"),
        (torch.zeros(2), 3, r"returns \(2,\) for 2 rows"),
        (torch.zeros(3, 2), 3, r"returns \(3, 2\) for 2 rows"),
        (torch.zeros(8, 3), 3, r"returns \(8, 3\) for 2 rows; \(2, 3\) is needed"),
        (torch.zeros(2, 3, dtype=torch.int64), 3, r"returns \(2, 3\) of int64 for 2 rows"),
        (None, 3, "returns NoneType; say which"),
        (torch.zeros(2, 1), 1, None),
        (torch.zeros(2), 1, None),
        (torch.zeros(2, 3, dtype=torch.bfloat16), 3, None),
    ],
)
def test_the_shape_is_said_and_what_is_needed(made: Any, outputs: int, message: str | None):
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return made

    if message is None:
        check_outputs(Fixed(), X, outputs, Fixed)
        return
    with pytest.raises(ShapeError, match=message):
        check_outputs(Fixed(), X, outputs, Fixed)


def test_the_check_leaves_no_trace_and_says_where_a_network_fails():
    net = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 3))
    net[1].eval()
    before = digest_of(net)
    check_outputs(net, X, 3, lambda: net)
    assert digest_of(net) == before
    assert [module.training for module in net] == [True, False, True]

    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("not today")

    with pytest.raises(
        SettingError, match=r"rows of the shape \(4,\): RuntimeError: not today \(.*test_outputs\.py, l"
    ):
        check_outputs(Fails(), X, 3, Fails)
