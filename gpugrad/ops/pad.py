"""Padding: a border of a constant, or of the tensor's own values."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

from ..autograd.function import Function, describe
from ..backends.layout import empty_image
from ..errors import ArgumentError, DTypeError, ShapeError
from ..tensor import Tensor
from .indexing import getitem
from .joining import cat, flip
from .operands import check_tensor
from .views import expand

Pair = tuple[int, int]
MODES = ("constant", "reflect", "replicate", "circular")


class ConstantPad(Function):
    """y = x with (before, after) elements of `value` on each axis, or fewer where negative.

    dx = dy padded with the negated pairs and zeros: what was added is cut off, and the reverse.
    """

    def forward(self, x: Any, pairs: tuple[Pair, ...], value: float) -> Any:
        self.pairs = pairs
        rows = list(zip(x.shape, pairs, strict=True))
        shape = tuple([n + before + after for n, (before, after) in rows])
        y = empty_image(self.backend.empty, shape, x.dtype, x)
        into = tuple([slice(max(a, 0), max(a, 0) + _kept(n, (a, b))) for n, (a, b) in rows])
        of = tuple([slice(max(-a, 0), max(-a, 0) + _kept(n, (a, b))) for n, (a, b) in rows])
        if y[into].shape != shape:
            self.kernels.fill(y, value)
        self.kernels.copy(x[of], y[into])
        return y

    def backward(self, dy: Tensor) -> Any:
        return ConstantPad.apply(dy, pairs=tuple([(-a, -b) for a, b in self.pairs]), value=0.0)


def _kept(n: int, pair: Pair) -> int:
    """How many of n elements stay."""
    return max(n + min(pair[0], 0) + min(pair[1], 0), 0)


def _pairs(x: Tensor, given: Any) -> tuple[Pair, ...]:
    """(before, after) for each axis of x, from a flat list that has the last axis first."""
    try:
        flat = [index(n) for n in given]
    except TypeError:
        raise DTypeError(
            f"pad: pad must be a sequence of integers (left, right, top, ...), got {given!r}."
        ) from None
    if len(flat) % 2 or len(flat) > 2 * x.ndim:
        raise ArgumentError(
            f"pad: pad {tuple(flat)} must have two entries for each padded axis, last axis first; "
            f"input {x.shape} has {x.ndim} axes."
        )
    pairs = [(flat[i], flat[i + 1]) for i in range(0, len(flat), 2)]
    pairs += [(0, 0)] * (x.ndim - len(pairs))
    pairs.reverse()
    if any(a + b + n < 0 for n, (a, b) in zip(x.shape, pairs, strict=True)):
        raise ShapeError(f"pad: pad {tuple(flat)} cuts more from input {x.shape} than it has.")
    return tuple(pairs)


def _part(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    y: Tensor = getitem(x, (slice(None),) * axis + (slice(start, stop),))
    return y


def _edge(x: Tensor, axis: int, at: int, count: int) -> Tensor:
    """The slice of x at `at`, `count` times."""
    shape = x.array.shape
    return expand(_part(x, axis, at, at + 1), (*shape[:axis], count, *shape[axis + 1 :]))


def _extended(x: Tensor, axis: int, pair: Pair, mode: str) -> Tensor:
    """x with `pair` elements of its own before and after along one axis, or fewer."""
    if mode == "circular" and min(pair) < 0:  # what is cut off does not come round
        stop = x.array.shape[axis] + min(pair[1], 0)
        x, pair = _part(x, axis, max(-pair[0], 0), stop), (max(pair[0], 0), max(pair[1], 0))
    n, (before, after) = x.array.shape[axis], pair
    parts = []
    if before > 0:
        if mode == "reflect":
            parts.append(flip(_part(x, axis, 1, before + 1), axis))
        elif mode == "replicate":
            parts.append(_edge(x, axis, 0, before))
        else:
            parts.append(_part(x, axis, n - before, n))
    start, stop = max(-before, 0), n - max(-after, 0)
    parts.append(x if (start, stop) == (0, n) else _part(x, axis, start, stop))
    if after > 0:
        if mode == "reflect":
            parts.append(flip(_part(x, axis, n - after - 1, n - 1), axis))
        elif mode == "replicate":
            parts.append(_edge(x, axis, n - 1, after))
        else:
            parts.append(_part(x, axis, 0, after))
    return cat(parts, axis) if len(parts) > 1 else parts[0]


def _check_extendable(x: Tensor, pairs: Sequence[Pair], count: int, mode: str) -> None:
    """As PyTorch: one to three axes behind one or two others, and values enough to take."""
    if not 1 <= count <= 3 or x.ndim not in (count + 1, count + 2):
        raise ShapeError(
            f"pad: mode {mode!r} pads the last 1, 2 or 3 axes of an input with 1 or 2 axes before "
            f"them; got {describe(x)} and pad for {count}."
        )
    for axis, pair in enumerate(pairs):
        n, widest = x.shape[axis], max(pair)
        whole = n + min(pair[0], 0) + min(pair[1], 0)
        limit = {"reflect": n - 1, "circular": whole, "replicate": widest if n else 0}[mode]
        if widest > max(limit, 0):
            raise ArgumentError(
                f"pad: mode {mode!r} takes at most {max(limit, 0)} elements on axis {axis} of "
                f"input {x.shape}; got {pair}."
            )


def pad(input: Tensor, pad: Any, mode: str = "constant", value: float | None = None) -> Tensor:
    """`input` with a border: pad = (left, right, top, bottom, ...), from the last axis on.

    constant: of `value` (0), any number of axes. Of the input's own values, for one to three axes:
    reflect mirrors it at its first and last element, replicate repeats these, circular goes on from
    the other end. Negative entries cut off instead.
    """
    x = check_tensor("pad", input)
    if mode not in MODES:
        raise ArgumentError(f"pad: mode must be one of {MODES}, not {mode!r}.")
    pairs = _pairs(x, pad)
    if mode == "constant":
        y: Tensor = ConstantPad.apply(x, pairs=pairs, value=0 if value is None else value)
        return y
    if value:
        raise ArgumentError(f"pad: mode {mode!r} takes no value; got value={value!r}.")
    _check_extendable(x, pairs, len(pad) // 2, mode)
    y = x
    for axis, pair in enumerate(pairs):
        if pair != (0, 0):
            y = _extended(y, axis, pair, mode)
    return y.clone() if y is x else y


def constant_pad_nd(input: Tensor, pad: Any, value: float = 0) -> Tensor:
    """`pad` with mode "constant"."""
    return ConstantPad.apply(
        check_tensor("constant_pad_nd", input), pairs=_pairs(input, pad), value=value
    )
