"""Powers, exponentials, and products of several matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from ...errors import ArgumentError, DTypeError, ShapeError
from ...tensor import Tensor
from ..joining import cat
from ..linalg import matmul
from ..operands import check_tensor
from .host import NDArray, OnHost, alike, constant, eye, matrices
from .inverse import inv


def matrix_power(A: Tensor, n: int) -> Tensor:
    """A^n of square matrices, by repeated squares; n < 0: of the inverse, from the host."""
    name = "linalg.matrix_power"
    x = check_tensor(name, A)
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise DTypeError(f"{name}: n must be an int, got {n!r}.")
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{name}: needs square matrices, got shape {x.shape}.")
    if n == 0:
        return constant(x) + eye(x.shape[-1], x)
    if n < 0:
        x, n = inv(x), -n
    result: Tensor | None = None
    while n:
        if n & 1:
            result = x if result is None else matmul(result, x)
        n >>= 1
        x = matmul(x, x) if n else x
    assert result is not None
    return result.clone() if result is A else result


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of matrices, in the order of fewest multiplications; the first and the last may
    be vectors. Raises ShapeError where they do not fit."""
    name = "linalg.multi_dot"
    xs = [check_tensor(name, x) for x in tensors]
    if len(xs) < 2:
        raise ArgumentError(f"{name}: needs at least two tensors, got {len(xs)}.")
    alike(name, *xs)
    ends = (xs[0].ndim, xs[-1].ndim)
    if any(x.ndim != 2 for x in xs[1:-1]) or not set(ends) <= {1, 2}:
        shapes = ", ".join(str(x.shape) for x in xs)
        raise ShapeError(f"{name}: needs matrices, or vectors at the ends; got {shapes}.")
    xs[0] = xs[0].unsqueeze(0) if ends[0] == 1 else xs[0]
    xs[-1] = xs[-1].unsqueeze(1) if ends[1] == 1 else xs[-1]
    for i in range(len(xs) - 1):
        if xs[i].shape[1] != xs[i + 1].shape[0]:
            raise ShapeError(
                f"{name}: tensors {i} and {i + 1} do not fit: {xs[i].shape}, {xs[i + 1].shape}."
            )
    y = _product(xs, _splits([xs[0].shape[0], *(x.shape[1] for x in xs)]), 0, len(xs) - 1)
    y = y.squeeze(-1) if ends[1] == 1 else y
    return y.squeeze(0) if ends[0] == 1 else y


def chain_matmul(*matrices: Tensor) -> Tensor:
    """PyTorch's older form of `linalg.multi_dot`, the matrices as arguments; one is itself."""
    if len(matrices) == 1:
        return check_tensor("chain_matmul", matrices[0])
    return multi_dot(matrices)


def _splits(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Where to part matrices i to j, of sizes[i] x sizes[i + 1], for the fewest multiplications."""
    n = len(sizes) - 1
    cost, split = {(i, i): 0 for i in range(n)}, {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            cost[i, j], split[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )
    return split


def _product(xs: list[Tensor], split: dict[tuple[int, int], int], i: int, j: int) -> Tensor:
    if i == j:
        return xs[i]
    k = split[i, j]
    return matmul(_product(xs, split, i, k), _product(xs, split, k + 1, j))


class MatrixExp(OnHost):
    """Y = exp A;  dA is the upper right block of exp [[A^T, dY], [0, A^T]].

    Forward by scaling and squaring with Pade's approximant of order 13 (N. J. Higham, The scaling
    and squaring method for the matrix exponential revisited, 2005); derivative: R. Mathias, A chain
    rule for matrix functions, 1996.
    """

    def forward(self, a: Any) -> Any:
        self.save(a)
        return self.back(_exponential(self.to_host(a)))

    def backward(self, dy: Tensor) -> Any:
        (a,) = self.saved
        n, turned = a.shape[-1], a.mT
        upper = cat([turned, dy], -1)
        lower = cat([a.new_zeros(a.shape), turned], -1)
        return MatrixExp.apply(cat([upper, lower], -2))[..., :n, n:]


_THETA = 5.371920351148152  # below this 1-norm order 13 is exact to float64's epsilon (Higham)


@cache
def _pade() -> list[float]:
    """The numerator's coefficients of the approximant [13/13]."""
    f, q = math.factorial, 13
    return [f(2 * q - k) * f(q) / (f(2 * q) * f(k) * f(q - k)) for k in range(q + 1)]


def _exponential(a: NDArray) -> NDArray:
    if not a.size:
        return a
    x, dtype = a.astype(np.float64), a.dtype
    size = np.abs(x).sum(-2).max(-1)
    with np.errstate(all="ignore"):
        steps = np.ceil(np.log2(np.where(size > _THETA, size / _THETA, 1.0)))
    steps = np.where(np.isfinite(steps), steps, 0).astype(int)
    x = x / np.exp2(steps)[..., None, None]
    c, square = _pade(), x @ x
    even = odd = np.zeros_like(x)
    power = np.broadcast_to(np.eye(x.shape[-1]), x.shape)
    for k in range(0, 14, 2):
        even, odd = even + c[k] * power, odd + c[k + 1] * power
        power = power @ square
    odd = x @ odd
    y = np.linalg.solve(even - odd, even + odd)
    for k in range(int(steps.max(initial=0))):
        y = np.where((steps > k)[..., None, None], y @ y, y)
    return y.astype(dtype)


def matrix_exp(A: Tensor) -> Tensor:
    """exp A = I + A + A^2 / 2 + ... of square matrices. Computed on the host, in float64."""
    y: Tensor = MatrixExp.apply(matrices("linalg.matrix_exp", A, square=True, half=True))
    return y
