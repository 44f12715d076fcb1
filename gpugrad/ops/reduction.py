"""Reductions over axes. ``dim`` None is all axes; ``keepdim`` leaves them with length 1."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .. import dtype as dtypes
from ..amp.autocast_mode import AUTOCAST
from ..autograd.function import Function, describe
from ..errors import DTypeError, IndexOutOfRangeError, ShapeError
from ..tensor import Tensor
from . import arithmetic
from .operands import as_floating, axes, axis, check_tensor, demand_floating
from .views import Reshape, spread

Dim = int | Sequence[int] | None


def restored(y: Tensor, shape: tuple[int, ...], dims: tuple[int, ...]) -> Tensor:
    """A reduction's result, with its lost axes back as length 1 where it needs them to broadcast
    against the input: it does not where the leading axes were summed, as all of them."""
    if y.array.ndim == len(shape) or dims[-1] == len(dims) - 1:
        return y
    kept = tuple([1 if i in dims else n for i, n in enumerate(shape)])
    return Reshape.apply(y, shape=kept)


class Sum(Function):
    """y = sum of x;  dx = dy at every summand."""

    def forward(self, x: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
        self.of, self.dims = x.shape, dims
        return self.kernels.reduce("sum", x, dims, keepdim)

    def backward(self, dy: Tensor) -> Any:
        return spread(restored(dy, self.of, self.dims), self.of)


class Mean(Function):
    """y = sum of x / n;  dx = dy / n at every summand."""

    def forward(self, x: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
        self.of, self.dims = x.shape, dims
        return self.kernels.reduce("mean", x, dims, keepdim)

    def backward(self, dy: Tensor) -> Any:
        n = math.prod([self.of[i] for i in self.dims])
        return spread(restored(dy / (n or math.nan), self.of, self.dims), self.of)


class SumTo(Function):
    """y = x summed to a shape that broadcasts to x's;  dx = dy broadcast."""

    def forward(self, x: Any, shape: tuple[int, ...]) -> Any:
        self.of = x.shape
        extra = x.ndim - len(shape)
        dims = [i + extra for i, n in enumerate(shape) if n == 1 and x.shape[i + extra] != 1]
        y = self.kernels.reduce("sum", x, (*range(extra), *dims), True)
        return y.reshape(shape)

    def backward(self, dy: Tensor) -> Any:
        return spread(dy, self.of)


class Extremum(Function):
    """y = max or min of x;  dx = dy at the extremes, in equal shares (amax, amin, max, min)."""

    def forward(self, x: Any, kernel: str, dims: tuple[int, ...], keepdim: bool) -> Any:
        self.dims = dims
        y = self.kernels.reduce(kernel, x, dims, keepdim)
        self.save(x, y)
        return y

    def backward(self, dy: Tensor) -> Any:
        x, y = self.saved
        shape, dims = x.shape, self.dims
        hit = (x.detach() == restored(y.detach(), shape, dims)).to(dy.dtype)
        return restored(dy, shape, dims) * (hit / hit.sum(dims, keepdim=True))


class ExtremumAt(Function):
    """(values, indices) of max or min along one axis; dy goes to the first extreme."""

    def forward(self, x: Any, kernel: str, dim: int, keepdim: bool) -> Any:
        self.of, self.dim, self.keepdim = x.shape, dim, keepdim
        dims = (dim,) if x.ndim else ()
        at = self.kernels.reduce("arg" + kernel, x, dims, keepdim)
        self.save(at)
        return self.kernels.reduce(kernel, x, dims, keepdim), at

    def backward(self, dy: Tensor, _: None) -> Any:
        (at,) = self.saved
        if not self.of:
            return dy
        if not self.keepdim:
            at, dy = at.unsqueeze(self.dim), dy.unsqueeze(self.dim)
        return dy.new_zeros(self.of).scatter_add(self.dim, at, dy)


