"""What a mix is, and how it is applied. No randomness here: a `Mix` holds everything that was drawn.

n rows of a batch, m mixed rows, K entries of a target row
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from calmix.errors import ShapeError, SiteError


@dataclass(frozen=True)
class Batch:
    """One batch as the loader gave it.

    x: a tensor (n, ...) or a dict, tuple, list or dataclass of such tensors.
    y: targets as the user has them (class ids, one-hot rows, values); the task turns them into rows (n, K).
    index: the rows' positions in the data set (n,), where a method remembers something per row.
    """

    x: Any
    y: Tensor
    index: Tensor | None = None


@dataclass(frozen=True)
class Mix:
    """Who is mixed with whom, how much, and where: everything random of a step. lam is the anchor's share.

    anchor, partner: row indices (m,), int64; lam_x, lam_y: shares in [0, 1] (m,), for inputs and for targets;
    site: None mixes the inputs, a module's name mixes that module's output.
    """

    anchor: Tensor
    partner: Tensor
    lam_x: Tensor
    lam_y: Tensor
    site: str | None = None


def blend(rows: Any, mix: Mix, lam: Tensor) -> Any:
    """lam rows[anchor] + (1 - lam) rows[partner], for every row of every leaf.

    Args:
        rows: a tensor (n, ...) of any rank, or a dict, tuple, list or dataclass of them.
        mix: gives anchor and partner (m,).
        lam: the anchor's share (m,), usually `mix.lam_x` or `mix.lam_y`.

    Returns:
        New rows (m, ...) of the same structure, dtype and memory format; `rows` is never changed. lam = 1 gives
        rows[anchor] and lam = 0 gives rows[partner] to the bit. Half-precision leaves are blended in float32.
        Boolean leaves (masks) are or-ed over the rows that have a share.

    Raises:
        ShapeError: an integer leaf; it cannot be blended.

    >>> mix = Mix(torch.tensor([0]), torch.tensor([1]), torch.tensor([0.75]), torch.tensor([0.75]))
    >>> blend(torch.tensor([[0.0, 4.0], [4.0, 0.0]]), mix, mix.lam_x)
    tensor([[1., 3.]])
    """
    return map_leaves(lambda leaf: _blend_leaf(leaf, mix, lam), rows)


def mixed_target(target: Tensor, mix: Mix) -> Tensor:
    """The target rows (m, K) of the mixed rows: `blend` of target rows (n, K) with `mix.lam_y`."""
    return blend(target, mix, mix.lam_y)


def mixed_output(model: Callable[[Any], Tensor], x: Any, mix: Mix) -> Tensor:
    """The model's output (m, ...) on the mixed rows, mixed at the inputs or at the output of `mix.site`.

    Raises:
        SiteError: `mix.site` is not a module of the model, or the forward never reached it.
    """
    if mix.site is None:
        return model(blend(x, mix, mix.lam_x))
    model, reached = uncompiled(model), False

    def blend_output(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        nonlocal reached
        reached = True
        return blend(output, mix, mix.lam_x)

    with hooked(find_site(model, mix.site), blend_output):
        output = model(x)
    if not reached:
        raise SiteError(f"the forward never reached the site {mix.site!r}; name a module that every forward runs.")
    return output


def find_site(model: Any, site: str) -> nn.Module:
    """The module of `model` named `site`; a SiteError that lists the names where there is none."""
    modules = dict(model.named_modules()) if isinstance(model, nn.Module) else {}
    if site not in modules or site == "":
        names = ", ".join(name for name in modules if name) or "none: the model is not an nn.Module with parts"
        raise SiteError(f"the model has no module {site!r}; its modules are: {names}.")
    return modules[site]


def uncompiled(model: Any) -> Any:
    """The module behind `torch.compile`, whose graph does not see hooks that come and go; other models as they are."""
    return getattr(model, "_orig_mod", model)


@contextmanager
def hooked(module: nn.Module, hook: Callable[..., Any]) -> Iterator[None]:
    """A forward hook that does not survive the block, not even a failing one."""
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def map_leaves(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """`function` on every tensor of a tensor, dict, tuple, named tuple, list or dataclass, structure kept."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, dict):
        return type(tree)((key, map_leaves(function, leaf)) for key, leaf in tree.items())
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(map_leaves(function, leaf) for leaf in tree))
    if isinstance(tree, tuple | list):
        return type(tree)(map_leaves(function, leaf) for leaf in tree)
    if is_dataclass(tree) and not isinstance(tree, type):
        return replace(tree, **{f.name: map_leaves(function, getattr(tree, f.name)) for f in fields(tree)})
    raise ShapeError(
        f"a batch holds tensors, or dicts, tuples, lists and dataclasses of them; got {type(tree).__name__}."
    )


def _blend_leaf(rows: Tensor, mix: Mix, lam: Tensor) -> Tensor:
    share = lam.view(-1, *(1,) * (rows.ndim - 1))  # (m, 1, ...)
    anchor, partner = rows[mix.anchor], rows[mix.partner]
    if rows.dtype == torch.bool:
        return (anchor & (share > 0)) | (partner & (share < 1))
    if not rows.is_floating_point():
        raise ShapeError(
            f"rows of dtype {str(rows.dtype).removeprefix('torch.')} cannot be blended; convert measurements with "
            ".float(), or mix what an embedding makes of ids: site='<name of the embedding>'."
        )
    if rows.dtype in (torch.float16, torch.bfloat16):
        return torch.lerp(partner.float(), anchor.float(), share.float()).to(rows.dtype)
    return torch.lerp(partner, anchor, share.to(rows.dtype))
