"""What to start with, by task, as texts that name methods. PyTorch is not loaded for it.

So recommended by what was measured, `docs/results/`: for classes mixing that sets its own strength; for values plain
training, and the kernel where it hardly mixes (tau of Airfoil, as published), as stronger mixing loses on most tables.
"""

_KERNEL = "tau_max=0.0001, tau_std=0.5"
COMPARED = ("erm", "mixup", "sk_mixup", "mixup_e", "sk_mixup_e", "auto")
COMPARED_VALUES = ("erm", "mixup", f"sk_mixup({_KERNEL})", "mixup_e", f"sk_mixup_e({_KERNEL})")
TRAINED, TRAINED_VALUES = "auto", "erm"
TUNED, TUNED_VALUES = ("sk_mixup", "erm", "mixup"), ("erm", "sk_mixup", "mixup")
WITHOUT_VALIDATION = "sk_mixup"  # in place of auto, which learns from validation rows


def compared(regression: bool, validated: bool = True) -> tuple[str, ...]:
    """What a comparison is of. validated: whether there are validation rows.

    >>> compared(regression=True)[2], compared(regression=False, validated=False)[-1]
    ('sk_mixup(tau_max=0.0001, tau_std=0.5)', 'sk_mixup_e')
    """
    return COMPARED_VALUES if regression else tuple(text for text in COMPARED if validated or text != "auto")


def trained(regression: bool, validated: bool = True) -> str:
    """What one network is trained with.

    >>> trained(regression=True), trained(regression=False), trained(regression=False, validated=False)
    ('erm', 'auto', 'sk_mixup')
    """
    return TRAINED_VALUES if regression else TRAINED if validated else WITHOUT_VALIDATION


def tuned(regression: bool) -> tuple[str, ...]:
    """What a search is of; the first, as it is, is to be beaten.

    >>> tuned(regression=True)
    ('erm', 'sk_mixup', 'mixup')
    """
    return TUNED_VALUES if regression else TUNED
