"""How arrays lie in memory: images row-major (NCHW) or channels-last (NHWC), by their strides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..dtype import DType
from .base import Array, Shape

Empty = Callable[[Any, DType], Array]
"""A backend's `empty(shape, dtype)`: a new row-major array."""


def dense_strides(lengths: Shape, itemsize: int) -> Shape:
    """Strides in bytes of a row-major array without gaps."""
    strides = [itemsize] * len(lengths)
    for i in range(len(lengths) - 2, -1, -1):
        strides[i] = strides[i + 1] * max(lengths[i + 1], 1)
    return tuple(strides)


def in_front(x: Array, axis: int, count: int) -> Array:
    """x with `count` of its axes, from `axis` on, before the `axis` ones that precede them."""
    if not axis or not count:
        return x
    last = axis + count
    return x.transpose((*range(axis, last), *range(axis), *range(last, x.ndim)))


def is_channels_last(x: Array) -> bool:
    """Is x [N, C, spatial...] without gaps in the order N, spatial..., C, and not row-major too?

    Strides of axes of length 1 do not matter; what is both counts as row-major.
    """
    if not 3 <= x.ndim <= 5 or x.flags.c_contiguous:
        return False
    order = (0, *range(2, x.ndim), 1)
    expected = dense_strides(tuple(x.shape[i] for i in order), x.itemsize)
    return all(x.shape[i] == 1 or x.strides[i] == n for i, n in zip(order, expected, strict=True))


def empty_channels_last(empty: Empty, shape: Shape, dtype: DType) -> Array:
    """A new array of `shape` (N, C, spatial...) that lies channels-last."""
    y = empty((shape[0], *shape[2:], shape[1]), dtype)
    return y.transpose(0, len(shape) - 1, *range(1, len(shape) - 1))


def empty_image(empty: Empty, shape: Shape, dtype: DType, *like: Array | None) -> Array:
    """A new array of `shape`: channels-last where one of `like` lies so, else row-major."""
    if any(x is not None and is_channels_last(x) for x in like):
        return empty_channels_last(empty, shape, dtype)
    return empty(shape, dtype)


def empty_like(empty: Empty, x: Array, dtype: DType | None = None) -> Array:
    """A new array of x's shape without gaps, its axes in memory in the order they have in x."""
    dtype = x.dtype if dtype is None else dtype
    if x.flags.c_contiguous:
        return empty(x.shape, dtype)
    order = sorted(range(x.ndim), key=lambda i: -abs(x.strides[i]))  # stable: ties stay row-major
    y = empty(tuple(x.shape[i] for i in order), dtype)
    places = [0] * x.ndim
    for place, axis in enumerate(order):
        places[axis] = place
    return y.transpose(places)
