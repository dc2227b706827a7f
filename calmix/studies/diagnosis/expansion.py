"""Mixup as a Taylor expansion: the mixup loss is the clean loss plus directional derivatives of all orders.

The first part is functions of networks and tensors; the second expands the loss of a network while it learns.

n rows, K outputs, k an order, a the partner's share, r a partner

For losses that are linear in the target, and pairs in both orders, mixup's loss with mixed targets is a loss with the
*clean* targets (Carratino et al., On Mixup Regularization, 2020, arXiv 2006.06049; Zou et al., MixupE, UAI 2023, arXiv
2212.13381):

    E loss(f(lam x_i + (1 - lam) x_j), lam y_i + (1 - lam) y_j),   lam ~ Beta(alpha, alpha)
  = E phi_i(a),   phi_i(a) = loss(f(x_i + a (r - x_i)), y_i),      a ~ Beta(alpha, alpha + 1)

and where phi has derivatives along r - x_i,

  = E phi_i(0) + sum_k E[a^k] / k! E[phi_i^(k)(0)] + remainder.

Whether the remainder is small depends on the network: where its logits change by more than about pi from a row to its
partner, the Taylor series of the cross-entropy (of the logarithm in it) does not converge at the partner.
"""

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import jvp

from calmix.core import require
from calmix.core.task import Task
from calmix.data import Split
from calmix.errors import SettingError, ShapeError
from calmix.results.records import Epoch
from calmix.train import Recipe
from calmix.train.recipe import weighted_task

Path = Callable[[Tensor], Tensor]  # shares a (n,) -> what the rows have there, (n,) or (n, K), each row by itself

ALPHA, ORDERS, PAIRS = (
    1.0,
    4,
    256,
)  # what a diagnosis expands: Mixup's Beta(alpha, alpha), the orders, the ordered pairs
PARTS_OF_THE_WAY = (1.0, 0.5, 0.25, 0.125)  # from a row to its partner
_MEASURED = 6  # epochs at which a training is measured, beside the untrained network
_NODES = 32  # of the quadrature: exact for polynomials up to degree 63
_ROWS = 2048  # at a time


def partner_moments(alpha: float, orders: int) -> Tensor:
    """E[a^k] for k = 0 ... orders, a ~ Beta(alpha, alpha + 1) the partner's share; (orders + 1,) float64.

    Formula: E[a^k] = prod over s < k of (alpha + s) / (2 alpha + 1 + s), so that E[a] = alpha / (2 alpha + 1).

    >>> partner_moments(1.0, 2)
    tensor([1.0000, 0.3333, 0.1667], dtype=torch.float64)
    """
    require.positive("alpha", alpha)
    s = torch.arange(orders, dtype=torch.float64)
    return torch.cat([torch.ones(1, dtype=torch.float64), ((alpha + s) / (2 * alpha + 1 + s)).cumprod(0)])


def partner_nodes(alpha: float, count: int = _NODES) -> tuple[Tensor, Tensor]:
    """Gauss-Jacobi nodes and weights (count,) float64: E g(a) = sum of weight g(node), a ~ Beta(alpha, alpha + 1).

    Exact for polynomials g up to degree 2 count - 1; needs SciPy.

    >>> nodes, weights = partner_nodes(1.0, 4)
    >>> round(float((weights * nodes).sum()), 6)  # E[a] = 1/3
    0.333333
    """
    require.positive("alpha", alpha)
    from scipy.special import roots_jacobi

    x, weight = roots_jacobi(count, alpha, alpha - 1)
    return torch.from_numpy((1 + x) / 2), torch.from_numpy(weight / weight.sum())


