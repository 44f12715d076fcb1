"""Names that PyTorch programs still use and that need little here.

`FloatTensor` and its kin, `Size`, `compile`, `use_deterministic_algorithms`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from . import dtype as dtypes
from .arguments import shape_of
from .creation import empty, tensor
from .tensor import Tensor

Size = tuple
"""The type of `Tensor.shape`, and a shape made of numbers: ``gg.Size([2, 3])``."""


def _constructor(name: str, dtype: dtypes.DType) -> Callable[..., Tensor]:
    def make(*data: Any) -> Tensor:
        if len(data) == 1 and isinstance(data[0], (Iterable, np.ndarray)):
            return tensor(data[0], dtype=dtype)
        return empty(shape_of(name, data or (0,)), dtype=dtype)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = (
        f"A {dtype.name} tensor on the CPU: a copy of one list, array or tensor, or, of sizes, "
        f"one with undefined values. A shape is given with a star, {name}(*x.shape): a tuple is "
        "a list."
    )
    return make


BoolTensor = _constructor("BoolTensor", dtypes.bool_)
ByteTensor = _constructor("ByteTensor", dtypes.uint8)
CharTensor = _constructor("CharTensor", dtypes.int8)
ShortTensor = _constructor("ShortTensor", dtypes.int16)
IntTensor = _constructor("IntTensor", dtypes.int32)
LongTensor = _constructor("LongTensor", dtypes.int64)
HalfTensor = _constructor("HalfTensor", dtypes.float16)
FloatTensor = _constructor("FloatTensor", dtypes.float32)
DoubleTensor = _constructor("DoubleTensor", dtypes.float64)


def compile(
    model: Any = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = "inductor",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Any:
    """The model or function itself: kernels are compiled when gpugrad is installed.

    Also a decorator, with or without arguments, which change nothing. To have a whole training
    step launched at once, see `gpugrad.capture`.
    """
    if model is None:
        return lambda function: function
    return model


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted, and changes nothing: every operation is deterministic."""


def are_deterministic_algorithms_enabled() -> bool:
    """True: every operation is deterministic."""
    return True
