"""Normalisation with its gradients: rows, groups of channels, channels over the batch."""

from __future__ import annotations

import numpy as np

from ...dtype import accumulation
from .elementwise import UNARY
from .precision import Array, quiet, rounded, widened


def _moments(x: Array, axes: tuple[int, ...], eps: float) -> tuple[Array, Array]:
    """(mean, 1 / sqrt(variance + eps)) over `axes`, which stay with length 1."""
    mean = x.mean(axes, keepdims=True)
    return mean, 1 / np.sqrt(np.square(x - mean).mean(axes, keepdims=True) + eps)


def _by_channel(vector: Array | None, ndim: int, otherwise: float) -> Array | float:
    """[C] beside [N, C, ...]; a number where there is no vector."""
    if vector is None:
        return otherwise
    return vector.reshape(-1, *[1] * (ndim - 2)).astype(accumulation(vector.dtype), copy=False)


def _sums(
    dz: Array, h: Array, weight: Array | None, bias: bool, x: Array
) -> tuple[Array | None, Array | None]:
    """(dweight, dbias): sums of dz h and dz over all axes but channels."""
    axes = (0, *range(2, dz.ndim))
    dtype = x.dtype if weight is None else weight.dtype
    dweight = None if weight is None else rounded((dz * h).sum(axes), dtype)
    return dweight, rounded(dz.sum(axes), dtype) if bias else None


@quiet
def layer_norm(
    x: Array,
    residual: Array | None,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    centred: bool,
) -> tuple[Array, Array | None, Array | None, Array]:
    """(y, sum, mean, rstd) of rows x [M, D], or of sum = x + residual."""
    total = None if residual is None else rounded(widened(x) + widened(residual), x.dtype)
    wide = widened(x if total is None else total)
    if centred:
        mean, rstd = _moments(wide, (1,), eps)
    else:
        mean = np.zeros((len(x), 1), wide.dtype)
        rstd = 1 / np.sqrt(np.square(wide).mean(1, keepdims=True) + eps)
    y = (wide - mean) * rstd * _by_channel(weight, 2, 1) + _by_channel(bias, 2, 0)
    return rounded(y, x.dtype), total, mean[:, 0] if centred else None, rstd[:, 0]


@quiet
def layer_norm_grad(
    dy: Array,
    x: Array,
    weight: Array | None,
    mean: Array | None,
    rstd: Array,
    dsum: Array | None,
    bias: bool,
) -> tuple[Array, Array | None, Array | None]:
    """(dx, dweight, dbias): dx = rstd (g - mean(g) - h mean(g h)) + dsum, g = dy weight."""
    dz, scale = widened(dy), rstd[:, None]
    h = (widened(x) - (0 if mean is None else mean[:, None])) * scale
    g = dz * _by_channel(weight, 2, 1)
    dx = g - h * (g * h).mean(1, keepdims=True)
    if mean is not None:
        dx -= g.mean(1, keepdims=True)
    dx = dx * scale + (0 if dsum is None else widened(dsum))
    return rounded(dx, x.dtype), *_sums(dz, h, weight, bias, x)


@quiet
def group_norm(
    x: Array, weight: Array | None, bias: Array | None, groups: int, eps: float
) -> tuple[Array, Array, Array]:
    """(y, mean, rstd) of x [N, C, ...]; statistics [N, G] of groups of C / G channels."""
    wide = widened(x)
    rows = wide.reshape(len(x), groups, -1) if x.size else np.zeros((len(x), groups, 0), wide.dtype)
    mean, rstd = _moments(rows, (2,), eps)
    y = ((rows - mean) * rstd).reshape(x.shape)
    y = y * _by_channel(weight, x.ndim, 1) + _by_channel(bias, x.ndim, 0)
    return rounded(y, x.dtype), mean[..., 0], rstd[..., 0]


@quiet
def group_norm_grad(
    dy: Array, x: Array, weight: Array | None, mean: Array, rstd: Array, bias: bool
) -> tuple[Array, Array | None, Array | None]:
    """As layer_norm_grad, with means over a group and sums over N and positions."""
    dz = widened(dy)
    rows = (*rstd.shape, x.size // rstd.size if rstd.size else 0)
    h = (widened(x).reshape(rows) - mean[..., None]) * rstd[..., None]
    g = (dz * _by_channel(weight, x.ndim, 1)).reshape(rows)
    dx = g - g.mean(2, keepdims=True) - h * (g * h).mean(2, keepdims=True)
    dx = (dx * rstd[..., None]).reshape(x.shape)
    return rounded(dx, x.dtype), *_sums(dz, h.reshape(x.shape), weight, bias, x)


@quiet
def batch_norm_stats(
    x: Array, running_mean: Array | None, running_var: Array | None, momentum: float, eps: float
) -> tuple[Array, Array]:
    """(mean, rstd) [C] over N and positions; moves the running statistics, in place."""
    wide, axes = widened(x), (0, *range(2, x.ndim))
    mean, rstd = _moments(wide, axes, eps)
    if running_mean is not None and running_var is not None:
        n = x.size // max(x.shape[1], 1)
        var = np.square(wide - mean).mean(axes) * n / (n - 1)
        running_mean += momentum * (mean.reshape(-1) - running_mean)
        running_var += momentum * (var - running_var)
    return mean.reshape(-1), rstd.reshape(-1)


@quiet
def batch_norm_apply(
    x: Array,
    mean: Array,
    rstd: Array,
    weight: Array | None,
    bias: Array | None,
    residual: Array | None,
    act: str,
) -> Array:
    """y = act((x - mean) rstd weight + bias + residual)."""
    y = (widened(x) - _by_channel(mean, x.ndim, 0)) * _by_channel(rstd, x.ndim, 1)
    y = y * _by_channel(weight, x.ndim, 1) + _by_channel(bias, x.ndim, 0)
    if residual is not None:
        y = y + widened(residual)
    return rounded(UNARY["relu"](y) if act == "relu" else y, x.dtype)


@quiet
def batch_norm_grad(
    dy: Array,
    x: Array,
    y: Array | None,
    mean: Array,
    rstd: Array,
    weight: Array | None,
    act: str,
    fixed: bool,
    bias: bool,
    residual: bool,
) -> tuple[Array, Array | None, Array | None, Array | None]:
    """(dx, dweight, dbias, dresidual), with dz = dy where y > 0 (relu) or dy."""
    dz, axes = widened(dy), (0, *range(2, x.ndim))
    if act == "relu":
        dz = np.where(widened(y) > 0, dz, 0)  # type: ignore[arg-type]
    scale = _by_channel(rstd, x.ndim, 1)
    h = (widened(x) - _by_channel(mean, x.ndim, 0)) * scale
    dx = dz
    if not fixed:
        dx = dz - dz.mean(axes, keepdims=True) - h * (dz * h).mean(axes, keepdims=True)
    dx = rounded(dx * scale * _by_channel(weight, x.ndim, 1), x.dtype)
    return dx, *_sums(dz, h, weight, bias, x), rounded(dz, x.dtype) if residual else None
