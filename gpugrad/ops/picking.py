"""Picking by index or mask: index_select, gather, take, masked_select, nonzero, narrow."""

from __future__ import annotations

import math
from operator import le
from typing import Any

from .. import dtype as dtypes
from ..autograd.function import describe, mixed_devices
from ..errors import ArgumentError, DeviceError, DTypeError, IndexOutOfRangeError, ShapeError
from ..tensor import Tensor
from .indexing import Gather, getitem
from .operands import axis, check_mask, check_tensor, shape_of
from .positions import own_positions, positions
from .views import broadcast_tensors

_POSITIONS = (dtypes.int64, dtypes.int32)


def check_index(name: str, input: Tensor, index: Any) -> Tensor:
    """`index` as int64. Raises DTypeError, DeviceError for what is no index into `input`."""
    of_nothing = isinstance(index, Tensor) and not index.array.size  # its dtype says nothing
    if not of_nothing and (not isinstance(index, Tensor) or index.dtype not in _POSITIONS):
        got = describe(index) if isinstance(index, Tensor) else type(index).__name__
        raise DTypeError(f"{name}: index must be an int64 or int32 tensor; got {got}.")
    if index.backend is not input.backend:
        raise DeviceError(mixed_devices(name, (input, index)))
    return index if index.array.dtype == dtypes.int64 else index.to(dtypes.int64)


def grid(input: Tensor, index: Tensor, dim: int) -> tuple[Tensor, ...]:
    """Index tensors for every axis: `index` along `dim`, the own position along the others."""
    shape, backend = index.array.shape, input.backend
    return tuple(
        [
            index if d == dim else Tensor(own_positions(backend, shape, d), backend)
            for d in range(len(shape))
        ]
    )


def fits_beside(index: tuple[int, ...], shape: tuple[int, ...], dim: int) -> bool:
    """Has `index` as many axes as `shape` and, except along dim, no greater lengths?"""
    if index == shape or len(index) != len(shape):
        return index == shape
    beside = (*index[:dim], *index[dim + 1 :]), (*shape[:dim], *shape[dim + 1 :])
    return beside[0] == beside[1] or all(map(le, *beside))


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices along `dim` that the vector `index` names, in that order."""
    dim = axis("index_select", dim, check_tensor("index_select", input).ndim)
    index = check_index("index_select", input, index)
    if index.ndim > 1:
        raise ShapeError(f"index_select: index must be a vector, got {describe(index)}.")
    if input.ndim == 0:
        return index_select(input.reshape(1), 0, index).reshape(())
    index = index if index.ndim else index.reshape(1)
    y: Tensor = Gather.apply(input, index, axis=dim)
    return y


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """y[i, j, k] = input[i, index[i, j, k], k] for dim 1; y has the shape of `index`."""
    x = check_tensor("gather", input)
    dim = axis("gather", dim, x.array.ndim)
    if sparse_grad:
        raise ArgumentError("gather: gradients are dense; leave sparse_grad out.")
    index = at = check_index("gather", x, index)
    if not at.array.size:  # PyTorch asks nothing of the shape of an empty index
        return Gather.apply(x.reshape(-1), at)
    if x.array.ndim == 0:
        x = x.reshape(1)
    if at.array.ndim == 0:
        at = at.reshape(1)
    if not fits_beside(at.array.shape, x.array.shape, dim):
        raise ShapeError(
            f"gather: index {index.shape} must have as many axes as input {input.shape} and, "
            f"except along dim {dim}, no greater lengths."
        )
    y: Tensor = Gather.apply(x, *grid(x, at, dim))
    return y if index.array.ndim else y.reshape(())


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """As `gather`, with the other axes broadcast; over the flattened input if dim is None."""
    indices = check_index("take_along_dim", check_tensor("take_along_dim", input), indices)
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))
    dim = axis("take_along_dim", dim, input.ndim)
    if indices.ndim != input.ndim:
        raise ShapeError(
            f"take_along_dim: indices {indices.shape} and input {input.shape} need as many axes."
        )
    pairs = list(enumerate(zip(input.shape, indices.shape, strict=True)))
    if any(n != m and 1 not in (n, m) for d, (n, m) in pairs if d != dim):
        raise ShapeError(
            f"take_along_dim: indices {indices.shape} and input {input.shape} do not broadcast "
            f"outside axis {dim}."
        )
    sizes = [(m if n == 1 else n) if d != dim else 0 for d, (n, m) in pairs]
    x = input.expand([n if d != dim else input.shape[d] for d, n in enumerate(sizes)])
    i = indices.expand([n if d != dim else indices.shape[d] for d, n in enumerate(sizes)])
    return gather(x, dim, i)


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where `mask` is True, in row-major order; both broadcast."""
    check_mask("masked_select", mask)
    x, m = broadcast_tensors(input, mask)
    return getitem(x, (m,)) if m.ndim else getitem(x.reshape(1), (m.reshape(1),))


