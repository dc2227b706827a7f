"""A trained network as an ONNX file, which other programs run without PyTorch and without calmix.

n rows, K classes, d targets
"""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from calmix import __version__
from calmix.data.table.new_rows import TableEncoding
from calmix.errors import SettingError, needs
from calmix.predictions import class_logits
from calmix.results.files import write_whole
from calmix.train.saved import Predictor, Saved

OPSET = 18
TOLERANCE = 1e-4  # of the largest number, by which onnxruntime and PyTorch may differ
_NEEDED = ("onnx", "onnxscript", "onnxruntime")


def export_onnx(predictor: Predictor, path: Path) -> None:
    """Write a network with what follows it: input `rows` (n, ...), any n, as the network sees them.

    Output of classes `probabilities` (n, K), after the temperature that was fitted on the calibration rows; of a
    regression `values` (n, d), in the unit of the targets. Opset 18, float32. The file's metadata_props hold `task`,
    `classes`, `temperature`, `features` (of tables, in their order; else empty), as JSON, and `calmix`, the version.

    The file is first run by onnxruntime on random rows, and is not written where any number differs from PyTorch's by
    more than 1e-4 of the largest.

    Raises:
        SettingError: the extra is not installed, or the network cannot be exported, or gives other numbers there.
        DataError: the file cannot be written.
    """
    check_installed()
    network = _Whole(predictor).eval()
    rows = torch.randn(7, *predictor.saved.shape, generator=torch.Generator().manual_seed(0))
    content = _exported(network, rows[:2], predictor.saved)
    for count in (1, 2, len(rows)):  # also others than it was traced with
        _check(content, predictor, rows[:count])
    write_whole(path, lambda file: file.write(content))


def check_installed() -> None:
    """Raise SettingError unless all that an export needs is installed."""
    lacking = [name for name in _NEEDED if find_spec(name) is None]
    if lacking:
        raise SettingError(needs("an export", ", ".join(lacking), "onnx"))


class _Whole(nn.Module):
    """A network, and what a predictor makes of its outputs, in float32."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        saved = predictor.saved
        self.network, self.regression = predictor.network, saved.task == "regression"
        self.temperature = saved.temperature or 1.0
        self.register_buffer("mean", torch.tensor(saved.target_mean))
        self.register_buffer("std", torch.tensor(saved.target_std))

    def forward(self, rows: Tensor) -> Tensor:
        outputs = self.network(rows)
        if self.regression:
            return outputs * self.std + self.mean
        return (class_logits(outputs) / self.temperature).softmax(1)


def _exported(network: nn.Module, rows: Tensor, saved: Saved) -> bytes:
    with _quiet():
        try:
            program = torch.onnx.export(
                network,
                (rows,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("n")},),
                input_names=["rows"],
                output_names=["values" if saved.task == "regression" else "probabilities"],
                opset_version=OPSET,
                verbose=False,
            )
        except Exception as error:  # whatever a network of the user's may raise
            reason = " ".join(str(error.__cause__ or error).split())[:300]
            raise SettingError(
                f"the network {saved.model} cannot be exported to ONNX ({reason}); its forward must be a fixed graph "
                "of torch's functions, for any number of rows."
            ) from None
    assert program is not None
    features = saved.encoding.feature_names if isinstance(saved.encoding, TableEncoding) else ()
    facts = {
        "task": saved.task,
        "classes": saved.classes,
        "temperature": saved.temperature,
        "features": features,
    }
    program.model.metadata_props.update({name: json.dumps(fact) for name, fact in facts.items()})
    program.model.metadata_props["calmix"] = __version__
    return program.model_proto.SerializeToString()


def _check(content: bytes, predictor: Predictor, rows: Tensor) -> None:
    from onnxruntime import InferenceSession

    session = InferenceSession(content, providers=["CPUExecutionProvider"])
    saved = predictor.saved
    if isinstance(session.get_inputs()[0].shape[0], int):
        raise SettingError(
            f"the network {saved.model} is a fixed graph for one number of rows alone; take x.shape[0] in its forward, "
            "where it takes len(x), and no int() of it."
        )
    [found] = session.run(None, {"rows": rows.numpy()})
    with torch.no_grad():
        outputs = predictor.network(rows)
    if saved.task == "regression":
        expected = predictor.values(outputs).view(len(rows), -1)
    else:
        expected = predictor.probs(outputs, saved.temperature or 1.0)
    off = np.abs(np.asarray(found) - expected.numpy()).max() / expected.abs().max().item()
    if not off <= TOLERANCE:
        raise SettingError(
            f"onnxruntime and PyTorch differ by {off:.1g} of the largest number for {len(rows)} rows, and "
            f"{TOLERANCE:g} is allowed: the network computes something that ONNX does otherwise; no file is written."
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's advice to those who write exporters."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
