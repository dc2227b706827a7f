"""What is searched: methods with the ranges of their options, as values."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from calmix.calls import options_of, parse
from calmix.core.method import Method, Scheduled
from calmix.errors import SettingError
from calmix.methods.asked import EXAMPLE, check_name, method_name
from calmix.methods.read import WHOLE, read_method
from calmix.methods.spaces import SPACES, Options, SearchSpace, space_of
from calmix.methods.table import METHODS
from calmix.methods.wrappers import scheduled

Maker = Callable[..., Method | Scheduled]
PLAIN = "erm"


@dataclass(frozen=True)
class Family:
    """A method whose options are searched.

    name: what it is called, `sk_mixup`, or with options that stay as they are, `sk_mixup(tau_std=0.5)`. make: gives a
    method for options by name. space: the ranges of options. The option `until` is the share of the epochs in which
    the method is used; plain training follows.

    >>> Family("mixup", METHODS["mixup"], space_of("mixup", False)).text({"alpha": 0.3, "until": 0.5})
    'scheduled(method=mixup(alpha=0.3), until=0.5)'
    """

    name: str
    make: Maker
    space: SearchSpace

    def method(self, options: Options) -> Method | Scheduled:
        """The method with these options."""
        made, until = self.make(**_own(options)), _until(options)
        return scheduled(made, until) if until < 1 else made

    def text(self, options: Options) -> str:
        """The same as text, for `calmix train --method`."""
        written = [f"{name}={value!r}" for name, value in _own(options).items()]
        if self.name.endswith(")"):
            inside = self.name[:-1].partition("(")[2].strip()
            written = [inside, *written] if inside else written
        name = method_name(self.name)
        text = f"{name}({', '.join(written)})" if written else name
        until = _until(options)
        return f"scheduled(method={text}, until={until:g})" if until < 1 else text


def _own(options: Options) -> Options:
    return {name: value for name, value in options.items() if name != "until"}


def _until(options: Options) -> float:
    """For which share of the epochs the method is used."""
    return float(options.get("until", 1.0))


def family_of(text: str, regression: bool) -> Family:
    """The family that a method's text names; options in brackets stay as they are.

    Raises:
        UnknownNameError, SettingError: no such method, or one without anything to tune.

    >>> list(family_of("sk_mixup(tau_std=0.5)", regression=False).space)
    ['tau_max', 'until']
    """
    check_name(text, WHOLE)
    name = method_name(text)
    if name not in SPACES:
        raise SettingError(f"{name} has nothing to tune: no ranges are known of its options; name {_known()}.")
    node = parse(text, EXAMPLE)
    given = options_of(node, text) if hasattr(node, "args") else {}  # pyright: ignore[reportArgumentType]
    read_method(text)  # which may be refused
    space = {option: range_ for option, range_ in space_of(name, regression).items() if option not in given}
    if given and not space:
        raise SettingError(f"{text!r} leaves nothing to tune; leave out an option.")

    def make(**options: object) -> Method | Scheduled:
        return read_method(text, {option: repr(value) for option, value in options.items()})

    return Family(text, make, space)


def families_of(methods: Iterable[Maker | Family], regression: bool) -> tuple[Family, ...]:
    """Families as they are; of calmix's own methods, such as `calmix.sk_mixup`, those with the ranges of SPACES.

    Raises:
        SettingError: no method, one that is named twice, or one without ranges.
    """
    found = []
    for given in methods:
        if isinstance(given, Family):
            found.append(given)
            continue
        name = next((name for name, maker in METHODS.items() if maker is given), None)
        if name is None:
            raise SettingError(
                f"methods must be functions of calmix such as calmix.sk_mixup, or a Family(name, make, space); got "
                f"{given!r}."
            )
        found.append(family_of(name, regression))
    names = [family.name for family in found]
    if not names:
        raise SettingError("there are no methods to tune; name one or more, such as erm and mixup.")
    if len(set(names)) < len(names):
        raise SettingError(f"a method is named twice: {', '.join(names)}; name each once.")
    return tuple(found)


def _known() -> str:
    names = list(SPACES)
    return f"{', '.join(names[:-1])} or {names[-1]}"
