"""Views in place: the tensor itself takes another shape of its memory; and what memory is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd.function import before_inplace
from ..autograd.hooks import follow
from ..errors import ArgumentError
from ..tensor import Tensor
from . import strided, views


def _in_place(name: str, view: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The form of a view function that changes the tensor's own shape, and its history with it."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        before_inplace(name, self)
        result = view(self, *args, **kwargs)
        if result is not self:
            self.array = result.array
            self._counter.changed(name)
            if result.grad_fn is not None:
                follow(self, self.grad_fn, result.grad_fn)
                self.grad_fn = result.grad_fn
        return self

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"`{name[:-1]}` of the tensor itself: it takes that shape, without a copy."
    return method


squeeze_ = _in_place("squeeze_", views.squeeze)
unsqueeze_ = _in_place("unsqueeze_", views.unsqueeze)
transpose_ = _in_place("transpose_", views.transpose)
swapaxes_ = _in_place("swapaxes_", views.transpose)
swapdims_ = _in_place("swapdims_", views.transpose)
t_ = _in_place("t_", views.t)
as_strided_ = _in_place("as_strided_", strided.as_strided)


def resize_(self: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Not supported: a tensor keeps its memory. Raises ArgumentError with the way out."""
    raise ArgumentError(
        "resize_: a tensor's memory does not change its size.\n"
        "  Use x = x.reshape(...), x.narrow(...) for less, x.new_empty(...) and copy_() for more."
    )


def set_(self: Tensor, source: Any = None, *args: Any) -> Tensor:
    """Not supported: a tensor keeps its memory. Raises ArgumentError with the way out."""
    raise ArgumentError(
        "set_: a tensor does not change to another memory.\n"
        "  Use x = source, x.copy_(source) for its values, or source.as_strided(...) for a view."
    )


def ndimension(self: Tensor) -> int:
    """The number of axes."""
    return self.array.ndim


def is_same_size(self: Tensor, other: Tensor) -> bool:
    """Whether both have one shape."""
    return bool(self.array.shape == other.array.shape)
