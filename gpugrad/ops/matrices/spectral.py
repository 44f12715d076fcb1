"""Singular values, and eigenvalues of symmetric matrices."""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import numpy as np

from ...errors import ArgumentError, DTypeError
from ...tensor import Tensor
from .host import OnHost, converged, eye, matrices


class SVD(NamedTuple):
    """Of `linalg.svd`."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class Eigh(NamedTuple):
    """Of `linalg.eigh`."""

    eigenvalues: Tensor
    eigenvectors: Tensor


def _gaps(values: Tensor) -> Tensor:
    """[i, j] = v_j - v_i, with 1 on the diagonal."""
    return values.unsqueeze(-2) - values.unsqueeze(-1) + eye(values.shape[-1], values)


def _skew(x: Tensor) -> Tensor:
    return x - x.mT


class Singular(OnHost):
    """A = U diag(s) V^T;  with E[i, j] = s_j^2 - s_i^2 and skew X = X - X^T:
    dA = U ((skew(U^T dU) / E) S + S (skew(V^T dV) / E) + diag(ds)) V^T, and where U or V is not
    square (I - U U^T) dU S^-1 V^T + U S^-1 dV^T (I - V V^T).

    J. Townsend, Differentiating the singular value decomposition, 2016. Of full matrices the
    columns beyond the smaller side are arbitrary and get no gradient.
    """

    def forward(self, a: Any, full: bool) -> Any:
        u, s, vh = converged("linalg.svd", np.linalg.svd, self.to_host(a), full_matrices=full)
        u, s, vh = self.back(u), self.back(s), self.back(vh)
        self.save(u, s, vh)
        return u, s, vh

    def backward(self, du: Tensor | None, ds: Tensor | None, dvh: Tensor | None) -> Any:
        u, s, vh = self.saved
        k, m, n = s.shape[-1], u.shape[-2], vh.shape[-1]
        u, vh = u[..., :k], vh[..., :k, :]
        core = None if ds is None else ds.unsqueeze(-1) * eye(k, s)
        gaps = _gaps(s * s)
        column, row = s.unsqueeze(-1), s.unsqueeze(-2)
        if du is not None:
            du = du[..., :k]
            core = _add(core, _skew(u.mT @ du) / gaps * row)
        if dvh is not None:
            dvh = dvh[..., :k, :]
            core = _add(core, column * (_skew(vh @ dvh.mT) / gaps))
        assert core is not None
        da = u @ core
        if du is not None and m > k:
            outside = du / row
            da = da + outside - u @ (u.mT @ outside)
        da = da @ vh
        if dvh is not None and n > k:
            da = da + (u / row) @ (dvh - (dvh @ vh.mT) @ vh)
        return da


def _add(a: Tensor | None, b: Tensor) -> Tensor:
    return b if a is None else a + b


class SingularValues(OnHost):
    """s of A = U diag(s) V^T;  dA = U diag(ds) V^T (Giles, 2008), U and V computed again."""

    def forward(self, a: Any) -> Any:
        self.save(a)
        return self.back(
            converged("linalg.svdvals", np.linalg.svd, self.to_host(a), compute_uv=False)
        )

    def backward(self, dy: Tensor) -> Any:
        (a,) = self.saved
        u, _, vh = svd(a, full_matrices=False)
        return (u * dy.unsqueeze(-2)) @ vh


def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> SVD:
    """(U, S, Vh) with A = U diag(S) Vh, S descending: [..., m, n] gives [..., m, m], [..., k],
    [..., n, n], k the smaller side; without `full_matrices` [..., m, k] and [..., k, n].

    Computed on the host; driver is for CUDA in PyTorch and must be None. The derivative of U and Vh
    needs distinct singular values, and none that is 0 for a matrix that is not square.
    """
    a = matrices("linalg.svd", A)
    _no_driver("linalg.svd", driver)
    return SVD(*Singular.apply(a, full=full_matrices))


def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """The singular values, descending: [..., m, n] -> [..., min(m, n)]. Computed on the host."""
    a = matrices("linalg.svdvals", A)
    _no_driver("linalg.svdvals", driver)
    s: Tensor = SingularValues.apply(a)
    return s


def _no_driver(name: str, driver: str | None) -> None:
    if driver is not None:
        raise ArgumentError(f"{name}: driver chooses a cuSOLVER algorithm; it must be None here.")


class Symmetric(OnHost):
    """A = V diag(w) V^T;  with E[i, j] = w_j - w_i: dA = V (diag(dw) + skew(V^T dV) / 2E) V^T,
    which is symmetric, with skew X = X - X^T.

    M. B. Giles, Collected matrix derivative results for forward and reverse mode algorithmic
    differentiation, 2008, section 3.1.
    """

    def forward(self, a: Any, uplo: str) -> Any:
        w, v = converged("linalg.eigh", np.linalg.eigh, self.to_host(a), UPLO=uplo)
        w, v = self.back(w), self.back(v)
        self.save(w, v)
        return w, v

    def backward(self, dw: Tensor | None, dv: Tensor | None) -> Any:
        w, v = self.saved
        if dv is None:
            assert dw is not None
            return (v * dw.unsqueeze(-2)) @ v.mT
        one = eye(w.shape[-1], w)
        core = _skew(v.mT @ dv) * 0.5 / _gaps(w)
        if dw is not None:
            core = core + dw.unsqueeze(-1) * one
        return v @ core @ v.mT


def eigh(A: Tensor, UPLO: str = "L") -> Eigh:
    """(w, V) with A = V diag(w) V^T, A symmetric, w ascending, V orthogonal. Computed on the host.

    UPLO: which triangle is read, "L" or "U". The derivative of V needs distinct eigenvalues.
    """
    a = matrices("linalg.eigh", A, square=True)
    return Eigh(*Symmetric.apply(a, uplo=_triangle("linalg.eigh", UPLO)))


def _triangle(name: str, uplo: Any) -> str:
    if not isinstance(uplo, str) or uplo.upper() not in ("L", "U"):
        raise ArgumentError(f"{name}: UPLO must be 'L' or 'U', not {uplo!r}.")
    return uplo.upper()


class Eigenvalues(OnHost):
    """w of A = V diag(w) V^T;  dA = V diag(dw) V^T (Giles, 2008), V computed again."""

    def forward(self, a: Any, uplo: str) -> Any:
        self.uplo = uplo
        self.save(a)
        return self.back(
            converged("linalg.eigvalsh", np.linalg.eigvalsh, self.to_host(a), UPLO=uplo)
        )

    def backward(self, dy: Tensor) -> Any:
        (a,) = self.saved
        v = eigh(a, self.uplo).eigenvectors
        return (v * dy.unsqueeze(-2)) @ v.mT


def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of symmetric matrices, ascending. Computed on the host."""
    a = matrices("linalg.eigvalsh", A, square=True)
    w: Tensor = Eigenvalues.apply(a, uplo=_triangle("linalg.eigvalsh", UPLO))
    return w


def _complex(name: str, hint: str) -> NoReturn:
    raise DTypeError(
        f"{name}: eigenvalues of a general matrix are complex, and gpugrad has no complex dtype.\n"
        f"  Of a symmetric matrix take {hint}; else use numpy.{name} on A.detach().numpy()."
    )


def eig(A: Tensor) -> NoReturn:
    """Not supported: raises DTypeError, as gpugrad has no complex dtype. See `eigh`."""
    _complex("linalg.eig", "linalg.eigh")


def eigvals(A: Tensor) -> NoReturn:
    """Not supported: raises DTypeError, as gpugrad has no complex dtype. See `eigvalsh`."""
    _complex("linalg.eigvals", "linalg.eigvalsh")
