"""Factories in files and modules that a user named: found by their place, in every process the same.

The code there is run, as its user asked for it; options are only read.
"""

import ast
import difflib
import hashlib
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

import calmix.errors
from calmix.errors import CalmixError, SettingError, UnknownNameError
from calmix.models.factory import Shape, build

_INSTALLED = tuple(str(Path(each).parent) for each in (torch.__file__, calmix.errors.__file__, traceback.__file__))


@dataclass(frozen=True)
class NamedFactory:
    """A factory by its place. It travels to other processes as this, and is loaded there from the same place.

    place: the path of a file `.py`, or the name of a module. folder: where its own imports are looked for first: the
    file's folder, or for a module the folder in which the command was given. digest: of the file's text and of those
    that it imports from the folder; a file that has changed since is refused.
    """

    place: Path | str
    function: str
    folder: Path
    options: tuple[tuple[str, Any], ...] = ()
    digest: str = ""

    @property
    def label(self) -> str:
        """As it is written on the command line, but for the folder of a file."""
        place = self.place.name if isinstance(self.place, Path) else self.place
        options = ", ".join(f"{name}={value!r}" for name, value in self.options)
        return f"{place}:{self.function}" + (f"({options})" if options else "")

    @classmethod
    def at(cls, place: Path | str, function: str, folder: Path) -> "NamedFactory":
        """The factory there, with the digest of its files as they are now."""
        found = cls(place, function, folder)
        return replace(found, digest=found._digest_now())

    def __call__(self, shape: Shape, outputs: int) -> nn.Module:
        function = self.load()
        with importing(self.folder), advice(f"the model factory {self.label} fails"):
            return build(partial(function, **dict(self.options)) if self.options else function, shape, outputs)

    def load(self) -> Any:
        """The function itself.

        Raises:
            SettingError: the file or module is missing, cannot be run or has changed; or what it names is no function.
            UnknownNameError: it has no such function.
        """
        thing: Any = self._module()
        for part in self.function.split("."):
            if not hasattr(thing, part):
                raise UnknownNameError(f"function in {shown(self.place)}", self.function, _functions(thing))
            thing = getattr(thing, part)
        if not callable(thing) or isinstance(thing, nn.Module):
            raise SettingError(
                f"{self.label} is of the type {type(thing).__name__}; name a function that returns a new nn.Module."
            )
        return thing

    def _module(self) -> ModuleType:
        name = self.place
        if isinstance(name, Path):  # where pickle and inspect find what it defines; told apart by place and text
            name = f"calmix_user_{hashlib.sha256(str(name).encode()).hexdigest()[:8]}_{self.digest}"
        if name in sys.modules:
            return sys.modules[name]
        if self._digest_now() != self.digest:
            raise SettingError(f"{shown(self.place)}, or a file that it imports, has changed since the command began.")
        with importing(self.folder), advice(f"{shown(self.place)} cannot be loaded"):
            return import_module(name) if isinstance(self.place, str) else _run(self.place, name)

    def _digest_now(self) -> str:
        """Of the text of its files, which must be there."""
        digest = hashlib.sha256()
        for file in own_files(self._file(), self.folder):
            digest.update(f"{file.name} ".encode())
            digest.update(file.read_bytes())
        return digest.hexdigest()[:16]

    def _file(self) -> Path:
        if isinstance(self.place, Path):
            if not self.place.is_file():
                raise SettingError(_no_file(self.place))
            return self.place
        spec = None
        with importing(self.folder), advice(f"{self.place} cannot be loaded"):
            try:
                spec = find_spec(self.place)
            except ModuleNotFoundError as error:
                if not f"{self.place}.".startswith(f"{error.name}."):  # it is there, and what it imports is not
                    raise
        if spec is None:
            raise SettingError(
                f"there is no module {self.place!r} for the model {self.label}; install it, or give the path of a "
                "file, such as path/to/nets.py:wide."
            )
        return Path(spec.origin or "")


def _run(path: Path, name: str) -> ModuleType:
    """The file as a module of that name."""
    spec = spec_from_file_location(name, path)
    assert spec is not None
    module = sys.modules[name] = module_from_spec(spec)
    try:
        # not by the module's loader, which would take its older byte code where file times are coarse
        exec(compile(path.read_bytes(), path, "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def importing(folder: Path) -> Iterator[None]:
    """In the block, imports look into this folder first, as those of a script look into its own."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with suppress(ValueError):  # the user's code may have taken it out
            sys.path.remove(str(folder))


@contextmanager
def advice(what: str) -> Iterator[None]:
    """Raise SettingError, with what the user's code says and its line, for whatever it raises in the block."""
    try:
        yield
    except (CalmixError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if "allocate memory" in str(error):  # as torch says it of the CPU's
            raise
        raise SettingError(f"{what}: {said(error)}") from error


def said(error: BaseException) -> str:
    """An error in one sentence, with the line of the user's own code in which it came about.

    >>> said(KeyError("depth"))
    "KeyError: 'depth'."
    """
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({shown(Path(error.filename or ''))}, line {error.lineno})."
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if not (_is_installed(Path(frame.filename)) or frame.filename.startswith("<")):
            place = f" ({shown(Path(frame.filename))}, line {frame.lineno})"
    message = " ".join(str(error).split())
    return f"{type(error).__name__}{': ' if message else ''}{message.removesuffix('.')}{place}."


def _is_installed(file: Path) -> bool:
    return str(file).startswith(_INSTALLED) or "site-packages" in file.parts


def own_files(path: Path, folder: Path) -> list[Path]:
    """The file, and those in the folder that it imports, itself or by way of others; found by reading alone."""
    found, left = dict[Path, None](), [path]
    while left:
        file = left.pop()
        if file in found:
            continue
        found[file] = None
        tree = ast.Module([], [])
        if file.suffix == ".py" and file.is_relative_to(folder) and "site-packages" not in file.parts:
            with suppress(SyntaxError, ValueError):
                tree = ast.parse(file.read_bytes())
        for node in ast.walk(tree):
            names, home = [], folder
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = f"{node.module}." if node.module else ""
                names = [base + alias.name for alias in node.names]
                home = file.parents[node.level - 1] if node.level else folder
            for name in names:
                parts = name.split(".")
                for end in range(1, len(parts) + 1):
                    inner = home.joinpath(*parts[:end])
                    left += [each for each in (inner.with_suffix(".py"), inner / "__init__.py") if each.is_file()]
    return sorted(found)


def _no_file(path: Path) -> str:
    if path.with_name(f"{path.name}.py").is_file():
        return f"there is no file {shown(path)}; write {shown(path)}.py."
    if not path.parent.is_dir():
        return f"there is no file {shown(path)}: there is no folder {path.parent}."
    others = [other.name for other in sorted(path.parent.glob("*.py"))]
    near = difflib.get_close_matches(path.name, others, n=1)
    listed = f"did you mean {near[0]}?" if near else f"the Python files there are: {', '.join(others[:9]) or 'none'}."
    return f"there is no file {shown(path)} in the folder {path.parent}; {listed}"


def shown(place: Path | str) -> str:
    """A path from the working directory on, where it is in it."""
    if isinstance(place, Path):
        with suppress(ValueError):
            return str(place.relative_to(Path.cwd()))
    return str(place)


def _functions(thing: Any) -> list[str]:
    """The public functions and classes of a module, its own first; those that it imports where it has no own."""
    names = {name: each for name, each in vars(thing).items() if callable(each) and not name.startswith("_")}
    own = [name for name, each in names.items() if getattr(each, "__module__", None) == thing.__name__]
    return own or list(names)
