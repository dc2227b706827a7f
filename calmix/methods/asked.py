"""The names of methods in text, answered before PyTorch is loaded."""

import ast
from collections.abc import Collection

from calmix.calls import parse
from calmix.errors import UnknownNameError

EXAMPLE = "sk_mixup(tau_max=0.3)"


def method_name(text: str) -> str:
    """The name in `name` or `name(...)`."""
    return text.split("(", 1)[0].strip()


def check_name(text: str, known: Collection[str]) -> None:
    """Raise UnknownNameError where the method that `text` names is not known, SettingError where it cannot be read."""
    node = parse(text, EXAMPLE)
    function = node.func if isinstance(node, ast.Call) else node
    if isinstance(function, ast.Name) and function.id not in known:
        raise UnknownNameError("method", function.id, known)
