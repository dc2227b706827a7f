"""Text of the form `name(option=value, ...)`, taken apart without ever evaluating it."""

import ast
from typing import Any, get_origin

from calmix.errors import SettingError


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


def check_type(what: str, value: Any, kind: Any) -> None:
    """Raise SettingError unless the value is of that type; whole numbers are floats, too, but True is no number."""
    kind = get_origin(kind) or kind
    allowed = (int, float) if kind is float else (kind,)
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise SettingError(f"{what} must be a {kind.__name__}; got {value!r}.")
