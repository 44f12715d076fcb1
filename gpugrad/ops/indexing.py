"""``x[...]`` in all its forms: ints, slices, None, Ellipsis, masks, lists, arrays and tensors.

Basic indices (ints, slices, None, Ellipsis) give views. With tensors among them the result is
gathered. As in PyTorch ints count as basic, and several tensors broadcast; their axes stand where
the first of them was if they are neighbours, else in front.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import dtype as dtypes
from ..autograd.function import Function, before_inplace, describe
from ..backends import Backend, Kernels
from ..backends.layout import in_front
from ..creation import as_tensor
from ..errors import DeviceError, DTypeError, IndexOutOfRangeError, ShapeError
from ..tensor import Tensor
from .operands import check_apart
from .positions import positions


class Slice(Function):
    """y = x[index] with a basic index, a view;  dx = dy in place, 0 around it."""

    view = True

    def forward(self, x: Any, index: tuple[Any, ...]) -> Any:
        self.of, self.index = x.shape, index
        return x[index]

    def backward(self, dy: Tensor) -> Any:
        return Place.apply(dy, index=self.index, shape=self.of)


class Place(Function):
    """y = 0 but y[index] = x, a basic index;  dx = dy[index]."""

    def forward(self, x: Any, index: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
        self.index = index
        y = self.backend.empty(shape, x.dtype)
        self.kernels.fill(y, 0)
        self.kernels.copy(x, y[index])
        return y

    def backward(self, dy: Tensor) -> Any:
        return Slice.apply(dy, index=self.index)


class Gather(Function):
    """y[j] = x[i1[j], ..., ik[j]] over k axes of x, from `axis` on;  dx[i[j]] += dy[j].

    The axes before and after them stay where they are.
    """

    def forward(self, x: Any, *indices: Any, axis: int = 0) -> Any:
        self.of, self.axis = x.shape, axis
        self.save(*indices)
        return self.kernels.gather(x, indices, axis)

    def backward(self, dy: Tensor) -> Any:
        dx = ScatterAdd.apply(dy, *self.saved, shape=self.of, axis=self.axis)
        return (dx, *[None] * len(self._saved))


class ScatterAdd(Function):
    """y = 0 but y[i[j]] += x[j], over axes of y from `axis` on;  dx[j] = dy[i[j]].

    8-bit floats, whose gradients these may be, are summed in float32 and rounded once.
    """

    def forward(self, x: Any, *indices: Any, shape: tuple[int, ...], axis: int = 0) -> Any:
        self.axis, dtype = axis, x.dtype
        self.save(*indices)
        if dtypes.is_float8(dtype):
            x = self.kernels.cast(x, dtypes.float32)
        y = self.backend.empty(shape, x.dtype)
        self.kernels.fill(y, 0)
        scatter_at(self.kernels, "add", y, indices, x, axis)
        return y if x.dtype == dtype else self.kernels.cast(y, dtype)

    def backward(self, dy: Tensor) -> Any:
        return (Gather.apply(dy, *self.saved, axis=self.axis), *[None] * len(self._saved))


def scatter_at(
    kernels: Kernels, op: str, y: Any, indices: Sequence[Any], values: Any, axis: int
) -> None:
    """y o= values at the indices of y's axes from `axis` on; the values have theirs there."""
    values = in_front(values, axis, indices[0].ndim)
    kernels.scatter(op, in_front(y, axis, len(indices)), indices, values)


class SetItem(Function):
    """x[index] = or += value, in place;  dx = dy (0 at index for =), dvalue = dy[index]."""

    inplace = True

    def forward(self, x: Any, value: Any, index: Any, plan: Plan, op: str = "set") -> Any:
        self.index, self.op = index, op
        _write(self, x, value, plan, op)
        return x

    def backward(self, dy: Tensor) -> Any:
        dx = None
        if self.needs(0):
            dx = dy
            if self.op == "set":
                dx = dy.clone()
                dx[self.index] = 0
        return dx, (dy[self.index] if self.needs(1) else None)


class Plan(NamedTuple):
    """An index made explicit: the basic part, then tensors at some axes of what that gives."""

    basic: tuple[Any, ...]
    tensors: tuple[Tensor, ...]  # int64, of one shape; none for a basic index
    axes: tuple[int, ...]  # which axes of the basic part's result they index
    place: int  # where the result has the tensors' axes


