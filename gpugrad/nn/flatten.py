"""Layers that only rearrange: Flatten, Unflatten, ChannelShuffle."""

from __future__ import annotations

import math

from .. import ops
from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor
from .module import Module


class Flatten(Module):
    """Axes start_dim to end_dim become one: (N, 1, 28, 28) -> (N, 784) by default."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        return ops.flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Axis dim becomes axes of the sizes unflattened_size; one of them may be -1.

    Unflatten(1, (1, 28, 28)): (N, 784) -> (N, 1, 28, 28). Raises ShapeError when they do not fit.
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...] | list[int]) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)
        if not self.unflattened_size or sum(n == -1 for n in self.unflattened_size) > 1:
            raise ShapeError(
                f"Unflatten(unflattened_size={self.unflattened_size}): give at least one size, and "
                "at most one -1"
            )

    def forward(self, x: Tensor) -> Tensor:
        shape, sizes = tuple(x.shape), self.unflattened_size
        if not -len(shape) <= self.dim < len(shape):
            raise ShapeError(f"Unflatten(dim={self.dim}): x {shape} has no such axis")
        axis = self.dim % len(shape)
        known = math.prod(n for n in sizes if n != -1)
        length = shape[axis]
        if length % known if -1 in sizes and known else length != known:
            raise ShapeError(
                f"Unflatten: axis {self.dim} of x {shape} has length {length}, which does not "
                f"split into {sizes}"
            )
        sizes = tuple(length // known if n == -1 else n for n in sizes)
        return x.reshape(shape[:axis] + sizes + shape[axis + 1 :])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class ChannelShuffle(Module):
    """Channels as a matrix (groups, C / groups), transposed: mixes the groups of convolutions.

    Shapes: x (N, C, ...) -> y (N, C, ...), C divisible by groups. (Zhang et al. 2018.)
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        if not isinstance(groups, int) or groups < 1:
            raise ArgumentError(f"ChannelShuffle(groups={groups!r}): an integer of at least 1")
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        return ops.channel_shuffle(x, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
