"""Along one axis: running sums, products and extremes, differences, and integrals by trapezoids."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtype as dtypes
from ..amp.autocast_mode import AUTOCAST
from ..autograd.function import Function, describe
from ..errors import ArgumentError, DTypeError, ShapeError
from ..tensor import Tensor
from .joining import cat
from .operands import as_floating, axis, check_tensor, wide
from .picking import gather, narrow
from .positions import positions
from .reduction import Extreme


class Cumsum(Function):
    """y_i = sum of x_j, j <= i, along the last axis;  dx_j = sum of dy_i, i >= j."""

    def forward(self, x: Any) -> Any:
        return self.kernels.scan("sum", x)

    def backward(self, dy: Tensor) -> Any:
        return Cumsum.apply(dy.flip(-1)).flip(-1)


class Cumprod(Function):
    """y_i = product of x_k, k <= i, along the last axis;
    dx_j = product of x_k, k < j, times sum of dy_i (product of x_k, j < k <= i), i >= j."""

    def forward(self, x: Any) -> Any:
        self.save(x)
        return self.kernels.scan("prod", x)

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        row, dy = x.to(dtypes.float64), dy.to(dtypes.float64)  # parts may leave float32's range
        dx = products_before(row) * weighted_tails(_shifted(row, 1, 1.0), dy)
        return dx.to(x.dtype)


class LogCumsumExp(Function):
    """y_i = log sum of exp x_j, j <= i, along the last axis;
    dx_j = sum over i >= j of dy_i exp(x_j - y_i)."""

    def forward(self, x: Any) -> Any:
        y = self.kernels.scan("logaddexp", x)
        self.save(x, y)
        return y

    def backward(self, dy: Tensor) -> Any:
        x, y = self.saved
        # exp(x_j - y_i) = exp(x_j - y_j) exp(y_j - y_j+1) ... exp(y_i-1 - y_i): none overflows
        ratio = _exp_of_difference(y, _shifted(y, 1, math.inf))
        return _exp_of_difference(x, y) * weighted_tails(ratio, dy)


def _exp_of_difference(a: Tensor, b: Tensor) -> Tensor:
    """exp(a - b), 0 where both are -inf, 1 where both are inf."""
    same = (a == b).detach()
    nothing = same & (a == -np.inf)
    return (a - b).masked_fill(same, 0.0).exp().masked_fill(nothing, 0.0)


def _shifted(x: Tensor, steps: int, fill: float) -> Tensor:
    """x[..., i + steps], `fill` beyond the end (negative steps: before the start)."""
    n = x.shape[-1]
    far = min(abs(steps), n)
    edge = x.new_full((*x.shape[:-1], far), fill)
    if steps > 0:
        return cat([narrow(x, -1, far, n - far), edge], -1)
    return cat([edge, narrow(x, -1, 0, n - far)], -1)


def products_before(x: Tensor) -> Tensor:
    """For each element of a row the product of those before it."""
    return Cumprod.apply(_shifted(x, -1, 1.0))


def weighted_tails(a: Tensor, b: Tensor) -> Tensor:
    """s with s_j = b_j + a_j s_(j+1) along the last axis; a of the last element does not count.

    By doubling: after k rounds s_j holds the terms up to j + 2^k, so log2 n rounds are enough
    (Hillis & Steele 1986). No division, so zeros in `a` do no harm.
    """
    n, step = b.shape[-1], 1
    while step < n:
        after = _shifted(b, step, 0.0)
        lost = (after.detach() == 0) & ~a.detach().isfinite()  # overflowed, and not needed
        b = b + a.masked_fill(lost, 0.0) * after
        a = a * _shifted(a, step, 0.0)
        step *= 2
    return b


def along_last(name: str, x: Tensor, dim: int, function: Callable[[Tensor], Tensor]) -> Tensor:
    """function, which works along the last axis, along `dim`."""
    dim = axis(name, dim, x.ndim)
    if x.ndim == 0:
        return function(x.reshape(1)).reshape(())
    if dim == x.ndim - 1:
        return function(x)
    return function(x.transpose(dim, -1)).transpose(dim, -1)


def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Sums up to and including each position along `dim`. Integers and bool give int64."""
    if dtype is not None:
        return cumsum(input.to(dtype), dim).to(dtype)
    if AUTOCAST.on:
        (input,) = AUTOCAST.cast("cumsum", input)
    return along_last("cumsum", check_tensor("cumsum", input), dim, Cumsum.apply)


