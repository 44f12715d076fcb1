"""The orders in which the simulator runs GPU threads, for tests that sweep them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# (order, when asynchronous operations complete, seed, workers)
SCHEDULES = [
    ("forward", "eager", 0, 1),
    ("reverse", "lazy", 0, 2),
    ("random", "random", 1, 2),
    ("random", "random", 2, 2),
    ("random", "random", 3, 1),
]


def label(schedule: tuple[Any, ...]) -> str:
    return f"{schedule[0]}{schedule[2]}"


@contextmanager
def scheduled(device: str, schedule: tuple[Any, ...]) -> Iterator[None]:
    """Runs the simulator in this order inside the block; other devices are left alone."""
    if device != "sim":
        yield
        return
    from gpugrad import _sim

    _sim.set_schedule(*schedule)
    try:
        yield
    finally:
        _sim.set_schedule("forward", "eager", 0, 0)
