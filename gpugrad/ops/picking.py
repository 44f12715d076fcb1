"""Picking and adding by index along one axis: index_select, gather, scatter_add, nonzero."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtype as dtypes
from ..autograd.function import Function, describe, mixed_devices
from ..errors import ArgumentError, DeviceError, DTypeError, IndexOutOfRangeError, ShapeError
from ..tensor import Tensor
from .indexing import Gather, getitem
from .operands import axis, check_mask, check_tensor
from .views import broadcast_tensors


class ScatterInto(Function):
    """y = x, then y[i[j]] += v[j] (or = v[j]);  dx = dy (0 at i if =), dv[j] = dy[i[j]]."""

    def forward(self, x: Any, v: Any, *indices: Any, accumulate: bool) -> Any:
        self.accumulate = accumulate
        self.save(*indices)
        y = self.kernels.contiguous(x)
        self.kernels.scatter(y, indices, v, accumulate)
        return y

    def backward(self, dy: Tensor) -> Any:
        indices = self.saved
        dx = None
        if self.needs(0):
            dx = (
                dy
                if self.accumulate
                else ScatterInto.apply(
                    dy, dy.new_zeros(indices[0].shape), *indices, accumulate=False
                )
            )
        dv = Gather.apply(dy, *indices) if self.needs(1) else None
        return (dx, dv, *[None] * len(indices))


def _check_index(name: str, input: Tensor, index: Any) -> Tensor:
    if not isinstance(index, Tensor) or index.dtype not in (dtypes.int64, dtypes.int32):
        got = describe(index) if isinstance(index, Tensor) else type(index).__name__
        raise DTypeError(f"{name}: index must be an int64 or int32 tensor; got {got}.")
    if index.backend is not input.backend:
        raise DeviceError(mixed_devices(name, (input, index)))
    return index.to(dtypes.int64)


def _grid(input: Tensor, index: Tensor, dim: int) -> tuple[Tensor, ...]:
    """Index tensors for every axis: `index` along `dim`, the own position along the others."""
    shape, n = index.shape, index.ndim
    tensors = []
    for d in range(n):
        if d == dim:
            tensors.append(index)
            continue
        own = np.arange(shape[d]).reshape([-1 if i == d else 1 for i in range(n)])
        array = input.backend.from_numpy(own.astype(np.int64))
        tensors.append(Tensor(np.broadcast_to(array, shape), input.backend))
    return tuple(tensors)


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices along `dim` that the vector `index` names, in that order."""
    dim = axis("index_select", dim, check_tensor("index_select", input).ndim)
    index = _check_index("index_select", input, index)
    if index.ndim > 1:
        raise ShapeError(f"index_select: index must be a vector, got {describe(index)}.")
    if input.ndim == 0:
        return index_select(input.reshape(1), 0, index).reshape(())
    return getitem(input, (slice(None),) * dim + (index.reshape(-1),))


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """y[i, j, k] = input[i, index[i, j, k], k] for dim 1; y has the shape of `index`."""
    dim = axis("gather", dim, check_tensor("gather", input).ndim)
    index = _check_index("gather", input, index)
    if index.ndim != input.ndim or any(
        n > m for d, (n, m) in enumerate(zip(index.shape, input.shape, strict=True)) if d != dim
    ):
        raise ShapeError(
            f"gather: index {index.shape} must have as many axes as input {input.shape} and, "
            f"except along dim {dim}, no greater lengths."
        )
    if input.ndim == 0:
        return input.clone()
    return Gather.apply(input, *_grid(input, index, dim))


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """As `gather`, with the other axes broadcast; over the flattened input if dim is None."""
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))
    dim = axis("take_along_dim", dim, input.ndim)
    if indices.ndim != input.ndim:
        raise ShapeError(
            f"take_along_dim: indices {indices.shape} and input {input.shape} need as many axes."
        )
    sizes = [
        np.broadcast_shapes((n,), (m,))[0] if d != dim else 0
        for d, (n, m) in enumerate(zip(input.shape, indices.shape, strict=True))
    ]
    x = input.expand([n if d != dim else input.shape[d] for d, n in enumerate(sizes)])
    i = indices.expand([n if d != dim else indices.shape[d] for d, n in enumerate(sizes)])
    return gather(x, dim, i)


