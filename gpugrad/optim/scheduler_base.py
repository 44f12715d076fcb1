"""LRScheduler: what every learning-rate schedule has in common."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from .optimizer import Optimizer


class LRScheduler:
    """Base of all schedules: subclass it and write `get_lr`.

    optimizer: whose groups are scheduled; each group's lr at this moment is its `initial_lr`.
    last_epoch: -1 to begin; to go on from an earlier run, use state_dict instead.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{type(self).__name__}(optimizer): {type(optimizer).__name__} is no Optimizer"
            )
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{type(self).__name__}(last_epoch={last_epoch}): param_groups[{i}] has no "
                    "'initial_lr', which a resumed schedule starts from"
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self._last_lr: list[float] = []
        self.step()

    def get_lr(self) -> list[float]:
        """The learning rates of `last_epoch`, one for each group. Subclasses write it."""
        raise NotImplementedError(f"{type(self).__name__} has no get_lr()")

    def get_last_lr(self) -> list[float]:
        """The learning rates now in use, one for each group."""
        return self._last_lr

    def step(self) -> None:
        """Goes on by one epoch (or batch: whatever this schedule is counted in)."""
        if self._step_count == 1 and self.optimizer.step_count == 0:
            warnings.warn(
                f"{type(self).__name__}.step() was called before optimizer.step(): the first "
                "learning rate is skipped. Call optimizer.step() first.",
                stacklevel=2,
            )
        self._step_count += 1
        self.last_epoch += 1
        self._set(self.get_lr())

    def restart(self) -> None:
        """Goes to epoch 0 and its learning rates, wherever the schedule stood."""
        self.last_epoch = 0
        self._set(self.base_lrs)
        self._set(self.get_lr())

    def _set(self, rates: Iterable[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _current(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def _scaled(self, factor: float) -> list[float]:
        return [lr * factor for lr in self._current()]

    def state_dict(self) -> dict[str, Any]:
        """All numbers of the schedule; not the optimizer, and no functions."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer" and not _has_function(v)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where another schedule of the same kind stood.

        Load the optimizer's state too: it holds the learning rates themselves.
        """
        self.__dict__.update(state_dict)


def _has_function(value: Any) -> bool:
    return callable(value) or (isinstance(value, list) and any(callable(v) for v in value))
