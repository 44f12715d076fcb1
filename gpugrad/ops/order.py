"""Sorting and what sorting gives: sort, topk, kthvalue, unique.

All of it stands on one kernel, a stable sort along rows, so the order of equals is the same on
every device: as they stood. NaN is above all numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import dtype as dtypes
from ..autograd.function import Function, describe
from ..backends import Backend
from ..errors import IndexOutOfRangeError, ShapeError
from ..tensor import Tensor
from .operands import axis, check_tensor
from .positions import positions


class Ordered(NamedTuple):
    """Values and where they were, from ``sort``, ``topk`` and ``kthvalue``."""

    values: Tensor
    indices: Tensor


class InOrder(Function):
    """(y, index): places start to stop of x in order along an axis;  dx[index] = dy, else 0."""

    def forward(self, x: Any, dim: int, descending: bool, start: int, stop: int) -> Any:
        self.of, self.dim = x.shape, dim
        y, index = self.kernels.sort(x.swapaxes(dim, -1), descending)
        if (start, stop) != (0, x.shape[dim]):  # the rest need not stay in memory
            y = self.kernels.contiguous(y[..., start:stop])
            index = self.kernels.contiguous(index[..., start:stop])
        y, index = y.swapaxes(dim, -1), index.swapaxes(dim, -1)
        self.save(index)
        return y, index

    def backward(self, dy: Tensor, _: None) -> Any:
        (index,) = self.saved
        return dy.new_zeros(self.of).scatter(self.dim, index, dy)


def _in_order(x: Tensor, dim: int, descending: bool, start: int, stop: int) -> Ordered:
    if x.ndim == 0:
        y, index = _in_order(x.reshape(1), 0, descending, start, stop)
        return Ordered(y.reshape(()), index.reshape(()))
    options = {"dim": dim, "descending": descending, "start": start, "stop": stop}
    return Ordered(*InOrder.apply(x, **options))


def sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool | None = False
) -> Ordered:
    """(values, indices) in order along `dim`. Always stable, whatever `stable` says."""
    x = check_tensor("sort", input)
    dim = axis("sort", dim, x.ndim)
    return _in_order(x, dim, bool(descending), 0, x.shape[dim] if x.ndim else 1)


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that sort along `dim`: int64. Always stable."""
    return sort(check_tensor("argsort", input).detach(), dim, descending, stable).indices


def msort(input: Tensor) -> Tensor:
    """Sorted along the first axis."""
    return sort(check_tensor("msort", input), 0).values


