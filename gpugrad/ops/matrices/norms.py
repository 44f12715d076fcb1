"""Norms of vectors and matrices, and condition numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import dtype as dtypes
from ...amp.autocast_mode import AUTOCAST
from ...autograd.function import describe
from ...errors import ArgumentError, DTypeError, ShapeError
from ...tensor import Tensor
from ..norms import norm_of_vectors
from ..operands import axis, check_tensor
from ..reduction import amax, amin
from .host import attempt, from_host, host, matrices
from .inverse import inv_ex
from .lu import first_zero
from .spectral import svdvals

Dim = int | Sequence[int] | None


def _floating(name: str, A: Any, dtype: Any) -> Tensor:
    """`A`, floating, in `dtype` where that is given and not narrower."""
    x = check_tensor(name, A)
    if AUTOCAST.on and dtype is None:
        (x,) = AUTOCAST.cast(name.removeprefix("linalg."), x)
    if not dtypes.is_floating(x.dtype):
        raise DTypeError(f"{name}: needs a floating tensor; got {describe(x)}.\n  Use .float().")
    if dtype is None:
        return x
    wanted = dtypes.as_dtype(dtype)
    if not dtypes.is_floating(wanted) or dtypes.promote(wanted, x.dtype) != wanted:
        raise DTypeError(f"{name}: dtype {wanted.name} cannot hold {describe(x)} exactly.")
    return x.to(wanted)


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
    return norm_of_vectors(name, given, float(ord), dim, keepdim)


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
