"""Cholesky's decomposition."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...tensor import Tensor
from .host import NDArray, OnHost, attempt, matrices, refuse
from .triangular import solve_triangular


class Cholesky(OnHost):
    """(L, info), A = L L^T;  dA = (L^-T S L^-1) / 2, S symmetric with the lower triangle of L^T dL.

    I. Murray, Differentiation of the Cholesky decomposition, 2016 (arXiv:1602.07527).
    """

    def forward(self, a: Any, check: bool) -> Any:
        factor, info = attempt(np.linalg.cholesky, _first_minor, self.to_host(a))
        if check:
            refuse("linalg.cholesky", info, _reason)
        y = self.back(factor)
        self.save(y)
        return y, self.back(info)

    def backward(self, dy: Tensor, _: None) -> Any:
        (factor,) = self.saved
        product = factor.mT @ dy
        symmetric = product.tril() + product.tril(-1).mT
        half = solve_triangular(factor.mT, symmetric * 0.5, upper=True)
        return solve_triangular(factor, half, upper=False, left=False)


def _first_minor(a: NDArray) -> int:
    """The order of the first leading minor that is not positive definite."""
    for k in range(1, len(a)):
        try:
            np.linalg.cholesky(a[:k, :k])
        except np.linalg.LinAlgError:
            return k
    return len(a)


def _reason(info: int) -> str:
    return f"is not positive definite: its leading minor of order {info} is not"


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """L, lower triangular, with A = L L^T; upper: its transpose. A is symmetric and positive
    definite; only its lower (upper) triangle is read. Computed on the host.

    Raises LinAlgError where a matrix is not positive definite.
    """
    a = matrices("linalg.cholesky", A, square=True)
    y: Tensor = Cholesky.apply(a.mT if upper else a, check=True)[0]
    return y.mT if upper else y


class CholeskyEx(NamedTuple):
    """Of `linalg.cholesky_ex`."""

    L: Tensor
    info: Tensor


def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> CholeskyEx:
    """(L, info): as `cholesky`, but info (int32) tells of each matrix 0, or the order of the minor
    that is not positive definite; its L is NaN."""
    a = matrices("linalg.cholesky_ex", A, square=True)
    y, info = Cholesky.apply(a.mT if upper else a, check=check_errors)
    return CholeskyEx(y.mT if upper else y, info)
