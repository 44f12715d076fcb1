"""Choosing between values: where, masked_fill, clamp."""

from __future__ import annotations

import builtins
import math
from typing import Any

import ml_dtypes
import numpy as np

from .. import dtype as dtypes
from ..arguments import with_article
from ..autograd.function import Function
from ..autograd.modes import MODE
from ..errors import ArgumentError, DTypeError, ShapeError
from ..tensor import Tensor
from .operands import NUMBERS, check_broadcast, check_mask, check_tensor, filled, operands
from .picking import nonzero


class Where(Function):
    """y = a where c, else b;  da = dy where c, db = dy where not c."""

    def forward(self, c: Any, a: Any, b: Any) -> Any:
        self.save(c)
        return self.kernels.where(c, a, b)

    def backward(self, dy: Tensor) -> Any:
        (c,) = self.saved
        da = choose(c, dy, 0.0) if self.needs(1) else None
        return None, da, (choose(c, 0.0, dy) if self.needs(2) else None)


class Clamp(Function):
    """y = x held to [low, high];  dx = dy where low <= x <= high."""

    def forward(self, x: Any, low: float, high: float) -> Any:
        self.low, self.high = low, high
        self.save(x)
        return self.kernels.unary("clamp", x, low, high)

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return choose((x >= self.low) & (x <= self.high), dy, 0.0)


class Replaced(Function):
    """y = x, with numbers for NaN, inf and -inf;  dx = dy where x is finite."""

    def forward(self, x: Any, nan: float, high: float, low: float) -> Any:
        self.save(x)
        k = self.kernels
        y = k.where(k.unary("isnan", x), nan, x)
        y = k.where(k.binary("eq", x, math.inf), high, y)
        return k.where(k.binary("eq", x, -math.inf), low, y)

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return choose(x.isfinite(), dy, 0.0)


class Between(Function):
    """y = min(max(x, low), high), NaN wins;  dx = dy where low <= x <= high, dlow = dy where
    x < low < high, dhigh = dy where x > high or low > high."""

    def forward(self, x: Any, low: Any, high: Any) -> Any:
        self.save(x, low, high)
        y = x if low is None else self.kernels.binary("maximum", x, low)
        return y if high is None else self.kernels.binary("minimum", y, high)

    def backward(self, dy: Tensor) -> Any:
        x, low, high = [v.detach() if isinstance(v, Tensor) else v for v in self.saved]
        none = choose(x == x, False, False)
        below = none if low is None else x < low
        above = none if high is None else x > high
        crossed = none if low is None or high is None else low > high
        known = x == x  # NaN lies in no bounds
        dx = choose(known & ~(below | above), dy, 0.0) if self.needs(0) else None
        dlow = dhigh = None
        if low is not None and self.needs(1):
            flat = none if high is None else low >= high
            dlow = choose(below & ~flat, dy, 0.0)
        if high is not None and self.needs(2):
            dhigh = choose(above | crossed, dy, 0.0)
        return dx, dlow, dhigh


def choose(c: Tensor, a: Any, b: Any) -> Tensor:
    """Where, for backward: operands fit already, and without a graph only the kernel runs."""
    if MODE.grad:
        return Where.apply(c, a, b)
    a, b = (x.array if isinstance(x, Tensor) else x for x in (a, b))
    return Tensor(c.backend.kernels.where(c.array, a, b), c.backend)


def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """input where condition, else other; all broadcast, dtypes are promoted.

    With the condition alone: the positions of true elements, one tensor for each axis.
    """
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    check_mask("where", condition)
    both_numbers = not isinstance(input, (Tensor, np.ndarray)) and not isinstance(
        other, (Tensor, np.ndarray)
    )
    if both_numbers:
        input = _number_like(condition, input, other)
    a, b = operands("where", input, other)
    check_broadcast("where", condition, a, b)
    return Where.apply(condition, a, b)


