"""LU decomposition with partial pivoting, and what is solved with it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ...errors import ArgumentError, ShapeError
from ...tensor import Tensor
from ..joining import cat
from .host import NDArray, OnHost, alike, eye, from_host, host, lead, matrices, refuse, singular
from .triangular import solve_triangular, substitute


def eliminate(a: NDArray, pivots: NDArray) -> None:
    """Gauss's elimination of a [stack, m, n] in place, by halves of the columns; pivots
    [stack, min(m, n)]: row i was exchanged with row pivots[i], in this order (from 0)."""
    m, n = a.shape[-2:]
    if m < n:  # the columns beyond are only carried along
        eliminate(a[..., :m], pivots)
        exchange(a[..., m:], pivots)
        substitute(a[..., :m], a[..., m:], True)
    elif n == 1:
        pivots[:, 0] = np.abs(a[:, :, 0]).argmax(-1)
        exchange(a, pivots)
        np.divide(a[:, 1:], a[:, :1], out=a[:, 1:], where=a[:, :1] != 0)
    elif n > 1:
        h = n // 2
        eliminate(a[..., :h], pivots[:, :h])
        exchange(a[..., h:], pivots[:, :h])
        substitute(a[:, :h, :h], a[:, :h, h:], True)
        a[:, h:, h:] -= a[:, h:, :h] @ a[:, :h, h:]
        eliminate(a[:, h:, h:], pivots[:, h:])
        exchange(a[:, h:, :h], pivots[:, h:])
        pivots[:, h:] += h


def exchange(a: NDArray, pivots: NDArray) -> None:
    """The exchanges of rows that `pivots` [stack, k] names, in place on a [stack, m, n]."""
    stack = np.arange(len(a))
    for i in range(pivots.shape[1]):
        rows = a[stack, pivots[:, i]]
        a[stack, pivots[:, i]] = a[:, i]
        a[:, i] = rows


def permutation(pivots: NDArray, m: int) -> NDArray:
    """[..., m]: row i of P^T A is this row of A; pivots [..., k] count from 1."""
    flat = pivots.reshape(math.prod(pivots.shape[:-1]), pivots.shape[-1]) - 1
    rows = np.tile(np.arange(m)[:, None], (len(flat), 1, 1))
    exchange(rows, flat)
    return rows.reshape(*pivots.shape[:-1], m)


def permuted(x: Tensor, pivots: NDArray, back: bool = False) -> Tensor:
    """P^T x, or P x: the rows of x [..., m, n] in the order of the pivots."""
    order = permutation(pivots, x.shape[-2])
    if back:
        order = np.argsort(order, -1)
    index = from_host(order.astype(np.int64), x.backend).unsqueeze(-1)
    return x.take_along_dim(index.expand(*index.shape[:-1], x.shape[-1]), -2)


class Factor(OnHost):
    """(LU, pivots) of A = P L U, L below the diagonal (its own is 1) and U from it up;  of square
    matrices dA = P L^-T (tril_-1(L^T dL) + triu(dU U^T)) U^-T (Walter and Lehmann, 2018,
    arXiv:1009.6112). Rows below, L2 = A2 U^-1, and columns beyond, U2 = L^-1 A2, are solutions of
    triangular systems, and derived as such.
    """

    def forward(self, a: Any) -> Any:
        matrix = self.to_host(a)
        *stack, m, n = matrix.shape
        k = min(m, n)
        flat = matrix.reshape(math.prod(stack), m, n)
        pivots = np.zeros((len(flat), k), np.int64)
        with np.errstate(all="ignore"):
            eliminate(flat, pivots)
        self.pivots = (pivots.reshape(*stack, k) + 1).astype(np.int32)
        packed = self.back(flat.reshape(matrix.shape))
        self.save(packed)
        return packed, self.back(self.pivots)

    def backward(self, dy: Tensor, _: None) -> Any:
        (packed,) = self.saved
        m, n = packed.shape[-2:]
        k = min(m, n)
        lower, upper = packed[..., :k, :k].tril(-1) + eye(k, packed), packed[..., :k, :k].triu()
        d_lower, d_upper, rest = dy[..., :k, :k].tril(-1), dy[..., :k, :k].triu(), None
        if m > n:
            below, d_below = packed[..., k:, :], dy[..., k:, :]
            rest = solve_triangular(upper.mT, d_below, upper=False, left=False)
            d_upper = d_upper - (below.mT @ rest).triu()
        elif n > m:
            beyond, d_beyond = packed[..., k:], dy[..., k:]
            rest = solve_triangular(lower.mT, d_beyond, upper=True, unitriangular=True)
            d_lower = d_lower - (rest @ beyond.mT).tril(-1)
        core = (lower.mT @ d_lower).tril(-1) + (d_upper @ upper.mT).triu()
        half = solve_triangular(upper.mT, core, upper=False, left=False)
        whole = solve_triangular(lower.mT, half, upper=True, unitriangular=True)
        if rest is not None:
            whole = cat([whole, rest], -2 if m > n else -1)
        return permuted(whole, self.pivots, back=True)


class LUFactor(NamedTuple):
    """Of `linalg.lu_factor`."""

    LU: Tensor
    pivots: Tensor


class LUFactorEx(NamedTuple):
    """Of `linalg.lu_factor_ex`."""

    LU: Tensor
    pivots: Tensor
    info: Tensor


class LU(NamedTuple):
    """Of `linalg.lu`."""

    P: Tensor
    L: Tensor
    U: Tensor


def _factor(name: str, A: Tensor, pivot: bool) -> LUFactor:
    a = matrices(name, A)
    if not pivot:
        raise ArgumentError(f"{name}: pivot=False is for CUDA in PyTorch and not supported.")
    return LUFactor(*Factor.apply(a))


def lu_factor(A: Tensor, *, pivot: bool = True) -> LUFactor:
    """(LU, pivots): L and U in one matrix, and the exchanges of rows (int32, from 1), for
    `lu_solve`. Computed on the host. Raises LinAlgError where U has a 0 on its diagonal."""
    found = _factor("linalg.lu_factor", A, pivot)
    if found.LU.shape[-1] == found.LU.shape[-2]:
        refuse("linalg.lu_factor", _info(found.LU), singular)
    return found


def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> LUFactorEx:
    """`lu_factor`, and info (int32): 0, or the first 0 on U's diagonal, from 1."""
    found = _factor("linalg.lu_factor_ex", A, pivot)
    info = _info(found.LU)
    if check_errors:
        refuse("linalg.lu_factor_ex", info, singular)
    return LUFactorEx(*found, from_host(info, found.LU.backend))