def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Products up to and including each position along `dim`. Integers and bool give int64."""
    if dtype is not None:
        return cumprod(input.to(dtype), dim).to(dtype)
    if AUTOCAST.on:
        (input,) = AUTOCAST.cast("cumprod", input)
    return along_last("cumprod", check_tensor("cumprod", input), dim, Cumprod.apply)


def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """log of the sums of exp x up to and including each position along `dim`, without overflow."""
    x = as_floating("logcumsumexp", input)
    return along_last("logcumsumexp", x, dim, LogCumsumExp.apply)


def _running(name: str, kernel: str, input: Tensor, dim: int) -> Extreme:
    x = check_tensor(name, input)
    dim = axis(name, dim, x.ndim)
    if x.ndim == 0:
        return Extreme(x.clone(), x.new_zeros((), dtype=dtypes.int64))
    moved = x.detach().transpose(dim, -1)
    kernels, backend = x.backend.kernels, x.backend
    best = kernels.scan(kernel, moved.array)
    hit = kernels.binary("eq", best, moved.array)
    if dtypes.is_floating(x.array.dtype):  # NaN stays, and counts as a new extreme each time
        hit = kernels.binary("logical_or", hit, kernels.unary("isnan", moved.array))
    at = kernels.where(hit, positions(backend, x.shape[dim]), 0)  # the first element is a hit
    index = Tensor(kernels.scan("max", at), backend).transpose(dim, -1)
    return Extreme(gather(x, dim, index), index)


def cummax(input: Tensor, dim: int) -> Extreme:
    """(values, indices): the largest so far along `dim`, and where it was, the last of equals."""
    return _running("cummax", "max", input, dim)


def cummin(input: Tensor, dim: int) -> Extreme:
    """(values, indices): the smallest so far along `dim`, and where it was, the last of equals."""
    return _running("cummin", "min", input, dim)


def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None
) -> Tensor:
    """x[i + 1] - x[i] along `dim`, n times; `prepend` and `append` are joined to x first.

    Of bool the exclusive or. Empty where the axis has n elements or fewer.
    """
    x = check_tensor("diff", input)
    if x.ndim == 0:
        raise ShapeError("diff: input needs at least one axis, got a 0-d tensor.")
    if n < 0:
        raise ArgumentError(f"diff: n must not be negative, got {n}.")
    dim = axis("diff", dim, x.ndim)
    if n == 0:
        return x.clone()
    parts = [_joined(part, x, dim) for part in (prepend, x, append) if part is not None]
    y = cat(parts, dim) if len(parts) > 1 else x
    for _ in range(min(n, y.shape[dim])):
        more = y.shape[dim] - 1
        after, before = narrow(y, dim, 1, more), narrow(y, dim, 0, more)
        y = after != before if y.dtype == dtypes.bool_ else after - before
    return y


def _joined(part: Tensor, x: Tensor, dim: int) -> Tensor:
    if part.ndim != x.ndim:
        raise ShapeError(f"diff: {describe(part)} cannot be joined to input {describe(x)}.")
    return part


def _twice_the_areas(
    name: str, y: Tensor, x: Tensor | None, dx: Any, dim: int
) -> tuple[Tensor, int, Any]:
    """Twice the area of each trapezoid, the axis, and the dtype of the integral.

    Narrow integers are added in int64 and half types in float32."""
    if x is not None and dx is not None:
        raise ArgumentError(f"{name}: give the points x or their distance dx, not both.")
    dim = axis(name, dim, check_tensor(name, y).ndim)
    if y.dtype == dtypes.bool_:
        raise DTypeError(f"{name}: not defined for bool tensors; convert with .int() first.")
    y = y if y.ndim else y.reshape(1)
    n = y.shape[dim]
    width: Any = 1 if dx is None else dx
    other = width if x is None else x
    dtype = dtypes.result_type(y.array, other.array if isinstance(other, Tensor) else other)
    if not dtypes.is_floating(dtype):
        dtype = dtypes.get_default_dtype()
    y = wide(y)
    if x is not None:
        if x.ndim == 0 or (x.ndim == 1 and x.shape[0] != n):
            raise ShapeError(
                f"{name}: x has shape {x.shape}, y {y.shape}; along dim {dim} x needs {n} points."
            )
        if x.ndim == 1:
            x = x.reshape([-1 if i == dim else 1 for i in range(y.ndim)])
        elif x.ndim < y.ndim:
            x = x.reshape((1,) * (y.ndim - x.ndim) + x.shape)
        width = diff(x if x.dtype == dtypes.bool_ else wide(x), dim=dim)
    m = max(n - 1, 0)
    return (narrow(y, dim, 0, m) + narrow(y, dim, n - m, m)) * width, dim, dtype


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral of y along `dim` by trapezoids: over the points x, or of width dx (1)."""
    areas, dim, dtype = _twice_the_areas("trapezoid", y, x, dx, dim)
    return (areas.sum(dim) / 2).to(dtype)


def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1
) -> Tensor:
    """The integrals of y up to each point but the first along `dim`, by trapezoids."""
    areas, dim, dtype = _twice_the_areas("cumulative_trapezoid", y, x, dx, dim)
    return (cumsum(areas, dim) / 2).to(dtype)
