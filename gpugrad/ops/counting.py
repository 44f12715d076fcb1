"""Searching in sorted rows and counting: searchsorted, bucketize, bincount, histograms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import dtype as dtypes
from ..autograd.function import describe, mixed_devices
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..ranges import linspace
from ..tensor import Tensor
from .operands import check_tensor


def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where each element of `input` goes into a sorted row to keep it in order.

    sorted_sequence: a vector, or rows [..., n] for input [..., m] with the same leading axes.
    right (or side="right"): behind equal elements, else before them. sorter: the indices that put
    an unsorted sorted_sequence in order. int64, or int32 where `out_int32`. No gradient.
    """
    name, rows = "searchsorted", check_tensor("searchsorted", sorted_sequence).detach()
    if side not in (None, "left", "right") or (side == "left" and right):
        raise ArgumentError(
            f"{name}: side must be 'left' or 'right' and agree with right; got side={side!r}, "
            f"right={right}."
        )
    if rows.ndim == 0:
        raise ShapeError(f"{name}: sorted_sequence needs an axis; got {describe(rows)}.")
    rows = rows if sorter is None else _in_given_order(name, rows, sorter)
    rows, x = _searched(name, rows, input)
    found = rows.backend.kernels.search_sorted(rows.array, x.array, right or side == "right")
    y = Tensor(found, rows.backend)
    return y.to(dtypes.int32) if out_int32 else y


def _in_given_order(name: str, rows: Tensor, sorter: Tensor) -> Tensor:
    if check_tensor(name, sorter).dtype != dtypes.int64 or sorter.shape != rows.shape:
        raise ShapeError(
            f"{name}: sorter must be int64 of shape {rows.shape}; got {describe(sorter)}."
        )
    return rows.gather(rows.ndim - 1, sorter)


def _searched(name: str, rows: Tensor, input: Any) -> tuple[Tensor, Tensor]:
    """Both in one dtype, checked."""
    if not isinstance(input, Tensor):
        if not isinstance(input, (int, float)):
            raise DTypeError(f"{name}: input must be a Tensor or a number; got {input!r}.")
        common = dtypes.result_type(rows.array, input)
        x = rows.new_full((), input, dtype=common)
        rows = rows.to(common)
    else:
        x = input.detach()
        if x.dtype != rows.dtype:
            raise DTypeError(
                f"{name}: input {describe(x)} and the sorted {describe(rows)} need one dtype."
            )
    if x.backend is not rows.backend:
        raise DeviceError(mixed_devices(name, (rows, x)))
    if rows.ndim > 1 and (x.ndim != rows.ndim or x.shape[:-1] != rows.shape[:-1]):
        raise ShapeError(
            f"{name}: sorted_sequence {rows.shape} must be a vector, or have the leading axes of "
            f"input {x.shape}."
        )
    return rows, x


