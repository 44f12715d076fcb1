"""GPUGRAD_DEBUG: what a program says about its kernels without being changed.

    GPUGRAD_DEBUG=0  nothing; also when it is not set
    GPUGRAD_DEBUG=1  at exit the profiler's table, on stderr: the kernels the time went to
    GPUGRAD_DEBUG=2  also a line for each kernel when it is done: operation, pass, module, shapes,
                     time, GFLOP/s, GB/s; on a GPU the host waits for each. And each replay of
                     a captured step is compared with an eager run (`gg.capture`)
    GPUGRAD_DEBUG=3  also checks: an error of the device names the kernel it came from, and in the
                     main thread the first NaN names its operation (`detect_nan`)

From 1 on each kernel takes some microseconds more on the host. A captured step's replay is one
kernel, "graph": there the host calls no other. README lists all variables that gpugrad reads.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from typing import TextIO

from .autograd.anomaly import set_detect_anomaly
from .errors import ArgumentError, GpugradError
from .profiler.averages import Averages
from .profiler.watching import Event, Listener, listen
from .recording import NOW

LEVELS = ("0", "1", "2", "3")
_ENOUGH = 10_000  # calls that wait to be summed up: on a GPU that has to wait for them


class Debug(Listener):
    """What GPUGRAD_DEBUG asks for, from 1 on."""

    def __init__(self, level: int, out: TextIO | None = None) -> None:
        self.level, self.shapes = level, level >= 2
        self._out = out
        self._waiting: list[Event] = []
        self._averages = Averages(("kernel", "operation", "phase"))
        self._began = time.perf_counter()

    def on_kernel(self, event: Event) -> None:
        done = NOW.recording is None  # what is recorded into a graph has not run yet
        if self.level >= 3 and done:
            self._check(event)
        if self.level >= 2:
            if done:
                event.backend.synchronize()
            self._print(line(event))
        self._waiting.append(event)
        if len(self._waiting) >= _ENOUGH and done:
            self._sum_up()

    def _print(self, text: str) -> None:
        print(text, file=self._out or sys.stderr, flush=True)

    @staticmethod
    def _check(event: Event) -> None:
        """Wait; name the kernel in what the device complains of."""
        try:
            event.backend.synchronize()
        except GpugradError as error:
            place = ", ".join(part for part in (event.phase, event.module) if part)
            raise type(error)(
                f"{event.kernel} of {event.operation} ({place or 'outside of modules'}) with "
                f"{event.shapes}: {error}"
            ) from None

    def _sum_up(self) -> None:
        waiting, self._waiting = self._waiting, []
        for backend in {event.backend for event in waiting}:
            backend.synchronize()
        for event in waiting:
            event.resolve()
        self._averages.add(waiting)

    def end(self) -> None:
        """The table."""
        self._sum_up()
        self._averages.wall = time.perf_counter() - self._began
        if self._averages:
            self._print(f"GPUGRAD_DEBUG={self.level}\n{self._averages.table()}")


def line(event: Event) -> str:
    """A kernel that is done, in a line."""
    seconds = event.resolve()
    flops, moved, _ = event.cost
    rates = [
        f"{amount / seconds / 1e9:9.1f} {unit}" if amount and seconds else f"{'-':>9} {unit}"
        for amount, unit in ((flops, "GFLOP/s"), (moved, "GB/s"))
    ]
    took = f"{1e6 * seconds:10.1f}" if seconds is not None else f"{'-':>10}"
    name = f"{event.operation} {event.kernel}"
    facts = f"{event.phase or '-':9} {event.module or '-':20} {event.shapes}"
    return f"{event.backend.device!s:7} {took} us {' '.join(rates)}  {name:36} {facts}"


def begin() -> None:
    """Do what GPUGRAD_DEBUG says; `import gpugrad` calls it where it is set. Raises ArgumentError
    where it is not 0 to 3."""
    setting = os.environ.get("GPUGRAD_DEBUG", "0")
    if setting not in LEVELS:
        raise ArgumentError(
            f"GPUGRAD_DEBUG={setting!r} is no level.\n  Legal are 0 (nothing), 1 (a table of "
            "kernels at exit), 2 (a line for each kernel), 3 (checks after each kernel)."
        )
    level = int(setting)
    if level:
        debug = Debug(level)
        listen(debug)
        atexit.register(debug.end)
    if level >= 3:
        set_detect_anomaly(True)
