"""The main job: `gpugrad train mnist`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gpugrad as gg
from gpugrad import models, optim
from gpugrad.backends.report import gpu_unused
from gpugrad.data.loader import DataLoader
from gpugrad.data.mnist import MNIST
from gpugrad.device import Device
from gpugrad.errors import ArgumentError, DataError
from gpugrad.nn import Module
from gpugrad.nn import functional as F
from gpugrad.train.checkpoint import Checkpoint, resume
from gpugrad.train.evaluate import accuracy
from gpugrad.train.hooks import Evaluate, Hook, JsonLog, Schedule, StopOnNonFinite
from gpugrad.train.progress import Progress
from gpugrad.train.trainer import Trainer

OPTIMIZERS: dict[str, tuple[type[optim.Optimizer], dict[str, Any]]] = {
    "adam": (optim.Adam, {"lr": 1e-3}),
    "adamw": (optim.AdamW, {"lr": 1e-3}),
    "rmsprop": (optim.RMSprop, {"lr": 1e-3}),
    "sgd": (optim.SGD, {"lr": 0.05, "momentum": 0.9}),
}
_TEST_BATCH = 1000


@dataclass
class Options:
    """What the command line gives. `lr` None takes the optimizer's own default above.

    schedule: "constant", or "cosine" from lr to 0, a step down after each epoch (Loshchilov &
    Hutter 2017): the last epochs then settle instead of jumping around the minimum.
    """

    model: str = "mlp"
    epochs: int = 10
    batch_size: int = 128
    lr: float | None = None
    optimizer: str = "adam"
    weight_decay: float | None = None
    schedule: str = "cosine"
    device: str = "auto"
    seed: int = 0
    data: str | None = None
    output: str | None = None
    checkpoint: str | None = None
    resume: str | None = None
    log: str | None = None

    @property
    def output_path(self) -> Path:
        """Where the model goes."""
        return Path(self.output or f"mnist-{self.model}.safetensors")


def train_mnist(options: Options) -> float:
    """Train, save the model, print its path and the test accuracy (the last line); gives it.

    The model file is written only when training ended well. Raises NonFiniteError when the loss
    does not stay finite, DataError and ArgumentError for unusable files and options.
    """
    for path in (options.output_path, options.checkpoint, options.log):
        if path is not None:
            check_writable(Path(path))
    device = gg.backends.get(options.device).device
    if options.device == "auto" and gpu_unused():
        print("note: there is a GPU that gpugrad cannot use; `gpugrad doctor` says why", flush=True)
    gg.manual_seed(options.seed)
    model = models.create(options.model).to(device)
    trainer, loader = _assemble(options, model, device)
    if options.resume:
        _resume(options, trainer)
    parameters = sum(each.numel() for each in model.parameters())
    print(
        f"training {options.model} ({parameters} parameters) on {device}, "
        f"{len(loader.dataset)} images",
        flush=True,
    )
    log = trainer.fit(loader, options.epochs)
    reached = log["test_accuracy"]
    info = {
        "data": "mnist",
        "epochs": options.epochs,
        "seed": options.seed,
        "test_accuracy": reached,
        "gpugrad": gg.__version__,
    }
    models.save_model(options.output_path, model, MNIST.classes, info)
    print(f"model saved to {options.output_path}")
    print(f"test accuracy {100 * reached:.1f} %", flush=True)
    return reached


def _resume(options: Options, trainer: Trainer) -> None:
    resume(trainer, options.resume or "")
    planned = [hook.scheduler.T_max for hook in trainer.hooks if isinstance(hook, Schedule)]
    if planned and planned[0] != options.epochs:
        raise ArgumentError(
            f"{options.resume}: its cosine schedule was planned for {planned[0]} epochs, not "
            f"{options.epochs}.\n  Resume with --epochs {planned[0]}; only runs with --schedule "
            "constant can be made longer."
        )


def _assemble(options: Options, model: Module, device: Device) -> tuple[Trainer, DataLoader]:
    """The trainer with its hooks, and the loader of the training set."""
    train_set = MNIST(options.data, train=True, device=device)
    test_set = MNIST(options.data, train=False, device=device)
    for name, dataset in (("training", train_set), ("test", test_set)):
        if len(dataset) == 0:
            raise DataError(f"MNIST: the {name} set has no images.\n  Give a folder with some.")
    hooks: list[Hook] = [StopOnNonFinite(), Evaluate(DataLoader(test_set, _TEST_BATCH))]
    hooks.append(Progress(unit="images"))
    if options.log:
        hooks.append(JsonLog(options.log))
    optimizer = make_optimizer(options, model)
    if options.schedule == "cosine":
        hooks.append(Schedule(optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs)))
    checkpoint = options.checkpoint or options.resume
    if checkpoint:
        hooks.append(Checkpoint(checkpoint))
    metrics = {"accuracy": accuracy}
    trainer = Trainer(model, optimizer, F.cross_entropy, metrics=metrics, hooks=hooks)
    return trainer, DataLoader(train_set, options.batch_size, shuffle=True)


def make_optimizer(options: Options, model: Module) -> optim.Optimizer:
    """The optimizer by name, with the options that were given."""
    if options.optimizer not in OPTIMIZERS:
        known = ", ".join(OPTIMIZERS)
        raise ArgumentError(f"there is no optimizer {options.optimizer!r}; known are {known}.")
    kind, arguments = OPTIMIZERS[options.optimizer]
    given = {"lr": options.lr, "weight_decay": options.weight_decay}
    arguments = arguments | {name: value for name, value in given.items() if value is not None}
    return kind(model.parameters(), **arguments)


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