def _scatter(name: str, input: Tensor, dim: int, index: Tensor, src: Any, add: bool) -> Tensor:
    dim = axis(name, dim, check_tensor(name, input).ndim)
    index = _check_index(name, input, index)
    if not isinstance(src, Tensor):
        src = input.new_full(index.shape, src)
    if src.dtype != input.dtype:
        raise DTypeError(f"{name}: src is {src.dtype.name}, input {input.dtype.name}.")
    ranks = index.ndim == input.ndim == src.ndim
    if not ranks or any(
        n > s or (d != dim and n > m)
        for d, (n, m, s) in enumerate(zip(index.shape, input.shape, src.shape, strict=True))
    ):
        raise ShapeError(
            f"{name}: index {index.shape} must fit into src {src.shape} and, except along dim "
            f"{dim}, into input {input.shape}."
        )
    if input.ndim == 0:
        x = _scatter(name, input.reshape(1), 0, index.reshape(1), src.reshape(1), add)
        return x.reshape(())
    part = src if src.shape == index.shape else src[tuple([slice(0, n) for n in index.shape])]
    grid = _grid(input, index, dim)
    return ScatterInto.apply(input, part, *grid, accumulate=add)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """input with src added: y[i, index[i, j, k], k] += src[i, j, k] for dim 1, in order."""
    return _scatter("scatter_add", input, dim, index, src, True)


def scatter(input: Tensor, dim: int, index: Tensor, src: Any) -> Tensor:
    """input with y[i, index[i, j, k], k] = src[i, j, k] for dim 1; of duplicates the last stays."""
    return _scatter("scatter", input, dim, index, src, False)


def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1
) -> Tensor:
    """input with alpha source added: slice i of source to slice index[i] along `dim`, in order."""
    dim = axis("index_add", dim, check_tensor("index_add", input).ndim)
    index = _check_index("index_add", input, index).reshape(-1)
    shape = list(input.shape)
    if shape:
        shape[dim] = index.numel()
    if list(source.shape) != shape or source.dtype != input.dtype:
        raise ShapeError(
            f"index_add: source is {describe(source)}; must be {tuple(shape)} {input.dtype.name}."
        )
    v = source if alpha == 1 else source * alpha
    x = input.movedim(dim, 0)
    y: Tensor = ScatterInto.apply(x, v.movedim(dim, 0), index, accumulate=True)
    return y.movedim(0, dim)


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where `mask` is True, in row-major order; both broadcast."""
    check_mask("masked_select", mask)
    x, m = broadcast_tensors(input, mask)
    return getitem(x, (m,)) if m.ndim else getitem(x.reshape(1), (m.reshape(1),))


def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements of the flattened input at `index`, in its shape."""
    flat = check_tensor("take", input).reshape(-1)
    return getitem(flat, (_check_index("take", input, index).reshape(-1),)).reshape(index.shape)


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Where elements are not 0: int64 [count, ndim], or one vector for each axis."""
    x = check_tensor("nonzero", input)
    if x.ndim == 0 and as_tuple:
        x = x.reshape(1)
    mask = x.data if x.dtype == dtypes.bool_ else x.backend.kernels.cast(x.data, dtypes.bool_)
    found = x.backend.kernels.nonzero(mask)
    if as_tuple:
        return tuple([Tensor(found[:, i], x.backend) for i in range(x.ndim)])
    return Tensor(found, x.backend)


def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """How many elements are not 0."""
    return input.to(dtypes.bool_).sum(dim)


def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """The view of `length` elements from `start` along `dim`."""
    dim = axis("narrow", dim, input.ndim)
    n = input.shape[dim] if input.ndim else 0
    first = start + n if start < 0 else start
    if not 0 <= first <= n or length < 0 or first + length > n:
        raise IndexOutOfRangeError(
            f"narrow: start {start} and length {length} leave axis {dim} of length {n}."
        )
    return getitem(input, (slice(None),) * dim + (slice(first, first + length),))


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The view at `index` along `dim`, without that axis."""
    dim = axis("select", dim, input.ndim)
    return getitem(input, (slice(None),) * dim + (int(index),))


def one_hot(input: Tensor, num_classes: int = -1) -> Tensor:
    """int64, with a last axis that is 1 at the class and 0 elsewhere."""
    x = check_tensor("one_hot", input)
    if dtypes.is_floating(x.dtype) or x.dtype == dtypes.bool_:
        raise DTypeError(f"one_hot: classes must be integers; got {describe(x)}.")
    if num_classes == -1:
        if x.numel() == 0:
            raise ArgumentError("one_hot: num_classes must be given for an empty tensor.")
        num_classes = int(x.max().item()) + 1
    low, high = (int(x.min().item()), int(x.max().item())) if x.numel() else (0, 0)
    if x.numel() and (low < 0 or high >= num_classes):
        bad = low if low < 0 else high
        raise IndexOutOfRangeError(f"one_hot: class {bad} is not one of {num_classes} classes.")
    classes = Tensor(x.backend.from_numpy(np.arange(num_classes)), x.backend)
    return (x.to(dtypes.int64).unsqueeze(-1) == classes).to(dtypes.int64)
