"""What a mix is, and how it is applied. Nothing is drawn here: a `Mix` holds everything random of a step.

n rows of a batch, m mixed rows, K entries of a target row
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from calmix.core.hooks import find_site, hooked, run_eagerly, uncompiled
from calmix.core.tree import leaves, map_leaves, take_rows
from calmix.errors import ShapeError, SiteError

_SUM = 0  # torch.embedding_bag's number for it
_LONG_ROW = 2**17  # bytes above which blending row by row costs less than one call for all rows
_FEW = 2**15  # entries up to which copies of both rows of each pair cost less than what spares them


@dataclass(frozen=True)
class Batch:
    """One batch as the loader gave it.

    x: a tensor (n, ...) or a dict, tuple, list or dataclass of such tensors.
    y: targets as the user has them (class ids, one-hot rows, values, or a tree of such); the task makes rows of them.
    index: the rows' positions in the data set (n,), for methods that look beyond the batch.
    """

    x: Any
    y: Any
    index: Tensor | None = None


@dataclass(frozen=True)
class Mix:
    """Who is mixed with whom, how much, and where: everything random of a step. lam is the anchor's share.

    anchor, partner: row indices (m,), int64.
    lam_x, lam_y: shares in [0, 1] (m,), for inputs and for targets; lam_x may be a map (m, 1, H, W) with a share for
    every pixel.
    site: None mixes the inputs, a module's name mixes that module's output.
    later: mixes of the same pairs at later sites of the forward, for methods that mix more than once.
    """

    anchor: Tensor
    partner: Tensor
    lam_x: Tensor
    lam_y: Tensor
    site: str | None = None
    later: tuple["Mix", ...] = ()


def blend(rows: Any, mix: Mix, lam: Tensor, out: Tensor | None = None) -> Any:
    """lam rows[anchor] + (1 - lam) rows[partner], for every row of every leaf.

    Args:
        rows: a tensor (n, ...) of any rank, or a dict, tuple, list or dataclass of them.
        mix: gives anchor and partner (m,).
        lam: the anchor's share (m,), usually `mix.lam_x` or `mix.lam_y`; or a map that broadcasts against the rows.
        out: a tensor (m, ...) to write to, if the rows are one tensor: a buffer that is used again, or `rows` itself.

    Returns:
        Rows (m, ...) of the same structure, dtype and memory format; `rows` is not changed unless it is `out`. lam = 1
        gives exactly rows[anchor], and lam = 0 exactly rows[partner]. Half-precision leaves are blended in float32.
        Boolean leaves (masks) are or-ed over those of the two rows whose share is not 0.

    Up to 32,768 numbers, both rows of each pair are copied and interpolated, by few calls. More are gathered and
    interpolated in one pass over memory, unless a gradient flows through them.

    Raises:
        ShapeError: an integer leaf; it cannot be blended.

    >>> mix = Mix(torch.tensor([0]), torch.tensor([1]), torch.tensor([0.75]), torch.tensor([0.75]))
    >>> blend(torch.tensor([[0.0, 4.0], [4.0, 0.0]]), mix, mix.lam_x)
    tensor([[1., 3.]])
    """
    if out is None:
        return map_leaves(lambda leaf: _blend_leaf(leaf, mix, lam), rows)
    if not isinstance(rows, Tensor):
        raise ShapeError("out= needs rows that are one tensor; leave it out for a tree of tensors.")
    if out.shape != (len(lam), *rows.shape[1:]):
        raise ShapeError(f"out= must have the shape {(len(lam), *rows.shape[1:])}; got {tuple(out.shape)}.")
    mixed = _blend_leaf(rows, mix, lam, out)
    return mixed if mixed is out else out.copy_(mixed)


@dataclass(frozen=True)
class Shares:
    """Targets whose losses are mixed in their place: loss_i = sum over parts of share_i loss(output_i, rows_i).

    parts: pairs of shares (n,) and a tree of target rows (n, ...); or of shares (n, 1, ...) or (n, H, W) and one tensor
    with a label for every place (n, H, W).
    """

    parts: tuple[tuple[Tensor, Any], ...]


def mixed_target(target: Any, mix: Mix) -> Any:
    """The target rows (m, K) of the mixed rows: `blend` of target rows (n, K) with `mix.lam_y`; trees leaf by leaf.

    `Shares` are not blended: the result has the anchors' rows with the share lam_y, and the partners' with 1 - lam_y.
    Where lam_x is a map, of boxes pasted into images, labels of every pixel have that map's shares.

    Raises:
        ShapeError: lam_x is a map, and the targets have places that would not follow it.
    """
    if isinstance(target, Shares):
        parts = []
        for share, rows in target.parts:
            lam = _share_of_anchor(share, rows, mix)
            parts.append((share[mix.anchor] * lam, take_rows(rows, mix.anchor)))
            parts.append((share[mix.partner] * (1 - lam), take_rows(rows, mix.partner)))
        return Shares(tuple(parts))
    if isinstance(target, dict):
        return {name: mixed_target(rows, mix) for name, rows in target.items()}
    _refuse_places(target, mix)
    return blend(target, mix, mix.lam_y)


def _share_of_anchor(share: Tensor, rows: Any, mix: Mix) -> Tensor:
    """lam of rows with the shares (n,), as (m,); of labels with places, as (m, 1, ...) or, of boxes, (m, H, W)."""
    if share.ndim == 1:
        _refuse_places(rows, mix)
        return mix.lam_y
    if mix.lam_x.ndim == 1:
        return mix.lam_y.reshape(-1, *share.shape[1:])
    if mix.lam_x.shape[2:] != rows.shape[1:]:
        raise ShapeError(
            f"images of {tuple(mix.lam_x.shape[2:])} pixels have labels of the shape {tuple(rows.shape)}; boxes can be "
            "pasted into both where the height and width are the same: resize the labels."
        )
    return mix.lam_x[:, 0]


def _refuse_places(target: Any, mix: Mix) -> None:
    """Raise ShapeError where boxes are pasted into images, and the targets have places of their own."""
    if mix.lam_x.ndim > 1 and (dense := [leaf for leaf in leaves(target) if leaf.ndim > 2]):
        raise ShapeError(
            f"boxes are pasted into images, and targets of the shape {tuple(dense[0].shape)} would not follow; give "
            "the classes of pixels to the task Dense, or mix whole images, as mixup does."
        )


def mixed_output(model: Callable[[Any], Any], x: Any, mix: Mix) -> Any:
    """The model's output (m, ...) on the mixed rows, mixed at the inputs or at the output of `mix.site`.

    Raises:
        SiteError: `mix.site` is not a module of the model, the forward never reached it, or its output does not hold
            a row for each row of the batch.
    """
    if mix.later:
        raise SiteError("rows mixed at several sites in one step have to be taken apart in between, as in mit_a.")
    if mix.site is None:
        return model(blend(x, mix, mix.lam_x))
    model, reached = uncompiled(model), False

    def blend_output(module: nn.Module, _inputs: Any, output: Any) -> Any:
        nonlocal reached
        reached = True
        require_rows(output, len(leaves(x)[0]), module, mix.site)
        return blend(output, mix, mix.lam_x)

    with run_eagerly(), hooked(find_site(model, mix.site), blend_output):
        output = model(x)
    if not reached:
        raise SiteError(f"the forward never reached the site {mix.site!r}; name a module that every forward runs.")
    return output


def require_rows(output: Any, size: int, module: nn.Module, site: str | None) -> None:
    """Raise SiteError unless every tensor of a module's output has a row for each of `size` rows."""
    shapes = [tuple(leaf.shape) for leaf in leaves(output)]
    if isinstance(module, nn.RNNBase) or any(shape[:1] != (size,) for shape in shapes):
        raise SiteError(
            f"the output of {site!r}, of {type(module).__name__}, does not hold one row for each of the {size} rows of "
            f"the batch (its tensors have the shapes {', '.join(map(str, shapes))}); name a module that returns "
            "(n, ...), such as one that wraps it and returns its output alone."
        )


