"""A trained network in a folder, and back: plain numbers and texts, no code.

    model.safetensors        the weights
    calibration.safetensors  the conformal scores of the calibration rows
    model.json               `Saved`

n  rows to predict, m calibration rows
K  classes, d targets
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from calmix import __version__
from calmix.data import Split
from calmix.data.array_rows import ArrayEncoding
from calmix.data.audio import AudioEncoding
from calmix.data.image_files.new_images import ImageEncoding
from calmix.data.new_rows import NewRows, RowEncoding
from calmix.data.series_files import SeriesEncoding
from calmix.data.table.format import DETECTED
from calmix.data.table.new_rows import TableEncoding
from calmix.errors import DataError, SettingError
from calmix.models import MODELS, ModelFactory, build, name_of, read_model
from calmix.posthoc.calibration import CalibrationLogits
from calmix.posthoc.conformal import AdaptiveSets, ConformalIntervals, adaptive_scores, conformal_threshold
from calmix.predictions import class_logits
from calmix.reading import read_json, reading, typed
from calmix.results.files import write_json, write_whole
from calmix.train.predicting import predict, predicted_logits
from calmix.train.recipe import Recipe, outputs_of

WEIGHTS, CALIBRATION, FACTS = "model.safetensors", "calibration.safetensors", "model.json"
ANEW = "train the network anew with `calmix train`"


AnyEncoding = (
    ArrayEncoding | AudioEncoding | ImageEncoding | SeriesEncoding | TableEncoding
)  # of what data sources there are; model.json holds one


@dataclass(frozen=True)
class Saved:
    """What model.json says of a network: all but its numbers."""

    calmix: str  # the version that wrote it
    model: str  # the factory, as --model names it
    shape: tuple[int, ...]  # of a row that the network sees
    outputs: int
    task: Literal["classification", "binary", "regression"]
    kind: str  # "table" | "image" | "series"
    classes: tuple[str, ...]  # () for regression
    target_mean: float | tuple[float, ...]
    target_std: float | tuple[float, ...]
    temperature: float | None  # None for regression
    encoding: AnyEncoding | None  # None: it takes no files of new rows
    recipe: str
    date: str


def check_keeps(network: nn.Module) -> None:
    """Raise SettingError where the network's state is more than tensors, which a file of weights cannot hold."""
    for name, value in network.state_dict().items():
        if not isinstance(value, Tensor):
            raise SettingError(
                f"a network is kept as tensors, and {name!r} of its state is {type(value).__name__}; let "
                "get_extra_state return a tensor."
            )


def save_network(folder: Path, recipe: Recipe, model: nn.Module, temperature: float | None) -> None:
    """Write the three files of a network that was trained by a recipe, what is fitted on the calibration rows included.

    Raises:
        DataError: the folder cannot be written.
    """
    from safetensors.torch import save

    splits = recipe.splits()
    assert isinstance(splits.encoding, AnyEncoding | None)
    about, shape = splits.about, splits.train.shape
    saved = Saved(
        calmix=__version__,
        model=name_of(recipe.factory),
        shape=shape,
        outputs=outputs_of(about),
        task=about.task,  # pyright: ignore[reportArgumentType]  # one of TASKS
        kind=about.kind,
        classes=about.classes,
        target_mean=about.target_mean,
        target_std=about.target_std,
        temperature=temperature,
        encoding=splits.encoding,
        recipe=recipe.text,
        date=date.today().isoformat(),
    )
    if about.task == "regression":
        off = (predict(model, splits.calibration) - splits.calibration.y).abs().double()
        scores = _squeezed(off * torch.tensor(about.target_std, dtype=torch.float64))
    else:
        labels = splits.calibration.y.view(-1).long()
        scores = adaptive_scores(CalibrationLogits(predicted_logits(model, splits.calibration), labels))
    for name, tensors in ((WEIGHTS, model.state_dict()), (CALIBRATION, {"scores": scores})):
        content = save({key: values.detach().cpu().contiguous().clone() for key, values in tensors.items()})
        write_whole(folder / name, lambda file, content=content: file.write(content))
    write_json(folder / FACTS, asdict(saved))


