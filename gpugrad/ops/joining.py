"""Putting tensors together and taking them apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtype as dtypes
from ..autograd.function import Function, describe, mixed_devices
from ..backends.layout import empty_image
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..tensor import Tensor
from .operands import axis, check_tensor, shape_of


def _part(ndim: int, dim: int, start: int, stop: int) -> tuple[slice, ...]:
    return (slice(None),) * dim + (slice(start, stop),) + (slice(None),) * (ndim - dim - 1)


class Cat(Function):
    """y = the tensors one after the other along an axis;  each gets its part of dy."""

    def forward(self, *xs: Any, dim: int) -> Any:
        self.dim, self.sizes = dim, [x.shape[dim] for x in xs]
        shape = list(xs[0].shape)
        shape[dim] = sum(self.sizes)
        y = empty_image(self.backend.empty, tuple(shape), xs[0].dtype, *xs)
        start = 0
        for x, n in zip(xs, self.sizes, strict=True):
            self.kernels.copy(x, y[_part(x.ndim, dim, start, start + n)])
            start += n
        return y

    def backward(self, dy: Tensor) -> Any:
        return split(dy, self.sizes, self.dim)


class Split(Function):
    """Consecutive parts of x along an axis, as views;  dx = their gradients put together."""

    view = True

    def forward(self, x: Any, sizes: Sequence[int], dim: int) -> Any:
        self.of, self.sizes, self.dim, self.count = x.shape, sizes, dim, len(sizes)
        ends = np.cumsum([0, *sizes])
        return tuple([x[_part(x.ndim, dim, a, b)] for a, b in itertools.pairwise(ends)])

    def backward(self, *dys: Tensor | None) -> Any:
        some = next(dy for dy in dys if dy is not None)
        parts = []
        for n, dy in zip(self.sizes, dys, strict=True):
            shape = (*self.of[: self.dim], n, *self.of[self.dim + 1 :])
            parts.append(some.new_zeros(shape) if dy is None else dy)
        return cat(parts, self.dim)


class Flip(Function):
    """y = x with axes backwards, in new memory;  dx = dy with them backwards."""

    def forward(self, x: Any, dims: tuple[int, ...]) -> Any:
        self.dims = dims
        steps = tuple([slice(None, None, -1 if i in dims else None) for i in range(x.ndim)])
        return self.kernels.cast(x[(*steps, ...)], x.dtype)  # in the order of x's axes in memory

    def backward(self, dy: Tensor) -> Any:
        return Flip.apply(dy, dims=self.dims)


def _tensors(name: str, tensors: Any) -> list[Tensor]:
    if isinstance(tensors, Tensor):
        raise DTypeError(f"{name}: needs a list or tuple of tensors, got one Tensor.")
    found = [check_tensor(name, x) for x in tensors]
    if not found:
        raise ArgumentError(f"{name}: needs at least one tensor.")
    if any(x.backend is not found[0].backend for x in found):
        raise DeviceError(mixed_devices(name, found))
    return found


def _common(tensors: list[Tensor]) -> list[Tensor]:
    dtype = dtypes.result_type(*[x.data for x in tensors])
    return [x if x.data.dtype == dtype else x.to(dtype) for x in tensors]


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one after the other along `dim`; all other lengths must agree.

    Empty tensors of one axis are left out, as PyTorch does. Dtypes are promoted.
    """
    xs = _common(_tensors("cat", tensors))
    xs = [x for x in xs if x.shape != (0,)] or xs[:1]
    first = xs[0]
    if first.ndim == 0:
        raise ShapeError("cat: 0-d tensors have no axis to join along; use stack().")
    dim = axis("cat", dim, first.ndim)
    for i, x in enumerate(xs):
        same = x.ndim == first.ndim and all(
            n == m for d, (n, m) in enumerate(zip(x.shape, first.shape, strict=True)) if d != dim
        )
        if not same:
            raise ShapeError(
                f"cat: tensor {i} of shape {x.shape} does not fit {first.shape}: all axes but "
                f"{dim} must have the same length."
            )
    return Cat.apply(*xs, dim=dim)


concat = concatenate = cat


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors, all of one shape, along a new axis `dim`."""
    xs = _tensors("stack", tensors)
    for i, x in enumerate(xs):
        if x.shape != xs[0].shape:
            raise ShapeError(f"stack: tensor {i} has shape {x.shape}, the first {xs[0].shape}.")
    return cat([x.unsqueeze(dim) for x in xs], axis("stack", dim, xs[0].ndim + 1))


def split(input: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> Any:
    """Views of consecutive parts: all of one size (the last may be smaller), or of these."""
    dim = axis("split", dim, input.ndim)
    n = input.shape[dim]
    given = split_size_or_sections
    if isinstance(given, int):
        if given < 1 and n:
            raise ArgumentError(f"split: size must be at least 1, got {given}.")
        sizes = [min(given, n - i) for i in range(0, n, given or 1)] or [0]
    else:
        sizes = list(given)
        if sum(sizes) != n or min(sizes, default=0) < 0:
            raise ShapeError(f"split: sizes {sizes} do not add up to axis {dim} of length {n}.")
    return Split.apply(input, sizes=sizes, dim=dim)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> Any:
    """At most `chunks` views of equal size (the last may be smaller) along `dim`."""
    if chunks < 1:
        raise ArgumentError(f"chunk: chunks must be at least 1, got {chunks}.")
    n = input.shape[axis("chunk", dim, input.ndim)]
    return split(input, max(1, -(-n // chunks)), dim)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The views along `dim`, without that axis."""
    if input.ndim == 0:
        raise ShapeError("unbind: a 0-d tensor has no axis.")
    dim = axis("unbind", dim, input.ndim)
    if not input.shape[dim]:
        return ()
    return tuple([part.squeeze(dim) for part in split(input, 1, dim)])


