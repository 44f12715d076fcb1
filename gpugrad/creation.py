"""Making tensors: from data, filled, as ranges, at random."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import backends, dlpack
from . import dtype as dtypes
from .arguments import check_dtype, dtype_or_default, given_sizes, shape_of, with_article
from .backends import Backend
from .device import Device
from .dtype import DType
from .errors import ArgumentError, DataError, DTypeError, ShapeError
from .memory_format import (
    MemoryFormat,
    check_format,
    contiguous_format,
    empty_in,
    preserve_format,
)
from .tensor import Tensor, backend_of

DeviceLike = str | Device | None


def tensor(
    data: Any, *, dtype: Any = None, device: DeviceLike = None, requires_grad: bool = False
) -> Tensor:
    """A new leaf with a copy of `data`: numbers, nested lists, NumPy arrays, tensors.

    dtype: that of arrays; the default floating dtype for Python floats, int64 for ints, bool.
    Raises DTypeError for data that is no number, ShapeError for ragged lists.
    """
    if isinstance(data, Tensor):
        result = data.detach().to(data.dtype if dtype is None else dtype, copy=True)
        result = result if device is None else result.to(device)
    else:
        backend = backend_of(device)
        result = Tensor(backend.from_numpy(_array(data, dtype)), backend)
    return result.requires_grad_(requires_grad)


def _array(data: Any, dtype: Any) -> np.ndarray[Any, Any]:
    """`data` as a NumPy array of a supported dtype."""
    if isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
    else:
        try:
            array = np.array(_plain(data))
        except ValueError:
            raise ShapeError(
                "tensor: nested lists must all have the same length at each depth."
            ) from None
        if dtype is None and (
            array.size == 0 or (array.dtype == np.float64 and _leaf_type(data) is float)
        ):
            dtype = dtypes.get_default_dtype()
    if dtype is not None:
        wanted = dtypes.as_dtype(dtype)
        if array.dtype.kind not in "biufV" or (array.dtype.kind == "V" and wanted != array.dtype):
            check_dtype("tensor", array.dtype)
        if array.dtype == wanted:
            return array
        with np.errstate(all="ignore"):
            return (
                dtypes.to_float8(array, wanted)
                if dtypes.is_float8(wanted)
                else array.astype(wanted)
            )
    native = array.dtype.newbyteorder("=")
    check_dtype("tensor", native)
    return array.astype(native, copy=False)


def _plain(data: Any) -> Any:
    if isinstance(data, Tensor):
        return data.tolist()
    if isinstance(data, (list, tuple)):
        return [_plain(x) for x in data]
    return data


def _leaf_type(data: Any) -> type:
    while isinstance(data, (list, tuple)) and data:
        kinds = set(map(type, data))
        if any(issubclass(kind, (list, tuple, Tensor)) for kind in kinds):
            kinds = {_leaf_type(x) for x in data}
        return float if float in kinds or len(kinds) > 1 else kinds.pop()
    if isinstance(data, Tensor):
        return float if dtypes.is_floating(data.dtype) else int
    return type(data)


def as_tensor(data: Any, dtype: Any = None, device: DeviceLike = None) -> Tensor:
    """`data` as a tensor, without a copy for tensors and for writable NumPy arrays on the CPU."""
    if isinstance(data, Tensor):
        return data.to(data.dtype if dtype is None else dtype).to(device or data.device)
    backend = backend_of(device)
    if isinstance(data, np.ndarray) and backend is backends.get("cpu"):
        return Tensor(_writable(_array(data, dtype)), backend)
    return tensor(data, dtype=dtype, device=device)


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A CPU tensor on the memory of `array`: changes of one are seen in the other.

    A read-only array is copied: operations in place must not write to its memory.
    """
    if not isinstance(array, np.ndarray):
        raise DTypeError(f"from_numpy: needs a NumPy array, got {type(array).__name__}.")
    check_dtype("from_numpy", array.dtype)
    return Tensor(_writable(array), backends.get("cpu"))


