"""A run as a frozen value: what data, what method, what network, how trained, which seed."""

import os
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby

import torch
from torch import Tensor, nn

from calmix.core.method import Method, Scheduled
from calmix.core.task import Binary, Classification, Regression, Task
from calmix.data import About, DataSource, Splits
from calmix.data.splits import PARTS
from calmix.errors import SettingError
from calmix.models import ModelFactory, build, default_model, digest_of, name_of
from calmix.results.jobs import versions
from calmix.results.machines import Machine, processor
from calmix.results.store import DataFacts, RunFacts
from calmix.threads import using_threads
from calmix.train.averaging import EMA
from calmix.train.robustness import Robustness
from calmix.train.settings import TrainingSettings


@dataclass(frozen=True)
class Recipe:
    """One run.

    label: what the method is called in tables. model: a factory of networks, see `calmix.models.build`; None is the
    default for the data. robustness: what else the trained network is measured on. weights_seed: the seed of the
    initial weights where it is not `seed`. also: other weights of the same training that are measured, too: settings
    that differ in `average` and `refresh_batch_norm` alone.

    Raises:
        SettingError: a seed below 0, or `also` of what would be another training.
    """

    data: DataSource
    label: str
    method: Method | Scheduled
    model: ModelFactory | None = None
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    seed: int = 0
    robustness: Robustness = field(default_factory=Robustness)
    weights_seed: int | None = None
    also: tuple[TrainingSettings, ...] = ()

    def __post_init__(self) -> None:
        check_seed(self.seed)
        for one in self.also:
            _check_same_training(self, one)

    @property
    def text(self) -> str:
        """All that the run depends on; see `calmix.results.jobs.same_run`.

        Files of data are told by a digest of their content and names; the network by one of its code and initial
        weights, and of the files that its factory was read from, if it was.
        """
        return self._text(self._network_digest)

    @property
    def _network_digest(self) -> str:
        return digest_of(self.network(), self.model)

    def _text(self, network: str) -> str:
        model = "default" if self.model is None else name_of(self.model)
        about = self.splits().about
        settings = replace(self.settings, max_grad_norm=self.settings.largest_gradient(about.task) or None)
        also = f", also={self.also!r}" if self.also else ""
        return (
            f"Recipe(data={self.data!r} {about.digest}, label={self.label!r}, method={self.method!r}, "
            f"model={model} {network}, "
            f"settings={settings!r}, seed={self.seed}, robustness={self.robustness!r}, "
            f"weights_seed={self.weights_seed}{also})"
        )

    def splits(self) -> Splits:
        return self.data.splits(self.seed)

    @property
    def factory(self) -> ModelFactory:
        """What makes the network."""
        return self.model or default_model(self.splits().train.shape)

    def network(self) -> nn.Module:
        """The untrained network: its weights depend on the seed alone."""
        splits = self.splits()
        with torch.random.fork_rng(devices=[]), using_threads(self.settings.threads):
            torch.manual_seed(self.seed if self.weights_seed is None else self.weights_seed)
            return build(self.factory, splits.train.shape, outputs_of(splits.about))


def texts(recipes: Iterable[Recipe]) -> Iterator[str]:
    """The text of each recipe. The network of those of one seed, which follow each other, is made once."""

    def same_network(recipe: Recipe) -> tuple[object, ...]:
        return id(recipe.data), id(recipe.model), recipe.seed, recipe.weights_seed, recipe.settings.threads

    for _, group in groupby(recipes, same_network):
        of_one = list(group)
        network = of_one[0]._network_digest
        for recipe in of_one:
            yield recipe._text(network)


def _check_same_training(recipe: Recipe, other: TrainingSettings) -> None:
    """Raise SettingError where other settings would train otherwise, and not only keep other weights."""
    given = recipe.settings
    if replace(other, average=given.average, refresh_batch_norm=given.refresh_batch_norm) != given:
        raise SettingError(f"weights of the same training differ in average and refresh_batch_norm alone; got {other}.")
    if other.average != given.average and given.select == "best":
        raise SettingError(
            f"the best epoch of {other.average} is another one than that of {given.average}; keep the last."
        )
    if (
        recipe.method.controlled
        and EMA in map(type, (other.averaging, given.averaging))
        and other.average != given.average
    ):
        raise SettingError("auto sets its strength by the average of ema, if there is one: that is another training.")


def check_seed(seed: int) -> None:
    """Raise SettingError for a number that seeds no generator."""
    if seed < 0:
        raise SettingError(f"seed must be at least 0; got {seed}.")
    if seed >= 2**63:
        raise SettingError(f"seed must be below 2^63; got {seed}.")


def task_of(about: About) -> Task:
    """The task that a data set poses."""
    if about.task == "classification":
        return Classification(len(about.classes))
    return Binary() if about.task == "binary" else Regression(about.targets)


