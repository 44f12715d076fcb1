"""Where the windows of convolutions and pools lie."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from ..base import ConvWindow, PoolWindow, Shape
from .precision import Array

Index: TypeAlias = Any
"""What an array is indexed with: its last axes, the others whole."""


def conv_taps(window: ConvWindow, taps: Shape, out: Shape) -> Iterator[tuple[Index, Index]]:
    """For every tap: its place in the weights, and where outputs meet it in the padded input."""
    stride, _, dilation, _ = window
    for tap in product(*map(range, taps)):
        meets = (
            slice(t * d, t * d + (n - 1) * s + 1 if n else t * d, s)
            for t, d, s, n in zip(tap, dilation, stride, out, strict=True)
        )
        yield (..., *tap), (..., *meets)


def padded_shape(window: ConvWindow, size: Shape, taps: Shape, out: Shape) -> Shape:
    """Spatial sizes of an input with its padding, long enough for every window."""
    stride, padding, dilation, _ = window
    return tuple(
        max(p + n, (o - 1) * s + (t - 1) * d + 1)
        for n, t, o, s, p, d in zip(size, taps, out, stride, padding, dilation, strict=True)
    )


def inside(window: ConvWindow, size: Shape) -> Index:
    """Where the input is in the padded input."""
    return (..., *(slice(p, p + n) for p, n in zip(window[1], size, strict=True)))


def pool_axis(window: PoolWindow, axis: int, size: int, out: int) -> tuple[Array, Array]:
    """(position [out, taps], is it inside x?) of each tap of each window along an axis."""
    kernel, stride, padding, dilation = window
    o = np.arange(out)[:, None]
    if kernel:
        at = o * stride[axis] - padding[axis] + np.arange(kernel[axis]) * dilation[axis]
        return at, (at >= 0) & (at < size)
    start, end = o * size // max(out, 1), -(-(o + 1) * size // max(out, 1))
    at = start + np.arange(min(size, -(-size // max(out, 1)) + 1))
    return at, at < end
