"""Shapes put together from others: hstack and its kind, grids, blocks, quarter turns."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd.function import describe
from ..errors import ArgumentError, DTypeError, ShapeError
from ..tensor import Tensor
from .indexing import getitem
from .joining import Split, _common, _tensors, cat, flip, stack
from .operands import axis, check_tensor, shape_of
from .pad import pad


def _several(name: str, tensors: tuple[Any, ...]) -> list[Tensor]:
    """The tensors of f(a, b) or f([a, b])."""
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    return [check_tensor(name, x) for x in given]


def _at_least(name: str, tensors: tuple[Any, ...], reshaped: Any) -> Any:
    found = tuple([reshaped(x) for x in _several(name, tensors)])
    single = len(tensors) == 1 and isinstance(tensors[0], Tensor)
    return found[0] if single else found


def _one(x: Tensor) -> Tensor:
    return x.reshape(1) if x.ndim == 0 else x


def _two(x: Tensor) -> Tensor:
    return x.reshape(1, 1) if x.ndim == 0 else x.unsqueeze(0) if x.ndim == 1 else x


def _three(x: Tensor) -> Tensor:
    return _two(x).unsqueeze(-1) if x.ndim < 3 else x


def atleast_1d(*tensors: Any) -> Any:
    """Each tensor with at least 1 axis, as a view; a tuple for several."""
    return _at_least("atleast_1d", tensors, _one)


def atleast_2d(*tensors: Any) -> Any:
    """Each tensor with at least 2 axes, new ones in front, as a view; a tuple for several."""
    return _at_least("atleast_2d", tensors, _two)


def atleast_3d(*tensors: Any) -> Any:
    """Each tensor with at least 3 axes: [n] as [1, n, 1], [m, n] as [m, n, 1]; views."""
    return _at_least("atleast_3d", tensors, _three)


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Side by side: along the second axis, vectors along their only one."""
    xs = [_one(x) for x in _tensors("hstack", tensors)]
    return cat(xs, 0 if xs[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """One below the other: along the first axis, vectors being rows."""
    return cat([_two(x) for x in _tensors("vstack", tensors)], 0)


row_stack = vstack


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """One behind the other: along the third axis."""
    return cat([_three(x) for x in _tensors("dstack", tensors)], 2)


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Side by side, vectors being columns."""
    xs = _tensors("column_stack", tensors)
    return hstack([x.reshape(-1, 1) if x.ndim < 2 else x for x in xs])


def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views: that many parts whose lengths differ by at most 1, or cut at these positions."""
    x = check_tensor("tensor_split", input)
    if x.ndim == 0:
        raise ShapeError("tensor_split: a 0-d tensor has no axis.")
    dim, given = axis("tensor_split", dim, x.ndim), indices_or_sections
    if isinstance(given, Tensor):
        if given.ndim > 1 or given.dtype != np.int64:
            raise DTypeError(
                f"tensor_split: indices_or_sections must be int64, 0-d or a vector; got "
                f"{describe(given)}."
            )
        given = given.tolist()
    n = x.shape[dim]
    if isinstance(given, int):
        if given < 1:
            raise ArgumentError(f"tensor_split: sections must be at least 1, got {given}.")
        cuts = [i * (n // given) + min(i, n % given) for i in range(1, given)]
    else:
        cuts = list(shape_of("tensor_split", (given,)))
    bounds = [0, *[min(max(c + n if c < 0 else c, 0), n) for c in cuts], n]
    sizes = [b - a for a, b in itertools.pairwise(bounds)]
    if min(sizes) >= 0:
        return tuple(Split.apply(x, sizes=sizes, dim=dim))
    parts = itertools.pairwise(bounds)  # some overlap
    return tuple([getitem(x, (slice(None),) * dim + (slice(a, b),)) for a, b in parts])


def _split_along(name: str, input: Tensor, given: Any, dim: int, least: int) -> tuple[Tensor, ...]:
    x = check_tensor(name, input)
    if x.ndim < least:
        raise ShapeError(f"{name}: at least {least} axes are needed; got {describe(x)}.")
    if isinstance(given, int) and (given < 1 or x.shape[dim] % given):
        raise ArgumentError(
            f"{name}: axis {dim} of length {x.shape[dim]} is not divisible into {given} parts."
        )
    return tensor_split(x, given, dim)


def hsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Views along the second axis (the only one of a vector): equal parts, or cut at positions."""
    dim = 0 if check_tensor("hsplit", input).ndim == 1 else 1
    return _split_along("hsplit", input, indices_or_sections, dim, 1)


def vsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Views along the first axis: equal parts, or cut at positions."""
    return _split_along("vsplit", input, indices_or_sections, 0, 2)


def dsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Views along the third axis: equal parts, or cut at positions."""
    return _split_along("dsplit", input, indices_or_sections, 2, 3)


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Views in which vector i runs along axis i: all points of a grid.

    indexing "ij" (default) is that, "xy" exchanges the first two axes.
    """
    xs = _several("meshgrid", tensors)
    if not xs:
        raise ArgumentError("meshgrid: needs at least one tensor.")
    if indexing not in (None, "ij", "xy"):
        raise ArgumentError(f"meshgrid: indexing must be 'ij' or 'xy', not {indexing!r}.")
    if any(x.ndim > 1 for x in xs):
        raise ShapeError(f"meshgrid: vectors are needed; got {', '.join(map(describe, xs))}.")
    if any(x.dtype != xs[0].dtype or x.backend is not xs[0].backend for x in xs):
        raise DTypeError(
            f"meshgrid: one dtype and device are needed; got {', '.join(map(describe, xs))}."
        )
    swap = indexing == "xy" and len(xs) > 1
    ordered = [xs[1], xs[0], *xs[2:]] if swap else xs
    shape, n = [x.numel() for x in ordered], len(xs)
    grids = [
        x.reshape(
            [-1 if j == i else 1 for j in range(n)]
            if x.numel()
            else [0 if j == i else 1 for j in range(n)]
        ).expand(shape)
        for i, x in enumerate(ordered)
    ]
    if swap:
        grids = [grids[1], grids[0], *grids[2:]]
    return tuple(grids)


def cartesian_prod(*tensors: Any) -> Tensor:
    """All tuples of one element of each vector, in order, as rows; of one vector itself."""
    xs = _several("cartesian_prod", tensors)
    if any(x.ndim != 1 for x in xs):
        raise ShapeError(f"cartesian_prod: vectors are needed; got {', '.join(map(describe, xs))}.")
    if len(xs) == 1:
        return xs[0]
    return stack([x.reshape(-1) for x in meshgrid(*xs)], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of r elements of a vector, in order, as rows."""
    x = check_tensor("combinations", input)
    if x.ndim != 1:
        raise ShapeError(f"combinations: a vector is needed; got {describe(x)}.")
    if r < 0:
        raise ArgumentError(f"combinations: r must not be negative, got {r}.")
    if r == 0:
        return x.new_empty(0)
    choose: Any = (
        itertools.combinations_with_replacement if with_replacement else itertools.combinations
    )
    rows = itertools.chain.from_iterable(choose(range(x.shape[0]), r))
    at = np.fromiter(rows, np.int64).reshape(-1, r)
    return getitem(x, (Tensor(x.backend.from_numpy(at), x.backend),))


def block_diag(*tensors: Any) -> Tensor:
    """A matrix with the matrices (vectors as rows) on its diagonal, else 0. Dtypes are promoted."""
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    xs = _common(_tensors("block_diag", list(given)))
    if any(x.ndim > 2 for x in xs):
        raise ShapeError(
            f"block_diag: at most 2 axes are allowed; got {', '.join(map(describe, xs))}."
        )
    xs = [_two(x) for x in xs]
    ends = list(itertools.accumulate(x.shape[1] for x in xs))
    return cat(
        [pad(x, (end - x.shape[1], ends[-1] - end)) for x, end in zip(xs, ends, strict=True)], 0
    )


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """A copy turned k times by a quarter in the plane of two axes, from the first to the second."""
    x = check_tensor("rot90", input)
    if len(dims) != 2:
        raise ArgumentError(f"rot90: dims must name two axes, got {tuple(dims)}.")
    if x.ndim < 2:
        raise ShapeError(f"rot90: at least 2 axes are needed; got {describe(x)}.")
    a, b = axis("rot90", dims[0], x.ndim), axis("rot90", dims[1], x.ndim)
    if a == b:
        raise ShapeError(f"rot90: two different axes are needed, got {tuple(dims)}.")
    turns = k % 4
    if turns == 1:
        return flip(x, b).transpose(a, b)
    if turns == 2:
        return flip(x, a, b)
    return flip(x, a).transpose(a, b) if turns == 3 else x.clone()


def fliplr(input: Tensor) -> Tensor:
    """A copy with the second axis backwards."""
    if check_tensor("fliplr", input).ndim < 2:
        raise ShapeError(f"fliplr: at least 2 axes are needed; got {describe(input)}.")
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """A copy with the first axis backwards."""
    if check_tensor("flipud", input).ndim < 1:
        raise ShapeError("flipud: a 0-d tensor has no axis.")
    return flip(input, 0)
