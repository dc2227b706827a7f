"""What lets a shell complete a program with commands: written by shtab from the parsers of the commands."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from calmix.errors import SettingError

SHELLS = ("bash", "zsh", "fish")


def completion(shell: str, program: argparse.ArgumentParser, parsers: Mapping[str, argparse.ArgumentParser]) -> str:
    """The script for one of SHELLS. parsers: of the program's commands, by name.

    What an option is completed by: the words in its `known` or `choices`; or files or folders, by its metavar, FILE or
    DIR. DATA is one of the words, or a file.

    Raises:
        SettingError: shtab is missing.
    """
    try:
        import shtab
    except ModuleNotFoundError:
        raise SettingError("--print-completion needs shtab; install it with: pip install shtab") from None
    top = argparse.ArgumentParser(program.prog, add_help=False)
    _copy([action for action in program._actions if action.option_strings], top)
    commands = top.add_subparsers()
    for name, parser in parsers.items():
        _copy(parser._actions, commands.add_parser(name, help=parser.description, add_help=False))
    return shtab.complete(top, shell)


def _copy(actions: Sequence[argparse.Action], to: argparse.ArgumentParser) -> None:
    """Options as shtab sees them: without types and defaults, and without those that are not on the page."""
    for action in actions:
        text = str(action.help).replace("%", "%%")
        names = action.option_strings or [action.dest]
        if action.help == argparse.SUPPRESS:
            continue
        if action.nargs == 0:
            to.add_argument(*names, action="store_true", help=text)
            continue
        copied: Any = to.add_argument(*names, nargs=action.nargs, metavar=action.metavar, help=text)
        words = tuple(getattr(action, "known", ()) or action.choices or ())
        if action.metavar == "DATA":
            copied.complete = _word_or_file(words)
        elif words:
            copied.choices = words
        elif action.metavar in ("FILE", "DIR"):
            copied.complete = {"FILE": "file", "DIR": "directory"}[str(action.metavar)]


def _word_or_file(words: Sequence[str]) -> dict[str, Any]:
    """One of the words, or a file, in the language of each shell."""
    known = " ".join(words)
    bash = f'compgen -W "{known}" -- "$1"; compgen -f -- "$1"'
    zsh = f"_alternative 'words:data set:({known})' 'files:file:_files'"
    return {
        "bash": "_calmix_word_or_file",
        "zsh": "_calmix_word_or_file",
        "fish": f"{known} (__fish_complete_path (commandline -ct))",
        "preamble": {shell: f"_calmix_word_or_file() {{ {body}; }}" for shell, body in (("bash", bash), ("zsh", zsh))},
    }
