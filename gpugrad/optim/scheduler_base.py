"""LRScheduler: what every learning-rate schedule has in common."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..errors import ArgumentError
from ..tensor import Tensor
from .optimizer import Group, Optimizer


class LRScheduler:
    """Base of all schedules: subclass it and write `get_lr`.

    optimizer: whose groups are scheduled; each group's lr at this moment is its `initial_lr`.
    last_epoch: -1 to begin; to go on from an earlier run, use state_dict instead.
    """

    _initial = False  # in the step that makes a schedule begin

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(type(self).__name__, optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", float(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{type(self).__name__}(last_epoch={last_epoch}): param_groups[{i}] has no "
                    "'initial_lr', which a resumed schedule starts from"
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self._last_lr: list[float] = []
        self._begin()

    def get_lr(self) -> list[float]:
        """The learning rates of `last_epoch`, one for each group. Subclasses write it.

        It may go on from those of the epoch before, which the groups hold.
        """
        raise NotImplementedError(f"{type(self).__name__} has no get_lr()")

    def _closed_form(self) -> list[float]:
        """The learning rates of `last_epoch` alone, where there is such a form."""
        return self.get_lr()

    def get_last_lr(self) -> list[float]:
        """The learning rates now in use, one for each group."""
        return self._last_lr

    def step(self, epoch: float | None = None) -> None:
        """Goes on by one epoch (or batch: whatever this schedule is counted in), or to `epoch`."""
        if self._step_count == 1 and self.optimizer.step_count == 0:
            warnings.warn(
                f"{type(self).__name__}.step() was called before optimizer.step(): the first "
                "learning rate is skipped. Call optimizer.step() first.",
                stacklevel=2,
            )
        self._step_count += 1
        self._go_to(epoch)

    def _go_to(self, epoch: float | None) -> None:
        if epoch is None:
            self.last_epoch += 1
            self._set(self.get_lr())
        else:
            self.last_epoch = int(epoch)
            self._set(self._closed_form())

    def restart(self) -> None:
        """Goes to epoch 0 and its learning rates, wherever the schedule stood."""
        self.last_epoch = 0
        self._set(self.base_lrs)
        self._set(self.get_lr())

    def _begin(self) -> None:
        """The first step, from the epoch before."""
        self._step_count, self._initial = 0, True
        try:
            self.step()
        finally:
            del self._initial

    def _rewind(self) -> None:
        """To before the first step, whose learning rates another schedule has replaced."""
        self.last_epoch -= 1

    def _set(self, rates: Iterable[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            set_lr(group, lr)
        self._last_lr = self._current()

    def _current(self) -> list[float]:
        return current_rates(self.optimizer)

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


class FunctionSchedule(LRScheduler):
    """Base of schedules by functions: one, or a list with one for each group.

    state_dict keeps the attributes of callable objects, and of plain functions nothing.
    """

    lr_lambdas: list[Callable[[int], float]]

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        name = type(self).__name__
        check_optimizer(name, optimizer)
        groups = len(optimizer.param_groups)
        many = isinstance(lr_lambda, (list, tuple))
        listed: list[Any] = list(lr_lambda) if many else [lr_lambda] * groups  # type: ignore[arg-type]
        if len(listed) != groups:
            raise ArgumentError(f"{name}: {len(listed)} functions for {groups} parameter groups")
        for function in listed:
            if not callable(function):
                raise TypeError(f"{name}(lr_lambda): {type(function).__name__} is no function")
        self.lr_lambdas = listed
        super().__init__(optimizer, last_epoch)

    def _factors(self) -> list[float]:
        return [function(self.last_epoch) for function in self.lr_lambdas]

    def state_dict(self) -> dict[str, Any]:
        """All numbers of the schedule, and the attributes of its callable objects."""
        return {**super().state_dict(), "lr_lambdas": [attributes(f) for f in self.lr_lambdas]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where another schedule of the same kind stood."""
        own = dict(state_dict)
        for function, state in zip(self.lr_lambdas, own.pop("lr_lambdas", []), strict=False):
            if state is not None:
                function.__dict__.update(state)
        super().load_state_dict(own)


def attributes(function: Any) -> dict[str, Any] | None:
    """Those of a callable object; None for a plain function, which has none to keep."""
    return None if isinstance(function, types.FunctionType) else dict(vars(function))


def check_optimizer(name: str, optimizer: Any) -> None:
    """Raises TypeError for anything else."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{name}(optimizer): {type(optimizer).__name__} is no Optimizer")


def set_lr(group: Group, lr: float) -> None:
    """Writes a group's learning rate; a tensor stays the same tensor."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr


def current_rates(optimizer: Optimizer) -> list[float]:
    """The groups' learning rates; waits for the device of those that are tensors."""
    rates = [group["lr"] for group in optimizer.param_groups]
    return [lr.item() if isinstance(lr, Tensor) else lr for lr in rates]


def per_group(schedule: str, optimizer: Optimizer, name: str, value: Any) -> list[float]:
    """`value` for each group, or its elements. Raises ArgumentError unless the counts agree."""
    groups = len(optimizer.param_groups)
    if isinstance(value, (list, tuple)):
        if len(value) != groups:
            raise ArgumentError(f"{schedule}({name}): {len(value)} values for {groups} groups")
        return list(value)
    return [value] * groups


def uses_betas(schedule: str, optimizer: Optimizer) -> bool:
    """Whether the optimizer's momentum is beta1. Raises ArgumentError if it has none."""
    if "betas" not in optimizer.defaults and "momentum" not in optimizer.defaults:
        raise ArgumentError(
            f"{schedule}(cycle_momentum=True): {type(optimizer).__name__} has neither momentum "
            "nor betas; pass cycle_momentum=False"
        )
    return "betas" in optimizer.defaults


def set_momentum(group: Group, betas: bool, value: float) -> None:
    """Writes a group's momentum, or beta1."""
    if betas:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value


def _has_function(value: Any) -> bool:
    return callable(value) or (isinstance(value, list) and any(callable(v) for v in value))
