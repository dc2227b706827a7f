"""The command calmix: a command a file; what several have in common stands in the other files."""

from calmix.cli.program import COMMANDS as COMMANDS
from calmix.cli.program import main as main
