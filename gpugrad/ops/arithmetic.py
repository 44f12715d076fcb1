"""Arithmetic of two operands. Gradients of broadcast operands are summed by the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import dtype as dtypes
from ..amp.autocast_mode import AUTOCAST
from ..autograd.function import Function
from ..errors import ArgumentError, DTypeError, ShapeError
from ..tensor import Tensor
from .operands import (
    broadcast_text,
    broadcasts,
    is_operand,
    only_tensors,
    operands,
    raw_binary,
    some_tensor,
)
from .selection import choose


class Binary(Function, abstract=True):
    """y = f(a, b); a and b broadcast; one of them may be a number."""

    kernel: str
    floating = False  # integers become the default dtype

    def forward(self, a: Any, b: Any) -> Any:
        try:
            return self.kernels.binary(self.kernel, a, b)
        except ValueError as error:
            if broadcasts(a, b):
                raise
            raise ShapeError(broadcast_text(self.kernel, a, b)) from error


class Add(Binary):
    """y = a + b;  da = dy, db = dy."""

    kernel = "add"

    def backward(self, dy: Tensor) -> Any:
        return dy, dy


class Sub(Binary):
    """y = a - b;  da = dy, db = -dy."""

    kernel = "sub"

    def backward(self, dy: Tensor) -> Any:
        return dy, (-dy if self.needs(1) else None)


class Mul(Binary):
    """y = a b;  da = dy b, db = dy a."""

    kernel = "mul"

    def forward(self, a: Any, b: Any) -> Any:
        edges = self.edges
        self.save(a if edges[1] else None, b if edges[0] else None)
        return Binary.forward(self, a, b)

    def backward(self, dy: Tensor) -> Any:
        a, b = self.saved
        return (dy * b if self.needs(0) else None), (dy * a if self.needs(1) else None)


class Div(Binary):
    """y = a / b;  da = dy / b, db = -dy y / b."""

    kernel = "div"
    floating = True

    def forward(self, a: Any, b: Any) -> Any:
        y = Binary.forward(self, a, b)
        self.save(b, y if self.edges[1] else None)
        return y

    def backward(self, dy: Tensor) -> Any:
        b, y = self.saved
        da = dy / b
        return (da if self.needs(0) else None), (-da * y if self.needs(1) else None)


class Remainder(Binary):
    """y = a - b floor(a / b);  da = dy, db = -dy floor(a / b)."""

    kernel = "remainder"

    def forward(self, a: Any, b: Any) -> Any:
        if self.needs(1):
            self.save(a, b)
        return Binary.forward(self, a, b)

    def backward(self, dy: Tensor) -> Any:
        if not self.needs(1):
            return dy, None
        a, b = self.saved
        return dy, -dy * floor_divide(a, b)


class Pow(Binary):
    """y = a^b;  da = dy b a^(b - 1), db = dy y log a (0 where a = 0 and b >= 0)."""

    kernel = "pow"

    def forward(self, a: Any, b: Any) -> Any:
        square = type(b) is not type(a) and not hasattr(b, "shape") and b == 2
        y = self.kernels.unary("square", a) if square else Binary.forward(self, a, b)
        self.save(a, b, y if self.edges[1] else None)
        return y

    def backward(self, dy: Tensor) -> Any:
        a, b, y = self.saved
        return (
            self._of_base(dy, a, b) if self.needs(0) else None,
            self._of_exponent(dy, a, b, y) if self.needs(1) else None,
        )

    @staticmethod
    def _of_base(dy: Tensor, a: Tensor, b: Any) -> Tensor:
        if isinstance(b, Tensor):
            return dy * (b * a ** (b - 1)).masked_fill(b == 0, 0.0)
        if b == 0:
            return dy.new_zeros(dy.shape)
        return dy * (a * b if b == 2 else b * a ** (b - 1))

    @staticmethod
    def _of_exponent(dy: Tensor, a: Any, b: Tensor, y: Tensor) -> Tensor:
        base = a if isinstance(a, Tensor) else b.new_full((), a)
        flat = (base == 0) & (b >= 0)
        return dy * (y * base.masked_fill(base == 0, 1.0).log()).masked_fill(flat, 0.0)


def _shares(node: Function, dy: Tensor, tie: Any, not_a: Any, not_b: Any) -> Any:
    """dy without the places where a (or b) was not taken; half of it at ties."""
    share = choose(tie, dy * 0.5, dy)
    return (
        choose(not_a, 0.0, share) if node.needs(0) else None,
        choose(not_b, 0.0, share) if node.needs(1) else None,
    )


class Maximum(Binary):
    """y = max(a, b), NaN wins;  dy goes to the larger, half to each of equals."""

    kernel = "maximum"

    def forward(self, a: Any, b: Any) -> Any:
        self.save(a, b)
        return Binary.forward(self, a, b)

    def backward(self, dy: Tensor) -> Any:
        a, b = self.saved
        return _shares(self, dy, a == b, a < b, b < a)


class Minimum(Binary):
    """y = min(a, b), NaN wins;  dy goes to the smaller, half to each of equals."""

    kernel = "minimum"

    def forward(self, a: Any, b: Any) -> Any:
        self.save(a, b)
        return Binary.forward(self, a, b)

    def backward(self, dy: Tensor) -> Any:
        a, b = self.saved
        return _shares(self, dy, a == b, a > b, b > a)


class Atan2(Binary):
    """y = the angle of (b, a);  da = dy b / (a^2 + b^2), db = -dy a / (a^2 + b^2), 0 at (0, 0)."""

    kernel = "atan2"
    floating = True

    def forward(self, a: Any, b: Any) -> Any:
        self.save(a, b)
        return Binary.forward(self, a, b)

    def backward(self, dy: Tensor) -> Any:
        a, b = self.saved
        square = a * a + b * b
        zero = square.detach() == 0
        scaled = (dy / square.masked_fill(zero, 1.0)).masked_fill(zero, 0.0)
        return scaled * b, -scaled * a


_NUMBER = (float, int)


def operator(cls: type[Binary], reflected: bool = False) -> Callable[[Tensor, Any], Any]:
    """The Python operator of a class: two tensors of one dtype go straight to apply."""
    apply, name, floating = cls.apply, cls.kernel, cls.floating
    choosy = floating or name in _NO_BOOL  # about dtypes: only floating ones go straight

    def method(self: Tensor, other: Any) -> Any:
        if isinstance(other, Tensor):
            dtype = self.array.dtype
            if dtype is other.array.dtype and (not choosy or dtypes.is_floating(dtype)):
                return apply(other, self) if reflected else apply(self, other)
        elif type(other) in _NUMBER and self.array.dtype.kind == "f":
            return apply(other, self) if reflected else apply(self, other)
        elif not is_operand(other):
            return NotImplemented
        a, b = (other, self) if reflected else (self, other)
        a, b = operands(name, a, b, floating)
        if name in _NO_BOOL:
            _refuse_bool(name, a, b, self, other)
        return apply(a, b)

    method.__doc__ = cls.__doc__
    return method


_NO_BOOL = ("sub", "remainder")


def _refuse_bool(name: str, a: Any, b: Any, *given: Any) -> None:
    """Raise DTypeError for a bool result; of a difference no operand may be bool, as PyTorch's."""
    dtype = a.dtype if isinstance(a, Tensor) else b.dtype
    if dtype == dtypes.bool_ or (name == "sub" and any(_is_bool(x) for x in given)):
        raise DTypeError(
            f"{name}: not defined for bool tensors; use ^ or logical_xor, or convert with .int()."
        )


