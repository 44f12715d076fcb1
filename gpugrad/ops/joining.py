"""Putting tensors together and taking them apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtype as dtypes
from ..arguments import given_sizes
from ..autograd.function import Function, describe, mixed_devices
from ..backends.layout import empty_image, empty_like
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..tensor import Tensor
from .operands import axis, check_tensor, shape_of
from .positions import positions


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


class Roll(Function):
    """y[i + move] = x[i], round and round along each axis;  dx = dy moved back."""

    def forward(self, x: Any, moves: tuple[int, ...]) -> Any:
        self.moves = moves
        y = empty_like(self.backend.empty, x)
        parts = []
        for n, m in zip(x.shape, moves, strict=True):  # (of x, into y) for what stays, what wraps
            stays, wraps = (slice(0, n - m), slice(m, n)), (slice(n - m, n), slice(0, m))
            parts.append([stays, wraps] if m else [stays])
        for blocks in itertools.product(*parts):
            of, into = tuple([b[0] for b in blocks]), tuple([b[1] for b in blocks])
            self.kernels.copy(x[of], y[into])
        return y

    def backward(self, dy: Tensor) -> Any:
        back = tuple([(n - m) % n if n else 0 for m, n in zip(self.moves, dy.shape, strict=True)])
        return Roll.apply(dy, moves=back)


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
    dtype = dtypes.result_type(*[x.array for x in tensors])
    return [x if x.array.dtype == dtype else x.to(dtype) for x in tensors]


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one after the other along `dim`; all other lengths must agree.

    Empty tensors of one axis are left out, as PyTorch does. Dtypes are promoted.
    """
    xs = _common(_tensors("cat", tensors))
    if any(x.ndim == 0 for x in xs):
        raise ShapeError("cat: 0-d tensors have no axis to join along; use stack().")
    first = next((x for x in xs if x.shape != (0,)), xs[0])
    dim = axis("cat", dim, first.ndim)
    if first.ndim > 1:
        none = tuple([0 if d == dim else n for d, n in enumerate(first.shape)])
        xs = [x if x.shape != (0,) else x.reshape(none) for x in xs]
    for i, x in enumerate(xs):
        if x.array.shape == first.array.shape:
            continue
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
    if check_tensor("split", input).ndim == 0:
        raise ShapeError("split: a 0-d tensor has no axis.")
    dim = axis("split", dim, input.ndim)
    n = input.shape[dim]
    given = split_size_or_sections
    if isinstance(given, int):
        if given < 0 or (given == 0 and n):
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


def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> Any:
    """Views of consecutive parts of these sizes."""
    return split(input, list(split_sizes), dim)


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
    return _own(x.reshape([k * n for k, n in zip(times, shape, strict=True)]), input)


def _own(y: Tensor, x: Tensor) -> Tensor:
    """y, in memory of its own: a copy where it is a view of x."""
    return y.clone() if y._counter is x._counter else y


def tile(input: Tensor, *times: Any, dims: Any = None) -> Tensor:
    """As `repeat`; missing sizes are 1, in front."""
    times = shape_of("tile", given_sizes("tile", times, dims))
    return repeat(input, (1,) * (input.ndim - len(times)) + times)


def repeat_interleave(
    input: Tensor,
    repeats: int | Tensor | None = None,
    dim: int | None = None,
    *,
    output_size: int | None = None,
) -> Tensor:
    """Each element `repeats` times in a row along `dim`; flattened first if that is None.

    repeats: a number, or a vector of one for each element along `dim`. Without it `input` is that
    vector, and the result the positions. output_size: the resulting length, if it is known.
    """
    if repeats is None:
        given = check_tensor("repeat_interleave", input)
        return _positions("repeat_interleave", given, output_size)
    x = input.reshape(-1) if dim is None else input
    dim = axis("repeat_interleave", 0 if dim is None else dim, x.ndim)
    x = x.reshape(1) if x.ndim == 0 else x
    if isinstance(repeats, Tensor):
        if repeats.numel() == 1:
            repeats = repeats.expand(x.shape[dim]) if repeats.ndim < 2 else repeats
        if repeats.shape != (x.shape[dim],):
            raise ShapeError(
                f"repeat_interleave: repeats {repeats.shape} must be one number, or a vector of "
                f"{x.shape[dim]} for axis {dim} of {x.shape}."
            )
        y = x.index_select(dim, _positions("repeat_interleave", repeats, output_size))
    else:
        if repeats < 0:
            raise ArgumentError(f"repeat_interleave: repeats must not be negative, got {repeats}.")
        shape = x.shape
        wide = (*shape[: dim + 1], repeats, *shape[dim + 1 :])
        y = _own(x.unsqueeze(dim + 1).expand(wide).flatten(dim, dim + 1), input)
        _check_length("repeat_interleave", output_size, y.shape[dim])
    return y


