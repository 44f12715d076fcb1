"""Integer arithmetic without derivative: shifts, common divisors and multiples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import dtype as dtypes
from ..errors import DTypeError
from ..tensor import Tensor
from .operands import is_operand, only_tensors, operands, raw_binary, some_tensor


def _integers(name: str, kernel: str, input: Any, other: Any) -> Tensor:
    a, b = operands(name, input, other)
    first = a if isinstance(a, Tensor) else b
    dtype = first.array.dtype
    if dtypes.is_floating(dtype) or dtype == dtypes.bool_:
        raise DTypeError(f"{name}: needs integers; got {dtype.name}.")
    a, b = (x.array if isinstance(x, Tensor) else x for x in (a, b))
    return Tensor(raw_binary(first.backend, kernel, a, b), first.backend)


def _function(
    name: str, kernel: str, doc: str, check: Callable[..., None]
) -> Callable[[Any, Any], Tensor]:
    def function(input: Any, other: Any) -> Tensor:
        check(name, input, other)
        return _integers(name, kernel, input, other)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


bitwise_left_shift = _function(
    "bitwise_left_shift", "shift_left", "input 2^other, wrapped; integers.", some_tensor
)
bitwise_right_shift = _function(
    "bitwise_right_shift",
    "shift_right",
    "floor(input / 2^other); integers, the sign fills.",
    some_tensor,
)
gcd = _function("gcd", "gcd", "The greatest common divisor, not negative; integers.", only_tensors)


def lcm(input: Any, other: Any) -> Tensor:
    """The least common multiple, not negative, 0 where one is 0; integers."""
    only_tensors("lcm", input, other)
    divisor = _integers("lcm", "gcd", input, other)
    product = (input // divisor) * other  # x // 0 is 0, so 0 where both are
    return product.abs()


def operator(name: str, kernel: str, reflected: bool = False) -> Callable[[Tensor, Any], Any]:
    """The Python operator << or >>."""

    def method(self: Tensor, other: Any) -> Any:
        if not is_operand(other):
            return NotImplemented
        a, b = (other, self) if reflected else (self, other)
        return _integers(name, kernel, a, b)

    method.__doc__ = f"{name}, element by element; integers."
    return method
