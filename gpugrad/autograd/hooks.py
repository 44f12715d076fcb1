"""Hooks on tensors: functions that see, and may replace, a gradient on its way."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import GraphError

if TYPE_CHECKING:
    from ..tensor import Tensor

_ids = itertools.count()


class RemovableHandle:
    """Returned when a hook is registered: ``handle.remove()`` takes it off again."""

    __slots__ = ("_hooks", "_id")

    def __init__(self, hooks: dict[int, Any], number: int) -> None:
        self._hooks = hooks
        self._id = number

    def remove(self) -> None:
        """Take the hook off; removing twice is harmless."""
        self._hooks.pop(self._id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


class Hooks:
    """The hooks of one tensor: on its gradient, after accumulation, and whether to retain it."""

    __slots__ = ("after", "before", "retain")

    def __init__(self) -> None:
        self.before: dict[int, Callable[[Tensor], Tensor | None]] = {}
        self.after: dict[int, Callable[[Tensor], None]] = {}
        self.retain: weakref.ref[Tensor] | None = None

    def __call__(self, dy: Tensor) -> Tensor:
        """The gradient after every hook, in the order of registration; retained last."""
        for hook in tuple(self.before.values()):
            changed = hook(dy)
            if changed is not None:
                dy = changed
        tensor = self.retain() if self.retain is not None else None
        if tensor is not None:
            tensor.grad = dy if tensor.grad is None else tensor.grad + dy
        return dy


def _hooks_of(tensor: Tensor) -> Hooks:
    """A leaf keeps its hooks itself; for others they belong to the operation that made it."""
    holder: Any = tensor if tensor.grad_fn is None else tensor.grad_fn
    field = "_hooks" if holder is tensor else "hooks"
    hooks: Hooks | None = getattr(holder, field)
    if hooks is None:
        hooks = Hooks()
        setattr(holder, field, hooks)
    return hooks


def register_hook(tensor: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Call ``hook(gradient)`` each time the gradient of `tensor` has been summed up.

    The hook may return a gradient to use instead; it must not change its argument in place.
    Raises GraphError where `tensor` does not require a gradient.
    """
    if not tensor.requires_grad:
        raise GraphError(
            "register_hook: this tensor does not require a gradient, so the hook would never run.\n"
            "  Call requires_grad_() first."
        )
    return _add(_hooks_of(tensor).before, hook)


def register_post_accumulate_grad_hook(
    tensor: Tensor, hook: Callable[[Tensor], None]
) -> RemovableHandle:
    """Call ``hook(tensor)`` after a gradient was accumulated into ``tensor.grad`` (leaves only)."""
    if tensor.grad_fn is not None or not tensor.requires_grad:
        raise GraphError(
            "register_post_accumulate_grad_hook: only leaf tensors that require a gradient "
            "accumulate one.\n  Use register_hook for the results of operations."
        )
    return _add(_hooks_of(tensor).after, hook)


def retain_grad(tensor: Tensor) -> None:
    """Keep the gradient of a result of an operation in ``.grad`` during backward; leaves do."""
    if not tensor.requires_grad:
        raise GraphError("retain_grad: this tensor does not require a gradient.")
    if tensor.grad_fn is not None:
        _hooks_of(tensor).retain = weakref.ref(tensor)


def _add(hooks: dict[int, Any], hook: Callable[..., Any]) -> RemovableHandle:
    number = next(_ids)
    hooks[number] = hook
    return RemovableHandle(hooks, number)
