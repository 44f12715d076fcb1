"""Element-wise operations: functors of one and two arguments, selection, copies and casts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...dtype import DType, bool_, float32, is_float8, is_floating, result_type
from ..base import COMPARISONS, PREDICATES
from .precision import Array, computing, quiet, rounded, widened

SQRT_HALF = math.sqrt(0.5)
SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
INV_SQRT_2PI = 1 / math.sqrt(2 * math.pi)
GELU_CUBIC = 0.044715  # Hendrycks & Gimpel 2016

_erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def erf(x: Array) -> Array:
    """2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    return rounded(_erf(x), x.dtype)


def erfc(x: Array) -> Array:
    """1 - erf(x), without its cancellation."""
    return rounded(_erfc(x), x.dtype)


def _erfinv(x: float) -> float:
    """The root of erf y = x by Halley's method; of erfc y = 1 - x in the tail."""
    a = abs(x)
    if not a < 1:
        return math.copysign(math.inf, x) if a == 1 else math.nan
    w = -math.log((1 - a) * (1 + a))
    s = 4.33075 - w / 2  # Winitzki's approximation, with 2 / (pi a) at a = 0.147
    y = math.sqrt(math.sqrt(s * s + w / 0.147) - s)
    for _ in range(4):
        error = (1 - a) - math.erfc(y) if a > 0.5 else math.erf(y) - a
        newton = error / (2 / math.sqrt(math.pi) * math.exp(-y * y))
        y -= newton / (1 + y * newton)
    return math.copysign(y, x)


_vector_erfinv = np.vectorize(_erfinv, otypes=[np.float64])


def erfinv(x: Array) -> Array:
    """The y with erf(y) = x; infinite at -1 and 1, NaN beyond."""
    return rounded(_vector_erfinv(x), x.dtype)


def normal_cdf(x: Array) -> Array:
    """The standard normal's distribution function."""
    return 0.5 * erfc(-SQRT_HALF * x)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """log(1 + exp(beta x)) / beta, linear where beta x > threshold."""
    return np.where(beta * x > threshold, x, np.log1p(np.exp(beta * x)) / beta)


def gelu_tanh_argument(x: Array) -> Array:
    return SQRT_2_OVER_PI * (x + GELU_CUBIC * x * x * x)


def clamp(x: Array, low: float, high: float) -> Array:
    """x held to [low, high]; NaN stays; high wins where low > high."""
    if is_floating(x.dtype):
        return np.minimum(np.maximum(x, low), high)
    ends = np.iinfo(x.dtype)
    return np.minimum(np.maximum(x, _integer(low, ends)), _integer(high, ends))


def _integer(value: float, ends: np.iinfo) -> int:
    return int(min(max(value, ends.min), ends.max))


UNARY: dict[str, Callable[[Array], Any]] = {
    "neg": np.negative,
    "abs": np.abs,
    "sign": lambda x: (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype),
    "square": np.square,
    "reciprocal": lambda x: 1 / x,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "erf": erf,
    "erfc": erfc,
    "erfinv": erfinv,
    "sigmoid": sigmoid,
    "log_sigmoid": lambda x: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))),
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * normal_cdf(x),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(gelu_tanh_argument(x))),
    "silu": lambda x: x * sigmoid(x),
    "mish": lambda x: x * np.tanh(softplus(x)),
    "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "trunc": np.trunc,
    "isnan": np.isnan,
    "isinf": np.isinf,
    "isfinite": np.isfinite,
    "signbit": np.signbit,
    "logical_not": np.logical_not,
    "bitwise_not": np.invert,
}

UNARY_WITH_PARAMETERS: dict[str, Callable[[Array, float, float], Any]] = {
    "leaky_relu": lambda x, slope, _: np.where(x > 0, x, slope * x),
    "elu": lambda x, alpha, scale: np.where(x > 0, x, alpha * np.expm1(scale * x)),
    "softplus": softplus,
    "clamp": clamp,
}


@quiet
def unary(name: str, x: Array, p0: float = 0.0, p1: float = 0.0) -> Array:
    """y = f(x; p0, p1) element by element; bool for predicates, else x's dtype."""
    f = UNARY.get(name)
    y = f(widened(x)) if f else UNARY_WITH_PARAMETERS[name](widened(x), p0, p1)
    return rounded(y, bool_ if name in PREDICATES else x.dtype)


