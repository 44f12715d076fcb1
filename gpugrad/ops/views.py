"""Views: another shape of the same memory. Each derivative is a view (or a sum) again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arguments import given_sizes
from ..autograd.function import Function, describe
from ..autograd.modes import MODE
from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor
from .operands import axis, check_tensor, shape_of
from .reinterpret import reinterpreted


class Reshape(Function):
    """y = x in another shape;  dx = dy in x's."""

    view = True

    def forward(self, x: Any, shape: tuple[int, ...]) -> Any:
        self.of = x.shape
        return x.reshape(shape)

    def backward(self, dy: Tensor) -> Any:
        return Reshape.apply(dy.contiguous(), shape=self.of)


class Permute(Function):
    """y = x with its axes in another order;  dx = dy with them back."""

    view = True

    def forward(self, x: Any, dims: tuple[int, ...]) -> Any:
        self.dims = dims
        return x.transpose(dims)

    def backward(self, dy: Tensor) -> Any:
        back = [0] * len(self.dims)
        for i, d in enumerate(self.dims):
            back[d] = i
        return Permute.apply(dy, dims=tuple(back))


def repeated(x: Any, shape: tuple[int, ...]) -> Any:
    """A raw array repeated along axes of length 1, without memory."""
    if x.size == 1 and type(x) is np.ndarray and x.dtype.isbuiltin == 1:
        return np.ndarray(shape, x.dtype, x, 0, (0,) * len(shape))  # 8 times as fast
    y = np.broadcast_to(x, shape)  # dispatches to the array's own library
    if type(x) is np.ndarray and x.flags.writeable:
        y.flags.writeable = True  # a part of it may be written; operands.check_apart guards it
    return y


class Expand(Function):
    """y = x repeated along axes of length 1, without memory;  dx = dy summed over them."""

    view = True

    def forward(self, x: Any, shape: tuple[int, ...]) -> Any:
        return repeated(x, shape)

    def backward(self, dy: Tensor) -> Any:
        return dy  # the engine sums it to x's shape


