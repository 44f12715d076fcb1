"""Interleaved timing: ours and the rivals' in turns, so that a drifting machine slows all alike.

Two clocks. "wall": calls between two synchronisations, Python's share included; what a user waits
for. "device", of a GPU alone: the time between two events around the calls, which the host launches
while the GPU is still busy with something else, so that it is the kernels' own. Small kernels take
less time than Python's call of them; by the wall both libraries would be measured by their Python.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache
from math import ceil

import rehearsal

import gpugrad as gg
from gpugrad import backends

Work = Callable[[], object]

ROUND_SECONDS = 0.02
ROUNDS = 15
MOST_CALLS = 1 << 16
MOST_QUEUED = 50
"""Calls of a round by the device's clock: a GPU's queue has room for about a thousand launches, and
a call has up to 20 (a transformer's layer forward)."""

WARM_SECONDS = 0.05
"""Of products before each race: a GPU lowers its clocks while the host makes the operands."""


class Timer:
    """Times calls on one device, by one of the two clocks. quantile: which of a round's times
    counts (0.5: the median)."""

    def __init__(self, device: str, quantile: float = 0.5, clock: str = "wall") -> None:
        self.device, self.quantile = device, quantile
        self.clock = "wall" if device == "cpu" else clock
        self._host: dict[int, float] = {}  # seconds that a call of a work takes on the host

    def typical(self, times: list[float]) -> float:
        return sorted(times)[round(self.quantile * (len(times) - 1))]

    def seconds(self, work: Work, calls: int) -> float:
        """Of a call, by the timer's clock."""
        return (self._by_device if self.clock == "device" else self._by_wall)(work, calls)

    def _by_wall(self, work: Work, calls: int) -> float:
        gg.synchronize(self.device)
        start = time.perf_counter()
        for _ in range(calls):
            work()
        gg.synchronize(self.device)
        return (time.perf_counter() - start) / calls

    def _by_device(self, work: Work, calls: int) -> float:
        backend = backends.get(self.device)
        backend.synchronize()
        busy(self.device).occupy(1.5 * calls * self._host.get(id(work), 0.0))
        first = backend.mark()
        start = time.perf_counter()
        for _ in range(calls):
            work()
        host = (time.perf_counter() - start) / calls
        last = backend.mark()
        backend.synchronize()
        self._host[id(work)] = min(host, self._host.get(id(work), host))
        return backend.seconds(first, last) / calls

    def calls_per_round(self, work: Work) -> int:
        """Enough calls for a round of ROUND_SECONDS; also warms up."""
        if rehearsal.ON:
            work()
            return 1
        most, calls = (MOST_QUEUED if self.clock == "device" else MOST_CALLS), 1
        self.seconds(work, 1)  # what is made at the first call
        while (spent := self.seconds(work, calls) * calls) < ROUND_SECONDS and calls < most:
            grown = int(calls * min(8.0, 1.2 * ROUND_SECONDS / max(spent, 1e-9)))
            calls = min(most, max(calls + 1, grown))
        return calls

    def race(self, works: Sequence[Work], rounds: int = ROUNDS) -> list[float]:
        """Rounds of each in turns; the typical time of each, in seconds per call."""
        if self.device != "cpu":
            busy(self.device).occupy(WARM_SECONDS)
        calls = [self.calls_per_round(work) for work in works]
        times: list[list[float]] = [[] for _ in works]
        for _ in range(1 if rehearsal.ON else rounds):
            for work, count, found in zip(works, calls, times, strict=True):
                found.append(self.seconds(work, count))
        return [self.typical(found) for found in times]


class Busy:
    """Products of matrices that keep a GPU busy, and its clocks up, for a given time."""

    def __init__(self, device: str) -> None:
        size = rehearsal.small(4096)
        backend = backends.get(device)
        self.x = gg.randn(size, size, device=device).to(gg.bfloat16)
        for _ in range(3):
            first = backend.mark()
            self._once()
            last = backend.mark()
            backend.synchronize()
        self.seconds = max(backend.seconds(first, last), 1e-6)

    def _once(self) -> None:
        with gg.no_grad():
            self.x @ self.x

    def occupy(self, seconds: float) -> None:
        """Launches products for so long, and does not wait for them."""
        for _ in range(1 if rehearsal.ON else min(ceil(seconds / self.seconds), 800)):
            self._once()


@cache
def busy(device: str) -> Busy:
    """Of a GPU."""
    return Busy(device)
