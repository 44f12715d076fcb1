"""Random operations on tensors: dropout, Bernoulli draws, in-place fills."""

from __future__ import annotations

import math
from typing import Any

from .. import dtype as dtypes
from ..autograd.function import Function, describe
from ..errors import ArgumentError, DTypeError, ShapeError
from ..random import Generator, generator_of
from ..tensor import Tensor
from .inplace import before_inplace, overwrite_raw
from .operands import check_probabilities, check_tensor, demand_floating


class Dropout(Function):
    """y = x m / (1 - p), m Bernoulli(1 - p);  dx = dy m / (1 - p).

    No mask is stored: the same draw is made again in backward.
    """

    def forward(self, x: Any, p: float, state: Any, call: int) -> Any:
        self.draw = {"p": p, "state": state, "call": call}
        return self.kernels.dropout(state, call, p, x)

    def backward(self, dy: Tensor) -> Any:
        return Dropout.apply(dy, **self.draw)


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, generator: Generator | None = None
) -> Tensor:
    """Each element 0 with probability `p`, the others divided by 1 - p; `input` if not training."""
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"dropout: p must be in [0, 1], got {p}.")
    demand_floating("dropout", check_tensor("dropout", input))
    if not training or p == 0:
        return input
    if p == 1:
        return input * 0.0
    state, call = generator_of(generator, input.backend).draw(input.backend)
    return Dropout.apply(input, p=float(p), state=state, call=call)


def channel_dropout(
    axes: int, input: Tensor, p: float = 0.5, training: bool = True, single: bool = True
) -> Tensor:
    """Whole channels 0 with probability `p`, the others divided by 1 - p: dropout1d, 2d, 3d.

    input [N, C, spatial...], or [C, spatial...] where `single` images are allowed.
    """
    name, shape = f"dropout{axes}d", check_tensor(f"dropout{axes}d", input).shape
    if len(shape) not in (axes + 1, axes + 2):
        raise ShapeError(
            f"{name}: input must have {axes + 2} axes, or {axes + 1}; got {describe(input)}."
        )
    demand_floating(name, input)
    channels = shape[:1] if single and len(shape) == axes + 1 else shape[:2]
    ones = input.new_ones(*channels, *[1] * (len(shape) - len(channels)))
    factor = dropout(ones, p, training)
    return input if factor is ones else input * factor


_DEPTH = 1.7580993408473766  # SELU tends to minus this far below zero: its scale times alpha


def _alpha_dropout(name: str, input: Tensor, p: float, training: bool, channels: bool) -> Tensor:
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"{name}: p must be in [0, 1], got {p}.")
    if not training or p == 0 or check_tensor(name, input).array.size == 0:
        return input
    demand_floating(name, input)
    if p == 1:
        return input * 0.0
    shape = input.shape
    if channels:
        if input.ndim < 2:
            raise ShapeError(f"{name}: input must be [N, C, ...]; got {describe(input)}.")
        shape = (*shape[:2], *[1] * (input.ndim - 2))
    kept = bernoulli(input.new_empty(shape), 1.0 - p)
    scale = 1.0 / math.sqrt((_DEPTH * _DEPTH * p + 1.0) * (1.0 - p))
    return input * (kept * scale) + (kept - (1.0 - p)) * (_DEPTH * scale)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False) -> Tensor:
    """`dropout` that keeps zero mean and unit variance: dropped elements take SELU's lowest value,
    and all are scaled and shifted (Klambauer et al. 2017)."""
    return _alpha_dropout("alpha_dropout", input, p, training, channels=False)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False) -> Tensor:
    """`alpha_dropout` of whole channels: input [N, C, ...]."""
    return _alpha_dropout("feature_alpha_dropout", input, p, training, channels=True)


