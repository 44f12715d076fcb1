"""Interpolation along one axis as a sparse matrix, by rows: offsets, index, weight.

Row o has the inputs that result o is made of. Matrices depend on lengths and mode alone, and are
kept, with their transposes and their copies on devices.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from ..backends import Backend
from ..dtype import DType

Array = np.ndarray[Any, Any]


class Table:
    """rows x columns numbers: weight[j] at (o, index[j]), j in [offsets[o], offsets[o + 1])."""

    def __init__(self, columns: int, offsets: Array, index: Array, weight: Array) -> None:
        self.rows, self.columns = len(offsets) - 1, columns
        self.offsets, self.index = offsets.astype(np.int32), index.astype(np.int32)
        self.weight = weight
        self._copies: dict[tuple[Backend, DType], tuple[Any, Any, Any]] = {}

    @cached_property
    def identity(self) -> bool:
        """Is the product with this matrix a copy?"""
        return (
            self.rows == self.columns == len(self.index)
            and np.array_equal(self.index, np.arange(self.rows))
            and bool((self.weight == 1).all())
        )

    @cached_property
    def transposed(self) -> Table:
        order = np.argsort(self.index, kind="stable")
        row_of = np.repeat(np.arange(self.rows), np.diff(self.offsets))
        counts = np.bincount(self.index, minlength=self.columns)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        return Table(self.rows, offsets, row_of[order], self.weight[order])

    def on(self, backend: Backend, dtype: DType) -> tuple[Any, Any, Any]:
        """(offsets, index, weight) as arrays of that device."""
        key = (backend, dtype)
        if key not in self._copies:
            arrays = (self.offsets, self.index, self.weight.astype(dtype))
            offsets, index, weight = (backend.from_numpy(a) for a in arrays)
            self._copies[key] = (offsets, index, weight)
        return self._copies[key]


@lru_cache(maxsize=512)
def axis_table(n: int, out: int, scale: float | None, kind: str, align_corners: bool) -> Table:
    """`out` results from n inputs. scale: out / n unless given; 0 or less counts as not given."""
    if n == out and kind in ("nearest", "linear"):
        scale = None  # an axis that keeps its length is copied, as in PyTorch
    step = n / out if not scale or scale <= 0 else 1 / scale
    if kind.startswith("nearest"):
        # In float32, which decides where a position falls on a boundary, as in PyTorch.
        half = np.float32(0.5 if kind == "nearest-exact" else 0)
        at = np.floor((np.arange(out, dtype=np.float32) + half) * np.float32(step))
        return _table(n, at.astype(np.int64)[:, None], np.ones((out, 1)))
    if kind == "area":
        return _area(n, out)
    if align_corners:
        step = (n - 1) / (out - 1) if out > 1 else 0.0
    name, _, antialias = kind.partition("-")
    if antialias:
        return _widened(n, out, step, name)
    at = np.arange(out) * step if align_corners else (np.arange(out) + 0.5) * step - 0.5
    if name == "linear":
        at = np.maximum(at, 0)
    first = np.minimum(np.floor(at), n - 1)
    t = np.clip(at - first, 0, 1)[:, None]
    if name == "linear":
        return _table(n, first[:, None] + [0, 1], np.concatenate([1 - t, t], 1))
    return _table(n, first[:, None] + [-1, 0, 1, 2], cubic(t - [-1, 0, 1, 2], -0.75))


def cubic(x: Array, a: float) -> Array:
    """Keys's kernel at distances x (Keys 1981)."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def _table(n: int, at: Array, weight: Array) -> Table:
    """Rows of equal length. Positions outside take the nearest inside; equal ones are joined."""
    at = np.clip(at.astype(np.int64), 0, n - 1)
    for j in range(at.shape[1] - 1, 0, -1):  # positions rise along a row: equal ones are neighbours
        same = at[:, j] == at[:, j - 1]
        weight[same, j - 1] += weight[same, j]
        weight[same, j] = 0
    keep = weight != 0
    keep[:, 0] |= ~keep.any(1)
    offsets = np.concatenate([[0], np.cumsum(keep.sum(1))])
    return Table(n, offsets, at[keep], weight[keep])


def _area(n: int, out: int) -> Table:
    """Means over the windows of adaptive pooling."""
    o = np.arange(out)
    start, end = o * n // out, -(-(o + 1) * n // out)
    counts = end - start
    offsets = np.concatenate([[0], np.cumsum(counts)])
    index = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - start, counts)
    return Table(n, offsets, index, np.repeat(1 / counts, counts))


def _widened(n: int, out: int, step: float, name: str) -> Table:
    """Filters as wide as the step where that is above 1, their weights scaled to sum 1 (Pillow)."""
    widening = max(step, 1.0)
    support = (1.0 if name == "linear" else 2.0) * widening
    center = step * (np.arange(out) + 0.5)
    start = np.maximum(np.trunc(center - support + 0.5), 0).astype(np.int64)
    end = np.minimum(np.trunc(center + support + 0.5), n).astype(np.int64)
    counts = np.maximum(end - start, 0)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    index = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - start, counts)
    row = np.repeat(np.arange(out), counts)
    distance = (index + 0.5 - center[row]) / widening
    weight = np.maximum(1 - np.abs(distance), 0) if name == "linear" else cubic(distance, -0.5)
    total = np.bincount(row, weight, minlength=out)[row]
    return Table(n, offsets, index, np.divide(weight, total, out=weight, where=total != 0))
