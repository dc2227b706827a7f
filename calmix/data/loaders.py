"""Torch's data sets and loaders, and Lightning's data modules, as rows and targets of named parts."""

import multiprocessing
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    default_collate,
    default_convert,
)

from calmix.data.dataset_rows import DatasetRows, Part, class_names, measured, pairs
from calmix.data.splits import IN_MEMORY, RowIds
from calmix.errors import DataError, SettingError, UnknownNameError

NAMES = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation", "test": "test"}
_LOADERS = 4  # processes at most, for a data set that comes without a loader


@dataclass(frozen=True, eq=False)
class Read:
    """What parts hold: rows in memory if they fit, all targets, and which rows are given as test or validation."""

    x: Tensor | DatasetRows
    y: Tensor
    given: Mapping[str, RowIds]
    classes: tuple[str, ...]  # their names; () where none are listed


def parts_of(data: Any) -> dict[str, Part] | None:
    """The parts `train` and, where they are given, `validation` and `test`; None where data are nothing of the kind.

    data: a map-style data set; a `DataLoader`; a dict of either by train, validation (or val) and test; a tuple (train,
    test) or (train, validation, test) of either; or a `LightningDataModule`. In a dict or tuple also pairs (x, y).

    Raises:
        DataError, SettingError: loaders or modules that cannot be read so.
    """
    base = next((kind for kind in type(data).__mro__ if kind.__name__ == "LightningDataModule"), None)
    if base is not None:
        return _of_module(data, base)
    if isinstance(data, tuple) and len(data) in (2, 3):
        names = ("train", "test") if len(data) == 2 else ("train", "validation", "test")
        given = dict(zip(names, data, strict=True))
    elif isinstance(data, Mapping):
        for name in map(str, data):
            if name not in NAMES:
                raise UnknownNameError("part of the data", name, NAMES)
        if "train" not in data:
            raise SettingError(f"a part is missing: train; got {', '.join(map(str, data))}.")
        given = {NAMES[name]: part for name, part in data.items()}
        if len(given) < len(data):
            raise SettingError(f"validation rows are given twice: {', '.join(map(str, data))}.")
    else:
        part = _part(data)
        return None if part is None else {"train": part}
    found = {name: _part(_paired(one)) for name, one in given.items()}
    known = {name: part for name, part in found.items() if part is not None}
    return known if len(known) == len(found) else None


def read_parts(parts: Mapping[str, Part]) -> Read:
    """Rows and targets of all parts, one after the other.

    Rows that take at most 1 GiB as float32 are read into memory, unless those of the train part change from one reading
    to the next. Of others only the targets are read.

    Raises:
        DataError: rows that change where they must not: in other parts, or where other parts are drawn from them.
    """
    changing = {name for name, part in parts.items() if part.changes()}
    if others := changing - {"train"}:
        raise DataError(
            f"rows of the {' and '.join(sorted(others))} data differ from one reading to the next, by random "
            "augmentation: leave it out there, so that all networks are judged on the same rows."
        )
    missing = [name for name in ("validation", "test") if name not in parts]
    if changing and missing:
        raise DataError(
            "rows to train on differ from one reading to the next, by random augmentation, and "
            f"{' and '.join(missing)} rows would be drawn from them: give these as data sets of their own, without "
            'augmentation: {"train": ..., "validation": ..., "test": ...}.'
        )
    starts = np.cumsum([0, *(len(part) for part in parts.values())])
    given = {name: np.arange(*starts[k : k + 2]) for k, name in enumerate(parts) if name != "train"}
    few = [measured(part(part.looked_at())[0]) for part in parts.values()]
    shapes = {name: tuple(x.shape[1:]) for name, x in zip(parts, few, strict=True)}
    if len(set(shapes.values())) > 1:
        raise DataError(f"rows of the parts have other shapes: {shapes}; give tensors of one shape.")
    row = shapes["train"]
    if not changing and 4 * starts[-1] * np.prod(row) <= IN_MEMORY:
        both = [part.read() for part in parts.values()]
        return _read(torch.cat([measured(x) for x, _ in both]), torch.cat([y for _, y in both]), given, parts)
    pixels = len(row) == 3 and all(x.min() >= 0 and x.max() <= 1 for x in few)
    streamed = tuple(
        replace(part, loaders=_loaders() if part.loaders is None else part.loaders) for part in parts.values()
    )
    rows = DatasetRows(streamed, np.arange(starts[-1]), row, pixels, bool(changing))
    return _read(rows, torch.cat([part.targets() for part in streamed]), given, parts)