def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None
) -> Tensor:
    """1 with the probability that `input` (or `p`) gives for each element, else 0; no gradient.

    Raises ArgumentError for a probability outside [0, 1]; a tensor's are not looked at on CUDA.
    """
    x = check_tensor("bernoulli", input)
    if p is None:
        demand_floating("bernoulli", x)
        check_probabilities("bernoulli", x)
    return Tensor(_bernoulli(x, x.array if p is None else float(p), generator), x.backend)


def _bernoulli(x: Tensor, p: Any, generator: Generator | None) -> Any:
    if isinstance(p, float) and not 0.0 <= p <= 1.0:
        raise ArgumentError(f"bernoulli: p must be in [0, 1], got {p}.")
    state, call = generator_of(generator, x.backend).draw(x.backend)
    return x.backend.kernels.bernoulli(state, call, p, x.shape, x.dtype)


def uniform_(
    self: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with uniform numbers in [a, b)."""
    before_inplace("uniform_", self)
    demand_floating("uniform_", self)
    if a > b:
        raise ArgumentError(f"uniform_: the lower bound {a} is above the upper {b}.")
    state, call = generator_of(generator, self.backend).draw(self.backend)
    y = self.backend.kernels.uniform(state, call, float(a), float(b), self.shape, self.dtype)
    return overwrite_raw("uniform_", self, y)


def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with normal numbers."""
    before_inplace("normal_", self)
    demand_floating("normal_", self)
    if std < 0:
        raise ArgumentError(f"normal_: std must not be negative, got {std}.")
    state, call = generator_of(generator, self.backend).draw(self.backend)
    y = self.backend.kernels.normal(state, call, float(mean), float(std), self.shape, self.dtype)
    return overwrite_raw("normal_", self, y)


def bernoulli_(
    self: Tensor, p: float | Tensor = 0.5, *, generator: Generator | None = None
) -> Tensor:
    """Fill with 1 with probability `p` (a number or a tensor that broadcasts), else 0."""
    before_inplace("bernoulli_", self)
    if isinstance(p, Tensor):
        check_probabilities("bernoulli_", p)
    probability = p.detach().array if isinstance(p, Tensor) else float(p)
    return overwrite_raw("bernoulli_", self, _bernoulli(self, probability, generator))


def random_(
    self: Tensor, low: int = 0, high: int | None = None, *, generator: Generator | None = None
) -> Tensor:
    """Fill with whole numbers in [low, high)."""
    before_inplace("random_", self)
    if dtypes.is_floating(self.dtype) or self.dtype == dtypes.bool_:
        raise DTypeError(f"random_: needs an integer tensor, got {self.dtype.name}.")
    if high is None:
        low, high = 0, low
    if low >= high:
        raise ArgumentError(f"random_: low {low} must be below high {high}.")
    state, call = generator_of(generator, self.backend).draw(self.backend)
    y = self.backend.kernels.uniform(state, call, low, high, self.shape, self.dtype)
    return overwrite_raw("random_", self, y)


def sample(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    generator: Generator | None = None,
) -> Tensor:
    """A class for each row of logits [B, V], int64 [B], drawn from softmax(logits / temperature).

    top_k: only from the most probable (0: all; Fan et al. 2018); top_p: of these, only from the
    fewest that together have that share of the probability (Holtzman et al. 2020). temperature 0:
    the most probable, the first of equals. NaN counts as -infinity. No gradient.
    """
    name = "sample"
    demand_floating(name, check_tensor(name, logits))
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ShapeError(f"{name}: logits must be [B, V] with V > 0; got {describe(logits)}.")
    if not 0 <= temperature < math.inf or top_k < 0 or not 0.0 < top_p <= 1.0:
        raise ArgumentError(
            f"{name}: temperature must be finite and at least 0, top_k at least 0 and top_p in "
            f"(0, 1]; got temperature={temperature}, top_k={top_k}, top_p={top_p}."
        )
    state, call = generator_of(generator, logits.backend).draw(logits.backend)
    kernels = logits.backend.kernels
    y = kernels.sample(logits.array, float(temperature), int(top_k), float(top_p), state, call)
    return Tensor(y, logits.backend)
