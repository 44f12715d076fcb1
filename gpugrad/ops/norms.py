"""Norms of tensors, distances, and slices held to a norm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import dtype as dtypes
from ..amp.autocast_mode import AUTOCAST
from ..autograd.function import Function, describe
from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor
from .operands import as_floating, axes, axis, check_tensor, demand_floating, two_tensors
from .reduction import amax, amin, restored, sum
from .selection import choose, where

Dim = int | Sequence[int] | None


class EuclideanNorm(Function):
    """y = sqrt(sum x^2);  dx = dy x / y, 0 where y = 0."""

    def forward(self, x: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
        self.dims = dims
        k = self.kernels
        y = k.unary("sqrt", k.sum_of("square", x, None, dims, keepdim))
        self.save(x, y)
        return y

    def backward(self, dy: Tensor) -> Any:
        x, y = self.saved
        zero = y.detach() == 0
        share = (dy / y.masked_fill(zero, 1.0)).masked_fill(zero, 0.0)
        return x * restored(share, x.shape, self.dims)


def norm_of_vectors(name: str, x: Tensor, p: float, dim: Dim, keepdim: bool) -> Tensor:
    """(sum |x|^p)^(1/p) over `dim` for any p, inf and -inf too; 0: how many are not 0.

    The gradient at 0 is 0. Half types are summed in float32: their squares overflow early. Raises
    ShapeError over nothing where p is negative or inf.
    """
    dims = axes(name, dim, x.ndim)
    nothing = not x.numel() and (not dims or any(x.shape[d] == 0 for d in dims))
    if nothing and (p < 0 or p == math.inf):
        raise ShapeError(f"{name}: the norm of order {p} of nothing is not defined.")
    wide = x.to(dtypes.accumulation(x.dtype))
    return _norm(wide, p, dims, keepdim).to(x.dtype)


def _norm(x: Tensor, p: float, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    if p == 2 and dims:
        return EuclideanNorm.apply(x, dims=dims, keepdim=keepdim)
    if p == 0:
        return sum(choose(x != 0, 1.0, x.sign()), dims, keepdim)  # constant, part of the graph
    size = x.abs()
    if not dims:
        return size
    if p == math.inf:
        return amax(size, dims, keepdim)
    if p == -math.inf:
        return amin(size, dims, keepdim)
    if p == 1:
        return sum(size, dims, keepdim)
    if p < 2:  # the slope at 0 is infinite (p < 1), or 0
        zero = x.detach() == 0
        powers = size.masked_fill(zero, 1.0) ** p
        total = sum(powers.masked_fill(zero, 0.0 if p > 0 else math.inf), dims, keepdim)
    else:
        total = sum(size**p, dims, keepdim)
    zero = total.detach() == 0  # the root's slope is infinite there; PyTorch gives 0
    root = total.masked_fill(zero, 1.0)
    return (root ** (1 / p)).masked_fill(zero, 0.0 if p > 0 else math.inf)


def norm(
    input: Tensor, p: float | str = 2, dim: Dim = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """(sum |x|^p)^(1/p) over `dim`; p may be inf, -inf, 0 (how many are not 0), "fro" (2) or "nuc"
    (the sum of the singular values of a matrix). The gradient at 0 is 0."""
    x = as_floating("norm", input if dtype is None else input.to(dtype))
    if p == "nuc":
        from .matrices.norms import matrix_norm

        two = (-2, -1) if dim is None else (dim,) if isinstance(dim, int) else dim
        return matrix_norm(x, "nuc", two, keepdim)
    if isinstance(p, str) and p != "fro":
        raise ArgumentError(f"norm: p is a number, 'fro' or 'nuc', not {p!r}.")
    order = 2.0 if isinstance(p, str) else float(p)
    return norm_of_vectors("norm", x, order, dim, keepdim)


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of input - other; both broadcast."""
    a, b = two_tensors("dist", input, other)
    demand_floating("dist", a)
    return norm(a - b, p)


def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """`input` with each slice along `dim` scaled so that its p-norm is at most `maxnorm`."""
    x = check_tensor("renorm", input)
    if AUTOCAST.on:
        (x,) = AUTOCAST.cast("renorm", x)
    demand_floating("renorm", x)
    if x.ndim < 2:
        raise ShapeError(f"renorm: input needs at least 2 axes; got {describe(x)}.")
    if not p > 0:
        raise ArgumentError(f"renorm: p must be above 0, got {p}.")
    if not maxnorm >= 0:
        raise ArgumentError(f"renorm: maxnorm must not be negative, got {maxnorm}.")
    dim = axis("renorm", dim, x.ndim)
    wide = x.to(dtypes.accumulation(x.dtype))
    size = norm(wide, p, [i for i in range(x.ndim) if i != dim], True)
    factor = where(size > maxnorm, maxnorm / (size + 1e-7), 1.0)  # 1e-7 as PyTorch adds
    return (wide * factor).to(x.dtype)
