"""Views by strides: diagonals, sliding windows, as_strided; and tensors written into such views."""

from __future__ import annotations

import math
from typing import Any

from ..autograd.function import Function, describe
from ..backends import Backend
from ..dtype import int64
from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor
from .indexing import with_item
from .operands import axis, check_tensor, shape_of
from .positions import positions

Geometry = tuple[tuple[int, ...], tuple[int, ...], int]
"""Shape, strides and offset of a view, in elements, counted in the whole memory."""


def _view(backend: Backend, x: Any, geometry: Geometry) -> Any:
    """The array of a geometry in the memory of x. Raises ShapeError where it leaves it."""
    shape, strides, offset = geometry
    low, high = backend.bounds(x)
    size, whole = x.dtype.itemsize, (high - low) // x.dtype.itemsize
    last = offset + sum(s * (n - 1) for n, s in zip(shape, strides, strict=True))
    if not math.prod(shape):
        return backend.empty(shape, x.dtype)
    if last >= whole:
        raise ShapeError(
            f"as_strided: size {shape}, stride {strides} and storage_offset {offset} reach element "
            f"{last} of a memory of {whole}."
        )
    shift = low + offset * size - backend.address(x)
    return backend.strided(x, shift, shape, tuple([s * size for s in strides]))


def geometry_of(x: Tensor) -> Geometry:
    """Where the elements of x are in its memory."""
    return x.shape, x.stride(), storage_offset(x)


def storage_offset(self: Tensor) -> int:
    """How many elements lie before the first one in the memory, which views share."""
    low, _ = self.backend.bounds(self.array)
    return (self.backend.address(self.array) - low) // self.itemsize if self.array.size else 0


def data_ptr(self: Tensor) -> int:
    """The address of the first element."""
    return self.backend.address(self.array)


def _diagonal_of(x: Any, offset: int, dim1: int, dim2: int) -> tuple[Any, Any, int]:
    """Shape and strides (in bytes) of a diagonal of x, and where it starts behind x."""
    others = [i for i in range(x.ndim) if i not in (dim1, dim2)]
    count = max(0, min(x.shape[dim1] + min(offset, 0), x.shape[dim2] - max(offset, 0)))
    start = max(-offset, 0) * x.strides[dim1] + max(offset, 0) * x.strides[dim2]
    shape = (*[x.shape[i] for i in others], count)
    strides = (*[x.strides[i] for i in others], x.strides[dim1] + x.strides[dim2])
    return shape, strides, start


def raw_diagonal(backend: Backend, x: Any, offset: int, dim1: int, dim2: int) -> Any:
    """The diagonal of an array, as a view of its memory."""
    shape, strides, start = _diagonal_of(x, offset, dim1, dim2)
    if not math.prod(shape):
        return backend.empty(shape, x.dtype)
    return backend.strided(x, start, shape, strides)


class Diagonal(Function):
    """y[..., i] = x[..., i + a, ..., i + b, ...], a view;  dx = dy on that diagonal, else 0."""

    view = True

    def forward(self, x: Any, offset: int, dim1: int, dim2: int) -> Any:
        self.of, self.where = x.shape, {"offset": offset, "dim1": dim1, "dim2": dim2}
        return raw_diagonal(self.backend, x, offset, dim1, dim2)

    def backward(self, dy: Tensor) -> Any:
        return OnDiagonal.apply(dy, shape=self.of, **self.where)


