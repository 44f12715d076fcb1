"""Recipes: how a model is trained on a data set of images, unless the user says otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpugrad import optim
from gpugrad.data.dataset import TensorDataset
from gpugrad.errors import ArgumentError
from gpugrad.nn import Module
from gpugrad.nn import functional as F
from gpugrad.tensor import Tensor
from gpugrad.train.evaluate import Metric, accuracy, evaluate
from gpugrad.train.hooks import Hook, Schedule
from gpugrad.train.schedules import Triangle

if TYPE_CHECKING:
    from gpugrad.device import Device
    from gpugrad.train.job import Options
    from gpugrad.train.loaders import Batches

OPTIMIZERS: dict[str, tuple[type[optim.Optimizer], dict[str, Any]]] = {
    "adam": (optim.Adam, {"lr": 1e-3}),
    "adamw": (optim.AdamW, {"lr": 1e-3}),
    "rmsprop": (optim.RMSprop, {"lr": 1e-3}),
    "sgd": (optim.SGD, {"lr": 0.05, "momentum": 0.9}),
    "adagrad": (optim.Adagrad, {"lr": 1e-2}),
    "adadelta": (optim.Adadelta, {"lr": 1.0}),
    "adamax": (optim.Adamax, {"lr": 2e-3}),
    "nadam": (optim.NAdam, {"lr": 1e-3}),
    "radam": (optim.RAdam, {"lr": 1e-3}),
    "lion": (optim.Lion, {"lr": 2e-4}),
    "lamb": (optim.LAMB, {"lr": 5e-3}),
}
SCHEDULES = ("cosine", "constant", "triangle")


@dataclass(frozen=True)
class ImageData:
    """A data set of images with labels, as the jobs use it.

    load: (folder or None, train, device) -> TensorDataset of images (n, c, h, w) and int64 (n,).
    normalised: a batch of its images -> float32 of about zero mean and unit variance.
    pixels: a batch of its images -> float32 in [0, 1].
    """

    name: str
    classes: tuple[str, ...]
    load: Callable[[str | None, bool, Device], TensorDataset]
    normalised: Callable[[Tensor], Tensor]
    pixels: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Recipe:
    """Classification by cross entropy; the numbers are what the command line leaves open.

    config: arguments of the model.
    settings: optimizer name -> arguments, over those of OPTIMIZERS.
    schedule: "constant"; "cosine" from lr to 0, a step down after each epoch (Loshchilov & Hutter
        2017); or "triangle", up and down by the step (schedules.Triangle).
    augment: changes training batches of images, as the data set has them, on their device.
    drop_last: leave out the last, smaller batch of an epoch.
    precision: of float32 matrix products and convolutions on a GPU (gg.set_matmul_precision); or
        "bf16" or "fp16", the half type of gg.autocast.
    triangle: arguments of the triangle, such as start=0, peak=0.1, end=0: warm-up, then down to 0.
    clip: the largest norm of all gradients together; None leaves them.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = 10
    batch_size: int = 128
    optimizer: str = "adam"
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    schedule: str = "cosine"
    label_smoothing: float = 0.0
    augment: Callable[[Tensor], Tensor] | None = None
    drop_last: bool = False
    precision: str = "high"
    triangle: Mapping[str, float] = field(default_factory=dict)
    clip: float | None = None

    def metrics(self) -> dict[str, Metric]:
        """Beside the loss, by name."""
        return {"accuracy": accuracy}

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The batch's mean loss."""
        if not isinstance(prediction, Tensor):
            raise ArgumentError(
                f"train: the model gives {type(prediction).__name__} in training, not logits.\n"
                "  Switch its further results off, as --config aux_logits=False does."
            )
        return F.cross_entropy(prediction, target, label_smoothing=self.label_smoothing)

    def batch(
        self, data: ImageData, x: Tensor, label: Tensor, training: bool
    ) -> tuple[Tensor, Tensor]:
        """(input, target) of a batch of the data set."""
        if training and self.augment is not None:
            x = self.augment(x)
        return data.normalised(x), label

    def prepare(self, model: Module, data: ImageData, train_set: TensorDataset) -> None:
        """Initial values that depend on the training set."""

    def make_optimizer(self, options: Options, model: Module) -> optim.Optimizer:
        """The optimizer by name, with the options that were given."""
        kind, arguments = self.optimizer_arguments(options)
        return kind(model.parameters(), **arguments)

    def optimizer_arguments(self, options: Options) -> tuple[type[optim.Optimizer], dict[str, Any]]:
        """Class and arguments: OPTIMIZERS, then the recipe's, then those that were given."""
        name = options.optimizer or self.optimizer
        if name not in OPTIMIZERS:
            known = ", ".join(OPTIMIZERS)
            raise ArgumentError(f"there is no optimizer {name!r}; known are {known}.")
        kind, arguments = OPTIMIZERS[name]
        given = {"lr": options.lr, "weight_decay": options.weight_decay}
        given = {name: value for name, value in given.items() if value is not None}
        return kind, {**arguments, **self.settings.get(name, {}), **given}

    def make_schedule(
        self, options: Options, optimizer: optim.Optimizer, steps: int
    ) -> Schedule | None:
        """The hook of the learning rate; `steps` are those of an epoch."""
        name, epochs = options.schedule or self.schedule, options.epochs or self.epochs
        if name not in SCHEDULES:
            raise ArgumentError(f"there is no schedule {name!r}; known are {', '.join(SCHEDULES)}.")
        if name == "cosine":
            return Schedule(optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs))
        if name == "triangle":
            return Schedule(Triangle(optimizer, epochs * steps, **self.triangle), "step")
        return None

    def hooks(self, model: Module, train_set: TensorDataset, steps: int) -> list[Hook]:
        """More of them; `steps` are those of the whole training."""
        return []

    def score(self, model: Module, test: Batches, log: dict[str, float]) -> dict[str, float]:
        """What the training reached: one name and number, kept in the model file."""
        return {"test_accuracy": log["test_accuracy"]}

    def report(self, score: dict[str, float], model: Module, test: Batches, output: Path) -> str:
        """The last line; other results are written and named before it."""
        return f"test accuracy {100 * score['test_accuracy']:.2f} %"


def final_accuracy(model: Module, test: Batches) -> dict[str, float]:
    """Of a model on the test set, as `Recipe.score` gives it."""
    found = evaluate(model, test, F.cross_entropy, {"accuracy": accuracy})
    return {"test_accuracy": found["accuracy"]}
