"""What several commands say on the screen."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from calmix.errors import SettingError
from calmix.listing import names_in

if TYPE_CHECKING:
    from calmix.data import About, DataSource
    from calmix.engines import Tick
    from calmix.results.records import Failure

TRY_AGAIN = "--resume tries those that failed again"


def print_notices(source: "DataSource", options: Any, seed: int = 0) -> None:
    """How the data are read, and what else to know before training."""
    about = source.splits(seed).about
    print_reading(about, options.quiet)
    if (
        about.kind == "image"
        and options.augment == "auto"
        and options.data not in names_in("data.registry", "DATASETS")
    ):
        print(
            "images are augmented only where you ask for it: --augment crop_flip shifts and mirrors them, which helps "
            "with photographs, and hurts where left and right differ, as in text and digits.",
            file=sys.stderr,
        )


def print_reading(about: "About", quiet: bool) -> None:
    """What the columns of a table become, unless it is to be quiet, and notices."""
    if about.columns and not quiet:
        from calmix.report.columns import print_columns

        print_columns(about.columns, to_stderr=True)
    for notice in about.notices:
        print(notice, file=sys.stderr)


def describe(source: "DataSource", seed: int = 0) -> None:
    from calmix.report.columns import print_columns

    about = source.splits(seed).about
    if not about.columns:
        raise SettingError(f"--describe is for tables, and {about.name} has no columns: leave it out.")
    print_columns(about.columns)
    for notice in about.notices:
        print(notice)


def progress(
    runs: int, epochs: int, options: Any, others: Mapping[str, int] | None = None
) -> "AbstractContextManager[Tick]":
    from calmix.report.progress import showing_progress

    return showing_progress(runs, epochs, options.quiet, options.verbose, others)


def exit_where_missing(failures: "Sequence[Failure]", remedy: str) -> None:
    """Exit with 1 where runs failed, or are somebody else's."""
    if failures:
        count = len(failures)
        print(f"calmix: {count} {'run is' if count == 1 else 'runs are'} missing; {remedy}.", file=sys.stderr)
        sys.exit(1)
