"""Checkpoints: stop after any epoch, go on later, and end with the same bits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gpugrad as gg
from gpugrad.errors import ArgumentError, DataError
from gpugrad.train.hooks import Hook

if TYPE_CHECKING:
    from gpugrad.train.trainer import Trainer

KIND = "gpugrad.checkpoint"


class Checkpoint(Hook):
    """Writes everything `resume` needs, after every `every` epochs and after the last.

    The file is replaced whole: it always holds a complete epoch, whatever interrupts. Give it as
    the last hook, so that what other hooks do at an epoch's end is in it.
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        if every < 1:
            raise ArgumentError(f"Checkpoint: every = {every}; it must be 1 or more.")
        self.path = Path(path)
        self.every = every

    def on_epoch_end(self, trainer: Trainer) -> None:
        if trainer.epoch % self.every == 0 or trainer.epoch == trainer.epochs:
            gg.save(_state(trainer), self.path)


def resume(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Put a trainer, made as the saved one was, into the state of a checkpoint.

    Model, optimizer, scaler of gradients, hooks, random generators and counters are restored, so
    `fit` goes on as if it had never stopped. Raises DataError when the file is no checkpoint or
    does not fit.
    """
    state = gg.load(path)
    if not isinstance(state, dict) or state.get("kind") != KIND:
        raise DataError(
            f"{path}: not a checkpoint.\n  Checkpoints are written by --checkpoint FILE or the "
            "Checkpoint hook; a model file holds too little to go on from."
        )
    hooks = _hooks_with_state(trainer)
    saved, found = list(state["hooks"]), list(hooks)
    if saved != found:
        raise DataError(
            f"{path}: has the state of the hooks {saved}, the trainer needs that of {found}.\n"
            "  Make the trainer as the saved one was."
        )
    trainer.model.load_state_dict(state["model"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    scaler = state.get("scaler")  # older files have none
    if scaler and trainer.scaler.is_enabled():
        trainer.scaler.load_state_dict(scaler)
    for name, hook in hooks.items():
        hook.load_state_dict(state["hooks"][name])
    for device in _devices(trainer):
        if device in state["random"]:
            gg.set_rng_state(state["random"][device], device=device)
    trainer.epoch, trainer.step, trainer.log = state["epoch"], state["step"], state["log"]


def _state(trainer: Trainer) -> dict[str, Any]:
    return {
        "kind": KIND,
        "epoch": trainer.epoch,
        "step": trainer.step,
        "log": dict(trainer.log),
        "model": dict(trainer.model.state_dict()),
        "optimizer": trainer.optimizer.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "hooks": {name: hook.state_dict() for name, hook in _hooks_with_state(trainer).items()},
        "random": {device: gg.get_rng_state(device=device) for device in _devices(trainer)},
    }


def _hooks_with_state(trainer: Trainer) -> dict[str, Hook]:
    """Those hooks by position among them and class; the others may differ after a resume."""
    kept = [hook for hook in trainer.hooks if hook.state_dict()]
    return {f"{i} {type(hook).__name__}": hook for i, hook in enumerate(kept)}


def _devices(trainer: Trainer) -> list[str]:
    """Where random numbers are drawn: the host, and wherever parameters lie."""
    return sorted({"cpu", *(str(each.device) for each in trainer.model.parameters())})
