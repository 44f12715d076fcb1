"""Random streams of a graph: every replay draws the numbers that an eager step would draw."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends import Array, Backend
from ..random import Generator


class RandomStream:
    """One generator's draws inside a graph.

    Kernels draw number base + call of a stream {seed, base} that lies on the device (csrc/ops.h).
    A graph repeats its calls, so it has a {seed, base} of its own, to whose base it adds the number
    of its draws when it ends. The host counts along, as eager steps do; only where the generator
    went on elsewhere, or was seeded, is {seed, base} written again.
    """

    def __init__(self, generator: Generator, backend: Backend) -> None:
        self.generator, self.backend = generator, backend
        self.first = generator._call
        self.draws = 0
        self._written = self._wanted()  # {seed, base} on the device
        self.state: Array = self._upload()

    def _wanted(self) -> tuple[int, int]:
        """{seed, base} from which call `first` is the generator's next draw."""
        made = self.generator
        return made._seed, made._base + made._call - self.first

    def _upload(self) -> Array:
        return self.backend.from_numpy(np.array(self._written, np.int64))

    def draw(self) -> tuple[Array, int]:
        """The state on the device, and the number of the next draw."""
        call = self.generator._call
        self.generator._call = call + 1
        return self.state, call

    def advance(self) -> None:
        """The last kernels of the graph: base += draws."""
        self.draws = self.generator._call - self.first
        if self.draws:
            kernels: Any = self.backend.kernels
            base = self.state[1:]
            kernels.copy(kernels.binary("add", base, self.draws), base)
        self.rewind()

    def rewind(self) -> None:
        """The generator stands where it stood before the recording."""
        self.generator._call = self.first

    def prepare(self) -> None:
        """Before a replay: the device holds where the generator stands."""
        wanted = self._wanted()
        if wanted != self._written:
            self._written = wanted
            self.backend.kernels.copy(self._upload(), self.state)

    def replayed(self) -> None:
        """After a replay: the host has counted its draws."""
        seed, base = self._written
        self._written = seed, base + self.draws
        self.generator._call += self.draws