def loss_path(model: nn.Module, task: Task, x: Tensor, y: Tensor, toward: Tensor) -> Path:
    """phi: shares (n,) -> the losses (n,) of x + share (toward - x), each against its clean target y.

    x and toward (n, ...) are floating, y as the task has it. The model must treat rows one by one: in evaluation mode.

    Raises:
        ShapeError: inputs that are not floating tensors of the same shape.

    >>> from calmix.core.task import Regression
    >>> phi = loss_path(nn.Identity(), Regression(), torch.zeros(1, 1), torch.zeros(1, 1), torch.tensor([[3.0]]))
    >>> phi(torch.tensor([0.5]))  # (1.5 - 0)^2
    tensor([2.2500])
    """
    target = task.target(y)
    output = output_path(model, task, x, toward)
    return lambda share: task.loss(output(share), target)


def output_path(model: nn.Module, task: Task, x: Tensor, toward: Tensor) -> Path:
    """Shares (n,) -> the outputs (n, K) of the model at x + share (toward - x); see `loss_path`."""
    if not (isinstance(x, Tensor) and isinstance(toward, Tensor) and x.is_floating_point() and x.shape == toward.shape):
        raise ShapeError(
            "directional derivatives need x and toward as two floating tensors of one shape; got "
            f"{_described(x)} and {_described(toward)}: give tokens and trees as their embeddings."
        )
    direction = toward - x

    def outputs(share: Tensor) -> Tensor:
        return task.output(model(x + share.to(x.dtype).view(-1, *(1,) * (x.ndim - 1)) * direction))

    return outputs


def derivatives(path: Path, at: Tensor, orders: int = 4) -> Tensor:
    """The derivatives of orders 0 ... `orders` of each row's path at its own share `at` (n,).

    By nested forward mode (`torch.func.jvp`); where an operation has none of that order (SiLU and Mish from the
    second), by repeated double backward, which gives the same numbers and keeps a graph in memory.

    Returns:
        (orders + 1, n), or (orders + 1, n, K) where the path gives K values a row; no gradient.

    >>> derivatives(lambda a: a**3, torch.tensor([2.0]), 4).squeeze(1)
    tensor([ 8., 12., 12.,  6.,  0.])
    """
    if orders < 0:
        raise SettingError(f"orders must be at least 0; got {orders}.")
    try:
        return forward_derivatives(path, at, orders)
    except NotImplementedError:
        return backward_derivatives(path, at, orders)


def forward_derivatives(path: Path, at: Tensor, orders: int) -> Tensor:
    """`derivatives` by nested `torch.func.jvp`; NotImplementedError where an operation has no forward mode."""

    def nested(share: Tensor, k: int) -> tuple[Tensor, ...]:
        if k == 0:
            return (path(share),)
        pushed: Any = jvp(lambda s: nested(s, k - 1), (share,), (torch.ones_like(share),))
        lower, slopes = pushed
        return (*lower, slopes[-1])

    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.script", category=DeprecationWarning)  # torch's own use
        return torch.stack(nested(at, orders))


def backward_derivatives(path: Path, at: Tensor, orders: int) -> Tensor:
    """`derivatives` by differentiating the gradient again and again."""
    with torch.enable_grad():
        share = at.detach().requires_grad_()
        value = path(share)
        columns = [value] if value.ndim == 1 else list(value.unbind(1))
        found = torch.stack([_repeated(column, share, orders) for column in columns], -1)
    return found.squeeze(-1) if value.ndim == 1 else found


def _repeated(value: Tensor, share: Tensor, orders: int) -> Tensor:
    found = [value.detach()]
    for _ in range(orders):
        if value.requires_grad:  # else a constant
            value = torch.autograd.grad(value.sum(), share, create_graph=True, materialize_grads=True)[0]
        else:
            value = torch.zeros_like(share)
        found.append(value.detach())
    return torch.stack(found)