def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """The number of the bucket each element is in: boundaries[i - 1] < x <= boundaries[i].

    right: boundaries[i - 1] <= x < boundaries[i]. boundaries: a sorted vector. No gradient.
    """
    if check_tensor("bucketize", boundaries).ndim != 1:
        raise ShapeError(f"bucketize: boundaries must be a vector; got {describe(boundaries)}.")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each of 0, 1, ... occurs in a vector of integers, at least `minlength` counts.

    int64; with `weights`, their sums, added in order: float32 for float32, else float64. Its
    length depends on the values, so this waits for the device. No gradient.
    """
    name, x = "bincount", check_tensor("bincount", input)
    if x.ndim != 1 or dtypes.is_floating(x.dtype) or x.dtype == dtypes.bool_:
        raise DTypeError(f"{name}: input must be a vector of integers; got {describe(x)}.")
    if minlength < 0:
        raise ArgumentError(f"{name}: minlength must not be negative, got {minlength}.")
    if weights is not None and check_tensor(name, weights).shape != x.shape:
        raise ShapeError(f"{name}: weights {weights.shape} and input {x.shape} must be alike.")
    kernels, length = x.backend.kernels, minlength
    if x.numel():
        low, high = (
            int(x.backend.to_numpy(kernels.reduce(end, x.array, (0,), False)))
            for end in ("min", "max")
        )
        if low < 0:
            raise ArgumentError(f"{name}: input must not be negative; the least is {low}.")
        length = max(high + 1, minlength)
    amount: Any = 1
    dtype = dtypes.int64
    if weights is not None:
        dtype = dtypes.float32 if weights.dtype == dtypes.float32 else dtypes.float64
        amount = weights.detach().to(dtype).array
    y = x.backend.empty((length,), dtype)
    kernels.fill(y, 0)
    kernels.scatter("add", y, [x.to(dtypes.int64).array], amount)
    return Tensor(y, x.backend)


def _limits(name: str, x: Tensor, low: float, high: float, margin: float) -> tuple[float, float]:
    """The range of a histogram: that of x where low == high, widened by `margin` if empty."""
    if low == high and x.numel():
        low, high = float(x.min().item()), float(x.max().item())
    if not (math.isfinite(low) and math.isfinite(high)) or low > high:
        raise ArgumentError(f"{name}: the range [{low}, {high}] must be finite and in order.")
    return (low - margin, high + margin) if low == high else (low, high)


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements are in each of `bins` equal parts of [min, max], in the dtype of `input`.

    min == max is the range of the values. The last part includes max; what is outside, or NaN, is
    not counted. Floating only. No gradient.
    """
    x = check_tensor("histc", input).detach().reshape(-1)
    if not dtypes.is_floating(x.dtype):
        raise DTypeError(f"histc: needs a floating tensor; got {describe(input)}.")
    if bins < 1:
        raise ArgumentError(f"histc: bins must be at least 1, got {bins}.")
    low, high = _limits("histc", x, float(min), float(max), 1.0)
    wide = x.to(dtypes.accumulation(x.dtype))
    inside = (wide >= low) & (wide <= high)
    place = ((wide - low) / (high - low) * bins).masked_fill(~inside, 0.0).to(dtypes.int64)
    ones = inside.to(dtypes.int64)  # whole numbers: exact however many
    counts = ones.new_zeros(bins).index_add(0, place.clamp(0, bins - 1), ones)
    return counts.to(x.dtype)


class Histogram(NamedTuple):
    """Counts and the edges of the parts, from ``histogram``."""

    hist: Tensor
    bin_edges: Tensor


def histogram(
    input: Tensor,
    bins: int | Tensor,
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Histogram:
    """(hist, bin_edges): how many elements, or how much `weight`, is in each part.

    bins: how many equal parts of `range` (that of the values), or a sorted vector of edges. The
    last part includes its upper edge. density: divided by the sum and the widths. No gradient.
    """
    x = check_tensor("histogram", input).detach()
    if not dtypes.is_floating(x.dtype):
        raise DTypeError(f"histogram: needs a floating tensor; got {describe(x)}.")
    edges = _edges(x, bins, range)
    values = x.new_ones(x.shape) if weight is None else weight.detach()
    if values.shape != x.shape or values.dtype != x.dtype:
        raise ShapeError(f"histogram: weight {describe(values)} must be like input {describe(x)}.")
    n = edges.shape[0] - 1
    flat = x.reshape(-1)
    place = searchsorted(edges, flat, right=True) - 1
    inside = (flat >= edges[0]) & (flat <= edges[-1])
    amount = values.reshape(-1).masked_fill(~inside, 0.0)
    hist = x.new_zeros(n).index_add(0, place.clamp(0, n - 1), amount)
    if density:
        hist = hist / hist.sum() / (edges[1:] - edges[:-1])
    return Histogram(hist, edges)


def _edges(x: Tensor, bins: int | Tensor, given: Sequence[float] | None) -> Tensor:
    if isinstance(bins, Tensor):
        if bins.ndim != 1 or bins.dtype != x.dtype or bins.numel() < 2:
            raise ShapeError(
                f"histogram: bins must be a number, or a vector of {x.dtype.name} edges; got "
                f"{describe(bins)}."
            )
        return bins.detach()
    if bins < 1:
        raise ArgumentError(f"histogram: bins must be at least 1, got {bins}.")
    if given is not None and len(given) != 2:
        raise ArgumentError(f"histogram: range must be (low, high), got {given!r}.")
    low, high = given if given is not None else (0.0, 0.0 if x.numel() else 1.0)
    low, high = _limits("histogram", x, float(low), float(high), 0.5)
    return linspace(low, high, bins + 1, dtype=x.dtype, device=x.device)