def _number_like(condition: Tensor, a: Any, b: Any) -> Tensor:
    dtype = dtypes.result_type(a, b)
    value = condition.backend.empty((), dtype)
    condition.backend.kernels.fill(value, a)
    return Tensor(value, condition.backend)


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """`input` with `value` where `mask` is True; the mask broadcasts."""
    check_mask("masked_fill", mask)
    check_broadcast("masked_fill", mask, input)
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, Tensor):
        if value.ndim:
            raise ShapeError(f"masked_fill: value must be a number or 0-d, got {value.shape}.")
        if dtypes.is_floating(value.dtype) and not dtypes.is_floating(input.dtype):
            kind = with_article(input.dtype.name)
            raise DTypeError(f"masked_fill: a {value.dtype.name} value does not fit {kind} tensor.")
        value = value.to(input.dtype)
    elif not isinstance(value, NUMBERS):
        raise DTypeError(f"masked_fill: value must be a number, got {type(value).__name__}.")
    elif isinstance(value, float) and not dtypes.is_floating(input.array.dtype):
        if not value.is_integer():
            kind = with_article(input.dtype.name)
            raise DTypeError(f"masked_fill: {value} does not fit {kind} tensor.")
        value = int(value)
    if input.array.dtype.kind in "iu" and not isinstance(value, Tensor):
        ends = np.iinfo(input.array.dtype)
        if not ends.min <= value <= ends.max:
            kind = with_article(input.dtype.name)
            raise ArgumentError(
                f"masked_fill: {value} does not fit {kind} tensor, which holds {ends.min} to "
                f"{ends.max}."
            )
    return Where.apply(mask, value, input)


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """`input` held to [min, max]: numbers, tensors or None (no bound). Where min > max, max."""
    return _clamp("clamp", input, min, max)


def clamp_min(input: Tensor, min: Any) -> Tensor:
    """`input`, at least `min`."""
    return _clamp("clamp_min", input, min, None)


def clamp_max(input: Tensor, max: Any) -> Tensor:
    """`input`, at most `max`."""
    return _clamp("clamp_max", input, None, max)


_EXACT = 1 << 53  # whole numbers up to here are doubles


def _clamp(name: str, input: Tensor, low: Any, high: Any) -> Tensor:
    check_tensor(name, input)
    if input.array.dtype.kind == "f" and type(low) in NUMBERS and type(high) in NUMBERS:
        return Clamp.apply(input, low=float(low), high=float(high))
    bounds = [b for b in (low, high) if b is not None]
    if not bounds:
        raise ArgumentError(f"{name}: at least one of min and max must be given.")
    held = [b.array if isinstance(b, Tensor) else b for b in bounds]
    dtype = dtypes.result_type(input.array, *held)
    x = input.to(dtype)
    tensors = [isinstance(b, Tensor) for b in bounds]
    large = not dtypes.is_floating(dtype) and builtins.any(
        not is_tensor and not -_EXACT <= b <= _EXACT
        for b, is_tensor in zip(bounds, tensors, strict=True)
    )
    if builtins.any(tensors) or large or dtype == dtypes.bool_:
        a, b = [v if v is None else _bound(v, x) for v in (low, high)]
        check_broadcast(name, x, a, b)
        return Between.apply(x, a, b)
    least = -math.inf if low is None else float(low)
    return Clamp.apply(x, low=least, high=math.inf if high is None else float(high))


def _bound(value: Any, x: Tensor) -> Tensor:
    if isinstance(value, Tensor):
        return value.to(x.array.dtype)
    if x.array.dtype.kind in "iu":  # beyond the dtype is its end, not wrapped
        ends = np.iinfo(x.array.dtype)
        value = builtins.min(builtins.max(value, int(ends.min)), int(ends.max))
    return filled(value, x)


def nan_to_num(
    input: Tensor,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:
    """`input` with numbers for NaN and the infinities, by default 0 and the dtype's largest and
    smallest; no gradient flows where one was replaced. Integers stay as they are."""
    x = check_tensor("nan_to_num", input)
    if dtypes.is_float8(x.dtype):
        raise dtypes.unsupported("nan_to_num", x.dtype)
    if not dtypes.is_floating(x.dtype):
        return x.clone()
    limits = ml_dtypes.finfo(x.dtype)
    high = float(limits.max) if posinf is None else posinf
    low = float(limits.min) if neginf is None else neginf
    return Replaced.apply(x, nan=0.0 if nan is None else nan, high=high, low=low)
