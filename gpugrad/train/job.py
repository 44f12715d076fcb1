"""What the main jobs have in common: options, a trainer put together, files checked beforehand."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gpugrad as gg
from gpugrad.backends.report import gpu_unused
from gpugrad.errors import ArgumentError, DataError
from gpugrad.train.checkpoint import Checkpoint, resume
from gpugrad.train.hooks import Hook, JsonLog, Schedule, StopOnNonFinite
from gpugrad.train.profiling import Profile
from gpugrad.train.trainer import Trainer

if TYPE_CHECKING:
    from gpugrad.nn import Module
    from gpugrad.train.recipe import Recipe


HALVES = {"bf16": gg.bfloat16, "fp16": gg.float16}
"""Precisions in which a model runs in a half type where that is safe (gg.autocast)."""


@dataclass
class Options:
    """What the command line gives. None takes what the recipe of the model says (Recipe).

    config: arguments of the model, over those of the recipe.
    data: folder of the data set; None takes GPUGRAD_DATA or, for MNIST, the package's copy.
    output: the model file; None makes a name of the data set's and the model's.
    capture: False launches kernels one by one, not as a CUDA graph (Trainer).
    profile: profile some steps, without a graph; the file of their trace, "" for none (Profile).
    """

    model: str
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    optimizer: str | None = None
    weight_decay: float | None = None
    schedule: str | None = None
    precision: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    device: str = "auto"
    seed: int = 0
    data: str | None = None
    output: str | None = None
    checkpoint: str | None = None
    resume: str | None = None
    log: str | None = None
    capture: bool | None = None
    profile: str | None = None


def begin(options: Options, *outputs: Path) -> Any:
    """Check what will be written, choose the device, seed random numbers; gives the backend."""
    for path in (*outputs, options.checkpoint, options.log, options.profile):
        if path:
            check_writable(Path(path))
    backend = gg.backends.get(options.device)
    if options.device == "auto" and gpu_unused():
        print("note: there is a GPU that gpugrad cannot use; `gpugrad doctor` says why", flush=True)
    gg.manual_seed(options.seed)
    return backend


def make_trainer(
    model: Module,
    recipe: Recipe,
    options: Options,
    steps: int,
    listening: Sequence[Hook],
    special: Sequence[Hook] = (),
) -> Trainer:
    """A trainer with the recipe's optimizer and schedule, and hooks in their order.

    steps: of an epoch. listening: evaluation and progress; special: the recipe's own, before them.
    """
    optimizer = recipe.make_optimizer(options, model)
    hooks: list[Hook] = [StopOnNonFinite(), *special, *listening]
    if options.log:
        hooks.append(JsonLog(options.log))
    if options.profile is not None:
        hooks.append(Profile(options.profile or None))
    schedule = recipe.make_schedule(options, optimizer, steps)
    if schedule:
        hooks.append(schedule)
    checkpoint = options.checkpoint or options.resume
    if checkpoint:
        hooks.append(Checkpoint(checkpoint))
    return Trainer(
        model,
        optimizer,
        recipe.loss,
        metrics=recipe.metrics(),
        hooks=hooks,
        clip=recipe.clip,
        autocast=HALVES.get(options.precision or recipe.precision),
        capture=options.capture if options.profile is None else False,
    )


def resume_planned(trainer: Trainer, options: Options) -> None:
    """Go on from options.resume, a checkpoint whose schedule was planned for as many epochs."""
    hooks = [hook for hook in trainer.hooks if isinstance(hook, Schedule)]
    planned = [hook.scheduler.T_max for hook in hooks]
    resume(trainer, options.resume or "")
    for hook, now in zip(hooks, planned, strict=True):
        before, epochs = hook.scheduler.T_max, options.epochs or 0
        if before != now:
            was = before * epochs // now
            raise ArgumentError(
                f"{options.resume}: its {_schedule_name(hook)} schedule was planned for "
                f"{was} epochs, not {epochs}.\n  Resume with --epochs {was}; only runs with "
                "--schedule constant can be made longer."
            )


def _schedule_name(hook: Schedule) -> str:
    return "cosine" if hook.each == "epoch" else "triangle"


@contextmanager
def matmul_precision(name: str) -> Iterator[None]:
    """This precision of float32 products meanwhile; the usual one beside a half type."""
    before = gg.get_matmul_precision()
    gg.set_matmul_precision("high" if name in HALVES else name)
    try:
        yield
    finally:
        gg.set_matmul_precision(before)


def check_writable(path: Path) -> None:
    """Raises DataError now, not after the training, when a file cannot be written later."""
    folder = path.parent
    if path.is_dir():
        raise DataError(f"{path}: is a folder.\n  Name a file in it.")
    if path.exists() and not path.is_file():  # a device, which would be replaced by a file
        raise DataError(f"{path}: is no regular file.\n  Name another one.")
    if not folder.is_dir():
        raise DataError(f"{path}: there is no folder {folder}.\n  Make it, or name another file.")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise DataError(f"{path}: cannot be written.\n  Check permissions, or name another file.")
