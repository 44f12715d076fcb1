"""Functions of one tensor, element by element. Integers are taken to the default dtype."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import dtype as dtypes
from ..amp.autocast_mode import AUTOCAST
from ..autograd.function import Function
from ..errors import DTypeError
from ..tensor import Tensor
from .operands import as_floating, check_tensor

_TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)


class OfInput(Function, abstract=True):
    """y = f(x), with a derivative written in x."""

    kernel: str

    def forward(self, x: Any) -> Any:
        self.save(x)
        return self.kernels.unary(self.kernel, x)


class OfResult(Function, abstract=True):
    """y = f(x), with a derivative written in y, so that x need not be kept."""

    kernel: str

    def forward(self, x: Any) -> Any:
        y = self.kernels.unary(self.kernel, x)
        self.save(y)
        return y


class Neg(Function):
    """y = -x;  dx = -dy."""

    def forward(self, x: Any) -> Any:
        return self.kernels.unary("neg", x)

    def backward(self, dy: Tensor) -> Any:
        return -dy


class Abs(OfInput):
    """y = |x|;  dx = dy sign x."""

    kernel = "abs"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return dy * x.sign()


class Square(OfInput):
    """y = x^2;  dx = 2 x dy."""

    kernel = "square"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return dy * (x * 2.0)


class Reciprocal(OfResult):
    """y = 1 / x;  dx = -dy y^2."""

    kernel = "reciprocal"

    def backward(self, dy: Tensor) -> Any:
        (y,) = self.saved
        return -dy * (y * y)


class Sqrt(OfResult):
    """y = sqrt x;  dx = dy / (2 y)."""

    kernel = "sqrt"

    def backward(self, dy: Tensor) -> Any:
        (y,) = self.saved
        return dy / (y * 2.0)


class Rsqrt(OfResult):
    """y = 1 / sqrt x;  dx = -dy y^3 / 2."""

    kernel = "rsqrt"

    def backward(self, dy: Tensor) -> Any:
        (y,) = self.saved
        return dy * (y * y * y * -0.5)


class Exp(OfResult):
    """y = exp x;  dx = dy y."""

    kernel = "exp"

    def backward(self, dy: Tensor) -> Any:
        (y,) = self.saved
        return dy * y


class Exp2(OfResult):
    """y = 2^x;  dx = dy y log 2."""

    kernel = "exp2"

    def backward(self, dy: Tensor) -> Any:
        (y,) = self.saved
        return dy * (y * math.log(2))


class Expm1(OfResult):
    """y = exp x - 1;  dx = dy (y + 1)."""

    kernel = "expm1"

    def backward(self, dy: Tensor) -> Any:
        (y,) = self.saved
        return dy * (y + 1.0)


class Log(OfInput):
    """y = log x;  dx = dy / x."""

    kernel = "log"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return dy / x


class Log2(OfInput):
    """y = log2 x;  dx = dy / (x log 2)."""

    kernel = "log2"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return dy / (x * math.log(2))


class Log10(OfInput):
    """y = log10 x;  dx = dy / (x log 10)."""

    kernel = "log10"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return dy / (x * math.log(10))


class Log1p(OfInput):
    """y = log(1 + x);  dx = dy / (1 + x)."""

    kernel = "log1p"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return dy / (x + 1.0)


class Sin(OfInput):
    """y = sin x;  dx = dy cos x."""

    kernel = "sin"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return dy * x.cos()


class Cos(OfInput):
    """y = cos x;  dx = -dy sin x."""

    kernel = "cos"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return -dy * x.sin()


class Tan(OfResult):
    """y = tan x;  dx = dy (1 + y^2)."""

    kernel = "tan"

    def backward(self, dy: Tensor) -> Any:
        (y,) = self.saved
        return dy * (y * y + 1.0)


class Asin(OfInput):
    """y = asin x;  dx = dy / sqrt(1 - x^2)."""

    kernel = "asin"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return dy * (1.0 - x * x).rsqrt()


class Acos(OfInput):
    """y = acos x;  dx = -dy / sqrt(1 - x^2)."""

    kernel = "acos"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return -dy * (1.0 - x * x).rsqrt()


class Atan(OfInput):
    """y = atan x;  dx = dy / (1 + x^2)."""

    kernel = "atan"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return dy / (x * x + 1.0)


class Sinh(OfInput):
    """y = sinh x;  dx = dy cosh x."""

    kernel = "sinh"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return dy * x.cosh()


class Cosh(OfInput):
    """y = cosh x;  dx = dy sinh x."""

    kernel = "cosh"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return dy * x.sinh()


class Asinh(OfInput):
    """y = asinh x;  dx = dy / sqrt(x^2 + 1)."""

    kernel = "asinh"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return dy * (x * x + 1.0).rsqrt()


class Acosh(OfInput):
    """y = acosh x;  dx = dy / sqrt(x^2 - 1)."""

    kernel = "acosh"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return dy * (x * x - 1.0).rsqrt()


class Atanh(OfInput):
    """y = atanh x;  dx = dy / (1 - x^2)."""

    kernel = "atanh"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return dy / (1.0 - x * x)


class Erf(OfInput):
    """y = erf x;  dx = dy (2 / sqrt pi) exp(-x^2)."""

    kernel = "erf"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return dy * ((-(x * x)).exp() * _TWO_OVER_SQRT_PI)


class Erfc(OfInput):
    """y = 1 - erf x;  dx = -dy (2 / sqrt pi) exp(-x^2)."""

    kernel = "erfc"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return dy * ((-(x * x)).exp() * -_TWO_OVER_SQRT_PI)


class Erfinv(OfResult):
    """y with erf y = x;  dx = dy (sqrt pi / 2) exp(y^2)."""

    kernel = "erfinv"

    def backward(self, dy: Tensor) -> Any:
        (y,) = self.saved
        return dy * ((y * y).exp() / _TWO_OVER_SQRT_PI)


def floating_function(cls: type[Function]) -> Callable[[Tensor], Tensor]:
    """The public function of a class of one tensor; its docstring is the class's."""
    apply, name = cls.apply, getattr(cls, "kernel", cls.__name__.lower())

    def function(input: Tensor) -> Tensor:
        if isinstance(input, Tensor) and input.array.dtype.kind == "f" and not AUTOCAST.on:
            return apply(input)
        return apply(as_floating(name, input))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = cls.__doc__
    return function


