"""The methods of Module that move it between devices and dtypes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .. import dtype as dtypes
from ..device import Device
from ..errors import DTypeError
from ..memory_format import MemoryFormat, preserve_format
from ..tensor import Tensor
from .parameter import Parameter, replace_data

if TYPE_CHECKING:
    from .module import Module

Self = TypeVar("Self", bound="CastMethods")


class CastMethods:
    """Moves all parameters and buffers at once, in place: they stay the same objects."""

    if TYPE_CHECKING:
        _persistence: Any

        def modules(self) -> Iterator[Module]: ...

    def _apply(self: Self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replaces the data of each parameter, its gradient and each buffer by fn of it."""
        done: set[int] = set()
        for module in self.modules() if recurse else [self]:
            for name, tensor in list(module.__dict__.items()):
                if not (isinstance(tensor, Parameter) or name in module._persistence):
                    continue
                if tensor is not None and id(tensor) not in done:
                    done.add(id(tensor))
                    replace_data(tensor, fn)
        return self

    def to(
        self: Self,
        device: Device | str | np.dtype | Tensor | None = None,
        dtype: Any = None,
        non_blocking: bool = False,
        memory_format: MemoryFormat = preserve_format,
    ) -> Self:
        """Moves parameters and buffers, in place: `to("cuda")`, `to(gg.float16)`, `to(x)`.

        Only floating-point parameters and buffers change dtype, and only those with as many axes
        as `memory_format` is for change that (4 for gg.channels_last). Optimizers may have been
        made before: parameters stay the same objects.
        """
        place: Any = device
        if isinstance(device, Tensor):
            place, dtype = device.device, device.dtype
        elif device is not None and not isinstance(device, (Device, str)):
            place, dtype = None, device
        wanted = None if dtype is None else dtypes.as_dtype(dtype)
        if wanted is not None and not dtypes.is_floating_point(wanted):
            raise DTypeError(
                f"{type(self).__name__}.to(dtype): parameters are floating-point, "
                f"{wanted.name} is not"
            )

        def move(tensor: Tensor) -> Tensor:
            kind = wanted if dtypes.is_floating_point(tensor.dtype) else None
            fits = memory_format.ndim in (None, tensor.ndim)
            layout = memory_format if fits else preserve_format
            return tensor.to(device=place, dtype=kind, memory_format=layout)

        return self._apply(move)

    def cpu(self: Self) -> Self:
        """`to("cpu")`."""
        return self.to("cpu")

    def cuda(self: Self, device: Device | int | str | None = None) -> Self:
        """`to("cuda")`, or the GPU of that number."""
        return self.to(f"cuda:{device}" if isinstance(device, int) else device or "cuda")

    def to_empty(self: Self, *, device: Device | int | str | None, recurse: bool = True) -> Self:
        """Moves the parameters and buffers to a device without their values: undefined there."""
        place = f"cuda:{device}" if isinstance(device, int) else device
        return self._apply(lambda x: x.new_empty(x.shape, device=place), recurse)

    def type(self: Self, dst_type: Any) -> Self:
        """All parameters and buffers in one dtype, integers included."""
        wanted = dtypes.as_dtype(dst_type)
        return self._apply(lambda tensor: tensor.to(dtype=wanted))

    def half(self: Self) -> Self:
        """`to(float16)`."""
        return self.to(dtype=np.float16)

    def bfloat16(self: Self) -> Self:
        """`to(bfloat16)`."""
        return self.to(dtype=dtypes.bfloat16)

    def double(self: Self) -> Self:
        """`to(float64)`."""
        return self.to(dtype=np.float64)

    def float(self: Self) -> Self:
        """`to(float32)`."""
        return self.to(dtype=np.float32)
