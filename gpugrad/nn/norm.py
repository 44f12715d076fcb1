"""Layers that normalise: BatchNorm, InstanceNorm, LayerNorm, RMSNorm, GroupNorm,
LocalResponseNorm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ..creation import empty, ones, zeros
from ..dtype import int64
from ..errors import ArgumentError, ShapeError
from ..recording import NOW
from ..tensor import Tensor
from . import init
from . import norm_functions as F
from .module import Module
from .parameter import Parameter


def _weights(module: Any, shape: Any, affine: bool, bias: bool, device: Any, dtype: Any) -> None:
    """weight and bias of `shape`, or None, as attributes."""
    module.weight = Parameter(empty(shape, device=device, dtype=dtype)) if affine else None
    module.bias = Parameter(empty(shape, device=device, dtype=dtype)) if affine and bias else None


class _Affine(Module):
    """A weight, initially ones, and a bias, initially zeros; each a Parameter or None."""

    weight: Parameter | None
    bias: Parameter | None

    def reset_parameters(self) -> None:
        """weight = 1, bias = 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class _Norm(_Affine):
    """What BatchNorm and InstanceNorm share: a weight, and statistics that move in training."""

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    ranks: ClassVar[tuple[int, ...]] = ()
    form = ""  # of the input, for errors
    optional_state = ("num_batches_tracked",)  # weights of before PyTorch 0.4.1 have none

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(num_features, (int, np.integer)) or num_features < 0:
            raise ArgumentError(
                f"{type(self).__name__}(num_features={num_features!r}): the number of channels is "
                "an integer of at least 0."
            )
        self.num_features, self.eps, self.momentum = int(num_features), eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        _weights(self, (self.num_features,), affine, bias, device, dtype)
        mean = var = tracked = None
        if track_running_stats:
            mean = zeros((self.num_features,), device=device, dtype=dtype)
            var = ones((self.num_features,), device=device, dtype=dtype)
            tracked = zeros((), device=device, dtype=int64)
        self.register_buffer("running_mean", mean)
        self.register_buffer("running_var", var)
        self.register_buffer("num_batches_tracked", tracked)
        self._tracked = (0, 0, 0)  # a state of num_batches_tracked, and its value then
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """running_mean = 0, running_var = 1, num_batches_tracked = 0."""
        if self.running_mean is None or self.running_var is None:
            return
        init.zeros_(self.running_mean)
        init.ones_(self.running_var)
        if self.num_batches_tracked is not None:
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """The running statistics anew, weight = 1, bias = 0."""
        self.reset_running_stats()
        super().reset_parameters()

    def _check_rank(self, x: Tensor) -> None:
        if x.ndim not in self.ranks:
            wanted = " or ".join(f"{n}D" for n in self.ranks)
            raise ShapeError(
                f"{type(self).__name__}: expected {wanted} input {self.form}; got {x.shape}."
            )

    def _check_channels(self, x: Tensor, axis: int) -> None:
        if x.shape[axis] != self.num_features:
            raise ShapeError(
                f"{type(self).__name__}({self.num_features}): expected {self.num_features} "
                f"channels on axis {axis} of input; got {x.shape[axis]} in {x.shape}."
            )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Norm):
    form = "(N, C, ...)"

    def forward(self, x: Tensor, residual: Tensor | None = None, act: str = "none") -> Tensor:
        self._check_rank(x)
        self._check_channels(x, 1)
        mean, var, batch = self.running_mean, self.running_var, self.training
        momentum = 0.0 if self.momentum is None else self.momentum
        if batch and not self.track_running_stats:
            mean = var = None
        if batch and mean is not None:
            momentum = self._count(momentum)
        batch = batch or (mean is None and var is None)
        return F.fused_batch_norm(
            x, mean, var, self.weight, self.bias, batch, momentum, self.eps, residual, act
        )

    def _count(self, momentum: float) -> float:
        """Adds 1 to num_batches_tracked; the share of this batch in the running statistics.

        The count is read from the device only where it was changed from outside, and in a
        captured step, which so refuses momentum None: its share would stay the same for ever.
        """
        tracked = self.num_batches_tracked
        if tracked is None:
            return momentum
        if self.momentum is not None:
            tracked.add_(1)
            return momentum
        counter = tracked._counter
        *state, known = self._tracked
        if state != [id(counter), counter.version] or NOW.recording is not None:
            known = int(tracked.item())
        tracked.add_(1)
        self._tracked = (id(counter), counter.version, known + 1)
        return 1.0 / (known + 1)


