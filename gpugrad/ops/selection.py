"""Choosing between values: where, masked_fill, clamp."""

from __future__ import annotations

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
from .operands import check_broadcast, check_mask, check_tensor, operands
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
        return dy.masked_fill((x < self.low) | (x > self.high), 0.0)


def choose(c: Tensor, a: Any, b: Any) -> Tensor:
    """Where, for backward: operands fit already, and without a graph only the kernel runs."""
    if MODE.grad:
        return Where.apply(c, a, b)
    a, b = (x.data if isinstance(x, Tensor) else x for x in (a, b))
    return Tensor(c.backend.kernels.where(c.data, a, b), c.backend)


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
    if isinstance(value, Tensor):
        if value.ndim:
            raise ShapeError(f"masked_fill: value must be a number or 0-d, got {value.shape}.")
        value = value.to(input.dtype)
    elif isinstance(value, float) and not dtypes.is_floating(input.data.dtype):
        if not value.is_integer():
            kind = with_article(input.dtype.name)
            raise DTypeError(f"masked_fill: {value} does not fit {kind} tensor.")
        value = int(value)
    return Where.apply(mask, value, input)


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """`input` held to [min, max]: numbers, tensors or None (no bound). Where min > max, max."""
    check_tensor("clamp", input)
    if min is None and max is None:
        raise ArgumentError("clamp: at least one of min and max must be given.")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        y = input if min is None else input.maximum(min)
        return y if max is None else y.minimum(max)
    bounds = [b for b in (min, max) if b is not None]
    x = input.to(dtypes.result_type(input.data, *bounds))
    low = -math.inf if min is None else float(min)
    return Clamp.apply(x, low=low, high=math.inf if max is None else float(max))


def clamp_min(input: Tensor, min: Any) -> Tensor:
    """`input`, at least `min`."""
    return clamp(input, min=min)


def clamp_max(input: Tensor, max: Any) -> Tensor:
    """`input`, at most `max`."""
    return clamp(input, max=max)


def nan_to_num(
    input: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """`input` with numbers for NaN and the infinities, by default the dtype's largest and smallest;
    no gradient flows where one was replaced."""
    x = check_tensor("nan_to_num", input)
    if not dtypes.is_floating(x.dtype):
        return x.clone()
    limits = ml_dtypes.finfo(x.dtype)
    high = float(limits.max) if posinf is None else posinf
    low = float(limits.min) if neginf is None else neginf
    y = x.masked_fill(x.isnan(), nan)
    return y.masked_fill(x == math.inf, high).masked_fill(x == -math.inf, low)
