"""Normalisation by a native module: shapes, dtypes and memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..dtype import DType, accumulation
from .base import Array
from .layout import empty_like


class NativeNorms:
    """The part of `Kernels` that normalises."""

    module: Any
    empty: Callable[[Any, DType], Array]
    launch: Callable[..., None]
    workspace: Callable[..., Array]

    def layer_norm(
        self,
        x: Array,
        residual: Array | None,
        weight: Array | None,
        bias: Array | None,
        eps: float,
        centred: bool,
    ) -> tuple[Array, Array | None, Array | None, Array]:
        y = empty_like(self.empty, x)
        total = None if residual is None else empty_like(self.empty, x)
        dtype = accumulation(x.dtype)
        mean = self.empty(x.shape[:1], dtype) if centred else None
        rstd = self.empty(x.shape[:1], dtype)
        inputs = (x, residual, weight, bias)
        self.launch(self.module.layer_norm, *inputs, total, y, mean, rstd, eps)
        return y, total, mean, rstd

    def layer_norm_grad(
        self,
        dy: Array,
        x: Array,
        weight: Array | None,
        mean: Array | None,
        rstd: Array,
        dsum: Array | None,
        bias: bool,
    ) -> tuple[Array, Array | None, Array | None]:
        dx = empty_like(self.empty, x)
        dweight, dbias = self._gradients(x, x.shape[1], weight, bias)
        size_of = self.module.layer_norm_grad_workspace
        workspace = self.workspace(size_of, x, dweight, dbias)
        inputs = (dy, x, weight, mean, rstd, dsum)
        self.launch(self.module.layer_norm_grad, *inputs, dx, dweight, dbias, workspace)
        return dx, dweight, dbias

    def _gradients(
        self, x: Array, size: int, weight: Array | None, bias: bool
    ) -> tuple[Array | None, Array | None]:
        """dweight if there is a weight, dbias if `bias`: [size], of weight's dtype or x's."""
        dtype = x.dtype if weight is None else weight.dtype
        dweight = None if weight is None else self.empty((size,), dtype)
        return dweight, self.empty((size,), dtype) if bias else None

    def group_norm(
        self, x: Array, weight: Array | None, bias: Array | None, groups: int, eps: float
    ) -> tuple[Array, Array, Array]:
        y = empty_like(self.empty, x)
        shape, dtype = (x.shape[0], groups), accumulation(x.dtype)
        mean, rstd = self.empty(shape, dtype), self.empty(shape, dtype)
        self.launch(self.module.group_norm, x, weight, bias, y, mean, rstd, eps)
        return y, mean, rstd

    def group_norm_grad(
        self, dy: Array, x: Array, weight: Array | None, mean: Array, rstd: Array, bias: bool
    ) -> tuple[Array, Array | None, Array | None]:
        dx = empty_like(self.empty, x)
        dweight, dbias = self._gradients(x, x.shape[1], weight, bias)
        workspace = self.workspace(self.module.group_norm_grad_workspace, x, rstd)
        inputs = (dy, x, weight, mean, rstd)
        self.launch(self.module.group_norm_grad, *inputs, dx, dweight, dbias, workspace)
        return dx, dweight, dbias

    def batch_norm_stats(
        self,
        x: Array,
        running_mean: Array | None,
        running_var: Array | None,
        momentum: float,
        eps: float,
    ) -> tuple[Array, Array]:
        dtype = accumulation(x.dtype)
        mean, rstd = self.empty(x.shape[1:2], dtype), self.empty(x.shape[1:2], dtype)
        workspace = self.workspace(self.module.batch_norm_stats_workspace, x)
        running = (running_mean, running_var, momentum, eps)
        self.launch(self.module.batch_norm_stats, x, mean, rstd, *running, workspace)
        return mean, rstd

    def batch_norm_apply(
        self,
        x: Array,
        mean: Array,
        rstd: Array,
        weight: Array | None,
        bias: Array | None,
        residual: Array | None,
        act: str,
    ) -> Array:
        y = empty_like(self.empty, x)
        inputs = (x, mean, rstd, weight, bias, residual)
        self.launch(self.module.batch_norm_apply, *inputs, act, y)
        return y

    def batch_norm_grad(
        self,
        dy: Array,
        x: Array,
        y: Array | None,
        mean: Array,
        rstd: Array,
        weight: Array | None,
        act: str,
        fixed: bool,
        bias: bool,
        residual: bool,
    ) -> tuple[Array, Array | None, Array | None, Array | None]:
        dx = empty_like(self.empty, x)
        dweight, dbias = self._gradients(x, x.shape[1], weight, bias)
        dresidual = empty_like(self.empty, x) if residual else None
        workspace = self.workspace(self.module.batch_norm_grad_workspace, x)
        inputs = (dy, x, y, mean, rstd, weight, act, fixed)
        outputs = (dx, dweight, dbias, dresidual)
        self.launch(self.module.batch_norm_grad, *inputs, *outputs, workspace)
        return outputs
