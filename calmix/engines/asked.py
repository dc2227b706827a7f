"""What was asked for of workers, answered before PyTorch is loaded."""

from importlib.util import find_spec

from calmix.core import require
from calmix.errors import SettingError, needs

LOCAL = "local"


def check_workers(workers: int | None) -> None:
    """Raise SettingError for less than one."""
    if workers is not None and workers < 1:
        raise SettingError(f"workers must be at least 1; got {workers}.")


def check_run_timeout(minutes: float | None) -> None:
    """Raise SettingError for minutes that are not positive."""
    if minutes is not None:
        require.positive("run_timeout", minutes)


def check_scheduler(scheduler: str, workers: int | None) -> None:
    """Raise SettingError for what is no scheduler, for workers that it has already, and where Dask is not installed."""
    if scheduler != LOCAL and "://" not in scheduler:
        raise SettingError(f"the scheduler is {scheduler!r}; give its address, such as tcp://head:8786, or {LOCAL}.")
    if scheduler != LOCAL and workers is not None:
        raise SettingError(f"the cluster at {scheduler} has its own workers; leave workers out.")
    if find_spec("distributed") is None:
        raise SettingError(needs("a scheduler", "Dask", "cluster"))