class LogSumExp(Function):
    """y = log sum exp x;  dx = dy exp(x - y)."""

    def forward(self, x: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
        self.dims = dims
        k = self.kernels
        top = k.reduce("max", x, dims, True)
        top = k.where(k.unary("isfinite", top), top, 0.0)
        y = k.unary("log", k.sum_of("exp", x, top, dims, True))
        if y.dtype == x.dtype:
            y = k.binary("add", y, top)
        else:
            y = k.cast(k.binary("add", y, k.cast(top, y.dtype)), x.dtype)
        if not keepdim:
            y = y.reshape([n for i, n in enumerate(x.shape) if i not in dims])
        self.save(x, y)
        return y

    def backward(self, dy: Tensor) -> Any:
        x, y = self.saved
        shape, dims = x.shape, self.dims
        return restored(dy, shape, dims) * (x - restored(y, shape, dims)).exp()


class Prod(Function):
    """y = product of x;  dx = dy times the product of all the others (right where x has zeros)."""

    def forward(self, x: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
        self.dims = dims
        self.save(x)
        return self.kernels.reduce("prod", x, dims, keepdim)

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        if not self.dims:
            return dy
        dims = self.dims
        rest = [i for i in range(x.ndim) if i not in dims]
        order = [*rest, *dims]
        rows = x.permute(order)
        flat = rows.reshape([x.shape[i] for i in rest] + [-1] if x.numel() else rows.shape)
        if not x.numel():
            return x.new_zeros(x.shape)
        from .scans import products_before

        others = products_before(flat) * products_before(flat.flip(-1)).flip(-1)
        back = [order.index(i) for i in range(x.ndim)]
        return restored(dy, x.shape, dims) * others.reshape(rows.shape).permute(back)


class Extreme(NamedTuple):
    """Values and where they were, from ``max(dim)``, ``min(dim)`` and the like."""

    values: Tensor
    indices: Tensor


class Extrema(NamedTuple):
    """The smallest and the largest value, from ``aminmax``."""

    min: Tensor
    max: Tensor


def sum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over `dim`. Integers and bool give int64; `dtype` converts the input first."""
    if dtype is not None:
        return sum(input.to(dtype), dim, keepdim).to(dtype)
    if AUTOCAST.on:
        (input,) = AUTOCAST.cast("sum", input)
    if not isinstance(input, Tensor):
        check_tensor("sum", input)
    return Sum.apply(input, dims=axes("sum", dim, input.array.ndim), keepdim=keepdim)


def mean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean over `dim`; floating only; NaN over nothing."""
    x = input if dtype is None else input.to(dtype)
    if not isinstance(x, Tensor):
        check_tensor("mean", x)
    demand_floating("mean", x)
    return Mean.apply(x, dims=axes("mean", dim, x.array.ndim), keepdim=keepdim)


def prod(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """The product over one axis or all. Integers and bool give int64."""
    if dtype is not None:
        return prod(input.to(dtype), dim, keepdim).to(dtype)
    if AUTOCAST.on:
        (input,) = AUTOCAST.cast("prod", input)
    x = check_tensor("prod", input)
    return Prod.apply(x, dims=axes("prod", dim, x.ndim), keepdim=keepdim)


def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """`input` summed to a shape that broadcasts to its own: the transpose of `expand`."""
    shape = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size
    given = input.array.shape
    if shape == given:
        return input if shape else sum(input)  # int64 of integers, as every sum
    extra = len(given) - len(shape)
    if extra < 0 or builtins.any(
        n not in (1, m) for n, m in zip(shape, given[extra:], strict=True)
    ):
        raise ShapeError(f"sum_to_size: {given} cannot be summed to {shape}.")
    return SumTo.apply(input, shape=shape)


def check_some(name: str, x: Tensor, dims: tuple[int, ...]) -> None:
    """Raise IndexOutOfRangeError where `x` has no elements along `dims`."""
    if x.array.size == 0 and (builtins.any(x.shape[i] == 0 for i in dims) or not dims):
        where = f"dim {dims[0]}" if len(dims) == 1 else f"dims {dims}"
        raise IndexOutOfRangeError(
            f"{name}: {describe(x)} has nothing to choose from along {where}.\n"
            "  Reduce an axis that is not empty."
        )


def amax(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The largest value over `dim`; equal ones share the gradient."""
    return _extremum("amax", "max", input, dim, keepdim)


def amin(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The smallest value over `dim`; equal ones share the gradient."""
    return _extremum("amin", "min", input, dim, keepdim)


def _extremum(name: str, kernel: str, input: Tensor, dim: Dim, keepdim: bool) -> Tensor:
    dims = axes(name, dim, check_tensor(name, input).ndim)
    check_some(name, input, dims)
    return Extremum.apply(input, kernel=kernel, dims=dims, keepdim=keepdim)


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Extrema:
    """(min, max) over all or along `dim`; equal ones share the gradient."""
    if dim is not None:
        dim = axis("aminmax", dim, check_tensor("aminmax", input).ndim)
    low = _extremum("aminmax", "min", input, dim, keepdim)
    return Extrema(low, _extremum("aminmax", "max", input, dim, keepdim))


def _max_or_min(name: str, doc: str) -> Callable[..., Any]:
    def function(
        input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Tensor | None = None
    ) -> Any:
        if isinstance(dim, Tensor) or other is not None:
            pair = arithmetic.maximum if name == "max" else arithmetic.minimum
            return pair(input, dim if other is None else other)
        if dim is None:
            return _extremum(name, name, input, None, False)
        dim = axis(name, dim, check_tensor(name, input).ndim)
        check_some(name, input, (dim,) if input.ndim else ())
        return Extreme(*ExtremumAt.apply(input, kernel=name, dim=dim, keepdim=keepdim))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


max = _max_or_min(
    "max",
    "The largest value; with `dim` (values, indices) along it, the first of equals;\n"
    "    with a second tensor the larger of each pair.",
)
min = _max_or_min(
    "min",
    "The smallest value; with `dim` (values, indices) along it, the first of equals;\n"
    "    with a second tensor the smaller of each pair.",
)


def _arg(name: str, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    x = check_tensor(name, input).array
    if x.dtype == dtypes.bool_:
        raise DTypeError(f"{name}: not defined for bool tensors; convert with .int() first.")
    dims = tuple(range(x.ndim)) if dim is None else (axis(name, dim, x.ndim),) if x.ndim else ()
    check_some(name, input, dims)
    return Tensor(input.backend.kernels.reduce(name, x, dims, keepdim), input.backend)


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the largest value is, the first of equals: int64; over all axes in row-major order."""
    return _arg("argmax", input, dim, keepdim)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the smallest value is, the first of equals: int64; over all axes in row-major order."""
    return _arg("argmin", input, dim, keepdim)


def _truth(name: str, input: Tensor, dim: Dim, keepdim: bool) -> Tensor:
    x = check_tensor(name, input).array
    kernels = input.backend.kernels
    y = kernels.reduce(name, x, axes(name, dim, x.ndim), keepdim)
    if x.dtype == dtypes.uint8:  # PyTorch's first bool: it stays uint8
        y = kernels.cast(y, dtypes.uint8)
    return Tensor(y, input.backend)


def any(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """True where some element is not 0. bool, but uint8 of uint8."""
    return _truth("any", input, dim, keepdim)


def all(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """True where every element is not 0; True over nothing. bool, but uint8 of uint8."""
    return _truth("all", input, dim, keepdim)


def nansum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over `dim` of what is not NaN. Integers and bool give int64."""
    x = check_tensor("nansum", input) if dtype is None else input.to(dtype)
    if dtypes.is_floating(x.array.dtype):
        x = x.masked_fill(x.isnan(), 0.0)
    return sum(x, dim, keepdim, dtype=dtype)


def nanmean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean over `dim` of what is not NaN; NaN where all is. Floating only."""
    x = check_tensor("nanmean", input) if dtype is None else input.to(dtype)
    demand_floating("nanmean", x)
    wide = x.to(dtypes.accumulation(x.array.dtype))
    known = (~x.isnan()).to(wide.dtype)
    return (nansum(wide, dim, keepdim) / sum(known, dim, keepdim)).to(x.dtype)


def logsumexp(input: Tensor, dim: Dim, keepdim: bool = False) -> Tensor:
    """log sum exp x over `dim`, without overflow."""
    x = as_floating("logsumexp", input)
    dims = axes("logsumexp", dim, x.ndim)
    if not dims:
        return x.clone()
    if x.array.size == 0:
        return sum(x.exp(), dims, keepdim).log()
    return LogSumExp.apply(x, dims=dims, keepdim=keepdim)
