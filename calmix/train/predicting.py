"""What a trained network says of a split."""

import torch
from torch import Tensor, nn

from calmix.data import Split
from calmix.predictions import class_logits
from calmix.train.batches import Batches, rows_at_a_time


@torch.no_grad()
def predict(model: nn.Module, split: Split) -> Tensor:
    """The network's outputs (n, K) on a split, in evaluation mode, float32 on the CPU."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    model.eval()
    return torch.cat([model(x.to(device)).float().cpu() for x, _, _ in Batches(split, rows_at_a_time(split))])


def predicted_logits(model: nn.Module, split: Split) -> Tensor:
    """Logits (n, K) in float64; a single logit z becomes the two columns 0, z."""
    return class_logits(predict(model, split).double())
