"""Orthogonal weights: a parametrization by one of three maps onto matrices with Q^T Q = 1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import ops
from ...autograd import no_grad
from ...errors import ArgumentError, ShapeError
from ...ranges import eye
from ...tensor import Tensor
from ..module import Module
from . import parametrize

_TERMS = 18  # of the series at |A| <= 1: the rest is below 1 / 19! = 8e-18


def matrix_exp(a: Tensor) -> Tensor:
    """exp(A) of square matrices [..., n, n]: its series at A / 2^s, squared s times.

    On the device (`linalg.matrix_exp` runs on the host); only s is chosen on the host, from the
    largest row sum of |A|, so that |A| / 2^s <= 1.
    """
    size = a.detach().abs().sum(-1).amax().item() if a.numel() else 0.0
    squarings = max(0, math.ceil(math.log2(size))) if size > 0 else 0
    x = a * 0.5**squarings
    one = eye(a.shape[-1], dtype=a.dtype, device=a.device)
    y = one + x * (1.0 / _TERMS)
    for k in range(_TERMS - 1, 0, -1):  # Horner
        y = one + (x @ y) * (1.0 / k)
    for _ in range(squarings):
        y = y @ y
    return y


def householder_product(a: Tensor, tau: Tensor) -> Tensor:
    """The first k columns of H_1 ... H_k, H_i = 1 - tau_i v_i v_i^T; v_i is column i of a below the
    diagonal, with 1 on it and 0 above: a [..., n, k], tau [..., k] -> [..., n, k]."""
    n, k = a.shape[-2:]
    one = eye(n, k, dtype=a.dtype, device=a.device)
    vectors = a.tril(-1) + one
    q = one.expand(a.shape)
    for i in range(k - 1, -1, -1):
        v = vectors[..., i : i + 1]
        q = q - (tau[..., i : i + 1].unsqueeze(-1) * v) @ (v.mT @ q)
    return q


def _on_host(q: Tensor) -> np.ndarray[Any, Any]:
    return q.detach().cpu().numpy().astype(np.float64)


def _as(values: np.ndarray[Any, Any], like: Tensor) -> Tensor:
    array = like.backend.from_numpy(np.ascontiguousarray(values))
    return Tensor(array, like.backend).to(like.dtype)


def _orthogonalised(q: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Q of its QR decomposition, with the signs of R's diagonal."""
    full, r = np.linalg.qr(q)
    signs = np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0, -1.0, 1.0)
    result: np.ndarray[Any, Any] = full * signs[..., None, :]
    return result


class _Orthogonal(Module):
    """Q(X), orthogonal: exp or the Cayley map of a skew-symmetric matrix, or a product of
    Householder reflections; times `base` where it is there (a "trivialization")."""

    base: Tensor | None

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        self.shape, self.orthogonal_map = weight.shape, orthogonal_map
        self.use_trivialization = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Tensor) -> Tensor:
        wide = x.shape[-2] < x.shape[-1]
        x = x.mT if wide else x
        q = self._reflections(x) if self.orthogonal_map == "householder" else self._of_skew(x)
        if self.use_trivialization and self.base is not None:
            q = self.base @ q
        return q.mT if wide else q

    def _reflections(self, x: Tensor) -> Tensor:
        a = x.tril(-1)
        tau = 2.0 / (1.0 + (a * a).sum(-2))
        signs = ops.diagonal(x.detach(), dim1=-2, dim2=-1).trunc()  # not trained: 1 or -1
        return householder_product(a, tau) * signs.unsqueeze(-2)

    def _of_skew(self, x: Tensor) -> Tensor:
        n, k = x.shape[-2:]
        x = x.tril()
        if n != k:
            x = ops.cat([x, x.new_zeros((*x.shape[:-1], n - k))], -1)
        a = x - x.mT
        if self.orthogonal_map == "matrix_exp":
            return matrix_exp(a)[..., :k]
        from ... import linalg  # on the host

        one = eye(n, dtype=a.dtype, device=a.device)
        return linalg.solve(one - a * 0.5, one + a * 0.5)[..., :k]

    def right_inverse(self, q: Tensor) -> Tensor:
        if q.shape != self.shape:
            raise ShapeError(f"orthogonal: expected a tensor of shape {self.shape}, got {q.shape}")
        with no_grad():
            return self._with_base(q) if self.use_trivialization else self._reflectors(q)

    def _with_base(self, q: Tensor) -> Tensor:
        """Keeps q, completed to a square orthogonal matrix, as the base: X is its start, -1."""
        tall = _on_host(q.mT if q.shape[-2] < q.shape[-1] else q)
        n, k = tall.shape[-2:]
        if n != k:
            drawn = _on_host(q.new_empty((*tall.shape[:-1], n - k)).normal_())
            base = _orthogonalised(np.concatenate([tall, drawn], -1))
        else:
            gram = np.swapaxes(tall, -2, -1) @ tall
            tolerance = 10 * n * float(np.finfo(np.float32).eps)
            close = np.abs(gram - np.eye(n)).max(initial=0) < tolerance
            base = tall if close else _orthogonalised(tall)
        object.__setattr__(self, "base", _as(base, q))
        return _as(np.broadcast_to(-np.eye(q.shape[-2], q.shape[-1]), q.shape), q)

    def _reflectors(self, q: Tensor) -> Tensor:
        if self.orthogonal_map != "householder":
            raise NotImplementedError(
                f"orthogonal: with orthogonal_map={self.orthogonal_map!r} a value can only be "
                "assigned if use_trivialization=True"
            )
        wide = q.shape[-2] < q.shape[-1]
        tall = _on_host(q.mT if wide else q)
        factors, tau = np.linalg.qr(tall, mode="raw")
        a = np.ascontiguousarray(np.swapaxes(factors, -2, -1))
        i = np.arange(a.shape[-1])
        diagonal = np.sign(a[..., i, i])
        a[..., i, i] = np.where(tau == 0, -diagonal, diagonal)
        return _as(np.swapaxes(a, -2, -1) if wide else a, q)


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Makes a weight orthogonal: Q^T Q = 1 where it is tall, Q Q^T = 1 where it is wide; axes
    before the last two are a batch. Returns the module.

    orthogonal_map: "matrix_exp" (square weights unless given), "cayley" (its solve runs on the
    host) or "householder" (the others). use_trivialization keeps the present value, made orthogonal
    by QR on the host, as a buffer `base` that is multiplied to the map's result (Lezcano-Casado
    2019); without it the first value is the map's of the present one.
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ArgumentError(f"orthogonal: {type(module).__name__} has no tensor {name!r}")
    if weight.ndim < 2:
        raise ShapeError(f"orthogonal: needs a matrix or a batch of them; got {weight.shape}")
    square = weight.shape[-2] == weight.shape[-1]
    chosen = orthogonal_map or ("matrix_exp" if square else "householder")
    maps = ("matrix_exp", "cayley", "householder")
    if chosen not in maps:
        raise ArgumentError(
            f"orthogonal(orthogonal_map={orthogonal_map!r}): must be one of {', '.join(maps)}"
        )
    part = _Orthogonal(weight, chosen, use_trivialization)
    parametrize.register_parametrization(module, name, part, unsafe=True)
    return module
