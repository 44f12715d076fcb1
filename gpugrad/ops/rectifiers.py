"""Activations of pieces: linear, constant or exponential on either side of a threshold."""

from __future__ import annotations

from typing import Any

from .. import dtype as dtypes
from ..amp.autocast_mode import AUTOCAST
from ..autograd.function import Function, describe, mixed_devices
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..random import Generator, generator_of
from ..tensor import Tensor
from .activation import relu
from .elementwise import OfInput
from .inplace import inplace as in_place
from .operands import as_floating, check_tensor, demand_floating
from .selection import choose, where

SELU_ALPHA = 1.6732632423543772  # Klambauer et al. 2017: zero mean and unit variance are fixed
SELU_SCALE = 1.0507009873554805


class LeakyRelu(Function):
    """y = x where x > 0, else slope x;  dx = dy or slope dy likewise."""

    def forward(self, x: Any, slope: float) -> Any:
        self.slope = slope
        self.save(x)
        return self.kernels.unary("leaky_relu", x, slope)

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return choose(x > 0, dy, dy * self.slope)


class Elu(Function):
    """y = x where x > 0, else alpha (exp(b x) - 1);  dx = dy, or dy alpha b exp(b x)."""

    def forward(self, x: Any, alpha: float, b: float) -> Any:
        self.alpha, self.b = alpha, b
        self.save(x)
        return self.kernels.unary("elu", x, alpha, b)

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        below = x.clamp(max=0.0)  # no overflow on the side not taken
        slope = (below if self.b == 1 else below * self.b).exp() * (self.alpha * self.b)
        return choose(x > 0, dy, dy * slope)


class HardTanh(Function):
    """y = min(max(x, low), high);  dx = dy where low < x < high, else 0 (at the ends, too)."""

    def forward(self, x: Any, low: float, high: float) -> Any:
        self.low, self.high = low, high
        self.save(x)
        return self.kernels.unary("clamp", x, low, high)

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return choose((x <= self.low) | (x >= self.high), 0.0, dy)


class HardSigmoid(OfInput):
    """y = min(max(x + 3, 0), 6) / 6;  dx = dy / 6 where -3 < x < 3, else 0."""

    kernel = "hardsigmoid"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return choose((x > -3.0) & (x < 3.0), dy * (1 / 6), 0.0)


class HardSwish(OfInput):
    """y = x min(max(x + 3, 0), 6) / 6;  dx = dy (2 x + 3) / 6 in (-3, 3), dy from 3 on, else 0."""

    kernel = "hardswish"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return choose(x <= -3.0, 0.0, choose(x < 3.0, dy * (x * (1 / 3) + 0.5), dy))


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else negative_slope x."""
    x = as_floating("leaky_relu", input)
    return LeakyRelu.apply(x, slope=float(negative_slope))


def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha (exp(x) - 1) (Clevert et al. 2016)."""
    return Elu.apply(as_floating("elu", input), alpha=float(alpha), b=1.0)


