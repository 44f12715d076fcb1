"""Tensor: an array, the backend that computes with it, and its place in the autograd graph.

Operations live in ``gpugrad.ops``; its `methods` table attaches them here, so that this file
depends on nothing above it. ``gpugrad/methods`` declares them for type checkers.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import backends, display
from . import dtype as dtypes
from .backends import Array, Backend, engine
from .device import Device
from .dtype import DType
from .errors import (
    DeviceError,
    DTypeError,
    GpugradError,
    GraphError,
    IndexOutOfRangeError,
    ShapeError,
)
from .memory_format import contiguous_format, lies

if TYPE_CHECKING:
    from .autograd.function import Node
    from .methods import TensorMethods
else:

    class TensorMethods:
        """Filled by gpugrad.ops.methods."""

        __slots__ = ()


class VersionCounter:
    """How often a memory was changed in place; one object for a tensor and all its views."""

    version: int = 0
    changed_by: str = ""
    views: list[weakref.ref[Tensor]] | None = None

    def changed(self, operation: str) -> None:
        """Count one change, made by `operation`."""
        self.version += 1
        self.changed_by = operation

    def add_view(self, view: Tensor) -> None:
        """Remember a view; dead ones are swept out as the list grows."""
        views = self.views
        if views is None:
            views = self.views = []
        elif len(views) >= 16 and len(views) & (len(views) - 1) == 0:  # 16, 32, 64, ...
            views[:] = [r for r in views if r() is not None]
        views.append(weakref.ref(view))

    def live_views(self) -> list[Tensor]:
        """The views that still exist."""
        found = [r() for r in self.views or ()]
        return [v for v in found if v is not None]


class Tensor(TensorMethods, engine.TensorBase):
    """An n-dimensional array on a device, which can require gradients. Made by ``gg.tensor``.

    ``array`` is the raw array (NumPy's on cpu and sim, CuPy's on cuda), ``backend`` computes with
    it. ``grad`` is the accumulated gradient of a leaf, ``grad_fn`` what made the tensor.
    Names, semantics and defaults are PyTorch's.
    """

    __slots__ = ("__weakref__",)

    # Slots of TensorBase, which also gives their first values (csrc/cpu/engine.cpp).
    array: Array
    backend: Backend
    _grad: Tensor | None
    grad_fn: Node | None
    _requires_grad: bool
    _versions: VersionCounter | None
    _hooks: Any
    _accumulator: Any
    _is_view: bool
    _keeps_values = False  # True where a new `array` holds the same values

    # ---- what it is ------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self.array.shape

    @property
    def dtype(self) -> DType:
        """The element type, e.g. ``gg.float32``."""
        return self.array.dtype

    @property
    def device(self) -> Device:
        """Where the tensor lives."""
        return self.backend.device

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.array.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.array.nbytes

    def dim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    def numel(self) -> int:
        """The number of elements."""
        return int(self.array.size)

    nelement = numel

    def element_size(self) -> int:
        """Bytes of one element."""
        return self.itemsize

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the length of one axis."""
        return self.shape if dim is None else self.shape[_axis("size", dim, self.ndim)]

    def stride(self, dim: int | None = None) -> Any:
        """Steps between neighbours along each axis, or one, in elements."""
        strides = tuple([s // self.itemsize for s in self.array.strides])
        return strides if dim is None else strides[_axis("stride", dim, self.ndim)]

    def is_contiguous(self, memory_format: Any = contiguous_format) -> bool:
        """True for memory without gaps, row-major or as `memory_format` says."""
        return lies(self.array, memory_format)

    def is_floating_point(self) -> bool:
        """True for float16, bfloat16, float32, float64 and the 8-bit floats."""
        return dtypes.is_floating_point(self.dtype)

    @property
    def is_cuda(self) -> bool:
        """True where the array can be shared through ``__cuda_array_interface__``."""
        return hasattr(self.array, "__cuda_array_interface__")

    # ---- its place in the graph ---------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """True where gradients flow to this tensor. Can be set on leaves of floating dtype."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self.grad_fn is not None and not value:
            raise GraphError(
                "requires_grad can only be set to False on leaf tensors.\n"
                "  Use detach() for the same values without history."
            )
        if value and not self.is_floating_point():
            raise DTypeError(
                f"only floating tensors can require gradients; this one is {self.dtype.name}."
            )
        self._requires_grad = bool(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set `requires_grad` and return the tensor itself."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """True for tensors that no recorded operation made."""
        return self.grad_fn is None

    @property
    def _counter(self) -> VersionCounter:
        """The counter of this memory; most results never need one, so it is made when asked for."""
        counter = self._versions
        if counter is None:
            counter = self._versions = VersionCounter()
        return counter

    @_counter.setter
    def _counter(self, counter: VersionCounter) -> None:
        self._versions = counter

    @property
    def _version(self) -> int:
        """How often the memory was changed in place."""
        return self._counter.version

    def detach(self) -> Tensor:
        """The same memory without history. In-place changes are seen by both, and noticed."""
        result = Tensor(self.array[...], self.backend)
        result._counter = self._counter
        return result

    @property
    def data(self) -> Tensor:
        """The same memory without history; the graph does not notice what is done to it.

        ``x.data = y`` takes over the memory of y, which must agree in shape, dtype and device.
        """
        return Tensor(self.array[...], self.backend)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not self._agrees(value):
            raise unfit("data", self, value)
        self.array = value.array[...]  # each tensor owns its array object

    def _agrees(self, value: object) -> bool:
        """Whether `value` is a tensor of this shape, dtype and device."""
        return (
            isinstance(value, Tensor)
            and value.array.shape == self.array.shape
            and value.array.dtype == self.array.dtype
            and value.backend is self.backend
        )

    def _set_grad(self, value: Tensor | None) -> None:
        if value is not None and not self._agrees(value):
            raise unfit("grad", self, value)
        self._grad = value

    if TYPE_CHECKING:
        grad: Tensor | None
    else:
        grad = property(
            operator.attrgetter("_grad"), _set_grad, doc="The gradient of a leaf, or None."
        )

    # ---- Python values ----------------------------------------------------------------------

    def item(self) -> Any:
        """The value of a tensor with one element, as a Python number."""
        if self.array.size != 1:
            raise ShapeError(
                f"item(): a tensor of shape {self.shape} has {self.array.size} elements, not 1.\n"
                "  Use tolist() or numpy() for several."
            )
        value = self.backend.to_numpy(self.array).reshape(())[()]
        return float(value) if self.is_floating_point() else value.item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers; a number for a 0-d tensor."""
        values = self.backend.to_numpy(self.array)
        foreign = values.dtype in (dtypes.bfloat16, *dtypes.FLOAT8)  # whose items are no floats
        return (values.astype(np.float32) if foreign else values).tolist()

    def numpy(self) -> np.ndarray[Any, Any]:
        """The values as a NumPy array: the same memory on cpu and sim, a copy from a GPU.

        Raises GraphError for a tensor that requires a gradient: changes would be unseen.
        """
        if self._requires_grad:
            raise GraphError("numpy(): this tensor requires a gradient. Use detach().numpy().")
        self.backend.synchronize()
        if self.backend.in_host_memory:
            return self.array
        return self.backend.to_numpy(self.array)

    def _scalar(self, kind: str) -> Any:
        if self.array.size != 1:
            raise ShapeError(
                f"{kind}(): only a tensor of one element has a {kind} value; this one has shape "
                f"{self.shape}." + ("\n  Use any() or all()." if kind == "bool" else "")
            )
        return self.item()

    def __bool__(self) -> bool:
        return bool(self._scalar("bool"))

    def __int__(self) -> int:
        return int(self._scalar("int"))

    def __float__(self) -> float:
        return float(self._scalar("float"))

    def __complex__(self) -> complex:
        return complex(self._scalar("complex"))

    def __index__(self) -> int:
        value = self._scalar("index")
        if not isinstance(value, int) or isinstance(value, bool):
            raise DTypeError(
                f"only integer tensors can be an index; this one is {self.dtype.name}."
            )
        return value

    def __len__(self) -> int:
        if self.ndim == 0:
            raise ShapeError("len(): a 0-d tensor has no length.")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise ShapeError("iteration over a 0-d tensor.")
        return iter(self.unbind(0))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return display.text(self)

    def __format__(self, spec: str) -> str:
        return format(self.item() if self.ndim == 0 and type(self) is Tensor else str(self), spec)


def unfit(slot: str, tensor: Tensor, value: Any) -> GpugradError:
    """Why `value` cannot become the grad or data of `tensor`."""
    facts = [
        f"{x.shape} {x.dtype.name} on {x.device}" if isinstance(x, Tensor) else type(x).__name__
        for x in (value, tensor)
    ]
    text = f"{slot}: given {facts[0]}, the tensor is {facts[1]}; they must agree."
    if not isinstance(value, Tensor):
        wanted = "a Tensor or None" if slot == "grad" else "a Tensor"
        return DTypeError(f"{slot}: must be {wanted}, got {facts[0]}.")
    if value.shape != tensor.shape:
        return ShapeError(text)
    kind = DeviceError if value.backend is not tensor.backend else DTypeError
    return kind(f"{text}\n  value.to(tensor.device, tensor.dtype) converts it.")


def _axis(name: str, dim: int, ndim: int) -> int:
    """A legal axis from `dim`, which may count from the end."""
    if not -ndim <= dim < ndim:
        raise IndexOutOfRangeError(
            f"{name}: dim {dim} is out of range for {ndim} axes; legal are {-ndim} to {ndim - 1}."
        )
    return dim % ndim


def is_tensor(obj: object) -> bool:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


def backend_of(device: str | Device | None, like: Tensor | None = None) -> Backend:
    """The backend that `device` names; without one that of `like`, or the CPU's."""
    if device is None:
        return like.backend if like is not None else backends.get("cpu")
    return backends.get(device)
