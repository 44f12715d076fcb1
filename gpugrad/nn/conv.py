"""Convolutions and transposed convolutions over one, two or three spatial axes."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ..creation import empty
from ..errors import ArgumentError, ShapeError
from ..ops.conv import convolve, convolve_transposed
from ..ops.pad import pad
from ..ops.windows import Sizes, per_axis, span
from ..tensor import Tensor
from . import init
from .module import Module
from .parameter import Parameter

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """What all convolutions share: arguments, parameters, initial values, description."""

    axes: ClassVar[int]
    transposed: ClassVar[bool] = False
    bias: Parameter | None
    padding: Any

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        output_padding: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        name, axes = type(self).__name__, self.axes
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self._check_channels(name)
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, axes, 1)
        self.stride = per_axis(name, "stride", stride, axes, 1)
        self.dilation = per_axis(name, "dilation", dilation, axes, 1)
        self.output_padding = per_axis(name, "output_padding", output_padding, axes, 0)
        self.padding = self._checked_padding(name, padding)
        self.padding_mode = self._checked_mode(name, padding_mode)
        self._make_parameters(bias, device, dtype)

    def _weight_shape(self) -> tuple[int, ...]:
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        return (first, second // self.groups, *self.kernel_size)

    def _make_parameters(self, bias: bool, device: Any, dtype: Any) -> None:
        place = {"device": device, "dtype": dtype}
        self.weight = Parameter(empty(self._weight_shape(), **place))
        self.bias = Parameter(empty((self.out_channels,), **place)) if bias else None
        self.reset_parameters()

    def _check_channels(self, name: str) -> None:
        per_axis(name, "groups", self.groups, 1, 1)
        for label in ("in_channels", "out_channels"):
            (n,) = per_axis(name, label, getattr(self, label), 1, 1)
            if n % self.groups:
                raise ArgumentError(
                    f"{name}: {label}={n} is not divisible by groups={self.groups}."
                )

    def _checked_mode(self, name: str, mode: str) -> str:
        known = ("zeros",) if self.transposed else _PADDING_MODES
        if mode not in known:
            words = ", ".join(map(repr, known))
            raise ArgumentError(f"{name}: padding_mode must be one of {words}; got {mode!r}.")
        return mode

    def _checked_padding(self, name: str, padding: Any) -> Any:
        if not isinstance(padding, str):
            return per_axis(name, "padding", padding, self.axes, 0)
        if self.transposed or padding not in ("same", "valid"):
            words = "numbers" if self.transposed else "numbers, 'same' or 'valid'"
            raise ArgumentError(f"{name}: padding must be {words}, not {padding!r}.")
        if padding == "same" and max(self.stride) > 1:
            raise ArgumentError(
                f"{name}: padding='same' keeps the size, so stride must be 1, not {self.stride}."
            )
        return padding

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(math.prod(self.weight.shape[1:]))
            init.uniform_(self.bias, -bound, bound)

    def _border(self) -> Sizes:
        """What `pad` takes for this padding: (before, after) of each axis, the last axis first."""
        if self.padding == "valid":
            return (0, 0) * self.axes
        if self.padding == "same":
            totals = [n - 1 for n in span(self.kernel_size, self.dilation)]
            pairs = [(n // 2, n - n // 2) for n in totals]
        else:
            pairs = [(p, p) for p in self.padding]
        return tuple([n for pair in reversed(pairs) for n in pair])

    def forward(self, x: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            x, padding = pad(x, self._border(), mode=self.padding_mode), 0
        parameters = (self.weight, self.bias)
        return convolve(self.axes, x, *parameters, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        parts.append(f"stride={self.stride}")
        zeros, ones = (0,) * self.axes, (1,) * self.axes
        optional = {"padding": zeros, "dilation": ones, "output_padding": zeros, "groups": 1}
        for name, default in optional.items():
            value = getattr(self, name)
            if value != default:
                parts.append(f"{name}={value}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _Conv(_ConvNd):
    """The constructor of the convolutions."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        place = (padding_mode, device, dtype)
        window = (kernel_size, stride, padding, dilation, 0)
        super().__init__(in_channels, out_channels, *window, groups, bias, *place)


