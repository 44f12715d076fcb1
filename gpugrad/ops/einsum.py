"""einsum: sums of products, written with a letter for each axis; planned as products of matrices.

An axis that a tensor names twice is its diagonal. Two tensors are contracted as one (batched)
matrix product: axes in both that remain are the batch, those that do not are summed over, the
others are rows and columns. Of several tensors, that pair comes first whose product costs least.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ..amp.autocast_mode import AUTOCAST
from ..autograd.function import mixed_devices
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..tensor import Tensor
from .linalg import matmul
from .operands import check_tensor

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # implicit results: this order
_DOTS = "..."

Labels = list[str]


def einsum(*args: Any) -> Tensor:
    """``einsum("bij,bjk->bik", a, b)``: products of the tensors' elements, summed over axes.

    args: the equation and its tensors (or a list of them): a letter for each axis, "..." for those
    that broadcast, terms divided by commas, and after "->" the axes of the result; axes left out
    are summed over. Without "->" the result has the axes in "..." and then, in alphabetical order,
    the letters that occur once. Or ``einsum(a, [0, 1], b, [1, 2], [0, 2])``: integers 0 to 51 and
    Ellipsis instead of letters, the result's axes last (or left out).
    Axes of one letter have one length, or 1. Raises ArgumentError for a wrong equation, ShapeError
    for tensors that do not fit it.
    """
    by_letters = not args or isinstance(args[0], str)
    terms, output, tensors = (_equation if by_letters else _sublists)(args)
    if any(x.backend is not tensors[0].backend for x in tensors):
        raise DeviceError(mixed_devices("einsum", tensors))
    if AUTOCAST.on:
        tensors = list(AUTOCAST.cast("einsum", *tensors))
    if any(x.dtype != tensors[0].dtype for x in tensors):
        given = ", ".join(x.dtype.name for x in tensors)
        raise DTypeError(f"einsum: all tensors need one dtype, got {given}.\n  Use .to(dtype).")
    axes = [_axes(i, term, x) for i, (term, x) in enumerate(zip(terms, tensors, strict=True))]
    dots = max((sum(a.startswith(_DOTS) for a in found) for found in axes), default=0)
    result = _result_axes(terms, output, axes, dots)
    return _contract(list(tensors), axes, result, _lengths(axes, tensors))


# ---- reading -------------------------------------------------------------------------------------


def _equation(args: Sequence[Any]) -> tuple[list[Labels], Labels | None, list[Tensor]]:
    """(terms, result or None, tensors) of ``einsum(equation, *tensors)``."""
    if not args or not isinstance(args[0], str):
        raise ArgumentError("einsum: needs an equation and tensors, or tensors with sublists.")
    equation, operands = args[0], args[1:]
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    terms, output = _read(equation)
    if not operands:
        raise ArgumentError(f"einsum({equation!r}): needs at least one tensor.")
    if len(terms) != len(operands):
        raise ArgumentError(f"einsum({equation!r}): {len(terms)} terms, {len(operands)} tensors.")
    tensors = [check_tensor("einsum", x) for x in operands]
    return terms, output, tensors


@lru_cache
def _read(equation: str) -> tuple[list[Labels], Labels | None]:
    """The axes of each term, and of the result if the equation names them."""
    left, arrow, right = equation.partition("->")
    terms = [_labels(equation, part) for part in left.split(",")]
    return terms, (_labels(equation, right) if arrow else None)


def _labels(equation: str, text: str) -> Labels:
    """The letters of one term, and "..." as one label."""
    before, dots, after = text.replace(" ", "").partition(_DOTS)
    for c in before + after:
        if c not in _LETTERS:
            raise ArgumentError(
                f"einsum({equation!r}): {c!r} is no axis; they are letters, and '...' once in a "
                "term."
            )
    return [*before, *([_DOTS] if dots else []), *after]


def _sublists(args: Sequence[Any]) -> tuple[list[Labels], Labels | None, list[Tensor]]:
    """(terms, result or None, tensors) of ``einsum(a, [0, 1], b, [1, 2], [0, 2])``."""
    lists = [args[i] for i in range(1, len(args), 2)] + ([args[-1]] if len(args) % 2 else [])
    if len(args) < 2 or not all(isinstance(each, (list, tuple)) for each in lists):
        raise ArgumentError("einsum: needs an equation and tensors, or tensors with sublists.")
    named = []
    for each in lists:
        for n in each:
            if n is not Ellipsis and not (isinstance(n, int) and 0 <= n < len(_LETTERS)):
                raise ArgumentError(f"einsum: {n!r} in {each} is not 0 to 51 and not Ellipsis.")
        if sum(n is Ellipsis for n in each) > 1:
            raise ArgumentError(f"einsum: {each} has Ellipsis twice.")
        named.append([_DOTS if n is Ellipsis else _LETTERS[n] for n in each])
    output = named.pop() if len(args) % 2 else None
    return named, output, [check_tensor("einsum", x) for x in args[: 2 * len(named) : 2]]


def _axes(number: int, term: Labels, x: Tensor) -> Labels:
    """A label for each axis; those of "..." are numbered from the right, as they broadcast."""
    extra = x.ndim - (len(term) - (_DOTS in term))
    if extra < 0 or (extra and _DOTS not in term):
        raise ShapeError(
            f"einsum: term {number} names {len(term) - (_DOTS in term)} axes, its tensor has shape "
            f"{x.shape}."
        )
    if _DOTS not in term:
        return term
    place = term.index(_DOTS)
    return term[:place] + _dotted(extra) + term[place + 1 :]


def _dotted(count: int) -> Labels:
    return [f"{_DOTS}{count - i}" for i in range(count)]


def _result_axes(
    terms: list[Labels], output: Labels | None, axes: list[Labels], dots: int
) -> Labels:
    if output is None:
        counts = Counter(itertools.chain.from_iterable(terms))
        single = [c for c in _LETTERS if counts[c] == 1]
        return _dotted(dots) + single
    known = set(itertools.chain.from_iterable(axes))
    result = list(itertools.chain(*(_dotted(dots) if c == _DOTS else [c] for c in output)))
    for c in result:
        if result.count(c) > 1:
            raise ArgumentError(f"einsum: the result names axis {c!r} twice.")
        if c not in known:
            raise ArgumentError(f"einsum: axis {c!r} of the result is in none of the terms.")
    return result


def _lengths(axes: list[Labels], tensors: Sequence[Tensor]) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, (labels, x) in enumerate(zip(axes, tensors, strict=True)):
        own: dict[str, int] = {}
        for c, n in zip(labels, x.shape, strict=True):
            if own.setdefault(c, n) != n:
                raise ShapeError(f"einsum: term {number} names axes {own[c]} and {n} {c!r}.")
            if found.setdefault(c, n) == 1:
                found[c] = n
            if n not in (1, found[c]):
                raise ShapeError(f"einsum: {c!r} has length {n} in term {number}, else {found[c]}.")
    return found


# ---- computing -----------------------------------------------------------------------------------


def _contract(
    tensors: list[Tensor], axes: list[Labels], result: Labels, length: dict[str, int]
) -> Tensor:
    """The result of one tensor for each list of axes, two at a time."""
    parts = [_plain(x, labels, length) for x, labels in zip(tensors, axes, strict=True)]
    for i, (x, labels) in enumerate(parts):
        elsewhere = set(result).union(*(part[1] for k, part in enumerate(parts) if k != i))
        if drop := [d for d, c in enumerate(labels) if c not in elsewhere]:
            y = x.sum(drop)
            y = y if len(parts) == 1 else y.to(x.dtype)  # PyTorch's sum alone gives int64
            parts[i] = y, [c for c in labels if c in elsewhere]
    while len(parts) > 1:
        pairs = itertools.combinations(range(len(parts)), 2)
        i, j = min(pairs, key=lambda pair: _cost(parts, pair, length))
        (b, second), (a, first) = parts.pop(j), parts.pop(i)
        parts.append(_pair(a, first, b, second, set(result).union(*(part[1] for part in parts))))
    x, labels = parts[0]
    if absent := [c for c in result if c not in labels]:  # of length 1 in every term
        x, labels = x.reshape([*x.shape, *[1] * len(absent)]), labels + absent
    return _arranged(x, labels, result)


def _arranged(x: Tensor, labels: Labels, order: Labels) -> Tensor:
    """The axes of x in another order."""
    return x if labels == order else x.permute([labels.index(c) for c in order])


def _plain(x: Tensor, labels: Labels, length: dict[str, int]) -> tuple[Tensor, Labels]:
    """A tensor with each axis once, and without those that broadcast."""
    for c in [c for c, times in Counter(labels).items() if times > 1]:
        while labels.count(c) > 1:
            i = labels.index(c)
            j = labels.index(c, i + 1)
            x = x.diagonal(0, i, j)  # the diagonal is the last axis
            labels = [*labels[:i], *labels[i + 1 : j], *labels[j + 1 :], c]
    kept = [i for i, c in enumerate(labels) if x.shape[i] == length[c]]
    if len(kept) < len(labels):
        x, labels = x.reshape([x.shape[i] for i in kept]), [labels[i] for i in kept]
    return x, labels


def _cost(parts: list[Any], pair: tuple[int, int], length: dict[str, int]) -> tuple[int, int]:
    """Multiplications of a pair, then the elements of its product (before later sums)."""
    i, j = pair
    every = set(parts[i][1]) | set(parts[j][1])
    others = set().union(*(part[1] for k, part in enumerate(parts) if k not in pair))
    return (
        math.prod(length[c] for c in every),
        math.prod(length[c] for c in every if c in others) - math.prod(parts[i][0].shape),
    )


def _pair(a: Tensor, first: Labels, b: Tensor, second: Labels, keep: set[str]) -> Any:
    """The product of two tensors, summed over the axes in both that are not kept."""
    batch = [c for c in first if c in second and c in keep]
    summed = [c for c in first if c in second and c not in keep]
    rows = [c for c in first if c not in second]
    columns = [c for c in second if c not in first]
    length = dict(zip(first + second, a.shape + b.shape, strict=True))

    def size(labels: Labels) -> int:
        return math.prod(length[c] for c in labels)

    shape = [length[c] for c in batch + rows + columns]
    if not summed or not (rows or columns or not batch):  # a product of elements
        left = _arranged(a, first, batch + rows + summed)
        right = _arranged(b, second, batch + columns + summed)
        lead = [length[c] for c in batch]
        at = len(batch + rows)
        left = left.reshape([*left.shape[:at], *[1] * len(columns), *left.shape[at:]])
        right = right.reshape([*lead, *[1] * len(rows), *right.shape[len(batch) :]])
        y = left * right
        if summed:
            y = y.sum(tuple(range(len(batch), y.ndim))).to(a.dtype)
        return y, batch + rows + columns
    k = size(summed)
    stack = [size(batch)] if batch else []
    left = _shaped(_arranged(a, first, batch + rows + summed), *stack, size(rows), k)
    right = _shaped(_arranged(b, second, batch + summed + columns), *stack, k, size(columns))
    return _shaped(matmul(left, right), *shape), batch + rows + columns


def _shaped(x: Tensor, *shape: int) -> Tensor:
    return x if x.shape == shape else x.reshape(shape)
