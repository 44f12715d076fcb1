"""Pooling over one, two or three spatial axes: maxima, averages, adaptive windows, unpooling."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .. import dtype as dtypes
from ..autograd.function import Function, describe
from ..backends.base import PoolWindow
from ..errors import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError
from ..tensor import Tensor
from .activation import relu
from .operands import demand_floating
from .placing import scatter
from .windows import Sizes, batched, per_axis, planned, span, unbatched

ADAPTIVE: PoolWindow = ((), (), (), ())


class MaxPool(Function):
    """y[n, c, o] = max over window o of x;  dx[i] = sum of dy[o] over the o whose maximum i is.

    The tap of each maximum, its place in the window, is kept for backward: one byte, mostly.
    """

    def forward(self, x: Any, window: PoolWindow, shape: Sizes, indices: bool) -> Any:
        self.window, self.of = window, x.shape
        y, index = self.kernels.max_pool(x, window, shape)
        self.save(index)
        return (y, index) if indices else y

    def backward(self, dy: Tensor, *_: Any) -> Any:
        (index,) = self.saved
        return MaxPoolGrad.apply(dy, index, window=self.window, shape=self.of)


class MaxPoolGrad(Function):
    """dx[i] = sum of dy[o] over the windows o whose maximum i is;  ddy[o] = g at o's maximum."""

    def forward(self, dy: Any, index: Any, window: PoolWindow, shape: Sizes) -> Any:
        self.window, self.of = window, shape
        self.save(index)
        return self.kernels.max_pool_grad(dy, index, window, shape)

    def backward(self, g: Tensor) -> Any:
        (index,) = self.saved
        n, c = self.of[:2]
        flat = flat_indices(index, self.window, self.of)
        picked = g.reshape(n, c, -1).gather(2, flat.reshape(n, c, -1))
        return picked.reshape(index.shape), None


class AvgPool(Function):
    """y[n, c, o] = sum over window o of x / d(o);  dx[i] = sum of dy[o] / d(o) over o that hold i.

    d is `divisor`, or where that is 0 the number of taps inside x (with its padding if `padded`).
    """

    def forward(self, x: Any, window: PoolWindow, shape: Sizes, padded: bool, divisor: int) -> Any:
        self.window, self.of, self.by = window, x.shape, (padded, divisor)
        return self.kernels.avg_pool(x, window, shape, padded, divisor)

    def backward(self, dy: Tensor) -> Any:
        padded, divisor = self.by
        options: dict[str, Any] = {"window": self.window, "padded": padded, "divisor": divisor}
        return AvgPoolGrad.apply(dy, shape=self.of, **options)


class AvgPoolGrad(Function):
    """dx[i] = sum of dy[o] / d(o) over the windows o that hold i;  ddy = the averages of g."""

    def forward(self, dy: Any, window: PoolWindow, shape: Sizes, padded: bool, divisor: int) -> Any:
        self.window, self.of, self.by = window, dy.shape, (padded, divisor)
        return self.kernels.avg_pool_grad(dy, window, shape, padded, divisor)

    def backward(self, g: Tensor) -> Any:
        padded, divisor = self.by
        options: dict[str, Any] = {"window": self.window, "padded": padded, "divisor": divisor}
        return AvgPool.apply(g, shape=self.of, **options)


