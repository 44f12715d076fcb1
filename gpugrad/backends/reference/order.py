"""Sorting along the last axis, and searching in what is sorted."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ...dtype import int64, is_float8, unsupported
from .precision import Array, quiet, widened


@quiet
def sort(x: Array, descending: bool) -> tuple[Array, Array]:
    """(sorted, index) along the last axis, stable; NaN is above all numbers."""
    wide = np.flip(widened(x), -1) if descending else widened(x)  # the last of equals comes first
    index = np.argsort(wide, axis=-1, kind="stable")
    if descending:
        index = np.flip(x.shape[-1] - 1 - index, -1)
    return np.take_along_axis(x, index, -1), np.ascontiguousarray(index, int64)


@quiet
def search_sorted(rows: Array, x: Array, right: bool) -> Array:
    """How many elements of a sorted row are below each element of x (right: or equal to it)."""
    if is_float8(x.dtype):
        raise unsupported("search_sorted", x.dtype)
    rows, x = widened(rows), widened(x)
    side: Literal["left", "right"] = "right" if right else "left"
    if rows.ndim == 1:
        return np.asarray(np.searchsorted(rows, x, side), int64)
    y = np.empty(x.shape, int64)
    for at in np.ndindex(x.shape[:-1]):
        y[at] = np.searchsorted(rows[at], x[at], side)
    return y
