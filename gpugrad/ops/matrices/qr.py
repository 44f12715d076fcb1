"""QR decomposition."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...errors import ArgumentError, GraphError
from ...tensor import Tensor
from ..joining import cat
from .host import OnHost, matrices
from .triangular import solve_triangular


class QR(NamedTuple):
    """Of `linalg.qr`."""

    Q: Tensor
    R: Tensor


class Orthogonal(OnHost):
    """A = Q R;  with M = R dR^T - dQ^T Q: dA = (dQ + Q (tril M + (tril_-1 M)^T)) R^-T.

    S. F. Walter, L. Lehmann, Algorithmic differentiation of linear algebra functions, 2018
    (arXiv:1009.6112). Of a wide A = [X Y] this gives dX, with R = [U V], Y = Q V: dQ grows by
    Y dV^T, and dY = Q dV.
    """

    def forward(self, a: Any, mode: str) -> Any:
        self.mode, self.of = mode, a.shape
        q, r = np.linalg.qr(self.to_host(a), "complete" if mode == "complete" else "reduced")
        q, r = self.back(q), self.back(r)
        self.save(a, q, r)
        return q, r

    def backward(self, dq: Tensor | None, dr: Tensor | None) -> Any:
        a, q, r = self.saved
        m, n = self.of[-2:]
        if self.mode == "r":
            raise GraphError("linalg.qr: mode='r' has no derivative; use mode='reduced'.")
        if self.mode == "complete" and m > n:
            raise GraphError(
                "linalg.qr: mode='complete' has no derivative for more rows than columns, "
                f"{self.of}; use mode='reduced'."
            )
        if m >= n:
            return _of_tall(q, r, dq, dr)
        y = a[..., m:]
        du = None if dr is None else dr[..., :m]
        if dr is not None:
            dq = y @ dr[..., m:].mT + (0.0 if dq is None else dq)
        dx = _of_tall(q, r[..., :m], dq, du)
        dy = y.new_zeros(y.shape) if dr is None else q @ dr[..., m:]
        return cat([dx, dy], -1)


def _of_tall(q: Tensor, r: Tensor, dq: Tensor | None, dr: Tensor | None) -> Tensor:
    m = None
    if dr is not None:
        m = r @ dr.mT
    if dq is not None:
        minus = dq.mT @ q
        m = -minus if m is None else m - minus
    assert m is not None
    whole = q @ (m.tril() + m.tril(-1).mT)
    if dq is not None:
        whole = whole + dq
    return solve_triangular(r.mT, whole, upper=False, left=False)


def qr(A: Tensor, mode: str = "reduced") -> QR:
    """(Q, R) with A = Q R, Q of orthonormal columns, R upper triangular: [..., m, n] gives
    [..., m, k], [..., k, n], k the smaller of m and n. Computed on the host.

    mode: "reduced"; "complete": Q is [..., m, m]; "r": Q is empty. The derivative needs the first k
    columns of A to be independent, and is none for "r", nor for "complete" with m > n.
    """
    a = matrices("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError(f"linalg.qr: mode must be 'reduced', 'complete' or 'r', not {mode!r}.")
    q, r = Orthogonal.apply(a, mode=mode)
    return QR(a.new_empty(0) if mode == "r" else q, r)
