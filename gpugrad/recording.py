"""The captured step that this thread is recording, if any.

A captured step is repeated without its Python code. What it does beside launching kernels
(draws of random numbers, steps of optimizers and schedules) therefore tells the recording, which
``gpugrad.graphs`` keeps.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol

from .backends import Array, Backend


class Recording(Protocol):
    """What a step that is being recorded tells."""

    def draw(self, generator: Any, backend: Backend) -> tuple[Array, int]:
        """The next draw of a random generator, as `Generator.draw` gives it."""

    def entering(self, optimizer: Any) -> None:
        """`optimizer.step` was called."""

    def stepping(self, optimizer: Any) -> None:
        """It goes on to the kernels: what a replay finds there must be made outside of it."""

    def stepped(self, optimizer: Any) -> None:
        """It has done its step, whoever wrote it."""

    def refuse(self, what: str, way_out: str) -> None:
        """Raises CaptureError: `what` cannot be repeated."""


class _Now(threading.local):
    recording: Recording | None = None


NOW = _Now()
