"""What operations accept: tensors, Python numbers, NumPy scalars and arrays, made to fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import backends
from .. import dtype as dtypes
from ..amp.autocast_mode import AUTOCAST
from ..arguments import check_dtype
from ..arguments import shape_of as shape_of  # for the operations that take sizes
from ..autograd.function import describe, mixed_devices
from ..backends import Backend
from ..errors import ArgumentError, DeviceError, DTypeError, IndexOutOfRangeError, ShapeError
from ..tensor import Tensor

NUMBERS = (int, float)  # bool is an int; NumPy's float64 is a float


def operands(name: str, a: Any, b: Any, floating: bool = False) -> tuple[Any, Any]:
    """Two operands in one dtype by PyTorch's promotion rules; one stays a number if it is one.

    floating: integers are taken to the default dtype (true division and the like).
    Raises DTypeError for what is no operand, DeviceError for tensors of two devices.
    """
    if AUTOCAST.on:
        a, b = AUTOCAST.cast(name, a, b)
    a, b = _operand(name, a, b), _operand(name, b, a)
    first, second = isinstance(a, Tensor), isinstance(b, Tensor)
    if not first and not second:
        a, first = tensor_like(a, np.asarray(a)), True
    if first and second:
        if a.backend is not b.backend:
            raise DeviceError(mixed_devices(name, (a, b)))
        try:
            common = dtypes.result_type(a.array, b.array)
        except DTypeError as error:
            raise DTypeError(f"{name}: {error}") from None
    else:
        common = dtypes.result_type(a.array, b) if first else dtypes.result_type(a, b.array)
    if floating and not dtypes.is_floating_point(common):
        common = dtypes.get_default_dtype()
    if first and a.array.dtype != common:
        a = a.to(common)
    if second and b.array.dtype != common:
        b = b.to(common)
    return a, b


def only_tensors(name: str, *values: Any) -> None:
    """Raise DTypeError for a number where PyTorch wants a tensor."""
    for x in values:
        if not isinstance(x, Tensor) and isinstance(x, (*NUMBERS, np.generic)):
            raise DTypeError(
                f"{name}: operands must be tensors; got the {type(x).__name__} {x}.\n"
                "  Use an operator or where(), or make a tensor of it with gg.tensor()."
            )


def some_tensor(name: str, a: Any, b: Any) -> None:
    """Raise DTypeError where both operands are numbers."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return
    if isinstance(a, (*NUMBERS, np.generic)) and isinstance(b, (*NUMBERS, np.generic)):
        raise DTypeError(f"{name}: one operand must be a tensor; got the numbers {a} and {b}.")


def two_tensors(
    name: str, a: Any, b: Any, floating: bool = False, meet: bool = True
) -> tuple[Tensor, Tensor]:
    """As `operands`, with a number as a 0-d tensor; meet: checks that both broadcast."""
    a, b = operands(name, a, b, floating)
    a = a if isinstance(a, Tensor) else filled(a, b)
    b = b if isinstance(b, Tensor) else filled(b, a)
    if meet:
        check_broadcast(name, a, b)
    return a, b


def filled(value: Any, like: Tensor) -> Tensor:
    """A 0-d tensor of `value`, of the dtype and on the device of `like`."""
    y = like.backend.empty((), like.array.dtype)
    like.backend.kernels.fill(y, value)
    return Tensor(y, like.backend)