def spread(y: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Expand, for backward; without a graph only the view is made."""
    if MODE.grad:
        return Expand.apply(y, shape=shape)
    return Tensor(repeated(y.array, shape), y.backend)


def reshape(input: Tensor, *sizes: Any, shape: Any = None) -> Tensor:
    """`input` in another shape of as many elements; one size may be -1. A view where one exists."""
    if not isinstance(input, Tensor):
        check_tensor("reshape", input)
    x = input.array
    if shape is None and _fits(sizes, x):
        return Reshape.apply(input, shape=sizes)
    sizes = sizes if shape is None else given_sizes("reshape", sizes, shape)
    wanted = _complete("reshape", shape_of("reshape", sizes), input)
    if not x.flags.c_contiguous and not _viewable(x.shape, x.strides, wanted):
        input = input.contiguous()
    return Reshape.apply(input, shape=wanted)


def view(input: Tensor, *shape: Any, dtype: Any = None) -> Tensor:
    """As `reshape`, but never a copy: raises ShapeError where the memory does not allow it.

    ``view(dtype)`` reads the same bytes as another dtype; see `reinterpret.reinterpreted`.
    """
    if not isinstance(input, Tensor):
        check_tensor("view", input)
    x = input.array
    if dtype is None and _fits(shape, x):
        return Reshape.apply(input, shape=shape)
    if dtype is None and len(shape) == 1 and isinstance(shape[0], (np.dtype, type)):
        (dtype,), shape = shape, ()
    if dtype is not None:
        if shape:
            raise ArgumentError(f"view: takes a shape or a dtype, got {shape} and {dtype}.")
        return reinterpreted(input, dtype)
    wanted = _complete("view", shape_of("view", shape), input)
    if not x.flags.c_contiguous and not _viewable(x.shape, x.strides, wanted):
        raise ShapeError(
            f"view: shape {wanted} does not fit strides {input.stride()} of {describe(input)}.\n"
            "  Use reshape(), which copies where it must."
        )
    return Reshape.apply(input, shape=wanted)


def _fits(sizes: tuple[Any, ...], x: Any) -> bool:
    """Are `sizes`, as a caller gave them, the lengths of axes that x, without gaps, can take?"""
    for n in sizes:
        if type(n) is not int or n < 0:
            return False
    return len(sizes) > 0 and math.prod(sizes) == x.size and bool(x.flags.c_contiguous)


def _complete(name: str, shape: tuple[int, ...], input: Tensor) -> tuple[int, ...]:
    """`shape` with -1 filled in, checked against the number of elements."""
    size = input.array.size
    if math.prod(shape) == size and (not shape or min(shape) >= 0):
        return shape
    if -1 in shape:
        known = math.prod([n for n in shape if n != -1])
        if shape.count(-1) == 1 and known and size % known == 0:
            shape = tuple([size // known if n == -1 else n for n in shape])
    if any(n < 0 for n in shape) or math.prod(shape) != size:
        raise ShapeError(
            f"{name}: {input.shape} ({size} elements) cannot take the shape {shape} "
            f"({'at most one -1 is allowed' if shape.count(-1) > 1 else _counted(shape)})."
        )
    return shape


def _counted(shape: tuple[int, ...]) -> str:
    known = math.prod([n for n in shape if n != -1])
    return f"a multiple of {known} elements" if -1 in shape else f"{known} elements"


def _viewable(shape: Sequence[int], strides: Sequence[int], wanted: Sequence[int]) -> bool:
    """True where `wanted` is a view: each group of merged or split axes is gapless in memory."""
    if math.prod(shape) == 0:
        return True
    old = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    new = [n for n in wanted if n != 1]
    i = j = 0
    while i < len(old) and j < len(new):
        first, left, right = i, old[i][0], new[j]
        i, j = i + 1, j + 1
        while left != right:
            if left < right:
                left, i = left * old[i][0], i + 1
            else:
                right, j = right * new[j], j + 1
        if any(old[k][1] != old[k + 1][0] * old[k + 1][1] for k in range(first, i - 1)):
            return False
    return True


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` in the shape of `other`, as a view."""
    return view(input, other.shape)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` in the shape of `other`."""
    return reshape(input, other.shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Axes start_dim to end_dim become one."""
    n = input.ndim
    first, last = axis("flatten", start_dim, n), axis("flatten", end_dim, n)
    if first > last:
        raise ShapeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}.")
    shape = input.shape
    return reshape(input, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


def ravel(input: Tensor) -> Tensor:
    """All elements in one axis."""
    return reshape(input, (-1,)) if input.array.size else reshape(input, (0,))


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Axis `dim` becomes axes of `sizes`; one may be -1."""
    sizes = shape_of("unflatten", (sizes,))
    if not sizes:
        raise ShapeError("unflatten: sizes must not be empty.")
    if input.ndim == 0:
        raise ShapeError("unflatten: a 0-d tensor has no axis.")
    dim = axis("unflatten", dim, input.ndim)
    known = math.prod([n for n in sizes if n != -1])
    length = input.shape[dim]
    full = [length // known if n == -1 and known else n for n in sizes]
    if math.prod(full) != length or sizes.count(-1) > 1:
        raise ShapeError(f"unflatten: axis {dim} of length {length} is not {tuple(sizes)}.")
    return reshape(input, (*input.shape[:dim], *full, *input.shape[dim + 1 :]))


def permute(input: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """The axes in the order `dims`."""
    given = shape_of("permute", given_sizes("permute", order, dims))
    order = tuple([axis("permute", d, input.ndim) for d in given])
    if sorted(order) != list(range(input.ndim)):
        raise ShapeError(f"permute: {order} does not name each of {input.ndim} axes once.")
    return Permute.apply(input, dims=order)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Axes dim0 and dim1 change places."""
    n = input.ndim
    a, b = axis("transpose", dim0, n), axis("transpose", dim1, n)
    order = list(range(n))
    if n:
        order[a], order[b] = b, a
    return Permute.apply(input, dims=tuple(order))


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; vectors and 0-d tensors as they are."""
    if input.ndim > 2:
        raise ShapeError(f"t: at most 2 axes, got {describe(input)}. Use .mT or transpose().")
    return transpose(input, 0, 1) if input.ndim == 2 else input


def matrix_transpose(input: Tensor) -> Tensor:
    """The last two axes change places: ``x.mT``."""
    n = input.array.ndim
    if n < 2:
        raise ShapeError(f"mT: at least 2 axes are needed, got {describe(input)}.")
    order = (1, 0) if n == 2 else (*range(n - 2), n - 1, n - 2)
    return Permute.apply(input, dims=order)


def adjoint(input: Tensor) -> Tensor:
    """The last two axes change places: ``x.mH``. Tensors are real, so nothing is conjugated."""
    return matrix_transpose(input)


def conjugate_transpose(input: Tensor) -> Tensor:
    """The transpose of a matrix: ``x.H``; a 0-d tensor as it is."""
    if input.ndim not in (0, 2):
        raise ShapeError(f"H: a matrix is needed, got {describe(input)}. Use .mH or .mT.")
    return transpose(input, 0, 1) if input.ndim else input


def reverse_axes(input: Tensor) -> Tensor:
    """All axes in reverse order: ``x.T``."""
    return Permute.apply(input, dims=tuple(range(input.ndim))[::-1])


def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Axes `source` move to `destination`; the others keep their order."""
    n = input.ndim
    start = [source] if isinstance(source, int) else list(source)
    end = [destination] if isinstance(destination, int) else list(destination)
    if len(start) != len(end):
        raise ShapeError(f"movedim: {len(start)} axes cannot move to {len(end)} places.")
    start = [axis("movedim", d, n) for d in start]
    end = [axis("movedim", d, n) for d in end]
    if len(set(start)) != len(start) or len(set(end)) != len(end):
        raise ShapeError(f"movedim: an axis is named twice in {start} or {end}.")
    order = [d for d in range(n) if d not in start]
    for place, d in sorted(zip(end, start, strict=True)) if n else ():
        order.insert(place, d)
    return Permute.apply(input, dims=tuple(order))


def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Without axes of length 1: all of them, or those in `dim`."""
    n = input.ndim
    if dim is None:
        drop = range(n)
    else:
        drop = [axis("squeeze", d, n) for d in ([dim] if isinstance(dim, int) else dim)]  # type: ignore[assignment]
    shape = tuple([m for i, m in enumerate(input.shape) if m != 1 or i not in drop])
    return reshape(input, shape)


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With an axis of length 1 at `dim`."""
    dim = axis("unsqueeze", dim, input.ndim + 1)
    return reshape(input, (*input.shape[:dim], 1, *input.shape[dim:]))


def expand(input: Tensor, *sizes: Any) -> Tensor:
    """Axes of length 1 repeated to `sizes`, without memory; -1 keeps a length."""
    wanted = shape_of("expand", sizes)
    given = input.array.shape
    extra = len(wanted) - len(given)
    if -1 in wanted:
        wanted = tuple(
            [given[i - extra] if n == -1 and i >= extra else n for i, n in enumerate(wanted)]
        )
    legal = extra >= 0 and all(n in (1, m) for n, m in zip(given, wanted[extra:], strict=True))
    if not legal or any(n < 0 for n in wanted):
        raise ShapeError(
            f"expand: {given} does not expand to {wanted}: only axes of length 1 repeat, and new "
            "ones come in front."
        )
    return Expand.apply(input, shape=wanted)


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` expanded to the shape of `other`."""
    return expand(input, other.shape)


def broadcast_to(input: Tensor, shape: Sequence[int]) -> Tensor:
    """`input` expanded to `shape`."""
    return expand(input, shape)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels [N, C, ...] as a matrix (groups, C / groups), transposed, in one row again."""
    shape = check_tensor("channel_shuffle", input).shape
    if not isinstance(groups, int) or groups < 1:
        raise ArgumentError(f"channel_shuffle: groups must be an integer of at least 1: {groups!r}")
    if len(shape) < 3 or shape[1] % groups:
        raise ShapeError(
            f"channel_shuffle: input must be [N, C, ...] with C divisible by groups={groups}; got "
            f"{describe(input)}."
        )
    split = reshape(input, (shape[0], groups, shape[1] // groups, *shape[2:]))
    return reshape(transpose(split, 1, 2), shape)


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """All tensors (or those of one list) expanded to their common shape."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    found = [check_tensor("broadcast_tensors", x) for x in tensors]
    shape = _common_shape("broadcast_tensors", [x.shape for x in found])
    return tuple([expand(x, shape) for x in found])


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape that shapes (an int counts as one of one axis) broadcast to."""
    given = [shape_of("broadcast_shapes", (n,)) for n in shapes]
    if any(n < 0 for shape in given for n in shape):
        raise ShapeError(f"broadcast_shapes: sizes must not be negative, got {given}.")
    return _common_shape("broadcast_shapes", given)


def _common_shape(name: str, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(f"{name}: {', '.join(map(str, shapes))} do not broadcast.") from None
