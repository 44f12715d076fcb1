"""NumPy's functions of tensors.

A ufunc (np.sin, np.add, ndarray + tensor) is gpugrad's operation of that name: a Tensor on the
tensor's device, with gradients. A ufunc that writes into an ndarray (``array += tensor``), its
methods (np.add.reduce), one without namesake, and all other functions (np.mean, np.stack) get the
values as arrays, and return NumPy's own result; a tensor that requires a gradient refuses then.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtype as dtypes
from ..errors import ArgumentError, GraphError
from ..tensor import Tensor
from . import linalg
from .operands import filled

_SAME = (
    "sqrt square reciprocal exp exp2 expm1 log log2 log10 log1p sin cos tan sinh cosh tanh floor "
    "ceil trunc sign positive maximum minimum fmax fmin fmod remainder floor_divide hypot copysign "
    "logical_and logical_or logical_xor logical_not isnan isinf isfinite signbit gcd lcm "
    "bitwise_and bitwise_or bitwise_xor float_power logaddexp logaddexp2 heaviside rad2deg deg2rad"
)
_OTHERS = {
    "absolute": "abs",
    "fabs": "abs",
    "negative": "neg",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "arctan2": "atan2",
    "rint": "round",
    "add": "add",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "power": "pow",
    "equal": "eq",
    "not_equal": "ne",
    "less": "lt",
    "less_equal": "le",
    "greater": "gt",
    "greater_equal": "ge",
    "invert": "bitwise_not",
    "matmul": "matmul",
}
UFUNCS = {**{name: name for name in _SAME.split()}, **_OTHERS}
"""The name of gpugrad's operation for a ufunc's name."""
_WANT_TENSORS = (
    "maximum minimum fmax fmin hypot arctan2 logaddexp logaddexp2 heaviside gcd lcm logical_and "
    "logical_or logical_xor copysign fmod equal not_equal less less_equal greater "
    "greater_equal"
)
_TENSORS = frozenset(_WANT_TENSORS.split())
"""Ufuncs whose operation wants tensors, or one at first, as PyTorch's: numbers become 0-d ones."""


def _values(name: str, x: Any) -> Any:
    """Tensors in nested arguments as arrays."""
    if isinstance(x, Tensor):
        if x.requires_grad:
            raise GraphError(
                f"np.{name}: this tensor requires a gradient, which NumPy would lose.\n"
                "  Use gpugrad's function, or pass tensor.detach()."
            )
        return x.numpy()
    if isinstance(x, (list, tuple)) and not hasattr(x, "_fields"):
        return type(x)(_values(name, each) for each in x)
    if isinstance(x, dict):
        return {key: _values(name, each) for key, each in x.items()}
    return x


def array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    """NumPy calls this where a tensor is an operand of a ufunc."""
    name = ufunc.__name__
    out = options.get("out", ())
    if any(isinstance(x, Tensor) for x in out):
        raise ArgumentError(
            f"np.{name}(out=tensor): NumPy cannot write into a tensor.\n"
            "  Use the operation in place (x.add_(y), x += y), or out=tensor.detach().numpy()."
        )
    from .. import ops

    operation = getattr(ops, UFUNCS.get(name, ""), None)
    if operation is None or method != "__call__" or options:
        arrays = _values(name, inputs)
        return getattr(ufunc, method)(*arrays, **_values(name, options))
    if name == "matmul":
        return _matmul(*inputs)
    device = self.backend
    operands = [
        Tensor(device.from_numpy(x), device)
        if isinstance(x, np.ndarray) and x.dtype in dtypes.DTYPES
        else x.item()
        if isinstance(x, np.generic)
        else x
        for x in inputs
    ]
    if name in _TENSORS:
        operands = [x if isinstance(x, Tensor) else _zero_dim(x, operands) for x in operands]
    return operation(*operands)


def _zero_dim(number: Any, operands: Any) -> Any:
    """A number as a 0-d tensor that meets the operands' tensor in NumPy's (and our) dtype."""
    if not isinstance(number, (int, float)):
        return number  # the operation refuses it by name
    tensor = next(x for x in operands if isinstance(x, Tensor))
    dtype = dtypes.result_type(tensor.array, number)
    return filled(number, tensor if tensor.dtype == dtype else tensor.new_empty((), dtype=dtype))


def _matmul(a: Any, b: Any) -> Any:
    return linalg.operator(a, b) if isinstance(a, Tensor) else linalg.reflected_operator(b, a)


_FACTS: dict[Any, Any] = {
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a, axis=None: a.numel() if axis is None else a.shape[axis],
}


def array_function(self: Tensor, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """NumPy calls this where a tensor is an argument of one of its other functions."""
    if function in _FACTS and isinstance((args or (None,))[0], Tensor):
        return _FACTS[function](*args, **kwargs)
    name = function.__name__
    return function(*_values(name, args), **_values(name, kwargs))
