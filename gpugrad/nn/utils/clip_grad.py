"""Clipping of gradients by their norm or value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from ... import dtype as dtypes
from ...backends import Array, Backend
from ...creation import zeros
from ...errors import ArgumentError, NonFiniteError
from ...tensor import Tensor

Parameters: TypeAlias = "Tensor | Iterable[Tensor]"


def clip_grad_norm_(
    parameters: Parameters,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scales all gradients by min(1, max_norm / (norm + 1e-6)), in place; returns the norm.

    norm: of all gradients as one vector, see get_total_norm. The factor stays on the device, so
    nothing waits, unless error_if_nonfinite asks to look at the norm first.
    """
    max_norm = _limit("clip_grad_norm_", "max_norm", max_norm)
    parameters = _listed(parameters)  # it may be an iterator, and is needed twice
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = get_total_norm(grads, norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, norm)
    return norm


def get_total_norm(
    tensors: Parameters, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """(sum of |x|^norm_type over all elements of all tensors)^(1 / norm_type), of shape ().

    norm_type: above 0, or infinity (the largest |x|). The norm of half tensors is float32. One
    launch for each dtype and device. error_if_nonfinite: NonFiniteError for NaN and infinity.
    """
    norm_type = float(norm_type)
    if not norm_type > 0:
        raise ArgumentError(f"get_total_norm(norm_type={norm_type}): must be above 0, or infinity")
    listed = _listed(tensors)
    if not listed:
        return zeros((), dtype=dtypes.float32, device="cpu")
    parts = [
        (backend, backend.kernels.global_norm(_contiguous(backend, arrays), norm_type))
        for backend, arrays in _by_kind(listed)
    ]
    home, total = parts[0]
    if len(parts) > 1:
        wide = max((norm.dtype for _, norm in parts), key=lambda dtype: dtype.itemsize)
        moved = [home.from_numpy(b.to_numpy(n)) if b is not home else n for b, n in parts]
        total = home.kernels.global_norm([home.kernels.cast(n, wide) for n in moved], norm_type)
    result = Tensor(total.reshape(()), home)
    if error_if_nonfinite and not math.isfinite(result.item()):
        raise NonFiniteError(
            f"the total norm of order {norm_type} of {len(listed)} gradients is {result.item()}, "
            "so they cannot be clipped.\n  Find the cause with gg.detect_nan(), or pass "
            "error_if_nonfinite=False."
        )
    return result


def clip_grads_with_norm_(parameters: Parameters, max_norm: float, total_norm: Tensor) -> None:
    """Scales all gradients by min(1, max_norm / (total_norm + 1e-6)), in place."""
    max_norm = _limit("clip_grads_with_norm_", "max_norm", max_norm)
    grads = [p.grad for p in _listed(parameters) if p.grad is not None]
    if not grads:
        return
    home = total_norm.backend
    k = home.kernels
    ratio = k.binary("div", max_norm, k.binary("add", total_norm.array, 1e-6))
    factor = k.unary("clamp", ratio, -math.inf, 1.0)
    for backend, arrays in _by_kind(grads):
        kernels = backend.kernels
        own = factor if backend is home else backend.from_numpy(home.to_numpy(factor))
        dtype = dtypes.accumulation(arrays[0].dtype)
        own = own if own.dtype == dtype else kernels.cast(own, dtype)
        work = _contiguous(backend, arrays)
        kernels.scale(work, own)
        for array, scaled in zip(arrays, work, strict=True):
            if scaled is not array:
                kernels.copy(scaled, array)
    for grad in grads:
        grad._counter.changed("clip_grad_norm_")


def clip_grad_value_(parameters: Parameters, clip_value: float) -> None:
    """Limits every element of the gradients to [-clip_value, clip_value], in place."""
    clip_value = _limit("clip_grad_value_", "clip_value", clip_value)
    for p in _listed(parameters):
        grad = p.grad
        if grad is not None:
            kernels = grad.backend.kernels
            kernels.copy(kernels.unary("clamp", grad.array, -clip_value, clip_value), grad.array)
            grad._counter.changed("clip_grad_value_")


def _limit(operation: str, name: str, value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not number >= 0:
        raise ArgumentError(f"{operation}({name}={value!r}): must be a number of at least 0")
    return number


def _listed(tensors: Parameters) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _by_kind(tensors: Iterable[Tensor]) -> Iterator[tuple[Backend, list[Array]]]:
    """(backend, arrays) of each device and dtype."""
    kinds: dict[object, list[Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault((tensor.backend.device, tensor.dtype), []).append(tensor)
    for members in kinds.values():
        yield members[0].backend, [tensor.array for tensor in members]


def _contiguous(backend: Backend, arrays: list[Array]) -> list[Array]:
    """The arrays, row-major: those that are not as copies. The kernels for lists demand it."""
    return [a if a.flags.c_contiguous else backend.kernels.contiguous(a) for a in arrays]
