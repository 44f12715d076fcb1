"""What the contract tests of scatter share."""

from __future__ import annotations

from typing import Any

import numpy as np
from contract_tools import check, epsilon, place, random_walk, values, wide

from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, reference

JOINS = ("add", "mul", "max", "min")


def joined_values(name: str, shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    """Products stay near 1: their logarithms are a random walk."""
    x = values(shape, dtype, seed)
    if name == "mul" and dtypes.is_floating(x.dtype):
        x = (1 + wide(x) / 256).astype(x.dtype)
    return x


def place_indices(backend: Backend, indices: list[np.ndarray]) -> tuple[Any, ...]:
    """On the device as they lie here: repeated along the same axes, transposed if they are."""
    placed = []
    for index in indices:
        once = index[tuple(slice(None if stride else 1) for stride in index.strides)]
        array = (
            backend.from_numpy(once.T).T if once.flags.f_contiguous else backend.from_numpy(once)
        )
        placed.append(np.broadcast_to(array, index.shape))
    return tuple(placed)


def hold_join(
    backend: Backend,
    name: str,
    x: np.ndarray,
    indices: list[np.ndarray],
    new: np.ndarray,
    layouts: tuple[str, str] = ("contiguous", "contiguous"),
) -> None:
    """x[indices] o= new, against the specification: max, min and integers exactly."""
    __tracebackhide__ = True
    y, x = place(backend, x, layouts[0])
    placed_new, new = place(backend, new, layouts[1])
    backend.kernels.scatter(name, y, place_indices(backend, indices), placed_new)
    exact = name in ("max", "min") or not dtypes.is_floating(x.dtype)
    expected = x.copy() if exact else wide(x).copy()
    reference.scatter(name, expected, indices, new if exact else wide(new))
    error = None
    if not exact:
        magnitude = np.abs(wide(x)) if name == "add" else np.abs(expected)
        if name == "add":
            reference.scatter("add", magnitude, indices, np.abs(wide(new)))
        error = epsilon(x.dtype) * random_walk(max(new.size, 1)) * magnitude
    check(backend, y, expected, error, x.dtype)
