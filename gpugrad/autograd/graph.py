"""The graph from outside: nodes, hooks on several gradients, and on what is saved for backward."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import ArgumentError, GraphError
from ..tensor import Tensor
from .hooks import RemovableHandle, register_hook
from .modes import MODE, wrapped_in
from .node import Node, edge
from .saved import switch_hooks

__all__ = [
    "Node",
    "disable_saved_tensors_hooks",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


class saved_tensors_hooks:
    """Inside the block each tensor that an operation keeps for backward goes through two hooks.

    ``pack_hook(tensor)`` is called in forward and may return anything; the operation keeps that
    instead. ``unpack_hook(packed)`` is called in backward, each time the tensor is needed, and
    returns a tensor of the same shape, dtype and device. Neither is recorded. Of nested blocks the
    innermost counts. Arrays that an operation keeps for itself (indices, statistics) go through
    the hooks, too. Source: PyTorch's class of this name.
    """

    active = True

    def __init__(
        self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]
    ) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook
        self._outer: list[Any] = []

    def __enter__(self) -> None:
        if isinstance(MODE.saving, _Refusing):
            raise GraphError(MODE.saving.text)
        self._outer.append(switch_hooks(self, 1))

    def __exit__(self, *error: object) -> None:
        switch_hooks(self._outer.pop(), -1)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return wrapped_in(lambda: saved_tensors_hooks(self.pack_hook, self.unpack_hook), function)


class save_on_cpu(saved_tensors_hooks):
    """Inside the block what is kept for backward lies in the host's memory, and comes back for it.

    pin_memory and device_type are accepted, and change nothing.
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(_to_cpu, _from_cpu)


def _to_cpu(x: Tensor) -> Any:
    return x if x.backend.in_host_memory else (x.device, x.cpu())


def _from_cpu(packed: Any) -> Tensor:
    return packed if isinstance(packed, Tensor) else packed[1].to(packed[0])


class _Refusing:
    """In the place of hooks: there are none, and none may be set."""

    active = False

    def __init__(self, text: str) -> None:
        self.text = text


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Inside the block `saved_tensors_hooks` raises GraphError with this text."""
    if MODE.saving is not None and not isinstance(MODE.saving, _Refusing):
        raise GraphError(error_message)
    outer, MODE.saving = MODE.saving, _Refusing(error_message)
    try:
        yield
    finally:
        MODE.saving = outer


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Tell autograd that the memory of `tensor` (or of each) was changed behind its back."""
    for x in [tensor] if isinstance(tensor, Tensor) else list(tensor):
        x._counter.changed("increment_version")


class _Several:
    """A removable handle of hooks on several tensors."""

    def __init__(self, handles: Sequence[RemovableHandle]) -> None:
        self._handles = handles

    def remove(self) -> None:
        """Take the hooks off; removing twice is harmless."""
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> _Several:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[[Any], None], *, mode: str = "all"
) -> _Several:
    """Call `fn` once in each backward that reaches some of `tensors`.

    mode "all": ``fn(gradients)``, one for each tensor, None for those this backward does not reach,
    when the last is known. mode "any": ``fn(gradient)`` with the first that is known.
    """
    if mode not in ("all", "any"):
        raise ArgumentError(f"register_multi_grad_hook: mode must be 'all' or 'any', got {mode!r}.")
    places = [weakref.ref(x if x.grad_fn is None else x.grad_fn) for x in tensors]
    seen: weakref.WeakKeyDictionary[Any, _Gathering] = weakref.WeakKeyDictionary()

    def hook_of(i: int) -> Callable[[Tensor], None]:
        def hook(dy: Tensor) -> None:
            gathering = seen.get(MODE.walk)
            if gathering is None:
                gathering = seen[MODE.walk] = _Gathering(places, MODE.walk, fn, mode)
            gathering.arrive(i, dy)

        return hook

    return _Several([register_hook(x, hook_of(i)) for i, x in enumerate(tensors)])


class _Gathering:
    """The gradients of several tensors in one walk."""

    def __init__(self, places: list[Any], walk: Any, fn: Callable[[Any], None], mode: str) -> None:
        reached = walk.reached() if mode == "all" else set()
        self.awaited = {i for i, place in enumerate(places) if _node_at(place()) in reached}
        self.found: list[Tensor | None] = [None] * len(places)
        self.fn, self.mode, self.done = fn, mode, False
        walk.at_end.append(self.finish)  # a gradient may be None on the way: then nothing arrives

    def arrive(self, i: int, dy: Tensor) -> None:
        self.found[i] = dy
        self.awaited.discard(i)
        if self.mode == "any" and not self.done:
            self.done = True
            self.fn(dy)
        elif not self.awaited:
            self.finish()

    def finish(self) -> None:
        if not self.done:
            self.done = True
            self.fn(self.found)


def _node_at(place: Any) -> Node | None:
    """The node of a leaf's present graph, or the node itself."""
    return edge(place) if isinstance(place, Tensor) else place
