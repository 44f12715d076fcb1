"""Medians, quantiles and modes: values picked by their rank. All stand on the sort kernel."""

from __future__ import annotations

import math
from typing import Any

from .. import dtype as dtypes
from ..autograd.function import Function, describe
from ..errors import ArgumentError, DTypeError, ShapeError
from ..tensor import Tensor
from .operands import axis, check_tensor, filled
from .order import sort
from .pairs import lerp
from .picking import gather
from .positions import positions
from .reduction import Extreme, check_some
from .rounding import no_bool


class MedianOfAll(Function):
    """y = the lower median of a vector;  dx = dy at the elements equal to y, in equal shares."""

    def forward(self, x: Any, ignore_nan: bool) -> Any:
        at = _place_of_median(Tensor(x, self.backend), ignore_nan).array
        y = self.kernels.gather(x, [at]).reshape(())
        self.save(x, y)
        return y

    def backward(self, dy: Tensor) -> Any:
        x, y = [v.detach() for v in self.saved]
        hit = ((x == y) | (x.isnan() & y.isnan())).to(dy.dtype)
        return dy * (hit / hit.sum())


def _place_of_median(rows: Tensor, ignore_nan: bool) -> Tensor:
    """Where the lower median of each row is, int64 [..., 1]; NaN, where there is one and it counts,
    is the median."""
    x = rows.detach()
    n = x.shape[-1]
    index = sort(x).indices
    k = index.new_full((*index.shape[:-1], 1), (n - 1) // 2)
    if dtypes.is_floating(x.dtype):  # NaN comes last in the order
        known = n - x.isnan().sum(-1, keepdim=True)
        if ignore_nan:
            k = ((known - 1) // 2).clamp(min=0)
        else:
            k = k.masked_fill(known < n, 0) + known.masked_fill(known == n, 0)
    return gather(index, -1, k)


def _median(name: str, input: Tensor, dim: int | None, keepdim: bool, ignore_nan: bool) -> Any:
    x = no_bool(name, input)
    if dim is None:
        flat = x.reshape(-1)
        if flat.shape[0] == 0 and dtypes.is_floating(x.dtype):
            return flat.sum() * math.nan
        check_some(name, flat, (0,))
        return MedianOfAll.apply(flat, ignore_nan=ignore_nan)
    return _picked(name, x, dim, keepdim, lambda rows: _place_of_median(rows, ignore_nan))


def _picked(name: str, x: Tensor, dim: int, keepdim: bool, place: Any) -> Extreme:
    """(values, indices) at the places [..., 1] that `place` finds in the rows along `dim`."""
    dim = axis(name, dim, x.ndim)
    if x.ndim == 0:
        return Extreme(x.clone(), filled(0, place(x.reshape(1)).reshape(())))
    check_some(name, x, (dim,))
    rows = x.transpose(dim, -1)
    at = place(rows)
    values = gather(rows, -1, at).transpose(dim, -1)
    at = at.transpose(dim, -1)
    return Extreme(values, at) if keepdim else Extreme(values.squeeze(dim), at.squeeze(dim))


def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The value in the middle of the order, the lower of two; NaN where there is one.

    With `dim` (values, indices) along it. Over all, equals of the median share its gradient.
    """
    return _median("median", input, dim, keepdim, False)


def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """As `median`, of the elements that are not NaN; NaN where all are."""
    return _median("nanmedian", input, dim, keepdim, True)


def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Extreme:
    """(values, indices): the most frequent value along `dim`, the smallest of several, and where
    it stands last."""
    x = check_tensor("mode", input)
    return _picked("mode", x, dim, keepdim, _place_of_mode)


def _place_of_mode(rows: Tensor) -> Tensor:
    """The end of the first longest run of equals in the order of each row, int64 [..., 1]."""
    y, index = sort(rows.detach())
    n, backend = y.shape[-1], y.backend
    place = Tensor(positions(backend, n), backend)
    begins = y[..., 1:] != y[..., :-1]
    starts = (begins.to(dtypes.int64) * place[1:]).array
    kernels = backend.kernels
    first = index.new_zeros(index.shape)  # where the run of each element starts
    if n > 1:
        first[..., 1:] = Tensor(kernels.scan("max", starts), backend)
    return gather(index, -1, (place - first).argmax(-1, keepdim=True))


_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _checked_q(name: str, x: Tensor, q: Any) -> Tensor:
    """q as a tensor of x's dtype, each value in [0, 1]."""
    if not isinstance(q, Tensor):
        if not 0 <= q <= 1:
            raise ArgumentError(f"{name}: q must lie in [0, 1], got {q}.")
        return filled(float(q), x)
    if q.ndim > 1:
        raise ShapeError(f"{name}: q must be a number or a vector; got {describe(q)}.")
    if q.dtype != x.dtype or q.backend is not x.backend:
        raise DTypeError(
            f"{name}: q is {describe(q)}, input {describe(x)}; they need one dtype and device."
        )
    if q.backend.synchronous and not bool(((q >= 0) & (q <= 1)).all()):
        raise ArgumentError(f"{name}: every q must lie in [0, 1], got {q.tolist()}.")
    return q


def _quantile(
    name: str, x: Tensor, q: Any, dim: int | None, keepdim: bool, how: str, ignore_nan: bool
) -> Tensor:
    if check_tensor(name, x).dtype not in (dtypes.float32, dtypes.float64):
        raise DTypeError(f"{name}: input must be float32 or float64; got {describe(x)}.")
    if how not in _INTERPOLATIONS:
        legal = ", ".join(_INTERPOLATIONS)
        raise ArgumentError(f"{name}: interpolation is one of {legal}, not {how!r}.")
    q = _checked_q(name, x, q)
    ones = tuple([1] * x.ndim)
    if dim is None:
        rows = x.reshape(-1)
    else:
        dim = axis(name, dim, x.ndim)
        rows = x.transpose(dim, -1) if x.ndim else x.reshape(1)
    check_some(name, rows, (-1,))
    y = _interpolated(rows, q.reshape(-1), how, ignore_nan)  # [..., Q]
    y = y.movedim(-1, 0)
    if keepdim:
        kept = y.unsqueeze(-1).transpose(dim + 1, -1) if dim is not None and x.ndim else None
        y = y.reshape(y.shape[0], *ones) if kept is None else kept
    elif dim is not None and x.ndim > 1 and dim != x.ndim - 1:
        y = y.unsqueeze(-1).transpose(dim + 1, -1).squeeze(dim + 1)
    return y if q.ndim else y.squeeze(0)


def _interpolated(rows: Tensor, q: Tensor, how: str, ignore_nan: bool) -> Tensor:
    """The quantiles q of each row, between the elements around rank q (n - 1)."""
    n = rows.shape[-1]
    order = sort(rows).values
    known = n - rows.detach().isnan().sum(-1, keepdim=True)
    if ignore_nan:
        rank = q * (known - 1).clamp(min=0).to(q.dtype)
    else:  # where there is NaN, it comes last
        rank = (q * float(n - 1) + known.to(q.dtype) * 0.0).masked_fill(known < n, float(n - 1))
    if how == "nearest":
        return gather(order, -1, rank.detach().round().to(dtypes.int64))
    low, high = (f.to(dtypes.int64) for f in (rank.detach().floor(), rank.detach().ceil()))
    if how in ("lower", "higher"):
        return gather(order, -1, low if how == "lower" else high)
    weight = 0.5 if how == "midpoint" else rank - low.to(rank.dtype)
    return lerp(gather(order, -1, low), gather(order, -1, high), weight)


def quantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The quantiles q (a number, or a vector that becomes the first axis) over all or along `dim`.

    interpolation between the two elements around rank q (n - 1): "linear", "lower", "higher",
    "midpoint" or "nearest". NaN where there is one. float32 and float64; q of the same dtype.
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


def nanquantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """As `quantile`, of the elements that are not NaN; NaN where all are."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)
