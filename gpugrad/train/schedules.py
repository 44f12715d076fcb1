"""Learning-rate schedules of the recipes."""

from __future__ import annotations

import numpy as np

from gpugrad.optim import Optimizer
from gpugrad.optim.scheduler_base import LRScheduler


class Triangle(LRScheduler):
    """Linear from `start` lr up to lr at the share `peak` of T_max steps, then down to `end` lr.

    Counted in steps. The defaults are those of airbench94 (Jordan 2024).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,
        start: float = 0.2,
        peak: float = 0.23,
        end: float = 0.07,
    ) -> None:
        self.T_max = T_max
        self.corners = [0.0, float(int(peak * T_max)), float(T_max)]
        self.heights = [start, 1.0, end]
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        factor = float(np.interp(self.last_epoch, self.corners, self.heights))
        return [base * factor for base in self.base_lrs]
