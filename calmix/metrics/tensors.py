"""The boundary: what a metric accepts."""

import numpy as np
import torch
from torch import Tensor

Array = Tensor | np.ndarray


def cpu_tensor(values: Array) -> Tensor:
    """`values` on the CPU and outside the graph. A numpy array is copied, so a read-only one will do."""
    return values.detach().cpu() if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
