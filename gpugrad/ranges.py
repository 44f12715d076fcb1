"""Ranges, identities and triangles: tensors whose values are counted out on the host."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import dtype as dtypes
from .arguments import dtype_or_default, shape_of
from .creation import DeviceLike, finish
from .dtype import DType
from .errors import ArgumentError, DTypeError, ShapeError
from .tensor import Tensor, backend_of


def _number(name: str, x: Any) -> Any:
    """The Python number in a 0-d tensor or NumPy scalar, or `x`."""
    if isinstance(x, Tensor) and x.ndim:
        raise ShapeError(f"{name}: a number or 0-d tensor is needed, got shape {x.shape}.")
    return x.item() if isinstance(x, (Tensor, np.generic)) else x


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... below end. int64 for ints, else the default dtype."""
    if end is None:
        start, end = 0, start
    start, end, step = (_number("arange", x) for x in (start, end, step))
    if not all(math.isfinite(x) for x in (start, end, step)):
        raise ArgumentError(f"arange: the range {start} to {end} by {step} must be finite.")
    if dtype is not None and dtypes.as_dtype(dtype) == dtypes.int64:
        start, end, step = int(start), int(end), int(step)  # as PyTorch: cut first, then counted
    whole = all(isinstance(x, int) for x in (start, end, step))
    if step == 0 or (end - start) * step < 0:
        raise ArgumentError(f"arange: step {step} does not lead from {start} to {end}.")
    fallback = dtypes.int64 if whole else dtypes.get_default_dtype()
    wanted = fallback if dtype is None else dtypes.as_dtype(dtype)
    count = math.ceil((end - start) / step) if not whole else -((start - end) // step)
    if not dtypes.is_floating(wanted):
        start, step = int(start), int(step)
    values = start + step * np.arange(count, dtype=np.int64 if whole else np.float64)
    backend = backend_of(device)
    return finish(backend.from_numpy(values.astype(wanted)), backend, requires_grad)


def _spaced(name: str, start: Any, end: Any, steps: Any, dtype: DType) -> np.ndarray[Any, Any]:
    """`steps` evenly spaced numbers, float64, counted from the nearer end; for an integer dtype
    between whole numbers."""
    if not hasattr(steps, "__index__"):
        raise DTypeError(f"{name}: steps must be an integer, got {steps!r}.")
    count = int(steps.__index__())
    if count < 0:
        raise ArgumentError(f"{name}: steps must not be negative, got {count}.")
    low, high = (float(_number(name, x)) for x in (start, end))
    if not dtypes.is_floating(dtype):
        low, high = float(int(low)), float(int(high))
    i, step = np.arange(count), (high - low) / max(count - 1, 1)
    return np.where(i < max(count // 2, 1), low + step * i, high - step * (count - 1 - i))


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    dtype: Any = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` evenly spaced numbers from start to end, both included."""
    wanted, backend = dtype_or_default(dtype), backend_of(device)
    values = _spaced("linspace", start, end, steps, wanted).astype(wanted)
    return finish(backend.from_numpy(values), backend, requires_grad)


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """base to the power of `steps` evenly spaced numbers from start to end, both included."""
    wanted, backend = dtype_or_default(dtype), backend_of(device)
    with np.errstate(all="ignore"):
        powers = np.float64(base) ** _spaced("logspace", start, end, steps, wanted)
        values = powers.astype(wanted)
    return finish(backend.from_numpy(values), backend, requires_grad)


def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = dtypes.int64, device: DeviceLike = None
) -> Tensor:
    """Row and column indices [2, count] of the elements that `tril` keeps, row by row."""
    return _triangle_indices("tril_indices", row, col, offset, dtype, device)


def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = dtypes.int64, device: DeviceLike = None
) -> Tensor:
    """Row and column indices [2, count] of the elements that `triu` keeps, row by row."""
    return _triangle_indices("triu_indices", row, col, offset, dtype, device)


def _triangle_indices(
    name: str, row: int, col: int, offset: int, dtype: Any, device: DeviceLike
) -> Tensor:
    if row < 0 or col < 0:
        raise ArgumentError(f"{name}: row {row} and col {col} must not be negative.")
    found = (np.tril_indices if name == "tril_indices" else np.triu_indices)(row, offset, col)
    backend = backend_of(device)
    return finish(
        backend.from_numpy(np.stack(found).astype(dtypes.as_dtype(dtype))), backend, False
    )


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """A matrix [n, m] with 1 on the diagonal, else 0; m is n by default."""
    rows, columns = shape_of("eye", (n, n if m is None else m))
    if rows < 0 or columns < 0:
        raise ShapeError(f"eye: sizes must not be negative, got {rows} and {columns}.")
    values = np.eye(rows, columns).astype(dtype_or_default(dtype))
    backend = backend_of(device)
    return finish(backend.from_numpy(values), backend, requires_grad)
