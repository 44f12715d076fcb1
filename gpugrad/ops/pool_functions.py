"""Pooling functions, under PyTorch's names. Inputs are [N, C, spatial...] or [C, spatial...]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..tensor import Tensor
from . import pool
from .fractional_pool import fractional_max_pool2d, fractional_max_pool3d


def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """As `max_pool2d`, over one axis."""
    rest = (kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    return pool.max_pool(1, input, *rest)


def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest of each window: y[n, c, o] = max over t of x[n, c, o stride - padding + t d].

    stride: kernel_size unless given. Padding never wins; it is at most half the kernel size.
    ceil_mode: windows that the input only begins count too. NaN wins; of equals, the first.
    return_indices: also int64 positions of the maxima in the flattened planes, for `max_unpool2d`.
    """
    rest = (kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    return pool.max_pool(2, input, *rest)


def max_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """As `max_pool2d`, over three axes."""
    rest = (kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    return pool.max_pool(3, input, *rest)


def avg_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """As `avg_pool2d`, over one axis."""
    rest = (kernel_size, stride, padding, ceil_mode, count_include_pad, None)
    return pool.avg_pool(1, input, *rest)


def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window, zeros counting as padding where count_include_pad.

    stride: kernel_size unless given; divisor_override divides the sums instead.
    """
    rest = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return pool.avg_pool(2, input, *rest)


def avg_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """As `avg_pool2d`, over three axes."""
    rest = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return pool.avg_pool(3, input, *rest)


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """As `adaptive_avg_pool2d`, over one axis."""
    return pool.adaptive_avg_pool(1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means of windows that divide the input into output_size parts of nearly equal size.

    Window o covers floor(o in / out) up to ceil((o + 1) in / out). None keeps the input's size.
    """
    return pool.adaptive_avg_pool(2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """As `adaptive_avg_pool2d`, over three axes."""
    return pool.adaptive_avg_pool(3, input, output_size)


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """As `adaptive_max_pool2d`, over one axis."""
    return pool.adaptive_max_pool(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima of the windows of `adaptive_avg_pool2d`; return_indices as in `max_pool2d`."""
    return pool.adaptive_max_pool(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """As `adaptive_max_pool2d`, over three axes."""
    return pool.adaptive_max_pool(3, input, output_size, return_indices)


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """As `lp_pool2d`, over one axis."""
    return pool.lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """y = (sum over each window of x^p)^(1 / p), p = norm_type."""
    return pool.lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """As `lp_pool2d`, over three axes."""
    return pool.lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """As `max_unpool2d`, over one axis."""
    return pool.max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Each value at its index in a plane of zeros, undoing `max_pool2d` as far as possible.

    The result's size is (in - 1) stride - 2 padding + kernel_size, or output_size. Of values with
    one index the last stays.
    """
    return pool.max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """As `max_unpool2d`, over three axes."""
    return pool.max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


def _with_indices(function: Callable[..., Any]) -> Callable[..., Any]:
    """PyTorch's second name of a pooling function with return_indices=True."""
    name = f"{function.__name__}_with_indices"

    def pooled(*args: Any, **options: Any) -> Any:
        return function(*args, **{**options, "return_indices": True})

    pooled.__name__ = pooled.__qualname__ = name
    pooled.__doc__ = f"`{function.__name__}` with return_indices=True."
    return pooled


max_pool1d_with_indices = _with_indices(max_pool1d)
max_pool2d_with_indices = _with_indices(max_pool2d)
max_pool3d_with_indices = _with_indices(max_pool3d)
adaptive_max_pool1d_with_indices = _with_indices(adaptive_max_pool1d)
adaptive_max_pool2d_with_indices = _with_indices(adaptive_max_pool2d)
adaptive_max_pool3d_with_indices = _with_indices(adaptive_max_pool3d)
fractional_max_pool2d_with_indices = _with_indices(fractional_max_pool2d)
fractional_max_pool3d_with_indices = _with_indices(fractional_max_pool3d)
