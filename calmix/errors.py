"""Every error that calmix raises for what a user gave it.

    ValueError
    └── CalmixError          anything below; the command prints it as one sentence and exits with 2
        ├── SettingError     a number or option outside its range
        ├── UnknownNameError a method, data set, model, option or column that does not exist
        ├── ShapeError       tensors whose shape or dtype does not fit the task
        ├── SiteError        a module of the network that cannot be found or is not unique
        └── DataError        a file, table or folder that cannot be used

Each message says what was given, what was expected and what to do.
"""

import difflib
from collections.abc import Iterable


class CalmixError(ValueError):
    """The root of the tree above."""


class SettingError(CalmixError):
    """A number or option outside its range."""


class UnknownNameError(CalmixError):
    """A name that is not in the list of known names. more: a sentence to end with."""

    def __init__(self, kind: str, name: str, known: Iterable[str], more: str = "") -> None:
        known = list(known)
        self._given = (kind, name, known, more)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}."
        super().__init__(f"unknown {kind} {name!r}; {hint}{more and ' '}{more}")

    def __reduce__(self) -> tuple[type, tuple[str, str, list[str], str]]:
        return type(self), self._given  # an error of a worker process travels as what it was made from


class ShapeError(CalmixError):
    """Tensors whose shape or dtype does not fit."""


class SiteError(CalmixError):
    """A module of the network that cannot be found, or is not unique."""


class DataError(CalmixError):
    """A file, table or folder that cannot be used."""


def needs(needed_by: str, package: str, extra: str) -> str:
    """What needs a package that is not installed, and which extra of calmix brings it.

    >>> needs("k_mixup", "scipy", "train")
    "k_mixup needs scipy; install it with: pip install 'calmix[train]'"
    """
    return f"{needed_by} needs {package}; install it with: pip install 'calmix[{extra}]'"


def not_installed(needed_by: str, error: ModuleNotFoundError, extra: str) -> ImportError:
    """What to raise where an import found no module: the package of it, and the extra of calmix that brings it.

    It is an ImportError and no CalmixError, as after `import` everybody expects one. No extra brings a module of
    calmix's own, or one without a name: of these it is the error itself.

    >>> error = ModuleNotFoundError("No module named 'lightning'", name="lightning.pytorch")
    >>> not_installed("calmix.compare", error, "train")
    ImportError("calmix.compare needs lightning; install it with: pip install 'calmix[train]'")
    """
    package = (error.name or "calmix").partition(".")[0]
    return error if package == "calmix" else ImportError(needs(needed_by, package, extra), name=package)
