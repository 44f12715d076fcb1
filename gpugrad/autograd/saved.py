"""What a node keeps for backward: noted with its version, or handed to saved-tensor hooks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .. import dtype as dtypes
from ..errors import GraphError
from ..tensor import Tensor, VersionCounter
from .modes import MODE
from .node import SEVERAL, Node, Output, describe, edge

if TYPE_CHECKING:
    from .function import Function

Saved = tuple["Tensor | None", Any, "VersionCounter | None", int]
"""(an input, or None; its array; its counter, or None for a constant; the version it had)."""


def pack(node: Function, inputs: Sequence[Any], outputs: Sequence[Tensor]) -> list[Saved]:
    """Tell inputs and results from constants, and note the versions."""
    packed: list[Saved] = []
    for value in node._saved:
        entry: Saved = (None, value, None, 0)
        if value is not None:
            for x in inputs:
                if isinstance(x, Tensor) and x.array is value:
                    counter = x._counter
                    entry = (x, value, counter, counter.version)
                    break
            else:
                for y in outputs:
                    if y.array is value:
                        counter = y._counter
                        entry = (None, value, counter, counter.version)
        packed.append(entry)
    if _entered and MODE.saving is not None and MODE.saving.active:
        return _hand_over(node, packed, outputs)
    return packed


_entered = 0  # blocks of hooks in all threads: a global is read faster than a thread's MODE
_lock = threading.Lock()


def switch_hooks(hooks: Any, entered: int) -> Any:
    """Make `hooks` the innermost in this thread, and count blocks; gives the ones before."""
    global _entered
    with _lock:
        _entered += entered
    outer, MODE.saving = MODE.saving, hooks
    return outer


class Packed:
    """A saved tensor that `saved_tensors_hooks` has in keeping.

    origin: where the gradient of an input goes, the number of an own result, None for constants.
    """

    __slots__ = ("counter", "dtype", "origin", "packed", "shape", "unpack", "version")

    def __init__(self, x: Tensor, origin: Node | int | None, hooks: Any) -> None:
        self.origin, self.unpack = origin, hooks.unpack_hook
        self.shape, self.dtype = x.array.shape, x.array.dtype
        before = x._version
        self.packed = _without_graph(hooks, hooks.pack_hook, x)
        if x._version != before:
            raise GraphError(
                f"saved_tensors_hooks: the pack hook changed its tensor {describe(x)} in place, "
                "which others still use.\n  Return a new tensor instead."
            )
        shared = isinstance(self.packed, Tensor) and self.packed._counter is x._counter
        self.counter = x._counter if shared else None
        self.version = before

    def unpacked(self, node: Function) -> Tensor:
        """The tensor again, with its place in the graph."""
        if self.counter is not None and self.counter.version != self.version:
            raise GraphError(changed_text(node, self, self.counter, self.version))
        x = _without_graph(None, self.unpack, self.packed)
        if not isinstance(x, Tensor):
            raise GraphError(
                f"saved_tensors_hooks: the unpack hook must return a Tensor, got a "
                f"{type(x).__name__}."
            )
        if (x.shape, x.dtype) != (self.shape, self.dtype) or x.backend is not node.backend:
            raise GraphError(
                f"saved_tensors_hooks: the unpack hook returned {describe(x)} for a tensor of "
                f"{self.shape} {self.dtype.name} on {node.backend.device}, which "
                f"{type(node).__name__}.backward needs."
            )
        return self._placed(x, node)

    def _placed(self, x: Tensor, node: Function) -> Tensor:
        origin = self.origin
        if isinstance(origin, Node):
            if edge(x) is origin:
                return x
        elif origin is None or not MODE.grad or not dtypes.is_floating(self.dtype):
            return x.detach() if x.requires_grad else x
        else:
            origin = Output(node, origin, self.shape) if node.shape is SEVERAL else node
        result = x.detach()
        result.grad_fn, result._requires_grad = origin, True
        return result


def _without_graph(saving: Any, function: Callable[[Any], Any], x: Any) -> Any:
    """Call a hook: what it computes is not recorded, and what it saves goes to no hook."""
    outer = MODE.grad, MODE.saving
    MODE.grad, MODE.saving = False, None
    try:
        return function(x)
    finally:
        MODE.grad, MODE.saving = outer


def _hand_over(node: Function, packed: list[Saved], outputs: Sequence[Tensor]) -> list[Saved]:
    """Give every tensor among the saved to the innermost hooks."""
    hooks, kept = MODE.saving, list(packed)
    for i, (tensor, value, counter, _) in enumerate(packed):
        origin: Node | int | None = None
        if not hasattr(value, "shape"):
            continue
        if tensor is None:
            x = Tensor(value, node.backend)
            if counter is not None:
                x._versions = counter
                origin = next(n for n, y in enumerate(outputs) if y.array is value)
        elif tensor._keeps_values:  # about to be changed in place
            x, origin = Tensor(node.kernels.contiguous(value), node.backend), edge(tensor)
        else:
            x, origin = tensor if tensor.grad_fn is None else tensor.detach(), edge(tensor)
        kept[i] = (None, Packed(x, origin, hooks), None, 0)
    node._outputs = ()
    return kept


def released_text(node: Function) -> str:
    """Backward was called a second time."""
    where = f" (created at {node.site})" if node.site else ""
    hint = "" if node.site else " `with gg.detect_nan():` around forward also tells the line."
    return (
        f"backward: {type(node).__name__}{where} with a result of shape {node.shape} was already "
        "differentiated, and what it had saved is released.\n"
        "  Pass retain_graph=True to every backward() but the last, or run forward again."
        f"{hint}"
    )


def changed_text(node: Function, value: Any, counter: VersionCounter, version: int) -> str:
    """A saved tensor is not what it was."""
    last = f" (last by {counter.changed_by})" if counter.changed_by else ""
    return (
        f"{type(node).__name__}.backward: a tensor saved in forward was changed in place since"
        f"{last}: shape {tuple(value.shape)}, {value.dtype.name}; it was saved at version "
        f"{version} and is now at version {counter.version}.\n"
        "  Use the out-of-place form, or clone() the tensor before changing it."
    )
