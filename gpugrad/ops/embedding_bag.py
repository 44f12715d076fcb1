"""Sums, means and maxima of bags of rows of a table, without the rows in between."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .. import dtype as dtypes
from ..autograd.composed import through
from ..autograd.function import Function, describe, mixed_devices
from ..autograd.modes import MODE
from ..backends import Backend
from ..errors import ArgumentError, DeviceError, DTypeError, IndexOutOfRangeError, ShapeError
from ..tensor import Tensor
from .embedding import check_padding, check_table, counts, renorm
from .indexing import Gather, ScatterAdd
from .operands import check_tensor, demand_floating
from .selection import where

MODES = ("sum", "mean", "max")


class EmbeddingBag(Function):
    """y[b] = sum, mean or max over the j of bag b of s[j] w[i[j]], s the weights of a sum or 1.

    With q[j] = s[j], or 1 / count[b] for a mean:  dw[v] = sum over i[j] = v of q[j] dy[bag[j]];
    ds[j] = dy[bag[j]] . w[i[j]];  max: dy[b, d] goes to the row that won column d.
    """

    def forward(
        self,
        w: Any,
        index: Any,
        offsets: Any,
        scale: Any,
        mode: str,
        padding: int,
        by_count: bool,
    ) -> Any:
        self.mode, self.padding, self.by_count = mode, padding, by_count
        y, bag, count, winner = self.kernels.embedding_bag(w, index, offsets, scale, mode, padding)
        if any(self.edges):
            self.save(w, index, scale, bag, count if mode == "mean" else None, winner)
        return y

    def backward(self, dy: Tensor) -> Any:
        w, index, scale, bag, count, winner = self.saved
        if MODE.grad:
            return self._by_operations(dy, w, index, scale, bag, count, winner)
        dw = ds = None
        if self.needs(0):
            dw = self._rows(dy, len(w), index, scale, bag, count, winner)
        if self.needs(3):
            terms = dy[_legal(bag)] * w[index]
            ds = terms.sum(1).masked_fill(bag < 0, 0.0)
        return dw, None, None, ds

    def _rows(
        self,
        dy: Tensor,
        rows: int,
        index: Tensor,
        scale: Any,
        bag: Tensor,
        count: Any,
        winner: Any,
    ) -> Tensor:
        """dw by the kernel."""
        k, wide = self.kernels, dtypes.accumulation(dy.dtype)
        if winner is not None:
            return _to_winners(dy, winner, rows)
        if count is not None:
            scale = _shares(count, bag, wide)
        elif scale is not None:
            scale = scale.to(wide)
        raw = None if scale is None else scale.array
        dw = k.embedding_grad(
            dy.array, index.array, rows, bag.array, raw, self.padding, self.by_count
        )
        return Tensor(dw, dy.backend)

    def _by_operations(
        self,
        dy: Tensor,
        w: Tensor,
        index: Tensor,
        scale: Any,
        bag: Tensor,
        count: Any,
        winner: Any,
    ) -> Any:
        """The gradients as part of a graph."""

        def again(w: Tensor, scale: Any) -> Tensor:
            if winner is not None:
                columns = _columns(w.backend, *winner.shape)
                return where(winner >= 0, Gather.apply(w, _legal(winner), columns), 0.0)
            rows = Gather.apply(w, index)
            share = _shares(count, bag, w.dtype) if count is not None else scale
            if share is not None:
                rows = rows * share.unsqueeze(1)
            rows = where((bag >= 0).unsqueeze(1), rows, 0.0)
            return ScatterAdd.apply(rows, _legal(bag), shape=tuple(dy.shape))

        dw, ds = through(again, (w, scale), (dy,))
        if dw is not None and self.by_count:
            dw = dw / counts(index, len(w), dw.dtype)
        return dw, None, None, ds


def _legal(index: Tensor) -> Tensor:
    """Indices with 0 in place of -1; what is read there does not count."""
    return where(index < 0, 0, index)


def _shares(count: Tensor, bag: Tensor, dtype: Any) -> Tensor:
    """[T]: 1 / count of each position's bag."""
    return (1.0 / count.clamp(min=1).to(dtype))[_legal(bag)]


@lru_cache(maxsize=16)
def _columns(backend: Backend, bags: int, width: int) -> Tensor:
    """[bags, width]: the number of the column."""
    return Tensor(backend.from_numpy(np.tile(np.arange(width), (bags, 1))), backend)


@lru_cache(maxsize=16)
def _equal_bags(backend: Backend, bags: int, length: int) -> Tensor:
    """Offsets of bags of one length."""
    return Tensor(backend.from_numpy(np.arange(bags + 1) * length), backend)


