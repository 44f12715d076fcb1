"""Attention with its gradient, and rotary positions. Here the matrix of scores is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from ...dtype import accumulation, bool_
from ..base import AttentionOptions
from .precision import Array, accumulated, quiet, rounded, widened
from .random import unit24

Index: TypeAlias = tuple[slice, slice, slice]


def _sequences(q: Array, k: Array, options: AttentionOptions) -> list[Index]:
    """(samples, queries, keys) of each sequence."""
    every, m, n = slice(None), q.shape[2], k.shape[2]
    if options.q_offsets is not None and options.k_offsets is not None:
        qs, ks = options.q_offsets, options.k_offsets
        ends = range(1, len(qs))
        return [(every, slice(qs[i - 1], qs[i]), slice(ks[i - 1], ks[i])) for i in ends]
    if options.k_lengths is not None:
        lengths = np.clip(options.k_lengths, 0, n)
        each = enumerate(lengths.tolist())
        return [(slice(b, b + 1), slice(0, m), slice(0, end)) for b, end in each]
    return [(every, slice(0, m), slice(0, n))]


def _alone(
    q: Array, k: Array, options: AttentionOptions
) -> Iterator[tuple[Index, Index, AttentionOptions, Array | float]]:
    """(where its queries lie, where its keys lie, options, dropout's factor) of each sequence.

    What no query of a sequence may see takes no part in it: 0 times NaN would be NaN.
    """
    shape = (*q.shape[:3], k.shape[2])
    factor = _factor(shape, options)
    for samples, queries, keys in _sequences(q, k, options):
        own = options._replace(q_offsets=None, k_offsets=None, k_lengths=None)
        at = (samples, slice(None), queries, keys)
        if options.bias is not None:
            own = own._replace(bias=np.broadcast_to(options.bias, shape)[at])
        of_own = factor if isinstance(factor, float) else factor[at]
        yield (samples, slice(None), queries), (samples, slice(None), keys), own, of_own


def seen(q: Array, k: Array, options: AttentionOptions) -> Array:
    """bool [B, H, M, N]: does the query see the key?"""
    shape = (*q.shape[:3], k.shape[2])
    mask = np.zeros(shape, bool)
    for samples, queries, keys in _sequences(q, k, options):
        m, n = queries.stop - queries.start, keys.stop - keys.start
        shift = n - m if options.align_end else 0
        distance = np.arange(n) - (np.arange(m)[:, None] + shift)
        visible = np.ones((m, n), bool)
        if options.left >= 0:
            visible &= distance >= -options.left
        if options.right >= 0:
            visible &= distance <= options.right
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
    o = np.zeros_like(q)
    lse = np.full(q.shape[:3], -np.inf, accumulation(q.dtype))
    for rows, keys, own, factor in _alone(q, k, options):
        scores = _scores(q[rows], k[keys], own)
        top = np.max(scores, axis=3, keepdims=True, initial=-np.inf)
        p = np.exp(scores - np.where(np.isinf(top), 0, top))
        total = np.sum(p, axis=3, keepdims=True)
        lse[rows] = np.where(np.isinf(top), top, top + np.log(total))[..., 0]
        p = p / np.where(total == 0, 1, total) * factor
        o[rows] = rounded((p @ _heads(v[keys], q)).astype(lse.dtype), q.dtype)
    return o, lse


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
    wide = accumulation(q.dtype)
    dq, dk, dv = (np.zeros_like(x) for x in (q, k, v))
    dbias = np.zeros((*q.shape[:3], k.shape[2]), wide) if bias else None
    for rows, keys, own, z in _alone(q, k, options):
        scores, norm = _scores(q[rows], k[keys], own), lse[rows][..., None]
        p = np.where(np.isinf(norm) & (norm < 0), 0, np.exp(scores - norm))
        dy = accumulated(d_o[rows])
        delta = np.sum(dy * accumulated(o[rows]), axis=3, keepdims=True)
        ds = p * (dy @ _heads(v[keys], q).swapaxes(2, 3) * z - delta)
        by_head = (
            (p * z).swapaxes(2, 3) @ dy,
            options.scale * ds.swapaxes(2, 3) @ accumulated(q[rows]),
        )
        for to, found in zip((dv, dk), by_head, strict=True):
            groups = (len(found), k.shape[1], q.shape[1] // max(k.shape[1], 1), *found.shape[2:])
            to[keys] = rounded(found.reshape(groups).sum(2).astype(wide), q.dtype)
        dq[rows] = rounded((options.scale * ds @ _heads(k[keys], q)).astype(wide), q.dtype)
        if dbias is not None:
            dbias[(*rows, keys[2])] = ds
    return dq, dk, dv, dbias


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
