"""Systems of linear equations whose matrix is triangular."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...errors import ShapeError
from ...tensor import Tensor
from .host import NDArray, OnHost, alike, eye, lead, matrices


def substitute(a: NDArray, x: NDArray, unit: bool) -> None:
    """Solve a x' = x in place for a lower triangular: halves, so that most work is products."""
    n = a.shape[-1]
    if n > 1:
        h = n // 2
        substitute(a[..., :h, :h], x[..., :h, :], unit)
        x[..., h:, :] -= a[..., h:, :h] @ x[..., :h, :]
        substitute(a[..., h:, h:], x[..., h:, :], unit)
    elif n and not unit:
        x /= a


class SolveTriangular(OnHost):
    """A X = B, A triangular;  dB = A^-T dX, dA = -dB X^T, of which the triangle is A's."""

    def forward(self, a: Any, b: Any, upper: bool, unit: bool) -> Any:
        self.upper, self.unit = upper, unit
        matrix, x = self.to_host(a), self.to_host(b)
        with np.errstate(all="ignore"):
            if upper:
                substitute(matrix[..., ::-1, ::-1], x[..., ::-1, :], unit)
            else:
                substitute(matrix, x, unit)
        y = self.back(x)
        self.save(a, y)
        return y

    def backward(self, dy: Tensor) -> Any:
        a, x = self.saved
        db = SolveTriangular.apply(a.mT, dy, upper=not self.upper, unit=self.unit)
        if not self.needs(0):
            return None, db
        da = -(db @ x.mT)
        return (da.triu(int(self.unit)) if self.upper else da.tril(-int(self.unit))), db


def solve_triangular(
    A: Tensor,
    B: Tensor,
    *,
    upper: bool,
    left: bool = True,
    unitriangular: bool = False,
) -> Tensor:
    """X with A X = B (left) or X A = B, A [..., n, n] upper or lower triangular.

    The other triangle is not read, nor is the diagonal where `unitriangular` (it counts as 1). A 0
    on the diagonal gives infinity or NaN. Computed on the host. Leading axes broadcast.
    """
    name = "linalg.solve_triangular"
    a, b = matrices(name, A, square=True), matrices(name, B)
    alike(name, a, b)
    if not left:
        solved = solve_triangular(a.mT, b.mT, upper=not upper, unitriangular=unitriangular)
        return solved.mT
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(f"{name}: A {a.shape} does not fit B {b.shape}.")
    b = b.expand(*lead(name, a.shape, b.shape), *b.shape[-2:])
    x: Tensor = SolveTriangular.apply(a, b, upper=upper, unit=unitriangular)
    return x


class CholeskySolve(OnHost):
    """X = A^-1 B, A = L L^T;  dB = A^-1 dX, dA = -dB X^T, dL = (dA + dA^T) L."""

    def forward(self, b: Any, factor: Any) -> Any:
        matrix, x = self.to_host(factor), self.to_host(b)
        with np.errstate(all="ignore"):
            substitute(matrix, x, False)
            transposed = np.swapaxes(matrix, -1, -2)
            substitute(transposed[..., ::-1, ::-1], x[..., ::-1, :], False)
        y = self.back(x)
        self.save(factor, y)
        return y

    def backward(self, dy: Tensor) -> Any:
        factor, x = self.saved
        db = CholeskySolve.apply(dy, factor)
        if not self.needs(1):
            return db, None
        da = -(db @ x.mT)
        return db, (da + da.mT) @ factor


def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """X with A X = B, where A = L L^T (or L^T L if `upper`), by two triangular systems.

    The other triangle of L is not read; it has the gradient that it would have in L L^T. Computed
    on the host.
    """
    name = "cholesky_solve"
    b, factor = matrices(name, B), matrices(name, L, square=True)
    alike(name, b, factor)
    if b.shape[-2] != factor.shape[-1]:
        raise ShapeError(f"{name}: B {b.shape} does not fit the factor {factor.shape}.")
    b = b.expand(*lead(name, b.shape, factor.shape), *b.shape[-2:])
    x: Tensor = CholeskySolve.apply(b, factor.mT if upper else factor)
    return x


def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """The inverse of A = L L^T (or L^T L if `upper`)."""
    factor = matrices("cholesky_inverse", L, square=True)
    return cholesky_solve(eye(factor.shape[-1], factor), factor, upper)


class TriangularSolution(NamedTuple):
    """Of `triangular_solve`."""

    solution: Tensor
    cloned_coefficient: Tensor


def triangular_solve(
    b: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> TriangularSolution:
    """PyTorch's older form of `linalg.solve_triangular`: (X, A) with A X = b (or A^T X = b)."""
    a = matrices("triangular_solve", A, square=True)
    matrix, triangle = (a.mT, not upper) if transpose else (a, upper)
    x = solve_triangular(matrix, b, upper=triangle, unitriangular=unitriangular)
    return TriangularSolution(x, a.expand(*x.shape[:-2], *a.shape[-2:]).clone())
