"""Memory formats: in which order the axes of a tensor lie in memory, under PyTorch's names.

A format says nothing about shapes: a channels-last image is [N, C, H, W] like any other, and only
its strides differ. Convolutions and pooling keep the format of their input; on GPUs they are faster
with channels-last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .backends import Array
from .dtype import DType
from .errors import ArgumentError, ShapeError


class MemoryFormat:
    """An order of axes in memory; compared by identity."""

    def __init__(self, name: str, ndim: int | None = None) -> None:
        self.name, self.ndim = name, ndim

    def __repr__(self) -> str:
        return f"gpugrad.{self.name}"

    def __copy__(self) -> MemoryFormat:
        return self

    def __deepcopy__(self, memo: Any) -> MemoryFormat:
        return self


contiguous_format = MemoryFormat("contiguous_format")
"""Row-major, without gaps."""

channels_last = MemoryFormat("channels_last", 4)
"""[N, C, H, W] that lies as N, H, W, C."""

channels_last_3d = MemoryFormat("channels_last_3d", 5)
"""[N, C, D, H, W] that lies as N, D, H, W, C."""

preserve_format = MemoryFormat("preserve_format")
"""As the input lies, without gaps."""


def check_format(
    name: str, memory_format: Any, shape: tuple[int, ...], preserve: bool = True
) -> None:
    """Raise ArgumentError for what is no format here, ShapeError where the rank does not fit."""
    if not isinstance(memory_format, MemoryFormat):
        raise ArgumentError(
            f"{name}: memory_format must be gg.contiguous_format, gg.channels_last, "
            f"gg.channels_last_3d or gg.preserve_format, not {memory_format!r}."
        )
    if memory_format is preserve_format and not preserve:
        raise ArgumentError(f"{name}: memory_format=gg.preserve_format says nothing here.")
    if memory_format.ndim not in (None, len(shape)):
        raise ShapeError(
            f"{name}: {memory_format} is for {memory_format.ndim} axes; the shape is {shape}."
        )


def last(array: Array) -> Array:
    """A view [N, C, spatial...] -> [N, spatial..., C]."""
    return array.transpose(0, *range(2, array.ndim), 1)


def first(array: Array) -> Array:
    """A view [N, spatial..., C] -> [N, C, spatial...]: undoes `last`."""
    return array.transpose(0, array.ndim - 1, *range(1, array.ndim - 1))


def order_of(array: Array) -> tuple[int, ...]:
    """The axes of an array in the order in which they lie in memory; their own if they overlap."""
    if array.flags.c_contiguous or 0 in array.strides:
        return tuple(range(array.ndim))
    return tuple(sorted(range(array.ndim), key=lambda i: -abs(array.strides[i])))


def lies(array: Array, memory_format: MemoryFormat) -> bool:
    """Does `array` lie in this format, without gaps?"""
    check_format("is_contiguous", memory_format, (0,) * (memory_format.ndim or 0), preserve=False)
    if memory_format is contiguous_format:
        return bool(array.flags.c_contiguous)
    return bool(array.ndim == memory_format.ndim and last(array).flags.c_contiguous)


def copied(copy: Callable[[Array], Array], array: Array, memory_format: MemoryFormat) -> Array:
    """`array` copied into `memory_format`, by a function that makes row-major copies."""
    if memory_format.ndim:
        return first(copy(last(array)))
    if memory_format is contiguous_format or array.flags.c_contiguous:
        return copy(array)
    order = order_of(array)
    return copy(array.transpose(order)).transpose(inverse(order))


def inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation that undoes another."""
    back = [0] * len(order)
    for place, axis in enumerate(order):
        back[axis] = place
    return tuple(back)


def empty_in(
    make: Callable[[Any, DType], Array],
    shape: tuple[int, ...],
    dtype: DType,
    memory_format: MemoryFormat,
    like: Array | None = None,
) -> Array:
    """A new array of `shape` in `memory_format`; preserve_format lays it like `like`."""
    if memory_format.ndim:
        return first(make((shape[0], *shape[2:], shape[1]), dtype))
    if memory_format is contiguous_format or like is None or like.flags.c_contiguous:
        return make(shape, dtype)
    order = order_of(like)
    return make(tuple([shape[i] for i in order]), dtype).transpose(inverse(order))
