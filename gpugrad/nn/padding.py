"""Padding layers: a border of zeros, of a constant, or of the tensor's own values."""

from __future__ import annotations

from typing import Any, ClassVar

from ..errors import ArgumentError
from ..ops.pad import pad
from ..tensor import Tensor
from .module import Module


class _Pad(Module):
    """padding: a number for all sides, or (left, right, top, bottom, front, back) from the last
    axis on; negative numbers cut off instead."""

    axes: ClassVar[int]
    mode: ClassVar[str]
    value: float | None = None

    def __init__(self, padding: Any) -> None:
        super().__init__()
        sides = 2 * self.axes
        self.padding = (padding,) * sides if isinstance(padding, int) else tuple(padding)
        if len(self.padding) != sides:
            raise ArgumentError(
                f"{type(self).__name__}: padding must be a number or {sides} of them, "
                f"got {padding!r}."
            )

    def forward(self, x: Tensor) -> Tensor:
        return pad(x, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """A border of `value` on the last axis: padding (left, right), or a number for both."""

    axes = 1


class ConstantPad2d(_ConstantPad):
    """A border of `value` on the last two axes: padding (left, right, top, bottom)."""

    axes = 2


class ConstantPad3d(_ConstantPad):
    """A border of `value` on the last three axes: padding (left, right, top, ..., back)."""

    axes = 3


class _ZeroPad(_Pad):
    mode = "constant"
    value = 0.0


class ZeroPad1d(_ZeroPad):
    """A border of zeros on the last axis."""

    axes = 1


class ZeroPad2d(_ZeroPad):
    """A border of zeros on the last two axes."""

    axes = 2


class ZeroPad3d(_ZeroPad):
    """A border of zeros on the last three axes."""

    axes = 3


class _ReflectionPad(_Pad):
    mode = "reflect"


class ReflectionPad1d(_ReflectionPad):
    """The last axis mirrored at its first and last element, which are not repeated."""

    axes = 1


class ReflectionPad2d(_ReflectionPad):
    """The last two axes mirrored at their first and last elements, which are not repeated."""

    axes = 2


class ReflectionPad3d(_ReflectionPad):
    """The last three axes mirrored at their first and last elements, which are not repeated."""

    axes = 3


class _ReplicationPad(_Pad):
    mode = "replicate"


class ReplicationPad1d(_ReplicationPad):
    """The first and last element of the last axis, repeated."""

    axes = 1


class ReplicationPad2d(_ReplicationPad):
    """The first and last elements of the last two axes, repeated."""

    axes = 2


class ReplicationPad3d(_ReplicationPad):
    """The first and last elements of the last three axes, repeated."""

    axes = 3


class _CircularPad(_Pad):
    mode = "circular"


class CircularPad1d(_CircularPad):
    """The last axis continued from its other end."""

    axes = 1


class CircularPad2d(_CircularPad):
    """The last two axes continued from their other ends."""

    axes = 2


class CircularPad3d(_CircularPad):
    """The last three axes continued from their other ends."""

    axes = 3