@dataclass(frozen=True)
class Expansion:
    """The mixup loss of a network and its Taylor expansion, means over pairs.

    clean: E phi(0). mixup: E phi(a), by quadrature over a and without any expansion.
    terms: E[a^k] / k! E[phi^(k)(0)] of orders 1 ... K: what mixup adds to the clean loss.
    sizes: E[a^k] / k! E|phi^(k)(0)|, the same without cancellation between pairs.
    output_sizes: E[a^k] / k! E|D^k f|, of the outputs along r - x (Euclidean; of logits less their mean, which no
    softmax sees).
    """

    clean: float
    mixup: float
    terms: tuple[float, ...]
    sizes: tuple[float, ...]
    output_sizes: tuple[float, ...]

    @property
    def remainders(self) -> tuple[float, ...]:
        """mixup - clean - the terms up to order k, for k = 0 ... K: what the expansion still lacks."""
        lacking = [self.mixup - self.clean]
        for term in self.terms:
            lacking.append(lacking[-1] - term)
        return tuple(lacking)


def expand(
    model: nn.Module, task: Task, x: Tensor, y: Tensor, toward: Tensor, alpha: float = 1.0, orders: int = 4
) -> Expansion:
    """The expansion of the mixup loss of `model` over the pairs (x_i, toward_i).

    Formula: on top of this module. Both sides are computed: the loss itself by Gauss-Jacobi quadrature over the
    partner's share, the terms by `derivatives`; `remainders` says how well they agree.
    Args:
        model: put into evaluation mode for this; it should be smooth (with ReLU, derivatives of the outputs of order 2
            and more are 0 almost everywhere and its kinks are all in the remainder) and best in float64.
        x, toward: pairs (n, ...); for the batch's mixup loss, every pair in both orders. y: the targets of x.
        alpha: of mixup's Beta(alpha, alpha).
    Raises:
        ShapeError: inputs that are not floating tensors. SettingError: alpha not positive, orders below 1.

    >>> from calmix.core.task import Regression
    >>> x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [0.0]])
    >>> found = expand(nn.Identity(), Regression(), x, y, x.flip(0), orders=2)  # phi = a^2 and (1 - a)^2
    >>> round(found.clean, 4), round(found.mixup, 4), [round(term, 4) for term in found.terms]
    (0.5, 0.3333, [-0.3333, 0.1667])
    """
    if orders < 1:
        raise SettingError(f"orders must be at least 1; got {orders}.")
    nodes, node_weights = partner_nodes(alpha)
    weights = partner_moments(alpha, orders) / torch.tensor([float(math.factorial(k)) for k in range(orders + 1)])
    training = model.training
    model.eval()
    mixup, sums = 0.0, torch.zeros(3, orders + 1, dtype=torch.float64)
    try:
        for rows in torch.arange(len(x)).split(_ROWS):
            path = _loss_and_outputs(model, task, x[rows], y[rows], toward[rows])
            start = x.new_zeros(len(rows))
            with torch.no_grad():
                for node, weight in zip(nodes.tolist(), node_weights.tolist(), strict=True):
                    mixup += weight * float(path(start + node)[:, 0].double().sum())
            found = derivatives(path, start, orders).double()  # (orders + 1, n, 1 + K)
            losses, outputs = found[..., 0], found[..., 1:]
            if outputs.shape[2] > 1:
                outputs = outputs - outputs.mean(2, keepdim=True)
            sums += torch.stack([losses.sum(1), losses.abs().sum(1), outputs.norm(dim=2).sum(1)]).cpu()
    finally:
        model.train(training)
    terms, sizes, output_sizes = (sums / len(x) * weights).tolist()
    return Expansion(terms[0], mixup / len(x), tuple(terms[1:]), tuple(sizes[1:]), tuple(output_sizes[1:]))


def _loss_and_outputs(model: nn.Module, task: Task, x: Tensor, y: Tensor, toward: Tensor) -> Path:
    """The loss and the outputs side by side (n, 1 + K): one pass for the derivatives of both."""
    target, outputs = task.target(y), output_path(model, task, x, toward)

    def both(share: Tensor) -> Tensor:
        output = outputs(share)
        return torch.cat([task.loss(output, target)[:, None], output.flatten(1)], 1)

    return both


def _described(x: object) -> str:
    return f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__


# ---------------------------------------------------------------------------------------- while a network learns


