"""Text of the form `name(option=value, ...)`, taken apart without ever evaluating it."""

import ast
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_origin

from calmix.errors import SettingError, UnknownNameError

T = TypeVar("T")


def parse(text: str, example: str) -> ast.expr:
    """The expression that the text is. Raises SettingError, which shows the example."""
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise SettingError(f"cannot read {text!r}; write name or name(option=value, ...), e.g. {example!r}.") from None


def options_of(node: ast.Call, text: str) -> dict[str, ast.expr]:
    """The options of a call, by name. Raises SettingError for options without a name, or given twice."""
    if not isinstance(node.func, ast.Name) or node.args or any(keyword.arg is None for keyword in node.keywords):
        raise SettingError(f"cannot read {text!r}; write name or name(option=value, ...), options by name.")
    options: dict[str, ast.expr] = {}
    for keyword in node.keywords:
        option = str(keyword.arg)
        if option in options:
            raise SettingError(f"{node.func.id}: {option} is given twice in {text!r}; give it once.")
        options[option] = keyword.value
    return options


def literal(node: ast.expr, text: str) -> Any:
    """A number, text, True, False, None, or a tuple, list or dict of them; a bare word is text."""
    if isinstance(node, ast.Name):
        return node.id
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise SettingError(f"cannot read a value in {text!r}; give numbers, words, True, False or None.") from None


def read_part(text: str, kinds: Mapping[str, type[T] | None], what: str, example: str) -> T | None:
    """The dataclass of that name with the options that the text gives; None where the name stands for None.

    Raises:
        SettingError, UnknownNameError: text that cannot be read, a name or an option that is not known.
    """
    name, call = text.partition("(")[0].strip(), text if "(" in text else f"{text}()"
    if name not in kinds:
        raise UnknownNameError(what, name, kinds)
    node, kind = parse(call, example), kinds[name]
    if not isinstance(node, ast.Call):
        raise SettingError(f"cannot read {text!r}; write a name or name(option=value), e.g. {example!r}.")
    options = {option: literal(value, text) for option, value in options_of(node, text).items()}
    known = {field.name: field.type for field in fields(kind)} if kind else {}  # pyright: ignore[reportArgumentType]
    for option, value in options.items():
        if option not in known:
            raise UnknownNameError(f"option of {name}", option, known)
        if isinstance(value, list) and get_origin(known[option]) is tuple:  # as it is easier to write
            options[option] = value = tuple(value)
        check_type(f"{name}: {option}", value, known[option])
    return kind(**options) if kind else None


def check_type(what: str, value: Any, kind: Any) -> None:
    """Raise SettingError unless the value is of that type; whole numbers are floats, too, but True is no number."""
    kind = get_origin(kind) or kind
    allowed = (int, float) if kind is float else (kind,)
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise SettingError(f"{what} must be a {kind.__name__}; got {value!r}.")
