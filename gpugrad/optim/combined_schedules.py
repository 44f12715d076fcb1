"""Schedules made of schedules: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from ..errors import ArgumentError
from .optimizer import Optimizer
from .plateau import ReduceLROnPlateau
from .scheduler_base import LRScheduler, set_lr


class _Combined(LRScheduler):
    """Steps the schedules inside, whose numbers are part of its own."""

    _schedulers: list[LRScheduler]

    def state_dict(self) -> dict[str, Any]:
        """The numbers of this schedule and of each inside."""
        state = {k: v for k, v in self.__dict__.items() if k not in ("optimizer", "_schedulers")}
        return {**state, "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where another one of the same schedules stood."""
        own = dict(state_dict)
        for scheduler, state in zip(self._schedulers, own.pop("_schedulers"), strict=True):
            scheduler.load_state_dict(state)
        self.__dict__.update(own)

    def _rewind(self) -> None:
        for scheduler in self._schedulers:
            scheduler._rewind()


class SequentialLR(_Combined):
    """One schedule after the other: schedulers[i] runs from milestones[i-1] to milestones[i].

    Warm-up and cosine:  SequentialLR(opt, [LinearLR(opt, 0.01, total_iters=5),
    CosineAnnealingLR(opt, 95)], milestones=[5]).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        _check("SequentialLR", schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ArgumentError(
                f"SequentialLR: {len(schedulers)} schedulers need {len(schedulers) - 1} "
                f"milestones, got {len(milestones)}"
            )
        self.optimizer = optimizer
        self._schedulers, self._milestones = list(schedulers), list(milestones)
        self.last_epoch = last_epoch + 1
        self._step_count = 0
        for group in optimizer.param_groups:  # which every schedule has set when it was made
            set_lr(group, group["initial_lr"])
        self._rewind()
        self._begin()

    def _begin(self) -> None:
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._begin()
        self._last_lr = first.get_last_lr()

    def step(self, epoch: float | None = None) -> None:
        """Goes on by one; at a milestone the next schedule begins at its own epoch 0."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else int(epoch)
        index = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[index]
        if index > 0 and self._milestones[index - 1] == self.last_epoch:
            scheduler.restart()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def restart(self) -> None:
        """Goes to epoch 0 of the first schedule."""
        self.last_epoch = 0
        self._schedulers[0].restart()
        self._last_lr = self._schedulers[0].get_last_lr()


class ChainedScheduler(_Combined):
    """All schedules at once: each step of it is one of each, in order, so that factors multiply."""

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        if not schedulers:
            raise ArgumentError("ChainedScheduler: schedulers is empty")
        self.optimizer = optimizer or schedulers[0].optimizer
        _check("ChainedScheduler", schedulers, self.optimizer)
        self._schedulers = list(schedulers)
        self._last_lr = self._current()

    def _begin(self) -> None:
        for scheduler in self._schedulers:
            scheduler._begin()
        self._last_lr = self._current()

    def step(self, epoch: float | None = None) -> None:
        """Goes on by one with every schedule."""
        for scheduler in self._schedulers:
            scheduler.step(epoch)
        self._last_lr = self._current()

    def restart(self) -> None:
        """Goes to epoch 0 of all schedules."""
        for group in self.optimizer.param_groups:
            set_lr(group, group["initial_lr"])
        self._rewind_to_start()
        self._begin()

    def _rewind_to_start(self) -> None:
        for scheduler in self._schedulers:
            scheduler.last_epoch = -1


def _check(name: str, schedulers: Sequence[LRScheduler], optimizer: Optimizer) -> None:
    if not schedulers:
        raise ArgumentError(f"{name}: schedulers is empty")
    for i, scheduler in enumerate(schedulers):
        if not isinstance(scheduler, LRScheduler):
            raise TypeError(f"{name}: schedulers[{i}], a {type(scheduler).__name__}, is none")
        if isinstance(scheduler, ReduceLROnPlateau):
            raise ArgumentError(
                f"{name}: schedulers[{i}] is a ReduceLROnPlateau, whose step needs a metric; step "
                "it by itself"
            )
        if scheduler.optimizer is not optimizer:
            raise ArgumentError(
                f"{name}: every scheduler must be of the given optimizer; schedulers[{i}], a "
                f"{type(scheduler).__name__}, is of another {type(scheduler.optimizer).__name__}"
            )
