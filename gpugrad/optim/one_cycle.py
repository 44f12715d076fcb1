"""OneCycleLR: one rise and one long fall of the learning rate, momentum the other way."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from ..errors import ArgumentError
from .optimizer import Optimizer
from .scheduler_base import LRScheduler, check_optimizer, per_group, set_momentum, uses_betas


class OneCycleLR(LRScheduler):
    """One rise to max_lr and one long fall, counted in batches (Smith & Topin 2017).

    initial = max_lr / div_factor, end = initial / final_div_factor. Call `step()` after each batch;
    the length is total_steps or epochs * steps_per_epoch. pct_start: the part spent rising.
    cycle_momentum: momentum (beta1 of Adam) goes the other way, max -> base -> max.
    three_phase: fall back to the initial rate in a phase as long as the rise, then to the end.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer("OneCycleLR", optimizer)
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(
                f"OneCycleLR(anneal_strategy={anneal_strategy!r}): 'cos' or 'linear'"
            )
        if not (isinstance(pct_start, float) and 0 <= pct_start <= 1):
            raise ArgumentError(f"OneCycleLR(pct_start={pct_start}): a float from 0 to 1")
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        self.anneal_strategy, self.three_phase = anneal_strategy, three_phase
        up = float(pct_start * self.total_steps) - 1
        self._ends = [up, self.total_steps - 1]
        if three_phase:
            self._ends = [up, float(2 * pct_start * self.total_steps) - 2, self.total_steps - 1]
        self.cycle_momentum = cycle_momentum
        self._start(optimizer, max_lr, div_factor, final_div_factor, last_epoch)
        if cycle_momentum:
            self._start_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def _start(
        self, optimizer: Optimizer, max_lr: Any, div: float, final_div: float, last_epoch: int
    ) -> None:
        if last_epoch != -1:
            return
        tops = per_group("OneCycleLR", optimizer, "max_lr", max_lr)
        for group, top in zip(optimizer.param_groups, tops, strict=True):
            group["initial_lr"] = top / div
            group["max_lr"] = top
            group["min_lr"] = group["initial_lr"] / final_div

    def _start_momentum(self, optimizer: Optimizer, base: Any, top: Any, last_epoch: int) -> None:
        self._uses_betas = uses_betas("OneCycleLR", optimizer)
        if last_epoch != -1:
            return
        low = per_group("OneCycleLR", optimizer, "base_momentum", base)
        high = per_group("OneCycleLR", optimizer, "max_momentum", top)
        for group, small, large in zip(optimizer.param_groups, low, high, strict=True):
            set_momentum(group, self._uses_betas, large)
            group["base_momentum"], group["max_momentum"] = small, large

    def _anneal(self, start: float, end: float, part: float) -> float:
        if self.anneal_strategy == "linear":
            return (end - start) * part + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * part) + 1)

    def _phase(self, step: int) -> tuple[int, float]:
        """Which phase a step is in, and how far it has gone there (0 to 1)."""
        i = min(bisect_left(self._ends, step), len(self._ends) - 1)
        start, end = self._ends[i - 1] if i else 0.0, self._ends[i]
        return i, (step - start) / (end - start) if end != start else 1.0

    def get_lr(self) -> list[float]:
        if self.last_epoch > self.total_steps:
            raise ArgumentError(
                f"OneCycleLR.step(): called {self.last_epoch + 1} times, but total_steps is "
                f"{self.total_steps}. Count batches of all epochs when making the schedule."
            )
        i, part = self._phase(self.last_epoch)
        rates = []
        for group in self.optimizer.param_groups:
            keys = ["initial_lr", "max_lr", "min_lr"]
            if self.three_phase:
                keys.insert(2, "initial_lr")
            rates.append(self._anneal(group[keys[i]], group[keys[i + 1]], part))
            if self.cycle_momentum:
                high, low = group["max_momentum"], group["base_momentum"]
                path = [high, low, high, high]
                momentum = self._anneal(path[i], path[i + 1], part)
                set_momentum(group, self._uses_betas, momentum)
        return rates


def _total_steps(total: int | None, epochs: int | None, per_epoch: int | None) -> int:
    if total is None:
        if epochs is None or per_epoch is None:
            raise ArgumentError("OneCycleLR: give total_steps, or both epochs and steps_per_epoch")
        total = epochs * per_epoch
    if not isinstance(total, int) or total < 1:
        raise ArgumentError(f"OneCycleLR: the number of steps must be a positive int, got {total}")
    return total
