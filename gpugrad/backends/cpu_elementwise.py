"""Device "cpu", element by element: NumPy for small arrays, the threads of ``_cpu`` for large ones.

The thresholds are where `_cpu` on two threads overtakes NumPy's one, measured on an Intel Xeon with
AVX-512: a call of `_cpu` costs 0.5 us more, waking a thread 5 us.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtype import (
    DTYPES,
    FLOAT8,
    DType,
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    is_floating,
    unsupported,
)
from . import reference
from .base import COMPARISONS, PREDICATES
from .cpu_native import NATIVE, module

NDArray = np.ndarray[Any, Any]
ndarray, asarray, empty, empty_like = np.ndarray, np.asarray, np.empty, np.empty_like


class _Quiet(threading.local):
    """``run(f, *args)`` calls f with NumPy's floating-point warnings off: 20 ns, errstate 500 ns.

    A context of its own for each thread, because two threads cannot be in one context. For ufuncs
    only: a context cannot be entered twice. The thread's other arrays, too, get their memory from
    csrc/cpu/memory.h from then on.
    """

    def __init__(self) -> None:
        module.own_numpy_memory()
        context = contextvars.Context()
        context.run(np.seterr, all="ignore")
        context.run(module.own_numpy_memory)
        self.run = context.run


quiet = _Quiet()

FLOATS = (float32, float64)
HALVES = (float16, bfloat16)
NARROW = HALVES + FLOAT8

Functors = dict[str, Callable[..., Any]]


def _ufuncs(table: Functors) -> Functors:
    """The functors that are one NumPy loop, which rounds as the specification does."""
    return {name: f for name, f in table.items() if isinstance(f, np.ufunc)}


_NONE: Functors = {}
_unary = {d: _NONE if d in HALVES else _ufuncs(reference.UNARY) for d in DTYPES}
# Numbers beside integers wrap, beside half types stay in float32: NumPy does neither.
_with_number = {
    d: _ufuncs(reference.BINARY) | {"pow": np.power} if d in FLOATS else _NONE for d in DTYPES
}
_arrays = _with_number | {d: _ufuncs(reference.BINARY) for d in DTYPES if d not in FLOATS + HALVES}

LARGE = 1 << 18
"""Elements from which memory bounds an operation, and threads fetch more than one NumPy loop."""

_LIGHT = ("relu", "neg", "abs", "square", "sqrt", "floor", "ceil", "round", "trunc")
"""Rounded once by IEEE 754, if at all, so the bits do not depend on who computes them."""

_HEAVY = ("exp", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tanh")
"""Vectorised in float32 (csrc/cpu/float_math.h), as NumPy's are: threads pay sooner."""

_unary_from = {(float32, name): 1 << 16 for name in _HEAVY}
_unary_from |= {(dtype, name): LARGE for dtype in FLOATS for name in _LIGHT}
_NEVER = 1 << 63
_ZERO = {dtype: np.zeros((), dtype) for dtype in FLOATS}
_threaded = frozenset(("add", "sub", "mul", "div", "maximum", "minimum"))


def unary(name: str, x: NDArray, p0: float = 0.0, p1: float = 0.0) -> NDArray:
    dtype = x.dtype
    try:
        f = _unary[dtype].get(name)
    except KeyError:
        raise unsupported(name, dtype) from None
    size = x.size
    if name == "relu" and size < 256 and dtype in _ZERO:
        y = quiet.run(np.maximum, x, _ZERO[dtype])  # NumPy takes twice as long to read a number
        return y if type(y) is ndarray else asarray(y)
    if f is not None and (size < 1 << 16 or size < _unary_from.get((dtype, name), _NEVER)):
        y = quiet.run(f, x)
        return y if type(y) is ndarray else asarray(y)
    y = empty_like(x, bool_ if name in PREDICATES else dtype)
    module.unary(0, name, x, y, p0, p1)
    return y


def binary(name: str, a: Any, b: Any, out: NDArray | None = None) -> NDArray:
    try:
        if type(a) is not ndarray:
            dtype, size = b.dtype, b.size
            f = _with_number[dtype].get(name)
        elif type(b) is ndarray:
            dtype, size = a.dtype, a.size
            if size < b.size:
                size = b.size
            f = _arrays[dtype].get(name)
        else:
            dtype, size = a.dtype, a.size
            f = _with_number[dtype].get(name)
    except KeyError:
        raise unsupported(name, dtype) from None
    if f is None or (size >= LARGE and name in _threaded and dtype in FLOATS):
        return _native_binary(name, a, b, out)
    if out is not None:
        quiet.run(f, a, b, out)
        return out
    y = quiet.run(f, a, b)
    return y if type(y) is ndarray else asarray(y)


def _native_binary(name: str, a: Any, b: Any, out: NDArray | None) -> NDArray:
    """Large arrays; half types, rounded once; the derivatives of activations in one pass."""
    array = a if type(a) is ndarray else b
    if not is_floating(array.dtype):
        return reference.binary(name, a, b, out)
    dtype = bool_ if name in COMPARISONS else array.dtype
    if out is not None:
        y = out
    elif type(b) is ndarray and b.shape != array.shape:
        shape = np.broadcast_shapes(array.shape, b.shape)
        like = array if shape == array.shape else b
        y = empty_like(like, dtype) if shape == like.shape else empty(shape, dtype)
    else:
        y = empty_like(array, dtype)  # in the same memory format
    module.binary(0, name, a, b, y)
    return y


def where(c: NDArray, a: Any, b: Any) -> NDArray:
    arrays = type(a) is ndarray or type(b) is ndarray
    if arrays and c.size >= 1024:
        return NATIVE.where(c, a, b)
    if type(a) is ndarray:
        if type(b) is ndarray or a.dtype in FLOATS:
            return np.where(c, a, b)
    elif arrays and b.dtype in FLOATS:
        return np.where(c, a, b)
    return reference.where(c, a, b)


def cast(x: NDArray, dtype: DType) -> NDArray:
    """Halves, 8-bit floats, and floats to integers, are not one NumPy loop."""
    source = x.dtype
    if (
        x.size >= LARGE
        or source in NARROW
        or dtype in NARROW
        or (source in FLOATS and dtype not in FLOATS and dtype != bool_)
    ):
        y = empty_like(x, dtype)
        module.copy(0, x, y)
        return y
    return asarray(quiet.run(x.astype, dtype))


def contiguous(x: NDArray) -> NDArray:
    y = empty(x.shape, x.dtype)
    copy(x, y)
    return y


def copy(x: NDArray, y: NDArray) -> None:
    """NumPy's for memory that lies alike or is shared, and for what is small."""
    size = y.size
    if size < 4096 or (size < LARGE and x.flags.c_contiguous and y.flags.c_contiguous):
        if x.dtype == y.dtype:
            y[...] = x
        else:
            reference.copy(x, y)
    elif np.may_share_memory(x, y):
        reference.copy(x, y)
    else:
        module.copy(0, x, y)


def fill(y: NDArray, value: Any) -> None:
    if y.dtype in FLOATS:
        quiet.run(y.fill, value)
    else:
        reference.fill(y, value)
