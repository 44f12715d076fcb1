"""Attention with its gradient, and rotary positions. Here the matrix of scores is stored."""

from __future__ import annotations

import numpy as np

from ...dtype import accumulation, bool_
from ..base import AttentionOptions
from .precision import Array, accumulated, quiet, rounded, widened
from .random import unit24


def _sequences(q: Array, k: Array, options: AttentionOptions) -> list[tuple[slice, slice, int]]:
    """(queries, keys, sample) of each sequence; sample -1: of all samples."""
    m, n = q.shape[2], k.shape[2]
    if options.q_offsets is not None and options.k_offsets is not None:
        qs, ks = options.q_offsets, options.k_offsets
        return [(slice(qs[i], qs[i + 1]), slice(ks[i], ks[i + 1]), -1) for i in range(len(qs) - 1)]
    if options.k_lengths is not None:
        ends = np.clip(options.k_lengths, 0, n)
        return [(slice(0, m), slice(0, int(end)), b) for b, end in enumerate(ends)]
    return [(slice(0, m), slice(0, n), -1)]


def seen(q: Array, k: Array, options: AttentionOptions) -> Array:
    """bool [B, H, M, N]: does the query see the key?"""
    shape = (*q.shape[:3], k.shape[2])
    mask = np.zeros(shape, bool)
    for queries, keys, sample in _sequences(q, k, options):
        m, n = queries.stop - queries.start, keys.stop - keys.start
        shift = n - m if options.align_end else 0
        distance = np.arange(n) - (np.arange(m)[:, None] + shift)
        visible = np.ones((m, n), bool)
        if options.left >= 0:
            visible &= distance >= -options.left
        if options.right >= 0:
            visible &= distance <= options.right
        samples = slice(None) if sample < 0 else slice(sample, sample + 1)
        mask[samples, :, queries, keys] = visible
    if options.bias is not None and options.bias.dtype == bool_:
        mask &= np.broadcast_to(options.bias, shape)
    return mask


def _scores(q: Array, k: Array, options: AttentionOptions) -> Array:
    """[B, H, M, N]: scale q k^T + bias; -infinity where not seen."""
    scores = options.scale * (accumulated(q) @ _heads(k, q).swapaxes(2, 3))
    if options.bias is not None and options.bias.dtype != bool_:
        scores = scores + accumulated(options.bias)
    return np.where(seen(q, k, options), scores, -np.inf)


def _heads(k: Array, q: Array) -> Array:
    """k with a head for each of q's."""
    return np.repeat(accumulated(k), q.shape[1] // max(k.shape[1], 1), axis=1)


def _factor(shape: tuple[int, ...], options: AttentionOptions) -> Array | float:
    """Dropout's 0 or 1 / (1 - p) for each element of the matrix."""
    if options.dropout == 0 or options.state is None:
        return 1.0
    kept = unit24(options.state, options.call, shape) >= options.dropout
    return kept / (1 - options.dropout) if options.dropout < 1 else np.zeros(shape)


@quiet
def attention(q: Array, k: Array, v: Array, options: AttentionOptions) -> tuple[Array, Array]:
    """(o, lse): o = (dropout of softmax(scale q k^T + bias)) v over the keys seen."""
    wide = accumulation(q.dtype)
    scores = _scores(q, k, options)
    top = np.max(scores, axis=3, keepdims=True, initial=-np.inf)
    p = np.exp(scores - np.where(np.isinf(top), 0, top))
    total = np.sum(p, axis=3, keepdims=True)
    lse = np.where(np.isinf(top), top, top + np.log(total))
    p = p / np.where(total == 0, 1, total) * _factor(scores.shape, options)
    return rounded((p @ _heads(v, q)).astype(wide), q.dtype), lse[..., 0].astype(wide)


@quiet
def attention_grad(
    d_o: Array,
    q: Array,
    k: Array,
    v: Array,
    o: Array,
    lse: Array,
    options: AttentionOptions,
    bias: bool,
) -> tuple[Array, Array, Array, Array | None]:
    """(dq, dk, dv, dbias [B, H, M, N] where `bias`)."""
    wide, scores = accumulation(q.dtype), _scores(q, k, options)
    norm = lse[..., None]
    p = np.where(np.isinf(norm) & (norm < 0), 0, np.exp(scores - norm))
    z, dy = _factor(p.shape, options), accumulated(d_o)
    delta = np.sum(dy * accumulated(o), axis=3, keepdims=True)
    ds = p * (dy @ _heads(v, q).swapaxes(2, 3) * z - delta)
    groups = (*k.shape[:2], q.shape[1] // max(k.shape[1], 1), *k.shape[2:])
    dv = ((p * z).swapaxes(2, 3) @ dy).reshape(groups).sum(2)
    dk = (options.scale * ds.swapaxes(2, 3) @ accumulated(q)).reshape(groups).sum(2)
    dq = options.scale * ds @ _heads(k, q)
    grads = [rounded(g.astype(wide), q.dtype) for g in (dq, dk, dv)]
    return grads[0], grads[1], grads[2], ds.astype(wide) if bias else None


@quiet
def rotary(x: Array, cos: Array, sin: Array, interleaved: bool, inverse: bool) -> Array:
    """Pairs of x [..., D] turned by angles [..., r / 2]; the rest of D as it is."""
    y, wide = x.copy(), widened(x)
    half = cos.shape[-1]
    first = slice(0, 2 * half, 2) if interleaved else slice(0, half)
    second = slice(1, 2 * half, 2) if interleaved else slice(half, 2 * half)
    a, b, s = wide[..., first], wide[..., second], -sin if inverse else sin
    y[..., first] = rounded((a * cos - b * s).astype(wide.dtype), x.dtype)
    y[..., second] = rounded((b * cos + a * s).astype(wide.dtype), x.dtype)
    return y
