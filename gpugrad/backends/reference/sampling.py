"""Draws from rows of logits: temperature, top-k, top-p."""

from __future__ import annotations

import numpy as np

from ...dtype import float64, int64
from .precision import Array, quiet
from .random import unit24


def kept(logits: Array, temperature: float, top_k: int, top_p: float) -> tuple[Array, Array]:
    """(p, which stay) of rows of logits, p in float64."""
    x = np.where(np.isnan(logits), -np.inf, logits.astype(float64))
    top = np.max(x, axis=1, keepdims=True)
    distance = np.where(x == top, 0, x - top)  # also where both are infinite
    p = np.where(x == -np.inf, 0, np.exp(distance / temperature))
    order = np.argsort(-x, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, 1)
    if top_k > 0:
        ranked[:, top_k:] = 0
    before = np.cumsum(ranked, axis=1) - ranked
    stays = (before < top_p * np.sum(ranked, axis=1, keepdims=True)) & (ranked > 0)
    mask = np.zeros(p.shape, bool)
    np.put_along_axis(mask, order, stays, 1)
    return p, mask


@quiet
def sample(
    logits: Array, temperature: float, top_k: int, top_p: float, state: Array, call: int
) -> Array:
    """int64 [B]: the first index whose sum of p over what stays exceeds u times the whole."""
    if temperature == 0:
        return np.argmax(np.where(np.isnan(logits), -np.inf, logits), axis=1).astype(int64)
    p, mask = kept(logits, temperature, top_k, top_p)
    sums = np.cumsum(np.where(mask, p, 0), axis=1)
    u = unit24(state, call, (len(logits), 1))
    return np.argmax((sums > u * sums[:, -1:]) & mask, axis=1).astype(int64)