def _check_length(name: str, wanted: int | None, found: int) -> None:
    if wanted is not None and wanted != found:
        raise ArgumentError(f"{name}: output_size is {wanted}, but the result has {found}.")


def _positions(name: str, repeats: Tensor, output_size: int | None) -> Tensor:
    """Position i as often as repeats[i] says, in order: int64 [output_size].

    Without output_size the device is waited for; with it, it is believed where values are not at
    hand, and one too great is met by the kernels as an index out of range.
    """
    if repeats.ndim != 1 or repeats.dtype not in (dtypes.int64, dtypes.int32):
        raise DTypeError(f"{name}: repeats must be an int64 or int32 vector: {describe(repeats)}.")
    backend, look = repeats.backend, repeats.backend.synchronous or output_size is None
    if look and repeats.numel() and int(repeats.min().item()) < 0:
        raise ArgumentError(f"{name}: repeats must not be negative.")
    ends = repeats.to(dtypes.int64).cumsum(0)
    total = 0
    if repeats.numel():
        total = int(ends[-1].item()) if look or output_size is None else output_size
    _check_length(name, output_size, total)
    if not total:
        return Tensor(backend.empty((0,), dtypes.int64), backend)
    places = positions(backend, total)
    return Tensor(backend.kernels.search_sorted(ends.array, places, True), backend)


def flip(input: Tensor, *axes: Any, dims: Any = None) -> Tensor:
    """A copy with the axes `dims` backwards."""
    given = shape_of("flip", given_sizes("flip", axes, dims))
    found = tuple([axis("flip", d, check_tensor("flip", input).ndim) for d in given])
    if len(set(found)) != len(found):
        raise ShapeError(f"flip: dims {found} name an axis twice.")
    return Flip.apply(input, dims=found)


def roll(input: Tensor, shifts: int | Sequence[int], dims: Any = None) -> Tensor:
    """Elements moved by `shifts` along `dims`, coming back at the other end."""
    by = [shifts] if isinstance(shifts, int) else list(shifts)
    along = [] if dims is None else [dims] if isinstance(dims, int) else list(dims)
    if not by:
        raise ArgumentError("roll: shifts must not be empty.")
    if not along and len(by) == 1:
        return roll(input.flatten(), by, 0).reshape(input.shape)
    if len(by) != len(along):
        raise ArgumentError(f"roll: {len(by)} shifts for {len(along)} dims.")
    x = check_tensor("roll", input)
    if x.ndim == 0:
        raise ShapeError("roll: a 0-d tensor has no axis; leave dims out.")
    total = [0] * x.ndim
    for shift, d in zip(by, along, strict=True):
        total[axis("roll", d, x.ndim)] += shift
    moves = tuple([t % n if n else 0 for t, n in zip(total, x.shape, strict=True)])
    y: Tensor = Roll.apply(x, moves=moves)
    return y


def _triangle(input: Tensor, diagonal: int, lower: bool) -> Tensor:
    if input.ndim < 2:
        raise ShapeError(f"tril/triu: at least 2 axes are needed, got {describe(input)}.")
    rows, columns = input.shape[-2:]
    backend, kernels = input.backend, input.backend.kernels
    last = positions(backend, rows)[:, None]
    if diagonal:
        last = kernels.binary("add", last, int(diagonal))
    drop = kernels.binary("gt" if lower else "lt", positions(backend, columns), last)
    return input.masked_fill(Tensor(drop, backend), 0)


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The last two axes' lower triangle, up to `diagonal`; 0 above."""
    return _triangle(input, diagonal, True)


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The last two axes' upper triangle, from `diagonal`; 0 below."""
    return _triangle(input, diagonal, False)
