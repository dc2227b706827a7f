"""Small smooth problems, solved in full."""

from collections.abc import Callable

import torch
from torch import Tensor


@torch.inference_mode(False)
@torch.enable_grad()
def minimise(
    loss: Callable[..., Tensor], *start: Tensor, steps: int = 100, tolerance: float = 1e-8
) -> tuple[Tensor, ...]:
    """Arguments, one for each of `start`, that minimise `loss` by L-BFGS with a strong Wolfe line search.

    It ends where no entry of the gradient exceeds `tolerance`. Deterministic; `start` is not changed; also inside
    torch.no_grad and torch.inference_mode.

    >>> minimise(lambda x: (x - 3) ** 2, torch.tensor(0.0))
    (tensor(3.),)
    """
    values = [value.detach().clone().requires_grad_() for value in start]
    optimiser = torch.optim.LBFGS(
        values, max_iter=steps, tolerance_grad=tolerance, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(*values)
        value.backward()
        return value

    optimiser.step(closure)
    return tuple(value.detach() for value in values)
