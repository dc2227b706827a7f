"""One published method a file. METHODS is the only table of names."""

from collections.abc import Callable

from calmix.core.method import Method
from calmix.methods.erm import erm
from calmix.methods.mixup import mixup
from calmix.methods.mixup_e import mixup_e
from calmix.methods.regmixup import regmixup
from calmix.methods.sk_mixup import sk_mixup
from calmix.methods.sk_mixup_e import sk_mixup_e

METHODS: dict[str, Callable[..., Method]] = {
    "erm": erm,
    "mixup": mixup,
    "sk_mixup": sk_mixup,
    "mixup_e": mixup_e,
    "sk_mixup_e": sk_mixup_e,
    "regmixup": regmixup,
}

__all__ = ["METHODS", "erm", "mixup", "mixup_e", "regmixup", "sk_mixup", "sk_mixup_e"]
