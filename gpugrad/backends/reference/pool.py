"""Pooling: the taps of every window gathered, then reduced."""

from __future__ import annotations

from math import prod

import numpy as np

from ...dtype import int32, is_floating, uint8
from ..base import PoolWindow, Shape
from .precision import Array, quiet, rounded, widened
from .windows import pool_axis


def _places(window: PoolWindow, x: Shape, y: Shape) -> tuple[Array, Array]:
    """(position in the flattened input, is it inside?) [windows, taps] of all windows."""
    flat, valid = np.zeros((1, 1), np.int64), np.ones((1, 1), bool)
    for i, (size, out) in enumerate(zip(x[2:], y[2:], strict=True)):
        at, within = pool_axis(window, i, size, out)
        cells = (flat.shape[0] * out, flat.shape[1] * at.shape[1])
        flat = (flat[:, None, :, None] * size + at[:, None]).reshape(cells)
        valid = (valid[:, None, :, None] & within[:, None]).reshape(cells)
    return np.where(valid, flat, 0), valid


def _padded_taps(window: PoolWindow, x: Shape, y: Shape) -> Array:
    """Taps of each window inside x or its padding."""
    counts = np.ones(1, np.int64)
    for i, (size, out) in enumerate(zip(x[2:], y[2:], strict=True)):
        at, _ = pool_axis(window, i, size, out)
        counts = np.multiply.outer(counts, (at < size + window[2][i]).sum(1)).reshape(-1)
    return counts


@quiet
def max_pool(x: Array, window: PoolWindow, shape: Shape) -> tuple[Array, Array]:
    """(largest of each window, its tap); NaN wins, then the first of equals."""
    places, valid = _places(window, x.shape, shape)
    values = x.reshape(*x.shape[:2], prod(x.shape[2:]))[..., places]
    lowest = -np.inf if is_floating(x.dtype) else np.iinfo(x.dtype).min
    index = np.argmax(np.where(valid, widened(values), lowest), axis=-1)
    inside = np.take_along_axis(np.broadcast_to(valid, values.shape), index[..., None], -1)[..., 0]
    index = np.where(inside, index, np.argmax(valid, axis=-1))  # nothing above the lowest
    y = np.take_along_axis(values, index[..., None], -1)
    y = np.where(valid.any(1, keepdims=True), y, np.asarray(lowest, x.dtype))  # a window of nothing
    dtype = uint8 if places.shape[1] <= 256 else int32
    return y.reshape(shape), index.astype(dtype).reshape(shape)


@quiet
def max_pool_grad(dy: Array, index: Array, window: PoolWindow, shape: Shape) -> Array:
    """dx[n, c, i] = sum of dy over the windows whose maximum i is."""
    places, valid = _places(window, shape, dy.shape)
    tap = index.reshape(prod(shape[:2]), places.shape[0]).astype(np.int64)
    at = np.take_along_axis(places[None], tap[..., None], -1)[..., 0]
    dx = np.zeros((tap.shape[0], prod(shape[2:])), widened(dy).dtype)
    given = np.where(valid.any(1), widened(dy).reshape(tap.shape), 0)
    np.add.at(dx, (np.arange(len(tap))[:, None], at), given)
    return rounded(dx.reshape(shape), dy.dtype)


def _divisors(
    window: PoolWindow, x: Shape, y: Shape, count_include_pad: bool, divisor: int
) -> Array:
    if divisor:
        return np.full(prod(y[2:]), divisor)
    if count_include_pad and window[0]:
        return _padded_taps(window, x, y)
    return _places(window, x, y)[1].sum(1)


@quiet
def avg_pool(
    x: Array, window: PoolWindow, shape: Shape, count_include_pad: bool, divisor: int
) -> Array:
    """y[n, c, o] = sum over the window / d."""
    places, valid = _places(window, x.shape, shape)
    values = widened(x).reshape(*x.shape[:2], prod(x.shape[2:]))[..., places]
    divisors = _divisors(window, x.shape, shape, count_include_pad, divisor)
    y = np.where(valid, values, 0).sum(-1) / divisors.astype(values.dtype)
    return rounded(y.reshape(shape), x.dtype)


@quiet
def avg_pool_grad(
    dy: Array, window: PoolWindow, shape: Shape, count_include_pad: bool, divisor: int
) -> Array:
    """dx[n, c, i] = sum of dy / d over the windows that hold i."""
    places, valid = _places(window, shape, dy.shape)
    wide = widened(dy).reshape(prod(shape[:2]), places.shape[0])
    divisors = _divisors(window, shape, dy.shape, count_include_pad, divisor)
    share = np.where(valid, (wide / divisors.astype(wide.dtype))[..., None], 0)
    dx = np.zeros((len(wide), prod(shape[2:])), wide.dtype)
    np.add.at(dx, (np.arange(len(wide))[:, None, None], places), share)
    return rounded(dx.reshape(shape), dy.dtype)
