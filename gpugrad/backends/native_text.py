"""Embedding, recurrence and sampling by a native module: shapes, dtypes and memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..dtype import DType, accumulation, int64
from .base import Array, Shape
from .matmul_precision import SETTING
from .reference.recurrent import GATES, SAVED


class NativeText:
    """The part of `Kernels` that reads tokens and sequences."""

    module: Any
    empty: Callable[[Any, DType], Array]
    launch: Callable[..., None]
    flagged: Callable[..., None]
    workspace: Callable[..., Array]

    def embedding(self, weight: Array, index: Array) -> Array:
        y = self.empty((*index.shape, weight.shape[1]), weight.dtype)
        self.flagged(self.module.embedding, weight, index, y)
        return y

    def embedding_grad(
        self,
        dy: Array,
        index: Array,
        rows: int,
        row: Array | None,
        scale: Array | None,
        padding: int,
        by_count: bool,
    ) -> Array:
        dweight = self.empty((rows, dy.shape[1]), dy.dtype)
        workspace = self.workspace(self.module.embedding_grad_workspace, index, dweight)
        inputs = (dy, index, row, scale, dweight, padding, by_count)
        self.launch(self.module.embedding_grad, *inputs, workspace)
        return dweight

    def embedding_renorm(self, weight: Array, index: Array, max_norm: float, ord: float) -> None:
        workspace = self.workspace(self.module.embedding_renorm_workspace, weight, index)
        self.flagged(self.module.embedding_renorm, weight, index, max_norm, ord, workspace)

    def embedding_bag(
        self,
        weight: Array,
        index: Array,
        offsets: Array,
        scale: Array | None,
        mode: str,
        padding: int,
    ) -> tuple[Array, Array, Array, Array | None]:
        shape = (offsets.shape[0] - 1, weight.shape[1])
        y = self.empty(shape, weight.dtype)
        bag, count = self.empty(index.shape, int64), self.empty(shape[:1], int64)
        winner = self.empty(shape, int64) if mode == "max" else None
        inputs = (weight, index, offsets, scale, mode, padding)
        self.flagged(self.module.embedding_bag, *inputs, y, bag, count, winner)
        return y, bag, count, winner

    def _sequence(self, shape: Shape, dtype: DType, like: Array) -> Array:
        """A new array [T, B, ...] that lies batch-first where `like` does."""
        if like.strides[0] >= like.strides[1] or 1 in like.shape[:2]:
            return self.empty(shape, dtype)
        return self.empty((shape[1], shape[0], *shape[2:]), dtype).transpose(1, 0, 2)

    def recurrent(
        self,
        cell: str,
        gates: Array,
        w: Array,
        bias: Array | None,
        projection: Array | None,
        h0: Array,
        c0: Array | None,
        lengths: Array | None,
        reverse: bool,
        training: bool,
        out: Array | None = None,
    ) -> tuple[Array, Array, Array | None, Array | None]:
        steps, batch, width = gates.shape
        dtype, hidden = gates.dtype, width // GATES[cell]
        y = out
        if y is None:
            y = self._sequence((steps, batch, w.shape[1]), dtype, gates)
        hn = self.empty((batch, w.shape[1]), dtype)
        cn = None if c0 is None else self.empty((batch, hidden), dtype)
        saved = None
        if training and SAVED[cell]:
            saved = self.empty((steps, batch, SAVED[cell] * hidden), accumulation(dtype))
        size_of = self.module.recurrent_workspace
        workspace = self.workspace(size_of, cell, gates, w, projection, saved)
        inputs = (cell, gates, w, bias, projection, h0, c0, lengths, reverse, SETTING.name)
        self.launch(self.module.recurrent, *inputs, y, hn, cn, saved, workspace)
        return y, hn, cn, saved

    def recurrent_grad(
        self,
        cell: str,
        dy: Array | None,
        dhn: Array | None,
        dcn: Array | None,
        w: Array,
        projection: Array | None,
        h0: Array,
        c0: Array | None,
        lengths: Array | None,
        reverse: bool,
        y: Array,
        saved: Array | None,
    ) -> tuple[Array, Array | None, Array | None, Array, Array | None]:
        dtype, shape = y.dtype, (*y.shape[:2], w.shape[0])
        dgates = self._sequence(shape, dtype, y)
        dinner = self._sequence(shape, dtype, y) if cell == "gru" else None
        doutput = None if projection is None else self._sequence(y.shape, dtype, y)
        dh0 = self.empty(h0.shape, dtype)
        dc0 = None if c0 is None else self.empty(c0.shape, dtype)
        size_of = self.module.recurrent_grad_workspace
        workspace = self.workspace(size_of, cell, dgates, w, projection)
        inputs = (cell, dy, dhn, dcn, w, projection, h0, c0, lengths, reverse, SETTING.name)
        outputs = (dgates, dinner, doutput, dh0, dc0)
        self.launch(self.module.recurrent_grad, *inputs, y, saved, *outputs, workspace)
        return outputs

    def sample(
        self,
        logits: Array,
        temperature: float,
        top_k: int,
        top_p: float,
        state: Array,
        call: int,
    ) -> Array:
        y = self.empty(logits.shape[:1], int64)
        workspace = self.workspace(self.module.sample_workspace, logits)
        options = (temperature, top_k, top_p, state, call)
        self.launch(self.module.sample, logits, *options, y, workspace)
        return y
