"""Placing by index or mask: scatter, index_add, index_put and their kind; out of place here.

The kernel sorts positions first, so duplicates meet in order and without float atomics. Several
index tensors point into the first axes of x, as in the kernel contract; functions along one axis
bring their arguments into that form.
"""

from __future__ import annotations

from operator import le
from typing import Any

from .. import dtype as dtypes
from ..amp.autocast_mode import AUTOCAST
from ..autograd.function import describe, mixed_devices
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..tensor import Tensor
from .indexing import SetItem, getitem, plan
from .operands import axis, check_mask, check_tensor
from .picking import check_index, fits_beside, grid
from .scattering import into, reduced_into
from .selection import where
from .views import broadcast_tensors

# ---- scatter ---------------------------------------------------------------------------------


def scattered(
    name: str, input: Tensor, dim: int, index: Tensor, src: Any
) -> tuple[Tensor, Tensor, list[Tensor]] | None:
    """(x, v, index tensors of all axes), checked; None where the index is empty."""
    dim = axis(name, dim, check_tensor(name, input).ndim)
    index = check_index(name, input, index)
    if not isinstance(src, Tensor):
        src = input.new_full((), src).expand(index.shape)
    if src.dtype != input.dtype:
        raise DTypeError(f"{name}: src is {src.dtype.name}, input {input.dtype.name}.")
    if src.backend is not input.backend:
        raise DeviceError(mixed_devices(name, (input, src)))
    if not index.numel():
        return None
    x, index, v = (t.reshape(1) if t.ndim == 0 else t for t in (input, index, src))
    within = index.ndim == v.ndim and all(map(le, index.shape, v.shape))
    if not within or not fits_beside(index.shape, x.shape, dim):
        raise ShapeError(
            f"{name}: index {index.shape} must fit into src {src.shape} and, except along dim "
            f"{dim}, into input {input.shape}."
        )
    if v.shape != index.shape:
        v = getitem(v, tuple([slice(0, n) for n in index.shape]))
    return x, v, list(grid(x, index, dim))


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """input with src added: y[i, index[i, j, k], k] += src[i, j, k] for dim 1, in order."""
    if AUTOCAST.on:
        input, src = AUTOCAST.cast("scatter_add", input, src)
    found = scattered("scatter_add", input, dim, index, check_tensor("scatter_add", src))
    return _back(into(*found, True), input) if found else input.clone()


def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: float | None = None,
    reduce: str | None = None,
) -> Tensor:
    """input with y[i, index[i, j, k], k] = src[i, j, k] for dim 1; of duplicates the last stays.

    src: a tensor, or (also as `value`) a number. reduce: "add" or "multiply" instead of setting.
    """
    if (src is None) == (value is None):
        raise ArgumentError("scatter: give either src or value.")
    if reduce not in (None, "add", "multiply"):
        raise ArgumentError(f"scatter: reduce must be 'add' or 'multiply', not {reduce!r}.")
    found = scattered("scatter", input, dim, index, value if src is None else src)
    if not found:
        return input.clone()
    x, v, indices = found
    if reduce == "multiply":
        return _back(reduced_into(x, v, indices, "prod", True), input)
    return _back(into(x, v, indices, reduce == "add"), input)


def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """input joined with src at the places `scatter` sets: sum, prod, mean, amax or amin.

    include_self: whether the element of `input` takes part where something is placed. Equal
    extremes share the gradient.
    """
    name = "scatter_reduce"
    _check_reduce(name, reduce, ("sum", "prod", "mean", "amax", "amin"))
    found = scattered(name, input, dim, index, check_tensor(name, src))
    if not found:
        return input.clone()
    return _back(reduced_into(*found, reduce, include_self), input)


def _check_reduce(name: str, reduce: str, legal: tuple[str, ...]) -> None:
    if reduce not in legal:
        raise ArgumentError(f"{name}: reduce must be one of {', '.join(legal)}; got {reduce!r}.")


# ---- slices along one axis ----------------------------------------------------------------------


def slices(
    name: str, input: Tensor, dim: int, index: Tensor, source: Any
) -> tuple[Tensor, Tensor, Tensor, int]:
    """(input, source, the index, dim), checked; none of them 0-d."""
    dim = axis(name, dim, check_tensor(name, input).ndim)
    index = check_index(name, input, index)
    if index.ndim > 1:
        raise ShapeError(f"{name}: index must be a vector, got {describe(index)}.")
    index = index if index.ndim else index.reshape(1)
    source = check_tensor(name, source)
    x = input.reshape(1) if input.ndim == 0 else input
    v = source.reshape(1) if source.ndim == 0 and x.ndim == 1 else source
    shape = (*x.shape[:dim], index.numel(), *x.shape[dim + 1 :])
    if v.shape != shape or v.dtype != x.dtype:
        raise ShapeError(
            f"{name}: source is {describe(source)}; must be {shape} {input.dtype.name}."
        )
    if v.backend is not x.backend:
        raise DeviceError(mixed_devices(name, (x, v)))
    return x, v, index, dim


