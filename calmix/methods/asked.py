"""The names of methods in text, answered before PyTorch is loaded."""

import ast
from collections.abc import Collection

from calmix.errors import SettingError, UnknownNameError


def method_name(text: str) -> str:
    """The name in `name` or `name(...)`."""
    return text.split("(", 1)[0].strip()


def check_name(text: str, known: Collection[str]) -> None:
    """Raise UnknownNameError where the method that `text` names is not known, SettingError where it cannot be read."""
    node = parsed(text)
    function = node.func if isinstance(node, ast.Call) else node
    if isinstance(function, ast.Name) and function.id not in known:
        raise UnknownNameError("method", function.id, known)


def parsed(text: str) -> ast.expr:
    """A method or the value of an option as Python reads it. Raises SettingError."""
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise SettingError(
            f"cannot read {text!r}; write name or name(option=value, ...), e.g. 'sk_mixup(tau_max=0.3)'."
        ) from None
