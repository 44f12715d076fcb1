"""Variance, standard deviation, covariance and correlation. Half types are computed in float32."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import dtype as dtypes
from ..autograd.function import Function, describe
from ..errors import ArgumentError, DTypeError, ShapeError
from ..tensor import Tensor
from .operands import axes, check_tensor, demand_floating
from .reduction import mean, restored, sum

Dim = int | Sequence[int] | None


class Variance(Function):
    """y = sum (x - m)^2 / n, m the mean, n the degrees of freedom;  dx = dy (x - m) 2 / n."""

    def forward(self, x: Any, dims: tuple[int, ...], keepdim: bool, degrees: float) -> Any:
        self.dims, self.degrees = dims, degrees
        self.save(x)
        k = self.kernels
        squares = k.sum_of("square", x, k.reduce("mean", x, dims, True), dims, keepdim)
        return k.binary("div", squares, degrees)

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        centred = x - mean(x, self.dims, True) if self.dims else x - x
        scaled = dy * (2 / self.degrees if self.degrees else math.inf)
        return restored(scaled, x.shape, self.dims) * centred


class Deviation(Function):
    """y = sqrt(v);  dv = dy / (2 y), and 0 where y = 0."""

    def forward(self, v: Any) -> Any:
        y = self.kernels.unary("sqrt", v)
        self.save(y)
        return y

    def backward(self, dy: Tensor) -> Any:
        (y,) = self.saved
        zero = y.detach() == 0
        return (dy * 0.5 / y.masked_fill(zero, 1.0)).masked_fill(zero, 0.0)


class VarMean(NamedTuple):
    """Variance and mean, from `var_mean`."""

    var: Tensor
    mean: Tensor


class StdMean(NamedTuple):
    """Standard deviation and mean, from `std_mean`."""

    std: Tensor
    mean: Tensor


def _variance(
    name: str, input: Tensor, dim: Any, unbiased: bool, keepdim: bool, correction: float | None
) -> Tensor:
    """`var` in the accumulation dtype: squares of half types overflow early."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    demand_floating(name, check_tensor(name, input))
    dims = axes(name, dim, input.ndim)
    n = math.prod([input.shape[i] for i in dims])
    less = (1 if unbiased else 0) if correction is None else correction
    x = input.to(dtypes.accumulation(input.array.dtype))
    degrees = float(builtins.max(n - less, 0))
    return Variance.apply(x, dims=dims, keepdim=keepdim, degrees=degrees)


def var(
    input: Tensor,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """sum (x - mean)^2 / (n - correction); correction 1 (`unbiased`) by default."""
    return _variance("var", input, dim, unbiased, keepdim, correction).to(input.dtype)


def std(
    input: Tensor,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The square root of `var`; the gradient is 0 where it is 0."""
    v = _variance("std", input, dim, unbiased, keepdim, correction)
    return Deviation.apply(v).to(input.dtype)


def var_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> VarMean:
    """(`var`, `mean`)."""
    y = _variance("var_mean", input, dim, unbiased, keepdim, correction).to(input.dtype)
    return VarMean(y, mean(input, None if isinstance(dim, bool) else dim, keepdim))


def std_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> StdMean:
    """(`std`, `mean`)."""
    v = _variance("std_mean", input, dim, unbiased, keepdim, correction)
    y = Deviation.apply(v).to(input.dtype)
    return StdMean(y, mean(input, None if isinstance(dim, bool) else dim, keepdim))


def _check_weights(name: str, weights: Any, n: int, whole: bool) -> None:
    if weights.ndim > 1 or weights.numel() != n:
        raise ShapeError(f"cov: {name} must be a vector of {n} weights; got {describe(weights)}.")
    if dtypes.is_floating(weights.array.dtype) == whole:
        kind = "integers" if whole else "floating"
        raise DTypeError(f"cov: {name} must be {kind}; got {describe(weights)}.")
    if weights.backend.synchronous and n and bool((weights < 0).any()):
        raise ArgumentError(f"cov: {name} must not be negative.")


def cov(
    input: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:
    """The covariances of variables (rows) from observations (columns); a vector is one variable.

    sum w (x - m)(x - m)^T / (sum w - correction sum w a / sum w), m the weighted mean, w = f a:
    fweights f count how often an observation was made (integers), aweights a say how much it
    counts (floating). Integers are taken to the default dtype.
    """
    x = check_tensor("cov", input)
    if x.ndim > 2:
        raise ShapeError(f"cov: input must have at most 2 axes; got {describe(x)}.")
    if x.dtype == dtypes.bool_:
        raise DTypeError("cov: not defined for bool tensors; convert with .float() first.")
    rows = x.reshape(1, -1) if x.ndim < 2 else x
    n = rows.shape[1]
    weights: Tensor | None = None
    degrees: Any
    if fweights is not None:
        _check_weights("fweights", fweights, n, whole=True)
        weights = fweights.reshape(-1)
    if aweights is not None:
        _check_weights("aweights", aweights, n, whole=False)
        weights = aweights.reshape(-1) if weights is None else weights * aweights.reshape(-1)
    if not dtypes.is_floating(rows.dtype):
        rows = rows.to(dtypes.get_default_dtype())
    if weights is None:
        right, degrees = None, float(builtins.max(n - correction, 0))
        centre = mean(rows, 1, True)
    else:
        total = sum(weights)
        centre = sum(rows * weights, 1, True) / total
        right, degrees = weights, _degrees(weights, total, aweights, correction)
    centred = rows - centre
    scaled = centred if right is None else centred * right
    return (centred @ scaled.mT / degrees).squeeze()


def _degrees(weights: Tensor, total: Tensor, aweights: Tensor | None, correction: int) -> Tensor:
    if correction == 0:
        return total
    if aweights is None:
        less: Any = float(correction)
    else:
        less = sum(weights * aweights.reshape(-1)) / total * float(correction)
    return (total - less).clamp(min=0.0)


def corrcoef(input: Tensor) -> Tensor:
    """Pearson's correlations of variables (rows) from observations (columns), held to [-1, 1]."""
    c = cov(input)
    if c.ndim == 0:
        return c / c
    spread = c.diagonal().sqrt()
    return (c / spread.unsqueeze(-1) / spread.unsqueeze(0)).clamp(-1.0, 1.0)
