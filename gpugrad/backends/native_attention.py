"""Attention by a native module: shapes, dtypes and memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..dtype import DType, accumulation
from .base import Array, AttentionOptions
from .layout import empty_like
from .matmul_precision import SETTING


class NativeAttention:
    """The part of `Kernels` that attends."""

    module: Any
    empty: Callable[[Any, DType], Array]
    launch: Callable[..., None]
    workspace: Callable[..., Array]

    def attention(
        self, q: Array, k: Array, v: Array, options: AttentionOptions
    ) -> tuple[Array, Array]:
        o, lse = empty_like(self.empty, q), self.empty(q.shape[:3], accumulation(q.dtype))
        workspace = self.workspace(self.module.attention_workspace, q, k, o)
        inputs = (q, k, v, options, SETTING.name)
        self.launch(self.module.attention, *inputs, o, lse, workspace)
        return o, lse

    def attention_grad(
        self,
        d_o: Array,
        q: Array,
        k: Array,
        v: Array,
        o: Array,
        lse: Array,
        options: AttentionOptions,
        bias: bool,
    ) -> tuple[Array, Array, Array, Array | None]:
        dq, dk, dv = (empty_like(self.empty, x) for x in (q, k, v))
        shape = (*q.shape[:3], k.shape[2])
        dbias = self.empty(shape, accumulation(q.dtype)) if bias else None
        workspace = self.workspace(self.module.attention_grad_workspace, q, k)
        inputs = (d_o, q, k, v, o, lse, options, SETTING.name)
        self.launch(self.module.attention_grad, *inputs, dq, dk, dv, dbias, workspace)
        return dq, dk, dv, dbias

    def rotary(self, x: Array, cos: Array, sin: Array, interleaved: bool, inverse: bool) -> Array:
        y = empty_like(self.empty, x)
        self.launch(self.module.rotary, x, cos, sin, interleaved, inverse, y)
        return y