def weighted_task(splits: Splits, settings: TrainingSettings) -> Task:
    """The task that a data set poses, with class weights n / (K n_k) where the settings ask for balanced ones.

    Where rows have weights, n_k is the weight of class k, and n that of all rows, in units of the mean.

    Raises:
        SettingError: weights of classes, or a sampler of them, for data without classes; a sampler of classes for data
            with weights of rows, which are one.
    """
    about = splits.about
    if splits.train_weights is not None and settings.sampler == "balanced":
        raise SettingError("weights of rows and --sampler balanced both say how often rows are drawn; give one.")
    if about.task != "classification" and "balanced" in (settings.class_weight, settings.sampler):
        remedy = "take --task classification" if about.task == "binary" else "leave them out"
        raise SettingError(f"class weights and samplers are for classes, and {about.name} is {about.task}; {remedy}.")
    if settings.class_weight == "none":
        return task_of(about)
    rows = class_rows(splits).double()
    if (of_rows := splits.train_weights) is not None:
        rows = torch.zeros_like(rows).index_add(0, splits.train.y.view(-1).long(), of_rows / of_rows.mean())
    weights = rows.sum() / (len(rows) * torch.where(rows > 0, rows, 1.0))
    return Classification(len(rows), weight=tuple(weights.tolist()))


def check_validation(splits: Splits, settings: TrainingSettings, method: Method | Scheduled) -> None:
    """Raise SettingError where there are no validation rows, and the settings or the method need them."""
    if len(splits.validation):
        return
    if settings.select == "best":
        raise SettingError(
            "the best epoch is that of the lowest validation loss, and all validation rows are trained on; keep the "
            "last (--select last), or leave out --all-data."
        )
    if method.controlled:
        raise SettingError(
            "auto sets its strength by what the network says of validation rows, and all of them are trained on; leave "
            "out --all-data, or take a method of fixed strength, such as 'mixup(alpha=0.5, per_row=True)'."
        )


def class_rows(splits: Splits) -> Tensor:
    """(K,): training rows of each class."""
    return splits.train.y.view(-1).long().bincount(minlength=max(2, len(splits.about.classes)))


def sampling_weights(splits: Splits, settings: TrainingSettings) -> Tensor | None:
    """(n,): how often each training row is drawn; None where every row comes once an epoch."""
    if splits.train_weights is not None or settings.sampler == "shuffled":
        return splits.train_weights
    return 1 / class_rows(splits)[splits.train.y.view(-1).long()].double()


def outputs_of(about: About) -> int:
    """How many outputs a network for this data set has."""
    return len(about.classes) if about.task == "classification" else about.targets


# ------------------------------------------------------------------------------------------- what a report says of it


def facts_of(recipe: Recipe, command: tuple[str, ...] = ()) -> RunFacts:
    """The facts that all runs of a study share with this one."""
    splits = recipe.splits()
    about, shape = splits.about, splits.train.shape
    return RunFacts(
        data=DataFacts(
            name=about.name,
            source=about.source,
            kind=about.kind,
            classes=about.classes,
            features=about.features,
            shape=shape,
            sizes={part: len(getattr(splits, part)) for part in PARTS},
            notices=about.notices,
            columns=about.columns,
            class_rows=() if about.task == "regression" else class_rows(splits).tolist(),
            folds=about.folds,
            absent=absent_classes(splits),
        ),
        task=about.task,
        model=name_of(recipe.factory),
        settings=recipe.settings.in_full(about.task),
        environment=environment(recipe.settings),
        command=command,
        date=date.today().isoformat(),
    )


def absent_classes(splits: Splits) -> dict[str, tuple[str, ...]]:
    """By split, the classes of which it has no row; splits that have all of them are not in it."""
    classes = splits.about.classes
    parts = [part for part in PARTS if len(getattr(splits, part))] if classes else []
    there = {part: set(getattr(splits, part).y.flatten().tolist()) for part in parts}
    absent = {part: tuple(name for k, name in enumerate(classes) if k not in ids) for part, ids in there.items()}
    return {part: names for part, names in absent.items() if names}


def machine_of(settings: TrainingSettings) -> Machine:
    """This machine, as a run with these settings uses it."""
    name = torch.cuda.get_device_name() if settings.accelerator == "cuda" else processor()
    return Machine(settings.accelerator, name, settings.threads, **versions())


def environment(settings: TrainingSettings) -> dict[str, str]:
    """Versions and the device."""

    def installed(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "not installed"

    packages = ("calmix", "torch", "lightning", "numpy", "scikit-learn")
    device = torch.cuda.get_device_name() if settings.accelerator == "cuda" else f"cpu, {os.cpu_count()} cores"
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": device,
        **{package: installed(package) for package in packages},
    }