def _back(y: Tensor, input: Tensor) -> Tensor:
    """A result, made of what is not 0-d, in the shape of `input`."""
    return y if input.ndim else y.reshape(())


def scaled(name: str, v: Tensor, alpha: float) -> Tensor:
    """alpha v, in v's dtype."""
    if isinstance(alpha, float) and not dtypes.is_floating(v.dtype):
        raise DTypeError(f"{name}: alpha {alpha} does not fit {describe(v)}.")
    return v if alpha == 1 else (v * alpha).to(v.dtype)


def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1
) -> Tensor:
    """input with alpha source added: slice i of source to slice index[i] along `dim`, in order."""
    x, v, index, dim = slices("index_add", input, dim, index, source)
    return _back(into(x, scaled("index_add", v, alpha), [index], True, dim), input)


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """input with slice i of source in place of slice index[i] along `dim`; the last one stays."""
    x, v, index, dim = slices("index_copy", input, dim, index, source)
    return _back(into(x, v, [index], False, dim), input)


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """input with `value`, a number or a 0-d tensor, in the slices `index` along `dim`."""
    dim = axis("index_fill", dim, check_tensor("index_fill", input).ndim)
    index = check_index("index_fill", input, index)
    if index.ndim > 1:
        raise ShapeError(f"index_fill: index must be a vector, got {describe(index)}.")
    if isinstance(value, Tensor) and value.ndim:
        raise ShapeError(f"index_fill: value must be a number or 0-d, got {value.shape}.")
    x = input.reshape(1) if input.ndim == 0 else input
    mask = x.new_zeros(x.shape[dim], dtype=dtypes.bool_)
    mask.backend.kernels.scatter("set", mask.array, [index.reshape(-1).array], True)
    v = value.to(x.dtype) if isinstance(value, Tensor) else x.new_full((), value)
    mask = mask.reshape([-1 if i == dim else 1 for i in range(x.ndim)])
    return where(mask, v, x).reshape(input.shape)


def index_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """input joined with the slices of source at `index` along `dim`: prod, mean, amax or amin."""
    _check_reduce("index_reduce", reduce, ("prod", "mean", "amax", "amin"))
    x, v, index, dim = slices("index_reduce", input, dim, index, source)
    y = reduced_into(x.movedim(dim, 0), v.movedim(dim, 0), [index], reduce, include_self)
    return _back(y.movedim(0, dim), input)


# ---- elements -----------------------------------------------------------------------------------


def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of `input` with ``y[indices] = values``, or += in order if `accumulate`."""
    if AUTOCAST.on:
        input, values = AUTOCAST.cast("index_put", input, values)
    return put_into(check_tensor("index_put", input).clone(), indices, values, accumulate)


def put_into(y: Tensor, indices: Any, values: Tensor, accumulate: bool) -> Tensor:
    """The same in place."""
    if not isinstance(indices, (tuple, list)):
        raise DTypeError("index_put: indices must be a tuple of tensors.")
    if check_tensor("index_put", values).dtype != y.dtype:
        raise DTypeError(f"index_put: values are {values.dtype.name}, input {y.dtype.name}.")
    index = tuple([slice(None) if i is None else i for i in indices])
    where = plan(y, index)
    return SetItem.apply(y, values, index=index, plan=where, op="add" if accumulate else "set")


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """input with ``flat[index] = source``, or += in order if `accumulate`, flat being its row."""
    at = check_index("put", check_tensor("put", input), index).reshape(-1)
    v = check_tensor("put", source)
    if v.dtype != input.dtype or v.numel() != at.numel():
        raise ShapeError(
            f"put: source {describe(v)} must have the {at.numel()} elements of index "
            f"{index.shape}, of {input.dtype.name}."
        )
    y = into(input.reshape(-1), v.reshape(-1), [at], bool(accumulate))
    return y.reshape(input.shape)


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """input with the elements of source, in order, where `mask` is True; the mask broadcasts."""
    check_mask("masked_scatter", mask)
    if check_tensor("masked_scatter", source).dtype != input.dtype:
        raise DTypeError(
            f"masked_scatter: source is {source.dtype.name}, input {input.dtype.name}."
        )
    input, mask = broadcast_tensors(input, mask)
    place = mask.reshape(-1).cumsum(0) - 1
    if input.backend.synchronous and place.numel() and int(place[-1].item()) >= source.numel():
        raise ShapeError(
            f"masked_scatter: source {source.shape} has {source.numel()} elements; the mask is "
            f"True at {int(place[-1].item()) + 1}."
        )
    if not source.numel():
        return input.clone()
    placed = source.reshape(-1).index_select(0, place.clamp(min=0)).reshape(input.shape)
    return where(mask, placed, input)
