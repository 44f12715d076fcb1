"""Gradients of a captured step: what it begins with and what it leaves behind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..autograd.modes import MODE
from ..backends import Backend
from ..tensor import Tensor


class Gradients:
    """``.grad`` of the parameters before and after the step.

    A graph writes gradients to the same memory each time, and these are what the parameters have
    after a replay. One that forgets the gradients first (zero_grad) may be called with any; one
    that adds to them goes on from those that are there.
    """

    def __init__(self) -> None:
        self.before: dict[Tensor, Tensor | None] = {}
        self.after: dict[Tensor, Tensor | None] = {}
        self.seen: dict[Tensor, None] = {}  # that were given one, or lost it
        self._forgotten: set[Tensor] = set()  # those whose first gradient no longer matters

    def begin(self, tensors: Iterable[Tensor]) -> None:
        """Notes what there is before the step."""
        self.before = {t: t._grad for t in tensors if t._requires_grad}

    def noted(self, grad: Any) -> property:
        """The property `grad`, of which is noted where it is first set to None; by zero_grad, that
        is: a backward also does so, while it adds."""

        def put(tensor: Tensor, value: Tensor | None) -> None:
            self.seen[tensor] = None
            first = tensor in self.before and tensor._grad is self.before[tensor]
            if value is None and first and MODE.walk is None:
                self._forgotten.add(tensor)
            grad.fset(tensor, value)

        return property(grad.fget, put, doc=grad.__doc__)

    def end(self) -> None:
        """Notes what there is after the step."""
        self.after = {t: t._grad for t in self.before}
        self.before = {t: g for t, g in self.before.items() if t not in self._forgotten}

    def undo(self) -> None:
        """Puts back what there was before the step."""
        for tensor, grad in self.before.items():
            tensor._grad = grad

    def changed(self, tensors: dict[Tensor, Any]) -> str:
        """Which gradient is missing, or there, against what the step was captured with."""
        for tensor, grad in self.before.items():
            if (tensor._grad is None) is not (grad is None):
                name = tensors[tensor][2] if tensor in tensors else "a parameter"
                return f"{name}.grad is {'missing' if grad is not None else 'there'}"
        return ""

    def prepare(self, backend: Backend) -> None:
        """Before a replay: the gradients that it adds to lie where it reads them."""
        for tensor, grad in self.before.items():
            now = tensor._grad
            if grad is not None and now is not None and now.array is not grad.array:
                backend.kernels.copy(now.array, grad.array)

    def replayed(self) -> None:
        """After a replay: the parameters have its gradients."""
        for tensor, grad in self.after.items():
            tensor._grad = grad
