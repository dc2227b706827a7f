"""METHODS: the only table of names, in the order in which they are listed."""

from collections.abc import Callable

from calmix.core.method import Method
from calmix.methods.auto import auto
from calmix.methods.c_mixup import c_mixup
from calmix.methods.cutmix import cutmix
from calmix.methods.erm import erm
from calmix.methods.k_mixup import k_mixup
from calmix.methods.manifold_mixup import manifold_mixup
from calmix.methods.mit import mit_a, mit_l
from calmix.methods.mixup import mixup
from calmix.methods.mixup_e import mixup_e
from calmix.methods.mixup_idle import mixup_idle
from calmix.methods.one_sided import input_mixup, target_mixup
from calmix.methods.quantile import far_mixup, near_mixup
from calmix.methods.rankmixup import rankmixup
from calmix.methods.regmixup import regmixup
from calmix.methods.sk_mixup import sk_mixup
from calmix.methods.sk_mixup_e import sk_mixup_e

METHODS: dict[str, Callable[..., Method]] = {
    "erm": erm,
    "auto": auto,
    "mixup": mixup,
    "mixup_idle": mixup_idle,
    "sk_mixup": sk_mixup,
    "mixup_e": mixup_e,
    "sk_mixup_e": sk_mixup_e,
    "input_mixup": input_mixup,
    "target_mixup": target_mixup,
    "manifold_mixup": manifold_mixup,
    "cutmix": cutmix,
    "regmixup": regmixup,
    "mit_l": mit_l,
    "mit_a": mit_a,
    "rankmixup": rankmixup,
    "near_mixup": near_mixup,
    "far_mixup": far_mixup,
    "c_mixup": c_mixup,
    "k_mixup": k_mixup,
}