class OnDiagonal(Function):
    """y = 0 with x on a diagonal;  dx = dy's diagonal."""

    def forward(self, x: Any, shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> Any:
        self.where = {"offset": offset, "dim1": dim1, "dim2": dim2}
        y = self.backend.empty(shape, x.dtype)
        self.kernels.fill(y, 0)
        if x.size:
            self.kernels.copy(x, raw_diagonal(self.backend, y, offset, dim1, dim2))
        return y

    def backward(self, dy: Tensor) -> Any:
        return Diagonal.apply(dy, **self.where)


class IntoDiagonal(Function):
    """y = x but v on a diagonal;  dx = dy, 0 on it, dv = dy's diagonal."""

    def forward(self, x: Any, v: Any, offset: int, dim1: int, dim2: int) -> Any:
        self.where = {"offset": offset, "dim1": dim1, "dim2": dim2}
        y = self.kernels.contiguous(x)
        if v.size:
            self.kernels.copy(v, raw_diagonal(self.backend, y, offset, dim1, dim2))
        return y

    def backward(self, dy: Tensor) -> Any:
        dv = Diagonal.apply(dy, **self.where)
        zeros = dy.new_zeros(dv.shape) if self.needs(0) else None
        return (None if zeros is None else IntoDiagonal.apply(dy, zeros, **self.where)), dv


class Windows(Function):
    """y[..., w, ..., k] = x[..., w step + k, ...], a view;  dx = dy summed where windows meet."""

    view = True

    def forward(self, x: Any, dim: int, size: int, step: int) -> Any:
        self.of, self.window = x.shape, (dim, size, step)
        count = (x.shape[dim] - size) // step + 1
        shape = (*x.shape[:dim], count, *x.shape[dim + 1 :], size)
        strides = list(x.strides)
        strides[dim] *= step
        if not math.prod(shape):
            return self.backend.empty(shape, x.dtype)
        return self.backend.strided(x, 0, shape, (*strides, x.strides[dim]))

    def backward(self, dy: Tensor) -> Any:
        dim, size, step = self.window
        parts = dy.movedim(-1, dim + 1)
        count = parts.shape[dim]
        index = Tensor(_cells(dy.backend, ((count, size), (step, 1), 0)), dy.backend)
        rows = parts.reshape((*parts.shape[:dim], count * size, *parts.shape[dim + 2 :]))
        return dy.new_zeros(self.of).index_add(dim, index, rows)


class AsStrided(Function):
    """y = x's memory in another shape, strides and offset, a view.

    dx = dy summed by memory cell and looked up at the cells of x; cells that several elements of x
    share divide it evenly.
    """

    view = True

    def forward(self, x: Any, to: Geometry, of: Geometry) -> Any:
        self.to, self.of = to, of
        return _view(self.backend, x, to)

    def backward(self, dy: Tensor) -> Any:
        return restrided(dy, self.to, self.of)


def _cells(backend: Backend, geometry: Geometry) -> Any:
    """The cell of each element, in row-major order: int64 vector."""
    shape, strides, offset = geometry
    cells = backend.empty((1,), int64)
    backend.kernels.fill(cells, offset)
    for n, s in zip(shape, strides, strict=True):
        steps = backend.kernels.binary("mul", positions(backend, n), s)
        cells = backend.kernels.binary("add", cells[:, None], steps).reshape(-1)
    return cells


def restrided(dy: Tensor, of: Geometry, to: Geometry) -> Tensor:
    """Values in the cells of one geometry, summed by cell, read in those of another."""
    ends = [_ends(g) for g in (of, to) if math.prod(g[0])]
    low, high = min([0, *[a for a, _ in ends]]), max([0, *[b for _, b in ends]])
    at, into = [
        Tensor(_cells(dy.backend, (shape, strides, offset - low)), dy.backend)
        for shape, strides, offset in (of, to)
    ]
    flat = dy.new_zeros(high - low + 1).index_add(0, at, dy.reshape(-1))
    y = flat.index_select(0, into)
    if not _apart(to):  # cells may be shared
        ones = into.new_ones(into.shape)
        times = into.new_zeros(high - low + 1).index_add(0, into, ones)
        y = y / times.index_select(0, into).to(dy.dtype)
    return y.reshape(to[0])


def _ends(geometry: Geometry) -> tuple[int, int]:
    """The first and the last cell of a geometry that is not empty."""
    shape, strides, offset = geometry
    reach = [s * (n - 1) for n, s in zip(shape, strides, strict=True)]
    return offset + sum(min(r, 0) for r in reach), offset + sum(max(r, 0) for r in reach)


def _apart(geometry: Geometry) -> bool:
    """Is each stride longer than all that lies within it? Then no two elements share a cell."""
    reach = 0
    for s, n in sorted((abs(s), n) for n, s in zip(*geometry[:2], strict=True) if n > 1):
        if s <= reach:
            return False
        reach += s * (n - 1)
    return True


def _geometry(
    name: str, x: Tensor, size: Any, stride: Any, storage_offset: int | None
) -> tuple[Geometry, Geometry]:
    shape, strides = shape_of(name, (size,)), shape_of(name, (stride,))
    own = geometry_of(check_tensor(name, x))
    offset = own[2] if storage_offset is None else int(storage_offset)
    if len(shape) != len(strides):
        raise ShapeError(f"{name}: size {shape} and stride {strides} need the same length.")
    if offset < 0 or any(n < 0 for n in (*shape, *strides)):
        raise ArgumentError(
            f"{name}: size {shape}, stride {strides} and storage_offset {offset} must not be "
            "negative."
        )
    return (shape, strides, offset), own


def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """A view of the memory of `input`: size, and stride and storage_offset in elements.

    Raises ShapeError where it would leave that memory.
    """
    to, own = _geometry("as_strided", input, size, stride, storage_offset)
    return AsStrided.apply(input, to=to, of=own)


def as_strided_scatter(
    input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: int | None = None
) -> Tensor:
    """A copy of `input` with `src` in the view that `as_strided` gives."""
    to, own = _geometry("as_strided_scatter", input, size, stride, storage_offset)
    if check_tensor("as_strided_scatter", src).shape != to[0]:
        raise ShapeError(f"as_strided_scatter: src is {describe(src)}, the view {to[0]}.")
    _view(input.backend, input.array, to)  # the bounds
    if not src.numel() or not input.numel():
        return input.clone()
    backend, kernels = input.backend, input.backend.kernels
    at, into = _cells(backend, to), _cells(backend, own)
    source = backend.empty((max(_ends(to)[1], _ends(own)[1]) + 1,), int64)
    kernels.fill(source, -1)  # which element of src a cell gets
    kernels.scatter("set", source, [at], positions(backend, src.numel()))
    take = kernels.gather(source, [into])
    index = Tensor(kernels.binary("maximum", take, 0), backend)
    mask = Tensor(kernels.binary("ge", take, 0).reshape(own[0]), backend)
    return src.reshape(-1).index_select(0, index).reshape(own[0]).where(mask, input)


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The view of the elements whose indices along dim1 and dim2 differ by `offset`, last axis."""
    a, b = _two_axes("diagonal", check_tensor("diagonal", input).ndim, dim1, dim2)
    return Diagonal.apply(input, offset=int(offset), dim1=a, dim2=b)


def _two_axes(name: str, ndim: int, dim1: int, dim2: int) -> tuple[int, int]:
    a, b = axis(name, dim1, ndim), axis(name, dim2, ndim)
    if a == b:
        raise ShapeError(f"{name}: two different axes are needed, got {dim1} and {dim2}.")
    return a, b


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A matrix with the vector `input` on its diagonal, or the diagonal of the matrix `input`."""
    if check_tensor("diag", input).ndim == 2:
        return Diagonal.apply(input, offset=int(diagonal), dim1=0, dim2=1).clone()
    if input.ndim != 1:
        raise ShapeError(f"diag: 1 or 2 axes are needed, got {describe(input)}.")
    return diag_embed(input, diagonal)


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """A matrix with all elements of `input` on its diagonal."""
    return diag_embed(check_tensor("diagflat", input).reshape(-1), offset)


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices in the axes dim1 and dim2 of the result, the last axis of `input` on a diagonal."""
    x = check_tensor("diag_embed", input)
    if x.ndim == 0:
        raise ShapeError("diag_embed: a 0-d tensor has no axis for the diagonal.")
    a, b = _two_axes("diag_embed", x.ndim + 1, dim1, dim2)
    n = x.shape[-1] + abs(int(offset))
    shape = list(x.shape[:-1])
    for place in sorted((a, b)):
        shape.insert(place, n)
    return OnDiagonal.apply(x, shape=tuple(shape), offset=int(offset), dim1=a, dim2=b)


def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """A copy of `input` with `src` on the diagonal that `diagonal` gives."""
    name = "diagonal_scatter"
    a, b = _two_axes(name, check_tensor(name, input).ndim, dim1, dim2)
    shape = _diagonal_of(input.array, int(offset), a, b)[0]
    if check_tensor(name, src).shape != shape:
        raise ShapeError(f"{name}: src is {describe(src)}; the diagonal has shape {shape}.")
    return IntoDiagonal.apply(input, src.to(input.dtype), offset=int(offset), dim1=a, dim2=b)


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """The view of the windows of `size` elements, every `step`, along an axis; in a last axis.

    Of images to columns is `nn.functional.unfold`.
    """
    x = check_tensor("unfold", input)
    dim = axis("unfold", dimension, x.ndim)
    length = x.shape[dim] if x.ndim else 1
    if step < 1:
        raise ArgumentError(f"unfold: step must be at least 1, got {step}.")
    if not 0 <= size <= length:
        raise ArgumentError(f"unfold: size {size} must be 0 to {length}, the length of axis {dim}.")
    if x.ndim == 0:
        return x.reshape(1).narrow(0, 0, size)
    return Windows.apply(x, dim=dim, size=int(size), step=int(step))


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy of `input` with `src` in the slice that `select` gives."""
    dim = axis("select_scatter", dim, check_tensor("select_scatter", input).ndim)
    return with_item("select_scatter", input, (slice(None),) * dim + (int(index),), src)


def slice_scatter(
    input: Tensor,
    src: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    """A copy of `input` with `src` in ``input[start:end:step]`` along `dim`."""
    dim = axis("slice_scatter", dim, check_tensor("slice_scatter", input).ndim)
    if step < 1:
        raise ArgumentError(f"slice_scatter: step must be at least 1, got {step}.")
    part = slice(start, end, step)
    return with_item("slice_scatter", input, (slice(None),) * dim + (part,), src)
