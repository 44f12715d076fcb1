"""Gather, scatter and the positions of true elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import IndexOutOfRangeError
from ..base import index_error
from .precision import Array, quiet, widened


def checked(operation: str, x: Array, indices: Sequence[Array]) -> tuple[Array, ...]:
    """The indices as a tuple; raises IndexOutOfRangeError for the first illegal one."""
    for axis, index in enumerate(indices):
        illegal = (index < -x.shape[axis]) | (index >= x.shape[axis])
        if illegal.any():
            raise index_error(operation, int(index[illegal][0]), x.shape[axis], axis)
    return tuple(indices)


def gather(x: Array, indices: Sequence[Array]) -> Array:
    """y[j..., r...] = x[indices[0][j...], ..., indices[k-1][j...], r...]."""
    try:
        return np.asarray(x[tuple(indices)])
    except IndexOutOfRangeError:
        raise
    except IndexError:
        checked("gather", x, indices)
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
    at = checked("scatter", x, indices)
    join = SCATTER[name]
    if join is None:
        x[at] = values
        return
    total = widened(x)
    join.at(total, at, widened(np.asarray(values)))
    if total is not x:
        x[...] = total.astype(x.dtype)


def nonzero(mask: Array) -> Array:
    """Positions of true elements, row-major: int64 [count, ndim]."""
    return np.argwhere(mask)
