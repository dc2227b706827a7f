"""What a trained network says of a split."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from calmix.data import Split
from calmix.errors import SettingError
from calmix.predictions import class_logits
from calmix.train.batches import Batches, rows_at_a_time

_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


@torch.no_grad()
def predict(model: nn.Module, split: Split) -> Tensor:
    """The network's outputs (n, K) on a split, in evaluation mode, float32 on the CPU."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    model.eval()
    batches = Batches(split, rows_at_a_time(split, device.type))
    return torch.cat([model(x.to(device)).float().cpu() for x, _, _ in batches])


def dropping(model: nn.Module) -> Sequence[nn.Module]:
    """The modules that drop something. Raise SettingError where there are none, as all passes would be the same."""
    found = [module for module in model.modules() if isinstance(module, _DROPOUT) and module.p > 0]
    if not found:
        raise SettingError(
            "dropout_passes are for networks with dropout, and this one has none; leave them out, or take a network "
            "such as dropout_mlp."
        )
    return found


@torch.no_grad()
def stochastic(model: nn.Module, split: Split, passes: int, seed: int) -> Tensor:
    """(S, n, K): the outputs of S passes with dropout, and all else as in evaluation; the seed tells what is dropped.

    As Monte Carlo dropout has it (Gal and Ghahramani, 2016, arXiv 1506.02142), without the noise of the targets.

    Raises:
        SettingError: a network without dropout.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    model.eval()
    try:
        for module in dropping(model):
            module.train()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            batches = Batches(split, rows_at_a_time(split, device.type))
            return torch.cat(
                [torch.stack([model(x.to(device)).float().cpu() for _ in range(passes)]) for x, _, _ in batches], 1
            )
    finally:
        model.eval()


def predicted_logits(model: nn.Module, split: Split) -> Tensor:
    """Logits (n, K) in float64; a single logit z becomes the two columns 0, z."""
    return class_logits(predict(model, split).double())