def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements of the flattened input at `index`, in its shape."""
    flat = check_tensor("take", input).reshape(-1)
    return getitem(flat, (check_index("take", input, index).reshape(-1),)).reshape(index.shape)


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Where elements are not 0: int64 [count, ndim], or one vector for each axis."""
    x = check_tensor("nonzero", input)
    if x.ndim == 0 and as_tuple:
        x = x.reshape(1)
    mask = x.array if x.dtype == dtypes.bool_ else x.backend.kernels.cast(x.array, dtypes.bool_)
    found = x.backend.kernels.nonzero(mask)
    if as_tuple:
        return tuple([Tensor(found[:, i], x.backend) for i in range(x.ndim)])
    return Tensor(found, x.backend)


def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """How many elements are not 0."""
    return input.to(dtypes.bool_).sum(dim)


def argwhere(input: Tensor) -> Tensor:
    """Where elements are not 0: int64 [count, ndim]."""
    return nonzero(input)


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """Positions among all elements of a shape as indices of its axes: int64, one for each axis.

    Raises IndexOutOfRangeError for a position outside, where the device has values at hand.
    """
    x = check_index("unravel_index", indices, check_tensor("unravel_index", indices))
    sizes = shape_of("unravel_index", (shape,))
    if any(n < 0 for n in sizes):
        raise ShapeError(f"unravel_index: sizes must not be negative, got {sizes}.")
    total = math.prod(sizes)
    if x.backend.synchronous and x.numel():
        low, high = int(x.min().item()), int(x.max().item())
        if low < -total or high >= total:
            raise IndexOutOfRangeError(
                f"unravel_index: position {low if low < -total else high} is not one of the "
                f"{total} of shape {sizes}."
            )
    found = []
    for n in reversed(sizes):
        found.append(x.remainder(n))
        x = x.floor_divide(n)
    return tuple(found[::-1])


def narrow(input: Tensor, dim: int, start: int | Tensor, length: int) -> Tensor:
    """The view of `length` elements from `start` (a number or 0-d tensor) along `dim`."""
    if check_tensor("narrow", input).ndim == 0:
        raise ShapeError("narrow: a 0-d tensor has no axis.")
    dim = axis("narrow", dim, input.ndim)
    if isinstance(start, Tensor) and (start.ndim or start.dtype not in _POSITIONS):
        raise DTypeError(f"narrow: start must be an integer; got {describe(start)}.")
    n, start, length = input.shape[dim], int(start), int(length)
    first = start + n if start < 0 else start
    if not 0 <= first <= n or length < 0 or first + length > n:
        raise IndexOutOfRangeError(
            f"narrow: start {start} and length {length} leave axis {dim} of length {n}."
        )
    return getitem(input, (slice(None),) * dim + (slice(first, first + length),))


def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """A copy of what `narrow` gives."""
    return narrow(input, dim, start, length).clone()


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The view at `index` along `dim`, without that axis."""
    if check_tensor("select", input).ndim == 0:
        raise ShapeError("select: a 0-d tensor has no axis.")
    dim = axis("select", dim, input.ndim)
    return getitem(input, (slice(None),) * dim + (int(index),))


def one_hot(input: Tensor, num_classes: int = -1) -> Tensor:
    """int64, with a last axis that is 1 at the class and 0 elsewhere.

    Raises IndexOutOfRangeError for a class outside, where the device has values at hand; elsewhere
    its row is 0, and only a missing num_classes waits.
    """
    x = check_tensor("one_hot", input)
    if dtypes.is_floating(x.dtype) or x.dtype == dtypes.bool_:
        raise DTypeError(f"one_hot: classes must be integers; got {describe(x)}.")
    if num_classes == -1:
        if x.numel() == 0:
            raise ArgumentError("one_hot: num_classes must be given for an empty tensor.")
        num_classes = int(x.max().item()) + 1
    if x.backend.synchronous and x.numel():
        low, high = int(x.min().item()), int(x.max().item())
        if low < 0 or high >= num_classes:
            bad = low if low < 0 else high
            raise IndexOutOfRangeError(f"one_hot: class {bad} is not one of {num_classes} classes.")
    classes = Tensor(positions(x.backend, num_classes), x.backend)
    return (x.to(dtypes.int64).unsqueeze(-1) == classes).to(dtypes.int64)
