"""Parameters that got no gradient: finding them, and watching for them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import GraphError
from .modes import MODE

if TYPE_CHECKING:
    from ..tensor import Tensor


def parameters_without_grad(model: Any) -> list[str]:
    """Names of the parameters that require a gradient and have none: call it after backward().

    model: anything with ``named_parameters()``, pairs of name and tensor, or tensors.
    """
    return [name for name, p in _named(model) if p.requires_grad and p.grad is None]


def check_parameters(model: Any, strict: bool = False) -> None:
    """Warn (or with `strict` raise GraphError) where a parameter of `model` got no gradient."""
    names = parameters_without_grad(model)
    if not names:
        return
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    text = (
        f"backward: {len(names)} parameters got no gradient: {shown}.\n"
        "  They are not part of the loss: unused, detached, or computed under no_grad. "
        "Freeze them with requires_grad_(False) if that is meant."
    )
    if strict:
        raise GraphError(text)
    warnings.warn(text, UserWarning, stacklevel=3)


@contextmanager
def watch_parameters(model: Any, strict: bool = False) -> Iterator[None]:
    """Inside the block, each ``backward()`` ends with `check_parameters` on `model`."""
    previous = MODE.after_backward
    MODE.after_backward = lambda: check_parameters(model, strict)
    try:
        yield
    finally:
        MODE.after_backward = previous


def _named(model: Any) -> Iterable[tuple[str, Tensor]]:
    if hasattr(model, "named_parameters"):
        yield from model.named_parameters()
        return
    for i, item in enumerate(model):
        yield item if isinstance(item, tuple) else (f"parameter {i}", item)
