"""FractionalMaxPool2d and FractionalMaxPool3d."""

from __future__ import annotations

from typing import Any, ClassVar

from ..errors import ArgumentError
from ..ops import fractional_pool
from ..tensor import Tensor
from .module import Module


class _FractionalMaxPool(Module):
    axes: ClassVar[int]
    _random_samples: Tensor | None

    def __init__(
        self,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if (output_size is None) == (output_ratio is None):
            raise ArgumentError(f"{name}: give one of output_size and output_ratio.")
        if output_ratio is not None:
            output_ratio = fractional_pool.check_ratios(name, output_ratio, self.axes)
        self.kernel_size, self.return_indices = kernel_size, return_indices
        self.output_size, self.output_ratio = output_size, output_ratio
        self.register_buffer("_random_samples", _random_samples)

    def forward(self, x: Tensor) -> Any:
        pool = getattr(fractional_pool, f"fractional_max_pool{self.axes}d")
        sizes = (self.kernel_size, self.output_size, self.output_ratio)
        return pool(x, *sizes, self.return_indices, self._random_samples)

    def extra_repr(self) -> str:
        size = "output_ratio" if self.output_size is None else "output_size"
        return f"kernel_size={self.kernel_size}, {size}={getattr(self, size)}"


class FractionalMaxPool2d(_FractionalMaxPool):
    """y = the largest of each window; the windows of a plane lie at random steps, of
    in / out on average, so that sizes shrink by any ratio. (Graham 2014.)

    Shapes: x (N, C, H, W) or (C, H, W) -> y (..., *output_size), or output_ratio of x's size.
    return_indices: also the maxima's places, for `MaxUnpool2d`.
    """

    axes = 2


class FractionalMaxPool3d(_FractionalMaxPool):
    """`FractionalMaxPool2d`, for volumes (N, C, D, H, W)."""

    axes = 3