def _blend_leaf(rows: Tensor, mix: Mix, lam: Tensor, out: Tensor | None = None) -> Tensor:
    """The blended rows of one tensor; written to `out` if that takes one pass, else returned as a new tensor."""
    few = rows.numel() <= _FEW and rows.is_contiguous()
    if not few and rows.is_floating_point() and _one_pass(rows, lam):
        if rows.is_cpu and rows.element_size() * rows.stride(0) >= _LONG_ROW:
            return _row_by_row(rows, mix, lam, out)
        if lam.ndim == 1:
            return _weighted_sum(rows, mix, lam)
    share = lam.view(-1, *(1,) * (rows.ndim - 1)) if lam.ndim == 1 else lam  # (m, 1, ...)
    if rows.dtype == torch.bool:
        return (rows[mix.anchor] & (share > 0)) | (rows[mix.partner] & (share < 1))
    require_blendable(rows)
    if lam.ndim > 1 and lam.shape[2:] != rows.shape[2:]:
        raise ShapeError(
            f"a share for every entry of {tuple(lam.shape[1:])} does not fit rows of {tuple(rows.shape[1:])}; mix the "
            "inputs: site=None."
        )
    wide = torch.float32 if rows.dtype in (torch.float16, torch.bfloat16) else rows.dtype
    partner = _taken(rows, mix.partner, wide)  # a copy
    return partner.lerp_(_taken(rows, mix.anchor, wide), share.to(wide)).to(rows.dtype)


