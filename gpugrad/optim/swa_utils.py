"""Averages of weights: stochastic weight averaging (SWA) and exponential moving averages (EMA).

ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999), use_buffers=True)
... after each optimizer.step(): ema.update_parameters(model)
evaluate(ema)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from .. import nn
from ..autograd import no_grad
from ..creation import zeros
from ..dtype import int64
from ..errors import ArgumentError, ShapeError
from ..nn.norm import _BatchNorm
from ..tensor import Tensor
from .optimizer import Optimizer
from .scheduler_base import LRScheduler, check_optimizer, per_group

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

Average: TypeAlias = Callable[[Tensor, Tensor, Any], Tensor]
"""(average, value, how many are averaged) -> new average."""

MultiAverage: TypeAlias = Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]
"""The same for lists, in place."""


def _check_decay(name: str, decay: float) -> None:
    if not 0 <= decay <= 1:
        raise ArgumentError(f"{name}(decay={decay}): must be between 0 and 1")


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """average = decay average + (1 - decay) value."""
    _check_decay("get_ema_avg_fn", decay)

    def ema_update(ema_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        with no_grad():
            return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> Average:
    """average = average + (value - average) / (n + 1): the mean of all."""

    def swa_update(averaged_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        with no_grad():
            return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """average = decay average + (1 - decay) value, for lists, in place."""
    _check_decay("get_ema_multi_avg_fn", decay)

    def ema_update(
        ema_param_list: Sequence[Tensor], current_param_list: Sequence[Tensor], _: Any
    ) -> None:
        with no_grad():
            for average, value in zip(ema_param_list, current_param_list, strict=True):
                if average.is_floating_point():
                    average.lerp_(value, 1 - decay)
                else:
                    average.copy_(average * decay + value * (1 - decay))

    return ema_update


def get_swa_multi_avg_fn() -> MultiAverage:
    """average = average + (value - average) / (n + 1), for lists, in place."""

    def swa_update(
        averaged_param_list: Sequence[Tensor],
        current_param_list: Sequence[Tensor],
        num_averaged: Any,
    ) -> None:
        with no_grad():
            for average, value in zip(averaged_param_list, current_param_list, strict=True):
                average.copy_(average + (value - average) / (num_averaged + 1))

    return swa_update


class AveragedModel(nn.Module):
    """A copy of a model whose parameters are averages of the model's.

    update_parameters(model) takes them in: the first time as they are, then by avg_fn or
    multi_avg_fn (the mean of all, unless given). use_buffers: average the buffers too; otherwise
    they are copied, and `update_bn` computes the statistics of batch norms anew. The module inside
    is `module`; n_averaged (int64, shape ()) counts. (Izmailov et al. 2018.)
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: nn.Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: MultiAverage | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ArgumentError("AveragedModel: give avg_fn or multi_avg_fn, not both")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        else:
            first = next(iter([*model.parameters(), *model.buffers()]), None)
            device = None if first is None else first.device
        self.register_buffer("n_averaged", zeros((), dtype=int64, device=device))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers
        self._averaged: list[Any] = []  # count, and the state of n_averaged that it was read in

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: nn.Module) -> None:
        """Takes the model's parameters into the averages. Raises ShapeError if it has others."""
        own, given = self._tensors(self.module), self._tensors(model)
        shapes = [[tuple(t.shape) for t in each] for each in (own, given)]
        if shapes[0] != shapes[1]:
            raise ShapeError(
                "AveragedModel.update_parameters: the model's parameters have shapes "
                f"{shapes[1]}, those averaged {shapes[0]}"
            )
        with no_grad():
            values = [t.detach().to(average.device) for average, t in zip(own, given, strict=True)]
            averages = [t.detach() for t in own]
            count = self._count()
            if count == 0:
                for average, value in zip(averages, values, strict=True):
                    average.copy_(value)
            else:
                self._average(averages, values, count)
            if not self.use_buffers:
                for buffer, other in zip(self.module.buffers(), model.buffers(), strict=True):
                    buffer.copy_(other.detach())
            self.n_averaged.add_(1)
            self._averaged = [count + 1, id(self.n_averaged), self.n_averaged._counter.version]

    def _count(self) -> int:
        """n_averaged, read from its device only where it was changed from outside."""
        state = [id(self.n_averaged), self.n_averaged._counter.version]
        if self._averaged[1:] != state:
            self._averaged = [int(self.n_averaged.item()), *state]
        return int(self._averaged[0])

    def _tensors(self, model: nn.Module) -> list[Tensor]:
        return [*model.parameters(), *(model.buffers() if self.use_buffers else ())]

    def _average(self, averages: list[Tensor], values: list[Tensor], count: int) -> None:
        if self.avg_fn is not None:
            for average, value in zip(averages, values, strict=True):
                average.copy_(self.avg_fn(average, value, count))
            return
        update = self.multi_avg_fn or get_swa_multi_avg_fn()
        kinds: dict[Any, tuple[list[Tensor], list[Tensor]]] = {}
        for average, value in zip(averages, values, strict=True):
            lists = kinds.setdefault((average.device, average.dtype), ([], []))
            lists[0].append(average)
            lists[1].append(value)
        for own, given in kinds.values():
            update(own, given, count)


def update_bn(loader: Iterable[Any], model: nn.Module, device: Any = None) -> None:
    """Computes the running statistics of the model's batch norms anew, over all batches.

    loader: batches, each a tensor or a list whose first element is the input. device: where to
    move the inputs first.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    if not norms:
        return
    before = [norm.momentum for norm in norms]
    training = model.training
    model.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    try:
        with no_grad():
            for batch in loader:
                x = batch[0] if isinstance(batch, (list, tuple)) else batch
                model(x if device is None else x.to(device))
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
        model.train(training)


class SWALR(LRScheduler):
    """From each group's lr to swa_lr in anneal_epochs, along a cosine or a line; then constant."""

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | Sequence[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        check_optimizer("SWALR", optimizer)
        rates = per_group("SWALR", optimizer, "swa_lr", swa_lr)
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(f"SWALR(anneal_strategy={anneal_strategy!r}): 'cos' or 'linear'")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ArgumentError(f"SWALR(anneal_epochs={anneal_epochs!r}): an integer of at least 0")
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = rate
        self.anneal_epochs, self._anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """Of swa_lr in the rate, after so many steps."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self) -> list[float]:
        """Goes on from the groups' lr: what the other share was is found again from it."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group, lr in zip(self.optimizer.param_groups, self._current(), strict=True):
            end = group["swa_lr"]
            start = end if before == 1 else (lr - before * end) / (1 - before)
            rates.append(end * now + start * (1 - now))
        return rates
