"""Products of vectors, Vandermonde's matrix, and tensors as linear maps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ... import dtype as dtypes
from ...autograd.function import mixed_devices
from ...errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ...tensor import Tensor
from ..joining import cat
from ..operands import axis, check_broadcast, check_tensor
from .host import from_host, matrices
from .inverse import inv, solve


def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The cross product of vectors of 3 along `dim`; the other axes broadcast."""
    return _cross("linalg.cross", input, other, dim)


def _cross(name: str, input: Tensor, other: Tensor, dim: int) -> Tensor:
    a, b = check_tensor(name, input), check_tensor(name, other)
    if a.ndim != b.ndim:
        raise ShapeError(f"{name}: needs as many axes; got {a.shape} and {b.shape}.")
    check_broadcast(name, a, b)
    d = axis(name, dim, a.ndim)
    if a.ndim == 0 or a.shape[d] != 3 or b.shape[d] != 3:
        raise ShapeError(f"{name}: axis {dim} must have length 3; got {a.shape} and {b.shape}.")
    twice_a, twice_b = cat([a, a], d), cat([b, b], d)  # x, y, z, x, y, z
    left = twice_a.narrow(d, 1, 3) * twice_b.narrow(d, 2, 3)
    return left - twice_a.narrow(d, 2, 3) * twice_b.narrow(d, 1, 3)


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The sum of products along `dim`; the other axes broadcast."""
    a, b = check_tensor("linalg.vecdot", x), check_tensor("linalg.vecdot", y)
    if a.backend is not b.backend:
        raise DeviceError(mixed_devices("linalg.vecdot", (a, b)))
    if a.dtype != b.dtype:
        raise DTypeError(f"linalg.vecdot: dtypes differ: {a.dtype.name}, {b.dtype.name}.")
    product = a * b
    return product.sum(axis("linalg.vecdot", dim, product.ndim)).to(a.dtype)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """`gg.diagonal` of the last two axes."""
    return check_tensor("linalg.diagonal", A).diagonal(offset, dim1, dim2)


def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """Powers 0 to N - 1 of each element: [..., n] -> [..., n, N]; N is n by default."""
    given = check_tensor("linalg.vander", x)
    given = given.reshape(1) if given.ndim == 0 else given
    if N is not None and N <= 1:
        raise ArgumentError(f"linalg.vander: N must be greater than 1, got {N}.")
    count = given.shape[-1] if N is None else N
    kind = given.dtype if dtypes.is_floating(given.dtype) else dtypes.int64
    wide = given.to(dtypes.accumulation(kind)).unsqueeze(-1)  # half types are rounded once
    exponents = from_host(np.arange(count).astype(wide.dtype), given.backend)
    return (wide**exponents).to(kind)


def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse of A as a map from its last axes to its first `ind`: of as many elements."""
    name = "linalg.tensorinv"
    if not isinstance(ind, int) or ind < 1:
        raise ArgumentError(f"{name}: ind must be a positive int, got {ind!r}.")
    a = check_tensor(name, A)
    first, last = a.shape[:ind], a.shape[ind:]
    if math.prod(first) != math.prod(last):
        raise ShapeError(f"{name}: {first} and {last} of A {a.shape} have different sizes.")
    n = math.prod(first)
    return inv(matrices(name, a.reshape(n, n))).reshape([*last, *first])


def tensorsolve(A: Tensor, B: Tensor, dims: Sequence[int] | None = None) -> Tensor:
    """X with tensordot(A, X, X.ndim) = B; dims: axes of A that are moved to its end first."""
    name = "linalg.tensorsolve"
    a, b = check_tensor(name, A), check_tensor(name, B)
    if dims is not None:
        a = a.movedim(list(dims), list(range(a.ndim - len(dims), a.ndim)))
    shape = a.shape[b.ndim :]
    n = math.prod(shape)
    if n != b.numel() or n * n != a.numel():
        raise ShapeError(f"{name}: A {a.shape} does not take {shape} to B {b.shape}.")
    return solve(matrices(name, a.reshape(n, n)), b.reshape(n)).reshape(shape)