def _is_bool(x: Any) -> bool:
    return isinstance(x, bool) or getattr(x, "dtype", None) == dtypes.bool_


def _binary(cls: type[Binary], input: Any, other: Any, numbers: bool = True) -> Tensor:
    """numbers: whether one operand may be one."""
    if isinstance(input, Tensor) and isinstance(other, Tensor):
        dtype = input.array.dtype
        if dtype is other.array.dtype and (dtype.kind == "f" or dtypes.is_floating(dtype)):
            return cls.apply(input, other)
    if not numbers:
        only_tensors(cls.kernel, input, other)
    a, b = operands(cls.kernel, input, other, cls.floating)
    if cls.kernel in _NO_BOOL:
        _refuse_bool(cls.kernel, a, b, input, other)
    return cls.apply(a, b)


def add(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """input + alpha other."""
    if alpha != 1 or alpha is True:
        input, other = _scaled("add", input, other, alpha)
    return _binary(Add, input, other)


def sub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """input - alpha other. Not for bool."""
    if alpha != 1 or alpha is True:
        given = input, other
        input, other = _scaled("sub", input, other, alpha)
        _refuse_bool("sub", input, other, *given)
    return _binary(Sub, input, other)


def _scaled(name: str, input: Any, other: Any, alpha: float) -> tuple[Any, Any]:
    """(input, alpha other) in their common dtype, which alpha must fit."""
    a, b = operands(name, input, other)
    dtype = (a if isinstance(a, Tensor) else b).dtype
    if (isinstance(alpha, float) and not dtypes.is_floating(dtype)) or (
        isinstance(alpha, bool) and dtype != dtypes.bool_
    ):
        kind = type(alpha).__name__
        raise ArgumentError(f"{name}: alpha={alpha} is a {kind}; the result is {dtype.name}.")
    return a, (b * alpha).to(dtype) if isinstance(b, Tensor) else b * alpha


def mul(input: Any, other: Any) -> Tensor:
    """input other."""
    return _binary(Mul, input, other)


class RoundedQuotient(Function):
    """y = a / b rounded to a whole number, down or toward zero;  da = db = 0 between its jumps."""

    def forward(self, a: Any, b: Any, mode: str) -> Any:
        k, array = self.kernels, a if hasattr(a, "shape") else b
        if mode == "floor":
            return raw_binary(self.backend, "floor_divide", a, b)
        if dtypes.is_floating(array.dtype):
            return k.unary("trunc", raw_binary(self.backend, "div", a, b))
        whole = k.binary("sub", a, raw_binary(self.backend, "fmod", a, b))
        return k.binary("floor_divide", whole, b)

    def backward(self, dy: Tensor) -> Any:
        zero = dy.new_zeros(dy.shape)
        return tuple([zero if self.needs(i) else None for i in (0, 1)])


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """input / other; rounding_mode "floor" or "trunc" rounds the quotient, in their common dtype.

    True division gives floats of integers. The gradient of a rounded quotient is 0.
    """
    if rounding_mode is None:
        return _binary(Div, input, other)
    if rounding_mode not in ("floor", "trunc"):
        raise ArgumentError(
            f"div: rounding_mode is None, 'floor' or 'trunc', not {rounding_mode!r}."
        )
    a, b = operands("div", input, other)
    dtype = (a if isinstance(a, Tensor) else b).dtype
    if dtype == dtypes.bool_:
        raise DTypeError("div: bool tensors have no rounded quotient; convert with .int() first.")
    if dtypes.is_half(dtype):  # the quotient is rounded to a whole number, not to a half first
        a, b = (x.to(dtypes.float32) if isinstance(x, Tensor) else x for x in (a, b))
    return RoundedQuotient.apply(a, b, mode=rounding_mode).to(dtype)


def remainder(input: Any, other: Any) -> Tensor:
    """input - other floor(input / other): the sign of other, as Python's %."""
    some_tensor("remainder", input, other)
    return _binary(Remainder, input, other)


def pow(input: Any, exponent: Any) -> Tensor:
    """input to the power of exponent. Integers to negative integer powers raise ArgumentError."""
    some_tensor("pow", input, exponent)
    a, b = operands("pow", input, exponent)
    first, second = isinstance(a, Tensor), isinstance(b, Tensor)
    dtype = (a if first else b).dtype
    if first and not second and b < 0 and not dtypes.is_floating(dtype):
        raise ArgumentError(
            f"pow: integers ({dtype.name}) to the negative integer power {b}: the result is "
            "a fraction.\n  Convert with .float() first."
        )
    if dtype == dtypes.bool_:
        raise DTypeError("pow: not defined for bool tensors; convert with .int() first.")
    return Pow.apply(a, b)


def power(self: Tensor, other: Any) -> Any:
    """self ** other."""
    kind = type(other)
    if (kind is int or kind is float) and dtypes.is_floating(self.array.dtype) and not AUTOCAST.on:
        return Pow.apply(self, other)
    return pow(self, other) if is_operand(other) else NotImplemented


def reflected_power(self: Tensor, other: Any) -> Any:
    """other ** self."""
    return pow(other, self) if is_operand(other) else NotImplemented


def maximum(input: Any, other: Any) -> Tensor:
    """The larger of each pair; NaN wins."""
    return _binary(Maximum, input, other, numbers=False)


def minimum(input: Any, other: Any) -> Tensor:
    """The smaller of each pair; NaN wins."""
    return _binary(Minimum, input, other, numbers=False)


def atan2(input: Any, other: Any) -> Tensor:
    """The angle of the point (other, input), in radians."""
    return _binary(Atan2, input, other, numbers=False)


def floor_divide(input: Any, other: Any) -> Tensor:
    """floor(input / other), in their common dtype. Piecewise constant: no gradient."""
    from .compare import nondifferentiable_binary

    return nondifferentiable_binary("floor_divide", input, other)