def _int_pow(a: Array, b: Array) -> Array:
    """a^b, wrapping; a negative exponent gives 1 / a^|b| truncated: 0 unless a is 1 or -1."""
    sign = np.where(b % 2 == 0, 1, a)
    inverse = np.where(a == 1, 1, np.where(a == -1, sign, 0))
    return np.where(b < 0, inverse, np.power(a, np.maximum(b, 0)))


def power(a: Array, b: Array) -> Array:
    return np.power(a, b) if is_floating(np.result_type(a, b)) else _int_pow(a, b)


def gelu_grad(dy: Array, x: Array) -> Array:
    return dy * (normal_cdf(x) + x * np.exp(-0.5 * x * x) * INV_SQRT_2PI)


def gelu_tanh_grad(dy: Array, x: Array) -> Array:
    t = np.tanh(gelu_tanh_argument(x))
    slope = SQRT_2_OVER_PI * (1 + 3 * GELU_CUBIC * x * x)
    return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)


def silu_grad(dy: Array, x: Array) -> Array:
    s = sigmoid(x)
    return dy * s * (1 + x * (1 - s))


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "floor_divide": np.floor_divide,
    "remainder": np.remainder,
    "pow": power,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "fmod": np.fmod,
    "atan2": np.arctan2,
    "hypot": np.hypot,
    "copysign": np.copysign,
    "gcd": lambda a, b: a | b if a.dtype == bool_ else np.gcd(a, b),
    "shift_left": lambda a, b: np.left_shift(a, b),  # NumPy's give int8 for bool: to be rounded
    "shift_right": lambda a, b: np.right_shift(a, b),
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "relu_grad": lambda dy, y: np.where(y > 0, dy, 0),
    "sigmoid_grad": lambda dy, y: dy * y * (1 - y),
    "tanh_grad": lambda dy, y: dy * (1 - y * y),
    "gelu_grad": gelu_grad,
    "gelu_tanh_grad": gelu_tanh_grad,
    "silu_grad": silu_grad,
}


def operand(v: Any, dtype: DType) -> Array:
    """An array, or a Python number, in the dtype that `dtype` is computed in. Integers wrap."""
    if isinstance(v, np.ndarray):
        return widened(v)
    return cast(np.array(v), computing(dtype))


@quiet
def binary(name: str, a: Any, b: Any, out: Array | None = None) -> Array:
    """y = f(a, b); arrays of one dtype broadcast; one of a, b may be a number."""
    dtype = a.dtype if isinstance(a, np.ndarray) else b.dtype
    y = BINARY[name](operand(a, dtype), operand(b, dtype))
    y = rounded(y, bool_ if name in COMPARISONS else dtype)
    if out is None:
        return y
    out[...] = y
    return out


@quiet
def where(c: Array, a: Any, b: Any) -> Array:
    """y = c ? a : b; all broadcast; two numbers give the dtype `result_type` says."""
    arrays = [v.dtype for v in (a, b) if isinstance(v, np.ndarray)]
    dtype = arrays[0] if arrays else result_type(a, b)
    return np.asarray(np.where(c, _as(a, dtype), _as(b, dtype)))


def _as(v: Any, dtype: DType) -> Array:
    return v if isinstance(v, np.ndarray) else cast(np.array(v), dtype)


def _truncated(x: Array, dtype: DType) -> Array:
    """Floats to integers: toward zero, held to the dtype's range, NaN to 0."""
    ends = np.iinfo(dtype)
    wide = x.astype(np.float64)
    above, below = wide >= ends.max + 1.0, wide <= ends.min - 1.0
    y = np.where(above | below | np.isnan(wide), 0, wide).astype(dtype)
    return np.where(above, ends.max, np.where(below, ends.min, y)).astype(dtype)


@quiet
def cast(x: Array, dtype: DType) -> Array:
    """A new array of `dtype`: floats truncate toward zero to integers, bool is x != 0."""
    if is_float8(x.dtype):
        x = x.astype(float32)
    if is_floating(x.dtype) and dtype.kind in "iu":
        return _truncated(x, dtype)
    return np.array(rounded(x, dtype))


def contiguous(x: Array) -> Array:
    """A new row-major array with x's values."""
    return np.array(x, order="C", copy=True)


@quiet
def copy(x: Array, y: Array) -> None:
    """y[...] = x, cast and broadcast; in place."""
    y[...] = x if x.dtype == y.dtype else cast(x, y.dtype)


@quiet
def fill(y: Array, value: Any) -> None:
    """y[...] = value; in place. Integers wrap."""
    y[...] = cast(np.array(value), y.dtype)
