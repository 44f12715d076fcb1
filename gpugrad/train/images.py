"""The main jobs: train a model on a data set of images, by a recipe and the user's options."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gpugrad as gg
from gpugrad import models
from gpugrad.backends.report import gpu_unused
from gpugrad.data.dataset import TensorDataset
from gpugrad.data.loader import DataLoader
from gpugrad.errors import ArgumentError, DataError
from gpugrad.models.registry import is_own
from gpugrad.nn import Module
from gpugrad.tensor import Tensor
from gpugrad.train.checkpoint import Checkpoint, resume
from gpugrad.train.hooks import Evaluate, Hook, JsonLog, Schedule, StopOnNonFinite
from gpugrad.train.loaders import Batches
from gpugrad.train.progress import Progress
from gpugrad.train.recipe import ImageData, Recipe
from gpugrad.train.trainer import Trainer

_TEST_BATCH = 500


@dataclass
class Options:
    """What the command line gives. None takes what the recipe of the model says (Recipe).

    config: arguments of the model, over those of the recipe.
    data: folder of the data set; None takes GPUGRAD_DATA or, for MNIST, the package's copy.
    output: the model file; None makes a name of the data set's and the model's.
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


def recipe_of(data: ImageData, recipes: Mapping[str, Recipe], model: str) -> Recipe:
    """The model's own; the plain one for a model that the user has registered.

    Raises ArgumentError for a model of gpugrad that this job does not train.
    """
    if model in recipes or not is_own(model):
        return recipes.get(model, Recipe())
    raise ArgumentError(
        f"train {data.name}: model {model!r} is not trained by this job.\n"
        f"  Known: {', '.join(sorted(recipes))}."
    )


def train_images(data: ImageData, recipes: Mapping[str, Recipe], options: Options) -> float:
    """Train, save the model, print its path and the score (the last line); gives the score.

    The score is the accuracy on the test set (of an autoencoder its error). The model file is
    written only when training ended well. Raises NonFiniteError when the loss does not stay
    finite, DataError and ArgumentError for unusable files and options.
    """
    recipe = recipe_of(data, recipes, options.model)
    output = Path(options.output or f"{data.name}-{options.model}.safetensors")
    options = replace(
        options,
        epochs=options.epochs or recipe.epochs,
        batch_size=options.batch_size or recipe.batch_size,
        output=str(output),
    )
    for path in (output, options.checkpoint, options.log):
        if path is not None:
            check_writable(Path(path))
    backend = gg.backends.get(options.device)
    if options.device == "auto" and gpu_unused():
        print("note: there is a GPU that gpugrad cannot use; `gpugrad doctor` says why", flush=True)
    gg.manual_seed(options.seed)
    model = models.create(options.model, **{**recipe.config, **options.config}).to(backend.device)
    with _precision(options.precision or recipe.precision):
        job = _Job(data, recipe, options, model)
        return job.run(output)


class _Job:
    """A training put together: loaders, trainer and hooks."""

    def __init__(self, data: ImageData, recipe: Recipe, options: Options, model: Module) -> None:
        self.data, self.recipe, self.options, self.model = data, recipe, options, model
        parameter = next(model.parameters())
        self.device, self.channels_last = parameter.device, parameter.backend.channels_last
        train_set, test_set = self._load(True), self._load(False)
        batch = options.batch_size or recipe.batch_size
        train = DataLoader(train_set, batch, shuffle=True, drop_last=recipe.drop_last)
        if len(train) == 0:
            raise DataError(
                f"{data.name}: {len(train_set)} training images do not fill one batch of {batch}.\n"
                "  Give a smaller --batch-size."
            )
        self.train_set = train_set
        self.train = Batches(train, self._change(training=True))
        self.test = Batches(DataLoader(test_set, _TEST_BATCH), self._change(training=False))
        recipe.prepare(model, data, train_set)
        self.trainer = self._trainer(len(train))

    def run(self, output: Path) -> float:
        """Train, save, report."""
        options = self.options
        if options.resume:
            self._resume()
        count = sum(each.numel() for each in self.model.parameters())
        text = f"training {options.model} ({count} parameters) on {self.device}"
        print(f"{text}, {len(self.train_set)} images", flush=True)
        log = self.trainer.fit(self.train, options.epochs or 0)
        score = self.recipe.score(self.model, self.test, log)
        info = {
            "data": self.data.name,
            "epochs": options.epochs,
            "seed": options.seed,
            **score,
            "gpugrad": gg.__version__,
        }
        models.save_model(output, self.model, self.data.classes, info)
        print(f"model saved to {output}")
        last_line = self.recipe.report(score, self.model, self.test, output)
        print(last_line, flush=True)
        return next(iter(score.values()))

    def _load(self, train: bool) -> TensorDataset:
        dataset = self.data.load(self.options.data, train, self.device)
        if len(dataset) == 0:
            part = "training" if train else "test"
            raise DataError(
                f"{self.data.name}: the {part} set has no images.\n  Give a folder with some."
            )
        return dataset

    def _change(self, training: bool) -> Any:
        def change(x: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
            x, target = self.recipe.batch(self.data, x, label, training)
            return (x.to(memory_format=gg.channels_last) if self.channels_last else x), target

        return change

    def _trainer(self, steps: int) -> Trainer:
        options, recipe = self.options, self.recipe
        optimizer = recipe.make_optimizer(options, self.model)
        hooks: list[Hook] = [StopOnNonFinite()]
        hooks += recipe.hooks(self.model, self.train_set, steps * (options.epochs or 0))
        hooks += [Evaluate(self.test), Progress(unit="images")]
        if options.log:
            hooks.append(JsonLog(options.log))
        schedule = recipe.make_schedule(options, optimizer, steps)
        if schedule:
            hooks.append(schedule)
        checkpoint = options.checkpoint or options.resume
        if checkpoint:
            hooks.append(Checkpoint(checkpoint))
        return Trainer(self.model, optimizer, recipe.loss, metrics=recipe.metrics(), hooks=hooks)

    def _resume(self) -> None:
        """Go on from a checkpoint whose schedule was planned for as many epochs."""
        hooks = [hook for hook in self.trainer.hooks if isinstance(hook, Schedule)]
        planned = [hook.scheduler.T_max for hook in hooks]
        resume(self.trainer, self.options.resume or "")
        for hook, now in zip(hooks, planned, strict=True):
            before, epochs = hook.scheduler.T_max, self.options.epochs or 0
            if before != now:
                was = before * epochs // now
                raise ArgumentError(
                    f"{self.options.resume}: its {_schedule_name(hook)} schedule was planned for "
                    f"{was} epochs, not {epochs}.\n  Resume with --epochs {was}; only runs with "
                    "--schedule constant can be made longer."
                )


def _schedule_name(hook: Schedule) -> str:
    return "cosine" if hook.each == "epoch" else "triangle"


@contextmanager
def _precision(name: str) -> Iterator[None]:
    """This precision of float32 products meanwhile."""
    before = gg.get_matmul_precision()
    gg.set_matmul_precision(name)
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
