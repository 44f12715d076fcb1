"""Functions of two or three tensors beyond plain arithmetic: fmod, hypot, addcmul, lerp."""

from __future__ import annotations

from typing import Any

from .. import dtype as dtypes
from ..autograd.function import Function, describe
from ..errors import ArgumentError, DTypeError
from ..tensor import Tensor
from .arithmetic import Binary, _binary, mul, pow, sub
from .compare import isnan
from .operands import (
    check_broadcast,
    check_tensor,
    demand_floating,
    only_tensors,
    operands,
    some_tensor,
    two_tensors,
    wide,
)
from .selection import Where, choose


class Fmod(Binary):
    """y = a - b trunc(a / b);  da = dy, db = -dy trunc(a / b)."""

    kernel = "fmod"

    def forward(self, a: Any, b: Any) -> Any:
        if self.needs(1):
            self.save(a, b)
        return super().forward(a, b)

    def backward(self, dy: Tensor) -> Any:
        if not self.needs(1):
            return dy, None
        a, b = self.saved
        return dy, -dy * (a / b).trunc()


class Hypot(Binary):
    """y = sqrt(a^2 + b^2), without overflow;  da = dy a / y, db = dy b / y."""

    kernel = "hypot"

    def forward(self, a: Any, b: Any) -> Any:
        y = super().forward(a, b)
        self.save(a, b, y)
        return y

    def backward(self, dy: Tensor) -> Any:
        a, b, y = self.saved
        da = dy * (a / y) if self.needs(0) else None
        return da, (dy * (b / y) if self.needs(1) else None)


class CopySign(Binary):
    """y = |a| with the sign of b;  da = dy y / a (0 where a = 0), db = 0."""

    kernel = "copysign"
    floating = True

    def forward(self, a: Any, b: Any) -> Any:
        y = super().forward(a, b)
        self.save(a, y)
        return y

    def backward(self, dy: Tensor) -> Any:
        a, y = self.saved
        da = None
        if self.needs(0):
            sign = (y.detach() * a.detach()).sign()  # 1 where the sign was kept, 0 where a = 0
            da = dy * sign
        return da, (dy.new_zeros(dy.shape) if self.needs(1) else None)


class Lerp(Function):
    """y = a + w (b - a), w a number;  da = dy (1 - w), db = dy w."""

    def forward(self, a: Any, b: Any, weight: float) -> Any:
        self.weight = w = weight
        k = self.kernels
        step = k.binary("sub", b, a)
        if abs(w) < 0.5:  # from the nearer end, so that weight 1 gives b itself
            return k.binary("add", a, k.binary("mul", step, w))
        return k.binary("sub", b, k.binary("mul", step, 1 - w))

    def backward(self, dy: Tensor) -> Any:
        da = dy * (1 - self.weight) if self.needs(0) else None
        return da, (dy * self.weight if self.needs(1) else None)


class Addcmul(Function):
    """y = x + v a b, v a number;  dx = dy, da = dy v b, db = dy v a."""

    def forward(self, x: Any, a: Any, b: Any, value: float) -> Any:
        self.value, edges = value, self.edges
        self.save(a if edges[2] else None, b if edges[1] else None)
        k = self.kernels
        product = k.binary("mul", a, b)
        return k.binary("add", x, product if value == 1 else k.binary("mul", product, value))

    def backward(self, dy: Tensor) -> Any:
        a, b = self.saved
        scaled = dy if self.value == 1 else dy * self.value
        da = scaled * b if self.needs(1) else None
        return dy, da, (scaled * a if self.needs(2) else None)


def fmod(input: Any, other: Any) -> Tensor:
    """input - other trunc(input / other): the sign of input, as C's fmod. Not for bool."""
    a, b = operands("fmod", check_tensor("fmod", input), other)
    if (a if isinstance(a, Tensor) else b).dtype == dtypes.bool_:
        raise DTypeError("fmod: not defined for bool tensors; convert with .int() first.")
    return Fmod.apply(a, b)


