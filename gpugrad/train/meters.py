"""Averages over many steps that do not make the host wait for the device at each."""

from __future__ import annotations

from typing import Any

import numpy as np

import gpugrad as gg
from gpugrad.tensor import Tensor


class Mean:
    """A weighted mean of numbers that stay on the device until they are read, many at once.

    `update` only keeps the tensor (detached, so no graph is held). `read` brings all that are
    waiting to the host by one copy and adds them in float64, in order.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._waiting: list[Tensor] = []
        self._scales: list[float] = []
        self._total = 0.0
        self.count = 0

    def update(self, value: Tensor, count: int = 1, *, summed: bool = False) -> None:
        """Add a tensor of shape (): a mean over `count` items, or their sum if `summed`."""
        self._waiting.append(value.detach())
        self._scales.append(1 if summed else count)
        self.count += count

    @property
    def waiting(self) -> int:
        """How many values have not been read."""
        return len(self._waiting)

    def read(self) -> np.ndarray[Any, Any]:
        """The values not read before, as float64 (k,). Waits for the device."""
        if not self._waiting:
            return np.empty(0)
        values = gg.stack(self._waiting).numpy().astype(np.float64)
        for value, scale in zip(values.tolist(), self._scales, strict=True):
            self._total += value * scale
        self._waiting, self._scales = [], []
        return values

    def value(self) -> float:
        """The mean so far; NaN when there is nothing. Waits for the device."""
        self.read()
        return self._total / self.count if self.count else float("nan")