def tensor_like(value: Any, array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor of a Python number, on the CPU, in the dtype PyTorch gives it."""
    dtype = dtypes.get_default_dtype() if isinstance(value, float) else array.dtype
    backend = backends.get("cpu")
    return Tensor(backend.from_numpy(array.astype(dtype)), backend)


def is_operand(x: Any) -> bool:
    """True for what arithmetic takes; else Python should ask the other side."""
    return isinstance(x, (Tensor, *NUMBERS, np.generic, np.ndarray))


def _operand(name: str, x: Any, other: Any) -> Any:
    if isinstance(x, Tensor):
        return x
    if isinstance(x, np.generic):
        return x.item()
    if isinstance(x, NUMBERS):
        return x
    if isinstance(x, np.ndarray):
        check_dtype(name, x.dtype)
        if not isinstance(other, Tensor):
            return tensor_like(None, x)
        return Tensor(other.backend.from_numpy(x), other.backend)
    raise DTypeError(
        f"{name}: operands are tensors, numbers or NumPy arrays; got {type(x).__name__}."
    )


def check_tensor(name: str, x: Any) -> Tensor:
    """`x`, if it is a tensor. Raises DTypeError otherwise."""
    if not isinstance(x, Tensor):
        raise DTypeError(f"{name}: input must be a Tensor, got {type(x).__name__}.")
    return x


def as_floating(name: str, x: Any) -> Tensor:
    """Floating tensors as they are, integers and bool in the default dtype."""
    if not isinstance(x, Tensor):
        check_tensor(name, x)
    if AUTOCAST.on:
        (x,) = AUTOCAST.cast(name, x)
    dtype = x.array.dtype
    if dtype.char in "efd" or dtypes.is_floating(dtype):
        return x
    if dtypes.is_float8(dtype):
        raise dtypes.unsupported(name, dtype)
    return x.to(dtypes.get_default_dtype())


def wide(x: Any) -> Any:
    """Half types in float32: what is put together from several operations is rounded once."""
    return x.to(dtypes.accumulation(x.array.dtype)) if isinstance(x, Tensor) else x


def demand_floating(name: str, x: Tensor) -> None:
    """Raise DTypeError where `x` is not floating."""
    dtype = x.array.dtype
    if dtype.char not in "efd" and not dtypes.is_floating(dtype):
        if dtypes.is_float8(dtype):
            raise dtypes.unsupported(name, dtype)
        raise DTypeError(
            f"{name}: needs a floating tensor; got {describe(x)}.\n  Convert it with .float()."
        )


def check_mask(name: str, mask: Any) -> None:
    """Raise DTypeError where `mask` is not a bool tensor."""
    if not isinstance(mask, Tensor) or mask.array.dtype != dtypes.bool_:
        got = describe(mask) if isinstance(mask, Tensor) else type(mask).__name__
        raise DTypeError(f"{name}: the condition must be a bool tensor; got {got}.")


def check_broadcast(name: str, *tensors: Any) -> None:
    """Raise DeviceError or ShapeError where tensors (numbers are left out) cannot meet."""
    found = [x for x in tensors if isinstance(x, Tensor)]
    if any(x.backend is not found[0].backend for x in found):
        raise DeviceError(mixed_devices(name, found))
    if len({x.array.shape for x in found}) <= 1:
        return
    try:
        np.broadcast_shapes(*[x.array.shape for x in found])
    except ValueError:
        shapes = ", ".join(str(x.shape) for x in found)
        raise ShapeError(f"{name}: shapes {shapes} do not broadcast.") from None


def check_apart(name: str, target: Tensor, data: Any = None) -> None:
    """Raise ShapeError where elements of `target`, or of the part `data` of it, share memory."""
    data = target.array if data is None else data
    if 0 not in data.strides or not data.size:
        return
    if any(s == 0 and n > 1 for n, s in zip(data.shape, data.strides, strict=True)):
        raise ShapeError(
            f"{name}: elements of the tensor {describe(target)} share memory (it was expanded), so "
            "they cannot be written one by one.\n  Write into a clone()."
        )


def check_probabilities(name: str, x: Tensor, hint: str = "") -> None:
    """Raise ArgumentError where the backend has values at hand and one lies outside [0, 1]."""
    backend = x.backend
    if not backend.synchronous or x.array.size == 0:
        return
    axes = tuple(range(x.ndim))
    low, high = (
        float(backend.to_numpy(backend.kernels.reduce(kind, x.array, axes, False)))
        for kind in ("min", "max")
    )
    if not (low >= 0 and high <= 1):  # also where they are NaN
        worst = high if high - 1 > -low else low
        raise ArgumentError(
            f"{name}: input {x.shape} holds {worst:g}; every value must lie in [0, 1].{hint}"
        )


def axis(name: str, dim: int, ndim: int) -> int:
    """A legal axis from `dim`, which may count from the end; a 0-d tensor counts as one axis."""
    n = ndim or 1
    if type(dim) is int and -n <= dim < n:
        return dim % n
    if not isinstance(dim, (int, np.integer)):
        raise DTypeError(f"{name}: dim must be an int, got {type(dim).__name__}.")
    if not -n <= dim < n:
        raise IndexOutOfRangeError(
            f"{name}: dim {dim} is out of range for a tensor of {ndim} axes; "
            f"legal are {-n} to {n - 1}."
        )
    return int(dim) % n


def axes(name: str, dim: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Sorted legal axes; all of them for None (or an empty list, as PyTorch does)."""
    if dim is None:
        return _EVERY[ndim]
    if isinstance(dim, (int, np.integer)):
        found = [axis(name, int(dim), ndim)]
    else:
        found = sorted(axis(name, d, ndim) for d in dim)
        if len(set(found)) != len(found):
            raise ShapeError(f"{name}: dim {tuple(dim)} names an axis twice.")
        if not found:
            return _EVERY[ndim]
    return tuple(found) if ndim else ()


_EVERY = [tuple(range(n)) for n in range(65)]  # NumPy's arrays have at most 64 axes


def broadcast_text(name: str, a: Any, b: Any) -> str:
    """Why two shapes do not broadcast."""
    first, second = tuple(np.shape(a)), tuple(np.shape(b))
    where = ""
    for i in range(1, min(len(first), len(second)) + 1):
        n, m = first[-i], second[-i]
        if n != m and n != 1 and m != 1:
            where = f" axis {-i}: {n} and {m} are different and neither is 1."
            break
    return f"{name}(a, b): shapes a {first} and b {second} do not broadcast:{where}"


def broadcasts(a: Any, b: Any) -> bool:
    """True where two arrays (or numbers) broadcast."""
    try:
        np.broadcast_shapes(np.shape(a), np.shape(b))
    except ValueError:
        return False
    return True


def raw_binary(backend: Backend, name: str, a: Any, b: Any) -> Any:
    """``kernels.binary`` with a telling error for shapes that do not broadcast."""
    try:
        return backend.kernels.binary(name, a, b)
    except ValueError as error:
        if broadcasts(a, b):
            raise
        raise ShapeError(broadcast_text(name, a, b)) from error
