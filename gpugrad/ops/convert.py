"""Another dtype, another device, another layout: cast, to, clone, contiguous."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import backends
from .. import dtype as dtypes
from ..autograd.function import Function
from ..backends import Backend
from ..backends.layout import is_channels_last
from ..device import TYPES, Device
from ..errors import ArgumentError, DeviceError
from ..memory_format import (
    MemoryFormat,
    channels_last,
    channels_last_3d,
    check_format,
    contiguous_format,
    copied,
    inverse,
    lies,
    order_of,
    preserve_format,
)
from ..tensor import Tensor


class Cast(Function):
    """y = x in another dtype;  dx = dy in x's."""

    def forward(self, x: Any, dtype: Any) -> Any:
        self.dtype = x.dtype
        return self.kernels.cast(x, dtype)

    def backward(self, dy: Tensor) -> Any:
        return dy.to(self.dtype)


class Transfer(Function):
    """y = x on another device;  dx = dy on x's."""

    def forward(self, x: Any, target: Backend) -> Any:
        source, self.backend = self.backend, target  # the result belongs there
        self.source = source
        order = order_of(x)
        there = target.from_numpy(source.to_numpy(x.transpose(order)))  # row-major, so lies like x
        return there.transpose(inverse(order))

    def backward(self, dy: Tensor) -> Any:
        return transfer(dy, self.source)


class Clone(Function):
    """y = x in new memory, in some order of axes;  dx = dy."""

    def forward(self, x: Any, memory_format: MemoryFormat) -> Any:
        return copied(self.kernels.contiguous, x, memory_format)

    def backward(self, dy: Tensor) -> Any:
        return dy


def cast(input: Tensor, dtype: Any) -> Tensor:
    """`input` in `dtype`; itself where it has it already. Integers carry no gradient."""
    wanted = dtypes.as_dtype(dtype)
    if input.array.dtype == wanted:
        return input
    if not all(map(dtypes.is_floating_point, (wanted, input.array.dtype))):
        return Tensor(input.backend.kernels.cast(input.array, wanted), input.backend)
    return Cast.apply(input, dtype=wanted)


def transfer(input: Tensor, backend: Backend) -> Tensor:
    """`input` on the device of `backend`; itself where it is there already."""
    if input.backend is backend:
        return input
    return Transfer.apply(input, target=backend)


def clone(input: Tensor, *, memory_format: MemoryFormat = preserve_format) -> Tensor:
    """A copy without gaps, part of the graph; its axes lie in memory as those of `input` do."""
    if memory_format is not preserve_format:
        check_format("clone", memory_format, input.array.shape)
    return Clone.apply(input, memory_format=memory_format)


def contiguous(input: Tensor, memory_format: MemoryFormat = contiguous_format) -> Tensor:
    """`input` if it is row-major (or in `memory_format`) without gaps, else a copy that is."""
    if memory_format is contiguous_format:
        if input.array.flags.c_contiguous:
            return input
    else:
        check_format("contiguous", memory_format, input.array.shape, preserve=False)
        if lies(input.array, memory_format):
            return input
    return Clone.apply(input, memory_format=memory_format)


def in_format_of(like: Tensor, y: Tensor) -> Tensor:
    """`y` channels-last where `like` is, else as it lies."""
    if not is_channels_last(like.array) or y.array.ndim not in (4, 5):
        return y
    return contiguous(y, channels_last if y.array.ndim == 4 else channels_last_3d)


def to(
    input: Tensor,
    *args: Any,
    dtype: Any = None,
    device: str | Device | None = None,
    copy: bool = False,
    non_blocking: bool = False,
    memory_format: MemoryFormat = preserve_format,
) -> Tensor:
    """``x.to(dtype)``, ``x.to(device)``, ``x.to(device, dtype)`` or ``x.to(other)``.

    Gives `input` itself where nothing changes, unless `copy`. `non_blocking` is accepted and has no
    effect. `memory_format` is that of the result. Raises DTypeError or DeviceError for what is
    neither.
    """
    for arg in args:
        if isinstance(arg, Tensor):
            dtype, device = arg.array.dtype, arg.device
        elif isinstance(arg, Device):
            device = arg
        elif isinstance(arg, str):
            dtype, device = (arg, device) if _names_dtype(arg) else (dtype, _device(arg))
        elif isinstance(arg, bool):
            raise ArgumentError("to: pass copy= and non_blocking= by name.")
        else:
            dtype = arg
    result = input
    if dtype is not None:
        result = cast(result, dtype)
    if device is not None:
        result = transfer(result, backends.get(device))
    if memory_format is not preserve_format:
        result = contiguous(result, memory_format)
    if copy and result is input:
        return clone(result, memory_format=memory_format)
    return result


def _device(text: str) -> str:
    if text.partition(":")[0] not in (*TYPES, "auto"):
        raise DeviceError(
            f"to: {text!r} is neither a dtype ({dtypes.names()}) nor a device (cpu, cuda, cuda:N, "
            "sim, auto)."
        )
    return text


def _names_dtype(text: str) -> bool:
    return any(text == d.name for d in dtypes.STORED)


def cpu(input: Tensor) -> Tensor:
    """`input` in host memory."""
    return transfer(input, backends.get("cpu"))


def cuda(input: Tensor, device: int | str | Device | None = None) -> Tensor:
    """`input` on a GPU, the first one by default."""
    if isinstance(device, int):
        device = f"cuda:{device}"
    return transfer(input, backends.get("cuda" if device is None else device))


def _caster(name: str, dtype: Any) -> Callable[[Tensor], Tensor]:
    def function(input: Tensor) -> Tensor:
        return cast(input, dtype)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`input` as {dtypes.as_dtype(dtype).name}."
    return function


CASTS: dict[str, Callable[[Tensor], Tensor]] = {
    "float": _caster("float", dtypes.float32),
    "double": _caster("double", dtypes.float64),
    "half": _caster("half", dtypes.float16),
    "bfloat16": _caster("bfloat16", dtypes.bfloat16),
    "int": _caster("int", dtypes.int32),
    "long": _caster("long", dtypes.int64),
    "short": _caster("short", dtypes.int16),
    "char": _caster("char", dtypes.int8),
    "byte": _caster("byte", dtypes.uint8),
    "bool": _caster("bool", dtypes.bool_),
}


def type_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` in the dtype and on the device of `other`."""
    return to(input, other)
