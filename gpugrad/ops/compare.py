"""Operations without derivative: comparisons, logic, bits, integer quotients, tests for NaN.

Each result is piecewise constant in its inputs, so none is recorded. They are listed, with the
reason, in ``gpugrad.ops.NON_DIFFERENTIABLE``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import dtype as dtypes
from ..errors import DTypeError
from ..tensor import Tensor
from .operands import check_tensor, is_operand, operands, raw_binary

_NUMBER = (float, int)
_INTEGER_ONLY = ("bitwise_and", "bitwise_or", "bitwise_xor")


def nondifferentiable_binary(name: str, input: Any, other: Any) -> Tensor:
    """y = f(input, other) for the functors that have no derivative."""
    a, b = operands(name, input, other)
    first = a if isinstance(a, Tensor) else b
    if name in _INTEGER_ONLY and dtypes.is_floating(first.dtype):
        raise DTypeError(f"{name}: needs integers or bool; got {first.dtype.name}.")
    backend = first.backend
    a, b = (x.data if isinstance(x, Tensor) else x for x in (a, b))
    return Tensor(raw_binary(backend, name, a, b), backend)


def _function(name: str, doc: str) -> Callable[[Any, Any], Tensor]:
    def function(input: Any, other: Any) -> Tensor:
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

    def method(self: Tensor, other: Any) -> Any:
        data, backend = self.data, self.backend
        if isinstance(other, Tensor):
            if other.data.dtype is data.dtype and other.backend is backend:
                return Tensor(raw_binary(backend, name, data, other.data), backend)
        elif type(other) in _NUMBER and data.dtype.kind == "f":
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
        if dtypes.is_floating(x.dtype):
            return Tensor(x.backend.kernels.unary(name, x.data), x.backend)
        y = x.backend.empty(x.data.shape, dtypes.bool_)
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
    return Tensor(x.backend.kernels.unary("logical_not", x.data), x.backend)


def bitwise_not(input: Tensor) -> Tensor:
    """~input; integers and bool."""
    x = check_tensor("bitwise_not", input)
    if dtypes.is_floating(x.dtype):
        raise DTypeError(f"bitwise_not: needs integers or bool; got {x.dtype.name}.")
    return Tensor(x.backend.kernels.unary("bitwise_not", x.data), x.backend)


def equal(input: Tensor, other: Tensor) -> bool:
    """True where shapes and all elements are equal. NaN is not equal to itself."""
    if input.shape != other.shape:
        return False
    return bool((input == other).all())


def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """|input - other| <= atol + rtol |other|; equal infinities are close."""
    a, b = input.detach(), other.detach()
    close = (a == b) | ((a - b).abs() <= atol + rtol * b.abs()) & isfinite(b)
    return close | (isnan(a) & isnan(b)) if equal_nan else close


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """True where every element is close; see `isclose`."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())
