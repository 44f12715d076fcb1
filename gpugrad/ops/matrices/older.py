"""PyTorch's older names, in the package's own namespace; `gpugrad.linalg` has today's."""

from __future__ import annotations

from typing import NamedTuple

from ... import dtype as dtypes
from ...errors import ArgumentError, ShapeError
from ...tensor import Tensor
from ..operands import check_tensor
from . import cholesky as _cholesky
from . import least_squares, lu, qr, spectral, vectors
from .host import matrices
from .qr import QR


class USV(NamedTuple):
    """Of `svd`: V, not its transpose."""

    U: Tensor
    S: Tensor
    V: Tensor


def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """`linalg.cholesky`: A = L L^T, or A = U^T U where `upper`."""
    return _cholesky.cholesky(input, upper=upper)


def qr_older(input: Tensor, some: bool = True) -> QR:
    """`linalg.qr`: mode "reduced" where `some`, else "complete"."""
    return qr.qr(input, "reduced" if some else "complete")


def svd_older(input: Tensor, some: bool = True, compute_uv: bool = True) -> USV:
    """(U, S, V) with A = U diag(S) V^T; see `linalg.svd`. Without `some` U and V are square;
    without `compute_uv` they are zeros, and only S is computed."""
    a = matrices("svd", input)
    if not compute_uv:
        *stack, m, n = a.shape
        empty = a.new_zeros((*stack, m, m)), a.new_zeros((*stack, n, n))
        return USV(empty[0], spectral.svdvals(a), empty[1])
    u, s, vh = spectral.svd(a, full_matrices=not some)
    return USV(u, s, vh.mT)


def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """`linalg.pinv` with singular values up to rcond * largest taken as 0."""
    return least_squares.pinv(input, rtol=rcond)


def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """`linalg.cross` along `dim`; without it along the first axis of length 3."""
    if dim is None:
        a = check_tensor("cross", input)
        lengths = [i for i, n in enumerate(a.shape) if n == 3]
        if not lengths:
            raise ShapeError(f"cross: no axis of {a.shape} has length 3.")
        dim = lengths[0]
    return vectors._cross("cross", input, other, dim)


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """Powers of a vector's elements as columns [n, N], N - 1 to 0, or 0 to N - 1 (`increasing`)."""
    given = check_tensor("vander", x)
    if given.ndim != 1:
        raise ShapeError(f"vander: needs a vector, got shape {given.shape}.")
    count = given.shape[0] if N is None else N
    if count < 0:
        raise ArgumentError(f"vander: N must not be negative, got {N}.")
    if not dtypes.is_floating(given.dtype):
        given = given.to(dtypes.int64)
    powers = vectors.vander(given, N=max(count, 2))[:, :count]
    return powers if increasing else powers.flip(1)


class Packed(NamedTuple):
    """Of `lu`."""

    LU: Tensor
    pivots: Tensor


class PackedWithInfo(NamedTuple):
    """Of `lu` with get_infos."""

    LU: Tensor
    pivots: Tensor
    info: Tensor


def lu_older(A: Tensor, pivot: bool = True, get_infos: bool = False) -> Packed | PackedWithInfo:
    """`linalg.lu_factor_ex` without its last result, or with it (`get_infos`)."""
    found = lu.lu_factor_ex(A, pivot=pivot, check_errors=not get_infos)
    return PackedWithInfo(*found) if get_infos else Packed(*found[:2])


def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """`linalg.lu_solve` in another order of arguments."""
    return lu.lu_solve(LU_data, LU_pivots, b)


qr_older.__name__, svd_older.__name__, lu_older.__name__ = "qr", "svd", "lu"
