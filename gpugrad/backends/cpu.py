"""Device "cpu": NumPy where it is fast, the C++ module ``_cpu`` where it is faster.

Each kernel is the specification in ``backends.reference`` unless this file replaces it: what is
left to the specification is a NumPy loop at par (fill, nonzero, search_sorted, floating matrix
products by NumPy's BLAS, integers element by element). Half types are computed in float32 and
rounded once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..dtype import (
    DType,
    accumulation,
    int32,
    int64,
    is_float8,
    is_floating,
    sum_dtype,
    unsupported,
)
from . import reference
from .base import OPERATIONS, raise_flag
from .cpu_elementwise import (
    FLOATS,
    LARGE,
    binary,
    cast,
    contiguous,
    copy,
    fill,
    quiet,
    unary,
    where,
)
from .cpu_native import NATIVE
from .cpu_native import module as native
from .host import HostBackend
from .native import run
from .peaks import Peaks, of_host

NDArray = np.ndarray[Any, Any]
ndarray, asarray, empty = np.ndarray, np.asarray, np.empty

_SUMS: dict[str, Any] = {"sum": np.add.reduce, "prod": np.multiply.reduce}
_EXTREMA: dict[str, Any] = {"max": np.maximum.reduce, "min": np.minimum.reduce}
_REDUCTIONS = _SUMS | _EXTREMA

_REDUCE_FROM = 1 << 13
"""Elements from which `_cpu` reduces faster than NumPy (measured as cpu_elementwise.LARGE was)."""


def _numpy_leads(name: str, x: NDArray, axes: tuple[int, ...]) -> bool:
    """Is x one row for the loops that NumPy vectorises itself, and within one thread's reach?"""
    if name in ("max", "min"):
        return len(axes) == x.ndim and x.size < LARGE and x.flags.c_contiguous
    if name in ("argmax", "argmin"):
        rows = len(axes) == x.ndim or axes == (x.ndim - 1,)
        return rows and x.size < LARGE and x.flags.c_contiguous
    return False


def reduce(name: str, x: NDArray, axes: tuple[int, ...], keepdims: bool) -> NDArray:
    dtype = x.dtype
    if x.size >= _REDUCE_FROM and not _numpy_leads(name, x, axes):
        return NATIVE.reduce(name, x, axes, keepdims)
    if dtype in FLOATS and axes:
        if name in ("sum", "mean") and len(axes) == x.ndim:  # NumPy's is a scalar, twice as slow
            y = empty((1,) * x.ndim, dtype)
            native.reduce(0, name, x, y, None)  # no workspace: these are few elements
            return y if keepdims else y.reshape(())
        f = _REDUCTIONS.get(name)
        if f is not None:
            return asarray(quiet.run(f, x, axes, None, None, keepdims))
        if name == "mean":
            y = quiet.run(_SUMS["sum"], x, axes, None, None, keepdims)
            return quiet.run(np.divide, y, x.size / y.size if y.size else 1.0, out=y)
    elif is_float8(dtype):
        raise unsupported(name, dtype)
    elif name in _SUMS and not is_floating(dtype):
        return asarray(_SUMS[name](x, axes, sum_dtype(dtype), None, keepdims))
    return reference.reduce(name, x, axes, keepdims)


def gather(x: NDArray, indices: Sequence[NDArray], axis: int = 0) -> NDArray:
    """NumPy's where little is moved."""
    index = indices[0]
    if index.size >= 1024 or (index.size and index.size * x.size >= 4096 * x.shape[axis]):
        return NATIVE.gather(x, indices, axis)
    return reference.gather(x, indices, axis)


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
    row_scale: NDArray | None = None,
) -> NDArray:
    plain = beta == 0 and scale is row_scale is residual is dtype is None
    if not plain or a.dtype not in FLOATS or (out is not None and out.dtype != a.dtype):
        terms = (scale, residual, dtype, row_scale)
        if a.dtype.kind in "iu":
            return _integer_gemm(a, b, bias, act, alpha, beta, out, *terms)
        return reference.gemm(a, b, bias, act, alpha, beta, out, *terms)
    if out is None and a.ndim < 3 and b.ndim < 3:
        y: NDArray = quiet.run(a.dot, b)  # matmul's result, in half its time for small matrices
        y = y if type(y) is ndarray else asarray(y)
    else:
        y = quiet.run(np.matmul, a, b, out)
    if alpha != 1:
        quiet.run(np.multiply, y, alpha, y)
    if bias is not None:
        if y.size >= LARGE:
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


