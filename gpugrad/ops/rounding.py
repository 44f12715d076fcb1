"""Whole numbers, fractions and signs. They are constant between jumps, so their gradient is 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes

from .. import dtype as dtypes
from ..autograd.function import Function, describe
from ..errors import ArgumentError, DTypeError
from ..tensor import Tensor
from .operands import check_tensor, demand_floating
from .selection import where


class Step(Function):
    """y = floor, ceil, round (half to even), trunc or sign of x: piecewise constant;  dx = 0."""

    def forward(self, x: Any, kernel: str) -> Any:
        return self.kernels.unary(kernel, x)

    def backward(self, dy: Tensor) -> Any:
        return dy.new_zeros(dy.shape)


class RoundTo(Function):
    """y = round(x s) / s, s = 10^decimals: piecewise constant;  dx = 0."""

    def forward(self, x: Any, decimals: int) -> Any:
        k, scale = self.kernels, 10.0 ** abs(decimals)
        there, back = ("mul", "div") if decimals > 0 else ("div", "mul")
        return k.binary(back, k.unary("round", k.binary(there, x, scale)), scale)

    def backward(self, dy: Tensor) -> Any:
        return dy.new_zeros(dy.shape)


def no_bool(name: str, x: Any) -> Tensor:
    """`x`, if it is a tensor of numbers. Raises DTypeError otherwise."""
    if check_tensor(name, x).array.dtype == dtypes.bool_:
        raise DTypeError(f"{name}: not defined for bool tensors; convert with .int() first.")
    if dtypes.is_float8(x.dtype):
        raise dtypes.unsupported(name, x.dtype)
    return x


def _step_function(name: str, doc: str) -> Callable[[Tensor], Tensor]:
    def function(input: Tensor) -> Tensor:
        if not dtypes.is_floating(no_bool(name, input).array.dtype):
            return input.clone()  # integers are whole already
        return Step.apply(input, kernel=name)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc + " Its gradient is 0."
    return function


floor = _step_function("floor", "The largest whole number not above x.")
ceil = _step_function("ceil", "The smallest whole number not below x.")
trunc = _step_function("trunc", "x without its fraction.")


def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest multiple of 10^-decimals, half to even. Its gradient is 0.

    Integers stay as they are; raises ArgumentError for decimals other than 0 of them, and where
    10^|decimals| does not fit the dtype. Half types are rounded in float32.
    """
    x = no_bool("round", input)
    if not dtypes.is_floating(x.array.dtype):
        if decimals:
            raise ArgumentError(
                f"round: decimals={decimals} needs a floating tensor; got {describe(x)}."
            )
        return x.clone()
    if not decimals:
        return Step.apply(x, kernel="round")
    wide = dtypes.accumulation(x.array.dtype)  # x times 10^decimals may not fit a half type
    most = int(math.log10(float(ml_dtypes.finfo(wide).max)))
    if abs(decimals) > most:
        raise ArgumentError(
            f"round: decimals={decimals}: 10^{abs(decimals)} does not fit {wide.name}, in which "
            f"{describe(x)} is rounded; legal are {-most} to {most}."
        )
    return RoundTo.apply(x.to(wide), decimals=decimals).to(x.array.dtype)


def frac(input: Tensor) -> Tensor:
    """x - trunc x: the fraction, with the sign of x. Floating tensors only; its gradient is 1."""
    demand_floating("frac", check_tensor("frac", input))
    return input - trunc(input)


def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1; bool stays as it is; NaN gives 0. Its gradient is 0."""
    if check_tensor("sign", input).array.dtype == dtypes.bool_:
        return input.clone()
    return Step.apply(input, kernel="sign")


def signbit(input: Tensor) -> Tensor:
    """True where the sign is negative, of -0.0 and negative NaNs too."""
    x = check_tensor("signbit", input)
    data = x.array
    if data.dtype == dtypes.bool_:  # no bool is negative
        data = x.backend.kernels.cast(data, dtypes.uint8)
    return Tensor(x.backend.kernels.unary("signbit", data), x.backend)


def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 below 0, 1 above, `values` at 0; NaN gives 0. Both of one dtype; no gradient."""
    a, b = check_tensor("heaviside", input), check_tensor("heaviside", values)
    if a.array.dtype != b.array.dtype:
        raise DTypeError(
            f"heaviside: input is {describe(a)} and values {describe(b)}; they need one dtype."
        )
    a, b = a.detach(), b.detach()
    return where(a == 0, b, (a > 0).to(a.dtype))
