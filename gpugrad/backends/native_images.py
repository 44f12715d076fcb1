"""Convolution, pooling and resampling by a native module: shapes, dtypes and memory."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from ..dtype import DType, int32, uint8
from .base import Array, ConvWindow, PoolWindow, Shape
from .layout import empty_image
from .matmul_precision import SETTING


def tap_count(window: PoolWindow, x: Shape, y: Shape) -> int:
    """Taps of a pooling window of x, whose result has shape y; adaptive windows: at most."""
    if window[0]:
        return prod(window[0])
    sizes = zip(x[2:], y[2:], strict=True)
    return prod(min(n, -(-n // max(out, 1)) + 1) for n, out in sizes)


class NativeImages:
    """The part of `Kernels` that works on images [N, C, spatial...]."""

    module: Any
    empty: Callable[[Any, DType], Array]
    launch: Callable[..., None]
    workspace: Callable[..., Array]

    def conv_fprop(
        self,
        x: Array,
        w: Array,
        window: ConvWindow,
        shape: Shape,
        bias: Array | None = None,
        act: str = "none",
        residual: Array | None = None,
    ) -> Array:
        y = empty_image(self.empty, shape, x.dtype, x, w)
        precision = SETTING.name
        arrays = (x, w, y, window)
        workspace = self.workspace(self.module.conv_fprop_workspace, *arrays, precision)
        epilogue = (None, bias, residual, 1.0, 0.0, act)
        self.launch(self.module.conv_fprop, *arrays, epilogue, precision, workspace)
        return y

    def conv_dgrad(
        self, dy: Array, w: Array, window: ConvWindow, shape: Shape, bias: Array | None = None
    ) -> Array:
        dx = empty_image(self.empty, shape, dy.dtype, dy, w)
        precision = SETTING.name
        arrays = (dy, w, dx, window)
        workspace = self.workspace(self.module.conv_dgrad_workspace, *arrays, precision)
        epilogue = (None, bias, None, 1.0, 0.0, "none")
        self.launch(self.module.conv_dgrad, *arrays, epilogue, precision, workspace)
        return dx

    def conv_wgrad(self, x: Array, dy: Array, window: ConvWindow, shape: Shape) -> Array:
        dw = empty_image(self.empty, shape, x.dtype, x, dy)
        precision = SETTING.name
        arrays = (x, dy, dw, window)
        workspace = self.workspace(self.module.conv_wgrad_workspace, *arrays, precision)
        self.launch(self.module.conv_wgrad, *arrays, precision, workspace)
        return dw

    def max_pool(self, x: Array, window: PoolWindow, shape: Shape) -> tuple[Array, Array]:
        y = empty_image(self.empty, shape, x.dtype, x)
        small = tap_count(window, x.shape, shape) <= 256
        index = empty_image(self.empty, shape, uint8 if small else int32, x)
        self.launch(self.module.max_pool, x, y, index, window)
        return y, index

    def max_pool_grad(self, dy: Array, index: Array, window: PoolWindow, shape: Shape) -> Array:
        dx = empty_image(self.empty, shape, dy.dtype, index)
        self.launch(self.module.max_pool_grad, dy, index, dx, window)
        return dx

    def avg_pool(
        self, x: Array, window: PoolWindow, shape: Shape, count_include_pad: bool, divisor: int
    ) -> Array:
        y = empty_image(self.empty, shape, x.dtype, x)
        self.launch(self.module.avg_pool, x, y, window, count_include_pad, divisor)
        return y

    def avg_pool_grad(
        self, dy: Array, window: PoolWindow, shape: Shape, count_include_pad: bool, divisor: int
    ) -> Array:
        dx = empty_image(self.empty, shape, dy.dtype, dy)
        self.launch(self.module.avg_pool_grad, dy, dx, window, count_include_pad, divisor)
        return dx

    def resample(
        self, x: Array, offsets: Array, index: Array, weight: Array, axis: int, dtype: DType
    ) -> Array:
        shape = (*x.shape[:axis], offsets.shape[0] - 1, *x.shape[axis + 1 :])
        y = empty_image(self.empty, shape, dtype, x)
        self.launch(self.module.resample, x, offsets, index, weight, y, axis)
        return y

    def crop(
        self,
        x: Array,
        top: Array,
        left: Array,
        flip: Array,
        size: tuple[int, int],
        border: str,
    ) -> Array:
        y = empty_image(self.empty, (*x.shape[:2], *size), x.dtype, x)
        self.launch(self.module.crop, x, top, left, flip, y, border)
        return y

    def unfold(self, x: Array, window: PoolWindow, out: Shape) -> Array:
        y = self.empty((x.shape[0], x.shape[1] * prod(window[0]), prod(out)), x.dtype)
        self.launch(self.module.unfold, x, y, window, out)
        return y

    def fold(self, y: Array, window: PoolWindow, out: Shape, shape: Shape) -> Array:
        x = self.empty(shape, y.dtype)
        self.launch(self.module.fold, y, x, window, out)
        return x
