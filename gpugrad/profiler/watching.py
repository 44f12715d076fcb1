"""Watching the kernels: while somebody listens, each call of a raw operation is told to them.

The door between operations and kernels is ``backend.kernels``. Its methods are replaced while there
is a listener and put back after the last, so that nothing is spent otherwise. All threads and all
devices are seen; a kernel that another one calls is part of it, and so are those that a captured
step repeats of its graph.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from .. import backends
from ..autograd import places
from ..backends.base import OPERATIONS, Backend
from .costs import COSTS, Cost


class Event:
    """One call of a kernel.

    kernel: the raw operation, with its functor ("binary add"). operation, phase, module: see
    `autograd.places.Place`. begin: seconds of `time.perf_counter` when the host called it, host:
    how long the call took; first, last: marks of the device, between which it ran.
    """

    __slots__ = (
        "backend",
        "begin",
        "cost",
        "first",
        "host",
        "kernel",
        "last",
        "memory",
        "module",
        "operation",
        "phase",
        "seconds",
        "shapes",
        "start",
        "thread",
    )

    def __init__(self, kernel: str, place: places.Place, backend: Backend) -> None:
        self.kernel, self.backend = kernel, backend
        self.operation, self.phase, self.module = place
        self.begin = self.host = 0.0
        self.first: Any = None
        self.last: Any = None
        self.cost = Cost(None, None)
        self.thread = threading.get_ident()
        self.shapes = ""
        self.memory = 0
        self.seconds: float | None = None  # on the device, once it is known
        self.start = 0.0  # seconds since the listener began, on the device's clock

    def resolve(self) -> float | None:
        """Seconds on the device; None where it cannot be told (while a graph was captured)."""
        if self.seconds is None and self.first is not None and self.last is not None:
            self.seconds = self.backend.seconds(self.first, self.last)
        return self.seconds


class Listener:
    """Told what happens, in the thread where it happens; override what is of interest."""

    shapes = False  # whether Event.shapes is wanted
    memory = False  # whether Event.memory is wanted

    def on_kernel(self, event: Event) -> None:
        """A kernel was launched (on a host device: is done)."""

    def on_range(self, name: str, begin: float, seconds: float, thread: int) -> None:
        """A `record_function` block ended."""


listeners: tuple[Listener, ...] = ()
_undo: dict[Backend, Callable[[], None]] = {}
_lock = threading.RLock()


class _Inside(threading.local):
    kernel = False


_inside = _Inside()


def listen(listener: Listener) -> None:
    """Tell `listener` of all that follows."""
    global listeners
    with _lock:
        if not listeners:
            for backend in backends.opened():
                _watch(backend)
            backends.on_open.append(_watch)
        listeners = (*listeners, listener)


def unlisten(listener: Listener) -> None:
    """Tell it no more; kernels are as they were after the last has gone."""
    global listeners
    with _lock:
        listeners = tuple(each for each in listeners if each is not listener)
        if not listeners and _undo:
            backends.on_open.remove(_watch)
            for undo in _undo.values():
                undo()
            _undo.clear()


def _watch(backend: Backend) -> None:
    """Replace the kernels of a backend by watched ones."""
    kernels: Any = backend.kernels
    own = {name: vars(kernels)[name] for name in OPERATIONS if name in vars(kernels)}
    for name in OPERATIONS:
        setattr(kernels, name, _watched(backend, name, getattr(kernels, name)))

    def undo() -> None:
        for name in OPERATIONS:
            if name in own:
                setattr(kernels, name, own[name])
            else:
                delattr(kernels, name)

    _undo[backend] = undo


def _watched(backend: Backend, name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
    cost_of = COSTS.get(name, _unknown)

    def call(*args: Any, **options: Any) -> Any:
        place = None if _inside.kernel else places.find()
        if place is None:
            return kernel(*args, **options)
        label = f"{name} {args[0]}" if args and isinstance(args[0], str) else name
        event = Event(label, place, backend)
        told = listeners
        measured = any(listener.memory for listener in told)
        before = backend.memory_stats().allocated if measured else 0
        _inside.kernel = True
        try:
            result = _timed(event, kernel, args, options)
        finally:
            _inside.kernel = False
        event.cost = cost_of(result, *args, **options)
        if measured:
            event.memory = backend.memory_stats().allocated - before
        if any(listener.shapes for listener in told):
            event.shapes = ", ".join(_shape(x) for x in (*args, *options.values()))
        _tell(told, event)
        return result

    return call


def watched_replay(backend: Backend, step: str, launch: Callable[[], None]) -> None:
    """Launches the graph of a captured step: one event, for all of its kernels."""
    told = listeners
    if not told:
        launch()
        return
    event = Event("graph", places.Place(step, "", ""), backend)
    _timed(event, launch, (), {})
    _tell(told, event)


def _tell(told: tuple[Listener, ...], event: Event) -> None:
    for listener in told:
        listener.on_kernel(event)


def _unknown(*args: Any, **options: Any) -> Cost:
    return Cost(None, None)


def _timed(event: Event, kernel: Callable[..., Any], args: Any, options: Any) -> Any:
    """The kernel's result; its times are noted."""
    backend = event.backend
    backend.range_push(f"{event.operation} {event.kernel}")
    try:
        event.first, event.begin = backend.mark(), time.perf_counter()
        result = kernel(*args, **options)
        event.host, event.last = time.perf_counter() - event.begin, backend.mark()
    finally:
        backend.range_pop()
    return result


def _shape(x: Any) -> str:
    """An argument in a few letters."""
    if isinstance(x, (list, tuple)) and any(hasattr(each, "dtype") for each in x):
        return f"{len(x)} arrays"
    return f"{x.dtype.name}{list(x.shape)}" if hasattr(x, "strides") else str(x)