def flat_indices(index: Tensor, window: PoolWindow, x: Sizes) -> Tensor:
    """Taps in windows of an input of shape x, as int64 positions in its flattened planes.

    A position is that of the window's first tap (`base`) plus that of the tap in it (`steps`).
    """
    base, steps = np.zeros(1, np.int64), np.zeros(1, np.int64)
    for i, (size, out) in enumerate(zip(x[2:], index.shape[2:], strict=True)):
        if window[0]:
            kernel, stride, padding, dilation = (each[i] for each in window)
            first = np.arange(out) * stride - padding
        else:
            kernel, dilation = min(size, -(-size // max(out, 1)) + 1), 1
            first = np.arange(out) * size // max(out, 1)
        base = np.add.outer(base * size, first).reshape(-1)
        steps = np.add.outer(steps * size, np.arange(kernel) * dilation).reshape(-1)
    starts, ways = (Tensor(index.backend.from_numpy(v), index.backend) for v in (base, steps))
    return ways[index.to(dtypes.int64)] + starts.reshape(index.shape[2:])


def _pool_window(
    name: str, axes: int, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> PoolWindow:
    """The window, checked; stride is the kernel size unless given."""
    kernel = per_axis(name, "kernel_size", kernel, axes, 1)
    absent = stride is None or (isinstance(stride, Sequence) and not stride)
    stride = kernel if absent else per_axis(name, "stride", stride, axes, 1)
    padding = per_axis(name, "padding", padding, axes, 0)
    dilation = per_axis(name, "dilation", dilation, axes, 1)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ArgumentError(
            f"{name}: padding must be at most half the kernel size; got padding {padding}, "
            f"kernel_size {kernel}."
        )
    return kernel, stride, padding, dilation


def _check_filled(name: str, x: Sizes) -> None:
    """Only the batch may be empty."""
    if min(x[1:]) < 1:
        raise ShapeError(
            f"{name}: every size of the input but the batch's must be at least 1; got {x}."
        )


def _pooled_shape(name: str, x: Sizes, window: PoolWindow, ceil_mode: bool) -> Sizes:
    """[N, C] and how many windows there are along each axis.

    (in + 2 p - d (k - 1) - 1) / s + 1, rounded down, or up with ceil_mode; but the last window must
    start inside the input or the padding before it.
    """
    _check_filled(name, x)
    kernel, stride, padding, dilation = window
    out = []
    for n, e, s, p in zip(x[2:], span(kernel, dilation), stride, padding, strict=True):
        count = (n + 2 * p - e + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1
        out.append(count)
    if min(out) < 1:
        raise ShapeError(
            f"{name}: input {x} gives the output size {tuple(out)}, which is too small "
            f"(kernel_size {kernel}, stride {stride}, padding {padding}, dilation {dilation})."
        )
    return (*x[:2], *out)


@lru_cache(maxsize=1024, typed=True)
def _plan(
    name: str, axes: int, x: Sizes, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: Any
) -> tuple[PoolWindow, Sizes]:
    """The window and the result's shape; raises what is wrong with the shapes."""
    window = _pool_window(name, axes, kernel, stride, padding, dilation)
    return window, _pooled_shape(name, x, window, bool(ceil))


def max_pool(
    axes: int,
    input: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    """max_pool1d, max_pool2d or max_pool3d."""
    name = f"max_pool{axes}d"
    x, single = batched(name, input, axes)
    rest = (kernel_size, stride, padding, dilation, ceil_mode)
    window, shape = planned(_plan, name, axes, x.array.shape, *rest)
    return _max_pool(name, x, single, window, shape, return_indices)


def _max_pool(
    name: str, x: Tensor, single: bool, window: PoolWindow, shape: Sizes, indices: bool
) -> Any:
    if x.array.dtype == dtypes.bool_:
        raise DTypeError(f"{name}: needs a floating or integer tensor; got {describe(x)}.")
    if not indices:
        y: Tensor = MaxPool.apply(x, window=window, shape=shape, indices=False)
        return unbatched(y, single) if single else y
    top, index = MaxPool.apply(x, window=window, shape=shape, indices=True)
    flat = flat_indices(index, window, x.array.shape)
    return unbatched(top, single), unbatched(flat, single)


def avg_pool(
    axes: int,
    input: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    """avg_pool1d, avg_pool2d or avg_pool3d."""
    name = f"avg_pool{axes}d"
    if divisor_override is not None and (
        not isinstance(divisor_override, int) or divisor_override == 0
    ):
        raise ArgumentError(
            f"{name}: divisor_override must be an integer other than 0, got {divisor_override!r}."
        )
    x, single = batched(name, input, axes)
    demand_floating(name, x)
    rest = (kernel_size, stride, padding, 1, ceil_mode)
    window, shape = planned(_plan, name, axes, x.array.shape, *rest)
    divisor = divisor_override or 0
    options: dict[str, Any] = {"padded": bool(count_include_pad), "divisor": abs(divisor)}
    y = unbatched(AvgPool.apply(x, window=window, shape=shape, **options), single)
    return -y if divisor < 0 else y


def _adaptive_size(name: str, x: Tensor, output_size: Any, axes: int) -> Sizes:
    """[N, C, output_size], the input's size where an entry is None."""
    size = x.array.shape
    _check_filled(name, size)
    if not isinstance(output_size, Sequence):
        output_size = (output_size,) * axes
    if len(output_size) != axes:
        raise ArgumentError(
            f"{name}: output_size {tuple(output_size)} must have {axes} entries, or be one number."
        )
    out = [n if o is None else o for o, n in zip(output_size, size[2:], strict=True)]
    return (*size[:2], *per_axis(name, "output_size", out, axes, 0))


def adaptive_avg_pool(axes: int, input: Tensor, output_size: Any) -> Tensor:
    """adaptive_avg_pool1d, adaptive_avg_pool2d or adaptive_avg_pool3d."""
    name = f"adaptive_avg_pool{axes}d"
    x, single = batched(name, input, axes)
    demand_floating(name, x)
    shape = _adaptive_size(name, x, output_size, axes)
    y = AvgPool.apply(x, window=ADAPTIVE, shape=shape, padded=False, divisor=0)
    return unbatched(y, single)


def adaptive_max_pool(axes: int, input: Tensor, output_size: Any, return_indices: bool) -> Any:
    """adaptive_max_pool1d, adaptive_max_pool2d or adaptive_max_pool3d."""
    name = f"adaptive_max_pool{axes}d"
    x, single = batched(name, input, axes)
    shape = _adaptive_size(name, x, output_size, axes)
    return _max_pool(name, x, single, ADAPTIVE, shape, return_indices)


def lp_pool(
    axes: int, input: Tensor, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool
) -> Tensor:
    """lp_pool1d, lp_pool2d or lp_pool3d."""
    name = f"lp_pool{axes}d"
    taps = int(np.prod(per_axis(name, "kernel_size", kernel_size, axes, 1)))
    powers = input.pow(norm_type)
    mean = avg_pool(axes, powers, kernel_size, stride, 0, ceil_mode, True, None)
    # relu: its gradient is 0 at 0, where the root's is infinite.
    return (mean.sign() * relu(mean.abs()) * taps).pow(1.0 / norm_type)


def _unpooled_size(
    name: str, axes: int, size: Sizes, window: PoolWindow, output_size: Any
) -> Sizes:
    """(in - 1) s - 2 p + k, or output_size, which may differ from that by less than the stride."""
    kernel, stride, padding, _ = window
    rows = zip(size, kernel, stride, padding, strict=True)
    plain = tuple([(n - 1) * s - 2 * p + k for n, k, s, p in rows])
    if output_size is None:
        return plain
    given = per_axis(name, "output_size", tuple(output_size)[-axes:], axes, 0)
    if any(abs(g - n) >= s for g, n, s in zip(given, plain, stride, strict=True)):
        raise ArgumentError(
            f"{name}: output_size {given} does not belong to input {size} with kernel_size "
            f"{kernel}, stride {stride} and padding {padding}: {plain} does, give or take less "
            "than the stride."
        )
    return given


def max_unpool(
    axes: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    output_size: Any,
) -> Tensor:
    """max_unpool1d, max_unpool2d or max_unpool3d."""
    name = f"max_unpool{axes}d"
    window = _pool_window(name, axes, kernel_size, stride, padding, 1)
    x, single = batched(name, input, axes)
    if not isinstance(indices, Tensor) or indices.dtype != dtypes.int64:
        raise DTypeError(f"{name}: indices must be an int64 tensor, as return_indices=True gives.")
    if indices.shape != input.shape:
        raise ShapeError(f"{name}: indices {indices.shape} and input {input.shape} must agree.")
    out = _unpooled_size(name, axes, x.array.shape[2:], window, output_size)
    (n, c), cells = x.array.shape[:2], int(np.prod(out))
    if x.backend.synchronous and indices.numel() > 0:
        low, high = indices.min().item(), indices.max().item()
        if low < 0 or high >= cells:
            raise IndexOutOfRangeError(
                f"{name}: index {low if low < 0 else high} is none of the {cells} positions of an "
                f"output {out}.\n  Give the indices that max_pool{axes}d returned, and its sizes."
            )
    empty = x.new_zeros(n, c, cells)
    y = scatter(empty, 2, indices.reshape(n, c, -1), x.reshape(n, c, -1))
    return unbatched(y.reshape(n, c, *out), single)