def _integer_gemm(
    a: NDArray,
    b: NDArray,
    bias: NDArray | None,
    act: str,
    alpha: float,
    beta: float,
    out: NDArray | None,
    scale: NDArray | None,
    residual: NDArray | None,
    dtype: DType | None,
    row_scale: NDArray | None,
) -> NDArray:
    """`gemm` of integers: products by `_cpu`, what follows by the specification."""
    sums = a.dtype
    if out is not None or dtype is not None:
        dtype = dtype if out is None else out.dtype
        sums = sums if dtype == sums else int32
    left, right = a[None] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b
    shape = (left.shape[-2], right.shape[-1])
    if left.ndim > 2 or right.ndim > 2:
        shape = (*np.broadcast_shapes(left.shape[:-2], right.shape[:-2]), *shape)
    y = empty(shape, sums)
    run(native.int_product, 0, (left, right, y))
    if a.ndim == 1 or b.ndim == 1:
        y = y.reshape((*a.shape[:-1], *b.shape[1:]))
    bare = bias is out is scale is residual is row_scale is None and act == "none" and alpha == 1
    if bare and (dtype is None or dtype is sums):
        return y
    terms = (scale, residual, dtype or sums, row_scale)
    return reference.linalg.finished(y, bias, act, alpha, beta, out, *terms)


def flagged(name: str, *args: Any) -> None:
    """Call native.`name` and raise what it writes into the index flag, its last argument."""
    flag = np.zeros(4, int64)
    getattr(native, name)(0, *args, flag)
    if flag[0]:
        raise_flag(flag)


def scatter(name: str, x: NDArray, indices: Sequence[NDArray], values: Any) -> None:
    if name != "set" and is_float8(x.dtype):
        raise unsupported(name, x.dtype)
    indices = list(indices)
    if type(values) is not ndarray:
        values = asarray(values).astype(x.dtype)
    size = native.scatter_workspace(indices, x) if x.itemsize == 2 else 0  # halves are widened
    workspace = empty(size, np.uint8)
    flagged("scatter", name, values, indices, x, workspace)


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


def dropout(state: NDArray, call: int, p: float, x: NDArray) -> NDArray:
    y = np.empty_like(x)
    native.dropout(0, state, call, p, x, y)
    return y


def in_place(name: str) -> Callable[..., None]:
    """native.`name` without its stream: nothing to allocate."""
    f = getattr(native, name)

    def kernel(*args: Any) -> None:
        f(0, *args)

    return kernel


_ELEMENTWISE = (unary, binary, where, cast, contiguous, copy, fill)
_ROWS = (softmax, softmax_grad, cross_entropy, cross_entropy_grad)
_OWN: dict[str, Any] = {
    f.__name__: f for f in (*_ELEMENTWISE, *_ROWS, reduce, gemm, gather, scatter, dropout)
}

_STEPS = tuple(name for name in OPERATIONS if name.endswith("_step"))
_IN_PLACE = (*_STEPS, "scale", "unscale", "update_scale")

_SPECIFICATION = ("nonzero", "search_sorted")


class CpuKernels:
    """The functions above, `_cpu` and the specification; plain attributes, so that a call costs no
    binding."""

    def __init__(self) -> None:
        for name in OPERATIONS:
            kernel = _OWN.get(name)
            if kernel is None and name in _IN_PLACE:
                kernel = in_place(name)
            elif kernel is None:
                kernel = getattr(reference if name in _SPECIFICATION else NATIVE, name)
            setattr(self, name, kernel)


class CpuBackend(HostBackend):
    """Device "cpu"."""

    kernels = CpuKernels()  # type: ignore[assignment]

    @cached_property
    def _peaks(self) -> Peaks:
        return of_host(lambda x, y: native.copy(0, x, y))

    def peaks(self) -> Peaks:
        return self._peaks