def _read(x: Tensor | DatasetRows, y: Tensor, given: Mapping[str, RowIds], parts: Mapping[str, Part]) -> Read:
    names = class_names(parts["train"].dataset)
    return Read(x, y, given, names if not y.is_floating_point() and len(names) == int(y.max()) + 1 else ())


def _loaders() -> int:
    """How many processes read a data set that comes without a loader: none where each would run the script again."""
    forks = multiprocessing.get_all_start_methods()[0] == "fork"
    return min(_LOADERS, os.cpu_count() or 1) if forks else 0


def _part(data: Any) -> Part | None:
    if isinstance(data, DataLoader):
        return _of_loader(data)
    if isinstance(data, IterableDataset):
        return _of_loader(DataLoader(data, batch_size=256))
    text = isinstance(data, str | bytes | Mapping | tuple | Tensor | np.ndarray)
    if text or not (hasattr(data, "__len__") and hasattr(data, "__getitem__")) or len(data) == 0:
        return None
    row = data[0]
    if not isinstance(row, tuple | list) or len(row) < 2:
        return None
    return Part(data, np.arange(len(data)))


def _paired(data: Any) -> Any:
    """A pair (x, y) of tensors or arrays as a data set; anything else as it is."""
    if not (isinstance(data, tuple) and len(data) == 2 and all(hasattr(part, "shape") for part in data)):
        return data
    x, y = (torch.as_tensor(values) for values in data)
    if len(x) != len(y):
        raise DataError(f"a part has {len(x)} rows and {len(y)} targets; give a target for each row.")
    return TensorDataset(x, y)


def _of_loader(loader: "DataLoader[Any]") -> Part:
    """The rows of a loader's data set; its batches, and their order, are not kept."""
    dataset, sampler = loader.dataset, loader.sampler
    if isinstance(dataset, IterableDataset):
        rows = _all_of(loader)
        return Part(rows, np.arange(len(rows)))
    if loader.batch_sampler is not None and type(loader.batch_sampler) is not BatchSampler:
        sampler = loader.batch_sampler
    if isinstance(sampler, SubsetRandomSampler):
        places = np.asarray(sampler.indices, np.int64)
    elif isinstance(sampler, SequentialSampler | RandomSampler | DistributedSampler):
        places = np.arange(len(dataset))  # pyright: ignore[reportArgumentType]  # map-style ones have a length
    else:
        raise SettingError(
            f"the loader draws its rows by {type(sampler).__name__}, and calmix draws them itself; pass loader.dataset "
            "(TrainingSettings(sampler='balanced') draws all classes equally often)."
        )
    if len(places) == 0:
        raise DataError("the loader has no rows; give one or more.")
    plain = loader.collate_fn in (default_collate, default_convert)
    return Part(dataset, places, pairs if plain else loader.collate_fn, loader.num_workers)


def _all_of(loader: "DataLoader[Any]") -> TensorDataset:
    """All that an iterable loader gives. Raise DataError where it is more than fits into memory."""
    xs, ys, size = [], [], 0
    for batch in loader:
        if not (isinstance(batch, tuple | list) and len(batch) >= 2 and all(isinstance(t, Tensor) for t in batch[:2])):
            raise DataError("the loader gives something else than batches (x, y) of tensors.")
        x, y = batch[:2] if batch[1].ndim else (batch[0][None], batch[1][None])  # a row where nothing makes batches
        xs.append(x)
        ys.append(y)
        size += 4 * x.numel()
        if size > IN_MEMORY:
            raise DataError(
                f"the loader of an iterable data set gave more than {IN_MEMORY / 1e9:.1f} GB of rows, or never ends; "
                "give a map-style data set, whose rows are read a batch at a time."
            )
    if not xs:
        raise DataError("the loader has no rows; give one or more.")
    try:
        return TensorDataset(torch.cat(xs), torch.cat(ys))
    except RuntimeError as error:
        raise DataError(f"the batches of the loader cannot be put together ({error}).") from None


def _of_module(module: Any, base: type) -> dict[str, Part]:
    """The parts of a LightningDataModule, after its `prepare_data` and `setup`."""
    module.prepare_data()
    for stage in ("fit", "test"):
        module.setup(stage)
    parts = {}
    for name, method in (("train", "train_dataloader"), ("validation", "val_dataloader"), ("test", "test_dataloader")):
        if getattr(type(module), method) is getattr(base, method):
            continue
        loader = getattr(module, method)()
        if isinstance(loader, list | tuple) and len(loader) == 1:
            [loader] = loader
        part = _part(loader)
        if part is None:
            raise SettingError(f"{method}() of {type(module).__name__} gives {type(loader).__name__}; give one loader.")
        parts[name] = part
    if "train" not in parts:
        raise SettingError(f"{type(module).__name__} has no train_dataloader; define it, or pass a data set.")
    return parts
