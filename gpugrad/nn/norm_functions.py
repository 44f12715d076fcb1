"""Normalisation as functions, with PyTorch's arguments and error cases."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..amp.autocast_mode import AUTOCAST
from ..autograd.function import describe, mixed_devices
from ..dtype import accumulation
from ..errors import ArgumentError, DeviceError, ShapeError
from ..ops.convert import in_format_of
from ..ops.normalisation import AddLayerNorm, BatchNorm, GroupNorm, LayerNorm
from ..ops.operands import check_tensor, demand_floating
from ..ops.pool import AvgPool
from ..tensor import Tensor


def _input(name: str, input: Any, *others: Tensor | None) -> Tensor:
    """`input`, floating, on one device with the others. Raises DTypeError or DeviceError."""
    x = check_tensor(name, input)
    if AUTOCAST.on:
        (x,) = AUTOCAST.cast(name, x)
    demand_floating(name, x)
    for other in others:
        if other is not None and other.backend is not x.backend:
            raise DeviceError(mixed_devices(name, [x, *(t for t in others if t is not None)]))
    return x


def _vectors(name: str, x: Tensor, shape: tuple[int, ...], **vectors: Tensor | None) -> list[Any]:
    """The vectors, of `shape`; of x's dtype or its accumulation dtype, converted if need be."""
    found: list[Any] = []
    dtype = x.array.dtype
    for label, vector in vectors.items():
        if vector is None or (vector.array.shape == shape and vector.array.dtype == dtype):
            found.append(vector)
            continue
        if vector.shape != shape:
            raise ShapeError(
                f"{name}(input {x.shape}): {label} must have shape {shape}; got {vector.shape}."
            )
        demand_floating(f"{name}: {label}", vector)
        wide = accumulation(dtype)
        found.append(vector if vector.dtype in (dtype, wide) else vector.to(wide))
    return found


def _several_values(name: str, count: int, what: str, x: Tensor) -> None:
    if count == 1:
        raise ArgumentError(
            f"{name}: expected more than 1 {what} when training, got input size {x.shape}.\n"
            "  The variance of one value is 0: use a larger batch or input, or eval()."
        )


def fused_batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    residual: Tensor | None = None,
    act: str = "none",
) -> Tensor:
    """act(batch_norm(input) + residual), one kernel after the statistics; act "none" or "relu".

    residual has the shape and dtype of input. The other arguments are batch_norm's.
    """
    name = "batch_norm"
    x = _input(name, input, running_mean, running_var, weight, bias, residual)
    if x.ndim < 2:
        raise ShapeError(f"{name}: input must be (N, C, ...); got {x.shape}.")
    if (running_mean is None) != (running_var is None) or (not training and running_mean is None):
        raise ArgumentError(
            f"{name}: expected running_mean and running_var to be defined when training=False, and "
            f"to come together; got {running_mean is not None} and {running_var is not None}."
        )
    if act not in ("none", "relu"):
        raise ArgumentError(f'{name}: act is "none" or "relu"; got {act!r}.')
    if residual is not None and (residual.shape, residual.dtype) != (x.shape, x.dtype):
        raise ShapeError(
            f"{name}: residual must have the shape and dtype of input, {describe(x)}; got "
            f"{describe(residual)}."
        )
    if training and eps <= 0:
        raise ArgumentError(f"{name}: eps must be positive in training; got {eps}.")
    if training:
        _several_values(name, x.shape[0] * prod(x.shape[2:]), "value per channel", x)
    channels = (x.shape[1],)
    vectors = _vectors(name, x, channels, weight=weight, bias=bias)
    _vectors(name, x, channels, running_mean=running_mean, running_var=running_var)
    inputs = (x, *vectors, residual, running_mean, running_var)
    result: Tensor = BatchNorm.apply(
        *inputs, training=training, momentum=float(momentum), eps=float(eps), act=act
    )
    if training and running_mean is not None and running_var is not None:
        running_mean._counter.changed(name)
        running_var._counter.changed(name)
    return result


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) weight + bias for each channel of input (N, C, ...).

    training: mean and (biased) variance of the batch, and running_mean and running_var (or None)
    move by `momentum` towards mean and unbiased variance, in place; else these are what is used.
    Raises ArgumentError in training with one value per channel. Ioffe & Szegedy 2015.
    """
    return fused_batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def _check_rows(name: str, x: Tensor, normalized_shape: Any) -> tuple[int, ...]:
    """normalized_shape as a tuple that x's shape ends with. Raises ArgumentError, ShapeError."""
    if isinstance(normalized_shape, (int, np.integer)):
        normalized_shape = (int(normalized_shape),)
    shape = tuple([int(n) for n in normalized_shape])
    if not shape:
        raise ArgumentError(f"{name}: normalized_shape must have at least one axis; got ().")
    if x.array.shape[-len(shape) :] != shape:
        ends = ", ".join(["*", *map(str, shape)])
        raise ShapeError(
            f"{name}: given normalized_shape={shape}, expected input with shape ({ends}); "
            f"got {x.shape}."
        )
    return shape


def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) weight + bias, statistics over the last axes.

    normalized_shape: those axes; weight and bias have this shape. Raises ShapeError where input
    does not end with it. Ba, Kiros & Hinton 2016.
    """
    name = "layer_norm"
    x = _input(name, input, weight, bias)
    shape = _check_rows(name, x, normalized_shape)
    vectors = _vectors(name, x, shape, weight=weight, bias=bias)
    result: Tensor = LayerNorm.apply(x, *vectors, shape=shape, eps=float(eps), centred=True)
    return result


def rms_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) weight, the mean over the last axes, of normalized_shape.

    eps: unless given, the spacing at 1 of the dtype it is computed in, 2^-23 (float64: 2^-52).
    Zhang & Sennrich 2019.
    """
    name = "rms_norm"
    x = _input(name, input, weight)
    shape = _check_rows(name, x, normalized_shape)
    vectors = _vectors(name, x, shape, weight=weight)
    eps = float(np.finfo(accumulation(x.dtype)).eps if eps is None else eps)
    result: Tensor = LayerNorm.apply(x, *vectors, None, shape=shape, eps=eps, centred=False)
    return result