@dataclass(frozen=True, eq=False)
class Predictor:
    """A trained network that takes rows as they were in training, and says calibrated probabilities.

    rows: of a table, a DataFrame with the columns that the network was trained on, or what pandas makes one of (a list
    of mappings, a mapping of columns). Other columns are not looked at. Of other data, arrays or files as in training.
    Of any, the path of a file or folder, which is read as `calmix predict` reads it.
    """

    saved: Saved
    network: nn.Module
    scores: Tensor  # (m,) or (m, d) of the calibration rows

    def predict_proba(self, rows: Any) -> NDArray[np.float64]:
        """(n, K) probabilities, after the temperature that was fitted on the calibration rows.

        Raises:
            SettingError: the network predicts numbers, not classes.
            DataError: a column is missing, or holds other things than in training.
        """
        return self.probs(self._outputs_of(rows), self.saved.temperature or 1.0).numpy()

    def predict(self, rows: Any) -> NDArray[Any]:
        """(n,) names of the most probable classes; of a regression (n,) or (n, d) values in the unit of the target."""
        outputs = self._outputs_of(rows)
        if self.saved.task == "regression":
            return self.values(outputs).numpy()
        return np.array(self.saved.classes)[class_logits(outputs).argmax(1).numpy()]

    def predict_set(self, rows: Any, alpha: float = 0.1) -> list[tuple[str, ...]]:
        """For each row the classes that hold the true one with probability 1 - alpha, the most probable first.

        Adaptive sets of the probabilities before temperature, which no calibration row has touched; see
        `calmix.posthoc.fit_adaptive_sets` for what is guaranteed.
        """
        return self.sets(self._outputs_of(rows), alpha)

    def predict_interval(self, rows: Any, alpha: float = 0.1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper ends of intervals that hold the true value with probability 1 - alpha, as `predict`."""
        low, high = self.interval(self._outputs_of(rows), alpha)
        return low.numpy(), high.numpy()

    @property
    def encoding(self) -> RowEncoding:
        """How rows become what the network sees. Raise DataError where the training data had no such rule."""
        if self.saved.encoding is None:
            raise DataError(
                f"this network was trained on {self.saved.kind} data of shape {self.saved.shape}, and only networks "
                "for data of one's own take new rows; call its `network` with rows prepared as in training."
            )
        return self.saved.encoding

    def outputs(self, rows: NewRows) -> Tensor:
        """The network's outputs (n, outputs)."""
        count = rows.x.shape[0]
        if count == 0:
            raise DataError("there are no rows; give one or more.")
        return predict(self.network, Split(rows.x, torch.zeros(count)))

    def _outputs_of(self, rows: Any) -> Tensor:
        is_path = isinstance(rows, str | Path)
        read = self.encoding.read(Path(rows), DETECTED).tested(str(rows)) if is_path else self.encoding(rows)
        return self.outputs(read)

    def sets(self, outputs: Tensor, alpha: float) -> list[tuple[str, ...]]:
        """`predict_set` of a network's outputs."""
        probs = self.probs(outputs)
        inside = AdaptiveSets(conformal_threshold(self.scores, alpha).item())(probs)
        order = probs.argsort(1, descending=True)
        classes = self.saved.classes
        return [
            tuple(classes[k] for k in ids if chosen[k])
            for ids, chosen in zip(order.tolist(), inside.tolist(), strict=True)
        ]

    def interval(self, outputs: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
        """`predict_interval` of a network's outputs."""
        if self.saved.task != "regression":
            raise SettingError("intervals are for numbers, and this network predicts classes; take predict_set.")
        values = self.values(outputs)
        return ConformalIntervals(conformal_threshold(self.scores, alpha))(values, torch.ones_like(values))

    def probs(self, outputs: Tensor, temperature: float = 1.0) -> Tensor:
        """(n, K) float64 of a network's outputs."""
        if self.saved.task == "regression":
            raise SettingError("probabilities are of classes, and this network predicts numbers; take predict.")
        return (class_logits(outputs).double() / temperature).softmax(1)

    def values(self, outputs: Tensor) -> Tensor:
        """(n,) or (n, d), in the unit of the target."""
        std, mean = (
            torch.tensor(value, dtype=torch.float64) for value in (self.saved.target_std, self.saved.target_mean)
        )
        return _squeezed(outputs.double() * std + mean)


def prediction_table(predictor: Predictor, rows: NewRows, alpha: float) -> pd.DataFrame:
    """What a network says of each row, as `calmix evaluate` reads it.

    Of classes: probs_CLASS for each, the answer, and the set of classes that holds the true one with probability
    1 - alpha. Of numbers: mean, and low and high of the interval that does. What tells the rows apart comes first; the
    truth, where it is known, last, as label or target.
    """
    saved, outputs = predictor.saved, predictor.outputs(rows)
    columns: dict[str, Any] = dict(rows.names)
    if saved.task == "regression":
        low, high = predictor.interval(outputs, alpha)
        columns |= {"mean": predictor.values(outputs).numpy(), "low": low.numpy(), "high": high.numpy()}
    else:
        probs = predictor.probs(outputs, saved.temperature or 1.0).numpy()
        columns |= {f"probs_{name}": probs[:, k] for k, name in enumerate(saved.classes)}
        columns["answer"] = np.array(saved.classes)[probs.argmax(1)]
        columns["set"] = ["; ".join(names) for names in predictor.sets(outputs, alpha)]
    if rows.truth is not None:
        columns["target" if saved.task == "regression" else "label"] = rows.truth
    return pd.DataFrame(columns)


def load(folder: Path | str, model: ModelFactory | None = None) -> Predictor:
    """The network that `calmix train` left in a folder. No code is read from there.

    model: the factory of the network, where it is none of calmix's own.

    Raises:
        DataError: the folder holds no network, or a damaged one.
        SettingError: the network's factory is needed, or makes another network.
    """
    folder = Path(folder)
    path = folder / FACTS
    if not path.exists():
        raise DataError(f"{folder} holds no {FACTS}; make one with `calmix train DATA --out {folder}`.")
    raw = read_json(path, ANEW)
    try:
        saved: Saved = typed(Saved, raw)
    except DataError as error:
        raise DataError(f"{path} is damaged ({str(error).rstrip('.')}); {ANEW}.") from None
    with reading(path, ANEW), np.errstate(all="ignore"):
        _check(saved)
    if model is None and saved.model.split("(")[0] not in MODELS:
        raise SettingError(
            f"the network in {folder} was made by {saved.model}, which is none of calmix's own: name it again, with "
            "--model, or from Python as load(folder, factory)."
        )
    network = build(model or read_model(saved.model), saved.shape, saved.outputs)
    weights, scores = (_tensors(folder / name) for name in (WEIGHTS, CALIBRATION))
    try:
        network.load_state_dict(dict(weights))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip().rstrip(".")
        made = saved.model if model is None else name_of(model)
        named = "" if made == saved.model else f"; the network was made by {saved.model}: name that"
        raise SettingError(f"the weights in {folder} are not those of {made} ({reason}){named}.") from None
    if "scores" not in scores or not scores["scores"].is_floating_point() or scores["scores"].ndim != _rank(saved):
        raise DataError(f"{folder / CALIBRATION} is damaged (it holds no scores that fit); {ANEW}.")
    return Predictor(saved, network.eval(), scores["scores"])


def _rank(saved: Saved) -> int:
    return 2 if saved.task == "regression" and saved.outputs > 1 else 1


def _check(saved: Saved) -> None:
    """Raise ValueError where entries of model.json contradict each other."""
    classes = {"classification": saved.outputs, "binary": 2, "regression": 0}[saved.task]
    if len(saved.classes) != classes or (saved.task == "binary" and saved.outputs != 1):
        raise ValueError(f"{len(saved.classes)} classes do not fit {saved.outputs} outputs")
    if saved.task != "regression" and not (saved.temperature or 0) > 0:
        raise ValueError("there is no temperature above 0")
    scale = np.array([saved.target_mean, saved.target_std])
    if not (scale[1] > 0).all() or scale[0].size not in (1, saved.outputs):
        raise ValueError("the mean and the deviation of the target do not fit")
    if saved.encoding is not None:
        saved.encoding.check(saved.shape)


def _tensors(path: Path) -> Mapping[str, Tensor]:
    from safetensors.torch import load as tensors_of

    with reading(path, ANEW):
        return tensors_of(path.read_bytes())


def _squeezed(values: Tensor) -> Tensor:
    """(n, 1) as (n,)"""
    return values[:, 0] if values.shape[1] == 1 else values