def plan(x: Tensor, index: Any) -> Plan:
    """Make an index explicit. Raises IndexOutOfRangeError, DTypeError, ShapeError."""
    items = _expanded(x, index if isinstance(index, tuple) else (index,))
    basic: list[Any] = []
    arrays: list[tuple[int, Any]] = []
    axis = out = 0
    for item in items:
        if item is None:
            basic.append(None)
            out += 1
        elif isinstance(item, slice):
            basic.append(_bounds(item))
            axis, out = axis + 1, out + 1
        elif isinstance(item, bool) or (isinstance(item, Tensor) and _is_flag(item)):
            basic.append(None)  # x[True]: a new axis of length 1, or 0 for False
            arrays.append((out, Tensor(positions(x.backend, int(bool(item))), x.backend)))
            out += 1
        elif isinstance(item, int):
            n = x.shape[axis]
            if not -n <= item < n:
                raise IndexOutOfRangeError(
                    f"getitem: index {item} is out of range for axis {axis} of length {n}."
                )
            basic.append(item)
            axis += 1
        elif item.dtype == dtypes.bool_:
            for found in _positions(x, axis, item):
                basic.append(slice(None))
                arrays.append((out, found))
                axis, out = axis + 1, out + 1
        else:
            basic.append(slice(None))
            arrays.append((out, item))
            axis, out = axis + 1, out + 1
    basic.append(Ellipsis)
    places = tuple([i for i, _ in arrays])
    neighbours = all(b == a + 1 for a, b in itertools.pairwise(places))
    tensors = _common_shape(x.backend, [t for _, t in arrays])
    return Plan(tuple(basic), tensors, places, places[0] if places and neighbours else 0)


def _expanded(x: Tensor, index: tuple[Any, ...]) -> list[Any]:
    """The items of an index with arrays as tensors and the Ellipsis as full slices."""
    items = [_item(x.backend, i) for i in index]
    used = 0
    for i in items:
        if isinstance(i, Tensor):
            used += i.ndim if i.dtype == dtypes.bool_ else 1
        elif i is not None and i is not Ellipsis and not isinstance(i, bool):
            used += 1
    if used > x.ndim:
        raise IndexOutOfRangeError(f"getitem: {used} indices for a tensor of {x.ndim} axes.")
    dots = [k for k, i in enumerate(items) if i is Ellipsis]
    if len(dots) > 1:
        raise IndexOutOfRangeError("getitem: an index can hold one Ellipsis only.")
    if dots:
        items[dots[0] : dots[0] + 1] = [slice(None)] * (x.ndim - used)
    return items


