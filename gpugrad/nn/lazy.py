"""Layers that learn the size of their input from the first batch.

    net = nn.Sequential(nn.LazyConv2d(8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))
    net(images)  # now an ordinary network

Until then their parameters have no shape; they can be moved and loaded, but not used; no optimizer
takes them, and gg.save refuses them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ..creation import zeros
from ..dtype import int64
from ..errors import ArgumentError, ShapeError
from ..ops.windows import per_axis
from ..tensor import Tensor
from .conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    _ConvNd,
)
from .linear import Linear
from .module import Module
from .norm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    _Norm,
)
from .parameter import Uninitialized, UninitializedBuffer, UninitializedParameter, is_lazy
from .state import own_buffers, own_parameters


class LazyModuleMixin(Module):
    """A module that makes its parameters on its first call, then becomes `cls_to_become`.

    Subclasses write initialize_parameters(*args, **kwargs), which is given what forward is given,
    and materializes the UninitializedParameters.
    """

    cls_to_become: ClassVar[type[Module] | None] = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.initialize_parameters(*args, **kwargs)
        if self.has_uninitialized_params():
            raise ArgumentError(
                f"{type(self).__name__}.initialize_parameters left parameters uninitialised"
            )
        if self.cls_to_become is None:
            return super().__call__(*args, **kwargs)
        object.__setattr__(self, "__class__", self.cls_to_become)
        return self(*args, **kwargs)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Gives the parameters their shapes and first values; every subclass writes its own."""
        raise NotImplementedError(
            f"{type(self).__name__} has no initialize_parameters(); write one"
        )

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer of this very module has no shape yet."""
        own = [*own_parameters(self), *own_buffers(self)]
        return any(is_lazy(tensor) for _, tensor in own)


class LazyLinear(LazyModuleMixin, Linear):
    """`Linear` whose in_features is the last axis of the first x."""

    cls_to_become = Linear
    weight: UninitializedParameter
    bias: UninitializedParameter | None

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        Module.__init__(self)
        self.in_features, self.out_features = 0, out_features
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.bias = UninitializedParameter(device=device, dtype=dtype) if bias else None

    def reset_parameters(self) -> None:
        """Draws new initial values, once there are parameters."""
        if not self.has_uninitialized_params():
            super().reset_parameters()

    def initialize_parameters(self, x: Tensor, *rest: Any, **options: Any) -> None:
        """Shapes from x (..., in_features)."""
        if not self.has_uninitialized_params():
            self.in_features = self.weight.shape[1]  # the values were loaded
            return
        if x.ndim == 0:
            raise ShapeError("LazyLinear: x must be (..., in_features); got a 0-d tensor.")
        self.in_features = x.shape[-1]
        self.weight.materialize((self.out_features, self.in_features))
        if self.bias is not None:
            self.bias.materialize((self.out_features,))
        self.reset_parameters()


class _LazyConv(LazyModuleMixin, _ConvNd):
    """A convolution whose in_channels are the channels of the first x."""

    weight: UninitializedParameter
    bias: UninitializedParameter | None

    def _check_channels(self, name: str) -> None:
        if self.in_channels:
            super()._check_channels(name)
            return
        per_axis(name, "groups", self.groups, 1, 1)
        per_axis(name, "out_channels", self.out_channels, 1, 1)
        if self.out_channels % self.groups:
            raise ArgumentError(
                f"{name}: out_channels={self.out_channels} is not divisible by "
                f"groups={self.groups}."
            )

    def _make_parameters(self, bias: bool, device: Any, dtype: Any) -> None:
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.bias = UninitializedParameter(device=device, dtype=dtype) if bias else None

    def reset_parameters(self) -> None:
        """Draws new initial values, once there are parameters."""
        if not self.has_uninitialized_params():
            super().reset_parameters()

    def initialize_parameters(self, x: Tensor, *rest: Any, **options: Any) -> None:
        """Shapes from x (N, C_in, ...) or (C_in, ...)."""
        if not self.has_uninitialized_params():
            if self.in_channels == 0:  # the values were loaded
                shape = self.weight.shape
                self.in_channels = shape[0] if self.transposed else shape[1] * self.groups
            return
        if x.ndim not in (self.axes + 1, self.axes + 2):
            raise ShapeError(
                f"{type(self).__name__}: x must have {self.axes + 2} axes, or {self.axes + 1}; "
                f"got {x.shape}."
            )
        self.in_channels = x.shape[-self.axes - 1]
        self._check_channels(type(self).__name__)
        self.weight.materialize(self._weight_shape())
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()


class _LazyForward(_LazyConv):
    """The constructor of the lazy convolutions."""

    def __init__(
        self,
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
        _ConvNd.__init__(self, 0, out_channels, *window, groups, bias, *place)


class _LazyTransposed(_LazyConv):
    """The constructor of the lazy transposed convolutions."""

    def __init__(
        self,
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
        _ConvNd.__init__(self, 0, out_channels, *window, groups, bias, *place)


class LazyConv1d(_LazyForward, Conv1d):
    """`Conv1d` whose in_channels the first x tells."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyForward, Conv2d):
    """`Conv2d` whose in_channels the first x tells."""

    cls_to_become = Conv2d


