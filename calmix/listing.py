"""What a module holds, read from its source: nothing heavy is imported to list names, or before a name is used."""

import ast
import sys
import textwrap
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent


def loads_when_used(package: str) -> Callable[[str], Any]:
    """The `__getattr__` of a package that imports its names under TYPE_CHECKING alone.

    A name's module is loaded when the name is first used, so that settings and tables do not wait for PyTorch.
    """

    def load(name: str) -> Any:
        block = next(node for node in _parsed(package).body if isinstance(node, ast.If))
        origins = _origins(block.body)
        if any(f"{origin}.".startswith(f"{package}.{name}.") for origin in origins.values()):
            return import_module(f"{package}.{name}")
        if name not in origins:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(origins[name]), name)
        setattr(sys.modules[package], name, value)  # asked once
        return value

    return load


def names_in(module: str, table: str) -> tuple[str, ...]:
    """The keys of a table `TABLE = {"name": ..., ...}`.

    >>> names_in("models.table", "MODELS")[:3]
    ('mlp', 'smooth_mlp', 'dropout_mlp')
    """
    return tuple(str(key.value) for key in _table(module, table).keys if isinstance(key, ast.Constant))


def first_lines(module: str, table: str) -> dict[str, str]:
    """The first docstring line of every function in a table `TABLE = {"name": function, ...}`, by name.

    module: where the table is, below calmix, e.g. `methods.table`; it imports the functions by these names.

    >>> first_lines("methods.table", "METHODS")["erm"]
    'Plain training: nothing is mixed.'
    """
    return {name: _docstring(_function(module, name)).splitlines()[0] for name in names_in(module, table)}


def in_full(module: str, name: str) -> str:
    """A function of such a table, by its name: its options with their defaults, where it has any, and its docstring.

    >>> print(in_full("methods.table", "input_mixup")[:93])
    input_mixup(alpha=1.0, per_row=False)
    <BLANKLINE>
    Input Mixup: mixed inputs, each with the target of the
    """
    node = _function(module, name)
    optional = node.args.args[len(node.args.args) - len(node.args.defaults) :]
    given = zip(optional, node.args.defaults, strict=True)
    options = ", ".join(f"{argument.arg}={ast.unparse(default)}" for argument, default in given)
    header = textwrap.fill(f"{name}({options})", 110, subsequent_indent=" " * (len(name) + 1))
    return f"{header}\n\n{_docstring(node)}" if options else _docstring(node)


def _table(module: str, table: str) -> ast.Dict:
    for node in _parsed(f"calmix.{module}").body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if isinstance(value, ast.Dict) and any(isinstance(t, ast.Name) and t.id == table for t in targets):
            return value
    raise AssertionError(f"calmix.{module} has no table {table}")


def _origins(body: list[ast.stmt]) -> dict[str, str]:
    """The module that each name is imported from."""
    return {alias.name: str(node.module) for node in body if isinstance(node, ast.ImportFrom) for alias in node.names}


def _function(module: str, name: str) -> ast.FunctionDef:
    """A function that the module imports."""
    origin = _origins(_parsed(f"calmix.{module}").body)[name]
    (node,) = (node for node in _parsed(origin).body if isinstance(node, ast.FunctionDef) and node.name == name)
    return node


def _docstring(node: ast.FunctionDef) -> str:
    return ast.get_docstring(node) or ""


@cache
def _parsed(module: str) -> ast.Module:
    path = ROOT.joinpath(*module.split(".")[1:])
    path = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    return ast.parse(path.read_text(encoding="utf-8"))
