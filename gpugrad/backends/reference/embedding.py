"""Rows of a table by index, their gradient, and bags of rows."""

from __future__ import annotations

import numpy as np

from ...dtype import accumulation, int64
from ..base import index_error
from .precision import Array, accumulated, quiet, rounded, widened


def _check(index: Array, rows: int) -> None:
    illegal = (index < 0) | (index >= rows)
    if illegal.any():
        raise index_error("embedding", int(index[illegal][0]), rows, 0)


def embedding(weight: Array, index: Array) -> Array:
    """y[j..., :] = weight[index[j...], :]. Raises IndexOutOfRangeError."""
    _check(index, len(weight))
    return np.asarray(weight[index])


@quiet
def embedding_grad(
    dy: Array,
    index: Array,
    rows: int,
    row: Array | None,
    scale: Array | None,
    padding: int,
    by_count: bool,
) -> Array:
    """dweight [rows, D]: sums of scale[j] dy[row[j]] over the j with index[j] = v, j ascending."""
    legal = (index >= 0) & (index < rows) & (index != padding)
    terms = accumulated(dy if row is None else dy[row])
    if scale is not None:
        terms = terms * scale[:, None]
    total = np.zeros((rows, dy.shape[1]), accumulation(dy.dtype))
    np.add.at(total, index[legal], terms[legal])
    if by_count:
        total /= np.maximum(np.bincount(index[legal], minlength=rows), 1)[:, None]
    return rounded(total, dy.dtype)


@quiet
def embedding_renorm(weight: Array, index: Array, max_norm: float, ord: float) -> None:
    """Rows that index names become at most max_norm long, in place."""
    _check(index, len(weight))
    at = np.unique(index)
    rows = accumulated(weight[at])
    norm = np.linalg.norm(rows, ord, axis=1) if rows.size else np.zeros(len(at))
    factor = np.where(norm > max_norm, max_norm / (norm + 1e-7), 1)
    weight[at] = rounded((rows * factor[:, None]).astype(rows.dtype), weight.dtype)


@quiet
def embedding_bag(
    weight: Array, index: Array, offsets: Array, scale: Array | None, mode: str, padding: int
) -> tuple[Array, Array, Array, Array | None]:
    """(y, bag, count, winner) of bags offsets[b] to offsets[b + 1] - 1; mode sum, mean or max."""
    _check(index, len(weight))
    bags, width = len(offsets) - 1, weight.shape[1]
    counts = index != padding
    bag = np.where(counts, np.searchsorted(offsets, np.arange(len(index)), "right") - 1, -1)
    count = np.bincount(bag[counts], minlength=bags).astype(int64)
    terms = widened(weight[index])
    if scale is not None:
        terms = terms * widened(scale)[:, None]
    y = np.zeros((bags, width), terms.dtype)
    winner = np.full((bags, width), -1, int64) if mode == "max" else None
    for b in range(bags):
        mine = np.flatnonzero(bag == b)
        if mine.size == 0:
            continue
        if winner is None:
            y[b] = terms[mine].sum(0) / (count[b] if mode == "mean" else 1)
        else:
            winner[b] = index[mine[np.argmax(terms[mine], axis=0)]]
            y[b] = terms[mine].max(0)
    return rounded(y, weight.dtype), bag.astype(int64), count, winner
