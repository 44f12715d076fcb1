"""The numbers 0, 1, 2, ... on a device, which indices are made of, without an upload each time."""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np

from ..backends import Array, Backend
from ..dtype import int64

_KEPT = 1 << 17
"""How many of them stay on each device that wants some: 1 MiB."""


@cache
def _kept(backend: Backend) -> Array:
    array = backend.from_numpy(np.arange(_KEPT, dtype=np.int64))
    if isinstance(array, np.ndarray):
        array.flags.writeable = False
    return array


def positions(backend: Backend, n: int) -> Array:
    """0, 1, ... n - 1: int64 [n]. To read only: all who ask share one memory.

    More than `_KEPT` are made anew, by a running sum on the device.
    """
    if n <= _KEPT:
        return _kept(backend)[:n]
    steps = backend.empty((n,), int64)
    backend.kernels.fill(steps, 1)
    backend.kernels.fill(steps[:1], 0)
    return backend.kernels.scan("sum", steps)


def own_positions(backend: Backend, shape: tuple[int, ...], axis: int) -> Array:
    """int64 of that shape, each element's place along an axis: one row of memory. To read only."""
    make = _kept_own_positions if shape[axis] <= _KEPT else _own_positions
    return make(backend, shape, axis)


def _own_positions(backend: Backend, shape: tuple[int, ...], axis: int) -> Array:
    row = positions(backend, shape[axis])
    return np.broadcast_to(row.reshape((-1, *[1] * (len(shape) - axis - 1))), shape)


_kept_own_positions = lru_cache(maxsize=256)(_own_positions)  # views, which take no memory
