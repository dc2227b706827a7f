"""Unfinished runs in files, from which they go on bit for bit.

    FOLDER/checkpoints/SLUG-seed0.safetensors  the newest state of a run: tensors, and all else as JSON in its header

No code is stored, and none is run when a file is read.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from calmix.core import require
from calmix.errors import DataError
from calmix.reading import reading, typed
from calmix.results.files import CHECKPOINTS, refuse_other_run, slug, write_whole
from calmix.results.jobs import same_run
from calmix.train.recipe import Recipe
from calmix.train.settings import CHECKPOINT_MINUTES

States = Mapping[str, Any]  # by whose they are: what `state_dict()` returned, tensors and plain values

_ENTRY = "calmix"  # of the header
ANEW = "delete it to begin the run anew"


@dataclass(frozen=True)
class Unfinished:
    """A run between two of its steps.

    epoch: how many are done. batch: how many steps of the next one are done. seconds: of training so far.
    """

    recipe: str
    epoch: int
    batch: int
    seconds: float
    states: States


@dataclass(frozen=True)
class Checkpoints:
    """Where the newest state of each unfinished run is kept.

    folder: of the results. minutes: no more than so many are lost of a run whose process dies. One that is told to end,
    by SIGTERM or Ctrl-C, writes a last checkpoint first.

    Raises:
        SettingError: minutes that are not positive.
    """

    folder: Path
    minutes: float = CHECKPOINT_MINUTES

    def __post_init__(self) -> None:
        require.positive("checkpoint_minutes", self.minutes)

    def path(self, label: str, seed: int) -> Path:
        return self.folder / CHECKPOINTS / f"{slug(label)}-seed{seed}.safetensors"

    def check(self, recipe: Recipe) -> None:
        """Raise DataError where another run of the same name is unfinished."""
        self._described(recipe)

    def read(self, recipe: Recipe) -> Unfinished | None:
        """The run as it was left; None where nothing was, or nothing that can be read.

        Raises:
            DataError: another run of the same name is unfinished.
        """
        from safetensors import safe_open

        described, path = self._described(recipe), self.path(recipe.label, recipe.seed)
        if described is None:
            return None
        with suppress(DataError), reading(path, ANEW):
            with safe_open(path, "pt") as file:
                states = _unpacked(described.states, file.get_tensor)
            return replace(described, states=states)
        return None

    def write(self, recipe: Recipe, unfinished: Unfinished) -> None:
        """Put the file in the place of the one before.

        Raises:
            DataError: it cannot be written; or a state holds other things than tensors and plain values.
        """
        from safetensors.torch import save

        tensors: dict[str, Tensor] = {}
        packed = replace(unfinished, states=_packed(unfinished.states, tensors))
        content = save(tensors, {_ENTRY: json.dumps(asdict(packed))})
        write_whole(self.path(recipe.label, recipe.seed), lambda file: file.write(content))

    def remove(self, label: str, seed: int) -> None:
        """The run has finished."""
        self.path(label, seed).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder where no run is unfinished; not while runs go on."""
        with suppress(OSError):  # it is not there, or not empty
            (self.folder / CHECKPOINTS).rmdir()

    def _described(self, recipe: Recipe) -> Unfinished | None:
        """The file without its tensors."""
        from safetensors import safe_open

        path = self.path(recipe.label, recipe.seed)
        if not path.exists():
            return None
        try:
            with reading(path, ANEW), safe_open(path, "pt") as file:
                found: Unfinished = typed(Unfinished, json.loads(file.metadata()[_ENTRY]))
        except DataError:
            return None
        if not same_run(found.recipe, recipe.text):
            refuse_other_run(self.folder, recipe.label)
        return found


# ------------------------------------------------------------------------------------------- states as JSON


def _packed(value: Any, tensors: dict[str, Tensor]) -> Any:
    """A tree of plain values as JSON, its tensors by name put into `tensors`.

    >>> kept = {}
    >>> _packed({1: (Tensor([0.5]), None)}, kept), kept
    ({'dict': [[1, {'tuple': [{'tensor': '0'}, None]}]]}, {'0': tensor([0.5000])})
    """
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"dict": [[_packed(key, tensors), _packed(entry, tensors)] for key, entry in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_packed(entry, tensors) for entry in value]}
    if isinstance(value, list):
        return [_packed(entry, tensors) for entry in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise DataError(f"a state of the run holds {type(value).__name__}; checkpoints hold tensors and plain values.")


def _unpacked(packed: Any, tensor: Callable[[str], Tensor]) -> Any:
    """`_packed`, backwards."""
    if isinstance(packed, list):
        return [_unpacked(entry, tensor) for entry in packed]
    if not isinstance(packed, Mapping):
        return packed
    [(kind, inner)] = packed.items()
    if kind == "tensor":
        return tensor(inner).clone()  # in memory of its own, and no longer in the file
    entries = [_unpacked(entry, tensor) for entry in inner]
    return dict(entries) if kind == "dict" else tuple(entries)
