"""Copies of tensors: pickle, copy and deepcopy.

A pickle of a tensor holds its values (of a view only its own), shape, dtype, the name of its device
and requires_grad, as bytes for one function here; no code. Its gradient and hooks are left out, as
in PyTorch. Reading pickles of others can still run anything: files are for `gg.save` and `gg.load`.
"""

from __future__ import annotations

import copy
import copyreg
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from . import backends
from . import dtype as dtypes
from .errors import GraphError
from .memory_format import inverse, order_of
from .tensor import Tensor


def _check_leaf(operation: str, tensor: Tensor, hint: str) -> None:
    if tensor.grad_fn is not None:
        raise GraphError(
            f"{operation}: only leaf tensors can be copied with their gradient state; this one, of "
            f"shape {tensor.shape}, is the result of {tensor.grad_fn!r}.\n  {hint}"
        )


def reduce(tensor: Tensor, protocol: Any = 2) -> Any:
    """What pickle writes: (rebuild, its arguments, attributes of a subclass)."""
    _check_leaf("pickle", tensor, "Send detach(), which has the same values without history.")
    if tensor._hooks is not None:
        warnings.warn("pickle: the hooks of a tensor are not written.", UserWarning, stacklevel=2)
    order = order_of(tensor.array)
    values = tensor.backend.to_numpy(tensor.array.transpose(order))
    flat = values.reshape(-1).view(np.uint8)
    content: Any = pickle.PickleBuffer(flat.data) if int(protocol) >= 5 else flat.tobytes()
    facts = (values.shape, order, tensor.dtype.name, str(tensor.device), tensor.requires_grad)
    return rebuild, (type(tensor), content, *facts), _attributes(tensor)


def rebuild(
    kind: type[Tensor],
    content: Any,
    shape: tuple[int, ...],
    order: tuple[int, ...],
    dtype: str,
    device: str,
    requires_grad: bool,
) -> Tensor:
    """The tensor of a pickle. Raises DeviceError where its device is missing."""
    if not (isinstance(kind, type) and issubclass(kind, Tensor)):
        raise pickle.UnpicklingError(f"{kind!r} is no class of tensors")
    values = np.frombuffer(content, dtypes.as_dtype(dtype)).reshape(shape)
    backend = backends.get(device)
    tensor = kind.__new__(kind)
    Tensor.__init__(tensor, backend.from_numpy(values).transpose(inverse(order)), backend)
    tensor._requires_grad = requires_grad
    return tensor


def _attributes(tensor: Tensor) -> tuple[Any, dict[str, Any]] | None:
    """What a subclass adds: (its __dict__ or None, its slots)."""
    known = set(copyreg._slotnames(Tensor))  # type: ignore[attr-defined]
    slots = [name for name in copyreg._slotnames(type(tensor)) if name not in known]  # type: ignore[attr-defined]
    found = {name: getattr(tensor, name) for name in slots if hasattr(tensor, name)}
    own = getattr(tensor, "__dict__", None)
    return (own or None, found) if own or found else None


def _carry_over(source: Tensor, target: Tensor, copied: Callable[[Any], Any]) -> None:
    own, slots = _attributes(source) or ({}, {})
    for name, value in {**(own or {}), **slots}.items():
        object.__setattr__(target, name, copied(value))


def shallow(tensor: Tensor) -> Tensor:
    """``copy.copy``: another leaf on the same memory; changes in place are seen by both."""
    _check_leaf("copy", tensor, "Use clone() to keep the history, or detach().")
    result = tensor.__class__.__new__(tensor.__class__)
    Tensor.__init__(result, tensor.array[...], tensor.backend)
    result._counter = tensor._counter
    result._requires_grad = tensor._requires_grad
    result._grad = tensor._grad
    _carry_over(tensor, result, lambda value: value)
    return result


def deep(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
    """``copy.deepcopy``: a new leaf with the same values, gradient and flags; results of operations
    refuse. A tensor that is met twice is copied once."""
    _check_leaf("deepcopy", tensor, "Use clone() to keep the history, or detach().clone().")
    result = tensor.__class__.__new__(tensor.__class__)
    memo[id(tensor)] = result
    Tensor.__init__(result, tensor.detach().clone().array, tensor.backend)
    result._requires_grad = tensor._requires_grad
    if tensor.grad is not None:
        result.grad = tensor.grad.detach().clone()
    _carry_over(tensor, result, lambda value: copy.deepcopy(value, memo))
    return result