def _taken(rows: Tensor, index: Tensor, dtype: torch.dtype) -> Tensor:
    """rows[index]; of contiguous rows by a call that is quicker, of others by one that may keep their order."""
    return (rows.index_select(0, index) if rows.is_contiguous() else rows[index]).to(dtype)


def require_blendable(rows: Tensor) -> None:
    """Raise ShapeError unless the rows are floating or boolean."""
    if not rows.is_floating_point() and rows.dtype != torch.bool:
        raise ShapeError(
            f"rows of dtype {str(rows.dtype).removeprefix('torch.')} cannot be blended; convert measurements with "
            ".float() and masks with .bool(), or mix what an embedding makes of ids: site='<name of the embedding>'."
        )


def _one_pass(rows: Tensor, lam: Tensor) -> bool:
    """Whether the rows can be blended in one pass: dense, no gradient, not compiled, lam one share a row or a map."""
    return (
        not torch.compiler.is_compiling()
        and rows.ndim > 1
        and rows.numel() > 0
        and (lam.ndim == 1 or (lam.dtype == rows.dtype and lam.shape[2:] == rows.shape[2:]))
        and not ((rows.requires_grad or lam.requires_grad) and torch.is_grad_enabled())
        and rows.stride(0) * len(rows) == rows.numel()
        and (
            rows.is_contiguous()
            or (rows.ndim == 4 and rows.is_contiguous(memory_format=torch.channels_last))
            or (rows.ndim == 5 and rows.is_contiguous(memory_format=torch.channels_last_3d))
        )
    )


def _weighted_sum(rows: Tensor, mix: Mix, lam: Tensor) -> Tensor:
    """All rows in one call: each mixed row is a weighted bag of two rows."""
    flat = rows.as_strided((len(rows), rows.stride(0)), (rows.stride(0), 1))
    half = rows.dtype in (torch.float16, torch.bfloat16)
    flat = flat.float() if half else flat
    lam = lam.to(flat.dtype)
    pairs, weights = torch.stack((mix.anchor, mix.partner), 1), torch.stack((lam, 1 - lam), 1)
    first = torch.arange(0, pairs.numel(), 2, device=pairs.device)  # of each bag
    mixed, *_ = torch.embedding_bag(flat, pairs.view(-1), first, False, _SUM, False, weights.view(-1))
    return mixed.to(rows.dtype).as_strided((len(lam), *rows.shape[1:]), rows.stride())


def _row_by_row(rows: Tensor, mix: Mix, lam: Tensor, out: Tensor | None) -> Tensor:
    """One call for each mixed row, for long rows on the CPU."""
    if out is None or out.stride() != rows.stride() or _share_memory(rows, out):
        out = torch.empty_strided((len(lam), *rows.shape[1:]), rows.stride(), dtype=rows.dtype)
    shares, row = lam.tolist() if lam.ndim == 1 else lam.unbind(), rows.unbind()
    for mixed, anchor, partner, share in zip(
        out.unbind(), mix.anchor.tolist(), mix.partner.tolist(), shares, strict=True
    ):
        torch.lerp(row[partner], row[anchor], share, out=mixed)
    return out


def _share_memory(rows: Tensor, out: Tensor) -> bool:
    """Whether the two tensors have one storage, so that writing to `out` may change `rows`."""
    return rows.untyped_storage().data_ptr() == out.untyped_storage().data_ptr()
