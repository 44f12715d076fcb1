"""Parameter: a tensor that a module owns and an optimizer changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd import no_grad
from ..tensor import Tensor, unfit


class Parameter(Tensor):
    """A leaf tensor that becomes part of a module when it is assigned to an attribute.

    data: the tensor whose values (and memory) it takes. requires_grad: False freezes it.
    """

    __slots__ = ()

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        if not isinstance(data, Tensor):
            raise TypeError(
                f"Parameter(data): expected a Tensor, got a {type(data).__name__}; "
                "make one with gg.tensor(...)"
            )
        super().__init__(data.data, data.backend)
        self._counter = data._counter
        self.requires_grad = requires_grad

    def __setattr__(self, name: str, value: Any) -> None:
        """As usual, and ``parameter.data = tensor`` takes over the tensor's memory."""
        if name == "data" and isinstance(value, Tensor):
            value = _array_for(self, value)
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


def _array_for(parameter: Parameter, value: Tensor) -> Any:
    """The memory of `value`, if it agrees with the parameter in shape, dtype and device."""
    same = value.shape == parameter.shape and value.dtype == parameter.dtype
    if not same or value.backend is not parameter.backend:
        raise unfit("data", parameter, value)
    return value.data[...]  # each tensor owns its array object


def replace_data(tensor: Tensor, fn: Callable[[Tensor], Tensor]) -> None:
    """Puts fn of its values in a tensor's place, and the same for its gradient; same object."""
    with no_grad():
        old = tensor.detach()
        new = fn(old)
        if new is not old:
            adopt(tensor, new, "Module.to")
        if tensor.grad is not None:
            tensor.grad = fn(tensor.grad.detach())


def adopt(tensor: Tensor, source: Tensor, operation: str) -> None:
    """Makes a tensor hold another's array; graphs that have saved the old one notice."""
    tensor.data, tensor.backend = source.data, source.backend
    tensor._counter.changed(operation)


def copy_values(value: Any, tensor: Tensor, operation: str) -> None:
    """Copies a tensor of any device, or a NumPy array, into a tensor of the same shape; casts.

    operation: what graphs name that have saved the old values.
    """
    if isinstance(value, Tensor):
        same = value.backend is tensor.backend
        array = value.data if same else tensor.backend.from_numpy(value.detach().numpy())
    else:
        array = tensor.backend.from_numpy(value)
    tensor.backend.kernels.copy(array, tensor.data)
    tensor._counter.changed(operation)


def zero_gradient(tensor: Tensor, set_to_none: bool) -> None:
    """Forgets a gradient, or fills it with zeros (cut from any graph)."""
    grad = tensor.grad
    if set_to_none or grad is None:
        tensor.grad = None
        return
    if grad.requires_grad:
        grad = tensor.grad = grad.detach()
    grad.backend.kernels.fill(grad.data, 0)
    grad._counter.changed("zero_grad")
