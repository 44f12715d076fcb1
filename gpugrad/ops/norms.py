"""Norms of tensors, distances, and slices held to a norm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import dtype as dtypes
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
        y = k.unary("sqrt", k.reduce("sum", k.unary("square", x), dims, keepdim))
        self.save(x, y)
        return y

    def backward(self, dy: Tensor) -> Any:
        x, y = self.saved
        zero = y.detach() == 0
        share = (dy / y.masked_fill(zero, 1.0)).masked_fill(zero, 0.0)
        return x * (restored(share, x.shape, self.dims) if self.dims else share)


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
    if order == 2:  # squares of half types overflow early
        wide = x.to(dtypes.accumulation(x.dtype))
        dims = axes("norm", dim, x.ndim)
        return EuclideanNorm.apply(wide, dims=dims, keepdim=keepdim).to(x.dtype)
    size = x.abs()
    if order == math.inf:
        return amax(size, dim, keepdim)
    if order == -math.inf:
        return amin(size, dim, keepdim)
    if order == 0:
        return sum(choose(x != 0, 1.0, x.sign()), dim, keepdim)  # constant, part of the graph
    if order == 1:
        return sum(size, dim, keepdim)
    total = sum(size.to(dtypes.accumulation(x.dtype)) ** order, dim, keepdim)
    zero = total.detach() == 0  # the root's slope is infinite there; PyTorch gives 0
    root = total.masked_fill(zero, 1.0)
    return (root ** (1 / order)).masked_fill(zero, 0.0).to(x.dtype)


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of input - other; both broadcast."""
    a, b = two_tensors("dist", input, other)
    demand_floating("dist", a)
    return norm(a - b, p)


def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """`input` with each slice along `dim` scaled so that its p-norm is at most `maxnorm`."""
    x = check_tensor("renorm", input)
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
