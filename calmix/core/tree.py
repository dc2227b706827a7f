"""Trees of tensors: a tensor, or dicts, tuples, named tuples, lists and dataclasses of trees."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from calmix.errors import ShapeError


def map_leaves(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """The tree with `function` applied to every tensor, together with the tensors at the same place in `others`.

    >>> map_leaves(torch.add, {"a": torch.tensor(1)}, {"a": torch.tensor(2)})
    {'a': tensor(3)}

    Raises:
        ShapeError: a leaf that is not a tensor.
    """
    if isinstance(tree, Tensor):
        return function(tree, *others)
    if isinstance(tree, dict):
        return type(tree)((key, map_leaves(function, leaf, *(o[key] for o in others))) for key, leaf in tree.items())
    if isinstance(tree, tuple | list) and not isinstance(tree, PackedSequence):
        mapped = [map_leaves(function, *parts) for parts in zip(tree, *others, strict=True)]
        return type(tree)(*mapped) if hasattr(tree, "_fields") else type(tree)(mapped)
    if is_dataclass(tree) and not isinstance(tree, type):
        names = [f.name for f in fields(tree)]
        return replace(tree, **{k: map_leaves(function, *(getattr(t, k) for t in (tree, *others))) for k in names})
    if isinstance(tree, PackedSequence):
        raise ShapeError(
            "a PackedSequence cannot be mixed; pad the rows (pad_packed_sequence), give x as a dict of the padded rows "
            "and a boolean mask of their places, and pack them in the model."
        )
    raise ShapeError(
        f"a batch holds tensors, or dicts, tuples, lists and dataclasses of them; got {type(tree).__name__}: make "
        "tensors of numbers and arrays (torch.as_tensor), and leave other things out."
    )


def leaves(tree: Any) -> list[Tensor]:
    """The tensors of a tree, in order."""
    found: list[Tensor] = []
    map_leaves(lambda leaf: found.append(leaf) or leaf, tree)
    return found


def take_rows(tree: Any, index: Tensor | slice) -> Any:
    """The rows at `index` of every tensor."""
    return map_leaves(lambda leaf: leaf[index], tree)


def cat_rows(tree: Any, *others: Any) -> Any:
    """The rows of `tree`, then those of each of `others`, in the dtypes of `tree`."""
    return map_leaves(lambda leaf, *rest: torch.cat([leaf, *(rows.to(leaf.dtype) for rows in rest)]), tree, *others)


def row_dot(tree: Any, other: Any) -> Tensor:
    """The inner product of each row of a tree with that of another (n,), over all tensors."""
    pairs = zip(leaves(tree), leaves(other), strict=True)
    return torch.stack([(left * right).flatten(1).sum(1) for left, right in pairs]).sum(0)
