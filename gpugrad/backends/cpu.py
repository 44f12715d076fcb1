"""Device "cpu": NumPy where it is fast, the C++ module ``_cpu`` where it is faster.

Each kernel is the specification in ``backends.reference`` unless this file replaces it. Half types
are computed in float32 and rounded once, by ``_cpu`` or the specification.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..dtype import (
    DTYPES,
    DType,
    accumulation,
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int64,
    is_floating,
    sum_dtype,
)
from ..errors import ArgumentError, DeviceError
from . import reference
from .base import COMPARISONS, OPERATIONS, PREDICATES, HostBackend, raise_flag
from .layout import is_channels_last
from .native import load, run
from .native_attention import NativeAttention
from .native_images import NativeImages
from .native_norms import NativeNorms
from .native_text import NativeText

NDArray = np.ndarray[Any, Any]
ndarray, asarray, empty = np.ndarray, np.asarray, np.empty

native = load("_cpu")
if native is None:
    raise DeviceError(
        "device cpu: gpugrad's module _cpu is not here.\n"
        "  In the source tree, Python finds the folder gpugrad instead of the installed package: "
        "start elsewhere.\n  Otherwise build it there: pip install ."
    )


class _Quiet(threading.local):
    """``run(f, *args)`` calls f with NumPy's floating-point warnings off: 20 ns, errstate 500 ns.

    A context of its own for each thread, because two threads cannot be in one context. For ufuncs
    only: a context cannot be entered twice.
    """

    def __init__(self) -> None:
        context = contextvars.Context()
        context.run(np.seterr, all="ignore")
        self.run = context.run


quiet = _Quiet()

_FLOATS = (float32, float64)
_HALVES = (float16, bfloat16)

Functors = dict[str, Callable[..., Any]]


def _ufuncs(table: Functors) -> Functors:
    """The functors that are one NumPy loop, which rounds as the specification does."""
    return {name: f for name, f in table.items() if isinstance(f, np.ufunc)}


_NONE: Functors = {}
_unary = {d: _NONE if d in _HALVES else _ufuncs(reference.UNARY) for d in DTYPES}
# Numbers beside integers wrap, beside half types stay in float32: NumPy does neither.
_with_number = {
    d: _ufuncs(reference.BINARY) | {"pow": np.power} if d in _FLOATS else _NONE for d in DTYPES
}
_arrays = _with_number | {
    d: _ufuncs(reference.BINARY) for d in DTYPES if d not in _FLOATS + _HALVES
}


_LARGE = 1 << 18
"""Elements from which memory bounds an operation, so that _cpu's threads beat one NumPy loop."""

_EXACT_UNARY = frozenset(("relu", "neg", "abs", "square", "sqrt"))
_EXACT_BINARY = frozenset(("add", "sub", "mul", "div"))
"""Rounded once by IEEE 754, so the bits do not depend on who computes them."""


def _dense_alike(a: NDArray, b: Any) -> bool:
    """Have both arrays one layout without gaps?"""
    return (
        type(b) is ndarray
        and a.shape == b.shape
        and a.strides == b.strides
        and (a.flags.c_contiguous or is_channels_last(a))
    )


def unary(name: str, x: NDArray, p0: float = 0.0, p1: float = 0.0) -> NDArray:
    f = _unary[x.dtype].get(name)
    if f is not None and not (x.size >= _LARGE and x.dtype in _FLOATS and name in _EXACT_UNARY):
        y = quiet.run(f, x)
        return y if type(y) is ndarray else asarray(y)
    y = np.empty_like(x, bool_ if name in PREDICATES else x.dtype)
    native.unary(0, name, x, y, p0, p1)
    return y


def binary(name: str, a: Any, b: Any) -> NDArray:
    if type(a) is not ndarray:
        f = _with_number[b.dtype].get(name)
    elif type(b) is ndarray:
        f = _arrays[a.dtype].get(name)
        if a.size >= _LARGE and name in _EXACT_BINARY and a.dtype in _FLOATS and _dense_alike(a, b):
            y = np.empty_like(a)
            native.binary(0, name, a, b, y)
            return y
    else:
        f = _with_number[a.dtype].get(name)
    if f is None:
        return _binary(name, a, b)
    y = quiet.run(f, a, b)
    return y if type(y) is ndarray else asarray(y)