def _writable(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array if array.flags.writeable else array.copy()


def from_dlpack(source: Any, *, device: DeviceLike = None, copy: bool | None = None) -> Tensor:
    """A tensor on the memory of another library's array (or a DLPack capsule), on its device.

    device: where the tensor shall be; copied there if the array is elsewhere. copy: True always
    copies, False never: raises ArgumentError where a copy is needed, as of read-only memory.
    """
    result = _shared(source, copy)
    moved = result if device is None else result.to(device)
    if moved is not result and copy is False:
        raise ArgumentError(f"from_dlpack(copy=False): {result.device} memory is not on {device}.")
    return moved.clone() if copy and moved is result else moved


def _shared(source: Any, copy: bool | None) -> Tensor:
    if isinstance(source, Tensor):
        return source.detach()
    capsule = dlpack.is_capsule(source)
    if not capsule and not hasattr(source, "__dlpack_device__"):
        raise DTypeError(
            f"from_dlpack: {with_article(type(source).__name__)} has no __dlpack__; of numbers and "
            "lists make a tensor with gg.tensor(...)."
        )
    kind, index = dlpack.device_of(source) if capsule else source.__dlpack_device__()
    if int(kind) == dlpack.CPU:
        array = dlpack.imported(source)
        check_dtype("from_dlpack", array.dtype)
        if copy is False and not array.flags.writeable:
            raise ArgumentError("from_dlpack(copy=False): the memory is read-only.")
        return Tensor(_writable(array), backends.get("cpu"))
    if int(kind) == dlpack.CUDA:
        backend: Any = backends.get(f"cuda:{index}")
        shared = backend.from_dlpack(source)
        check_dtype("from_dlpack", shared.dtype)
        return Tensor(shared, backend)
    raise DataError(f"from_dlpack: memory of kind {kind} is neither the CPU's (1) nor CUDA's (2).")


def finish(array: Any, backend: Backend, requires_grad: bool) -> Tensor:
    """A leaf of a new raw array."""
    result = Tensor(array, backend)
    return result.requires_grad_() if requires_grad else result


def _filled(
    name: str,
    size: tuple[Any, ...],
    value: Any,
    dtype: DType,
    backend: Backend,
    grad: bool,
    memory_format: MemoryFormat = contiguous_format,
    like: Any = None,
) -> Tensor:
    shape = shape_of(name, size)
    if any(n < 0 for n in shape):
        raise ShapeError(f"{name}: sizes must not be negative, got {shape}.")
    if memory_format is contiguous_format:
        array = backend.empty(shape, dtype)
    else:
        check_format(name, memory_format, shape, preserve=like is not None)
        array = empty_in(backend.empty, shape, dtype, memory_format, like)
    if value is not None:
        backend.kernels.fill(array, value)
    return finish(array, backend, grad)


def empty(
    *sizes: Any,
    size: Any = None,
    dtype: Any = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
    memory_format: MemoryFormat = contiguous_format,
) -> Tensor:
    """A tensor whose values are undefined."""
    dtype = dtype_or_default(dtype)
    sizes = given_sizes("empty", sizes, size)
    backend = backend_of(device)
    return _filled("empty", sizes, None, dtype, backend, requires_grad, memory_format)


def zeros(
    *sizes: Any,
    size: Any = None,
    dtype: Any = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """All 0."""
    dtype = dtype_or_default(dtype)
    sizes = given_sizes("zeros", sizes, size)
    return _filled("zeros", sizes, 0, dtype, backend_of(device), requires_grad)


def ones(
    *sizes: Any,
    size: Any = None,
    dtype: Any = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """All 1."""
    dtype = dtype_or_default(dtype)
    sizes = given_sizes("ones", sizes, size)
    return _filled("ones", sizes, 1, dtype, backend_of(device), requires_grad)


def _value_dtype(value: Any) -> DType:
    if isinstance(value, bool):
        return dtypes.bool_
    return dtypes.int64 if isinstance(value, int) else dtypes.get_default_dtype()


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """All `fill_value`; its kind gives the dtype unless that is named."""
    value = fill_value.item() if isinstance(fill_value, (Tensor, np.generic)) else fill_value
    wanted = _value_dtype(value) if dtype is None else dtypes.as_dtype(dtype)
    return _filled("full", (size,), value, wanted, backend_of(device), requires_grad)


def scalar_tensor(
    s: Any, *, dtype: Any = None, device: DeviceLike = None, requires_grad: bool = False
) -> Tensor:
    """A 0-d tensor of a number, of the default dtype."""
    return full((), s, dtype=dtype_or_default(dtype), device=device, requires_grad=requires_grad)


def empty_strided(
    size: Any,
    stride: Any,
    *,
    dtype: Any = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """Undefined values of a shape that lie by these strides, in elements."""
    shape, strides = shape_of("empty_strided", (size,)), shape_of("empty_strided", (stride,))
    if len(shape) != len(strides) or any(n < 0 for n in (*shape, *strides)):
        raise ShapeError(
            f"empty_strided: size {shape} and stride {strides} need one length, and no negatives."
        )
    count = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    flat = empty(0 if 0 in shape else count, dtype=dtype, device=device)
    return flat.as_strided(shape, strides).requires_grad_(requires_grad)


def new_empty_strided(
    input: Tensor, size: Any, stride: Any, *, dtype: Any = None, device: DeviceLike = None
) -> Tensor:
    """As `empty_strided`, with the dtype and device of `input`."""
    wanted = input.dtype if dtype is None else dtype
    return empty_strided(size, stride, dtype=wanted, device=device or input.device)


def _like(
    name: str,
    input: Tensor,
    value: Any,
    dtype: Any,
    device: Any,
    grad: bool,
    memory_format: MemoryFormat,
) -> Tensor:
    wanted = input.dtype if dtype is None else dtypes.as_dtype(dtype)
    backend, lying = backend_of(device, input), (memory_format, input.array)
    return _filled(name, (input.shape,), value, wanted, backend, grad, *lying)


def empty_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
    memory_format: MemoryFormat = preserve_format,
) -> Tensor:
    """Undefined values in the shape, dtype and device of `input`."""
    return _like("empty_like", input, None, dtype, device, requires_grad, memory_format)


def zeros_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
    memory_format: MemoryFormat = preserve_format,
) -> Tensor:
    """All 0, in the shape, dtype and device of `input`."""
    return _like("zeros_like", input, 0, dtype, device, requires_grad, memory_format)


def ones_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
    memory_format: MemoryFormat = preserve_format,
) -> Tensor:
    """All 1, in the shape, dtype and device of `input`."""
    return _like("ones_like", input, 1, dtype, device, requires_grad, memory_format)


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
    memory_format: MemoryFormat = preserve_format,
) -> Tensor:
    """All `fill_value`, in the shape, dtype and device of `input`."""
    return _like("full_like", input, fill_value, dtype, device, requires_grad, memory_format)