def _info(packed: Tensor) -> NDArray:
    diagonal = np.diagonal(host(packed.detach()), axis1=-2, axis2=-1)
    zero = diagonal == 0
    if not zero.shape[-1]:
        return np.zeros(zero.shape[:-1], np.int32)
    return np.where(zero.any(-1), zero.argmax(-1) + 1, 0).astype(np.int32)


def first_zero(a: NDArray) -> int:
    """Where U's diagonal of one matrix has its first 0, from 1."""
    flat = a.astype(np.float64)[None].copy()
    with np.errstate(all="ignore"):
        eliminate(flat, np.zeros((1, min(a.shape)), np.int64))
    zero = np.diagonal(flat[0]) == 0
    return int(zero.argmax()) + 1 if zero.any() else len(a)


def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> LU:
    """(P, L, U) of what `lu_factor` gives; empty tensors for what is not asked for."""
    packed = matrices("lu_unpack", LU_data)
    m, n = packed.shape[-2:]
    k = min(m, n)
    p = lower = upper = packed.new_empty(0)
    if unpack_data:
        one = from_host(np.eye(m, k, dtype=packed.dtype), packed.backend)
        lower, upper = packed[..., :k].tril(-1) + one, packed[..., :k, :].triu()
    if unpack_pivots:
        order = permutation(host(LU_pivots), m)
        columns = np.eye(m, dtype=packed.dtype)[order]  # P^T: row i is the unit row order[i]
        p = from_host(np.swapaxes(columns, -1, -2), packed.backend)
    return LU(p, lower, upper)


def lu(A: Tensor, *, pivot: bool = True) -> LU:
    """(P, L, U) with A = P L U: a permutation, L lower triangular with 1 on its diagonal, U upper.
    Computed on the host."""
    return lu_unpack(*_factor("linalg.lu", A, pivot))


def lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """X with A X = B (left) or X A = B, A^T for A where `adjoint`; A as `lu_factor` gives it."""
    name = "linalg.lu_solve"
    packed, b = matrices(name, LU, square=True), matrices(name, B)
    alike(name, packed, b)
    if pivots.dtype.name != "int32":
        raise ArgumentError(f"{name}: pivots must be int32, got {pivots.dtype.name}.")
    if not left:
        return lu_solve(packed, pivots, b.mT, adjoint=not adjoint).mT
    if packed.shape[-1] != b.shape[-2]:
        raise ShapeError(f"{name}: LU {packed.shape} does not fit B {b.shape}.")
    stack, order = lead(name, packed.shape, b.shape), host(pivots)
    order = np.broadcast_to(order, (*stack, order.shape[-1]))
    b = b.expand(*stack, *b.shape[-2:])
    if adjoint:
        y = solve_triangular(packed.mT, b, upper=False)
        y = solve_triangular(packed.mT, y, upper=True, unitriangular=True)
        return permuted(y, order, back=True)
    y = solve_triangular(packed, permuted(b, order), upper=False, unitriangular=True)
    return solve_triangular(packed, y, upper=True)
