"""Schedules in cycles: CyclicLR and CosineAnnealingWarmRestarts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ArgumentError
from .optimizer import Optimizer
from .scheduler_base import (
    LRScheduler,
    attributes,
    check_optimizer,
    per_group,
    set_lr,
    set_momentum,
    uses_betas,
)

MODES = ("triangular", "triangular2", "exp_range")


class CyclicLR(LRScheduler):
    """From base_lr up to max_lr in step_size_up steps, down in step_size_down (the same unless
    given), and again (Smith 2017). Call `step()` after each batch.

    mode: "triangular"; "triangular2", each cycle half as high as the one before; "exp_range", the
    height times gamma^step. scale_fn in its place: the height's factor as a function of the cycle
    (1, 2, ...) or of the step, by scale_mode "cycle" or "iterations". cycle_momentum: momentum
    (beta1 of Adam) goes the other way, from max_momentum down to base_momentum.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer("CyclicLR", optimizer)
        if mode not in MODES and scale_fn is None:
            raise ArgumentError(f"CyclicLR(mode={mode!r}): {', '.join(MODES)}, or give a scale_fn")
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up) + float(down)
        self.step_ratio = float(step_size_up) / self.total_size
        self.mode, self.gamma = mode, gamma
        self._scale_fn = scale_fn
        own = "iterations" if mode == "exp_range" else "cycle"
        self.scale_mode = own if scale_fn is None else scale_mode
        lows = per_group("CyclicLR", optimizer, "base_lr", base_lr)
        self.max_lrs = per_group("CyclicLR", optimizer, "max_lr", max_lr)
        if last_epoch == -1:
            for group, low in zip(optimizer.param_groups, lows, strict=True):
                set_lr(group, low)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._start_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lows

    def _start_momentum(self, optimizer: Optimizer, base: Any, top: Any, last_epoch: int) -> None:
        self.use_beta1 = uses_betas("CyclicLR", optimizer)
        self.base_momentums = per_group("CyclicLR", optimizer, "base_momentum", base)
        self.max_momentums = per_group("CyclicLR", optimizer, "max_momentum", top)
        if last_epoch != -1:
            return
        pairs = zip(self.base_momentums, self.max_momentums, strict=True)
        for group, (low, high) in zip(optimizer.param_groups, pairs, strict=True):
            set_momentum(group, self.use_beta1, high)
            group["base_momentum"], group["max_momentum"] = low, high

    def scale_fn(self, x: float) -> float:
        """The factor of the height in cycle (or step) x."""
        if self._scale_fn is not None:
            return self._scale_fn(x)
        if self.mode == "exp_range":
            return float(self.gamma**x)
        return 1 / 2.0 ** (x - 1) if self.mode == "triangular2" else 1.0

    def get_lr(self) -> list[float]:
        """Sets the momentum, too."""
        turns = self.last_epoch / self.total_size
        cycle = math.floor(1 + turns)
        x, ratio = 1.0 + turns - cycle, self.step_ratio
        height = x / ratio if x <= ratio else (x - 1) / (ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            pairs = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (low, high) in zip(self.optimizer.param_groups, pairs, strict=True):
                set_momentum(group, self.use_beta1, high - (high - low) * height * scale)
        return [
            low + (high - low) * height * scale
            for low, high in zip(self.base_lrs, self.max_lrs, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """All numbers of the schedule, and the attributes of a callable object."""
        state = super().state_dict()
        state["_scale_fn"] = None if self._scale_fn is None else attributes(self._scale_fn)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where another schedule of the same kind stood."""
        own = dict(state_dict)
        saved = own.pop("_scale_fn", None)
        if saved is not None and self._scale_fn is not None:
            self._scale_fn.__dict__.update(saved)
        super().load_state_dict(own)


class CosineAnnealingWarmRestarts(LRScheduler):
    """lr = eta_min + (initial_lr - eta_min) (1 + cos(pi T / T_i)) / 2, where T counts epochs since
    the last restart, and T_i is T_0 at first, and T_mult times as long from restart to restart.

    step(epoch) takes fractions: step(epoch + batch / batches) after each batch. (Loshchilov &
    Hutter 2017.)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            if not isinstance(value, int) or value < 1:
                raise ArgumentError(
                    f"CosineAnnealingWarmRestarts({name}={value!r}): an integer of at least 1"
                )
        if not isinstance(eta_min, (int, float)):
            raise ArgumentError(f"CosineAnnealingWarmRestarts(eta_min={eta_min!r}): a number")
        self.T_0, self.T_i, self.T_mult, self.eta_min = T_0, T_0, T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        high = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * high for base in self.base_lrs]

    def _go_to(self, epoch: float | None) -> None:
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        elif epoch < 0:
            raise ArgumentError(f"CosineAnnealingWarmRestarts.step({epoch}): must be at least 0")
        else:
            self.T_cur, self.T_i = self._place(epoch)
        self.last_epoch = math.floor(epoch)
        self._set(self.get_lr())

    def _place(self, epoch: float) -> tuple[float, int]:
        """(epochs since the restart before `epoch`, length of that cycle)."""
        length = self.T_0
        if self.T_mult == 1:
            return epoch % length, length
        while epoch >= length:
            epoch -= length
            length *= self.T_mult
        return epoch, length

    def restart(self) -> None:
        """Goes to epoch 0 and its learning rates."""
        self._go_to(0)
