"""Least squares, the pseudo-inverse, ranks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...errors import ArgumentError, ShapeError
from ...tensor import Tensor
from .host import NDArray, OnHost, alike, converged, from_host, host, lead, matrices


class LstSq(NamedTuple):
    """Of `linalg.lstsq`."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


def _tolerance(values: NDArray, shape: tuple[int, ...], atol: Any, rtol: Any) -> NDArray:
    """max(atol, rtol * largest), rtol being eps * the larger side unless one of them is given."""
    absolute = np.asarray(host(atol) if isinstance(atol, Tensor) else 0.0 if atol is None else atol)
    if rtol is None:
        found = np.finfo(values.dtype).eps * max(shape[-2:])
        relative = np.where(absolute > 0, 0.0, found)
    else:
        relative = np.asarray(host(rtol) if isinstance(rtol, Tensor) else rtol)
    largest = values.max(-1, initial=0)
    return np.maximum(absolute, relative * largest)[..., None].astype(values.dtype)


def _pseudo_inverse(a: NDArray, atol: Any, rtol: Any, hermitian: bool) -> NDArray:
    if hermitian:
        w, v = converged("linalg.pinv", np.linalg.eigh, a)
        left, values, right = v, w, np.swapaxes(v, -1, -2)
    else:
        u, values, vh = converged("linalg.pinv", np.linalg.svd, a, full_matrices=False)
        left, right = np.swapaxes(vh, -1, -2), np.swapaxes(u, -1, -2)
    size = np.abs(values)
    keep = size > _tolerance(size, a.shape, atol, rtol)
    inverse = np.divide(1, values, out=np.zeros_like(values), where=keep)
    return (left * inverse[..., None, :]) @ right


class PseudoInverse(OnHost):
    """P = A^+, of constant rank;  dA = -P^T dP P^T + (I - A P) dP^T P P^T + P^T P dP^T (I - P A).

    G. H. Golub, V. Pereyra, The differentiation of pseudo-inverses, 1973.
    """

    def forward(self, a: Any, atol: Any, rtol: Any, hermitian: bool) -> Any:
        y = self.back(_pseudo_inverse(self.to_host(a), atol, rtol, hermitian))
        self.save(a, y)
        return y

    def backward(self, dy: Tensor) -> Any:
        return _of_pseudo_inverse(dy, *self.saved)


def _of_pseudo_inverse(dp: Tensor, a: Tensor, p: Tensor) -> Tensor:
    left = dp.mT @ (p @ p.mT)
    right = p.mT @ p @ dp.mT
    return left - a @ (p @ left) + right - right @ p @ a - p.mT @ dp @ p.mT


def pinv(
    A: Tensor,
    rcond: Any = None,
    hermitian: bool = False,
    *,
    atol: Any = None,
    rtol: Any = None,
) -> Tensor:
    """The pseudo-inverse (Moore, Penrose): [..., m, n] -> [..., n, m]. Computed on the host.

    Singular values up to max(atol, rtol * largest) count as 0; rtol (or rcond) is eps * max(m, n)
    unless atol is given. hermitian: A is symmetric, and its eigenvalues are taken.
    """
    a = matrices("linalg.pinv", A, square=hermitian)
    rtol = rcond if rtol is None else rtol
    y: Tensor = PseudoInverse.apply(a, atol=atol, rtol=rtol, hermitian=hermitian)
    return y


def matrix_rank(
    A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Tensor:
    """How many singular values are above max(atol, rtol * largest): int64. tol is atol with rtol 0.

    Computed on the host; options as of `pinv`.
    """
    a = matrices("linalg.matrix_rank", A, square=hermitian)
    if tol is not None:
        atol, rtol = tol, 0.0
    values = host(a.detach())
    if hermitian:
        size = np.abs(converged("linalg.matrix_rank", np.linalg.eigvalsh, values))
    else:
        size = converged("linalg.matrix_rank", np.linalg.svd, values, compute_uv=False)
    count = (size > _tolerance(size, a.shape, atol, rtol)).sum(-1)
    return from_host(np.asarray(count, np.int64), a.backend)


class LeastSquares(OnHost):
    """X = A^+ B, by singular values;  dB = A^+T dX, and dA from dA^+ = dX B^T, as `pinv`.

    factors: NumPy's singular value decomposition of A.
    """

    def forward(self, a: Any, b: Any, rcond: float, factors: Any) -> Any:
        self.rcond = rcond
        right, (u, s, vh) = self.to_host(b), factors
        keep = s > rcond * s.max(-1, initial=0)[..., None]
        inverse = np.divide(1, s, out=np.zeros_like(s), where=keep)
        x = np.swapaxes(vh, -1, -2) @ (inverse[..., None] * (np.swapaxes(u, -1, -2) @ right))
        self.save(a, b)
        return self.back(x)

    def backward(self, dx: Tensor) -> Any:
        a, b = self.saved
        p = pinv(a, rtol=self.rcond)
        da = _of_pseudo_inverse(dx @ b.mT, a, p) if self.needs(0) else None
        return da, p.mT @ dx


_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> LstSq:
    """The X of least |A X - B| (and of least |X| where several are): (solution, residuals, rank,
    singular_values), A [..., m, n], B [..., m, k] or vectors [..., m]. Computed on the host.

    rcond: singular values up to rcond * largest count as 0; eps * max(m, n) by default. driver is
    PyTorch's choice of LAPACK's algorithm: all are done by singular values here, and tell which of
    the other results are empty ("gelsy", the default: residuals and singular values). residuals
    (squared sums) are given where m > n and all ranks are n.
    """
    name = "linalg.lstsq"
    a = matrices(name, A)
    vector = B.ndim == 1 or (B.ndim == a.ndim - 1 and B.shape == a.shape[:-1])
    b = matrices(name, B.unsqueeze(-1) if vector else B)
    alike(name, a, b)
    if driver is not None and driver not in _DRIVERS:
        raise ArgumentError(f"{name}: driver must be one of {_DRIVERS}, not {driver!r}.")
    m, n = a.shape[-2:]
    if m != b.shape[-2]:
        raise ShapeError(f"{name}: A {a.shape} does not fit B {B.shape}.")
    stack = lead(name, a.shape, b.shape)
    a, b = a.expand(*stack, m, n), b.expand(*stack, *b.shape[-2:])
    limit = float(np.finfo(a.dtype).eps * max(m, n) if rcond is None or rcond < 0 else rcond)
    factors = converged(name, np.linalg.svd, host(a.detach()), full_matrices=False)
    x = LeastSquares.apply(a, b, rcond=limit, factors=factors)
    return _with_facts(a, b, x, vector, driver or "gelsy", limit, factors[1])


def _with_facts(
    a: Tensor, b: Tensor, x: Tensor, vector: bool, driver: str, limit: float, values: NDArray
) -> LstSq:
    m, n = a.shape[-2:]
    ranks = (values > limit * values.max(-1, initial=0)[..., None]).sum(-1)
    empty = a.new_empty(0)
    residuals = empty
    if m > n and driver != "gelsy" and (driver == "gels" or np.all(ranks == n)):
        residuals = (a @ x - b).square().sum(-2)
    rank = from_host(np.asarray(ranks, np.int64), a.backend)
    kept = values if driver in ("gelsd", "gelss") else values[..., :0]
    return LstSq(
        x.squeeze(-1) if vector else x,
        residuals.squeeze(-1) if vector and residuals is not empty else residuals,
        rank if driver != "gels" else from_host(np.empty(0, np.int64), a.backend),
        from_host(kept if kept.size or driver in ("gelsd", "gelss") else kept.ravel(), a.backend),
    )
