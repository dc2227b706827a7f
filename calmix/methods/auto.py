"""A method whose strength follows the network's confidence."""

from dataclasses import replace

from calmix.core.coefficient import Beta, Folded, strength_of, takes_class_strengths
from calmix.core.control import Control
from calmix.core.method import Method
from calmix.core.objective import MixedLoss
from calmix.core.pairing import Shuffle
from calmix.errors import SettingError

_CLASS_SD = 0.25


def auto(
    method: Method | None = None,
    rate: float = 0.5,
    prior_sd: float = 0.5,
    until: float = 0.8,
    per_class: bool = False,
) -> Method:
    """Mixing that sets its own strength: more where the network is too confident, less where it is not enough.

    Formula: that of `method`; after every epoch log strength += rate * (log T - max(0, log T_train)), where T is the
    temperature that fits the validation rows best, with a prior, and T_train that of training rows; see `Control`. The
    strength is tau_max where the method has a kernel, else alpha of its Beta(alpha, alpha), and starts as the method
    has it. After the share `until` of the epochs, plain training ends the run; until = 1 mixes to the end.

    per_class: each class has a strength of its own. It follows the T of the rows that the network takes for the class,
    which is drawn towards that of all rows by a prior of deviation 0.25 on log T. A pair is mixed by the geometric mean
    of the strengths of its rows' classes.
    Source: ours.
    Defaults: method = None is Mixup with a lam of at least 1/2 for each row, which begins with little mixing:
    `folded(mixup(alpha=0.2, per_row=True))`; rate = 0.5, prior_sd = 0.5 and until = 0.8, of `Control`;
    per_class = False.
    Deviation: where the method is `mixup_e`, the alpha of its factor E[a] stays as it was; it only scales eta.
    Relatives: CAMixup mixes the classes that are too confident on validation rows (Wen et al., ICLR 2021, arXiv
    2010.09875); AdaFocal moves the exponent of the focal loss by them (Ghosh et al., NeurIPS 2022, arXiv 2211.11838).
    Cost: 1 forward, 1 backward, or those of `method`; and a forward of a thousand validation rows and a thousand
    training rows an epoch.

    The training loss must be told what the network says of these rows after every epoch, by
    `training_loss.observe(logits, labels, of_training=(logits, labels))`; `calmix.train`, `calmix.compare` and the
    commands do. It must know how many epochs there are, `TrainingLoss(..., epochs=30)`, and which it is,
    `training_loss.epoch`; else it mixes to the end. For classes only.

    >>> from calmix import sk_mixup
    >>> auto(sk_mixup(tau_max=0.3)).coefficient.tau_max  # in the first epoch
    0.3
    """
    control = Control(rate, prior_sd, until, class_sd=_CLASS_SD if per_class else None)
    if method is None:
        return Method(Shuffle(), Folded(Beta(0.2, per_row=True)), MixedLoss(), control=control)
    if not isinstance(method, Method):
        raise SettingError(f"auto controls one method; got {method!r}: inside scheduled(...), write auto for each.")
    strength = strength_of(method.coefficient)
    if strength is None:
        raise SettingError(f"auto sets how strongly is mixed, and {method!r} mixes nothing; give a method that does.")
    if not control.least <= strength <= control.most:
        raise SettingError(
            f"the strength of a method must lie within {control.least:g} and {control.most:g}, between which it "
            f"may move; got {strength:g}."
        )
    if per_class and not takes_class_strengths(method.coefficient):
        raise SettingError(
            "per_class gives each pair a strength of its own, which needs a kernel, or a Beta that draws a lam for "
            f"each row, such as mixup(per_row=True); got {method.coefficient!r}."
        )
    return replace(method, control=control)
