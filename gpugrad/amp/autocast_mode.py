"""Regions in which operations choose their dtype: table.py says which takes what.

Each function that the table names begins with ``if AUTOCAST.on:``, an attribute that is False until
some thread enters a region; so outside of regions nothing else happens. Inside, `Autocast.cast`
converts the function's tensors by operations of the graph, whose gradients come back in the dtype
the tensors had: of float32 parameters they are float32.
"""

from __future__ import annotations

import threading
import warnings
import weakref
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ..autograd.modes import MODE, wrapped_in
from ..device import TYPES
from ..dtype import DType, as_dtype, bfloat16, float16, float32, float64, is_floating, is_half
from ..errors import DeviceError
from ..tensor import Tensor
from .table import FLOAT32, LOWER, WIDEST

_F = TypeVar("_F", bound=Callable[..., Any])

DEFAULTS: dict[str, DType] = {"cpu": bfloat16, "cuda": float16, "sim": float16}
"""The dtype of a region that names none."""

KIND: dict[str, str] = {
    name: kind
    for kind, names in (("lower", LOWER), ("float32", FLOAT32), ("widest", WIDEST))
    for name in names.split()
}


_inside: set[int] = set()  # the threads in which a region is on
_lock = threading.RLock()  # again in one thread, where a collection inside ends another


def _mark(thread: int, inside: bool) -> None:
    with _lock:
        (_inside.add if inside else _inside.discard)(thread)
        AUTOCAST.on = bool(_inside)


class _Thread:
    """A thread, as long as it runs."""


class _Here(threading.local):
    """What holds in this thread."""

    def __init__(self) -> None:
        self.thread = _Thread()
        ended = weakref.finalize(self.thread, _mark, id(self.thread), False)
        ended.atexit = False
        self.active: dict[str, DType] = {}  # device type -> dtype, where a region is on
        self.defaults = dict(DEFAULTS)
        self.walk: Any = None  # the backward in which the region was entered
        self.depth = 0
        self.caching = True
        self.cache: dict[int, tuple[Tensor, Any, int, Tensor]] = {}


_HERE = _Here()


class Autocast:
    """What operations ask; there is one, AUTOCAST."""

    __slots__ = ("on",)
    on: bool

    def __init__(self) -> None:
        self.on = False

    def cast(self, name: str, *values: Any) -> tuple[Any, ...]:
        """The arguments of function `name` as the regions of this thread want them.

        A region holds for the operations of the pass it was entered in: a backward that runs
        inside it keeps the dtypes of its forward, as one that runs outside.
        """
        kind = KIND.get(name)
        if kind is None or not _HERE.active or MODE.walk is not _HERE.walk:
            return values
        return _CASTS[kind](values)

    def holds(self, x: Tensor) -> bool:
        """Whether operations on x choose their dtype here."""
        return MODE.walk is _HERE.walk and _target(x) is not None


AUTOCAST = Autocast()


def _target(x: Any) -> DType | None:
    """The dtype of the region on x's device, if x is a tensor that takes part."""
    if not isinstance(x, Tensor):
        return None
    dtype = x.array.dtype
    if dtype == float64 or not is_floating(dtype):
        return None
    return _HERE.active.get(x.backend.device.type)


def _lower(values: tuple[Any, ...]) -> tuple[Any, ...]:
    targets = [_target(x) for x in values]
    return tuple([x if t is None else _lowered(x, t) for x, t in zip(values, targets, strict=True)])


