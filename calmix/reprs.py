"""The text of a dataclass without its defaults, so that a field that is added later leaves older texts as they were."""

from collections.abc import Collection
from dataclasses import fields
from typing import Any


def shown(value: Any, unless_default: Collection[str] | None = None) -> str:
    """The call that makes a dataclass, without the fields that are at their defaults.

    unless_default: the only fields that are left out at their defaults; None: all are.

    >>> from calmix.core.task import Classification
    >>> shown(Classification(3)), shown(Classification(3, focal=2.0), unless_default={"weight", "ignore_index"})
    ('Classification(num_classes=3)', 'Classification(num_classes=3, label_smoothing=0.0, focal=2.0)')
    """
    given = [
        f"{field.name}={getattr(value, field.name)!r}"
        for field in fields(value)
        if getattr(value, field.name) != field.default
        or (unless_default is not None and field.name not in unless_default)
    ]
    return f"{type(value).__name__}({', '.join(given)})"
