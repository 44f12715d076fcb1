"""Operations without derivative: comparisons, logic, bits, integer quotients, tests for NaN.

Each result is piecewise constant in its inputs, so none is recorded. They are listed, with the
reason, in ``gpugrad.ops.NON_DIFFERENTIABLE``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtype as dtypes
from ..autograd.function import describe
from ..dtype import DType
from ..errors import ArgumentError, DTypeError
from ..tensor import Tensor
from .operands import (
    check_tensor,
    is_operand,
    only_tensors,
    operands,
    raw_binary,
    some_tensor,
    two_tensors,
)

_NUMBER = (float, int)
_EQUALITIES = ("eq", "ne")
_INTEGER_ONLY = ("bitwise_and", "bitwise_or", "bitwise_xor")


def nondifferentiable_binary(name: str, input: Any, other: Any) -> Tensor:
    """y = f(input, other) for the functors that have no derivative."""
    a, b = operands(name, input, other)
    first = a if isinstance(a, Tensor) else b
    if name in _INTEGER_ONLY and dtypes.is_floating(first.dtype):
        raise DTypeError(f"{name}: needs integers or bool; got {first.dtype.name}.")
    if name == "floor_divide" and first.dtype == dtypes.bool_:
        raise DTypeError("floor_divide: not defined for bool tensors; convert with .int() first.")
    backend = first.backend
    if name in _EQUALITIES and dtypes.is_float8(first.dtype):
        a, b = (_in_float32(x, first.dtype) for x in (a, b))
    a, b = (x.array if isinstance(x, Tensor) else x for x in (a, b))
    return Tensor(raw_binary(backend, name, a, b), backend)


def _in_float32(x: Any, dtype: DType) -> Any:
    """A tensor of 8-bit floats, or a number that is rounded to one first."""
    if isinstance(x, Tensor):
        return x.to(dtypes.float32)
    return float(dtypes.to_float8(np.asarray(x), dtype))


def _function(name: str, doc: str) -> Callable[[Any, Any], Tensor]:
    logical, bits = name.startswith("logical"), name in _INTEGER_ONLY

    def function(input: Any, other: Any) -> Tensor:
        if logical:
            only_tensors(name, input, other)
        elif bits:
            some_tensor(name, input, other)
        else:
            check_tensor(name, input)
        return nondifferentiable_binary(name, input, other)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


eq = _function("eq", "input == other, element by element.")
ne = _function("ne", "input != other, element by element.")
lt = _function("lt", "input < other, element by element.")
le = _function("le", "input <= other, element by element.")
gt = _function("gt", "input > other, element by element.")
ge = _function("ge", "input >= other, element by element.")
logical_and = _function("logical_and", "True where both are not 0.")
logical_or = _function("logical_or", "True where one is not 0.")
logical_xor = _function("logical_xor", "True where exactly one is not 0.")
bitwise_and = _function("bitwise_and", "input & other; integers and bool.")
bitwise_or = _function("bitwise_or", "input | other; integers and bool.")
bitwise_xor = _function("bitwise_xor", "input ^ other; integers and bool.")


def operator(name: str) -> Callable[[Tensor, Any], Any]:
    """The Python operator of a functor without derivative; symmetric ones serve both sides."""

    if name in _INTEGER_ONLY:

        def checked(self: Tensor, other: Any) -> Any:
            return (
                nondifferentiable_binary(name, self, other) if is_operand(other) else NotImplemented
            )

        checked.__doc__ = f"{name}, element by element; without gradient."
        return checked

    slow: tuple[DType, ...] = (dtypes.bool_,) if name == "floor_divide" else ()
    slow = dtypes.FLOAT8 if name in _EQUALITIES else slow  # by way of float32
    barred = frozenset(d.num for d in slow)

    def method(self: Tensor, other: Any) -> Any:
        data, backend = self.array, self.backend
        if isinstance(other, Tensor):
            dtype = data.dtype
            alike = other.array.dtype is dtype and other.backend is backend
            if alike and dtype.num not in barred:
                return Tensor(raw_binary(backend, name, data, other.array), backend)
        elif type(other) in _NUMBER and data.dtype.char in "efd":
            return Tensor(raw_binary(backend, name, data, other), backend)
        elif not is_operand(other):
            return NotImplemented
        return nondifferentiable_binary(name, self, other)

    method.__doc__ = f"{name}, element by element; without gradient."
    return method


def reflected_floor_divide(self: Tensor, other: Any) -> Any:
    """other // self."""
    if not is_operand(other):
        return NotImplemented
    return nondifferentiable_binary("floor_divide", other, self)


