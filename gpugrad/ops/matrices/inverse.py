"""Inverses, and systems of linear equations."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...errors import ShapeError
from ...tensor import Tensor
from .host import OnHost, alike, attempt, lead, matrices, refuse, singular
from .lu import first_zero


class Inverse(OnHost):
    """(Y, info), Y = A^-1;  dA = -Y^T dY Y^T (Giles, 2008)."""

    def forward(self, a: Any, check: bool) -> Any:
        inverse, info = attempt(np.linalg.inv, first_zero, self.to_host(a))
        if check:
            refuse("linalg.inv", info, singular)
        y = self.back(inverse)
        self.save(y)
        return y, self.back(info)

    def backward(self, dy: Tensor, _: None) -> Any:
        (y,) = self.saved
        return -(y.mT @ dy @ y.mT)


class Solve(OnHost):
    """(X, info), X = A^-1 B;  dB = A^-T dX, dA = -dB X^T (Giles, 2008)."""

    def forward(self, a: Any, b: Any, check: bool) -> Any:
        solution, info = attempt(np.linalg.solve, first_zero, self.to_host(a), self.to_host(b))
        if check:
            refuse("linalg.solve", info, singular)
        x = self.back(solution)
        self.save(a, x)
        return x, self.back(info)

    def backward(self, dx: Tensor, _: None) -> Any:
        a, x = self.saved
        db, _ = Solve.apply(a.mT, dx, check=True)
        return (-(db @ x.mT) if self.needs(0) else None), db


class WithInfo(NamedTuple):
    """Of `linalg.inv_ex`."""

    inverse: Tensor
    info: Tensor


class Solution(NamedTuple):
    """Of `linalg.solve_ex`."""

    result: Tensor
    info: Tensor


def inv(A: Tensor) -> Tensor:
    """A^-1 of square matrices. Computed on the host.

    Raises LinAlgError for a singular matrix; where A^-1 B is wanted, `solve` is faster and better.
    """
    y: Tensor = Inverse.apply(matrices("linalg.inv", A, square=True), check=True)[0]
    return y


def inv_ex(A: Tensor, *, check_errors: bool = False) -> WithInfo:
    """(A^-1, info): info (int32) is 0, or where U's diagonal has its first 0 (the inverse is NaN
    then)."""
    return WithInfo(*Inverse.apply(matrices("linalg.inv_ex", A, square=True), check=check_errors))


def _solve(name: str, A: Tensor, B: Tensor, left: bool, check: bool) -> Solution:
    """B is a stack of vectors where it has one axis, or the leading shape of A's rows."""
    a = matrices(name, A, square=True)
    vector = B.ndim == 1 or (B.ndim == a.ndim - 1 and B.shape == a.shape[:-1])
    b = matrices(name, B.unsqueeze(-1) if vector else B)
    alike(name, a, b)
    if vector and not left:
        raise ShapeError(f"{name}: left=False needs B as matrices, got {B.shape} for A {a.shape}.")
    if not left:
        x, info = _solve(name, a.mT, b.mT, True, check)
        return Solution(x.mT, info)
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(f"{name}: A {a.shape} does not fit B {B.shape}.")
    stack = lead(name, a.shape, b.shape)
    x, info = Solve.apply(a, b.expand(*stack, *b.shape[-2:]), check=check)
    return Solution(x.squeeze(-1) if vector else x, info)


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X with A X = B (left) or X A = B: A [..., n, n], B [..., n, k] or vectors [..., n].

    Leading axes broadcast. Computed on the host. Raises LinAlgError for a singular A.
    """
    return _solve("linalg.solve", A, B, left, True).result


def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> Solution:
    """(X, info): info (int32) is 0, or where U's diagonal has its first 0 (X is NaN then)."""
    return _solve("linalg.solve_ex", A, B, left, check_errors)
