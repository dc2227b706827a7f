"""A network as text, never evaluated: `vit(depth=6)`, `nets.py:wide(depth=28)`, `package.module:factory`."""

import ast
import inspect
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args

from calmix.calls import check_type, literal, options_of, parse
from calmix.errors import SettingError, UnknownNameError
from calmix.models.factory import ModelFactory
from calmix.models.files import NamedFactory
from calmix.models.table import MODELS

_EXAMPLE = "resnet18(stem=cifar)"
_PLACED = re.compile(r"(?P<place>.+?):\s*(?P<call>[^\W\d][\w.]*\s*(\(.*\))?)\s*", re.DOTALL)
_GIVEN = ("shape", "outputs")  # by calmix
_SIMPLE = (int, float, bool, str)


def read_model(text: str) -> ModelFactory:
    """The factory that the text names: one in MODELS, or one of the user's own, in a file or in a module.

    Options stand in brackets, by name; they are numbers, words, True, False, None, and tuples or lists of them.

    Raises:
        UnknownNameError: no such network, function or option (the nearest known one is named).
        SettingError: text that cannot be read; a file or module that is missing or cannot be run.

    >>> from calmix.models import build
    >>> build(read_model("mlp(width=8)"), (4,), 3).head
    Linear(in_features=8, out_features=3, bias=True)
    """
    placed = _PLACED.fullmatch(text.strip())
    if placed:
        return _named(placed["place"].strip(), placed["call"], text)
    name = text.split("(", 1)[0].strip()
    if name.endswith(".py") or "/" in name:
        raise SettingError(f"{text!r} names a file; name the function in it, too, e.g. {name}:make_network.")
    if "." in name and name not in MODELS:
        module, _, function = text.strip().partition("(")[0].rpartition(".")
        raise SettingError(f"unknown model {text!r}; to name a function in a module, write {module}:{function}.")
    if name not in MODELS:
        raise UnknownNameError("model", name, [*MODELS, "a function of your own, such as nets.py:wide"])
    factory = MODELS[name]
    parameters = {key: each for key, each in inspect.signature(factory).parameters.items() if key not in _GIVEN}
    options = _options(text, name, parameters)
    return partial(factory, **options) if options else factory


def _named(place: str, call: str, text: str) -> NamedFactory:
    """The factory of the user's own, loaded once, so that what is wrong with it is said at once."""
    function = call.split("(", 1)[0].strip()
    if place.endswith(".py") or "/" in place:
        path = Path(place).expanduser().resolve()
        factory = NamedFactory.at(path, function, path.parent)
    else:
        factory = NamedFactory.at(place, function, Path.cwd())
    loaded = factory.load()
    try:
        parameters = dict(inspect.signature(loaded).parameters)
    except (TypeError, ValueError):  # of what is not written in Python
        parameters = {"options": inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD)}
    # its name may have dots, which `options_of` does not know
    options = _options(call.replace(function, function.rpartition(".")[2], 1), function, parameters, text)
    return replace(factory, options=tuple(options.items()))


def _options(
    call: str, name: str, parameters: Mapping[str, inspect.Parameter], text: str | None = None
) -> dict[str, Any]:
    node = parse(call, _EXAMPLE)
    if isinstance(node, ast.Name):
        return {}
    if not isinstance(node, ast.Call):
        raise SettingError(f"cannot read {text or call!r}; write name or name(option=value, ...), e.g. {_EXAMPLE!r}.")
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    known = [key for key, each in parameters.items() if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    options: dict[str, Any] = {}
    for option, written in options_of(node, text or call).items():
        if option not in known and not takes_any:
            raise UnknownNameError(f"option of {name}", option, known)
        options[option] = literal(written, text or call)
        if option in known:
            _check(f"{name}: {option}", options[option], parameters[option].annotation)
    return options


def _check(what: str, value: Any, annotation: Any) -> None:
    """Raise SettingError where the annotation is of one plain type, or of one and None, and the value is of another."""
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    plain = [kind for kind in kinds if kind is not NoneType]
    if len(plain) == 1 and plain[0] in _SIMPLE and not (value is None and NoneType in kinds):
        check_type(what, value, plain[0])