def add_layer_norm(
    input: Tensor,
    residual: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> tuple[Tensor, Tensor]:
    """(layer_norm(s), s) with s = input + residual, by one kernel; beyond PyTorch.

    input and residual of one shape and dtype; the other arguments are layer_norm's.
    """
    return _add_norm("add_layer_norm", input, residual, normalized_shape, weight, bias, eps, True)


def add_rms_norm(
    input: Tensor,
    residual: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> tuple[Tensor, Tensor]:
    """(rms_norm(s), s) with s = input + residual, by one kernel; beyond PyTorch."""
    return _add_norm("add_rms_norm", input, residual, normalized_shape, weight, None, eps, False)


def _add_norm(
    name: str,
    input: Tensor,
    residual: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float | None,
    centred: bool,
) -> tuple[Tensor, Tensor]:
    if AUTOCAST.on:
        (residual,) = AUTOCAST.cast(name, residual)
    x = _input(name, input, residual, weight, bias)
    if residual.shape != x.shape or residual.dtype != x.dtype:
        raise ShapeError(
            f"{name}: input and residual must have one shape and dtype; got {describe(x)}, "
            f"{describe(residual)}."
        )
    shape = _check_rows(name, x, normalized_shape)
    vectors = _vectors(name, x, shape, weight=weight, bias=bias)
    eps = float(np.finfo(accumulation(x.dtype)).eps if eps is None else eps)
    result: tuple[Tensor, Tensor] = AddLayerNorm.apply(
        x, *vectors, residual, shape=shape, eps=eps, centred=centred
    )
    return result


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) weight + bias, statistics of each sample's groups of channels.

    input (N, C, ...), num_groups divides C; weight and bias (C,). Wu & He 2018.
    """
    name = "group_norm"
    x = _input(name, input, weight, bias)
    if x.ndim < 2:
        raise ShapeError(f"{name}: expected at least 2 axes, (N, C, ...); got {x.shape}.")
    n, channels, *spatial = x.array.shape
    if num_groups <= 0 or channels % num_groups:
        raise ArgumentError(
            f"{name}: expected the number of channels to be divisible by num_groups; got input "
            f"{x.shape} with {channels} channels and num_groups={num_groups}."
        )
    _several_values(name, n * (channels // num_groups) * prod(spatial), "value per channel", x)
    vectors = _vectors(name, x, (channels,), weight=weight, bias=bias)
    result: Tensor = GroupNorm.apply(x, *vectors, groups=int(num_groups), eps=float(eps))
    return result


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) weight + bias, statistics of each sample's channels.

    input (N, C, spatial...). use_input_stats False: of running_mean and running_var, as batch_norm.
    Else these, if given, move by `momentum` towards the average over samples of mean and unbiased
    variance. Raises ArgumentError for one spatial element. Ulyanov, Vedaldi & Lempitsky 2016.
    """
    name = "instance_norm"
    x = _input(name, input, running_mean, running_var, weight, bias)
    if x.ndim < 3:
        raise ShapeError(f"{name}: input must be (N, C, spatial...); got {x.shape}.")
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    positions = prod(x.shape[2:])
    _several_values(name, positions, "spatial element", x)
    channels = (x.shape[1],)
    vectors = _vectors(name, x, channels, weight=weight, bias=bias)
    if running_mean is not None and running_var is not None and x.numel() > 0:
        _vectors(name, x, channels, running_mean=running_mean, running_var=running_var)
        _move_running(x, running_mean, running_var, momentum)
    result: Tensor = GroupNorm.apply(x, *vectors, groups=x.shape[1], eps=float(eps))
    return result


def _move_running(x: Tensor, mean: Tensor, var: Tensor, momentum: float) -> None:
    """Moves the running statistics of instances: those of each sample, averaged."""
    axes = tuple(range(2, x.ndim))
    wide = x.detach().to(accumulation(x.dtype))
    for running, new in (
        (mean, wide.mean(axes)),
        (var, wide.var(axes, correction=1)),
    ):
        running.lerp_(new.mean(0).to(running.dtype), momentum)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """x / (k + alpha a)^beta, a the average of x^2 over `size` channels around each.

    input (N, C, spatial...); channels beyond the ends count as 0. Krizhevsky et al. 2012.
    """
    name = "local_response_norm"
    x = _input(name, input)
    if x.ndim < 3:
        raise ShapeError(f"{name}: expected input (N, C, spatial...); got {x.shape}.")
    if size < 1:
        raise ArgumentError(f"{name}: size must be at least 1; got {size}.")
    n, channels, *spatial = x.shape
    shape = (n, 1, channels, prod(spatial))
    window = ((size, 1), (1, 1), (size // 2, 0), (1, 1))
    wide = x.to(accumulation(x.dtype))
    squares = wide.square().reshape(shape)
    average = AvgPool.apply(squares, window=window, shape=shape, padded=True, divisor=size)
    result: Tensor = wide / (average.reshape(x.shape) * alpha + k) ** beta
    return in_format_of(x, result.to(x.dtype))


__all__ = [
    "add_layer_norm",
    "add_rms_norm",
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "rms_norm",
]