@dataclass(frozen=True, eq=False)
class Follower:
    """Expands Mixup's loss on the same pairs at some epochs of a training, whatever the network is trained with.

    Hand `follower.on_epoch` to `calmix.train.train`, then ask for `scores(trained)`. The epochs are 0 (untrained), the
    last, and some in between that lie evenly on a logarithmic scale.

    >>> from calmix.data import NamedSet
    >>> from calmix import mixup
    >>> from calmix.models import smooth_mlp
    >>> from calmix.train import TrainingSettings, train
    >>> recipe = Recipe(NamedSet("wine"), "mixup", mixup(), smooth_mlp, TrainingSettings(epochs=2))
    >>> follower = Follower.of(recipe, pairs=8, orders=1)
    >>> list(follower.scores(train(recipe, follower.on_epoch).model))[:4]
    ['expansion/0', 'expansion/0/0', 'expansion/0/1', 'expansion/1']
    """

    task: Task
    x: Tensor  # (n, ...) float64
    y: Tensor  # (n, ...)
    toward: Tensor  # (n, ...)
    epochs: list[int]
    orders: int
    found: dict[str, dict[str, float]] = field(default_factory=dict)  # condition -> metric -> value

    @staticmethod
    def of(recipe: Recipe, pairs: int = PAIRS, orders: int = ORDERS) -> "Follower":
        """The follower of a recipe, which has measured the untrained network.

        pairs: how many ordered pairs of training rows, drawn with replacement, each with its reverse.
        """
        splits = recipe.splits()
        rows = partners(splits.train, pairs, recipe.seed)
        follower = Follower(
            weighted_task(splits, recipe.settings), *rows, measured_epochs(recipe.settings.epochs), orders
        )
        follower.look(0, recipe.network())
        return follower

    def on_epoch(self, epoch: Epoch, model: nn.Module) -> None:
        self.look(epoch.number, model)

    def look(self, epoch: int, model: nn.Module) -> None:
        """Expand the loss of the network after so many epochs."""
        if epoch in self.epochs:
            self._expand(f"expansion/{epoch}", model)

    def scores(self, trained: nn.Module) -> dict[str, dict[str, float]]:
        """The conditions under `expansion`, and those under `reach`: the trained network's, with partners moved closer
        to `PARTS_OF_THE_WAY`."""
        for part in PARTS_OF_THE_WAY:
            self._expand(f"reach/{part:g}", trained, part)
        return self.found

    def _expand(self, path: str, model: nn.Module, part: float = 1.0) -> None:
        exact = copy.deepcopy(model).cpu().double()
        toward = self.x + part * (self.toward - self.x)
        found = expand(exact, self.task, self.x, self.y, toward, ALPHA, self.orders)
        self.found[path] = {"clean_loss": found.clean, "mixup_loss": found.mixup}
        self.found[f"{path}/0"] = {"remainder": found.remainders[0]}
        by_order = zip(found.terms, found.sizes, found.output_sizes, found.remainders[1:], strict=True)
        for order, values in enumerate(by_order, start=1):
            names = ("term", "term_size", "output_size", "remainder")
            self.found[f"{path}/{order}"] = dict(zip(names, values, strict=True))


def partners(train: Split, pairs: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """x (n, ...), y (n, ...) and toward (n, ...) in float64: random rows with partners, and each pair reversed."""
    if pairs < 2:
        raise SettingError(f"pairs must be at least 2, one and its reverse; got {pairs}.")
    rows = torch.randint(len(train), (2, pairs // 2), generator=torch.Generator().manual_seed(seed))
    anchor, partner = torch.cat([rows, rows.flip(0)], 1)
    x, y = train.x.double(), train.y.double() if train.y.is_floating_point() else train.y
    return x[anchor], y[anchor], x[partner]


def measured_epochs(last: int) -> list[int]:
    """0, 1, ..., `last`, evenly on a logarithmic scale.

    >>> measured_epochs(60)
    [0, 1, 2, 5, 12, 26, 60]
    """
    return [0, *np.unique(np.geomspace(1, last, min(last, _MEASURED)).round().astype(int)).tolist()]
