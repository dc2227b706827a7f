"""Networks are made by factories: any callable that returns an `nn.Module`."""

import hashlib
import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import nn

from calmix.errors import SettingError

Shape = tuple[int, ...]  # of one row
ModelFactory = Callable[..., nn.Module]  # called with what it asks for of shape, outputs and num_classes


def build(factory: ModelFactory, shape: Shape, outputs: int) -> nn.Module:
    """The network of a factory, which is called with those of the arguments that it names.

    shape: of one row. outputs, num_classes: how many outputs the task needs, by either name.

    Raises:
        SettingError: a factory that needs further arguments, or that makes no `nn.Module`.

    >>> build(lambda shape, num_classes: nn.Linear(shape[0], num_classes), (4,), 3)
    Linear(in_features=4, out_features=3, bias=True)
    """
    known: dict[str, Any] = {"shape": shape, "outputs": outputs, "num_classes": outputs}
    if not callable(factory) or isinstance(factory, nn.Module):
        raise SettingError(
            f"model must be a factory, a function that returns an nn.Module; got {type(factory).__name__}. "
            "Runs of many seeds need a new network each: pass a function, or lambda: MyModule(...)."
        )
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        parameters = {}
    needed = [
        name
        for name, parameter in parameters.items()
        if name not in known and parameter.default is parameter.empty and parameter.kind not in (2, 4)  # *args, **kw
    ]
    if needed:
        raise SettingError(
            f"the model factory {name_of(factory)} needs {', '.join(needed)}; a factory is called with shape, outputs "
            "or num_classes, as far as it names them: bind the rest with functools.partial."
        )
    model = factory(**{name: value for name, value in known.items() if name in parameters})
    if not isinstance(model, nn.Module):
        raise SettingError(f"the model factory {name_of(factory)} made {type(model).__name__}, not an nn.Module.")
    return model


def name_of(factory: ModelFactory) -> str:
    """What a factory is called in reports: the same in every process, without memory addresses.

    >>> from functools import partial
    >>> name_of(partial(build, outputs=3))
    'build(outputs=3)'
    """
    if hasattr(factory, "func"):  # of functools.partial
        bound = [*map(repr, factory.args), *(f"{name}={value!r}" for name, value in factory.keywords.items())]  # pyright: ignore
        return f"{name_of(factory.func)}({', '.join(bound)})"  # pyright: ignore[reportFunctionMemberAccess]
    name = getattr(factory, "__qualname__", None)
    return type(factory).__qualname__ if name is None else name.split(".")[-1]


def digest_of(model: nn.Module) -> str:
    """What tells a network from others: a digest of its modules, as they print, of their code and of all its numbers.

    PyTorch's own modules are told by their names, and so is code that cannot be found, such as that of a console.

    >>> import torch
    >>> first, second = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    >>> digest_of(first) == digest_of(second)
    False
    """
    digest = hashlib.sha256(repr(model).encode())
    for kind in dict.fromkeys(type(module) for module in model.modules()):
        if not kind.__module__.startswith("torch."):
            with suppress(OSError, TypeError):
                digest.update(inspect.getsource(kind).encode())
    for name, values in model.state_dict().items():
        digest.update(name.encode())
        digest.update(values.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
