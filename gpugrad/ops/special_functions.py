"""Special functions put together from kernels: logit, sinc, x log y, log of sums of powers.

Half types are computed in float32 and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..autograd.function import Function
from ..tensor import Tensor
from .elementwise import OfInput
from .operands import as_floating, demand_floating, only_tensors, some_tensor, two_tensors, wide
from .selection import clamp

_SQRT_HALF = math.sqrt(0.5)
_LOG_2 = math.log(2)


class Logit(OfInput):
    """y = log(x / (1 - x)), the inverse of sigmoid;  dx = dy / (x (1 - x))."""

    def forward(self, x: Any) -> Any:
        self.save(x)
        k = self.kernels
        return k.unary("log", k.binary("div", x, k.binary("sub", 1.0, x)))

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        outside = (x < 0) | (x > 1)
        return (dy / (x * (1.0 - x))).masked_fill(outside, math.nan)


class Sinc(Function):
    """y = sin(pi x) / (pi x), 1 at 0;  dx = dy (cos(pi x) - y) / x, 0 at 0."""

    def forward(self, x: Any) -> Any:
        k = self.kernels
        angle = k.binary("mul", x, math.pi)
        zero = k.unary("logical_not", x)
        y = k.where(zero, 1.0, k.binary("div", k.unary("sin", angle), angle))
        self.save(x, y)
        return y

    def backward(self, dy: Tensor) -> Any:
        x, y = self.saved
        zero = x == 0
        slope = ((x * math.pi).cos() - y) / x.masked_fill(zero, 1.0)
        return dy * slope.masked_fill(zero, 0.0)


class Entr(Function):
    """y = -x log x, 0 at 0, -inf below;  dx = -dy (log x + 1)."""

    def forward(self, x: Any) -> Any:
        self.save(x)
        k = self.kernels
        y = k.unary("neg", k.binary("mul", x, k.unary("log", x)))
        y = k.where(k.unary("logical_not", x), 0.0, y)
        return k.where(k.binary("lt", x, 0.0), -math.inf, y)

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return -dy * (x.log() + 1.0)


class Xlogy(Function):
    """y = a log b, 0 where a = 0 unless b is NaN;  da = dy log b (0 where a = 0 and
    b <= 0), db = dy a / b."""

    def forward(self, a: Any, b: Any) -> Any:
        self.save(a, b)
        return _times_log(self.kernels, a, b, "log")

    def backward(self, dy: Tensor) -> Any:
        a, b = self.saved
        da = None
        if self.needs(0):
            da = Xlogy.apply(dy, b).masked_fill((a == 0) & (b <= 0.0), 0.0)
        return da, (dy * (a / b) if self.needs(1) else None)


class Xlog1py(Function):
    """y = a log(1 + b), 0 where a = 0 unless b is NaN;  da = dy log(1 + b) (0 where
    a = 0 and b <= -1), db = dy a / (1 + b)."""

    def forward(self, a: Any, b: Any) -> Any:
        self.save(a, b)
        return _times_log(self.kernels, a, b, "log1p")

    def backward(self, dy: Tensor) -> Any:
        a, b = self.saved
        da = None
        if self.needs(0):
            da = Xlog1py.apply(dy, b).masked_fill((a == 0) & (b <= -1.0), 0.0)
        return da, (dy * (a / (b + 1.0)) if self.needs(1) else None)


def _times_log(k: Any, a: Any, b: Any, log: str) -> Any:
    plain = k.binary("mul", a, k.unary(log, b))
    zero = k.binary("logical_and", k.unary("logical_not", a), k.binary("eq", b, b))
    return k.where(zero, 0.0, plain)


class LogAddExp(Function):
    """y = log(s^a + s^b) / log s, s = e or 2;  da = dy / (1 + s^(b - a)), db likewise."""

    def forward(self, a: Any, b: Any, exp: str, log: float) -> Any:
        self.log = log
        self.save(a, b)
        k = self.kernels
        gap = k.unary("neg", k.unary("abs", k.binary("sub", a, b)))
        gap = k.where(k.binary("eq", a, b), 0.0, gap)  # equal infinities have no difference
        more = k.binary("div", k.unary("log1p", k.unary(exp, gap)), log)
        return k.binary("add", k.binary("maximum", a, b), more)

    def backward(self, dy: Tensor) -> Any:
        a, b = self.saved
        share = ((a - b) * self.log).sigmoid()
        da = dy * share if self.needs(0) else None
        return da, (dy * ((b - a) * self.log).sigmoid() if self.needs(1) else None)


def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)), the inverse of sigmoid; `eps` holds x to [eps, 1 - eps], else NaN outside
    [0, 1]."""
    x = as_floating("logit", input)
    held = wide(x) if eps is None else clamp(wide(x), eps, 1 - eps)
    return Logit.apply(held).to(x.dtype)


def sinc(input: Tensor) -> Tensor:
    """sin(pi x) / (pi x), 1 at 0."""
    x = as_floating("sinc", input)
    return Sinc.apply(wide(x)).to(x.dtype)


def entr(input: Tensor) -> Tensor:
    """-x log x, 0 at 0 and -inf below: the terms of an entropy."""
    x = as_floating("entr", input)
    return Entr.apply(wide(x)).to(x.dtype)


def ndtr(input: Tensor) -> Tensor:
    """The standard normal's distribution function: (1 + erf(x / sqrt 2)) / 2."""
    x = as_floating("ndtr", input)
    return ((wide(x) * -_SQRT_HALF).erfc() * 0.5).to(x.dtype)


def _pair(name: str, cls: type[Function], doc: str) -> Callable[[Any, Any], Tensor]:
    def function(input: Any, other: Any) -> Tensor:
        some_tensor(name, input, other)
        a, b = two_tensors(name, input, other, floating=True)
        return cls.apply(wide(a), wide(b)).to(a.dtype)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


xlogy = _pair("xlogy", Xlogy, "input log(other), 0 where input is 0 unless other is NaN.")
xlog1py = _pair("xlog1py", Xlog1py, "input log(1 + other), 0 where input is 0 unless other is NaN.")


def _log_of_sum(name: str, input: Tensor, other: Tensor, **options: Any) -> Tensor:
    only_tensors(name, input, other)
    a, b = two_tensors(name, input, other)
    demand_floating(name, a)
    return LogAddExp.apply(wide(a), wide(b), **options).to(a.dtype)


def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """log(exp(input) + exp(other)), without overflow; floating tensors only."""
    return _log_of_sum("logaddexp", input, other, exp="exp", log=1.0)


def logaddexp2(input: Tensor, other: Tensor) -> Tensor:
    """log2(2^input + 2^other), without overflow; floating tensors only."""
    return _log_of_sum("logaddexp2", input, other, exp="exp2", log=_LOG_2)
