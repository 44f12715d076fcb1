"""Norms of vectors and matrices, and condition numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import dtype as dtypes
from ...autograd.function import Function, describe
from ...errors import ArgumentError, DTypeError, ShapeError
from ...tensor import Tensor
from ..operands import axes, axis, check_tensor
from ..reduction import amax, amin, restored
from .host import attempt, constant, from_host, host, matrices
from .inverse import inv_ex
from .lu import first_zero
from .spectral import svdvals

Dim = int | Sequence[int] | None


def _floating(name: str, A: Any, dtype: Any) -> Tensor:
    """`A`, floating, in `dtype` where that is given and not narrower."""
    x = check_tensor(name, A)
    if not dtypes.is_floating(x.dtype):
        raise DTypeError(f"{name}: needs a floating tensor; got {describe(x)}.\n  Use .float().")
    if dtype is None:
        return x
    wanted = dtypes.as_dtype(dtype)
    if not dtypes.is_floating(wanted) or dtypes.promote(wanted, x.dtype) != wanted:
        raise DTypeError(f"{name}: dtype {wanted.name} cannot hold {describe(x)} exactly.")
    return x.to(wanted)


class Euclidean(Function):
    """y = sqrt(sum x^2) over axes;  dx = dy x / y, and 0 where y = 0."""

    def forward(self, x: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
        self.dims = dims
        k = self.kernels
        y = k.unary("sqrt", k.reduce("sum", k.unary("square", x), dims, keepdim))
        self.save(x, y)
        return y

    def backward(self, dy: Tensor) -> Any:
        x, y = self.saved
        zero = y.detach() == 0
        share = (dy / y.masked_fill(zero, 1.0)).masked_fill(zero, 0.0)
        return x * restored(share, x.shape, self.dims)


def vector_norm(
    x: Tensor, ord: float = 2, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """(sum |x|^ord)^(1/ord) over `dim`, all axes by default: any number; inf and -inf the largest
    and smallest |x|; 0 how many are not 0. The gradient at 0 is 0. dtype converts x first.

    Half types are summed in float32. Raises ShapeError over nothing where ord is negative or inf.
    """
    name = "linalg.vector_norm"
    given = _floating(name, x, dtype)
    if isinstance(ord, str) or not isinstance(ord, (int, float, np.number)):
        raise DTypeError(f"{name}: ord must be a number, not {ord!r}.")
    dims = axes(name, dim, given.ndim)
    nothing = not given.numel() and (not dims or any(given.shape[d] == 0 for d in dims))
    if nothing and (ord < 0 or ord == math.inf):
        raise ShapeError(f"{name}: the norm of order {ord} of nothing is not defined.")
    wide = given.to(dtypes.accumulation(given.dtype))
    return _vector_norm(wide, float(ord), dims, keepdim).to(given.dtype)


def _vector_norm(x: Tensor, ord: float, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    if ord == 2 and dims:
        y: Tensor = Euclidean.apply(x, dims=dims, keepdim=keepdim)
        return y
    size = x.abs()
    if not dims:
        return size if ord != 0 else (x.detach() != 0).to(x.dtype) + constant(x)
    if ord == math.inf:
        return amax(size, dims, keepdim)
    if ord == -math.inf:
        return amin(size, dims, keepdim)
    if ord == 0:
        return (x.detach() != 0).to(x.dtype).sum(dims, keepdim) + constant(x).sum(dims, keepdim)
    if ord == 1:
        return size.sum(dims, keepdim)
    if ord < 2:  # the slope at 0 is infinite (ord < 1), or 0
        zero = x.detach() == 0
        powers = size.masked_fill(zero, 1.0) ** ord
        total = powers.masked_fill(zero, 0.0 if ord > 0 else math.inf).sum(dims, keepdim)
    else:
        total = (size**ord).sum(dims, keepdim)
    zero = total.detach() == 0  # the root's slope is infinite there; PyTorch gives 0
    root = total.masked_fill(zero, 1.0)
    return (root ** (1 / ord)).masked_fill(zero, 0.0 if ord > 0 else math.inf)


_ORDERS = (2, -2, 1, -1, math.inf, -math.inf)


def matrix_norm(
    A: Tensor,
    ord: float | str = "fro",
    dim: Sequence[int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor:
    """A norm of matrices in the axes `dim`: "fro" (root of the sum of squares), "nuc" (sum of the
    singular values), 2, -2 (largest, smallest of them), 1, -1 (largest, smallest sum of a column's
    |a|), inf, -inf (of a row's). "nuc" and 2 compute singular values on the host.
    """
    name = "linalg.matrix_norm"
    x = _floating(name, A, dtype)
    if isinstance(dim, int) or len(dim) != 2:
        raise ArgumentError(f"{name}: dim must be two axes, got {dim!r}.")
    if x.ndim < 2:
        raise ShapeError(f"{name}: needs at least 2 axes, got shape {x.shape}.")
    row, column = (axis(name, d, x.ndim) for d in dim)
    if row == column:
        raise ArgumentError(f"{name}: dim {tuple(dim)} names an axis twice.")
    if isinstance(ord, str) and ord not in ("fro", "nuc"):
        raise ArgumentError(f"{name}: ord must be 'fro', 'nuc' or one of {_ORDERS}, not {ord!r}.")
    if ord == "fro":
        return vector_norm(x, 2, (row, column), keepdim)
    if not isinstance(ord, str) and abs(ord) not in (1, 2, math.inf):
        raise ArgumentError(f"{name}: ord must be 'fro', 'nuc' or one of {_ORDERS}, not {ord!r}.")
    if ord == "nuc" or abs(ord) == 2:  # type: ignore[arg-type]
        return _spectral_norm(name, x, ord, row, column, keepdim)
    summed, other = (row, column) if abs(ord) == 1 else (column, row)  # type: ignore[arg-type]
    if x.shape[other] == 0:
        raise ShapeError(f"{name}: the norm of order {ord} of {x.shape} is not defined.")
    sums = vector_norm(x, 1, summed, True)
    y = (amax if ord > 0 else amin)(sums, other, True)  # type: ignore[operator]
    return y if keepdim else y.squeeze((row, column))


def _spectral_norm(name: str, x: Tensor, ord: Any, row: int, column: int, keepdim: bool) -> Tensor:
    values = svdvals(x.movedim((row, column), (-2, -1)))
    if ord == "nuc":
        y = values.sum(-1)
    else:
        if values.shape[-1] == 0:
            raise ShapeError(f"{name}: the norm of order {ord} of {x.shape} is not defined.")
        y = (amax if ord > 0 else amin)(values, -1)
    if not keepdim:
        return y
    return y.reshape([1 if i in (row, column) else n for i, n in enumerate(x.shape)])


def norm(
    A: Tensor,
    ord: float | str | None = None,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor:
    """`vector_norm` (2 by default) over one axis, or over all of a tensor; `matrix_norm` over two
    axes, or of a matrix, where `ord` is given."""
    name = "linalg.norm"
    x = check_tensor(name, A)
    if ord is None:
        return vector_norm(x, 2, dim, keepdim, dtype=dtype)
    pair = dim is not None and not isinstance(dim, int) and len(dim) == 2
    if dim is not None and not isinstance(dim, int) and len(dim) not in (1, 2):
        raise ArgumentError(f"{name}: with ord, dim must be one axis or two, got {tuple(dim)}.")
    if dim is None and x.ndim not in (1, 2):
        raise ArgumentError(f"{name}: with ord and no dim, A has 1 or 2 axes, got {x.shape}.")
    if pair or (dim is None and x.ndim == 2):
        both: Any = dim if pair else (0, 1)
        return matrix_norm(x, ord, both, keepdim, dtype=dtype)
    if isinstance(ord, str):
        raise ArgumentError(f"{name}: ord={ord!r} is a norm of matrices; give two axes.")
    return vector_norm(x, ord, dim, keepdim, dtype=dtype)


def cond(A: Tensor, p: float | str | None = None) -> Tensor:
    """The condition number |A| |A^-1| in the norm p (as of `matrix_norm`; None is 2); infinite of a
    singular matrix. Of 2 and -2 by singular values, and A need not be square."""
    name = "linalg.cond"
    a = matrices(name, A, square=p not in (None, 2, -2))
    if not a.numel():
        return a.new_zeros(a.shape[:-2])
    if p in (None, 2, -2):
        s = svdvals(a)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    size = matrix_norm(a, p)
    bad = attempt(np.linalg.inv, first_zero, host(a.detach()))[1] != 0
    if not bad.any():
        return size * matrix_norm(inv_ex(a).inverse, p)
    mask = from_host(bad, a.backend)
    one = from_host(np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape), a.backend)
    regular = one.where(mask.unsqueeze(-1).unsqueeze(-1), a)
    y = size * matrix_norm(inv_ex(regular).inverse, p)
    return y.masked_fill(mask, math.inf)
