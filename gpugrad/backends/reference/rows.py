"""Softmax and cross-entropy with their gradients."""

from __future__ import annotations

import numpy as np

from ...dtype import accumulation
from ..base import index_error
from .precision import Array, quiet, rounded, widened


def logsumexp(x: Array, axis: int) -> Array:
    """log(sum(exp(x))) along axis, kept with length 1; shifted by the maximum."""
    top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    return top + np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True))


@quiet
def softmax(x: Array, axis: int, log: bool) -> Array:
    """exp(x - logsumexp x) along axis; log: x - logsumexp x."""
    wide = widened(x)
    shifted = wide - np.max(wide, axis=axis, keepdims=True, initial=-np.inf)
    y = shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))
    return rounded(y if log else np.exp(y), x.dtype)


@quiet
def softmax_grad(dy: Array, y: Array, axis: int, log: bool) -> Array:
    """dx = y (dy - sum(dy y)); log: dx = dy - exp(y) sum(dy)."""
    wide_dy, wide_y = widened(dy), widened(y)
    if log:
        dx = wide_dy - np.exp(wide_y) * np.sum(wide_dy, axis=axis, keepdims=True)
    else:
        dx = wide_y * (wide_dy - np.sum(wide_dy * wide_y, axis=axis, keepdims=True))
    return rounded(dx, y.dtype)


def _weights(weight: Array | None, x: Array) -> Array:
    """Class weights [C]; ones if there are none."""
    return np.ones(x.shape[1], accumulation(x.dtype)) if weight is None else weight


def _targets(target: Array, classes: int, ignore_index: int) -> tuple[Array, Array, Array]:
    """(class to look at, counts, legal): targets that do not count look at class 0."""
    legal = (target >= 0) & (target < classes)
    counts = legal & (target != ignore_index)
    return np.where(counts, target, 0), counts, legal | (target == ignore_index)


@quiet
def cross_entropy(
    x: Array, target: Array, weight: Array | None, ignore_index: int, label_smoothing: float
) -> tuple[Array, Array, Array]:
    """(loss, lse, target_weight), each [N, L], of logits x [N, C, L] and classes target [N, L].

    loss = (1 - s) w[t] (lse - x[t]) + (s / C) sum over c of w[c] (lse - x[c]);
    loss and target_weight are 0 where t is ignore_index. Raises IndexOutOfRangeError.
    """
    wide, w, s = widened(x), _weights(weight, x), label_smoothing
    t, counts, legal = _targets(target, x.shape[1], ignore_index)
    if not legal.all():
        raise index_error("cross_entropy", int(target[~legal][0]), x.shape[1], 1)
    lse = logsumexp(wide, 1)
    nll = lse - wide
    loss = np.zeros(target.shape, wide.dtype)
    target_weight = np.zeros(target.shape, wide.dtype)
    if counts.any():
        picked = np.take_along_axis(nll, t[:, None], 1)[:, 0]
        loss = (1 - s) * w[t] * picked
        if s != 0:
            loss += s / x.shape[1] * np.sum(w[:, None] * nll, axis=1)
        loss, target_weight = np.where(counts, loss, 0), np.where(counts, w[t], 0)
    return rounded(loss, wide.dtype), lse[:, 0], rounded(target_weight, wide.dtype)


@quiet
def cross_entropy_grad(
    dloss: Array,
    x: Array,
    target: Array,
    weight: Array | None,
    lse: Array,
    ignore_index: int,
    label_smoothing: float,
) -> Array:
    """dx = dloss (p_c ((1 - s) w[t] + (s / C) sum w) - (1 - s) w[t] [c = t] - (s / C) w[c])."""
    wide, w = widened(x), _weights(weight, x)
    classes = x.shape[1]
    t, counts, _ = _targets(target, classes, ignore_index)
    if not counts.any():
        return np.zeros(x.shape, x.dtype)
    s, hit = label_smoothing, (1 - label_smoothing) * w[t][:, None]
    p = np.exp(wide - lse[:, None])
    one_hot = np.arange(classes)[:, None] == t[:, None]
    dx = p * (hit + s / classes * np.sum(w)) - hit * one_hot - s / classes * w[:, None]
    return rounded(np.where(counts[:, None], dloss[:, None] * dx, 0), x.dtype)
