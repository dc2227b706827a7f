"""Small tables that scikit-learn carries inside, for trying things out without a file or a network."""

from collections.abc import Callable

from calmix.data.splits import Draw, Splits


def breast_cancer(seed: Draw = 0, train_size: int | None = None) -> Splits:
    """569 tumours, 30 measurements, 2 classes: malignant, benign (embedded in scikit-learn).

    >>> breast_cancer().about.classes
    ('malignant', 'benign')
    """
    from sklearn.datasets import load_breast_cancer

    return _table("breast_cancer", load_breast_cancer, seed, train_size)


def wine(seed: Draw = 0, train_size: int | None = None) -> Splits:
    """178 wines, 13 chemical measurements, 3 growers as classes (embedded in scikit-learn)."""
    from sklearn.datasets import load_wine

    return _table("wine", load_wine, seed, train_size)


def diabetes(seed: Draw = 0, train_size: int | None = None) -> Splits:
    """442 patients, 10 measurements, regression of the disease's progress in a year (embedded in scikit-learn)."""
    from sklearn.datasets import load_diabetes

    return _table("diabetes", load_diabetes, seed, train_size)


def _table(name: str, loader: Callable, seed: Draw, train_size: int | None) -> Splits:
    import pandas as pd

    from calmix.data.table.frames import table_splits

    bunch = loader(as_frame=True)
    frame = bunch.frame
    task = "classification" if "target_names" in bunch else "regression"
    if task == "classification":
        frame = frame.assign(target=pd.Categorical.from_codes(bunch.target, list(bunch.target_names)))
    source = f"scikit-learn, load_{name}"
    return table_splits(frame, "target", name=name, source=source, task=task, seed=seed, train_size=train_size)