def _predicate(name: str, doc: str, of_integer: bool) -> Callable[[Tensor], Tensor]:
    def function(input: Tensor) -> Tensor:
        x = check_tensor(name, input)
        if dtypes.is_float8(x.dtype):
            x = x.to(dtypes.float32)
        if dtypes.is_floating(x.dtype):
            return Tensor(x.backend.kernels.unary(name, x.array), x.backend)
        y = x.backend.empty(x.array.shape, dtypes.bool_)
        x.backend.kernels.fill(y, of_integer)
        return Tensor(y, x.backend)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


isnan = _predicate("isnan", "True where an element is NaN.", False)
isinf = _predicate("isinf", "True where an element is infinite.", False)
isfinite = _predicate("isfinite", "True where an element is neither NaN nor infinite.", True)


def logical_not(input: Tensor) -> Tensor:
    """True where an element is 0."""
    x = check_tensor("logical_not", input)
    return Tensor(x.backend.kernels.unary("logical_not", x.array), x.backend)


def bitwise_not(input: Tensor) -> Tensor:
    """~input; integers and bool."""
    x = check_tensor("bitwise_not", input)
    if dtypes.is_floating(x.dtype):
        raise DTypeError(f"bitwise_not: needs integers or bool; got {x.dtype.name}.")
    return Tensor(x.backend.kernels.unary("bitwise_not", x.array), x.backend)


def isposinf(input: Tensor) -> Tensor:
    """True where an element is +infinity."""
    return eq(check_tensor("isposinf", input), math.inf)


def isneginf(input: Tensor) -> Tensor:
    """True where an element is -infinity."""
    return eq(check_tensor("isneginf", input), -math.inf)


def isreal(input: Tensor) -> Tensor:
    """True everywhere: there are no complex tensors."""
    x = check_tensor("isreal", input)
    y = x.backend.empty(x.array.shape, dtypes.bool_)
    x.backend.kernels.fill(y, True)
    return Tensor(y, x.backend)


def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """True where an element is one of `test_elements`; invert: where it is none. NaN is in nothing.

    One of both may be a number. The tests are sorted, and each element is searched among them.
    assume_unique is accepted and changes nothing.
    """
    x, among = two_tensors("isin", elements, test_elements, meet=False)
    if x.array.dtype == dtypes.bool_:
        x, among = x.to(dtypes.uint8), among.to(dtypes.uint8)
    kernels, n = x.backend.kernels, among.array.size
    if n == 0:
        y = x.backend.empty(x.array.shape, dtypes.bool_)
        kernels.fill(y, invert)
        return Tensor(y, x.backend)
    ordered, _ = kernels.sort(kernels.contiguous(among.array).reshape(n), False)
    flat = kernels.contiguous(x.array).reshape(x.array.size)
    at = kernels.search_sorted(ordered, flat, False)
    near = kernels.gather(ordered, [kernels.binary("minimum", at, n - 1)])
    found = kernels.binary("ne" if invert else "eq", near, flat)
    return Tensor(found.reshape(x.array.shape), x.backend)


def equal(input: Tensor, other: Tensor) -> bool:
    """True where shapes and all elements are equal. NaN is not equal to itself."""
    if input.shape != other.shape:
        return False
    return bool((input == other).all())


def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """|input - other| <= atol + rtol |other|; equal infinities are close. Both of one dtype."""
    if check_tensor("isclose", input).array.dtype != check_tensor("isclose", other).array.dtype:
        raise DTypeError(
            f"isclose: input is {describe(input)}, other {describe(other)}; they need one dtype.\n"
            "  Convert one with .to(dtype)."
        )
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise ArgumentError(f"isclose: {name} must not be negative, got {value}.")
    a, b = input.detach(), other.detach()
    close = a == b
    floating = dtypes.is_floating(a.array.dtype)
    if equal_nan and floating:
        close = close | (isnan(a) & isnan(b))
    if rtol == 0 and atol == 0:
        return close
    if not floating:  # differences of unsigned integers must not wrap
        a, b = a.to(dtypes.float64), b.to(dtypes.float64)
    error = (a - b).abs()
    return close | (isfinite(error) & (error <= (b * rtol).abs() + atol))


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """True where every element is close; see `isclose`."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())
