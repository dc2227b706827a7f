"""What each method is, in a sentence: read from its docstring, the only place where that is written."""

import ast
import inspect
import re

from calmix.methods.read import WHOLE, method_name
from calmix.methods.table import METHODS


def described(label: str, made_by: str) -> str:
    """The first line of a method's docstring, the options that are not its defaults, and its source.

    label: as in tables; made_by: the expression of its composition, from a run's record. Empty for methods that
    calmix does not know.

    >>> from calmix import mixup
    >>> described("mixup", repr(mixup(alpha=0.4)))[86:117]
    'alpha=0.4. Zhang et al., mixup:'
    """
    name = method_name(label)
    if name not in WHOLE:
        return ""
    text = " ".join((inspect.getdoc(WHOLE[name]) or "").split())
    first = (inspect.getdoc(WHOLE[name]) or "").split("\n")[0]
    options = ", ".join(_options(name, label, made_by))
    source = re.search(r"Source: (.*?)(?:,? and its authors' code|\. (?:[A-Z])|\.$)", text)
    paper = source[1].rstrip(".") if source else ""
    return " ".join(
        filter(None, (first, options and f"Options: {options}.", paper and f"{paper[0].upper()}{paper[1:]}."))
    )


def _options(name: str, label: str, made_by: str) -> list[str]:
    """As the label says them; where it says none, what tells the composition from the method's own."""
    _, bracket, inside = label.partition("(")
    if bracket:
        return [inside.removesuffix(")")] if inside != ")" else []
    if name not in METHODS:
        return []
    try:
        made, own = (ast.parse(text, mode="eval").body for text in (made_by, repr(METHODS[name]())))
        return list(dict.fromkeys(_changed(made, own)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # of a damaged record
        return []


def _changed(made: ast.expr, own: ast.expr) -> list[str]:
    """Keywords of calls, outermost first, whose values differ. What only one of the two has is of another version."""
    if not (isinstance(made, ast.Call) and isinstance(own, ast.Call) and ast.dump(made.func) == ast.dump(own.func)):
        return []
    known = {keyword.arg: keyword.value for keyword in own.keywords}
    found: list[str] = []
    for keyword in made.keywords:
        default = known.get(keyword.arg)
        if default is None or ast.dump(default) == ast.dump(keyword.value):
            continue
        inner = _changed(keyword.value, default)
        found += inner or [f"{keyword.arg}={ast.unparse(keyword.value)}"]
    return found