def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha (exp(x / alpha) - 1): smooth at 0 for every alpha (Barron 2017)."""
    demand_floating("celu", check_tensor("celu", input))
    if alpha == 0:
        raise ArgumentError("celu(alpha=0): x / alpha needs an alpha other than 0.")
    return Elu.apply(input, alpha=float(alpha), b=1.0 / alpha)


def selu(input: Tensor) -> Tensor:
    """scale elu(x, alpha) with alpha = 1.6733 and scale = 1.0507 (Klambauer et al. 2017)."""
    demand_floating("selu", check_tensor("selu", input))
    y: Tensor = Elu.apply(input, alpha=SELU_ALPHA, b=1.0)
    return y * SELU_SCALE


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """min(max(x, min_val), max_val); no gradient at the ends and beyond."""
    x = check_tensor("hardtanh", input)
    if x.dtype == dtypes.bool_:
        raise DTypeError("hardtanh: not defined for bool tensors.")
    if min_val > max_val:
        raise ArgumentError(
            f"hardtanh(min_val={min_val}, max_val={max_val}): min_val must be the smaller"
        )
    return HardTanh.apply(x, low=float(min_val), high=float(max_val))


def hardsigmoid(input: Tensor) -> Tensor:
    """min(max(x + 3, 0), 6) / 6: the sigmoid in three straight pieces."""
    demand_floating("hardsigmoid", check_tensor("hardsigmoid", input))
    return HardSigmoid.apply(input)


def hardswish(input: Tensor) -> Tensor:
    """x hardsigmoid(x) (Howard et al. 2019)."""
    demand_floating("hardswish", check_tensor("hardswish", input))
    return HardSwish.apply(input)


def threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    """x where x > threshold (or NaN), else value; integers stay integers."""
    x = check_tensor("threshold", input)
    new = float(value) if dtypes.is_floating(x.dtype) else int(value)
    return x.masked_fill(x <= threshold, new)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """0 where -lambd <= x <= lambd, else x."""
    demand_floating("hardshrink", check_tensor("hardshrink", input))
    return input.masked_fill((input >= -lambd) & (input <= lambd), 0.0)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x - lambd above lambd, x + lambd below -lambd, 0 between; lambd at least 0."""
    demand_floating("softshrink", check_tensor("softshrink", input))
    if not lambd >= 0:
        raise ArgumentError(f"softshrink(lambd={lambd}): must be at least 0.")
    return input - input.clamp(-float(lambd), float(lambd))


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else weight x: `leaky_relu` with a slope that is learned (He et al. 2015).

    weight: one number (0-d or [1]), or one for each channel, [C], of input [N, C, ...] or [N, C];
    its dtype is input's. Raises ShapeError, DTypeError, DeviceError.
    """
    if AUTOCAST.on:
        input, weight = AUTOCAST.cast("prelu", input, weight)
    x = check_tensor("prelu", input)
    demand_floating("prelu", x)
    if not isinstance(weight, Tensor):
        raise DTypeError(f"prelu: weight must be a Tensor, got {type(weight).__name__}.")
    if weight.backend is not x.backend:
        raise DeviceError(mixed_devices("prelu", (x, weight)))
    if weight.dtype != x.dtype:
        raise DTypeError(f"prelu: input is {describe(x)}, weight {describe(weight)}; one dtype.")
    if weight.ndim > 1:
        raise ShapeError(f"prelu: weight must be 0-d or [C]; got {weight.shape}.")
    if weight.numel() != 1:
        channels = x.shape[1] if x.ndim > 1 else 1
        if x.ndim == 0 or weight.numel() != channels:
            raise ShapeError(
                f"prelu: {weight.numel()} weights for input {x.shape}: one weight, or one for "
                f"each of its channels (axis 1)."
            )
        weight = weight.reshape(-1, *[1] * (x.ndim - 2))
    elif weight.ndim and x.ndim == 0:
        weight = weight.reshape(())
    return where(x > 0, x, x * weight)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """x where x > 0, else s x, with s drawn anew for each element from [lower, upper).

    Unless training, s is their mean. (Xu et al. 2015.) Raises ArgumentError where lower > upper.
    """
    demand_floating("rrelu", check_tensor("rrelu", input))
    if not lower <= upper:
        raise ArgumentError(f"rrelu(lower={lower}, upper={upper}): lower must be the smaller.")
    if not training:
        return leaky_relu(input, (lower + upper) / 2)
    backend = input.backend
    state, call = generator_of(generator, backend).draw(backend)
    drawn = backend.kernels.uniform(
        state, call, float(lower), float(upper), input.shape, input.dtype
    )
    return where(input > 0, input, input * Tensor(drawn, backend))


relu_ = in_place("relu_", relu)
leaky_relu_ = in_place("leaky_relu_", leaky_relu)
elu_ = in_place("elu_", elu)
celu_ = in_place("celu_", celu)
selu_ = in_place("selu_", selu)
hardtanh_ = in_place("hardtanh_", hardtanh)
rrelu_ = in_place("rrelu_", rrelu)
threshold_ = in_place("threshold_", threshold)
