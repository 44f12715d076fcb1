"""New tensors of random numbers. Every draw is the same on every device for one seed."""

from __future__ import annotations

from typing import Any

from . import dtype as dtypes
from .arguments import dtype_or_default, given_sizes, shape_of
from .creation import DeviceLike
from .errors import ArgumentError, DTypeError, ShapeError
from .memory_format import (
    MemoryFormat,
    check_format,
    empty_in,
    preserve_format,
)
from .random import Generator, generator_of
from .tensor import Tensor, backend_of


def _draw(
    kernel: str,
    shape: tuple[int, ...],
    a: Any,
    b: Any,
    dtype: Any,
    device: DeviceLike,
    generator: Generator | None,
    requires_grad: bool = False,
) -> Tensor:
    backend = backend_of(device)
    state, call = generator_of(generator, backend).draw(backend)
    array = getattr(backend.kernels, kernel)(state, call, a, b, shape, dtype)
    result = Tensor(array, backend)
    return result.requires_grad_() if requires_grad else result


def _floating(name: str, dtype: Any) -> Any:
    wanted = dtype_or_default(dtype)
    if not dtypes.is_floating(wanted):
        raise DTypeError(f"{name}: needs a floating dtype, got {wanted.name}.")
    return wanted


def rand(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform numbers in [0, 1)."""
    shape = shape_of("rand", given_sizes("rand", sizes, size))
    wanted = _floating("rand", dtype)
    return _draw("uniform", shape, 0.0, 1.0, wanted, device, generator, requires_grad)


def randn(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """Standard normal numbers."""
    shape = shape_of("randn", given_sizes("randn", sizes, size))
    wanted = _floating("randn", dtype)
    return _draw("normal", shape, 0.0, 1.0, wanted, device, generator, requires_grad)


def randint(
    low: Any = None,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: DeviceLike = None,
) -> Tensor:
    """Whole numbers in [low, high): ``randint(high, size)`` or ``randint(low, high, size)``.

    size: a tuple. An int is refused, as in PyTorch: ``randint(1, 5)`` is one number elsewhere.
    """
    if size is None:  # randint(high, size)
        low, high, size = 0, low, high
    elif low is None or high is None:  # randint(high, size=...), randint(high=..., size=...)
        low, high = 0, low if high is None else high
    if size is None or high is None or isinstance(high, (tuple, list)):
        raise ArgumentError("randint: give randint(high, size) or randint(low, high, size).")
    if not isinstance(size, (tuple, list)):
        raise ArgumentError(f"randint: size must be a tuple, got {size!r}.\n  Give ({size!r},).")
    if low >= high:
        raise ArgumentError(f"randint: low {low} must be below high {high}.")
    if high - low >= 1 << 32:
        raise ArgumentError(f"randint: the span {high - low} must be below 2^32.")
    wanted = dtypes.int64 if dtype is None else dtypes.as_dtype(dtype)
    shape = shape_of("randint", (size,))
    kept = dtypes.int64 if dtypes.is_floating(wanted) or wanted == dtypes.bool_ else wanted
    return _draw("uniform", shape, int(low), int(high), kept, device, generator).to(wanted)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: DeviceLike = None,
) -> Tensor:
    """A random permutation of 0 to n - 1, int64."""
    if n < 0:
        raise ArgumentError(f"randperm: n must not be negative, got {n}.")
    backend = backend_of(device)
    state, call = generator_of(generator, backend).draw(backend)
    result = Tensor(backend.kernels.permutation(state, call, n), backend)
    return result if dtype is None else result.to(dtype)


def _check_deviations(std: float | Tensor) -> None:
    """Raise ArgumentError for a negative deviation, where its values are at hand."""
    if not isinstance(std, Tensor):
        if std < 0:
            raise ArgumentError(f"normal: std must not be negative, got {std}.")
    elif std.backend.synchronous and std.numel() and bool((std < 0).any()):
        raise ArgumentError(f"normal: std must not be negative, got {float(std.min().item())}.")


def normal(
    mean: float | Tensor = 0.0,
    std: float | Tensor = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: DeviceLike = None,
) -> Tensor:
    """Normal numbers: of a size for numbers mean and std, else of the tensors' common shape."""
    if isinstance(mean, Tensor) or isinstance(std, Tensor):
        if size is not None:
            raise ArgumentError("normal: size is given by the tensors mean and std.")
        _check_deviations(std)
        shaped = mean + std * 0 if isinstance(mean, Tensor) else std
        assert isinstance(shaped, Tensor)
        z = randn(shaped.shape, generator=generator, dtype=shaped.dtype, device=shaped.device)
        return (z * std + mean).detach()
    if size is None:
        raise ShapeError("normal: size is needed where mean and std are numbers.")
    _check_deviations(std)
    shape, wanted = shape_of("normal", (size,)), _floating("normal", dtype)
    return _draw("normal", shape, float(mean), float(std), wanted, device, generator)


def _laid(name: str, y: Tensor, like: Tensor, memory_format: MemoryFormat) -> Tensor:
    """y, whose values were drawn in row-major order, in a memory format."""
    check_format(name, memory_format, y.shape)
    array = empty_in(y.backend.empty, y.shape, y.dtype, memory_format, like.array)
    y.backend.kernels.copy(y.array, array)
    return Tensor(array, y.backend)


def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    memory_format: MemoryFormat = preserve_format,
) -> Tensor:
    """Uniform numbers in the shape, dtype and device of `input`."""
    wanted, where = dtype or input.dtype, device or input.device
    y = rand(input.shape, generator=generator, dtype=wanted, device=where)
    return _laid("rand_like", y, input, memory_format)


def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    memory_format: MemoryFormat = preserve_format,
) -> Tensor:
    """Standard normal numbers in the shape, dtype and device of `input`."""
    wanted, where = dtype or input.dtype, device or input.device
    y = randn(input.shape, generator=generator, dtype=wanted, device=where)
    return _laid("randn_like", y, input, memory_format)


def randint_like(
    input: Tensor,
    low: int,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    memory_format: MemoryFormat = preserve_format,
) -> Tensor:
    """Whole numbers in [low, high) in the shape, dtype and device of `input`."""
    if high is None:
        low, high = 0, low
    y = randint(low, high, input.shape, generator=generator, dtype=input.dtype, device=input.device)
    return _laid("randint_like", y, input, memory_format)
