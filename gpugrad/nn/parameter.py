"""Parameter: a tensor that a module owns and an optimizer changes; Buffer: one it only keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ..autograd import no_grad
from ..backends.engine import TensorBase
from ..creation import empty
from ..errors import GraphError
from ..tensor import Tensor


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
        super().__init__(data.array, data.backend)
        self._counter = data._counter
        self.requires_grad = requires_grad

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Buffer(Tensor):
    """A tensor that becomes a buffer of a module when it is assigned to an attribute: moved by
    `to`, saved by `state_dict` if persistent, not trained.

    data: the tensor whose values (and memory) it takes; an empty one unless given.
    """

    __slots__ = ("persistent",)

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        data = empty((0,)) if data is None else data
        if not isinstance(data, Tensor):
            raise TypeError(
                f"Buffer(data): expected a Tensor, got a {type(data).__name__}; "
                "make one with gg.tensor(...)"
            )
        super().__init__(data.array, data.backend, data.requires_grad)
        self._counter = data._counter
        self.persistent = persistent


class Uninitialized(Tensor):
    """A tensor whose shape is not known yet: `materialize` makes it an ordinary one.

    It knows its dtype and device and can be moved; anything else raises GraphError.
    """

    __slots__ = ()
    becomes: ClassVar[type[Tensor]] = Tensor

    def __init__(self, requires_grad: bool = False, device: Any = None, dtype: Any = None) -> None:
        nothing = empty((0,), device=device, dtype=dtype)
        Tensor.__init__(self, nothing.array, nothing.backend, requires_grad)

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Becomes an ordinary parameter or buffer of this shape, with undefined values."""
        wanted = self.dtype if dtype is None else dtype
        made = empty(shape, device=self.device if device is None else device, dtype=wanted)
        self.array, self.backend = made.array, made.backend
        object.__setattr__(self, "__class__", self.becomes)

    def held(self) -> Tensor:
        """An empty tensor of its dtype, on its device."""
        return Tensor(_ARRAY.__get__(self), self.backend)

    @property
    def dtype(self) -> Any:
        """The dtype that `materialize` takes."""
        return _ARRAY.__get__(self).dtype

    @property
    def array(self) -> Any:
        """Raises: there are no values yet."""
        raise GraphError(
            f"{type(self).__name__}: it has no shape and no values yet.\n"
            "  Call the lazy module once, with a batch like those to come, before its parameters "
            "are used or given to an optimizer."
        )

    @array.setter
    def array(self, array: Any) -> None:
        _ARRAY.__set__(self, array)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        memo[id(self)] = copy = type(self)(self.requires_grad, self.device, self.dtype)
        return copy

    def __reduce_ex__(self, protocol: Any) -> Any:
        return type(self), (self.requires_grad, str(self.device), self.dtype)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


_ARRAY: Any = TensorBase.__dict__["array"]  # the slot behind `Uninitialized.array`


class UninitializedParameter(Uninitialized, Parameter):
    """A parameter whose shape the first batch tells; see `nn.LazyLinear` and its kin."""

    __slots__ = ()
    becomes = Parameter

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        Uninitialized.__init__(self, requires_grad, device, dtype)


class UninitializedBuffer(Uninitialized):
    """A buffer whose shape the first batch tells."""

    __slots__ = ()


def is_lazy(value: object) -> bool:
    """Whether a value is a parameter or buffer without a shape."""
    return isinstance(value, Uninitialized)


def replace_data(tensor: Tensor, fn: Callable[[Tensor], Tensor]) -> None:
    """Puts fn of its values in a tensor's place, and the same for its gradient; same object."""
    with no_grad():
        if isinstance(tensor, Uninitialized):
            adopt(tensor, fn(tensor.held()), "Module.to")
            return
        old = tensor.detach()
        new = fn(old)
        if new is not old:
            adopt(tensor, new, "Module.to")
        if tensor.grad is not None:
            tensor.grad = fn(tensor.grad.detach())


def adopt(tensor: Tensor, source: Tensor, operation: str) -> None:
    """Makes a tensor hold another's array; graphs that have saved the old one notice."""
    tensor.array, tensor.backend = source.array, source.backend
    tensor._counter.changed(operation)


def copy_values(value: Any, tensor: Tensor, operation: str) -> None:
    """Copies a tensor of any device, or a NumPy array, into a tensor of the same shape; casts.

    operation: what graphs name that have saved the old values.
    """
    if isinstance(value, Tensor):
        same = value.backend is tensor.backend
        array = value.array if same else tensor.backend.from_numpy(value.detach().numpy())
    else:
        array = tensor.backend.from_numpy(value)
    tensor.backend.kernels.copy(array, tensor.array)
    tensor._counter.changed(operation)


def zero_gradient(tensor: Tensor, set_to_none: bool) -> None:
    """Forgets a gradient, or fills it with zeros (cut from any graph)."""
    grad = tensor.grad
    if set_to_none or grad is None:
        tensor.grad = None
        return
    if grad.requires_grad:
        grad = tensor.grad = grad.detach()
    grad.backend.kernels.fill(grad.array, 0)
    grad._counter.changed("zero_grad")
