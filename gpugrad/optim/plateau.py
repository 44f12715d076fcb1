"""ReduceLROnPlateau: a learning rate that falls when a metric stops getting better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..errors import ArgumentError
from .optimizer import Optimizer
from .scheduler_base import LRScheduler, check_optimizer, current_rates, per_group, set_lr


class ReduceLROnPlateau(LRScheduler):
    """lr = max(lr factor, min_lr) after more than `patience` epochs without a better metric.

    mode: whether a smaller ("min") or larger ("max") metric is better. It must be better than the
    best so far by `threshold`: as a share of it ("rel"), or as a number ("abs"). cooldown: epochs
    after a fall in which bad ones do not count. eps: smaller falls are left out.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        check_optimizer("ReduceLROnPlateau", optimizer)
        if factor >= 1:
            raise ArgumentError(f"ReduceLROnPlateau(factor={factor}): must be below 1")
        if mode not in ("min", "max"):
            raise ArgumentError(f"ReduceLROnPlateau(mode={mode!r}): 'min' or 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ArgumentError(
                f"ReduceLROnPlateau(threshold_mode={threshold_mode!r}): 'rel' or 'abs'"
            )
        self.optimizer = optimizer
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        one = isinstance(min_lr, (int, float))
        self.default_min_lr: Any = min_lr if one else None
        self.min_lrs = per_group("ReduceLROnPlateau", optimizer, "min_lr", min_lr)
        self._last_lr = self._current()
        self.restart()

    def restart(self) -> None:
        """Forgets the metrics seen; the learning rates stay."""
        self.last_epoch = self.cooldown_counter = self.num_bad_epochs = 0
        self.best = math.inf if self.mode == "min" else -math.inf

    @property
    def in_cooldown(self) -> bool:
        """Whether bad epochs do not count now."""
        return self.cooldown_counter > 0

    def step(  # type: ignore[override]
        self, metrics: Any = None, epoch: float | None = None
    ) -> None:
        """Takes the metric of one more epoch: a number, or a tensor of one element."""
        if metrics is None:
            raise TypeError("ReduceLROnPlateau.step(metrics): give the metric, e.g. the loss")
        value = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else int(epoch)
        if self._is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = self._current()

    def _is_better(self, value: float) -> bool:
        sign = -1 if self.mode == "min" else 1
        if self.threshold_mode == "rel":
            edge = self.best * (1 + sign * self.threshold)
        else:
            edge = self.best + sign * self.threshold
        return value < edge if self.mode == "min" else value > edge

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise ArgumentError(
                    f"ReduceLROnPlateau: the optimizer has {len(groups)} parameter groups now, and "
                    f"min_lr has {len(self.min_lrs)} values; write one for each into min_lrs"
                )
            self.min_lrs = [float(self.default_min_lr)] * len(groups)
        rates = current_rates(self.optimizer)
        for group, old, least in zip(groups, rates, self.min_lrs, strict=True):
            new = max(old * self.factor, least)
            if old - new > self.eps:
                set_lr(group, new)