def hypot(input: Tensor, other: Tensor) -> Tensor:
    """sqrt(input^2 + other^2), without overflow; floating tensors only."""
    only_tensors("hypot", input, other)
    a, b = operands("hypot", input, other)
    demand_floating("hypot", a)
    return Hypot.apply(a, b)


def copysign(input: Tensor, other: Any) -> Tensor:
    """The magnitude of input with the sign of other (that of -0.0 too)."""
    return _binary(CopySign, check_tensor("copysign", input), other)


def _ignoring_nan(name: str, input: Any, other: Any) -> Tensor:
    only_tensors(name, input, other)
    a, b = two_tensors(name, input, other)
    x, y = a.detach(), b.detach()
    first = (x >= y if name == "fmax" else x <= y) | isnan(y)
    return Where.apply(first, a, b)


def fmax(input: Tensor, other: Tensor) -> Tensor:
    """The larger of each pair; a number wins over NaN. Of equals input gets the gradient."""
    return _ignoring_nan("fmax", input, other)


def fmin(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of each pair; a number wins over NaN. Of equals input gets the gradient."""
    return _ignoring_nan("fmin", input, other)


def rsub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """other - alpha input."""
    return sub(other, check_tensor("rsub", input), alpha=alpha)


def float_power(input: Any, exponent: Any) -> Tensor:
    """input to the power of exponent, in float64."""
    some_tensor("float_power", input, exponent)
    return pow(_double(input), _double(exponent))


def _double(x: Any) -> Any:
    return x.to(dtypes.float64) if isinstance(x, Tensor) else float(x)


def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """input 2^other."""
    return mul(check_tensor("ldexp", input), pow(2.0, check_tensor("ldexp", other)))


def _whole(dtype: Any) -> bool:
    return not dtypes.is_floating(dtype)


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """input + value tensor1 tensor2; all broadcast, dtypes are promoted."""
    dtype = dtypes.result_type(input.array, tensor1.array, tensor2.array)
    if _whole(dtype) and not isinstance(value, int):
        raise ArgumentError(f"addcmul: value={value} must be an int for {dtype.name} tensors.")
    x, a, b = (wide(t.to(dtype)) for t in (input, tensor1, tensor2))
    check_broadcast("addcmul", x, a, b)
    return Addcmul.apply(x, a, b, value=value).to(dtype)


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """input + value tensor1 / tensor2; all broadcast, dtypes are promoted; no integers."""
    dtype = dtypes.result_type(input.array, tensor1.array, tensor2.array)
    if _whole(dtype):
        raise DTypeError(
            f"addcdiv: a quotient does not fit {dtype.name} tensors.\n"
            "  Convert with .float(), or use addcmul or div(rounding_mode=...)."
        )
    quotient = wide(tensor1.to(dtype)) / wide(tensor2.to(dtype))
    return (wide(input.to(dtype)) + (quotient if value == 1 else quotient * value)).to(dtype)


def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """input + weight (end - input): input at weight 0, end at 1; weight a number or a tensor.

    Floating tensors of one dtype; all broadcast.
    """
    demand_floating("lerp", check_tensor("lerp", input))
    given = [x for x in (input, end, weight) if isinstance(x, Tensor)]
    if any(x.array.dtype != input.array.dtype for x in given):
        facts = ", ".join(describe(x) for x in given)
        raise DTypeError(f"lerp: input, end and weight must have one dtype; got {facts}.")
    a, b, w = wide(input), wide(end), wide(weight)
    check_broadcast("lerp", *given)
    if not isinstance(w, Tensor):
        y = Lerp.apply(a, b, weight=w)
    else:  # from the nearer end here too
        step = b - a
        near, far = a + step * w, b - step * (1.0 - w)
        y = choose((w.detach().abs() < 0.5).expand(near.shape), near, far)
    return y.to(input.dtype)