def topk(
    input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> Ordered:
    """(values, indices) of the k largest (or smallest) along `dim`.

    Always in order, whatever `sorted` says; of equals the first ones.
    """
    x = check_tensor("topk", input)
    dim = axis("topk", dim, x.ndim)
    n, k = (x.shape[dim] if x.ndim else 1), int(k)
    if not 0 <= k <= n:
        raise IndexOutOfRangeError(f"topk: k {k} must be 0 to {n}, the length of axis {dim}.")
    return _in_order(x, dim, bool(largest), 0, k)


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Ordered:
    """(value, index) of the k-th smallest along `dim`, k from 1; of equals the first ones first."""
    x = check_tensor("kthvalue", input)
    dim = axis("kthvalue", dim, x.ndim)
    n, k = (x.shape[dim] if x.ndim else 1), int(k)
    if not 1 <= k <= n:
        raise IndexOutOfRangeError(f"kthvalue: k {k} must be 1 to {n}, the length of axis {dim}.")
    y, index = _in_order(x, dim, False, k - 1, k)
    if keepdim or x.ndim == 0:
        return Ordered(y, index)
    return Ordered(y.squeeze(dim), index.squeeze(dim))


# ---- unique ------------------------------------------------------------------------------------


class Runs(NamedTuple):
    """Equal neighbours of sorted rows."""

    new: Any  # bool, True where an element is not equal to the one before it (NaN never is)
    number: Any  # int64, the run an element is in


def _runs(backend: Backend, y: Any) -> Runs:
    """The runs along the last axis of a raw array."""
    kernels, new = backend.kernels, backend.empty(y.shape, dtypes.bool_)
    kernels.fill(new[..., :1], True)
    if y.shape[-1] > 1:
        kernels.copy(kernels.binary("ne", y[..., 1:], y[..., :-1]), new[..., 1:])
    return Runs(new, kernels.binary("sub", kernels.scan("sum", new), 1))


def _lengths(backend: Backend, new: Any) -> tuple[Any, Any]:
    """(where the runs of a vector start, how long they are)."""
    kernels, n = backend.kernels, new.shape[0]
    starts = kernels.nonzero(new)[:, 0]
    ends = backend.empty(starts.shape, dtypes.int64)
    if n:
        kernels.copy(starts[1:], ends[:-1])
        kernels.fill(ends[-1:], n)
    return starts, kernels.binary("sub", ends, starts)


def _sent_back(backend: Backend, values: Any, index: Any) -> Any:
    """values of sorted rows [m, n] at the places they came from."""
    m, n = values.shape
    if m > 1:
        rows = backend.kernels.binary("mul", positions(backend, m)[:, None], n)
        index = backend.kernels.binary("add", index, rows)
    y = backend.empty((m * n,), dtypes.int64)
    backend.kernels.scatter("set", y, [index.reshape(-1)], values.reshape(-1))
    return y.reshape(m, n)


def _ranks(backend: Backend, rows: Any) -> Any:
    """For each element of rows [m, n] the rank of its value in its row, 0 for the least: int64."""
    y, index = backend.kernels.sort(rows, False)
    return _sent_back(backend, _runs(backend, y).number, index)


def _ranks_of_slices(backend: Backend, slices: Any) -> Any:
    """The rank of each row of slices [n, m] in lexicographic order, 0 for the least: int64 [n].

    Two columns of ranks become one, rank0 * n + rank1, until one is left.
    """
    kernels, n = backend.kernels, slices.shape[0]
    ranks = _ranks(backend, slices.transpose(1, 0))
    while (m := ranks.shape[0]) > 1:
        scaled = kernels.binary("mul", ranks[0 : m - 1 : 2], n)
        joined = kernels.binary("add", scaled, ranks[1::2])
        half = backend.empty(((m + 1) // 2, n), dtypes.int64)
        kernels.copy(_ranks(backend, joined), half[: m // 2])
        if m % 2:
            kernels.copy(ranks[m - 1 :], half[m // 2 :])
        ranks = half
    return ranks[0]


def _chosen(backend: Backend, y: Any, inverse: Any, counts: Any, flags: tuple[bool, bool]) -> Any:
    """y alone, or with the inverse, the counts, or both, as tensors."""
    wanted = (True, *flags)
    found = [Tensor(x, backend) for x, w in zip((y, inverse, counts), wanted, strict=True) if w]
    return tuple(found) if len(found) > 1 else found[0]


def _check_slices(name: str, x: Tensor, dim: int) -> int:
    """A legal axis. Raises ShapeError where its slices are empty."""
    dim = axis(name, dim, x.ndim)
    if x.numel() == 0 and x.shape.count(0) > (x.shape[dim] == 0):
        raise ShapeError(f"{name}: the slices of {describe(x)} along axis {dim} are empty.")
    return dim


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different values of `input` in order, or its different slices along `dim`.

    With `return_inverse` also where each element (or slice) is in them, with `return_counts` how
    often each occurs, both int64. Always in order, whatever `sorted` says. No gradient.
    """
    x, flags = check_tensor("unique", input).detach(), (return_inverse, return_counts)
    backend, kernels = x.backend, x.backend.kernels
    if dim is None:
        y, index = kernels.sort(x.reshape(-1).array, False)
        new, number = _runs(backend, y)
        starts, counts = _lengths(backend, new)
        inverse = _sent_back(backend, number[None], index).reshape(x.shape)
        return _chosen(backend, kernels.gather(y, [starts]), inverse, counts, flags)
    dim = _check_slices("unique", x, dim)
    if x.ndim == 0:
        return unique(x.reshape(1), sorted, return_inverse, return_counts, 0)
    if x.shape[dim] == 0:
        none = backend.empty((0,), dtypes.int64)
        return _chosen(backend, x.array, none, none, flags)
    ranks = _ranks_of_slices(backend, x.movedim(dim, 0).reshape(x.shape[dim], -1).array)
    order, index = kernels.sort(ranks, False)
    starts, counts = _lengths(backend, _runs(backend, order).new)
    first = Tensor(kernels.gather(index, [starts]), backend)
    return _chosen(backend, x.index_select(dim, first).array, ranks, counts, flags)


def unique_consecutive(
    input: Tensor,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The first of each run of equal values (or of equal slices along `dim`), as they stand.

    `return_inverse` and `return_counts` as in `unique`. No gradient.
    """
    x = check_tensor("unique_consecutive", input).detach()
    flags = (return_inverse, return_counts)
    backend, kernels = x.backend, x.backend.kernels
    if dim is None:
        flat = x.reshape(-1).array
        new, number = _runs(backend, flat)
        starts, counts = _lengths(backend, new)
        values = kernels.gather(flat, [starts])
        return _chosen(backend, values, number.reshape(x.shape), counts, flags)
    dim = _check_slices("unique_consecutive", x, dim)
    x = x.reshape(1) if x.ndim == 0 else x
    n = x.shape[dim]
    new = backend.empty((n,), dtypes.bool_)
    kernels.fill(new, True)
    if n > 1:
        rows = x.movedim(dim, 0).reshape(n, -1).array
        differ = kernels.binary("ne", rows[1:], rows[:-1])
        kernels.copy(kernels.reduce("any", differ, (1,), False), new[1:])
    starts, counts = _lengths(backend, new)
    number = kernels.binary("sub", kernels.scan("sum", new), 1)
    kept = x.index_select(dim, Tensor(starts, backend)).array
    return _chosen(backend, kept, number, counts, flags)