class BatchNorm1d(_BatchNorm):
    """y = (x - mean) / sqrt(var + eps) weight + bias, for each channel over batch and positions.

    Shapes: x (N, C) or (N, C, L) -> y like x; weight, bias, running_mean, running_var (C,).
    In training, mean and biased variance of the batch; running statistics move by `momentum`
    towards mean and unbiased variance (momentum None: their plain average over batches). In
    eval(), the running statistics, where they are tracked.
    ``bn(x, residual, act="relu")`` adds residual (like x) and applies relu in the same kernel;
    PyTorch has x alone. Initial values: weight 1, bias 0. Ioffe & Szegedy 2015.
    Raises ShapeError for wrong axes or channels, ArgumentError for one value per channel in
    training.
    """

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """BatchNorm1d's, for images (N, C, H, W)."""

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """BatchNorm1d's, for volumes (N, C, D, H, W)."""

    ranks = (5,)


class _InstanceNorm(_Norm):
    form = "(C, ...) or (N, C, ...)"

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def forward(self, x: Tensor) -> Tensor:
        self._check_rank(x)
        single = x.ndim == self.ranks[0]
        self._check_channels(x, 0 if single else 1)
        batch = x.unsqueeze(0) if single else x
        from_input = self.training or not self.track_running_stats
        momentum = 0.0 if self.momentum is None else self.momentum
        running = (self.running_mean, self.running_var)
        weights = (self.weight, self.bias)
        y = F.instance_norm(batch, *running, *weights, from_input, momentum, self.eps)
        return y.squeeze(0) if single else y


class InstanceNorm1d(_InstanceNorm):
    """y = (x - mean) / sqrt(var + eps) weight + bias, for each sample's channel over positions.

    Shapes: x (N, C, L) or (C, L) -> y like x; weight, bias (C,) with affine=True. With
    track_running_stats=True, running statistics as BatchNorm's, averaged over the samples, and used
    in eval(). Ulyanov, Vedaldi & Lempitsky 2016.
    Raises ShapeError for wrong axes or channels, ArgumentError for one position.
    """

    ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """InstanceNorm1d's, for images (N, C, H, W) or (C, H, W)."""

    ranks = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """InstanceNorm1d's, for volumes (N, C, D, H, W) or (C, D, H, W)."""

    ranks = (4, 5)


def _shape(normalized_shape: Any) -> tuple[int, ...]:
    if isinstance(normalized_shape, (int, np.integer)):
        return (int(normalized_shape),)
    return tuple(int(n) for n in normalized_shape)


class LayerNorm(_Affine):
    """y = (x - mean) / sqrt(var + eps) weight + bias, statistics over the last axes.

    Shapes: x (..., *normalized_shape) -> y like x; weight and bias (normalized_shape), or None
    without elementwise_affine. Initial values: 1 and 0. Ba, Kiros & Hinton 2016.
    Raises ShapeError when x does not end with normalized_shape.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape, self.eps = _shape(normalized_shape), eps
        self.elementwise_affine = elementwise_affine
        _weights(self, self.normalized_shape, elementwise_affine, bias, device, dtype)
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class RMSNorm(_Affine):
    """y = x / sqrt(mean(x^2) + eps) weight, the mean over the last axes.

    Shapes: x (..., *normalized_shape) -> y like x; weight (normalized_shape), initially 1, or None
    without elementwise_affine. eps None: 2^-23 (float64: 2^-52). Zhang & Sennrich 2019.
    Raises ShapeError when x does not end with normalized_shape.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape, self.eps = _shape(normalized_shape), eps
        self.elementwise_affine = elementwise_affine
        _weights(self, self.normalized_shape, elementwise_affine, False, device, dtype)
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(_Affine):
    """y = (x - mean) / sqrt(var + eps) weight + bias, for each sample's groups of channels.

    Shapes: x (N, C, ...) -> y like x; weight and bias (C,), or None without affine; num_groups
    divides C. Initial values: 1 and 0. Wu & He 2018.
    Raises ArgumentError when num_groups does not divide num_channels.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups <= 0 or num_channels % num_groups:
            raise ArgumentError(
                f"GroupNorm(num_groups={num_groups}, num_channels={num_channels}): num_channels "
                "must be divisible by num_groups."
            )
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        _weights(self, (num_channels,), affine, bias, device, dtype)
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """y = x / (k + alpha a)^beta, a the average of x^2 over `size` channels around each.

    Shapes: x (N, C, spatial...) -> y like x. Channels beyond the ends count as 0. Krizhevsky,
    Sutskever & Hinton 2012.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class CrossMapLRN2d(LocalResponseNorm):
    """LocalResponseNorm under its older name.

    PyTorch's class of this name leaves the first channel in the sums of all windows behind its
    own; this one does not.
    """
