"""Parts that listen to a Trainer, in the spirit of Chainer's extensions. Each does one thing."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpugrad.errors import ArgumentError, NonFiniteError
from gpugrad.train.evaluate import evaluate

if TYPE_CHECKING:
    from gpugrad.train.trainer import Trainer


class Hook:
    """Override what you need. Hooks are called in the order they were given to the Trainer."""

    def on_start(self, trainer: Trainer) -> None:
        """Before the first epoch."""

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Before the first step of an epoch; `trainer.epoch` counts from 1."""

    def on_step_end(self, trainer: Trainer) -> None:
        """After a step. The loss is still on the device: do not read it here."""

    def on_read(self, trainer: Trainer, first_step: int, losses: np.ndarray[Any, Any]) -> None:
        """The losses of steps first_step, first_step + 1, ... have come to the host."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """After an epoch; `trainer.log` holds its numbers, and may be added to."""

    def on_end(self, trainer: Trainer) -> None:
        """When training ends, also by an exception."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the hook."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the state of a checkpoint."""


class StopOnNonFinite(Hook):
    """Raises NonFiniteError, naming the step, when a loss is NaN or infinite."""

    def on_read(self, trainer: Trainer, first_step: int, losses: np.ndarray[Any, Any]) -> None:
        wrong = np.flatnonzero(~np.isfinite(losses))
        if wrong.size:
            at = int(wrong[0])
            raise NonFiniteError(
                non_finite_text(float(losses[at]), f"at step {first_step + at}", trainer)
            )


def non_finite_text(loss: float, where: str, trainer: Trainer) -> str:
    """What to say about a loss that is not finite."""
    return (
        f"train: the loss became {loss} {where} (epoch {trainer.epoch}), with learning rate "
        f"{trainer.lr:g}.\n"
        f"  Try a smaller one (--lr {trainer.lr / 10:g}), clip gradients "
        "(nn.utils.clip_grad_norm_), or look for NaN in the data. `with gg.detect_nan():` names "
        "the first operation that makes one."
    )


class Evaluate(Hook):
    """After each epoch: loss and metrics on another loader, as test_loss, test_accuracy, ..."""

    def __init__(self, loader: Iterable[Any], prefix: str = "test_") -> None:
        self.loader = loader
        self.prefix = prefix

    def on_epoch_end(self, trainer: Trainer) -> None:
        found = evaluate(trainer.model, self.loader, trainer.loss, trainer.metrics)
        if not math.isfinite(found["loss"]):
            text = non_finite_text(found["loss"], "on the test set", trainer)
            raise NonFiniteError(text)
        trainer.log.update({self.prefix + name: value for name, value in found.items()})


class Schedule(Hook):
    """Steps a learning-rate schedule after each "epoch" or "step"."""

    def __init__(self, scheduler: Any, each: str = "epoch") -> None:
        if each not in ("epoch", "step"):
            raise ArgumentError(f'Schedule: each = {each!r}; it must be "epoch" or "step".')
        self.scheduler = scheduler
        self.each = each

    def on_step_end(self, trainer: Trainer) -> None:
        if self.each == "step":
            self.scheduler.step()

    def on_epoch_end(self, trainer: Trainer) -> None:
        if self.each == "epoch":
            self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        return dict(self.scheduler.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scheduler.load_state_dict(state)


class JsonLog(Hook):
    """Appends `trainer.log` to a file after each epoch, one JSON object a line."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def on_epoch_end(self, trainer: Trainer) -> None:
        with open(self.path, "a") as file:
            file.write(json.dumps(trainer.log) + "\n")
