"""Values set, added or joined at the places that index tensors point to, and the derivatives.

Several index tensors point into the first axes of x, as in the kernel contract.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtype as dtypes
from ..autograd.function import Function
from ..dtype import DType
from ..tensor import Tensor
from .indexing import Gather, ScatterAdd, scatter_at

KERNELS = {"sum": "add", "mean": "add", "prod": "mul", "amax": "max", "amin": "min"}


class ScatterInto(Function):
    """y = x, then y[i[j]] += v[j] (or = v[j]);  dx = dy (0 at i if =), dv[j] = dy[i[j]].

    The indices are those of x's axes from `axis` on.
    """

    def forward(self, x: Any, v: Any, *indices: Any, accumulate: bool, axis: int = 0) -> Any:
        self.accumulate, self.axis = accumulate, axis
        self.save(*indices)
        y = self.target(x)
        scatter_at(self.kernels, "add" if accumulate else "set", y, indices, v, axis)
        return y

    def target(self, x: Any) -> Any:
        """What is written into."""
        return self.kernels.contiguous(x)

    def backward(self, dy: Tensor) -> Any:
        indices = self.saved
        dv = Gather.apply(dy, *indices, axis=self.axis) if self.needs(1) else None
        dx = None
        if self.needs(0):
            dx = dy if self.accumulate else cleared(dy, indices, self.axis)
        return (dx, dv, *[None] * len(indices))


class ScatterHere(ScatterInto):
    """The same in place: y is x."""

    inplace = True

    def target(self, x: Any) -> Any:
        return x


def into(
    x: Tensor, v: Tensor, indices: Sequence[Tensor], accumulate: bool, axis: int = 0
) -> Tensor:
    """A copy of x with v set or added at the indices of its axes from `axis` on."""
    y: Tensor = ScatterInto.apply(x, v, *indices, accumulate=accumulate, axis=axis)
    return y


def cleared(x: Tensor, indices: Sequence[Tensor], axis: int) -> Tensor:
    """A copy of x with 0 at the indices of its axes from `axis` on."""
    shape = (*x.shape[:axis], *indices[0].shape, *x.shape[axis + len(indices) :])
    return into(x, x.new_zeros(()).expand(shape), indices, False, axis)


class Reduced(Function):
    """y = x, with y[i[j]] joined with v[j] by prod, amax or amin, x's own element included or not.

    amax, amin: dy is shared by the extremes of a place. prod: dy times the product of the others.
    """

    def forward(self, x: Any, v: Any, *indices: Any, reduce: str, include: bool) -> Any:
        self.reduce, self.include = reduce, include
        y = self.kernels.contiguous(x)
        if not include:
            self.kernels.scatter("set", y, indices, neutral(reduce, x.dtype))
        self.kernels.scatter(KERNELS[reduce], y, indices, v)
        self.save(x, v, y, *indices)
        return y

    def backward(self, dy: Tensor) -> Any:
        x, v, y, *indices = self.saved
        gradient = _product_gradient if self.reduce == "prod" else _extreme_gradient
        counted = self.include or untouched(x, indices)
        dx, dv = gradient(dy, x, v, y, indices, counted)
        return (dx, dv, *[None] * len(indices))


def neutral(reduce: str, dtype: DType) -> Any:
    """The value that changes nothing in a reduction."""
    if reduce in ("sum", "mean", "prod"):
        return 1 if reduce == "prod" else 0
    low = reduce == "amax"
    if dtypes.is_floating(dtype):
        return -math.inf if low else math.inf
    if dtype == dtypes.bool_:
        return not low
    limits = np.iinfo(dtype)
    return int(limits.min if low else limits.max)


def untouched(x: Tensor, indices: Sequence[Tensor]) -> Tensor:
    """1 where no index points, else 0, in the shape and dtype of x."""
    mark = x.new_ones(x.shape)
    mark.backend.kernels.scatter("set", mark.array, [i.array for i in indices], 0)
    return mark


def _sums(v: Tensor, indices: Sequence[Tensor], shape: tuple[int, ...]) -> Tensor:
    total: Tensor = ScatterAdd.apply(v, *indices, shape=shape)
    return total


def _at(y: Tensor, indices: Sequence[Tensor]) -> Tensor:
    found: Tensor = Gather.apply(y, *indices)
    return found


def _extreme_gradient(
    dy: Tensor, x: Tensor, v: Tensor, y: Tensor, indices: Sequence[Tensor], counted: Any
) -> tuple[Tensor, Tensor]:
    """dy in equal shares to all of x and v that equal y. `counted`: where x takes part."""
    of_x = (x.detach() == y.detach()).to(dy.dtype) * (1 if counted is True else counted)
    of_v = (v.detach() == _at(y.detach(), indices)).to(dy.dtype)
    share = dy / (of_x + _sums(of_v, indices, x.shape)).clamp(min=1)
    return share * of_x, _at(share, indices) * of_v


def _product_gradient(
    dy: Tensor, x: Tensor, v: Tensor, y: Tensor, indices: Sequence[Tensor], counted: Any
) -> tuple[Tensor, Tensor]:
    """dy times the product of the other factors, without dividing by 0.

    With p the product of a place's factors other than 0, z the number of its zeros and s their sum
    (which is 0, but has derivatives): the others of a factor f != 0 give p / f if z = 0, p s / f if
    z = 1; those of a zero f give p if z = 1, p (s - f) if z = 2; else 0.
    """
    part = 1 if counted is True else counted
    zero_x, zero_v = (x.detach() == 0).to(dy.dtype) * part, (v.detach() == 0).to(dy.dtype)
    full_x = x.masked_fill((x.detach() == 0) | (part == 0), 1.0)
    full_v = v.masked_fill(v.detach() == 0, 1.0)
    p: Tensor = Reduced.apply(full_x, full_v, *indices, reduce="prod", include=True)
    z = zero_x + _sums(zero_v, indices, x.shape)
    s = x * zero_x + _sums(v * zero_v, indices, x.shape)

    def others(f: Tensor, full: Tensor, zero: Tensor, p: Tensor, z: Tensor, s: Tensor) -> Tensor:
        one, two = (z == 1).to(dy.dtype), (z == 2).to(dy.dtype)
        of_full = p / full * ((z == 0).to(dy.dtype) + one * s)
        return of_full * (1 - zero) + p * (one + two * (s - f)) * zero

    dx = dy * others(x, full_x, zero_x, p, z, s) * part
    at_v = [_at(t, indices) for t in (p, z, s)]
    return dx, _at(dy, indices) * others(v, full_v, zero_v, *at_v)


def reduced_into(
    x: Tensor, v: Tensor, indices: Sequence[Tensor], reduce: str, include: bool
) -> Tensor:
    """x joined with v at the indices of its first axes, by sum, prod, mean, amax or amin."""
    if reduce not in ("sum", "mean"):
        y: Tensor = Reduced.apply(x, v, *indices, reduce=reduce, include=include)
        return y
    free = None if include else untouched(x, indices)
    base = x if free is None else x.masked_fill(free == 0, 0)
    total = into(base, v, indices, True)
    if reduce == "sum":
        return total
    wide = dtypes.accumulation(x.dtype)
    ones = x.new_ones((), dtype=wide).expand(v.shape)
    count = _sums(ones, indices, x.shape) + (1 if free is None else free.to(wide))
    if dtypes.is_floating(x.dtype):
        return (total.to(wide) / count).to(x.dtype)
    return total.div(count.to(x.dtype), rounding_mode="floor")