class Conv1d(_Conv):
    """As `Conv2d`, over one axis: x (N, C_in, L) -> y (N, C_out, L')."""

    axes = 1


class Conv2d(_Conv):
    """y[n, k] = bias[k] + sum over channels c of weight[k, c] * x[n, c], a cross-correlation.

    Shapes: x (N, C_in, H, W) or (C_in, H, W) -> y (N, C_out, H', W');
    H' = (H + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1, and W' likewise;
    weight (C_out, C_in / groups, kernel...), bias (C_out,) or None.
    padding: numbers, "valid" (none) or "same" (y as large as x; stride 1). padding_mode: zeros,
    reflect, replicate or circular. groups: output group g reads input group g only.
    Initial values: both uniform in +-1/sqrt(fan_in), fan_in = C_in / groups * kernel size
    (PyTorch's default: He et al. 2015 with a = sqrt 5 for the weight).
    Raises ShapeError when x has other channels, or is smaller than the kernel once padded.
    """

    axes = 2


class Conv3d(_Conv):
    """As `Conv2d`, over three axes: x (N, C_in, D, H, W) -> y (N, C_out, D', H', W')."""

    axes = 3


class _ConvTranspose(_ConvNd):
    """The constructor and the forward of the transposed convolutions."""

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        place = (padding_mode, device, dtype)
        window = (kernel_size, stride, padding, dilation, output_padding)
        super().__init__(in_channels, out_channels, *window, groups, bias, *place)

    def forward(self, x: Tensor, output_size: Any = None) -> Tensor:
        """output_size: the wanted spatial sizes; they determine output_padding."""
        extra = self.output_padding if output_size is None else self._extra(x, output_size)
        rest = (self.stride, self.padding, extra, self.groups, self.dilation)
        return convolve_transposed(self.axes, x, self.weight, self.bias, *rest)

    def _extra(self, x: Tensor, output_size: Any) -> Sizes:
        """The output_padding that gives output_size, between 0 and stride - 1."""
        name = type(self).__name__
        given, size = tuple(output_size), tuple(x.shape)[-self.axes :]
        wanted = per_axis(name, "output_size", given[-self.axes :], self.axes, 1)
        reach = span(self.kernel_size, self.dilation)
        rows = zip(size, self.stride, self.padding, reach, strict=True)
        smallest = tuple([(n - 1) * s - 2 * p + e for n, s, p, e in rows])
        extra = tuple([w - n for w, n in zip(wanted, smallest, strict=True)])
        if any(not 0 <= e < s for e, s in zip(extra, self.stride, strict=True)):
            largest = tuple([n + s - 1 for n, s in zip(smallest, self.stride, strict=True)])
            raise ShapeError(
                f"{name}: output_size {given} cannot be reached from input {tuple(x.shape)}; legal "
                f"spatial sizes are {smallest} to {largest}."
            )
        return extra


class ConvTranspose1d(_ConvTranspose):
    """As `ConvTranspose2d`, over one axis: x (N, C_in, L) -> y (N, C_out, L')."""

    axes = 1


class ConvTranspose2d(_ConvTranspose):
    """The gradient of a `Conv2d` for its input, as a layer: each pixel of x adds its multiple of
    the kernel to y.

    Shapes: x (N, C_in, H, W) or (C_in, H, W) -> y (N, C_out, H', W');
    H' = (H - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1, W' likewise;
    weight (C_in, C_out / groups, kernel...), bias (C_out,) or None.
    output_padding (smaller than stride or dilation) says which of the sizes that a convolution
    takes to x's is meant; `forward(x, output_size)` names the size instead.
    Initial values: both uniform in +-1/sqrt(C_out / groups * kernel size), as PyTorch.
    Raises ShapeError when x has other channels. (Zeiler et al. 2010.)
    """

    axes = 2


class ConvTranspose3d(_ConvTranspose):
    """As `ConvTranspose2d`, over three axes."""

    axes = 3
