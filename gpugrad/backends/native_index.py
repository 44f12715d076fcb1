"""Scans, order, gather and scatter by a native module: shapes, dtypes and memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..dtype import DType, int64, sum_dtype
from .base import Array, Operand, Shape
from .layout import in_front


class NativeIndex:
    """The part of `Kernels` that walks along rows and moves elements by index."""

    module: Any
    backend: Any
    empty: Callable[[Any, DType], Array]
    launch: Callable[..., None]
    flagged: Callable[..., None]
    workspace: Callable[..., Array]
    fill: Callable[[Array, Any], None]
    reduce: Callable[[str, Array, Shape, bool], Array]

    def scan(self, name: str, x: Array) -> Array:
        y = self.empty(x.shape, sum_dtype(x.dtype) if name in ("sum", "prod") else x.dtype)
        self.launch(self.module.scan, name, x, y)
        return y

    def sort(self, x: Array, descending: bool) -> tuple[Array, Array]:
        y, index = self.empty(x.shape, x.dtype), self.empty(x.shape, int64)
        workspace = self.workspace(self.module.sort_workspace, x)
        self.launch(self.module.sort, x, descending, y, index, workspace)
        return y, index

    def search_sorted(self, rows: Array, x: Array, right: bool) -> Array:
        y = self.empty(x.shape, int64)
        self.launch(self.module.search_sorted, rows, x, right, y)
        return y

    def gather(self, x: Array, indices: Sequence[Array], axis: int = 0) -> Array:
        indices = list(indices)
        x = in_front(x, axis, len(indices))
        y = self.empty((*indices[0].shape, *x.shape[len(indices) :]), x.dtype)
        self.flagged(self.module.gather, x, indices, y)
        return in_front(y, indices[0].ndim, axis)

    def scatter(self, name: str, x: Array, indices: Sequence[Array], values: Operand) -> None:
        indices = list(indices)
        if isinstance(values, (int, float)):
            number, values = values, self.empty((), x.dtype)
            self.fill(values, number)
        workspace = self.workspace(self.module.scatter_workspace, indices, x)
        self.flagged(self.module.scatter, name, values, indices, x, workspace)

    def nonzero(self, mask: Array) -> Array:
        """Synchronises: the number of rows is needed on the host."""
        total = self.reduce("sum", mask, tuple(range(mask.ndim)), False)
        y = self.empty((int(self.backend.to_numpy(total)), mask.ndim), int64)
        workspace = self.workspace(self.module.nonzero_workspace, mask)
        self.launch(self.module.nonzero, mask, y, workspace)
        return y
