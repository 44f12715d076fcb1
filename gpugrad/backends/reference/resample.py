"""Moving pixels: resampling along an axis, crops, windows as columns."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ...dtype import DType
from ..base import PoolWindow, Shape
from .precision import Array, quiet, rounded, widened
from .windows import conv_taps, inside, padded_shape


@quiet
def resample(
    x: Array, offsets: Array, index: Array, weight: Array, axis: int, dtype: DType
) -> Array:
    """y[.., o, ..] = sum over the j of row o of weight[j] x[.., index[j], ..]."""
    moved = np.moveaxis(widened(x), axis, -1)
    out = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    y = np.zeros((*moved.shape[:-1], len(offsets) - 1), moved.dtype)
    rows: Any = (..., out)
    np.add.at(y, rows, moved[..., index] * weight)
    return rounded(np.ascontiguousarray(np.moveaxis(y, -1, axis)), dtype)


def _bordered(at: Array, size: int, border: str) -> tuple[Array, Array]:
    """(legal position, does it count?)"""
    if border == "zeros":
        return np.clip(at, 0, size - 1), (at >= 0) & (at < size)
    if border == "reflect":
        at = np.abs(at)
        at = np.where(at < size, at, 2 * (size - 1) - at)
    return np.clip(at, 0, size - 1), np.ones(at.shape, bool)


def crop(
    x: Array, top: Array, left: Array, flip: Array, size: tuple[int, int], border: str
) -> Array:
    """y[n, c, i, j] = x[n, c, top[n] + i, left[n] + j], mirrored left to right where flip[n]."""
    columns = np.arange(size[1])
    columns = np.where(flip[:, None], columns[::-1], columns)
    rows, row_counts = _bordered(top[:, None] + np.arange(size[0]), x.shape[2], border)
    columns, column_counts = _bordered(left[:, None] + columns, x.shape[3], border)
    images = np.arange(len(x))[:, None, None]
    y = x[images, :, rows[:, :, None], columns[:, None, :]].transpose(0, 3, 1, 2)
    counts = row_counts[:, :, None] & column_counts[:, None, :]
    return np.where(counts[:, None], y, np.zeros((), x.dtype)).astype(x.dtype, copy=False)


def unfold(x: Array, window: PoolWindow, out: Shape) -> Array:
    """y[n, (c, t), l] = x[n, c, o(l) s - p + t d]: im2col."""
    kernel, conv = window[0], (*window[1:], 1)
    size = padded_shape(conv, x.shape[2:], kernel, out)
    padded = np.zeros((*x.shape[:2], *size), x.dtype)
    padded[inside(conv, x.shape[2:])] = x
    y = np.empty((x.shape[0], x.shape[1], prod(kernel), prod(out)), x.dtype)
    for t, (_, meets) in enumerate(conv_taps(conv, kernel, out)):
        y[:, :, t] = padded[meets].reshape(*x.shape[:2], prod(out))
    return y.reshape(x.shape[0], x.shape[1] * prod(kernel), prod(out))


@quiet
def fold(y: Array, window: PoolWindow, out: Shape, shape: Shape) -> Array:
    """x[n, c, i] = sum of y[n, (c, t), l] over the (t, l) that meet i."""
    kernel, conv = window[0], (*window[1:], 1)
    wide = widened(y).reshape(*shape[:2], prod(kernel), *out)
    padded = np.zeros((*shape[:2], *padded_shape(conv, shape[2:], kernel, out)), wide.dtype)
    for t, (_, meets) in enumerate(conv_taps(conv, kernel, out)):
        padded[meets] += wide[:, :, t]
    return rounded(np.ascontiguousarray(padded[inside(conv, shape[2:])]), y.dtype)
