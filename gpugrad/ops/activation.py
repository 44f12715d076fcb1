"""Activations. Backward is one kernel where there is one and no graph of it is asked for."""

from __future__ import annotations

import math
from typing import Any

from ..autograd.function import Function
from ..autograd.modes import MODE
from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor
from .elementwise import OfInput, OfResult, floating_function
from .operands import as_floating, axis, check_tensor, demand_floating
from .selection import choose

_INV_SQRT_2PI = 1 / math.sqrt(2 * math.pi)
_SQRT_HALF = math.sqrt(0.5)
_SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
_CUBIC = 0.044715  # Hendrycks & Gimpel 2016


def fused(name: str, dy: Tensor, t: Tensor) -> Tensor:
    """One kernel of (dy, t); not recorded, so only where no graph is made."""
    return Tensor(dy.backend.kernels.binary(name, dy.array, t.array), dy.backend)


class ReluGrad(Function):
    """dx = dy where y > 0, else 0: linear in dy, so its own derivative in dy is itself."""

    def forward(self, dy: Any, y: Any) -> Any:
        self.save(y)
        return self.kernels.binary("relu_grad", dy, y)

    def backward(self, ddx: Tensor) -> Any:
        (y,) = self.saved
        return ReluGrad.apply(ddx, y), (ddx.new_zeros(ddx.shape) if self.needs(1) else None)


class Relu(OfResult):
    """y = max(x, 0);  dx = dy where y > 0."""

    kernel = "relu"

    def backward(self, dy: Tensor) -> Any:
        (y,) = self.saved
        return ReluGrad.apply(dy, y) if MODE.grad else fused("relu_grad", dy, y)


class Sigmoid(OfResult):
    """y = 1 / (1 + exp(-x));  dx = dy y (1 - y)."""

    kernel = "sigmoid"

    def backward(self, dy: Tensor) -> Any:
        (y,) = self.saved
        return dy * (y * (1.0 - y)) if MODE.grad else fused("sigmoid_grad", dy, y)


class Tanh(OfResult):
    """y = tanh x;  dx = dy (1 - y^2)."""

    kernel = "tanh"

    def backward(self, dy: Tensor) -> Any:
        (y,) = self.saved
        return dy * (1.0 - y * y) if MODE.grad else fused("tanh_grad", dy, y)


class LogSigmoid(OfInput):
    """y = log(1 / (1 + exp(-x)));  dx = dy sigmoid(-x)."""

    kernel = "log_sigmoid"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return dy * (-x).sigmoid()


class Gelu(OfInput):
    """y = x Phi(x);  dx = dy (Phi(x) + x phi(x)), Phi the normal distribution, phi its density."""

    kernel = "gelu"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        if not MODE.grad:
            return fused("gelu_grad", dy, x)
        cdf = (x * -_SQRT_HALF).erfc() * 0.5
        return dy * (cdf + x * ((x * x * -0.5).exp() * _INV_SQRT_2PI))


class GeluTanh(OfInput):
    """y = x (1 + tanh u) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3);
    dx = dy ((1 + tanh u) / 2 + x (1 - tanh^2 u) u' / 2)."""

    kernel = "gelu_tanh"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        if not MODE.grad:
            return fused("gelu_tanh_grad", dy, x)
        t = ((x + x * x * x * _CUBIC) * _SQRT_2_OVER_PI).tanh()
        slope = (x * x * (3 * _CUBIC) + 1.0) * _SQRT_2_OVER_PI
        return dy * ((t + 1.0) * 0.5 + x * 0.5 * (1.0 - t * t) * slope)


class Silu(OfInput):
    """y = x s, s = sigmoid x;  dx = dy s (1 + x (1 - s))."""

    kernel = "silu"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        if not MODE.grad:
            return fused("silu_grad", dy, x)
        s = x.sigmoid()
        return dy * (s * (x * (1.0 - s) + 1.0))


class Mish(OfInput):
    """y = x t, t = tanh(softplus x);  dx = dy (t + x (1 - t^2) sigmoid x)."""

    kernel = "mish"

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        t = softplus(x).tanh()
        return dy * (t + x * (1.0 - t * t) * x.sigmoid())


class Softplus(Function):
    """y = log(1 + exp(beta x)) / beta, x where beta x > threshold;  dx = dy sigmoid(beta x)."""

    def forward(self, x: Any, beta: float, threshold: float) -> Any:
        self.beta, self.threshold = beta, threshold
        self.save(x)
        return self.kernels.unary("softplus", x, beta, threshold)

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        z = x * self.beta
        return choose(z > self.threshold, dy, dy * z.sigmoid())


sigmoid = floating_function(Sigmoid)
tanh = floating_function(Tanh)


def relu(input: Tensor) -> Tensor:
    """max(input, 0); integers stay integers."""
    if not isinstance(input, Tensor):
        check_tensor("relu", input)
    return Relu.apply(input)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Phi(x) (Hendrycks & Gimpel 2016); approximate="tanh" takes their tanh form."""
    demand_floating("gelu", check_tensor("gelu", input))
    if approximate not in ("none", "tanh"):
        raise ArgumentError(f"gelu: approximate is 'none' or 'tanh', not {approximate!r}.")
    cls = Gelu if approximate == "none" else GeluTanh
    return cls.apply(input)


def silu(input: Tensor) -> Tensor:
    """x sigmoid(x), also called swish."""
    demand_floating("silu", check_tensor("silu", input))
    return Silu.apply(input)


def mish(input: Tensor) -> Tensor:
    """x tanh(softplus x) (Misra 2019)."""
    demand_floating("mish", check_tensor("mish", input))
    return Mish.apply(input)


def log_sigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x)), without overflow."""
    return LogSigmoid.apply(as_floating("log_sigmoid", input))


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    x = as_floating("softsign", input)
    return x / (x.abs() + 1.0)


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    x = as_floating("tanhshrink", input)
    return x - x.tanh()


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a sigmoid(b), a and b the halves of x along dim (Dauphin et al. 2017).

    Raises ShapeError for an odd length or a 0-d tensor.
    """
    demand_floating("glu", check_tensor("glu", input))
    if input.ndim == 0:
        raise ShapeError("glu: a 0-d tensor has no halves.")
    length = input.shape[axis("glu", dim, input.ndim)]
    if length % 2:
        raise ShapeError(f"glu: axis {dim} of {input.shape} has the odd length {length}.")
    a, b = input.split(length // 2, dim) if length else (input, input)
    return a * b.sigmoid()


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta x)) / beta; x itself where beta x > threshold."""
    x = as_floating("softplus", input)
    return Softplus.apply(x, beta=float(beta), threshold=float(threshold))
