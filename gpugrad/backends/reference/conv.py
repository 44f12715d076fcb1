"""Convolution: a matrix product for each tap of the window."""

from __future__ import annotations

from math import prod

import numpy as np

from ..base import ConvWindow, Shape
from .linalg import ACTIVATION
from .precision import Array, quiet, rounded, widened
from .windows import conv_taps, inside, padded_shape


def _grouped(x: Array, groups: int) -> Array:
    """[N, C, ...] as [N, G, C / G, positions]."""
    return x.reshape(x.shape[0], groups, x.shape[1] // groups, prod(x.shape[2:]))


def _by_channel(vector: Array, ndim: int) -> Array:
    return widened(vector).reshape(-1, *[1] * (ndim - 2))


@quiet
def conv_fprop(
    x: Array,
    w: Array,
    window: ConvWindow,
    shape: Shape,
    bias: Array | None = None,
    act: str = "none",
    residual: Array | None = None,
) -> Array:
    """y[n, k, o] = act(sum of w[k, c, t] x[n, c0 + c, o s - p + t d] + bias[k] + residual)."""
    groups, taps, out = window[3], w.shape[2:], shape[2:]
    wide, weight = widened(x), widened(w)
    size = padded_shape(window, x.shape[2:], taps, out)
    padded = np.zeros((*x.shape[:2], *size), wide.dtype)
    padded[inside(window, x.shape[2:])] = wide
    y = np.zeros((shape[0], groups, shape[1] // groups, prod(out)), wide.dtype)
    weight = weight.reshape(groups, shape[1] // groups, *w.shape[1:])
    for tap, meets in conv_taps(window, taps, out):
        y += weight[tap] @ _grouped(padded[meets], groups)
    y = y.reshape(shape)
    if bias is not None:
        y += _by_channel(bias, y.ndim)
    if residual is not None:
        y += widened(residual)
    return rounded(ACTIVATION[act](y), x.dtype)


@quiet
def conv_dgrad(
    dy: Array, w: Array, window: ConvWindow, shape: Shape, bias: Array | None = None
) -> Array:
    """dx[n, c, i] = sum of w[k, c, t] dy[n, k, o] over the k, o, t that meet i, + bias[c]."""
    groups, taps, out = window[3], w.shape[2:], dy.shape[2:]
    wide = widened(dy)
    weight = widened(w).reshape(groups, dy.shape[1] // groups, *w.shape[1:])
    padded = np.zeros((*shape[:2], *padded_shape(window, shape[2:], taps, out)), wide.dtype)
    for tap, meets in conv_taps(window, taps, out):
        part = weight[tap].swapaxes(1, 2) @ _grouped(wide, groups)
        padded[meets] += part.reshape(*shape[:2], *out)
    dx = padded[inside(window, shape[2:])]
    if bias is not None:
        dx = dx + _by_channel(bias, dx.ndim)
    return rounded(np.ascontiguousarray(dx), dy.dtype)


@quiet
def conv_wgrad(x: Array, dy: Array, window: ConvWindow, shape: Shape) -> Array:
    """dw[k, c, t] = sum over n, o of dy[n, k, o] x[n, c0 + c, o s - p + t d]."""
    groups, taps, out = window[3], shape[2:], dy.shape[2:]
    wide = widened(x)
    padded = np.zeros((*x.shape[:2], *padded_shape(window, x.shape[2:], taps, out)), wide.dtype)
    padded[inside(window, x.shape[2:])] = wide
    dw = np.zeros((groups, shape[0] // groups, *shape[1:]), wide.dtype)
    columns = _grouped(widened(dy), groups)
    for tap, meets in conv_taps(window, taps, out):
        rows = _grouped(padded[meets], groups)
        dw[tap] = np.sum(columns @ rows.swapaxes(2, 3), axis=0)
    return rounded(dw.reshape(shape), x.dtype)