def _to_winners(dy: Tensor, winner: Tensor, rows: int) -> Tensor:
    """dw of max: dy[b, d] added at [winner[b, d], d]."""
    dy = where(winner >= 0, dy, 0.0)
    columns = _columns(dy.backend, *winner.shape)
    shape = (rows, dy.shape[1])
    return ScatterAdd.apply(dy, _legal(winner), columns, shape=shape)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sum, mean or max (`mode`) of the rows of each bag: [B, D]; 0 for a bag of nothing.

    input [B, N]: bags of N; or [T] with offsets [B], where each bag begins, or [B + 1] with
    include_last_offset, the last being the end. weight [V, D]. Rows at padding_idx do not count
    and get no gradient. per_sample_weights: a factor for each element of input, of weight's dtype,
    with gradient; mode "sum" only. max_norm, scale_grad_by_freq, sparse: as in `embedding`.
    Raises ArgumentError, ShapeError, DTypeError, DeviceError, IndexOutOfRangeError.
    """
    name = "embedding_bag"
    index = check_table(name, input, weight)
    demand_floating(f"{name}: weight", weight)
    _check_mode(mode, scale_grad_by_freq, sparse, per_sample_weights)
    scale = _check_scale(index, weight, per_sample_weights)
    begins, ends = _bags(index, offsets, include_last_offset)
    if index.ndim == 2:
        index = index.reshape(-1)
        scale = None if scale is None else scale.reshape(-1)
    if max_norm is not None:
        renorm(name, weight, index, max_norm, norm_type)
    y: Tensor = EmbeddingBag.apply(
        weight,
        index,
        begins,
        scale,
        mode=mode,
        padding=check_padding(name, padding_idx, weight.shape[0]),
        by_count=bool(scale_grad_by_freq),
    )
    return y[: y.shape[0] - 1] if ends else y


def _check_mode(mode: str, by_count: bool, sparse: bool, scale: Any) -> None:
    if mode not in MODES:
        raise ArgumentError(f"embedding_bag: mode must be one of {MODES}, not {mode!r}.")
    if mode == "max" and (by_count or sparse):
        raise ArgumentError(
            "embedding_bag: mode 'max' takes neither scale_grad_by_freq nor sparse."
        )
    if mode != "sum" and scale is not None:
        raise ArgumentError(
            f"embedding_bag: per_sample_weights are for mode='sum' only; got mode={mode!r}."
        )


def _check_scale(index: Tensor, weight: Tensor, scale: Any) -> Tensor | None:
    if scale is None:
        return None
    name = "embedding_bag"
    if check_tensor(name, scale).shape != index.shape:
        raise ShapeError(
            f"{name}: per_sample_weights {tuple(scale.shape)} must have the shape of input, "
            f"{tuple(index.shape)}."
        )
    if scale.dtype != weight.dtype:
        raise DTypeError(
            f"{name}: per_sample_weights must have weight's dtype; got {describe(scale)}, weight "
            f"{describe(weight)}."
        )
    if scale.backend is not weight.backend:
        raise DeviceError(mixed_devices(name, (scale, weight)))
    return scale


def _bags(index: Tensor, offsets: Any, include_last: bool) -> tuple[Tensor, bool]:
    """Offsets [B + 1] from 0 to T, and whether a last bag, of what lies past the end, is to go."""
    name, shape = "embedding_bag", tuple(index.shape)
    if index.ndim == 2:
        if offsets is not None:
            raise ArgumentError(
                f"{name}: offsets must be None for a 2-D input, whose rows are the bags; got input "
                f"{shape}."
            )
        return _equal_bags(index.backend, *shape), False
    if index.ndim != 1:
        raise ShapeError(f"{name}: input must have 1 or 2 axes; got {describe(index)}.")
    if offsets is None:
        raise ArgumentError(
            f"{name}: offsets must be given for a 1-D input, {shape}: where each bag begins."
        )
    if check_tensor(name, offsets).ndim != 1 or dtypes.is_floating(offsets.dtype):
        raise ShapeError(f"{name}: offsets must be a vector of integers; got {describe(offsets)}.")
    if offsets.backend is not index.backend:
        raise DeviceError(mixed_devices(name, (index, offsets)))
    if include_last and not offsets.numel():
        raise ArgumentError(f"{name}: include_last_offset needs at least one offset, the end.")
    complete = include_last
    if index.backend.synchronous:
        last = _check_offsets(offsets, shape[0])
        complete = include_last and last == shape[0]
    offsets = offsets.to(dtypes.int64)
    if complete:
        return offsets, False
    backend, n = index.backend, offsets.numel()
    whole = backend.empty((n + 1,), dtypes.int64)
    backend.kernels.copy(offsets.array, whole[:n])
    backend.kernels.fill(whole[n:], shape[0])
    return Tensor(whole, backend), include_last


def _check_offsets(offsets: Tensor, length: int) -> int:
    """The last offset. Raises where they do not ascend from 0 to at most `length`."""
    values = offsets.backend.to_numpy(offsets.array)
    if not values.size:
        return -1
    text = f"embedding_bag: offsets must ascend from 0 to at most input's length {length}; got "
    if values[0] != 0:
        raise ArgumentError(f"{text}{values[0]} as the first.")
    falls = np.flatnonzero(np.diff(values) < 0)
    if falls.size:
        at = int(falls[0])
        raise ArgumentError(f"{text}{values[at]} before {values[at + 1]} at position {at + 1}.")
    if values[-1] > length:
        raise IndexOutOfRangeError(f"{text}{values[-1]} as the last.")
    return int(values[-1])