def repeat(input: Tensor, *sizes: Any) -> Tensor:
    """`input` laid out sizes[i] times along axis i; new axes come in front."""
    times = shape_of("repeat", sizes)
    if len(times) < input.ndim or any(n < 0 for n in times):
        raise ShapeError(f"repeat: sizes {times} must be {input.ndim} or more numbers >= 0.")
    shape = (1,) * (len(times) - input.ndim) + input.shape
    x = input.reshape([m for n in shape for m in (1, n)])
    x = x.expand([m for k, n in zip(times, shape, strict=True) for m in (k, n)])
    return x.reshape([k * n for k, n in zip(times, shape, strict=True)])


def tile(input: Tensor, *dims: Any) -> Tensor:
    """As `repeat`; missing sizes are 1, in front."""
    times = shape_of("tile", dims)
    return repeat(input, (1,) * (input.ndim - len(times)) + times)


def repeat_interleave(input: Tensor, repeats: int, dim: int | None = None) -> Tensor:
    """Each element `repeats` times in a row along `dim`; flattened first if that is None."""
    x = input.reshape(-1) if dim is None else input
    dim = axis("repeat_interleave", 0 if dim is None else dim, x.ndim)
    shape = x.shape
    wide = (*shape[: dim + 1], repeats, *shape[dim + 1 :])
    return x.unsqueeze(dim + 1).expand(wide).flatten(dim, dim + 1)


def flip(input: Tensor, *dims: Any) -> Tensor:
    """A copy with the axes `dims` backwards."""
    found = tuple([axis("flip", d, input.ndim) for d in shape_of("flip", dims)])
    return Flip.apply(input, dims=found)


def roll(input: Tensor, shifts: int | Sequence[int], dims: Any = None) -> Tensor:
    """Elements moved by `shifts` along `dims`, coming back at the other end."""
    if dims is None:
        if not isinstance(shifts, int):
            raise ArgumentError("roll: several shifts need dims.")
        return roll(input.flatten(), shifts, 0).reshape(input.shape)
    by = [shifts] if isinstance(shifts, int) else list(shifts)
    along = [dims] if isinstance(dims, int) else list(dims)
    if len(by) != len(along):
        raise ArgumentError(f"roll: {len(by)} shifts for {len(along)} dims.")
    x = input
    for shift, d in zip(by, along, strict=True):
        d = axis("roll", d, x.ndim)
        n = x.shape[d]
        if n and shift % n:
            start = n - shift % n
            x = cat([x.narrow(d, start, n - start), x.narrow(d, 0, start)], d)
    return x if x is not input else input.clone()


def _triangle(input: Tensor, diagonal: int, lower: bool) -> Tensor:
    if input.ndim < 2:
        raise ShapeError(f"tril/triu: at least 2 axes are needed, got {describe(input)}.")
    rows, columns = input.shape[-2:]
    below = np.arange(columns)[None, :] - np.arange(rows)[:, None] <= diagonal - (not lower)
    drop = ~below if lower else below
    mask = Tensor(input.backend.from_numpy(drop), input.backend)
    return input.masked_fill(mask, 0)


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The last two axes' lower triangle, up to `diagonal`; 0 above."""
    return _triangle(input, diagonal, True)


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The last two axes' upper triangle, from `diagonal`; 0 below."""
    return _triangle(input, diagonal, False)


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The elements whose indices along dim1 and dim2 differ by `offset`, as the last axis."""
    n = input.ndim
    a, b = axis("diagonal", dim1, n), axis("diagonal", dim2, n)
    if a == b or n < 2:
        raise ShapeError(f"diagonal: two different axes are needed, got {dim1} and {dim2}.")
    x = input.movedim((a, b), (-2, -1))
    rows, columns = x.shape[-2:]
    count = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    i = np.arange(count)
    return x[..., i + max(-offset, 0), i + max(offset, 0)]


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A matrix with the vector `input` on its diagonal, or the diagonal of the matrix `input`."""
    if input.ndim == 2:
        return _diagonal(input, diagonal)
    if input.ndim != 1:
        raise ShapeError(f"diag: 1 or 2 axes are needed, got {describe(input)}.")
    n = input.shape[0] + abs(diagonal)
    i = np.arange(input.shape[0])
    at = (i + max(-diagonal, 0)) * n + i + max(diagonal, 0)
    index = Tensor(input.backend.from_numpy(at.astype(np.int64)), input.backend)
    return input.new_zeros(n * n).index_add(0, index, input).reshape(n, n)


_diagonal = diagonal
