"""Softmax and log-softmax along an axis."""

from __future__ import annotations

from typing import Any

from ..amp.autocast_mode import AUTOCAST
from ..autograd.function import Function
from ..autograd.modes import MODE
from ..tensor import Tensor
from .operands import axis, check_tensor, demand_floating


class Softmax(Function):
    """y = exp(x - logsumexp x);  dx = y (dy - sum(dy y)); sums along the axis."""

    def forward(self, x: Any, axis: int) -> Any:
        self.axis = axis
        y = self.kernels.softmax(x, axis, False)
        self.save(y)
        return y

    def backward(self, dy: Tensor) -> Any:
        (y,) = self.saved
        if not MODE.grad:
            return Tensor(
                self.kernels.softmax_grad(dy.array, y.array, self.axis, False), dy.backend
            )
        return y * (dy - (dy * y).sum(self.axis, keepdim=True))


class LogSoftmax(Function):
    """y = x - logsumexp x;  dx = dy - exp(y) sum(dy); sums along the axis."""

    def forward(self, x: Any, axis: int) -> Any:
        self.axis = axis
        y = self.kernels.softmax(x, axis, True)
        self.save(y)
        return y

    def backward(self, dy: Tensor) -> Any:
        (y,) = self.saved
        if not MODE.grad:
            return Tensor(self.kernels.softmax_grad(dy.array, y.array, self.axis, True), dy.backend)
        return dy - y.exp() * dy.sum(self.axis, keepdim=True)


def _apply(name: str, cls: type[Function], input: Tensor, dim: int, dtype: Any) -> Tensor:
    if AUTOCAST.on and dtype is None:
        (input,) = AUTOCAST.cast(name, input)
    x = input if dtype is None else input.to(dtype)
    if not isinstance(x, Tensor):
        check_tensor(name, x)
    demand_floating(name, x)
    n = x.array.ndim
    dim = axis(name, dim, n)
    if n == 0:
        return cls.apply(x.reshape(1), axis=0).reshape(())
    return cls.apply(x, axis=dim)


def softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """exp(x) / sum exp(x) along `dim`; each row sums to 1. `dtype` converts the input first."""
    return _apply("softmax", Softmax, input, dim, dtype)


def log_softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """log(softmax(x)) along `dim`, without overflow."""
    return _apply("log_softmax", LogSoftmax, input, dim, dtype)
