"""Determinants."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...autograd.engine import grad
from ...autograd.modes import MODE, enable_grad
from ...tensor import Tensor
from .host import NDArray, OnHost, eye, from_host, host, matrices
from .inverse import inv


class Slogdet(NamedTuple):
    """Of `linalg.slogdet`."""

    sign: Tensor
    logabsdet: Tensor


class Det(OnHost):
    """y = det A;  dA = dy adj(A)^T, adj(A) = det A A^-1 where A has an inverse."""

    def forward(self, a: Any) -> Any:
        self.save(a)
        return self.back(np.linalg.det(self.to_host(a)))

    def backward(self, dy: Tensor) -> Any:
        (a,) = self.saved
        return dy.unsqueeze(-1).unsqueeze(-1) * Adjugate.apply(a).mT


class Adjugate(OnHost):
    """Y = adj A = det U det V  V diag(product of the other singular values) U^T, of any square A;
    dA by differentiating det A A^-1, or of singular matrices Faddeev and LeVerrier's polynomial.
    """

    def forward(self, a: Any) -> Any:
        self.save(a)
        u, s, vh = np.linalg.svd(self.to_host(a))
        sign = np.linalg.det(u) * np.linalg.det(vh)
        others = np.swapaxes(vh, -1, -2) * _product_of_others(s)[..., None, :]
        return self.back(sign[..., None, None] * (others @ np.swapaxes(u, -1, -2)))

    def backward(self, dy: Tensor) -> Any:
        (a,) = self.saved
        with enable_grad():
            x = a if a.requires_grad else a.detach().requires_grad_()
            (dx,) = grad(_adjugate(x), x, dy, create_graph=MODE.grad)
        return dx


def _product_of_others(s: NDArray) -> NDArray:
    n = s.shape[-1]
    rest = np.repeat(s[..., None, :], n, -2)
    rest[..., np.arange(n), np.arange(n)] = 1
    return rest.prod(-1)


def _adjugate(a: Tensor) -> Tensor:
    """adj A in differentiable operations."""
    n, one = a.shape[-1], eye(a.shape[-1], a)
    values = host(a.detach())
    bad = np.linalg.cond(values) > 1 / np.sqrt(np.finfo(values.dtype).eps) if n else np.array(False)
    mask = from_host(np.asarray(bad)[..., None, None], a.backend)
    regular = one.where(mask, a)
    y = det(regular).unsqueeze(-1).unsqueeze(-1) * inv(regular)
    if not bad.any():
        return y
    polynomial, coefficient = one, None
    for k in range(1, n):  # M_1 = I, M_k+1 = A M_k + c_k I, c_k = -tr(A M_k) / k
        product = a @ polynomial
        coefficient = -(product * one).sum((-2, -1), keepdim=True) / k
        polynomial = product + coefficient * one
    return (polynomial if n % 2 else -polynomial).where(mask, y)


def det(A: Tensor) -> Tensor:
    """The determinants of square matrices: [..., n, n] -> [...]. Computed on the host.

    Differentiable also where A is singular.
    """
    y: Tensor = Det.apply(matrices("linalg.det", A, square=True))
    return y


class LogDet(OnHost):
    """(sign, log |det A|);  dA = dlog A^-T. The sign is constant."""

    def forward(self, a: Any) -> Any:
        self.save(a)
        sign, log = np.linalg.slogdet(self.to_host(a))
        return self.back(sign), self.back(log)

    def backward(self, _: Tensor | None, dlog: Tensor | None) -> Any:
        (a,) = self.saved
        if dlog is None:
            return a.new_zeros(a.shape)
        return dlog.unsqueeze(-1).unsqueeze(-1) * inv(a).mT


def slogdet(A: Tensor) -> Slogdet:
    """(sign, log |det A|) of square matrices, without overflow; (0, -inf) of singular ones, which
    have no derivative. Computed on the host."""
    return Slogdet(*LogDet.apply(matrices("linalg.slogdet", A, square=True)))


def logdet(input: Tensor) -> Tensor:
    """log det A of square matrices: NaN where det A < 0, -inf where it is 0."""
    sign, log = LogDet.apply(matrices("logdet", input, square=True))
    return log + sign.detach().log()