def _float32(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple([x if _target(x) is None else x.to(float32) for x in values])


def _widest(values: tuple[Any, ...]) -> tuple[Any, ...]:
    found = {x.array.dtype for x in values if _target(x) is not None}
    return _float32(values) if len(found) > 1 else values


_CASTS = {"lower": _lower, "float32": _float32, "widest": _widest}


def _lowered(x: Tensor, dtype: DType) -> Tensor:
    """x in the region's dtype: of a parameter one copy for the whole region, as long as nobody
    changes the parameter."""
    if x.array.dtype == dtype:
        return x
    if x.grad_fn is not None or not x._requires_grad or x._is_view or not _HERE.caching:
        return x.to(dtype)
    known, version = _HERE.cache.get(id(x)), x._version
    if known is not None:
        _, array, then, y = known
        if array is x.array and then == version and y.array.dtype == dtype:
            return y
    y = x.to(dtype)
    if y.grad_fn is not None:  # else nothing is recorded: later uses may want a history
        _HERE.cache[id(x)] = (x, x.array, version, y)
    return y


def _activate(active: dict[str, DType]) -> None:
    """Makes `active` what holds in this thread, and tells the operations."""
    _HERE.active = active
    _mark(id(_HERE.thread), bool(active))


class autocast:
    """``with autocast("cuda"):`` operations choose their dtype; a decorator for functions, too.

    Products take `dtype`, what needs range or digits float32, what mixes dtypes the widest;
    gpugrad.amp.table lists them. Parameters stay float32: each is cast once in a region
    (cache_enabled), and its gradient is float32. Run the forward pass and the loss inside, backward
    and the step of the optimizer outside.

    device_type: "cuda", "cpu" or "sim"; tensors of other devices are left alone. Or the dtype:
    ``autocast(gg.bfloat16)`` holds on every device. dtype: float16 on GPUs and bfloat16 on the CPU
    unless given; another than these two is a warning, and the region is off, as PyTorch has it.
    enabled=False switches a region off inside another one. cache_enabled: None keeps what holds.
    """

    def __init__(
        self,
        device_type: str | DType = "cuda",
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        types: Iterable[str] = TYPES
        if isinstance(device_type, str) and device_type in TYPES:
            types = (device_type,)
        elif dtype is None and not isinstance(device_type, str):
            dtype = as_dtype(device_type)
        else:
            raise _unknown("autocast", device_type)
        if dtype is not None:
            dtype = as_dtype(dtype)
            if enabled and not is_half(dtype):
                warnings.warn(
                    f"autocast(dtype={dtype.name}): only float16 and bfloat16 are supported; the "
                    "region is off.",
                    stacklevel=2,
                )
                enabled = False
        self.types, self.dtype = tuple(types), dtype
        self.enabled, self.cache_enabled = bool(enabled), cache_enabled
        self._outer: list[tuple[dict[str, DType], Any, bool]] = []

    def __enter__(self) -> autocast:
        here = _HERE
        self._outer.append((here.active, here.walk, here.caching))
        active = dict(here.active)
        for kind in self.types:
            active.pop(kind, None)
            if self.enabled:
                active[kind] = self.dtype or here.defaults[kind]
        here.depth += 1
        here.walk = MODE.walk
        if self.cache_enabled is not None:
            here.caching = bool(self.cache_enabled)
        _activate(active)
        return self

    def __exit__(self, *error: object) -> None:
        here = _HERE
        active, here.walk, here.caching = self._outer.pop()
        here.depth -= 1
        if here.depth == 0:
            here.cache.clear()
        _activate(active)

    def __call__(self, function: _F) -> _F:
        return wrapped_in(self._again, function)

    def _again(self) -> autocast:
        region = autocast("cpu", None, self.enabled, self.cache_enabled)
        region.types, region.dtype = self.types, self.dtype
        return region


def no_autocast(types: tuple[str, ...] = TYPES) -> autocast:
    """A region that is off on these devices."""
    region = autocast(types[0], enabled=False)
    region.types = types
    return region


class same_regions:
    """What holds where this is made, again in a `with` block: for what is computed a second time in
    backward."""

    def __init__(self) -> None:
        self._active, self._caching = _HERE.active, _HERE.caching
        self._outer: list[tuple[dict[str, DType], Any, bool]] = []

    def __enter__(self) -> None:
        here = _HERE
        self._outer.append((here.active, here.walk, here.caching))
        here.walk, here.caching = MODE.walk, self._caching
        _activate(self._active)

    def __exit__(self, *error: object) -> None:
        active, _HERE.walk, _HERE.caching = self._outer.pop()
        if _HERE.depth == 0:
            _HERE.cache.clear()
        _activate(active)


def _unknown(function: str, device_type: Any) -> DeviceError:
    return DeviceError(
        f"{function}(device_type={device_type!r}): expected one of {', '.join(TYPES)}; a device's "
        "number plays no part."
    )


def _checked(function: str, device_type: str) -> str:
    if device_type not in TYPES:
        raise _unknown(function, device_type)
    return device_type


def is_autocast_available(device_type: str) -> bool:
    """Whether `autocast` knows the device type."""
    return device_type in TYPES


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether operations on the device choose their dtype now, in this thread."""
    return _checked("is_autocast_enabled", device_type) in _HERE.active


def set_autocast_enabled(device_type: str, enabled: bool) -> None:
    """Switches without a `with` block. The last one off forgets the copies of parameters."""
    active = dict(_HERE.active)
    active.pop(_checked("set_autocast_enabled", device_type), None)
    if enabled:
        active[device_type] = _HERE.defaults[device_type]
    if not active and _HERE.depth == 0:
        _HERE.cache.clear()
    _activate(active)


def get_autocast_dtype(device_type: str) -> DType:
    """The dtype of products in the region that is on, or in one that names none."""
    known = _checked("get_autocast_dtype", device_type)
    return _HERE.active.get(known, _HERE.defaults[known])


def set_autocast_dtype(device_type: str, dtype: Any) -> None:
    """Sets the dtype of the region that is on, and of regions of this thread that name none."""
    chosen = as_dtype(dtype)
    _HERE.defaults[_checked("set_autocast_dtype", device_type)] = chosen
    if device_type in _HERE.active:
        _activate({**_HERE.active, device_type: chosen})


def is_autocast_cache_enabled() -> bool:
    """Whether a region keeps its copies of parameters."""
    return _HERE.caching


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Switches that."""
    _HERE.caching = bool(enabled)


def clear_autocast_cache() -> None:
    """Forgets the copies of parameters; the outermost region does when it ends."""
    _HERE.cache.clear()