def new_zeros(input: Tensor, *size: Any, dtype: Any = None, device: DeviceLike = None) -> Tensor:
    """All 0 in a shape, with the dtype and device of `input`."""
    wanted = input.array.dtype if dtype is None else dtypes.as_dtype(dtype)
    return _filled("new_zeros", size, 0, wanted, backend_of(device, input), False)


def new_ones(input: Tensor, *size: Any, dtype: Any = None, device: DeviceLike = None) -> Tensor:
    """All 1 in a shape, with the dtype and device of `input`."""
    wanted = input.array.dtype if dtype is None else dtypes.as_dtype(dtype)
    return _filled("new_ones", size, 1, wanted, backend_of(device, input), False)


def new_empty(input: Tensor, *size: Any, dtype: Any = None, device: DeviceLike = None) -> Tensor:
    """Undefined values in a shape, with the dtype and device of `input`."""
    wanted = input.array.dtype if dtype is None else dtypes.as_dtype(dtype)
    return _filled("new_empty", size, None, wanted, backend_of(device, input), False)


def new_full(
    input: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, device: DeviceLike = None
) -> Tensor:
    """All `fill_value` in a shape, with the dtype and device of `input`."""
    wanted = input.array.dtype if dtype is None else dtypes.as_dtype(dtype)
    return _filled("new_full", (size,), fill_value, wanted, backend_of(device, input), False)


def new_tensor(input: Tensor, data: Any, *, dtype: Any = None, device: DeviceLike = None) -> Tensor:
    """A tensor of `data`, with the dtype and device of `input`."""
    return tensor(data, dtype=dtype or input.dtype, device=device or input.device)