def _number_function(cls: type[Function], name: str) -> Callable[[Tensor], Tensor]:
    def function(input: Tensor) -> Tensor:
        if check_tensor(name, input).array.dtype == dtypes.bool_:
            raise DTypeError(f"{name}: not defined for bool tensors.")
        return cls.apply(input)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = cls.__doc__
    return function


neg = _number_function(Neg, "neg")
abs = _number_function(Abs, "abs")
reciprocal = floating_function(Reciprocal)
sqrt = floating_function(Sqrt)
rsqrt = floating_function(Rsqrt)
exp = floating_function(Exp)
exp2 = floating_function(Exp2)
expm1 = floating_function(Expm1)
log = floating_function(Log)
log2 = floating_function(Log2)
log10 = floating_function(Log10)
log1p = floating_function(Log1p)
sin = floating_function(Sin)
cos = floating_function(Cos)
tan = floating_function(Tan)
asin = floating_function(Asin)
acos = floating_function(Acos)
atan = floating_function(Atan)
sinh = floating_function(Sinh)
cosh = floating_function(Cosh)
asinh = floating_function(Asinh)
acosh = floating_function(Acosh)
atanh = floating_function(Atanh)
erf = floating_function(Erf)
erfc = floating_function(Erfc)
erfinv = floating_function(Erfinv)


def square(input: Tensor) -> Tensor:
    """y = x^2;  dx = 2 x dy. Bool gives int64."""
    x = check_tensor("square", input)
    return Square.apply(x.to(dtypes.int64) if x.array.dtype == dtypes.bool_ else x)


def positive(input: Tensor) -> Tensor:
    """`input` itself; not defined for bool."""
    if check_tensor("positive", input).array.dtype == dtypes.bool_:
        raise DTypeError("positive: not defined for bool tensors; convert with .int() first.")
    return input


def rad2deg(input: Tensor) -> Tensor:
    """180 / pi times the input: radians as degrees."""
    return as_floating("rad2deg", input) * (180 / math.pi)


def deg2rad(input: Tensor) -> Tensor:
    """pi / 180 times the input: degrees as radians."""
    return as_floating("deg2rad", input) * (math.pi / 180)
