"""Hooks on tensors: functions that see, and may replace, a gradient on its way."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
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
    """The hooks at one place of the graph: on the gradient of a tensor, after it was accumulated,
    whether to retain it, and before and after the backward of a node."""

    __slots__ = ("after", "before", "posthooks", "prehooks", "retain")

    def __init__(self) -> None:
        self.before: dict[int, Callable[[Tensor], Tensor | None]] = {}
        self.after: dict[int, Callable[[Tensor], None]] = {}
        self.prehooks: dict[int, Callable[[tuple[Any, ...]], Any]] = {}
        self.posthooks: dict[int, Callable[[tuple[Any, ...], tuple[Any, ...]], Any]] = {}
        self.retain: weakref.ref[Tensor] | None = None

    def __call__(self, dy: Any) -> Any:
        """The gradient (a list of them where a node has several results) after every hook, in the
        order of registration; a tensor's before its node's; retained last."""
        for hook in tuple(self.before.values()):
            changed = hook(dy)
            if changed is not None:
                dy = changed
        tensor = self.retain() if self.retain is not None else None
        if tensor is not None:
            tensor.grad = dy if tensor.grad is None else tensor.grad + dy
        for prehook in tuple(self.prehooks.values()):
            several = type(dy) is list
            changed = prehook(tuple(dy) if several else (dy,))
            if changed is not None:
                found = _checked("prehook", changed, len(dy) if several else 1)
                dy = list(found) if several else found[0]
        return dy

    def leave(self, results: Sequence[Tensor | None], dy: Any) -> Sequence[Tensor | None]:
        """The gradients of a node's inputs after its hooks."""
        given = tuple(dy) if type(dy) is list else (dy,)
        for hook in tuple(self.posthooks.values()):
            changed = hook(tuple(results), given)
            if changed is not None:
                results = _checked("hook", changed, len(results))
        return results


def _checked(kind: str, given: Any, count: int) -> tuple[Any, ...]:
    found = given if isinstance(given, tuple) else (given,)
    if len(found) != count:
        raise GraphError(f"a node's {kind} returned {len(found)} gradients instead of {count}.")
    return found


def hooks_of(tensor: Tensor) -> Hooks:
    """A leaf keeps its hooks for the ends of all its graphs; others have them at their node."""
    if tensor.grad_fn is not None:
        return tensor.grad_fn._own_hooks()
    hooks: Hooks | None = tensor._hooks
    if hooks is None:
        hooks = tensor._hooks = Hooks()
        end = tensor._accumulator() if tensor._accumulator is not None else None
        if end is not None:
            end.hooks = hooks
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
    return add_hook(hooks_of(tensor).before, hook)


def register_post_accumulate_grad_hook(
    tensor: Tensor, hook: Callable[[Tensor], None]
) -> RemovableHandle:
    """Call ``hook(tensor)`` after a gradient was accumulated into ``tensor.grad`` (leaves only)."""
    if tensor.grad_fn is not None or not tensor.requires_grad:
        raise GraphError(
            "register_post_accumulate_grad_hook: only leaf tensors that require a gradient "
            "accumulate one.\n  Use register_hook for the results of operations."
        )
    return add_hook(hooks_of(tensor).after, hook)


def retain_grad(tensor: Tensor) -> None:
    """Keep the gradient of a result of an operation in ``.grad`` during backward; leaves do."""
    if not tensor.requires_grad:
        raise GraphError(
            "retain_grad: this tensor does not require a gradient.\n  Call requires_grad_() first."
        )
    if tensor.grad_fn is not None:
        hooks_of(tensor).retain = weakref.ref(tensor)


def retains_grad(tensor: Tensor) -> bool:
    """Whether `retain_grad` was called on a tensor that is not a leaf."""
    hooks = tensor.grad_fn.hooks if tensor.grad_fn is not None else None
    return hooks is not None and hooks.retain is not None and hooks.retain() is tensor


def is_inference(tensor: Tensor) -> bool:
    """False: also under `inference_mode` tensors are ordinary ones."""
    return False


def follow(tensor: Tensor, old: Any, new: Any) -> None:
    """A tensor got a new history by an in-place change: it retains the gradient of that."""
    if old is None or old.hooks is None or old.hooks.retain is None:
        return
    if old.hooks.retain() is tensor:
        old.hooks.retain = None
        new._own_hooks().retain = weakref.ref(tensor)


def add_hook(hooks: dict[int, Any], hook: Callable[..., Any]) -> RemovableHandle:
    """Put a hook last."""
    number = next(_ids)
    hooks[number] = hook
    return RemovableHandle(hooks, number)
