"""Placing by index in place, without a copy of the tensor: scatter_, index_add_, index_put_."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd.function import before_inplace, describe
from ..errors import ShapeError
from ..tensor import Tensor
from . import placing
from .indexing import setitem
from .inplace import inplace
from .operands import check_apart, check_tensor
from .scattering import ScatterHere

_composed = {
    name + "_": inplace(name + "_", getattr(placing, name))
    for name in ("scatter", "scatter_add", "index_add", "index_copy")
}
"""The same by way of a copy: what is rare."""


def _here(self: Tensor, v: Tensor, indices: Sequence[Tensor], dim: int, accumulate: bool) -> Tensor:
    if v._counter is self._counter:
        v = v.clone()  # it would be read while it is written
    return ScatterHere.apply(self, v, *indices, axis=dim, accumulate=accumulate)


def scatter_add_(self: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """`scatter_add` into the tensor itself."""
    name = "scatter_add_"
    if self.ndim == 0:
        return _composed[name](self, dim, index, src)
    before_inplace(name, self, (src,))
    check_apart(name, self)
    found = placing.scattered(name, self, dim, index, check_tensor(name, src))
    if not found:
        return self
    _, v, indices = found
    return _here(self, v, indices, 0, True)


def scatter_(
    self: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: float | None = None,
    reduce: str | None = None,
) -> Tensor:
    """`scatter` into the tensor itself."""
    if reduce is not None or (src is None) == (value is None) or self.ndim == 0:
        return _composed["scatter_"](self, dim, index, src, value=value, reduce=reduce)
    before_inplace("scatter_", self, (src,))
    check_apart("scatter_", self)
    found = placing.scattered("scatter_", self, dim, index, value if src is None else src)
    if not found:
        return self
    _, v, indices = found
    return _here(self, v, indices, 0, False)


def index_add_(
    self: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1
) -> Tensor:
    """`index_add` into the tensor itself."""
    return _slices("index_add_", self, dim, index, source, alpha, True)


def index_copy_(self: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """`index_copy` into the tensor itself."""
    return _slices("index_copy_", self, dim, index, source, 1, False)


def _slices(
    name: str, self: Tensor, dim: int, index: Tensor, source: Tensor, alpha: float, add: bool
) -> Tensor:
    if self.ndim == 0:
        return _composed[name](self, dim, index, source, **({"alpha": alpha} if add else {}))
    before_inplace(name, self, (source,))
    check_apart(name, self)
    _, v, index, dim = placing.slices(name, self, dim, index, source)
    return _here(self, placing.scaled(name, v, alpha), [index], dim, add)


def index_put_(self: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """``self[indices] = values``, or += in order if `accumulate`."""
    before_inplace("index_put_", self, (values,))
    check_apart("index_put_", self)
    if isinstance(values, Tensor) and values._counter is self._counter:
        values = values.clone()
    return placing.put_into(self, indices, values, accumulate)


def fill_diagonal_(self: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """Write a number on the main diagonal; wrap: in tall matrices again below each gap of a row."""
    if self.ndim < 2 or (self.ndim > 2 and len(set(self.shape)) > 1):
        raise ShapeError(
            f"fill_diagonal_: a matrix, or several axes of one length, is needed; got "
            f"{describe(self)}."
        )
    rows, columns = self.shape[:2]
    at = np.arange(min(self.shape))
    where: tuple[Any, ...] = (at,) * self.ndim
    if wrap and self.ndim == 2 and rows > columns:
        row = np.arange(rows)
        row = row[row % (columns + 1) < columns]
        where = (row, row % (columns + 1))
    setitem(self, where, fill_value)
    return self
