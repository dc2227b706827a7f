"""Networks are made by factories: any callable that returns an `nn.Module`."""

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import chain
from threading import Lock
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from calmix.errors import SettingError

Shape = tuple[int, ...]  # of one row
ModelFactory = Callable[..., nn.Module]  # called with what it asks for of what `offered` says


@runtime_checkable
class Described(Protocol):
    """A factory that says what it is called and, by a digest, what the files hold that it was read from."""

    @property
    def label(self) -> str: ...

    @property
    def digest(self) -> str: ...


def offered(shape: Shape, outputs: int) -> dict[str, Any]:
    """What a factory may ask for, by the names of its arguments.

    >>> offered((3, 32, 32), 10)
    {'shape': (3, 32, 32), 'outputs': 10, 'num_classes': 10, 'in_channels': 3}
    """
    known: dict[str, Any] = {"shape": shape, "outputs": outputs, "num_classes": outputs}
    if len(shape) == 1:
        known["num_features"] = shape[0]
    if len(shape) == 3:
        known["in_channels"] = shape[0]
    return known


def build(factory: ModelFactory, shape: Shape, outputs: int) -> nn.Module:
    """The network of a factory, which is called with those of the arguments that it names.

    shape: of one row. outputs, num_classes: how many outputs the task needs, by either name. num_features: the numbers
    in a row that is a vector. in_channels: the channels of an image (C, H, W). What functools.partial has bound stays.
    Lazy modules take their shapes from one forward on two rows of zeros.

    Raises:
        SettingError: a factory that needs further arguments, or that makes no `nn.Module`.

    >>> build(lambda shape, num_classes: nn.Linear(shape[0], num_classes), (4,), 3)
    Linear(in_features=4, out_features=3, bias=True)
    """
    if not callable(factory) or isinstance(factory, nn.Module):
        raise SettingError(
            f"model must be a factory, a function that returns an nn.Module; got {type(factory).__name__}. "
            "Runs of many seeds need a new network each: pass a function, or lambda: MyModule(...)."
        )
    known = offered(shape, outputs)
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        parameters = {}
    bound = getattr(factory, "keywords", {})  # of functools.partial
    asked = {name: parameter for name, parameter in parameters.items() if name not in bound}
    needed = [
        name
        for name, parameter in asked.items()
        if name not in known and parameter.default is parameter.empty and parameter.kind not in (2, 4)  # *args, **kw
    ]
    if needed:
        raise SettingError(
            f"the model factory {name_of(factory)} needs {', '.join(needed)}; for rows of the shape {shape} a factory "
            f"is given {', '.join(known)}, as far as it names them: bind the rest with functools.partial, or on the "
            "command line with options, such as nets.py:wide(depth=28)."
        )
    model = factory(**{name: value for name, value in known.items() if name in asked})
    if not isinstance(model, nn.Module):
        raise SettingError(f"the model factory {name_of(factory)} made {type(model).__name__}, not an nn.Module.")
    if any(map(is_lazy, chain(model.parameters(), model.buffers()))):
        tried(model, torch.zeros(2, *shape))
    return model


@torch.no_grad()
def tried(model: nn.Module, x: Tensor) -> Any:
    """What the network returns of some rows, in evaluation mode; it is left as it was."""
    with _evaluating(model):
        return model(x)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def name_of(factory: ModelFactory) -> str:
    """What a factory is called in reports: the same in every process, without memory addresses.

    >>> from functools import partial
    >>> name_of(partial(build, outputs=3))
    'build(outputs=3)'
    """
    if isinstance(factory, Described):
        return factory.label
    if hasattr(factory, "func"):  # of functools.partial
        bound = [*map(repr, factory.args), *(f"{name}={value!r}" for name, value in factory.keywords.items())]  # pyright: ignore
        return f"{name_of(factory.func)}({', '.join(bound)})"  # pyright: ignore[reportFunctionMemberAccess]
    name = getattr(factory, "__qualname__", None)
    return type(factory).__qualname__ if name is None else name.split(".")[-1]


def digest_of(model: nn.Module, factory: ModelFactory | None = None) -> str:
    """What tells a network from others: a digest of its modules, as they print, of their code and of its state.

    PyTorch's own modules are told by their names, and so is code that cannot be found, such as that of a console.
    factory: what made it; if it was read from files, all of their text counts.

    >>> import torch
    >>> first, second = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    >>> digest_of(first) == digest_of(second)
    False
    """
    digest = hashlib.sha256(repr(model).encode())
    for kind in dict.fromkeys(type(module) for module in model.modules()):
        if not kind.__module__.startswith("torch."):
            with suppress(OSError, TypeError):
                digest.update(_code_of(kind).encode())
    for name, values in model.state_dict().items():
        digest.update(name.encode())
        for part in _content(values):
            digest.update(part)
    if isinstance(factory, Described):
        digest.update(factory.digest.encode())
    return digest.hexdigest()[:16]


_ONE = Lock()  # Python 3.11 reads code in one thread at a time, else with a SystemError


@lru_cache(maxsize=256)
def _code_of(kind: type) -> str:
    """The text of a class. Raises OSError or TypeError where it cannot be found."""
    with _ONE:
        return inspect.getsource(kind)


def _content(value: Any) -> Iterator[bytes]:
    """What tells an entry of a state: its numbers; of what `get_extra_state` returned plain values and trees of them.

    Of other things only their type, as they may print differently in every process.
    """
    if isinstance(value, Tensor):
        yield value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, Mapping):
        yield f"{len(value)} entries".encode()
        for key, entry in value.items():
            yield from _content(key)
            yield from _content(entry)
    elif isinstance(value, list | tuple):
        yield f"{len(value)} values".encode()
        for entry in value:
            yield from _content(entry)
    elif value is None or isinstance(value, bool | int | float | str | bytes):
        yield repr(value).encode()
    else:
        yield type(value).__qualname__.encode()
