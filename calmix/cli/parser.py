"""A command's options: read by jsonargparse, shown in groups, a line each."""

import re
from argparse import SUPPRESS
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import fill, wrap
from types import NoneType
from typing import Any, NoReturn, get_args

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from calmix.reading import reason_of

_KINDS = {"int": "a whole number", "float": "a number"}
_WRONG_KIND = re.compile(  # of jsonargparse
    rf"Parser key \"(\w+)\"(?: element \d+)?:? Expected a <class '({'|'.join(_KINDS)})'>\. Got value: ?(.*)"
)
_SIGNS = {int: "N", float: "NUMBER", Path: "DIR"}  # what stands for a value where nothing else is said


class Help(DefaultHelpFormatter):
    """One line an option: what it does, in plain words, and its default. An example stays as it is written."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)

    def _get_help_string(self, action: Any) -> str:
        """The text, also that of a docstring, which is a sentence."""
        text = (action.help or "").replace("`", "")
        text = text if text.endswith("...") else text.removesuffix(".")
        text = text if text[:2].isupper() else text[:1].lower() + text[1:]
        said = "default" in text or action.nargs == 0 or not action.option_strings
        return text if said or action.default in (None, SUPPRESS) else f"{text} (default: {action.default})"

    def _split_lines(self, text: str, width: int) -> list[str]:
        return wrap(text, width, break_on_hyphens=False)  # of the names of folders

    def _get_default_metavar_for_optional(self, action: Any) -> str:
        return _SIGNS.get(_kind(action), "NAME")

    def _format_args(self, action: Any, default_metavar: str) -> str:
        name = action.metavar or default_metavar
        return {"+": f"{name} ...", "*": f"[{name} ...]"}.get(action.nargs) or super()._format_args(action, name)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Lines as they are, but for those that are too long."""
        return "\n".join(
            fill(line, width, initial_indent=indent, subsequent_indent=indent) for line in text.split("\n")
        )


class OptionParser(ArgumentParser):
    """The options of `calmix NAME`.

    usage: what follows the name. fail: told what is wrong with the options, in one sentence.
    """

    def __init__(self, name: str, summary: str, usage: str, epilog: str, fail: Callable[[str], NoReturn]) -> None:
        super().__init__(
            prog=f"calmix {name}",
            usage=f"calmix {name} {usage}",
            description=summary,
            epilog=epilog,
            formatter_class=Help,
            allow_abbrev=False,
        )
        self._name, self._fail = name, fail
        self._optionals.title = "general"

    def add_argument(self, *names: str, known: Sequence[str] = (), **options: Any) -> Any:  # pyright: ignore
        """Options are spelled with hyphens; yes or no is a flag. known: words that the shell can complete.

        The groups of the parser do the same: jsonargparse sees to it.
        """
        names = tuple(name.replace("_", "-") if name.startswith("--") else name for name in names)
        if options.get("type") is bool:
            options = {"action": "store_true", "help": options.get("help")}
        action = super().add_argument(*names, **options)
        action.known = tuple(known)  # pyright: ignore
        return action

    def parse_args(self, *given: Any, **options: Any) -> Any:  # pyright: ignore
        try:
            return super().parse_args(*given, **options)
        except (RuntimeError, LookupError, AttributeError, ArithmeticError) as error:  # of what it did not foresee
            self.error(f"the options cannot be read ({reason_of(error)})")

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:  # pyright: ignore
        said = _WRONG_KIND.sub(
            lambda found: f"--{found[1].replace('_', '-')} must be {_KINDS[found[2]]}; got {found[3]!r}.",
            " ".join(str(message).split()),
        )
        self._fail(f"{said} (see: calmix {self._name} --help)")

    def format_help(self, *given: Any, **options: Any) -> str:  # pyright: ignore
        """The page, the general options last."""
        general = self._optionals
        self._action_groups = [*(group for group in self._action_groups if group is not general), general]  # pyright: ignore
        return super().format_help(*given, **options)


def _kind(action: Any) -> Any:
    """The type of an option's value; T of `T | None`."""
    kind = getattr(action, "_typehint", None) or action.type
    kinds = [one for one in get_args(kind) if one is not NoneType]
    return kinds[0] if len(kinds) == 1 else kind
