"""Dtypes and shapes as callers may give them, read for everything that makes tensors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from . import dtype as dtypes
from .dtype import DType
from .errors import ArgumentError, DTypeError


def check_dtype(name: str, dtype: Any) -> None:
    """Raise DTypeError for a NumPy dtype that is none of ours."""
    if dtype not in dtypes.STORED:
        raise DTypeError(f"{name}: dtype {dtype} is not supported; legal are {dtypes.names()}.")


def dtype_or_default(dtype: Any) -> DType:
    """`dtype`, or the default one for None."""
    return dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)


def shape_of(name: str, sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """A shape from ``f(2, 3)`` or ``f((2, 3))``. Raises DTypeError for sizes that are no integers.

    A size may be anything with ``__index__``, such as a tensor of one integer.
    """
    if len(sizes) == 1 and type(sizes[0]) is not int:
        sizes = _unpacked(sizes[0])
    for n in sizes:
        if type(n) is not int:
            break
    else:
        return sizes
    try:
        return tuple([int(n.__index__()) for n in sizes])
    except (AttributeError, TypeError):
        given = ", ".join(repr(n) for n in sizes)
        raise DTypeError(f"{name}: sizes must be integers, got {given}.") from None


def _unpacked(given: Any) -> tuple[Any, ...]:
    """The sizes in one argument: a sequence of them, or a single one."""
    if hasattr(given, "__index__") and not isinstance(given, np.ndarray):
        return (given,)
    return tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)


def given_sizes(name: str, sizes: tuple[Any, ...], size: Any) -> tuple[Any, ...]:
    """The sizes of ``f(2, 3)``, ``f((2, 3))`` or ``f(size=(2, 3))``, for `shape_of`."""
    if size is None:
        return sizes
    if sizes:
        raise ArgumentError(f"{name}: sizes are given twice, by position and as size=.")
    return (size,)


def with_article(noun: str) -> str:
    """``an int64``, ``a float32``."""
    return f"{'an' if noun[:1].lower() in 'aeio' else 'a'} {noun}"  # uint8: a u-int
