"""Reductions over axes, and scans along the last axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...dtype import int64, sum_dtype
from .precision import Array, accumulated, quiet, rounded, widened


def _sum(x: Array, axes: tuple[int, ...]) -> Array:
    return rounded(np.sum(accumulated(x), axis=axes), sum_dtype(x.dtype))


def _prod(x: Array, axes: tuple[int, ...]) -> Array:
    return rounded(np.prod(accumulated(x), axis=axes), sum_dtype(x.dtype))


def _mean(x: Array, axes: tuple[int, ...]) -> Array:
    count = math.prod(x.shape[i] for i in axes)
    return rounded(np.sum(accumulated(x), axis=axes) / np.float64(count), x.dtype)


def _extremum(f: Callable[..., Any]) -> Callable[[Array, tuple[int, ...]], Array]:
    return lambda x, axes: rounded(f(widened(x), axis=axes), x.dtype)


def _arg(f: Callable[..., Any]) -> Callable[[Array, tuple[int, ...]], Array]:
    """f over the reduced axes, counted in row-major order; the first of equals, NaN wins."""

    def reduction(x: Array, axes: tuple[int, ...]) -> Array:
        kept = [i for i in range(x.ndim) if i not in axes]
        rows = widened(x).transpose(*kept, *axes)
        count = math.prod(x.shape[i] for i in axes)
        return rounded(f(rows.reshape(*rows.shape[: len(kept)], count), axis=-1), int64)

    return reduction


REDUCE: dict[str, Callable[[Array, tuple[int, ...]], Array]] = {
    "sum": _sum,
    "mean": _mean,
    "prod": _prod,
    "max": _extremum(np.max),
    "min": _extremum(np.min),
    "argmax": _arg(np.argmax),
    "argmin": _arg(np.argmin),
    "any": lambda x, axes: np.asarray(np.any(x, axis=axes)),
    "all": lambda x, axes: np.asarray(np.all(x, axis=axes)),
}


@quiet
def reduce(name: str, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """y = f over `axes`, which are sorted and not negative; () reduces single elements.

    max, min, argmax, argmin of nothing raise ValueError.
    """
    y = REDUCE[name](x, axes)
    return y.reshape([1 if i in axes else n for i, n in enumerate(x.shape)]) if keepdims else y


@quiet
def sum_of(
    name: str, x: Array, centre: Array | None, axes: tuple[int, ...], keepdims: bool
) -> Array:
    """y = sum of name(x - centre) over `axes`, name being square or exp; centre None is 0."""
    wide = widened(x)
    terms = {"square": np.square, "exp": np.exp}[name](
        wide if centre is None else wide - widened(centre)
    )
    return rounded(np.sum(accumulated(terms), axis=axes, keepdims=keepdims), wide.dtype)


SCAN: dict[str, np.ufunc] = {
    "sum": np.add,
    "prod": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
    "logaddexp": np.logaddexp,
}


@quiet
def scan(name: str, x: Array) -> Array:
    """y[..., i] = x[..., 0] o ... o x[..., i], o being add, multiply, ... of `name`."""
    if name in ("sum", "prod"):
        return rounded(SCAN[name].accumulate(accumulated(x), axis=-1), sum_dtype(x.dtype))
    return rounded(SCAN[name].accumulate(widened(x), axis=-1), x.dtype)
