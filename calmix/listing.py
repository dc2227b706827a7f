"""What the entries of a table are, in one line each: read from the source, so that nothing heavy is imported for it."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent


def first_lines(module: str, table: str) -> dict[str, str]:
    """The first docstring line of every function in a table `TABLE = {"name": function, ...}`, by name.

    module: where the table is, below calmix, e.g. `methods.table`; it imports the functions by name.

    >>> first_lines("methods.table", "METHODS")["erm"]
    'Plain training: nothing is mixed.'
    """
    tree = _parsed(f"calmix.{module}")
    origins = {
        alias.name: str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if isinstance(value, ast.Dict) and any(isinstance(t, ast.Name) and t.id == table for t in targets):
            named = zip(value.keys, value.values, strict=True)
            names = {k.value: v.id for k, v in named if isinstance(k, ast.Constant) and isinstance(v, ast.Name)}
            return {str(name): _first_line(origins[function], function) for name, function in names.items()}
    raise AssertionError(f"calmix.{module} has no table {table}")


def _first_line(module: str, function: str) -> str:
    (node,) = (node for node in _parsed(module).body if isinstance(node, ast.FunctionDef) and node.name == function)
    return (ast.get_docstring(node) or "").splitlines()[0]


def _parsed(module: str) -> ast.Module:
    path = ROOT.joinpath(*module.split(".")[1:])
    path = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    return ast.parse(path.read_text(encoding="utf-8"))
