"""In-place operations: the result of the ordinary operation is written into the tensor.

With gradients the tensor takes over the history of that result. Raises GraphError for leaves that
require a gradient and for views of a graph, ShapeError or DTypeError for results that do not fit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from .. import dtype as dtypes
from ..arguments import with_article
from ..autograd.function import Function, before_inplace, describe, rebase
from ..autograd.modes import MODE
from ..errors import DTypeError, ShapeError
from ..tensor import Tensor
from .operands import check_apart


class Overwrite(Function):
    """x = value, in place;  dx = 0, dvalue = dy."""

    inplace = True

    def forward(self, x: Any, value: Any) -> Any:
        if hasattr(value, "shape"):
            self.kernels.copy(value, x)
        else:
            self.kernels.fill(x, value)
        return x

    def backward(self, dy: Tensor) -> Any:
        return (dy.new_zeros(dy.shape) if self.needs(0) else None), dy


def assign(name: str, target: Tensor, result: Tensor) -> Tensor:
    """Write `result`, computed from `target`, into it, and let its history be that of `result`."""
    if result.array.shape != target.array.shape:
        raise ShapeError(
            f"{name}: the result has shape {result.shape}, which does not fit into the tensor of "
            f"shape {target.shape}; only the other operand broadcasts."
        )
    _check_category(name, target, result)
    check_apart(name, target)
    target.backend.kernels.copy(result.array, target.array)
    target._counter.changed(name)
    if result._requires_grad and MODE.grad and result.grad_fn is not None:
        rebase(target, result.grad_fn)
    return target


def _check_category(name: str, target: Tensor, result: Tensor) -> None:
    to, given = target.array.dtype, result.array.dtype
    if to == given or dtypes.is_floating(to):
        return
    if dtypes.is_floating(given) or to == dtypes.bool_:
        raise DTypeError(
            f"{name}: {with_article(given.name)} result cannot be stored in "
            f"{with_article(to.name)} tensor in place."
        )


class _Original(Tensor):
    """The tensor as it was before an in-place operation, for that operation to read and save."""

    __slots__ = ()
    _keeps_values = True


def _changed(
    name: str, self: Tensor, operation: Callable[..., Any], args: tuple[Any, ...], kwargs: Any
) -> Any:
    """Compute out of place; keep a copy of the old values if backward will need them; write."""
    before_inplace(name, self, args)
    original = self
    if MODE.grad and (self._requires_grad or any(_requires(x) for x in args)):
        original = _Original(self.array, self.backend, self._requires_grad)
        original.grad_fn = self.grad_fn
    result = operation(original, *args, **kwargs)
    holders = sys.getrefcount(original)
    if not _unsaved:
        _unsaved.append(holders)
    if result is NotImplemented:
        return result
    if original is not self:
        if original._versions is not None and original._versions.live_views():
            # A saved view looks into the memory that is about to change: once more, from a copy.
            values = self.backend.kernels.contiguous(self.array)
            copy = _Original(values, self.backend, self._requires_grad)
            copy.grad_fn = self.grad_fn
            result = operation(copy, *args, **kwargs)
        elif holders != _unsaved[0]:
            original.array = self.backend.kernels.contiguous(self.array)
    return assign(name, self, result)


_unsaved: list[int] = []  # the reference count of an original that no node has saved


def _requires(x: Any) -> bool:
    return isinstance(x, Tensor) and x._requires_grad


def _calibrate() -> None:
    """Let `_changed` see that count, which differs between Pythons: nothing is saved or written."""
    _unsaved.clear()
    array, backend = np.zeros(1), cast(Any, None)
    other = Tensor(array, backend, True)
    _changed("", Tensor(array, backend), lambda x, y: NotImplemented, (other,), {})


_calibrate()


def inplace(name: str, operation: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The in-place form of an operation whose first argument is the tensor."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return _changed(name, self, operation, args, kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"In-place `{name[:-1]}`: writes the result into the tensor and returns it."
    return method


def augmented(name: str, operator: Callable[[Tensor, Any], Any]) -> Callable[[Tensor, Any], Any]:
    """``x += y`` and its kind from the operator."""

    def method(self: Tensor, other: Any) -> Any:
        return _changed(name, self, operator, (other,), {})

    method.__doc__ = f"In-place {name}."
    return method


def copy_(self: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """Write `src` into the tensor: broadcast, cast, moved to its device."""
    before_inplace("copy_", self, (src,))
    check_apart("copy_", self)
    value = src if src.backend is self.backend else src.to(self.device)
    if value._counter is self._counter:
        value = value.clone()
    try:
        if value.shape != self.shape:
            value = value.expand(self.shape)
    except ShapeError:
        raise ShapeError(f"copy_: {describe(src)} does not broadcast to {self.shape}.") from None
    return Overwrite.apply(self, value.to(self.dtype))


def fill_(self: Tensor, value: Any) -> Tensor:
    """Write one value everywhere."""
    before_inplace("fill_", self, (value,))
    check_apart("fill_", self)
    if isinstance(value, Tensor):
        if value.ndim:
            raise ShapeError(f"fill_: value must be a number or 0-d, got shape {value.shape}.")
        return copy_(self, value)
    return Overwrite.apply(self, value)


def zero_(self: Tensor) -> Tensor:
    """Write 0 everywhere."""
    before_inplace("zero_", self)
    check_apart("zero_", self)
    return Overwrite.apply(self, 0)


def detach_(self: Tensor) -> Tensor:
    """Forget the history: the tensor becomes a leaf without gradient."""
    self.grad_fn = None
    self._requires_grad = False
    return self


def overwrite_raw(name: str, target: Tensor, values: Any) -> Tensor:
    """Write a raw array into `target` (random fills)."""
    before_inplace(name, target)
    value = Tensor(values, target.backend)
    return Overwrite.apply(target, value)
