"""The ten dtypes that are computed with, two that are only stored, and PyTorch's rules for mixing.

A dtype is a NumPy dtype object; bfloat16 and the 8-bit floats are those of ``ml_dtypes``. `promote`
is PyTorch's table for two dtypes, `result_type` its category rule for arrays, 0-d arrays and Python
numbers.
"""

from __future__ import annotations

import builtins
import inspect
import sys
from types import FrameType
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

from .errors import DTypeError

DType: TypeAlias = "np.dtype[Any]"

bool_: DType = np.dtype(np.bool_)
uint8: DType = np.dtype(np.uint8)
int8: DType = np.dtype(np.int8)
int16: DType = np.dtype(np.int16)
int32: DType = np.dtype(np.int32)
int64: DType = np.dtype(np.int64)
float16: DType = np.dtype(np.float16)
bfloat16: DType = np.dtype(ml_dtypes.bfloat16)
float32: DType = np.dtype(np.float32)
float64: DType = np.dtype(np.float64)

float8_e4m3fn: DType = np.dtype(ml_dtypes.float8_e4m3fn)
float8_e5m2: DType = np.dtype(ml_dtypes.float8_e5m2)

DTYPES: tuple[DType, ...] = (
    bool_, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64,
)  # fmt: skip
"""Every dtype that is computed with, in the order of csrc/core/array.h."""

FLOAT8 = (float8_e4m3fn, float8_e5m2)
"""Dtypes that are stored, moved, cast, and multiplied by ``nn.functional.scaled_mm``."""

STORED = (*DTYPES, *FLOAT8)
"""Every dtype that a tensor may have."""

_FLOATING = frozenset((float16, bfloat16, float32, float64))
_HALVES = frozenset((float16, bfloat16))
_FLOAT8 = frozenset(FLOAT8)
_SPELLINGS: dict[Any, DType] = {d.name: d for d in STORED} | {
    "half": float16, "float": float32, "double": float64, "short": int16, "int": int32,
    "long": int64, builtins.bool: bool_, builtins.int: int64,
}  # fmt: skip
_SPELLINGS.update({spec: d for d in STORED for spec in (d, d.type)})

_default: DType = float32


def as_dtype(spec: Any) -> DType:
    """The dtype that `spec` means: a dtype, its name, ``bool``, ``int``, ``float``, a scalar type.

    ``float`` is the default dtype, ``int`` is int64. Raises DTypeError for anything else.
    """
    if spec is builtins.float:
        return _default
    try:
        found = _SPELLINGS.get(spec)
        if found is None and spec is not None:
            found = _SPELLINGS.get(np.dtype(spec).name)
    except TypeError:
        found = None
    if found is None:
        raise DTypeError(f"{spec!r} is not a gpugrad dtype; legal are {names()}.")
    return found


def name(dtype: DType) -> str:
    """The dtype's name, e.g. ``"float32"``."""
    return dtype.name


def names() -> str:
    """All names in one line, for error texts."""
    return ", ".join(d.name for d in STORED)


def is_floating(dtype: DType) -> builtins.bool:
    """True for the floating dtypes that are computed with: float16, bfloat16, float32, float64."""
    return dtype in _FLOATING


def is_float8(dtype: DType) -> builtins.bool:
    """True for the 8-bit floats, which are stored and not computed with."""
    return dtype in _FLOAT8


def is_floating_point(dtype: DType) -> builtins.bool:
    """True for `is_floating` and `is_float8`: dtypes that carry gradients, as in PyTorch."""
    return dtype in _FLOATING or dtype in _FLOAT8


def unsupported(name: str, dtype: DType) -> DTypeError:
    """The error of operation `name`, which does not exist for an 8-bit float."""
    return DTypeError(
        f"{_called(name)}: not implemented for {dtype.name}, which is a dtype to store in.\n"
        "  Convert first: x.to(gg.bfloat16) or x.float(). Matrices of it are multiplied by "
        "gg.nn.functional.scaled_mm."
    )


