"""Convolution and transposed convolution over one, two or three spatial axes.

The three products of a convolution are bilinear and closed under differentiation: each gradient of
fprop, dgrad and wgrad is again one of them. So gradients of any order are these kernels.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ..amp.autocast_mode import AUTOCAST
from ..autograd.function import Function, describe, mixed_devices
from ..backends.base import ConvWindow
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..tensor import Tensor
from .activation import ReluGrad
from .operands import check_tensor, demand_floating
from .windows import Sizes, batched, per_axis, planned, span, unbatched

_NAMES = ("", "conv1d", "conv2d", "conv3d")


def _channel_sum(dy: Tensor) -> Tensor:
    """The gradient of a bias: dy [N, K, spatial...] summed to [K]."""
    return dy.sum((0, *range(2, dy.array.ndim)))


class Fprop(Function):
    """y[n, k, o] = act(sum over c, t of w[k, c, t] x[n, c, o s - p + t d] + b[k] + r[n, k, o]).

    With dz = dy act'(y):  dx = dgrad(dz, w), dw = wgrad(x, dz), db = sum of dz, dr = dz.
    act is "none" or "relu"; b and r may be None.
    """

    def forward(
        self, x: Any, w: Any, b: Any, r: Any, window: ConvWindow, shape: Sizes, act: str
    ) -> Any:
        self.window, self.of, self.like = window, x.shape, w.shape
        y = self.kernels.conv_fprop(x, w, window, shape, b, act, r)
        edges = self.edges
        self.save(x if edges[1] else None, w if edges[0] else None, y if act == "relu" else None)
        return y

    def backward(self, dy: Tensor) -> Any:
        x, w, y = self.saved
        dz = dy if y is None else ReluGrad.apply(dy, y)
        window, needs = self.window, self.edges
        dx = Dgrad.apply(dz, w, None, window=window, shape=self.of) if needs[0] else None
        dw = Wgrad.apply(x, dz, window=window, shape=self.like) if needs[1] else None
        return dx, dw, (_channel_sum(dz) if needs[2] else None), (dz if needs[3] else None)


class Dgrad(Function):
    """dx[n, c, i] = sum over the k, o, t that meet i of w[k, c, t] dy[n, k, o], + b[c].

    Its gradients for a gradient g of dx:  fprop(g, w) for dy, wgrad(g, dy) for w, sum of g for b.
    """

    def forward(self, dy: Any, w: Any, b: Any, window: ConvWindow, shape: Sizes) -> Any:
        self.window, self.of, self.like = window, dy.shape, w.shape
        edges = self.edges
        self.save(dy if edges[1] else None, w if edges[0] else None)
        return self.kernels.conv_dgrad(dy, w, window, shape, b)

    def backward(self, g: Tensor) -> Any:
        dy, w = self.saved
        window, needs = self.window, self.edges
        options: dict[str, Any] = {"window": window, "shape": self.of, "act": "none"}
        ddy = Fprop.apply(g, w, None, None, **options) if needs[0] else None
        dw = Wgrad.apply(g, dy, window=window, shape=self.like) if needs[1] else None
        return ddy, dw, (_channel_sum(g) if needs[2] else None)


class Wgrad(Function):
    """dw[k, c, t] = sum over n, o of dy[n, k, o] x[n, c, o s - p + t d].

    Its gradients for a gradient g of dw:  dgrad(dy, g) for x, fprop(x, g) for dy.
    """

    def forward(self, x: Any, dy: Any, window: ConvWindow, shape: Sizes) -> Any:
        self.window, self.of, self.like = window, x.shape, dy.shape
        edges = self.edges
        self.save(x if edges[1] else None, dy if edges[0] else None)
        return self.kernels.conv_wgrad(x, dy, window, shape)

    def backward(self, g: Tensor) -> Any:
        x, dy = self.saved
        window, needs = self.window, self.edges
        options: dict[str, Any] = {"window": window, "shape": self.like, "act": "none"}
        dx = Dgrad.apply(dy, g, None, window=window, shape=self.of) if needs[0] else None
        return dx, (Fprop.apply(x, g, None, None, **options) if needs[1] else None)


def _check_together(name: str, x: Tensor, w: Tensor, b: Tensor | None) -> None:
    """Tensors of one device and one floating dtype."""
    dtype, backend, agree = x.array.dtype, x.backend, True
    for t in (w,) if b is None else (w, b):
        if check_tensor(name, t).backend is not backend:
            raise DeviceError(mixed_devices(name, (x, w, b)))
        agree = agree and (t.array.dtype is dtype or t.array.dtype == dtype)
    demand_floating(name, x)
    if not agree:
        facts = ", ".join(describe(t) for t in (x, w, b) if t is not None)
        raise DTypeError(
            f"{name}: input, weight and bias must have one dtype; got {facts}.\n"
            "  Convert them with .to(dtype), a whole model with model.to(dtype)."
        )


def _check_weight(name: str, axes: int, w: Sizes) -> None:
    """A weight of the right rank, with at least one tap."""
    if len(w) != axes + 2:
        raise ShapeError(
            f"{name}: weight must have {axes + 2} axes, two for channels and {axes} for the "
            f"kernel; got {w}."
        )
    if min(w[2:]) < 1:
        raise ShapeError(f"{name}: the kernel of weight {w} has no taps.")


def _check_channels(name: str, x: Sizes, w: Sizes, b: Sizes | None, groups: int) -> None:
    """x [N, C, ...] and w [K, C / groups, ...] fit, and groups divides K."""
    if x[1] != w[1] * groups:
        if x[1] % groups:
            text = f"the input's {x[1]} channels are not divisible by groups={groups}."
        else:
            text = f"weight {w} wants {w[1] * groups} input channels"
            text += f" ({w[1]} in each of {groups} groups)." if groups > 1 else "."
        raise ShapeError(f"{name}: input {x} does not fit: {text}")
    if w[0] % groups:
        raise ShapeError(
            f"{name}: weight {w} has {w[0]} output channels, not divisible by groups={groups}."
        )
    _check_bias(name, b, w[0])


def _check_bias(name: str, b: Sizes | None, channels: int) -> None:
    if b is not None and b != (channels,):
        raise ShapeError(
            f"{name}: bias must have shape ({channels},), one for each output channel; got {b}."
        )


def _padding(name: str, padding: Any, stride: Sizes, extent: Sizes) -> tuple[Sizes, bool]:
    """(padding before the first element, whether the output is as large as the input)."""
    if not isinstance(padding, str):
        return per_axis(name, "padding", padding, len(stride), 0), False
    if padding not in ("same", "valid"):
        raise ArgumentError(f"{name}: padding must be numbers, 'same' or 'valid', not {padding!r}.")
    if padding == "valid":
        return (0,) * len(stride), False
    if max(stride) > 1:
        raise ArgumentError(
            f"{name}: padding='same' keeps the size, so stride must be 1, not {stride}."
        )
    return tuple([(n - 1) // 2 for n in extent]), True  # the odd one is behind


def _window_counts(name: str, size: Sizes, kernel: Sizes, window: ConvWindow) -> Sizes:
    """How many windows fit along each axis: (in + 2 p - d (k - 1) - 1) // s + 1."""
    stride, padding, dilation, _ = window
    extent = span(kernel, dilation)
    padded = tuple([n + 2 * p for n, p in zip(size, padding, strict=True)])
    if any(e > n for e, n in zip(extent, padded, strict=True)):
        spread = f", which dilation {dilation} spreads over {extent}," if extent != kernel else ""
        raise ShapeError(
            f"{name}: the kernel {kernel}{spread} is larger than the padded input {padded} "
            f"(input {size}, padding {padding})."
        )
    return tuple([(n - e) // s + 1 for n, e, s in zip(padded, extent, stride, strict=True)])


@lru_cache(maxsize=1024, typed=True)
def _plan(
    axes: int, x: Sizes, w: Sizes, b: Sizes | None, stride: Any, padding: Any, dilation: Any, n: Any
) -> tuple[ConvWindow, Sizes]:
    """The window, n groups, and the result's shape; raises what is wrong with the shapes."""
    name = f"conv{axes}d"
    _check_weight(name, axes, w)
    stride = per_axis(name, "stride", stride, axes, 1)
    dilation = per_axis(name, "dilation", dilation, axes, 1)
    (groups,) = per_axis(name, "groups", n, 1, 1)
    low, same = _padding(name, padding, stride, span(w[2:], dilation))
    _check_channels(name, x, w, b, groups)
    window = (stride, low, dilation, groups)
    out = x[2:] if same else _window_counts(name, x[2:], w[2:], window)
    return window, (x[0], w[0], *out)


def convolve(
    axes: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    act: str = "none",
    residual: Tensor | None = None,
) -> Tensor:
    """conv1d, conv2d or conv3d; with act(... + residual) in the same kernel, act none or relu."""
    name = _NAMES[axes]
    if AUTOCAST.on:
        values = (input, weight, bias, residual)
        input, weight, bias, residual = AUTOCAST.cast(name, *values)
    x, single = batched(name, input, axes)
    _check_together(name, x, weight, bias)
    shapes = (x.array.shape, weight.array.shape, None if bias is None else bias.array.shape)
    window, shape = planned(_plan, axes, *shapes, stride, padding, dilation, groups)
    y: Tensor = Fprop.apply(x, weight, bias, residual, window=window, shape=shape, act=act)
    return unbatched(y, single) if single else y


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """As `conv2d`, over one axis: input [N, C, L], weight [K, C / groups, taps]."""
    return convolve(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """y[n, k, o] = bias[k] + sum over c, t of weight[k, c, t] input[n, c, o stride - padding + t
    dilation], zero outside the input.

    input [N, C, H, W] or [C, H, W], weight [K, C / groups, taps...], bias [K], y [N, K, ...], whose
    sizes are (in + 2 padding - dilation (taps - 1) - 1) // stride + 1. Group g of K / groups
    outputs reads the g-th C / groups channels. padding: numbers, "valid" (none), or "same" (the
    output is as large as the input; stride 1). Floating, one dtype; half types accumulate in
    float32. Channels-last where input or weight is.
    """
    return convolve(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """As `conv2d`, over three axes: input [N, C, D, H, W], weight [K, C / groups, taps...]."""
    return convolve(3, input, weight, bias, stride, padding, dilation, groups)


def _transposed_size(
    name: str, size: Sizes, kernel: Sizes, window: ConvWindow, extra: Sizes
) -> Sizes:
    """(in - 1) stride - 2 padding + dilation (taps - 1) + output_padding + 1 along each axis."""
    stride, padding, dilation, _ = window
    for e, s, d in zip(extra, stride, dilation, strict=True):
        if e >= max(s, d):
            raise ArgumentError(
                f"{name}: output_padding must be smaller than stride or dilation; got "
                f"output_padding {extra}, stride {stride}, dilation {dilation}."
            )
    rows = zip(size, stride, padding, span(kernel, dilation), extra, strict=True)
    out = tuple([(n - 1) * s - 2 * p + e + x for n, s, p, e, x in rows])
    if min(size) < 1 or min(out) < 1:
        raise ShapeError(
            f"{name}: input {size}, kernel {kernel}, stride {stride} and padding {padding} give "
            f"the output size {out}; every size must be at least 1."
        )
    return out


@lru_cache(maxsize=1024, typed=True)
def _transposed_plan(
    axes: int,
    x: Sizes,
    w: Sizes,
    b: Sizes | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: Any,
    dilation: Any,
) -> tuple[ConvWindow, Sizes]:
    """As `_plan`, for a transposed convolution."""
    name = f"conv_transpose{axes}d"
    _check_weight(name, axes, w)
    window = (
        per_axis(name, "stride", stride, axes, 1),
        per_axis(name, "padding", padding, axes, 0),
        per_axis(name, "dilation", dilation, axes, 1),
        per_axis(name, "groups", groups, 1, 1)[0],
    )
    extra = per_axis(name, "output_padding", output_padding, axes, 0)
    if x[1] != w[0] or w[0] % window[3]:
        reason = f"weight {w} wants {w[0]}"
        if x[1] == w[0]:
            reason = f"not divisible by groups={groups}"
        raise ShapeError(f"{name}: input {x} has {x[1]} channels, {reason}.")
    channels = w[1] * window[3]
    _check_bias(name, b, channels)
    return window, (x[0], channels, *_transposed_size(name, x[2:], w[2:], window, extra))


def convolve_transposed(
    axes: int, input: Tensor, weight: Tensor, bias: Tensor | None, *window_arguments: Any
) -> Tensor:
    """conv_transpose1d, 2d or 3d; then stride, padding, output_padding, groups, dilation."""
    name = f"conv_transpose{axes}d"
    if AUTOCAST.on:
        input, weight, bias = AUTOCAST.cast(name, input, weight, bias)
    x, single = batched(name, input, axes)
    _check_together(name, x, weight, bias)
    shapes = (x.array.shape, weight.array.shape, None if bias is None else bias.array.shape)
    window, shape = planned(_transposed_plan, axes, *shapes, *window_arguments)
    return unbatched(Dgrad.apply(x, weight, bias, window=window, shape=shape), single)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """As `conv_transpose2d`, over one axis."""
    rest = (stride, padding, output_padding, groups, dilation)
    return convolve_transposed(1, input, weight, bias, *rest)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The gradient of `conv2d` for its input, as an operation of its own, plus a bias.

    input [N, C, H, W] or [C, H, W], weight [C, K / groups, taps...], bias [K], y [N, K, ...] of
    sizes (in - 1) stride - 2 padding + dilation (taps - 1) + output_padding + 1.
    """
    rest = (stride, padding, output_padding, groups, dilation)
    return convolve_transposed(2, input, weight, bias, *rest)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """As `conv_transpose2d`, over three axes."""
    rest = (stride, padding, output_padding, groups, dilation)
    return convolve_transposed(3, input, weight, bias, *rest)
