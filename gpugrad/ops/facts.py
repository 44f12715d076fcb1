"""What a tensor is, in PyTorch's words, and PyTorch's helpers that move no data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from .. import dtype as dtypes
from ..autograd.function import before_inplace
from ..backends import get as backend
from ..errors import DeviceError, DTypeError, ShapeError
from ..tensor import Tensor
from .operands import check_tensor

_TYPES = {
    dtypes.bool_: "BoolTensor",
    dtypes.uint8: "ByteTensor",
    dtypes.int8: "CharTensor",
    dtypes.int16: "ShortTensor",
    dtypes.int32: "IntTensor",
    dtypes.int64: "LongTensor",
    dtypes.float16: "HalfTensor",
    dtypes.bfloat16: "BFloat16Tensor",
    dtypes.float32: "FloatTensor",
    dtypes.float64: "DoubleTensor",
    dtypes.float8_e4m3fn: "Float8_e4m3fnTensor",
    dtypes.float8_e5m2: "Float8_e5m2Tensor",
}
_OF_TYPE = {name: dtype for dtype, name in _TYPES.items()}


def is_floating_point(input: Tensor) -> bool:
    """True for float16, bfloat16, float32, float64 and the 8-bit floats."""
    return check_tensor("is_floating_point", input).is_floating_point()


def is_signed(input: Tensor) -> bool:
    """True for dtypes that have negative numbers: all but bool and uint8."""
    return check_tensor("is_signed", input).dtype not in (dtypes.bool_, dtypes.uint8)


def is_complex(input: Tensor) -> bool:
    """False: there is no complex dtype."""
    check_tensor("is_complex", input)
    return False


def is_nonzero(input: Tensor) -> bool:
    """Whether the one element of a tensor is not 0. Waits for the device."""
    x = check_tensor("is_nonzero", input)
    if x.numel() != 1:
        raise ShapeError(f"is_nonzero: needs one element, got shape {x.shape}.")
    return bool(x.item())


def can_cast(from_: Any, to: Any) -> bool:
    """Whether a result of one dtype may be stored in another: not floating in integers or bool,
    nor integers in bool."""
    source, target = dtypes.as_dtype(from_), dtypes.as_dtype(to)
    if dtypes.is_floating_point(source):
        return dtypes.is_floating_point(target)
    return target != dtypes.bool_ or source == dtypes.bool_


def detach(input: Tensor) -> Tensor:
    """The same memory without history."""
    return check_tensor("detach", input).detach()


def conj(input: Tensor) -> Tensor:
    """The tensor itself: its numbers are real."""
    return check_tensor("conj", input)


def real(input: Tensor) -> Tensor:
    """The tensor itself: its numbers are real."""
    return check_tensor("real", input)


def to_dlpack(tensor: Tensor) -> Any:
    """A DLPack capsule of the tensor's memory, for another library to take once."""
    return check_tensor("to_dlpack", tensor).__dlpack__()


def get_device(input: Tensor) -> int:
    """The number of the GPU; -1 for other devices."""
    return input.device.index if input.is_cuda else -1


def type_(input: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The name of the tensor's type, such as "gpugrad.cuda.FloatTensor"; with a dtype (or such a
    name) the tensor in it."""
    if dtype is None:
        place = "" if input.backend is backend("cpu") else f"{input.device.type}."
        return f"gpugrad.{place}{_TYPES[input.dtype]}"
    if isinstance(dtype, str) and dtype.rpartition(".")[2] in _OF_TYPE:
        return input.to(_OF_TYPE[dtype.rpartition(".")[2]])
    return input.to(dtypes.as_dtype(dtype))


def pin_memory(input: Tensor, device: Any = None) -> Tensor:
    """The tensor itself: copies to a GPU start from ordinary memory here, so nothing is gained."""
    return input


def is_pinned(input: Tensor, device: Any = None) -> bool:
    """False; see `pin_memory`."""
    return False


def is_shared(input: Tensor) -> bool:
    """False; see `share_memory_`."""
    return False


def share_memory_(input: Tensor) -> NoReturn:
    """Not supported: raises DeviceError."""
    raise DeviceError(
        "share_memory_: tensors cannot be put in memory that processes share; sent to a process "
        "they are copied.\n  Share an array of multiprocessing.shared_memory, and look at it with "
        "gg.from_numpy(np.ndarray(shape, dtype, memory.buf))."
    )


def apply_(input: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Each element replaced by callable(element), in Python: slow, on the host, no gradient."""
    return map_(input, None, lambda x, _: callable(x))


def map_(input: Tensor, tensor: Tensor | None, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Each element replaced by callable(element, its partner in `tensor`); see `apply_`."""
    before_inplace("map_", input, (tensor,))
    if input.requires_grad:
        raise DTypeError("map_: a tensor that requires a gradient cannot change without history.")
    values = np.asarray(input.detach().cpu().to(_python(input.dtype)).numpy())
    other = values
    if tensor is not None:
        other = tensor.detach().cpu().expand(input.shape).to(_python(tensor.dtype)).numpy()
    pairs = zip(values.ravel().tolist(), other.ravel().tolist(), strict=True)
    found = np.array([callable(x, y) for x, y in pairs], values.dtype).reshape(values.shape)
    input.copy_(Tensor(backend("cpu").from_numpy(found), backend("cpu")))
    return input


def _python(dtype: Any) -> Any:
    return dtypes.float64 if dtypes.is_floating(dtype) else dtype


METHODS: dict[str, Any] = {
    "is_signed": is_signed,
    "is_complex": is_complex,
    "is_nonzero": is_nonzero,
    "conj": conj,
    "resolve_conj": conj,
    "get_device": get_device,
    "type": type_,
    "pin_memory": pin_memory,
    "is_pinned": is_pinned,
    "is_shared": is_shared,
    "share_memory_": share_memory_,
    "apply_": apply_,
    "map_": map_,
}
PROPERTIES: dict[str, Any] = {
    "real": property(real, doc="The tensor itself: its numbers are real."),
    "is_cpu": property(
        lambda x: x.backend is backend("cpu"), doc="True for tensors on the device cpu."
    ),
    "is_sparse": property(lambda x: False, doc="False: there are no sparse tensors."),
    "is_quantized": property(lambda x: False, doc="False: there are no quantised tensors."),
    "is_meta": property(lambda x: False, doc="False: every tensor has values."),
}
"""Attached to Tensor by `methods`."""
