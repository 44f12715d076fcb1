"""Pooling layers. x is (N, C, spatial...) or (C, spatial...); y has the same channels."""

from __future__ import annotations

from typing import Any, ClassVar

from ..ops import pool
from ..tensor import Tensor
from .module import Module


class _Pool(Module):
    """A layer over `axes` spatial axes, which prints the attributes named in `shown`."""

    axes: ClassVar[int]
    shown: ClassVar[tuple[str, ...]] = ("kernel_size", "stride", "padding")

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.shown)


class _MaxPool(_Pool):
    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, x: Tensor) -> Any:
        window = (self.kernel_size, self.stride, self.padding, self.dilation)
        return pool.max_pool(self.axes, x, *window, self.ceil_mode, self.return_indices)


class MaxPool1d(_MaxPool):
    """As `MaxPool2d`, over one axis: x (N, C, L)."""

    axes = 1


class MaxPool2d(_MaxPool):
    """y[n, c, o] = max over the taps t of x[n, c, o stride - padding + t dilation].

    Sizes of y: (in + 2 padding - dilation (kernel_size - 1) - 1) / stride + 1, rounded down, or up
    with ceil_mode; the last window must start inside x or the padding before it. stride is
    kernel_size unless given. return_indices: also the maxima's places, for `MaxUnpool2d`.
    Raises ShapeError where nothing would be left.
    """

    axes = 2


class MaxPool3d(_MaxPool):
    """As `MaxPool2d`, over three axes: x (N, C, D, H, W)."""

    axes = 3


class AvgPool1d(_Pool):
    """As `AvgPool2d`, over one axis and without divisor_override: x (N, C, L)."""

    axes = 1
    divisor_override: int | None = None

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        window = (self.kernel_size, self.stride, self.padding)
        rest = (self.ceil_mode, self.count_include_pad, self.divisor_override)
        return pool.avg_pool(self.axes, x, *window, *rest)


class AvgPool2d(AvgPool1d):
    """y[n, c, o] = the mean of x over window o.

    Sizes of y as for `MaxPool2d`. Zeros of the padding count as elements where count_include_pad;
    divisor_override divides the sums instead of the number of elements.
    """

    axes = 2

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        self.divisor_override = divisor_override


class AvgPool3d(AvgPool2d):
    """As `AvgPool2d`, over three axes: x (N, C, D, H, W)."""

    axes = 3


class _AdaptiveAvgPool(_Pool):
    shown = ("output_size",)

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return pool.adaptive_avg_pool(self.axes, x, self.output_size)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """As `AdaptiveAvgPool2d`, over one axis: x (N, C, L)."""

    axes = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means of windows that divide x into output_size nearly equal parts, whatever its size.

    Window o covers floor(o in / out) up to, not including, ceil((o + 1) in / out). output_size: a
    number or one for each axis, None keeping x's; 1 is global average pooling.
    """

    axes = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """As `AdaptiveAvgPool2d`, over three axes: x (N, C, D, H, W)."""

    axes = 3


class _AdaptiveMaxPool(_Pool):
    shown = ("output_size",)

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, x: Tensor) -> Any:
        return pool.adaptive_max_pool(self.axes, x, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """As `AdaptiveMaxPool2d`, over one axis: x (N, C, L)."""

    axes = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maxima of the windows of `AdaptiveAvgPool2d`; return_indices: also their places in x."""

    axes = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """As `AdaptiveMaxPool2d`, over three axes: x (N, C, D, H, W)."""

    axes = 3


class _LPPool(_Pool):
    shown = ("norm_type", "kernel_size", "stride", "ceil_mode")

    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        window = (self.norm_type, self.kernel_size, self.stride, self.ceil_mode)
        return pool.lp_pool(self.axes, x, *window)


class LPPool1d(_LPPool):
    """As `LPPool2d`, over one axis: x (N, C, L)."""

    axes = 1


class LPPool2d(_LPPool):
    """y[n, c, o] = (sum over window o of x^p)^(1 / p), p = norm_type; 1 gives sums.

    Sizes of y as for `MaxPool2d`, without padding.
    """

    axes = 2


class LPPool3d(_LPPool):
    """As `LPPool2d`, over three axes: x (N, C, D, H, W)."""

    axes = 3


class _MaxUnpool(_Pool):
    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding = padding

    def forward(self, x: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """indices: those that max pooling returned; output_size: as for the function."""
        window = (self.kernel_size, self.stride, self.padding)
        return pool.max_unpool(self.axes, x, indices, *window, output_size)


class MaxUnpool1d(_MaxUnpool):
    """As `MaxUnpool2d`, over one axis: x (N, C, L)."""

    axes = 1


class MaxUnpool2d(_MaxUnpool):
    """Each value of x at its index in a plane of zeros: undoes `MaxPool2d` as far as possible.

    Sizes of y: (in - 1) stride - 2 padding + kernel_size, or the output_size given to forward,
    where pooling has rounded.
    """

    axes = 2


class MaxUnpool3d(_MaxUnpool):
    """As `MaxUnpool2d`, over three axes: x (N, C, D, H, W)."""

    axes = 3
