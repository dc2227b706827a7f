"""A method as text, `sk_mixup(tau_max=0.3)`, turned into a Method without ever evaluating the text."""

import ast
import inspect
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, Protocol, get_args

from calmix import parts
from calmix.calls import check_type, literal, options_of, parse
from calmix.core.method import Method, Scheduled
from calmix.errors import SettingError, UnknownNameError
from calmix.methods.asked import EXAMPLE
from calmix.methods.asked import method_name as method_name
from calmix.methods.table import METHODS
from calmix.methods.wrappers import WRAPPERS

Maker = Callable[..., Any]

_PUBLIC = [value for value in (getattr(parts, name) for name in parts.__all__) if isinstance(value, type)]
_PROTOCOLS = [each for each in _PUBLIC if Protocol in each.__bases__]
# the classes that an option may be an instance of, by the option's annotation: for a Protocol the parts with its call
KINDS: dict[Any, tuple[type, ...]] = {
    protocol: tuple(
        part
        for part in _PUBLIC
        if part not in _PROTOCOLS and inspect.signature(part.__call__) == inspect.signature(protocol.__call__)
    )
    for protocol in _PROTOCOLS
    if "__call__" in vars(protocol)
}
WHOLE: dict[str, Maker] = {**METHODS, **WRAPPERS}
PARTS: dict[str, Maker] = {part.__name__: part for kind in KINDS.values() for part in kind} | WHOLE

# what options of earlier versions have become: the option's name and value -> how it is written now
_RENAMED = {
    "variant": {
        "jacobian": "slope=Jacobian()",
        "jacobian_abs": "slope=JacobianAbs()",
        "logit": "slope=Logit()",
        "logit_detached": "slope=LogitDetached()",
        "mrl": "ranking=MRL()",
        "mndcg": "ranking=MNDCG()",
    },
    "threshold": {"": "slope=Logit(threshold=1.0)"},
    "margin": {"": "ranking=MRL(margin=2.0)"},
}


def read_method(text: str, options: Mapping[str, str] | None = None) -> Method | Scheduled:
    """The method that `text` describes: a name, or a name with options in brackets, such as another method.

    options: further options as text, others than those in brackets.

    Raises:
        UnknownNameError: no such method, part or option (the nearest known one is named).
        SettingError: text that is not `name` or `name(option=value, ...)`, a value out of range, or an option that is
            given in brackets and beside them, as the text would then not say what is trained.

    >>> read_method("sk_mixup(tau_max=0.3, space=Inputs())").coefficient
    SimilarityKernel(tau_max=0.3, tau_std=0.25, alpha=1.0, space=Inputs())
    """
    node = parse(text, EXAMPLE)
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    extra = [ast.keyword(name, parse(value, EXAMPLE)) for name, value in (options or {}).items()]
    for keyword in call.keywords:
        if keyword.arg in (options or {}):
            raise SettingError(
                f"{text} says {keyword.arg} itself; name the method with the {keyword.arg} that you mean."
            )
    return _call(ast.Call(call.func, call.args, call.keywords + extra), WHOLE, "method", text)


def _call(node: ast.Call, known: Mapping[str, Maker], kind: str, text: str) -> Any:
    options = options_of(node, text)
    name = ast.unparse(node.func)
    if name not in known:
        raise UnknownNameError(kind, name, known)
    parameters = inspect.signature(known[name]).parameters
    arguments = {}
    for option, written in options.items():
        value = _value(written, text)
        if option not in parameters:
            _refuse(name, option, value, list(parameters))
        arguments[option] = _typed(f"{name}: {option}", value, parameters[option])
    for option, parameter in parameters.items():
        if parameter.default is parameter.empty and option not in arguments:
            raise SettingError(f"{name} needs {option}; write {name}({option}=...).")
    return known[name](**arguments)


def _refuse(name: str, option: str, value: Any, options: list[str]) -> None:
    """Raise the error for an option that `name` does not have; an option that was renamed is named as it is now."""
    now = [text for text in _RENAMED.get(option, {}).values() if text.split("=")[0] in options]
    if now:
        meant = _RENAMED[option].get(value) if isinstance(value, str) else None
        written = meant if meant in now else " or ".join(now)
        raise SettingError(f"{name} has no option {option!r} any more; write {written}.")
    raise UnknownNameError(f"option of {name}", option, options)


def _value(node: ast.expr, text: str) -> Any:
    return _call(node, PARTS, "part", text) if isinstance(node, ast.Call) else literal(node, text)


def _typed(what: str, value: Any, parameter: inspect.Parameter) -> Any:
    """The value, if it is of the type that the option is annotated with; a part's name without brackets is called."""
    annotation = parameter.annotation
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    if value is None and NoneType in kinds:
        return value
    classes = tuple(one for kind in kinds for one in KINDS.get(kind, (kind,) if kind in _PUBLIC else ()))
    if classes:
        if isinstance(value, str) and value in PARTS:
            value = _call(ast.Call(ast.Name(value), [], []), PARTS, "part", value)
        if not isinstance(value, classes):
            known = "the methods" if Method in classes else ", ".join(f"{each.__name__}()" for each in classes)
            raise SettingError(f"{what} must be one of {known}; got {value!r}.")
        return value
    check_type(what, value, kinds[0])
    return value
