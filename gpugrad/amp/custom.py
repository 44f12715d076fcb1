"""Functions of your own inside `autocast` regions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..device import TYPES
from ..dtype import as_dtype, float64, is_floating
from ..tensor import Tensor
from .autocast_mode import is_autocast_enabled, no_autocast, same_regions

_Method = Callable[..., Any]


def custom_fwd(
    fwd: _Method | None = None, *, device_type: str | None = None, cast_inputs: Any = None
) -> Any:
    """``@staticmethod @custom_fwd def forward(ctx, ...)`` of an autograd.Function.

    cast_inputs: inside a region forward gets its floating tensors (but float64) in this dtype, and
    no operation in it casts. Without it forward runs as the region says. device_type: the devices
    that is about; all unless given. backward needs `custom_bwd`.
    """
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)
    types = TYPES if device_type is None else (device_type,)
    dtype = None if cast_inputs is None else as_dtype(cast_inputs)

    @functools.wraps(fwd)
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        ctx._given = [x.array.dtype if isinstance(x, Tensor) else None for x in args]
        if dtype is None or not any(is_autocast_enabled(kind) for kind in types):
            ctx._regions = same_regions()
            return fwd(ctx, *args, **kwargs)
        args = tuple([_cast(x, types, dtype) for x in args])
        kwargs = {name: _cast(x, types, dtype) for name, x in kwargs.items()}
        with no_autocast(types):
            ctx._regions = same_regions()
            return fwd(ctx, *args, **kwargs)

    return forward


def custom_bwd(bwd: _Method | None = None, *, device_type: str | None = None) -> Any:
    """``@staticmethod @custom_bwd def backward(ctx, dy)``: in the regions that forward ran in.

    The gradients come in the dtypes of forward's arguments. forward needs `custom_fwd`.
    """
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(ctx: Any, *dys: Any) -> Any:
        with ctx._regions:
            found = bwd(ctx, *dys)
        results = list(found) if isinstance(found, (tuple, list)) else [found]
        for i, (dx, dtype) in enumerate(zip(results, ctx._given, strict=False)):
            if isinstance(dx, Tensor) and dtype is not None:
                results[i] = dx.to(dtype)
        return tuple(results)

    return backward


def _cast(x: Any, types: tuple[str, ...], dtype: Any) -> Any:
    """x in the dtype, also inside lists, tuples and dictionaries."""
    if isinstance(x, Tensor):
        here = x.backend.device.type in types and is_autocast_enabled(x.backend.device.type)
        wanted = here and is_floating(x.array.dtype) and x.array.dtype != float64
        return x.to(dtype) if wanted else x
    if isinstance(x, dict):
        return {name: _cast(each, types, dtype) for name, each in x.items()}
    if type(x) in (list, tuple):
        return type(x)([_cast(each, types, dtype) for each in x])
    return x
