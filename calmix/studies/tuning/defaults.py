"""What a search is where nothing else is said. PyTorch is not loaded for it."""

from calmix.errors import SettingError, UnknownNameError

DEFAULT_BUDGET = 60.0  # plain trainings
DEFAULT_FRESH = 5  # seeds of the last trainings
SAMPLERS = ("tpe", "quasi-random")


def read_budget(text: str) -> tuple[float, bool]:
    """A number of plain trainings, or of minutes, and whether it is minutes.

    Raises:
        SettingError: neither.

    >>> read_budget("20"), read_budget("30min")
    ((20.0, False), (30.0, True))
    """
    number = text.removesuffix("min")
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise SettingError(f"the budget is {text!r}; give a number of trainings such as 60, or of minutes: 30min.")
    return value, number != text


def check_search(search: str, fresh: int) -> None:
    """Raise what a search would, for a way to search that is not known, or no fresh seeds.

    >>> check_search("tpe", 5)
    """
    if search not in SAMPLERS:
        raise UnknownNameError("search", search, SAMPLERS)
    if fresh < 1:
        raise SettingError(f"the default and the chosen settings need a fresh seed or more; got {fresh}.")
