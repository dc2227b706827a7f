"""What a paper says of two methods."""

from dataclasses import dataclass

from calmix.errors import SettingError, UnknownNameError
from calmix.results.catalogue import METRICS
from calmix.results.scores import PLAIN


@dataclass(frozen=True)
class Claim:
    """A method is better than another in a metric, under a condition of `Scores`.

    Raises:
        SettingError, UnknownNameError: a metric that is not in the catalogue, or has no better direction.
    """

    method: str
    than: str
    metric: str
    condition: str = PLAIN

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise UnknownNameError("metric", self.metric, METRICS)
        if METRICS[self.metric].better == 0:
            raise SettingError(f"of {self.metric} neither more nor less is better; claim another metric.")
