"""A look at where training spends its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpugrad.errors import ArgumentError
from gpugrad.profiler import profile
from gpugrad.train.hooks import Hook

if TYPE_CHECKING:
    from gpugrad.train.trainer import Trainer


class Profile(Hook):
    """Profiles `steps` steps after the first `skip`, in which memory is first taken and clocks get
    warm; prints the table then, or at the end of a shorter training.

    Args:
        path: also write a trace there, for chrome://tracing and ui.perfetto.dev.
    """

    def __init__(self, path: str | None = None, skip: int = 5, steps: int = 20) -> None:
        if skip < 1 or steps < 1:
            raise ArgumentError(f"Profile: skip={skip} and steps={steps} must be at least 1.")
        self.path, self.skip, self.steps = path, skip, steps
        self._profile = profile()
        self._seen = 0
        self._running = False

    def on_step_end(self, trainer: Trainer) -> None:
        self._seen += 1
        if self._running:
            self._profile.step()
        if self._seen == self.skip:
            self._profile.start()
            self._running = True
        elif self._seen == self.skip + self.steps:
            self._finish()

    def on_end(self, trainer: Trainer) -> None:
        self._finish()

    def _finish(self) -> None:
        if not self._running:
            return
        self._running = False
        self._profile.stop()
        print(self._profile.table(), flush=True)
        if self.path is not None:
            self._profile.export_chrome_trace(self.path)