def _item(backend: Backend, item: Any) -> Any:
    """None, Ellipsis, a slice, a bool, an int, or a tensor of bool or int64."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if isinstance(item, (bool, np.bool_)):
        return bool(item)
    if isinstance(item, (int, np.integer)):
        return int(item)
    if isinstance(item, Tensor):
        return _index_tensor(backend, item)
    if isinstance(item, (list, tuple, range, np.ndarray)):
        values = np.asarray(_values(item) if isinstance(item, (list, tuple)) else item)
        if values.size == 0 and not isinstance(item, np.ndarray):
            values = values.astype(np.int64)
        if values.dtype == np.uint8:
            raise DTypeError(_NO_BYTES)
        if values.dtype == np.bool_ or np.issubdtype(values.dtype, np.integer):
            wanted = values if values.dtype == np.bool_ else values.astype(np.int64)
            return Tensor(backend.from_numpy(wanted), backend)
        raise DTypeError(f"getitem: indices must be integers or bool, got {values.dtype}.")
    raise DTypeError(
        "getitem: an index is an int, slice, None, Ellipsis, bool, list, NumPy array or Tensor; "
        f"got {type(item).__name__}."
    )


def _values(item: Any) -> Any:
    return [i.tolist() if isinstance(i, Tensor) else i for i in item]


_NO_BYTES = (
    "getitem: a uint8 index could be a mask or positions.\n"
    "  Say which: index.bool() is a mask, index.long() are positions."
)


def _index_tensor(backend: Backend, item: Tensor) -> Any:
    if item.dtype == dtypes.uint8:
        raise DTypeError(_NO_BYTES)
    if dtypes.is_floating(item.dtype):
        raise DTypeError(f"getitem: indices must be integers or bool; got {describe(item)}.")
    if item.backend is not backend:
        raise DeviceError(
            f"getitem: the index is {describe(item)}, the tensor on {backend.device}.\n"
            "  Move the index with .to(device)."
        )
    if item.dtype == dtypes.bool_:
        return item
    return int(item.item()) if item.ndim == 0 else item.to(dtypes.int64)


def _bounds(item: slice) -> slice:
    """The slice with Python ints. Unlike PyTorch, negative steps are legal."""
    if item.step is not None and int(item.step) == 0:
        raise IndexOutOfRangeError("getitem: slice step cannot be 0.")
    start, stop, step = (None if v is None else int(v) for v in (item.start, item.stop, item.step))
    return slice(start, stop, step)


def _positions(x: Tensor, axis: int, mask: Tensor) -> list[Tensor]:
    """A mask as index tensors, one for each of its axes."""
    given = x.shape[axis : axis + mask.ndim]
    if mask.shape != given:
        raise IndexOutOfRangeError(
            f"getitem: a mask of shape {mask.shape} does not fit axes {axis} to "
            f"{axis + mask.ndim - 1} of length {given}."
        )
    found = mask.backend.kernels.nonzero(mask.array)
    return [Tensor(found[:, i], mask.backend) for i in range(mask.ndim)]


def _is_flag(item: Tensor) -> bool:
    return item.dtype == dtypes.bool_ and item.ndim == 0


def _common_shape(backend: Backend, tensors: list[Tensor]) -> tuple[Tensor, ...]:
    if len({t.shape for t in tensors}) <= 1:
        return tuple(tensors)
    try:
        shape = np.broadcast_shapes(*[t.shape for t in tensors])
    except ValueError:
        shapes = ", ".join(str(t.shape) for t in tensors)
        raise ShapeError(f"getitem: index tensors of shapes {shapes} do not broadcast.") from None
    return tuple([Tensor(np.broadcast_to(t.array, shape), backend) for t in tensors])


def getitem(input: Tensor, index: Any) -> Tensor:
    """``input[index]``."""
    items = index if type(index) is tuple else (index,)
    for item in items:
        if type(item) not in _BASIC:
            if _are_positions(input, items):
                return Gather.apply(input, *items)
            break
    else:
        try:
            return Slice.apply(input, index=(*items, ...))
        except (IndexError, ValueError):
            pass  # the long way has a telling text
    basic, tensors, axes, place = plan(input, index)
    trivial = tensors and all(i is Ellipsis or i == slice(None) for i in basic)
    x: Tensor = input if trivial else Slice.apply(input, index=basic)
    if not tensors:
        return x
    if axes != tuple(range(place, place + len(axes))):
        x = x.movedim(axes, tuple(range(len(axes))))
    y: Tensor = Gather.apply(x, *tensors, axis=place)
    return y


def _are_positions(input: Tensor, items: Sequence[Any]) -> bool:
    """Are they tensors of positions along the first axes, of one shape? They need no plan."""
    shape = None
    for item in items:
        if not isinstance(item, Tensor) or item.backend is not input.backend:
            return False
        data = item.array
        if data.dtype != dtypes.int64 or (shape is not None and data.shape != shape):
            return False
        shape = data.shape
    return bool(shape) and len(items) <= input.array.ndim


_BASIC = (int, slice, type(None))


def setitem(input: Tensor, index: Any, value: Any) -> None:
    """``input[index] = value``: value broadcasts and is cast; part of the graph."""
    if not isinstance(value, Tensor):
        value = _value_tensor(input, value)
    before_inplace("setitem", input, (value,))
    if value.backend is not input.backend:
        if value.numel() != 1:
            raise DeviceError(f"setitem: value is {describe(value)}, target {describe(input)}.")
        value = value.to(input.device)
    if value._counter is input._counter:
        value = value.clone()  # x[1:] = x[:-1] reads what it writes
    where = plan(input, index)
    check_apart("setitem", input, input.array[where.basic])
    SetItem.apply(input, value.to(input.dtype), index=index, plan=where)


def _value_tensor(input: Tensor, value: Any) -> Tensor:
    return as_tensor(value, device=input.device)


def with_item(name: str, input: Tensor, index: tuple[Any, ...], src: Tensor) -> Tensor:
    """A copy of `input` with `src` at a basic index, whose shape it must have."""
    where = plan(input, index)
    if not isinstance(src, Tensor) or src.shape != input.array[where.basic].shape:
        got = describe(src) if isinstance(src, Tensor) else type(src).__name__
        raise ShapeError(
            f"{name}: src must be a tensor of shape {input.array[where.basic].shape}, got {got}."
        )
    return SetItem.apply(input.clone(), src.to(input.dtype), index=index, plan=where)


def _write(node: Function, x: Any, value: Any, where: Plan, op: str) -> None:
    target = x[where.basic]
    k = len(where.axes)
    if k == 0:
        shape = target.shape
    else:
        j = where.tensors[0].shape
        rest = [n for i, n in enumerate(target.shape) if i not in where.axes]
        shape = (*rest[: where.place], *j, *rest[where.place :])
    while value.ndim > len(shape) and value.shape[0] == 1:
        value = value.reshape(value.shape[1:])
    try:
        wide = np.broadcast_to(value, shape)
    except ValueError:
        raise ShapeError(
            f"setitem: a value of shape {value.shape} does not broadcast to the indexed {shape}."
        ) from None
    if k == 0:
        wide = node.kernels.binary("add", target, wide) if op == "add" else wide
        node.kernels.copy(wide, target)
        return
    order = (*where.axes, *[i for i in range(target.ndim) if i not in where.axes])
    n, p = len(j), where.place
    back = (*range(p, p + n), *[i for i in range(len(shape)) if not p <= i < p + n])
    indices = [t.array for t in where.tensors]
    node.kernels.scatter(op, target.transpose(order), indices, wide.transpose(back))
