"""Calibrated mixup for PyTorch: accuracy, and probabilities that mean what they say.

The names that users call are here. The parts of methods are in `calmix.parts`, metrics in `calmix.metrics`, corrections
in `calmix.posthoc`, data sets in `calmix.data`. `import calmix` loads none of them: a name is loaded when it is
first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

_MODULES = {  # public name -> the module that it is loaded from
    "refresh_batch_norm": "calmix.core.batch_norm",
    "TrainingLoss": "calmix.core.loss",
    "Binary": "calmix.core.task",
    "Classification": "calmix.core.task",
    "Multilabel": "calmix.core.task",
    "MultiTask": "calmix.core.task",
    "PerRow": "calmix.core.task",
    "Dense": "calmix.core.task",
    "Regression": "calmix.core.task",
    "IndexedDataset": "calmix.core.training_set",
    "CalmixError": "calmix.errors",
    "auto": "calmix.methods.auto",
    "c_mixup": "calmix.methods.c_mixup",
    "cutmix": "calmix.methods.cutmix",
    "erm": "calmix.methods.erm",
    "k_mixup": "calmix.methods.k_mixup",
    "manifold_mixup": "calmix.methods.manifold_mixup",
    "mit_a": "calmix.methods.mit",
    "mit_l": "calmix.methods.mit",
    "mixup": "calmix.methods.mixup",
    "mixup_e": "calmix.methods.mixup_e",
    "mixup_idle": "calmix.methods.mixup_idle",
    "input_mixup": "calmix.methods.one_sided",
    "target_mixup": "calmix.methods.one_sided",
    "far_mixup": "calmix.methods.quantile",
    "near_mixup": "calmix.methods.quantile",
    "rankmixup": "calmix.methods.rankmixup",
    "regmixup": "calmix.methods.regmixup",
    "sk_mixup": "calmix.methods.sk_mixup",
    "sk_mixup_e": "calmix.methods.sk_mixup_e",
    "METHODS": "calmix.methods.table",
    "folded": "calmix.methods.wrappers",
    "scheduled": "calmix.methods.wrappers",
    "sometimes": "calmix.methods.wrappers",
    "with_whole_set": "calmix.methods.wrappers",
    "without_self_pairs": "calmix.methods.wrappers",
    "compare": "calmix.studies.comparison.study",
    "evaluate": "calmix.studies.evaluation.study",
    "tune": "calmix.studies.tuning.study",
    "load": "calmix.train.saved",
    "TrainingSettings": "calmix.train.settings",
}
_SUBMODULES = (
    "core", "data", "engines", "errors", "integrations", "methods", "metrics", "models", "parts", "posthoc",
    "predictions", "report", "reproduction", "results", "studies", "train",
)  # fmt: skip

if not TYPE_CHECKING:  # else any name would seem to exist
    __all__ = list(_MODULES)

    def __getattr__(name: str) -> Any:
        """Load a public name, or a submodule, when it is first used."""
        if name in _MODULES:
            try:
                module = import_module(_MODULES[name])
            except ModuleNotFoundError as error:
                from calmix.errors import not_installed

                raise not_installed(f"calmix.{name}", error, "train") from None
            globals()[name] = value = getattr(module, name)
            return value
        if name in _SUBMODULES:
            return import_module(f"calmix.{name}")
        raise AttributeError(f"module 'calmix' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_MODULES, *_SUBMODULES])


# The same names for type checkers, which do not run __getattr__; a test compares the two lists.
# isort: off
if TYPE_CHECKING:
    from calmix import (
        core as core,
        data as data,
        engines as engines,
        errors as errors,
        integrations as integrations,
        methods as methods,
        metrics as metrics,
        models as models,
        parts as parts,
        posthoc as posthoc,
        predictions as predictions,
        report as report,
        reproduction as reproduction,
        results as results,
        studies as studies,
        train as train,
    )
    from calmix.core.batch_norm import refresh_batch_norm as refresh_batch_norm
    from calmix.core.loss import TrainingLoss as TrainingLoss
    from calmix.core.task import (
        Binary as Binary,
        Classification as Classification,
        Multilabel as Multilabel,
        MultiTask as MultiTask,
        PerRow as PerRow,
        Dense as Dense,
        Regression as Regression,
    )
    from calmix.core.training_set import IndexedDataset as IndexedDataset
    from calmix.errors import CalmixError as CalmixError
    from calmix.methods.auto import auto as auto
    from calmix.methods.c_mixup import c_mixup as c_mixup
    from calmix.methods.cutmix import cutmix as cutmix
    from calmix.methods.erm import erm as erm
    from calmix.methods.k_mixup import k_mixup as k_mixup
    from calmix.methods.manifold_mixup import manifold_mixup as manifold_mixup
    from calmix.methods.mit import mit_a as mit_a, mit_l as mit_l
    from calmix.methods.mixup import mixup as mixup
    from calmix.methods.mixup_e import mixup_e as mixup_e
    from calmix.methods.mixup_idle import mixup_idle as mixup_idle
    from calmix.methods.one_sided import input_mixup as input_mixup, target_mixup as target_mixup
    from calmix.methods.quantile import far_mixup as far_mixup, near_mixup as near_mixup
    from calmix.methods.rankmixup import rankmixup as rankmixup
    from calmix.methods.regmixup import regmixup as regmixup
    from calmix.methods.sk_mixup import sk_mixup as sk_mixup
    from calmix.methods.sk_mixup_e import sk_mixup_e as sk_mixup_e
    from calmix.methods.table import METHODS as METHODS
    from calmix.methods.wrappers import (
        folded as folded,
        scheduled as scheduled,
        sometimes as sometimes,
        with_whole_set as with_whole_set,
        without_self_pairs as without_self_pairs,
    )
    from calmix.studies.comparison.study import compare as compare
    from calmix.studies.evaluation.study import evaluate as evaluate
    from calmix.studies.tuning.study import tune as tune
    from calmix.train.saved import load as load
    from calmix.train.settings import TrainingSettings as TrainingSettings
