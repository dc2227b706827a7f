"""What is checked before PyTorch is loaded: the words of a command, and the files that they name, which are read."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from calmix.cli.groups import known_methods
from calmix.cli.objects import format_of
from calmix.errors import DataError, SettingError, UnknownNameError
from calmix.listing import names_in


def asked_methods(texts: Sequence[str], settings: Sequence[str]) -> dict[str, dict[str, str]]:
    """The options in --set by method, every method by the text that names it."""
    from calmix.methods.asked import check_name, method_name

    known = known_methods()
    texts = [name for text in texts for name in (known if text == "ALL" else [text.strip()])]
    options: dict[str, dict[str, str]] = {}
    for setting in settings:
        place, equals, value = setting.partition("=")
        name, dot, option = place.partition(".")
        if not (equals and dot and name and option and value):
            raise SettingError(f"cannot read --set {setting!r}; write METHOD.OPTION=VALUE, e.g. sk_mixup.tau_max=0.3.")
        if name not in map(method_name, texts):
            raise UnknownNameError("method in --set", name, map(method_name, texts))
        options.setdefault(name, {})[option] = value
    for text in texts:
        check_name(text, [*known, *names_in("methods.wrappers", "WRAPPERS")])
        if texts.count(text) > 1:
            raise SettingError(f"the method {text!r} is named twice; name each once, or with different options.")
    return {text: options.get(method_name(text), {}) for text in texts}


def check_engine(options: Any) -> None:
    """Raise SettingError where what is said of workers contradicts itself."""
    from calmix.engines.asked import check_run_timeout, check_scheduler, check_workers

    check_workers(options.workers)
    check_run_timeout(options.run_timeout)
    if options.scheduler is not None:
        if options.get("plan"):
            raise SettingError("--plan lists runs for calmix work, which needs no --scheduler; leave one of them out.")
        check_scheduler(options.scheduler, options.workers)
        return
    for option, given in (("--allow-mixed", options.allow_mixed), ("--ship-data", options.ship_data)):
        if given:
            raise SettingError(f"{option} is for the workers of a cluster; give --scheduler, too, or leave it out.")


def check_output(options: Any) -> None:
    if options.quiet and options.verbose:
        raise SettingError("--quiet and --verbose exclude each other; give one of them.")


def refuse_torchrun(command: str) -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and "TORCHELASTIC_RUN_ID" in os.environ:
        raise SettingError(
            f"torchrun is for calmix train; calmix {command} starts the processes of --devices itself: leave torchrun "
            "out."
        )


def rank_of_torchrun(devices: int) -> int:
    """Which of torchrun's processes this is, 0 where it started none; SettingError where it started another number."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return 0
    started = int(os.environ["WORLD_SIZE"])
    if started != devices:
        raise SettingError(
            f"torchrun started {started} processes: give --devices {started}, or let torchrun start {devices}."
        )
    return int(os.environ["RANK"])


def minutes_of(options: Any) -> float:
    from calmix.core import require

    require.positive("checkpoint_minutes", options.checkpoint_minutes)
    return options.checkpoint_minutes


def check_loggers(options: Any) -> None:
    from calmix.train.loggers import check_loggers

    check_loggers(options.logger)


def check_data(options: Any) -> None:
    """Raise what reading the data would: for a name or a file that is not there, for options, or for columns."""
    from calmix.data.asked import OPTIONS, SERIES_COLUMNS, check_options, check_task, kind_of, path_of

    path = path_of(options.data, names_in("data.registry", "DATASETS"))
    check_task(options.task)
    in_series = any(options[name] for name in SERIES_COLUMNS)
    kind = "named" if path is None else kind_of(path, in_series)
    check_options(kind, options.data, [name for name in OPTIONS if options.get(name)])
    if path is None:
        return
    if kind == "table":
        _check_table(path, options)
    elif kind == "long":
        from calmix.data.asked import check_long
        from calmix.data.series_tables import columns_of  # pandas takes its time

        named = check_long(options.data, *(options[name] for name in ("target", *SERIES_COLUMNS)))
        columns_of(path, format_of(options), *named, options.drop)
    elif kind in ("images", "hub"):
        _decode(path, options)
    else:
        check_files([path, options.labels])


def _check_table(path: Path, options: Any) -> None:
    from calmix.data.asked import check_columns, check_ready, target_of
    from calmix.data.table.files import read_table  # pandas takes its time
    from calmix.data.table.roles import Roles, check_roles

    ready = {part: file for part in ("validation", "test") if (file := options[part]) is not None}
    check_ready(path, ready)
    table, *tables = (read_table(file, format_of(options)) for file in (path, *ready.values()))  # kept
    columns, name = list(table.frame), path.name.removesuffix(".gz").removesuffix(path.suffix)
    target = target_of(columns, options.target, options.drop, name, table.sheets)
    roles = Roles(options.group, options.time, options.weight)
    check_roles(roles, columns, target, options.keep, options.drop)
    for file, other in zip(ready.values(), tables, strict=True):
        check_columns(file.name, list(other.frame), [target, *roles.splitting])


def _decode(path: Path, options: Any) -> None:
    """Fill the cache of decoded images, where it is empty, and say how far it is."""
    from calmix.data.image_files.cache import cached
    from calmix.data.image_files.find import find

    found = find(path, options.target)
    live = sys.stderr.isatty()
    said = time.monotonic()

    def tell(done: int, of: int) -> None:
        nonlocal said
        if time.monotonic() - said >= (0.5 if live else 30) or (live and done == of):
            said = time.monotonic()
            end = "\r" if live and done < of else "\n"
            print(f"decoding images, once: {done:,} of {of:,}", end=end, file=sys.stderr, flush=True)

    cached(found, options.image_size, (lambda done, of: None) if options.quiet else tell)


def check_files(paths: Sequence[Path | None]) -> None:
    for path in paths:
        if path is not None and not path.exists():
            raise DataError(f"file not found: {path}; give the path of an .npz, .csv or .parquet file.")
