"""Learning-rate schedules. Each `step()` writes new values into `group["lr"]` of its optimizer.

Call `scheduler.step()` after `optimizer.step()`. The values follow PyTorch's recursive forms, so
several schedules on one optimizer multiply, and a changed `group["lr"]` is carried on from.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable

from ..errors import ArgumentError
from .combined_schedules import ChainedScheduler, SequentialLR
from .cyclic import CosineAnnealingWarmRestarts, CyclicLR
from .one_cycle import OneCycleLR
from .optimizer import Optimizer
from .plateau import ReduceLROnPlateau
from .scheduler_base import FunctionSchedule, LRScheduler

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]


_LRScheduler = LRScheduler  # the name that schedules of users were derived from for long


class LambdaLR(FunctionSchedule):
    """lr = initial_lr * lr_lambda(epoch); one function, or a list with one for each group."""

    def get_lr(self) -> list[float]:
        return [base * f for base, f in zip(self.base_lrs, self._factors(), strict=True)]


class MultiplicativeLR(FunctionSchedule):
    """lr *= lr_lambda(epoch), from epoch 1; one function, or a list with one for each group."""

    def get_lr(self) -> list[float]:
        if self._initial:
            return self._current()
        return [lr * f for lr, f in zip(self._current(), self._factors(), strict=True)]

    def restart(self) -> None:
        """Goes to epoch 0, and multiplies the learning rates there are by its factor."""
        self.last_epoch = 0
        self._set(self.get_lr())


class StepLR(LRScheduler):
    """lr *= gamma every step_size epochs."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        if step_size < 1:
            raise ArgumentError(f"StepLR(step_size={step_size}): must be at least 1")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        due = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return self._scaled(self.gamma) if due else self._current()

    def _closed_form(self) -> list[float]:
        return [base * self.gamma ** (self.last_epoch // self.step_size) for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    """lr *= gamma at each of the milestones (an epoch named twice counts twice)."""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        times = self.milestones.count(self.last_epoch)
        return self._scaled(self.gamma**times) if times else self._current()

    def _closed_form(self) -> list[float]:
        return [
            base * self.gamma ** bisect_right(self.milestones, self.last_epoch)
            for base in self.base_lrs
        ]


class ConstantLR(LRScheduler):
    """lr = initial_lr * factor for the first total_iters epochs, then initial_lr."""

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 <= factor <= 1:
            raise ArgumentError(f"ConstantLR(factor={factor}): must be between 0 and 1")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self._scaled(self.factor)
        if self.last_epoch == self.total_iters:
            return self._scaled(1.0 / self.factor) if self.factor else list(self.base_lrs)
        return self._current()

    def _closed_form(self) -> list[float]:
        factor = 1.0 if self.last_epoch >= self.total_iters else self.factor
        return [base * factor for base in self.base_lrs]


class LinearLR(LRScheduler):
    """lr = initial_lr * f, with f going straight from start_factor to end_factor in total_iters.

    With start_factor < 1 this is the usual warm-up; see SequentialLR for what follows it.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ArgumentError(f"LinearLR(start_factor={start_factor}): must be in (0, 1]")
        if not 0 <= end_factor <= 1:
            raise ArgumentError(f"LinearLR(end_factor={end_factor}): must be in [0, 1]")
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self._scaled(self.start_factor)
        if self._initial or self.last_epoch > self.total_iters:
            return self._current()
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return self._scaled(1.0 + rise / before)

    def _closed_form(self) -> list[float]:
        rise = self.end_factor - self.start_factor
        part = min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * (self.start_factor + rise * part) for base in self.base_lrs]


class ExponentialLR(LRScheduler):
    """lr *= gamma every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        begun = self.last_epoch > 0 and not self._initial
        return self._scaled(self.gamma) if begun else self._current()

    def _closed_form(self) -> list[float]:
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]


class PolynomialLR(LRScheduler):
    """lr = initial_lr (1 - epoch / total_iters)^power until epoch total_iters, then 0."""

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        if total_iters < 1:
            raise ArgumentError(f"PolynomialLR(total_iters={total_iters}): must be at least 1")
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        n, end = self.last_epoch, self.total_iters
        if self._initial or n == 0 or n > end:
            return self._current()
        return self._scaled(((1.0 - n / end) / (1.0 - (n - 1) / end)) ** self.power)

    def _closed_form(self) -> list[float]:
        left = 1.0 - min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * left**self.power for base in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (initial_lr - eta_min) (1 + cos(pi epoch / T_max)) / 2.

    Falls for T_max epochs, then rises again. (Loshchilov & Hutter 2017, without restarts.)
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        if T_max < 1:
            raise ArgumentError(f"CosineAnnealingLR(T_max={T_max}): must be at least 1")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        n, end = self.last_epoch, self.T_max
        if self._initial or n == 0:
            return self._current()
        if (n - 1 - end) % (2 * end) == 0:  # leaving the bottom, where the ratio below is 0 / 0
            rise = (1 - math.cos(math.pi / end)) / 2
            return [
                lr + (base - self.eta_min) * rise
                for lr, base in zip(self._current(), self.base_lrs, strict=True)
            ]
        ratio = (1 + math.cos(math.pi * n / end)) / (1 + math.cos(math.pi * (n - 1) / end))
        return [ratio * (lr - self.eta_min) + self.eta_min for lr in self._current()]

    def _closed_form(self) -> list[float]:
        high = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * high for base in self.base_lrs]
