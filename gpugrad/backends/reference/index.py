"""Gather, scatter and the positions of true elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import IndexOutOfRangeError
from ..base import Shape, index_error
from .precision import Array, quiet, widened


def checked(operation: str, lengths: Shape, indices: Sequence[Array]) -> tuple[Array, ...]:
    """The indices as a tuple; raises IndexOutOfRangeError for the first illegal one."""
    for axis, (index, n) in enumerate(zip(indices, lengths, strict=False)):
        illegal = (index < -n) | (index >= n)
        if illegal.any():
            raise index_error(operation, int(index[illegal][0]), n, axis)
    return tuple(indices)


def gather(x: Array, indices: Sequence[Array], axis: int = 0) -> Array:
    """y[p..., j..., r...] = x[p..., indices[0][j...], ..., indices[k-1][j...], r...].

    There are `axis` axes p.
    """
    try:
        return np.asarray(x[(slice(None),) * axis + tuple(indices)])
    except IndexOutOfRangeError:
        raise
    except IndexError:
        checked("gather", x.shape[axis:], indices)
        raise


SCATTER: dict[str, np.ufunc | None] = {
    "set": None,
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}


@quiet
def scatter(name: str, x: Array, indices: Sequence[Array], values: Any) -> None:
    """x[indices] = values (the last of duplicates stays) or joined with values; in place."""
    at = checked("scatter", x.shape, indices)
    join, rest, count = SCATTER[name], x.shape[len(at) :], at[0].size
    values = np.broadcast_to(np.asarray(values, x.dtype), (*at[0].shape, *rest))
    values = values.reshape((count, *rest))
    at = tuple([np.ascontiguousarray(i).reshape(count) for i in at])  # NumPy goes as memory does
    if join is None:
        x[at] = values
        return
    total = widened(x)
    join.at(total, at, widened(values))
    if total is not x:
        x[...] = total.astype(x.dtype)


def nonzero(mask: Array) -> Array:
    """Positions of true elements, row-major: int64 [count, ndim]."""
    return np.argwhere(mask)