def _binary(name: str, a: Any, b: Any) -> NDArray:
    """Half types, rounded once, and the derivatives of activations in one pass."""
    array = a if type(a) is ndarray else b
    if not is_floating(array.dtype):
        return reference.binary(name, a, b)
    dtype = bool_ if name in COMPARISONS else array.dtype
    if type(b) is ndarray and b.shape != array.shape:
        y = empty(np.broadcast_shapes(array.shape, b.shape), dtype)
    else:
        y = np.empty_like(array, dtype)  # in the same memory format
    native.binary(0, name, a, b, y)
    return y


def where(c: NDArray, a: Any, b: Any) -> NDArray:
    if type(a) is ndarray:
        if type(b) is ndarray or a.dtype in _FLOATS:
            return np.where(c, a, b)
    elif type(b) is ndarray and b.dtype in _FLOATS:
        return np.where(c, a, b)
    return reference.where(c, a, b)


def cast(x: NDArray, dtype: DType) -> NDArray:
    if dtype in _FLOATS:
        return asarray(quiet.run(x.astype, dtype))
    return reference.cast(x, dtype)


def fill(y: NDArray, value: Any) -> None:
    if y.dtype in _FLOATS:
        quiet.run(y.fill, value)
    else:
        reference.fill(y, value)


_SUMS: dict[str, Any] = {"sum": np.add.reduce, "prod": np.multiply.reduce}
_EXTREMA: dict[str, Any] = {"max": np.maximum.reduce, "min": np.minimum.reduce}


def reduce(name: str, x: NDArray, axes: tuple[int, ...], keepdims: bool) -> NDArray:
    dtype = x.dtype
    if dtype in _FLOATS and axes:
        if name in _SUMS:
            return asarray(quiet.run(_SUMS[name], x, axes, None, None, keepdims))
        if name in _EXTREMA:
            return asarray(quiet.run(_EXTREMA[name], x, axes, None, None, keepdims))
        if name == "mean":
            y = asarray(quiet.run(_SUMS["sum"], x, axes, None, None, keepdims))
            return quiet.run(np.divide, y, x.size / y.size if y.size else 1.0, out=y)
    elif name in _SUMS and not is_floating(dtype):
        return asarray(_SUMS[name](x, axes, sum_dtype(dtype), None, keepdims))
    return reference.reduce(name, x, axes, keepdims)


def gemm(
    a: NDArray,
    b: NDArray,
    bias: NDArray | None = None,
    act: str = "none",
    alpha: float = 1.0,
    beta: float = 0.0,
    out: NDArray | None = None,
    scale: NDArray | None = None,
    residual: NDArray | None = None,
    dtype: DType | None = None,
) -> NDArray:
    plain = beta == 0 and scale is None and residual is None and dtype is None
    if not plain or a.dtype not in _FLOATS or (out is not None and out.dtype != a.dtype):
        return reference.gemm(a, b, bias, act, alpha, beta, out, scale, residual, dtype)
    y: NDArray = quiet.run(np.matmul, a, b, out)
    if alpha != 1:
        quiet.run(np.multiply, y, alpha, y)
    if bias is not None:
        if y.size >= _LARGE:
            native.binary(0, "add", y, bias, y)
        else:
            quiet.run(np.add, y, bias, y)
    if act == "relu":
        quiet.run(np.maximum, y, 0, out=y)
    elif act == "tanh":
        quiet.run(np.tanh, y, y)
    elif act != "none":
        native.unary(0, act, y, y, 0.0, 0.0)
    return y


def flagged(name: str, *args: Any) -> None:
    """Call native.`name` and raise what it writes into the index flag, its last argument."""
    flag = np.zeros(4, int64)
    getattr(native, name)(0, *args, flag)
    if flag[0]:
        raise_flag(flag)


def scatter(x: NDArray, indices: Sequence[NDArray], values: Any, accumulate: bool) -> None:
    indices = list(indices)
    if type(values) is not ndarray:
        values = asarray(values).astype(x.dtype)
    workspace = empty(native.scatter_workspace(indices, x), np.uint8)
    flagged("scatter", values, indices, x, accumulate, workspace)


def softmax(x: NDArray, axis: int, log: bool) -> NDArray:
    y = np.empty_like(x)
    native.softmax(0, x, y, axis, log)
    return y


def softmax_grad(dy: NDArray, y: NDArray, axis: int, log: bool) -> NDArray:
    dx = np.empty_like(y)
    native.softmax_grad(0, dy, y, dx, axis, log)
    return dx


def class_weight(weight: NDArray | None, x: NDArray) -> NDArray | None:
    """Class weights in the dtype the sums have."""
    return None if weight is None else weight.astype(accumulation(x.dtype), copy=False)


