"""Draws from distributions, made of uniform and normal ones: multinomial, exponential_ and others.

Each takes numbers from the generator as `uniform_` and `normal_` do: the same on every device.
"""

from __future__ import annotations

import math

import ml_dtypes

from .. import dtype as dtypes
from ..autograd.function import before_inplace, describe
from ..errors import ArgumentError, DTypeError, ShapeError
from ..random import Generator, generator_of
from ..tensor import Tensor
from .counting import searchsorted
from .inplace import overwrite_raw
from .operands import check_tensor, demand_floating


def _uniform(like: Tensor, generator: Generator | None) -> Tensor:
    """Uniform in [0, 1), of like's shape, in the dtype it is computed in."""
    backend = like.backend
    state, call = generator_of(generator, backend).draw(backend)
    dtype = dtypes.accumulation(like.dtype) if dtypes.is_floating(like.dtype) else dtypes.float64
    return Tensor(backend.kernels.uniform(state, call, 0.0, 1.0, like.shape, dtype), backend)


def exponential(u: Tensor) -> Tensor:
    """-log(1 - u), and never 0: half a unit in the last place where u is."""
    return (-(-u).log1p()).clamp(min=float(ml_dtypes.finfo(u.dtype).eps) / 2)


def _fill(name: str, self: Tensor, values: Tensor) -> Tensor:
    return overwrite_raw(name, self, values.to(self.dtype).array)


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with numbers of the density lambd exp(-lambd x), x > 0."""
    before_inplace("exponential_", self)
    demand_floating("exponential_", self)
    if not lambd > 0:
        raise ArgumentError(f"exponential_: lambd must be above 0, got {lambd}.")
    return _fill("exponential_", self, exponential(_uniform(self, generator)) / lambd)


def log_normal_(
    self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with exp of normal numbers with this mean and standard deviation."""
    before_inplace("log_normal_", self)
    demand_floating("log_normal_", self)
    if not std > 0:
        raise ArgumentError(f"log_normal_: std must be above 0, got {std}.")
    state, call = generator_of(generator, self.backend).draw(self.backend)
    dtype = dtypes.accumulation(self.dtype)
    normal = self.backend.kernels.normal(state, call, float(mean), float(std), self.shape, dtype)
    return _fill("log_normal_", self, Tensor(normal, self.backend).exp())


def cauchy_(
    self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with numbers of the density sigma / (pi ((x - median)^2 + sigma^2))."""
    before_inplace("cauchy_", self)
    demand_floating("cauchy_", self)
    if not sigma > 0:
        raise ArgumentError(f"cauchy_: sigma must be above 0, got {sigma}.")
    u = _uniform(self, generator)
    return _fill("cauchy_", self, median + sigma * (math.pi * (u - 0.5)).tan())


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with how many trials of probability p it takes to the first success: 1, 2, ..."""
    before_inplace("geometric_", self)
    if self.dtype == dtypes.bool_:
        raise DTypeError("geometric_: needs a floating or an integer tensor, got bool.")
    if not 0 < p < 1:
        raise ArgumentError(f"geometric_: p must be in (0, 1), got {p}.")
    e = exponential(_uniform(self, generator))
    return _fill("geometric_", self, (e / -math.log1p(-p)).ceil())


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Indices drawn with the weights `input` [n] or [rows, n], which need not sum to 1: int64.

    replacement: each draw is independent, by inverting the cumulative sum. Without it no index
    comes twice: those of the num_samples first arrivals of exponential clocks with these rates
    (Efraimidis & Spirakis 2006). Weights are looked at where the device has them at hand. No
    gradient.
    """
    name = "multinomial"
    p = check_tensor(name, input).detach()
    demand_floating(name, p)
    if p.ndim not in (1, 2):
        raise ShapeError(f"{name}: input must be [n] or [rows, n]; got {describe(p)}.")
    n = p.shape[-1]
    if num_samples < 1 or n == 0 or (not replacement and num_samples > n):
        raise ArgumentError(
            f"{name}: num_samples {num_samples} must be at least 1 and, without replacement, at "
            f"most the {n} weights."
        )
    p = p.to(dtypes.accumulation(p.dtype))
    if p.backend.synchronous and p.numel():
        _check_weights(p, 1 if replacement else num_samples)
    if replacement:
        sums = p.cumsum(-1)
        u = _uniform(p.new_empty((*p.shape[:-1], num_samples)), generator)
        found = searchsorted(sums, u * sums[..., -1:], right=True)
        # A parallel sum may grow by a rounding where the weights have ended.
        last = (p > 0).to(dtypes.int64).cumsum(-1).argmax(-1, keepdim=True)
        return found.minimum(last)
    arrival = exponential(_uniform(p, generator)) / p  # never, where p is 0
    return arrival.topk(num_samples, largest=False).indices


def _check_weights(p: Tensor, least: int) -> None:
    if not bool(((p >= 0) & p.isfinite()).all()):
        raise ArgumentError("multinomial: weights must be finite and not negative.")
    count = int((p > 0).sum(-1).min().item())
    if count < least:
        raise ArgumentError(
            f"multinomial: a row has {count} weights above 0, and {least} are to be drawn."
        )