class LazyConv3d(_LazyForward, Conv3d):
    """`Conv3d` whose in_channels the first x tells."""

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyTransposed, ConvTranspose1d):
    """`ConvTranspose1d` whose in_channels the first x tells."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyTransposed, ConvTranspose2d):
    """`ConvTranspose2d` whose in_channels the first x tells."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyTransposed, ConvTranspose3d):
    """`ConvTranspose3d` whose in_channels the first x tells."""

    cls_to_become = ConvTranspose3d


class _LazyNorm(LazyModuleMixin, _Norm):
    """A normalisation whose num_features are the channels of the first x."""

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        _Norm.__init__(self, 0, eps, momentum, False, False)
        self.affine, self.track_running_stats = affine, track_running_stats
        place = {"device": device, "dtype": dtype}
        self.weight = UninitializedParameter(**place) if affine else None
        self.bias = UninitializedParameter(**place) if affine and bias else None
        if track_running_stats:
            self.running_mean = UninitializedBuffer(**place)
            self.running_var = UninitializedBuffer(**place)
            self.num_batches_tracked = zeros((), device=device, dtype=int64)

    def reset_parameters(self) -> None:
        """First values, once there are parameters."""
        if not self.has_uninitialized_params():
            super().reset_parameters()

    def initialize_parameters(self, x: Tensor, *rest: Any, **options: Any) -> None:
        """Shapes from x (N, C, ...); InstanceNorm takes (C, ...), too."""
        own = (self.weight, self.bias, self.running_mean, self.running_var)
        waiting = [t for t in own if isinstance(t, Uninitialized)]
        if self.num_features == 0:
            loaded = [t.shape[0] for t in own if t is not None and not is_lazy(t)]
            if not loaded:
                self._check_rank(x)
            self.num_features = loaded[0] if loaded else x.shape[self._channel_axis(x)]
        for tensor in waiting:
            tensor.materialize((self.num_features,))
        if waiting:
            self.reset_parameters()

    def _channel_axis(self, x: Tensor) -> int:
        single = issubclass(type(self), (InstanceNorm1d, InstanceNorm2d, InstanceNorm3d))
        return 0 if single and x.ndim == self.ranks[0] else 1


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """`BatchNorm1d` whose num_features the first x tells."""

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """`BatchNorm2d` whose num_features the first x tells."""

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """`BatchNorm3d` whose num_features the first x tells."""

    cls_to_become = BatchNorm3d


class LazyInstanceNorm1d(_LazyNorm, InstanceNorm1d):
    """`InstanceNorm1d` whose num_features the first x tells."""

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyNorm, InstanceNorm2d):
    """`InstanceNorm2d` whose num_features the first x tells."""

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyNorm, InstanceNorm3d):
    """`InstanceNorm3d` whose num_features the first x tells."""

    cls_to_become = InstanceNorm3d
