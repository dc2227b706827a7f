"""What a network returns: one of several outputs chosen, and its shape checked.

n rows, K outputs of a row
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from calmix.errors import ShapeError
from calmix.models.factory import Described, ModelFactory, Shape, build, name_of, tried
from calmix.models.files import advice

Entry = str | int  # the key, the attribute, or the place from 0 on


class Output(nn.Module):
    """A network that returns a dict, a tuple or an object, of which one entry is the output.

    >>> import torch
    >>> class Two(nn.Linear):
    ...     def forward(self, x):
    ...         return {"logits": super().forward(x), "x": x}
    >>> Output(Two(4, 3), "logits")(torch.zeros(2, 4)).shape
    torch.Size([2, 3])
    """

    def __init__(self, network: nn.Module, entry: Entry) -> None:
        super().__init__()
        self.network: nn.Module = network
        self.entry: Entry = entry

    def forward(self, x: Any) -> Any:
        made = self.network(x)
        entries = entries_of(made)
        if self.entry not in entries:
            remedy = "choose one of them" if entries else "leave the output out"
            raise ShapeError(f"the network returns {_described(made)}, without {self.entry!r}; {remedy}.")
        return entries[self.entry]

    def extra_repr(self) -> str:
        return f"entry={self.entry!r}"


@dataclass(frozen=True)
class _WithOutput:
    factory: ModelFactory
    entry: Entry

    @property
    def label(self) -> str:
        return f"{name_of(self.factory)}, output {self.entry}"

    @property
    def digest(self) -> str:
        return self.factory.digest if isinstance(self.factory, Described) else ""

    def __call__(self, shape: Shape, outputs: int) -> nn.Module:
        return Output(build(self.factory, shape, outputs), self.entry)


def with_output(factory: ModelFactory, entry: Entry) -> ModelFactory:
    """A factory of the same networks, each in an `Output` that chooses an entry of what they return.

    >>> from functools import partial
    >>> name_of(with_output(partial(nn.LSTM, 4, 3), 0))
    'LSTM(4, 3), output 0'
    """
    return _WithOutput(factory, entry)


def check_outputs(model: nn.Module, x: Tensor, outputs: int, factory: ModelFactory) -> None:
    """Run the network on a few rows, and raise an error of advice unless it returns as many outputs of each.

    x: rows (n, ...). outputs: K. (n,) will do where K is 1.

    Raises:
        ShapeError: it returns anything but floating numbers (n, K).
        SettingError: it cannot run the rows.

    >>> import torch
    >>> from calmix.models import mlp
    >>> check_outputs(mlp((4,), 7), torch.zeros(2, 4), 3, mlp)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    calmix.errors.ShapeError: the network mlp returns (2, 7) for 2 rows; (2, 3) is needed: ...
    """
    name, n = name_of(factory), len(x)
    with advice(f"the network {name} cannot run rows of the shape {tuple(x.shape[1:])}"):
        made = tried(model, x)
    if not isinstance(made, Tensor):
        fitting = [key for key, each in entries_of(made).items() if _fits(each, n, outputs)]
        entry = fitting[0] if fitting else "NAME"
        raise ShapeError(
            f"the network {name} returns {_described(made)}; say which holds the outputs of the rows, ({n}, {outputs}"
            f"): --output {entry}, or in Python calmix.models.with_output(model, {entry!r})."
        )
    if not _fits(made, n, outputs):
        kind = "" if made.is_floating_point() else f" of {str(made.dtype).removeprefix('torch.')}"
        raise ShapeError(
            f"the network {name} returns {tuple(made.shape)}{kind} for {n} rows; ({n}, {outputs}) is needed: "
            f"{outputs} floating output{'s' * (outputs > 1)} of each row. A factory is told how many where it has an "
            f"argument outputs or num_classes; one with **options needs it as an option, num_classes={outputs}."
        )


def entries_of(made: Any) -> dict[Entry, Any]:
    """What a network returned, by entry; of a tensor nothing."""
    if isinstance(made, Mapping):
        return dict(made)
    if isinstance(made, tuple | list):
        named = dict(zip(getattr(made, "_fields", ()), made, strict=False))
        return {**named, **dict(enumerate(made))}
    return {} if isinstance(made, Tensor) else dict(getattr(made, "__dict__", {}))


def _fits(made: Any, n: int, outputs: int) -> bool:
    fits = isinstance(made, Tensor) and (made.shape == (n, outputs) or (outputs == 1 and made.shape == (n,)))
    return fits and made.is_floating_point()


def _described(made: Any) -> str:
    """Such as: dict with 'logits' (2, 10), 'features' (2, 64)."""
    entries = [f"{key!r} {_shape(each)}" for key, each in entries_of(made).items()]
    return type(made).__name__ + (f" with {', '.join(entries)}" if entries else "")


def _shape(each: Any) -> str:
    return str(tuple(each.shape)) if isinstance(each, Tensor) else f"of the type {type(each).__name__}"