def cross_entropy(
    x: NDArray, target: NDArray, weight: NDArray | None, ignore_index: int, label_smoothing: float
) -> tuple[NDArray, NDArray, NDArray]:
    shape, dtype = target.shape, accumulation(x.dtype)
    weight = class_weight(weight, x)
    loss, lse, target_weight = empty(shape, dtype), empty(shape, dtype), empty(shape, dtype)
    outputs = (loss, lse, target_weight)
    flagged("cross_entropy", x, target, weight, *outputs, ignore_index, label_smoothing)
    return outputs


def cross_entropy_grad(
    dloss: NDArray,
    x: NDArray,
    target: NDArray,
    weight: NDArray | None,
    lse: NDArray,
    ignore_index: int,
    label_smoothing: float,
) -> NDArray:
    dx = np.empty_like(x)
    weight = class_weight(weight, x)
    native.cross_entropy_grad(0, dloss, x, target, weight, lse, dx, ignore_index, label_smoothing)
    return dx


def uniform(
    state: NDArray, call: int, low: float, high: float, shape: Sequence[int], dtype: DType
) -> NDArray:
    y = empty(shape, dtype)
    native.uniform(0, state, call, low, high, y)
    return y


def normal(
    state: NDArray, call: int, mean: float, std: float, shape: Sequence[int], dtype: DType
) -> NDArray:
    y = empty(shape, dtype)
    native.normal(0, state, call, mean, std, y)
    return y


def bernoulli(state: NDArray, call: int, p: Any, shape: Sequence[int], dtype: DType) -> NDArray:
    y = empty(shape, dtype)
    native.bernoulli(0, state, call, p, y)
    return y


def dropout(state: NDArray, call: int, p: float, x: NDArray) -> NDArray:
    y = np.empty_like(x)
    native.dropout(0, state, call, p, x, y)
    return y


def permutation(state: NDArray, call: int, n: int) -> NDArray:
    y = empty(n, int64)
    native.permutation(0, state, call, y)
    return y


def global_norm(xs: Sequence[NDArray], ord: float) -> NDArray:
    xs = list(xs)
    dtype = float64 if any(x.dtype == float64 for x in xs) else float32
    norm = empty(1, dtype)
    workspace = empty(native.global_norm_workspace(xs), np.uint8)
    native.global_norm(0, xs, ord, norm, workspace)
    return norm.reshape(())


def in_place(name: str) -> Callable[..., None]:
    """native.`name` without its stream: nothing to allocate."""
    f = getattr(native, name)

    def kernel(*args: Any) -> None:
        f(0, *args)

    return kernel


_NATIVE = (
    "scatter",
    "softmax",
    "softmax_grad",
    "cross_entropy",
    "cross_entropy_grad",
    "uniform",
    "normal",
    "bernoulli",
    "dropout",
    "permutation",
    "global_norm",
)
_NATIVE_IN_PLACE = ("sgd_step", "adam_step", "rmsprop_step", "scale")


_PARTS = (NativeImages, NativeNorms, NativeText, NativeAttention)
_LAYERS = tuple(name for part in _PARTS for name in vars(part) if name in OPERATIONS)


class CpuLayers(*_PARTS):  # type: ignore[misc]
    """Images, norms and text by _cpu: the same allocation as on the other devices."""

    module = native

    def empty(self, shape: Any, dtype: DType) -> NDArray:
        return np.empty(shape, dtype)

    def launch(self, operation: Callable[..., None], *args: Any) -> None:
        run(operation, 0, args)

    def flagged(self, operation: Callable[..., None], *args: Any) -> None:
        flag = np.zeros(4, int64)
        run(operation, 0, (*args, flag))
        if flag[0]:
            raise_flag(flag)

    def workspace(self, size_of: Callable[..., int], *args: Any) -> Any:
        try:
            size = size_of(*args)
        except ValueError as error:
            raise ArgumentError(str(error)) from None
        return empty(size, np.uint8) if size else None


class CpuKernels:
    """The functions above, over the specification; plain attributes, so a call costs no binding."""

    def __init__(self) -> None:
        chosen: dict[str, Any] = {name: getattr(reference, name) for name in OPERATIONS}
        own = globals()
        for name in ("unary", "binary", "where", "cast", "fill", "reduce", "gemm"):
            chosen[name] = own[name]
        chosen.update((name, own[name]) for name in _NATIVE)
        chosen.update((name, in_place(name)) for name in _NATIVE_IN_PLACE)
        layers = CpuLayers()
        chosen.update((name, getattr(layers, name)) for name in _LAYERS)
        self.__dict__.update(chosen)


class CpuBackend(HostBackend):
    """Device "cpu"."""

    kernels = CpuKernels()  # type: ignore[assignment]
