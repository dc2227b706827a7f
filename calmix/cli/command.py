"""What a command is, and how bad input ends it."""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from calmix.errors import not_installed

if TYPE_CHECKING:
    from calmix.cli.parser import OptionParser


def fail(message: str) -> NoReturn:
    """Say what is wrong with the input, and exit with 2."""
    print(f"calmix: {message}", file=sys.stderr)
    sys.exit(2)


class PlainParser(argparse.ArgumentParser):
    """A parser without options of methods or training, whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        fail(f"{message} (see: calmix --help)")


@dataclass(frozen=True)
class Command:
    """A command.

    summary: for the list. run: carries it out, given its arguments as text. examples: what each does, and the line to
    type. usage: what follows its name. add_options: adds its options to a parser.
    """

    name: str
    summary: str
    run: Callable[[list[str]], None]
    examples: Mapping[str, str]
    usage: str = ""
    add_options: "Callable[[OptionParser], None]" = lambda parser: None

    @property
    def epilog(self) -> str:
        """The examples as they stand at the end of the command's page."""
        return "examples:\n" + "\n".join(f"  # {what}\n  {line}" for what, line in self.examples.items())

    def parser(self) -> "OptionParser":
        """A parser with its options."""
        try:
            from calmix.cli.parser import OptionParser
        except ModuleNotFoundError as error:
            advice = not_installed("the command", error, "train")
            if advice is error:
                raise
            fail(str(advice))

        parser = OptionParser(self.name, self.summary, self.usage, self.epilog, fail)
        self.add_options(parser)
        return parser