def _called(operation: str) -> str:
    """The function of ops or nn that the user called, which `operation` is a part of."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        package, *place = frame.f_globals.get("__name__", "").split(".")
        if package == "gpugrad":
            name = frame.f_code.co_name
            own = inspect.unwrap(frame.f_globals.get(name, len))  # not a method of that name
            if place[0] in ("ops", "nn") and getattr(own, "__code__", None) is frame.f_code:
                operation = name if _public(name) else operation
        elif package not in ("contextlib", "numpy"):  # which the specification's decorators are of
            break
        frame = frame.f_back
    return operation


def _public(name: str) -> builtins.bool:
    """Is it the name of a function for users? Those lie higher up."""
    modules = map(sys.modules.get, ("gpugrad.ops", "gpugrad.nn.functional"))
    return any(module is not None and name in vars(module) for module in modules)


def to_float8(values: np.ndarray[Any, Any], dtype: DType) -> np.ndarray[Any, Any]:
    """Numbers in an 8-bit float, by way of float32, to nearest even. As PyTorch's, float8_e4m3fn
    overflows to 448 (from infinity too), float8_e5m2 to infinity."""
    wide = values.astype(np.float32)
    if dtype == float8_e4m3fn:
        wide = np.clip(wide, -448, 448)  # ml_dtypes would give NaN; NaN stays
    return wide.astype(dtype)


def is_half(dtype: DType) -> builtins.bool:
    """True for the 16-bit floats, which are computed in float32 and rounded once."""
    return dtype in _HALVES


def accumulation(dtype: DType) -> DType:
    """The dtype sums are formed in: float32 for half types, int64 for integers and bool."""
    return _ACCUMULATION[dtype]


_ACCUMULATION: dict[DType, DType] = {
    d: int64 if d not in _FLOATING else float64 if d == float64 else float32 for d in DTYPES
} | dict.fromkeys(FLOAT8, float32)


def sum_dtype(dtype: DType) -> DType:
    """What a sum returns: the floating dtype itself, int64 for integers and bool."""
    return dtype if is_floating(dtype) else int64


def get_default_dtype() -> DType:
    """The floating dtype of new tensors made from Python floats; float32 unless set otherwise."""
    return _default


def set_default_dtype(dtype: Any) -> None:
    """Set the dtype of new tensors made from Python floats. Raises DTypeError if not floating."""
    global _default
    chosen = as_dtype(dtype)
    if chosen not in _FLOATING:
        raise DTypeError(f"set_default_dtype({name(chosen)}): only floating dtypes are supported.")
    if chosen != _default:
        _default = chosen
        _result.clear()


def _promote(a: DType, b: DType) -> DType:
    if a == b or b == bool_:
        return a
    if a == bool_:
        return b
    if is_floating(a) != is_floating(b):
        return a if is_floating(a) else b
    if {a, b} == {float16, bfloat16}:
        return float32
    if {a, b} == {uint8, int8}:
        return int16
    return max(a, b, key=lambda d: (d.itemsize, d == int8))


_PROMOTE: dict[tuple[DType, DType], DType] = {
    (a, b): _promote(a, b) for a in DTYPES for b in DTYPES
} | {(a, a): a for a in FLOAT8}


def promote(a: DType, b: DType) -> DType:
    """The smallest dtype that PyTorch gives to a mix of two: ``torch.promote_types``.

    bool < integers < floating. Integers never widen a float. float16 with bfloat16 is float32,
    uint8 with int8 is int16. Raises DTypeError for an 8-bit float with another dtype.
    """
    found = _PROMOTE.get((a, b))
    if found is None:
        raise DTypeError(
            f"{a.name} and {b.name} have no common dtype: 8-bit floats are not promoted.\n"
            "  Convert one of them first, with .to(dtype)."
        )
    return found


_NUMBERS = (builtins.bool, builtins.int, builtins.float, np.generic)
_result: dict[tuple[Any, ...], DType] = {}


def result_type(*operands: Any) -> DType:
    """The dtype of an operation on `operands`: ``torch.result_type`` for any number of them.

    Operands are things with ``dtype`` and ``ndim`` (tensors, arrays) or Python numbers. Arrays with
    axes decide; 0-d arrays, then numbers, count only where their category (bool < integer <
    floating) is higher. A Python float is of the default dtype, an int of int64.
    Raises DTypeError for an operand that is neither.
    """
    key = tuple([_rank_and_dtype(x) for x in operands])
    found = _result.get(key)
    if found is None:
        found = _result[key] = _combine_ranks(key)
    return found


def _rank_and_dtype(x: Any) -> tuple[builtins.int, Any]:
    """(0, dtype) for arrays with axes, (1, dtype) for 0-d arrays, (2, kind) for numbers."""
    if isinstance(x, _NUMBERS):
        if isinstance(x, (builtins.bool, np.bool_)):
            return (2, bool_)
        return (2, int64 if isinstance(x, (builtins.int, np.integer)) else "float")
    try:
        return (0 if x.ndim else 1, x.dtype)
    except AttributeError:
        text = f"result_type: {type(x).__name__} is neither a tensor nor a number."
        raise DTypeError(text) from None


def _combine_ranks(key: tuple[tuple[builtins.int, Any], ...]) -> DType:
    if not key:
        raise DTypeError("result_type() needs at least one tensor or number.")
    ranks: list[DType | None] = [None, None, None]
    for rank, dtype in key:
        dtype = _default if isinstance(dtype, str) else dtype
        so_far = ranks[rank]
        ranks[rank] = dtype if so_far is None else promote(so_far, dtype)
    result = _combine_categories(ranks[0], _combine_categories(ranks[1], ranks[2]))
    assert result is not None
    return result


def _combine_categories(higher: DType | None, lower: DType | None) -> DType | None:
    """`higher` decides, unless `lower` is of a higher category; then their promotion."""
    if higher is None or lower is None:
        return lower if higher is None else higher
    if is_floating_point(higher):
        return higher
    if higher == bool_ or is_floating_point(lower):
        return promote(higher, lower)
    return higher
