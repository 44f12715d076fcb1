"""Windows of images as columns, and columns summed back into images."""

from __future__ import annotations

from math import prod
from typing import Any

from ..autograd.function import Function, describe
from ..backends.base import PoolWindow
from ..errors import ShapeError
from ..tensor import Tensor
from .operands import check_tensor, demand_floating
from .windows import Sizes, batched, per_axis, span, unbatched


class Unfold(Function):
    """y[n, (c, t), l] = x at tap t of window l, zero outside;  dx = the columns of dy, summed."""

    def forward(self, x: Any, window: PoolWindow, out: Sizes) -> Any:
        self.window, self.out, self.of = window, out, x.shape
        return self.kernels.unfold(x, window, out)

    def backward(self, dy: Tensor) -> Any:
        return Fold.apply(dy, window=self.window, out=self.out, shape=self.of)


class Fold(Function):
    """x[n, c, i] = sum of y[n, (c, t), l] over the (t, l) that meet i;  dy = the windows of dx."""

    def forward(self, y: Any, window: PoolWindow, out: Sizes, shape: Sizes) -> Any:
        self.window, self.out = window, out
        return self.kernels.fold(y, window, out, shape)

    def backward(self, dx: Tensor) -> Any:
        return Unfold.apply(dx, window=self.window, out=self.out)


def _windows(
    name: str, size: Sizes, kernel: Any, dilation: Any, padding: Any, stride: Any
) -> tuple[PoolWindow, Sizes]:
    """(the window, how many there are along each axis)."""
    kernel = per_axis(name, "kernel_size", kernel, 2, 1)
    dilation = per_axis(name, "dilation", dilation, 2, 1)
    padding = per_axis(name, "padding", padding, 2, 0)
    stride = per_axis(name, "stride", stride, 2, 1)
    reach = span(kernel, dilation)
    out = tuple(
        [(n + 2 * p - e) // s + 1 for n, e, s, p in zip(size, reach, stride, padding, strict=True)]
    )
    if min(out) < 1:
        raise ShapeError(
            f"{name}: a window of kernel_size {kernel} and dilation {dilation} spans {reach}, more "
            f"than the image {size} with padding {padding}."
        )
    return (kernel, stride, padding, dilation), out


def unfold(
    input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """The windows of images [N, C, H, W] as columns [N, C kh kw, windows]: im2col.

    A single image [C, H, W] gives [C kh kw, windows]. Windows are counted row by row.
    """
    x, single = batched("unfold", input, 2)
    demand_floating("unfold", x)
    window, out = _windows("unfold", x.shape[2:], kernel_size, dilation, padding, stride)
    if x.shape[1] == 0:
        raise ShapeError(f"unfold: only the batch may be empty; got {describe(x)}.")
    return unbatched(Unfold.apply(x, window=window, out=out), single)


def fold(
    input: Tensor,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """Columns [N, C kh kw, windows] summed into images [N, C, *output_size]: col2im.

    What overlaps is added: the adjoint of `unfold`, not its inverse. Columns without a batch,
    [C kh kw, windows], give an image [C, *output_size].
    """
    y = check_tensor("fold", input)
    demand_floating("fold", y)
    if y.ndim not in (2, 3):
        raise ShapeError(
            "fold: input must be [N, C kh kw, windows], or [C kh kw, windows] without a batch; got "
            f"{describe(y)}."
        )
    single = y.ndim == 2
    size = per_axis("fold", "output_size", output_size, 2, 1)
    window, out = _windows("fold", size, kernel_size, dilation, padding, stride)
    rows, columns = y.shape[-2:]
    if rows % prod(window[0]) or rows == 0:
        raise ShapeError(
            f"fold: the rows of input {describe(y)} must be a multiple of kh kw = "
            f"{prod(window[0])}; got {rows}."
        )
    if columns != prod(out):
        raise ShapeError(
            f"fold: an image {size} has {out[0]} x {out[1]} = {prod(out)} windows, but input "
            f"{describe(y)} has {columns} columns."
        )
    y = y.reshape(1, *y.shape) if single else y
    shape = (y.shape[0], rows // prod(window[0]), *size)
    return unbatched(Fold.apply(y, window=window, out=out, shape=shape), single)
