"""A method as text, `sk_mixup(tau_max=0.3)`, turned into a Method without ever evaluating the text."""

import ast
import inspect
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, get_args, get_origin

from calmix.core import coefficient, space
from calmix.core.method import Coefficient, Method, Scheduled, Space
from calmix.errors import SettingError, UnknownNameError
from calmix.methods import METHODS
from calmix.methods.wrappers import WRAPPERS

WHOLE: dict[str, Callable[..., Any]] = {**METHODS, **WRAPPERS}
# the parts that may stand as the value of an option, by the Protocol that the option is annotated with
KINDS: dict[Any, tuple[type, ...]] = {
    Space: (space.ByTask, space.Embedding, space.Inputs, space.Remembered, space.Targets),
    Coefficient: (coefficient.Beta, coefficient.SimilarityKernel, coefficient.Sometimes, coefficient.Folded),
}
PARTS: dict[str, Callable[..., Any]] = {part.__name__: part for parts in KINDS.values() for part in parts} | WHOLE


def read_method(text: str, options: Mapping[str, str] | None = None) -> Method | Scheduled:
    """The method that `text` describes: a name, or a name with options in brackets, such as another method.

    options: further options as text, which win over those in brackets.

    Raises:
        UnknownNameError: no such method or option (the nearest known one is named).
        SettingError: text that is not `name` or `name(option=value, ...)`, or a value out of range.

    >>> read_method("sk_mixup(tau_max=0.3, space=Inputs())").coefficient
    SimilarityKernel(tau_max=0.3, tau_std=0.25, alpha=1.0, space=Inputs())
    """
    node = _parse(text)
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    extra = [ast.keyword(name, _parse(value)) for name, value in (options or {}).items()]
    given = [keyword for keyword in call.keywords if keyword.arg not in (options or {})]
    return _call(ast.Call(call.func, call.args, given + extra), WHOLE, "method", text)


def method_name(text: str) -> str:
    """The name in `name` or `name(...)`."""
    return text.split("(", 1)[0].strip()


def _parse(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise SettingError(
            f"cannot read {text!r}; write name or name(option=value, ...), e.g. 'sk_mixup(tau_max=0.3)'."
        ) from None


def _call(node: ast.Call, known: Mapping[str, Callable[..., Any]], kind: str, text: str) -> Any:
    if not isinstance(node.func, ast.Name) or node.args or any(keyword.arg is None for keyword in node.keywords):
        raise SettingError(f"cannot read {text!r}; write name or name(option=value, ...), options by name.")
    name = node.func.id
    if name not in known:
        raise UnknownNameError(kind, name, known)
    parameters = inspect.signature(known[name]).parameters
    arguments = {}
    for keyword in node.keywords:
        option = str(keyword.arg)
        if option in arguments:
            raise SettingError(f"{name}: {option} is given twice in {text!r}; give it once.")
        if option not in parameters:
            raise UnknownNameError(f"option of {name}", option, parameters)
        arguments[option] = _checked(f"{name}: {option}", _value(keyword.value, text), parameters[option])
    for option, parameter in parameters.items():
        if parameter.default is parameter.empty and option not in arguments:
            raise SettingError(f"{name} needs {option}; write {name}({option}=...).")
    return known[name](**arguments)


def _value(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Name):  # a bare word: variant=logit
        return node.id
    if isinstance(node, ast.Call):
        return _call(node, PARTS, "part", text)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise SettingError(f"cannot read a value in {text!r}; give numbers, words, True, False or None.") from None


def _checked(what: str, value: Any, parameter: inspect.Parameter) -> Any:
    """A number where the option is a number, a yes or no where it is one, a part where it is such a part."""
    kinds = get_args(parameter.annotation) if isinstance(parameter.annotation, UnionType) else (parameter.annotation,)
    if value is None and type(None) in kinds:
        return value
    if kinds[0] in KINDS or Method in kinds:
        if isinstance(value, str) and value in PARTS:
            value = _call(ast.Call(ast.Name(value), [], []), PARTS, "part", value)
        if not isinstance(value, KINDS.get(kinds[0], kinds)):
            known = ", ".join(f"{part.__name__}()" for part in KINDS[kinds[0]]) if kinds[0] in KINDS else "the methods"
            raise SettingError(f"{what} must be one of {known}; got {value!r}.")
        return value
    kind = get_origin(kinds[0]) or kinds[0]
    allowed = (int, float) if kind is float else (kind,)
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise SettingError(f"{what} must be a {kind.__name__}; got {value!r}.")
    return value
