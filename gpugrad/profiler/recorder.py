"""profile: what ran, for how long, and how near to what the device can do."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from .. import backends
from ..backends import Backend
from ..errors import ArgumentError
from . import watching
from .averages import Averages
from .schedules import Action
from .trace import write_trace
from .watching import Event, Listener, listen, unlisten

_F = TypeVar("_F", bound=Callable[..., Any])


class Range(NamedTuple):
    """A `record_function` block or a step: seconds of `time.perf_counter`."""

    name: str
    begin: float
    seconds: float
    thread: int


class profile(Listener):
    """Records each kernel inside the block: its operation, pass, module, time, FLOP and bytes.

        with gg.profile() as p:
            loss = F.cross_entropy(model(x), t)
            loss.backward()
        print(p.table())
        p.export_chrome_trace("trace.json")  # chrome://tracing, ui.perfetto.dev

    On a GPU times are those of events around each launch: nothing waits until the block ends. Where
    the GPU waits for the host, the launch is part of it. All threads and devices are recorded, and
    blocks may be nested: each sees what is inside it. An exception ends the recording, and what was
    recorded stays. While it runs, operations take some microseconds more; after it, none.

    Args:
        record_shapes: note shapes and dtypes of the arguments (`key_averages` can group by them).
        profile_memory: note how many bytes each kernel leaves allocated.
        schedule: which steps are recorded; call `step` after each (`gpugrad.profiler.schedule`).
        on_trace_ready: called with the profile after the last step of each recording.
        activities, with_stack, with_flops, with_modules: PyTorch's, accepted; devices are all
            recorded, FLOP and modules always, stacks never.
    """

    def __init__(
        self,
        *,
        activities: Any = None,
        schedule: Callable[[int], Action] | None = None,
        on_trace_ready: Callable[[profile], Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = True,
        with_modules: bool = True,
    ) -> None:
        self.shapes, self.memory = record_shapes, profile_memory
        self.step_num = 0
        self._schedule, self._ready = schedule, on_trace_ready
        self._events: list[Event] = []
        self.ranges: list[Range] = []
        self._origins: dict[Backend, tuple[Any, float]] = {}
        self._listening = False
        self._began = self._step_began = 0.0
        self.wall = 0.0

    # ---- recording ---------------------------------------------------------------------------

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            self.stop()
        except Exception:
            if error is None:  # else the block's own error says more
                raise

    def start(self) -> None:
        """What `with` does at its beginning. Raises ArgumentError where the profile runs."""
        if self._listening:
            raise ArgumentError("profile: is running already.\n  Make a profile for each block.")
        if self._wanted():
            self._listen()
        self._step_began = time.perf_counter()

    def stop(self) -> None:
        """What `with` does at its end: waits for the devices, whose errors it may raise."""
        if self._listening:
            self._unlisten()
            if self._ready is not None:
                self._ready(self)

    def step(self) -> None:
        """A step of the program is done."""
        now = time.perf_counter()
        if self._listening:
            took = now - self._step_began
            name = f"ProfilerStep#{self.step_num}"
            self.ranges.append(Range(name, self._step_began, took, threading.get_ident()))
        last = self._schedule is not None and (
            self._schedule(self.step_num) is Action.RECORD_AND_SAVE
        )
        self.step_num += 1
        self._step_began = now
        if last:
            self.stop()
        if self._wanted() and not self._listening:
            self._listen()

    def _wanted(self) -> bool:
        """Whether the present step is recorded."""
        if self._schedule is None:
            return True
        return self._schedule(self.step_num) in (Action.RECORD, Action.RECORD_AND_SAVE)

    def _listen(self) -> None:
        """Record anew."""
        self._events, self.ranges, self._origins = [], [], {}
        for backend in backends.opened():
            backend.synchronize()
            self._origins[backend] = backend.mark(), time.perf_counter()
        self._began, self._listening = time.perf_counter(), True
        listen(self)

    def _unlisten(self) -> None:
        unlisten(self)
        self._listening = False
        self.wall = time.perf_counter() - self._began
        for backend in {event.backend for event in self._events}:
            backend.synchronize()
        for event in self._events:
            event.resolve()
            event.start = self._start_of(event)

    def _start_of(self, event: Event) -> float:
        """Seconds from the beginning to when the kernel ran."""
        mark, then = self._origins.get(event.backend, (None, 0.0))
        if mark is None or event.first is None:
            return event.begin - self._began
        return then - self._began + event.backend.seconds(mark, event.first)

    def on_kernel(self, event: Event) -> None:
        self._events.append(event)

    def on_range(self, name: str, begin: float, seconds: float, thread: int) -> None:
        self.ranges.append(Range(name, begin, seconds, thread))

    # ---- what was found ----------------------------------------------------------------------

    def events(self) -> list[Event]:
        """Every call of a kernel, in order. Raises ArgumentError while the profile runs."""
        if self._listening:
            raise ArgumentError("profile: is still running.\n  Ask it after the with block.")
        return self._events

    def key_averages(
        self, group_by_input_shape: bool = False, group_by: Sequence[str] | None = None
    ) -> Averages:
        """Calls summed up by kernel, operation and pass, the longest first.

        group_by: other keys: some of "kernel", "operation", "phase", "module", "shapes", "device".
        """
        keys = ["kernel", "operation", "phase"] if group_by is None else list(group_by)
        if group_by_input_shape and "shapes" not in keys:
            keys.append("shapes")
        if "shapes" in keys and not self.shapes:
            raise ArgumentError(
                "key_averages: shapes were not noted.\n  Pass record_shapes=True to gg.profile()."
            )
        return Averages(keys, self.events(), self.wall)

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 40,
        group_by: Sequence[str] | None = None,
    ) -> str:
        """`key_averages` in text: a line for each, sums below, and what "of bound" is measured by.

        The bound of a call is the longer of its bytes at the device's bandwidth and, for products,
        its FLOP at the device's peak; "of bound" is the bound over the time, and shown where both
        are known. group_by: see `key_averages`; ("module",) tells which part takes the time.
        """
        return self.key_averages(group_by=group_by).table(sort_by, row_limit)

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write a trace that chrome://tracing and ui.perfetto.dev show (compressed for ".gz")."""
        write_trace(path, self.events(), self.ranges, self._began)


class record_function:
    """``with record_function("load"):`` or ``@record_function("load")``: a range of that name in
    traces of a running `profile`, and in NVIDIA's tools."""

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name if args is None else f"{name} {args}"
        self._begun: list[float] = []

    def __enter__(self) -> record_function:
        for backend in backends.opened():
            backend.range_push(self.name)
        self._begun.append(time.perf_counter())
        return self

    def __exit__(self, *error: object) -> None:
        begin = self._begun.pop()
        for listener in watching.listeners:
            took = time.perf_counter() - begin
            listener.on_range(self.name, begin, took, threading.get_ident())
        for backend in backends.opened():
            backend.range_pop()

    def __call__(self, function: _F) -> _F:
        @functools.wraps(function)
        def ranged(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name):
                return function(*args, **kwargs)

        return ranged  # type: ignore[return-value]


class emit_nvtx(Listener):
    """Inside the block each kernel is a range of its operation's name in NVIDIA's tools (NVTX)."""

    def __init__(self, enabled: bool = True, record_shapes: bool = False) -> None:
        self.enabled = enabled

    def __enter__(self) -> emit_nvtx:
        if self.enabled:
            listen(self)
        return self

    def __exit__(self, *error: object) -> None:
        unlisten(self)
