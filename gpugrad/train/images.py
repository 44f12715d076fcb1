"""The main jobs: train a model on a data set of images, by a recipe and the user's options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gpugrad as gg
from gpugrad import models
from gpugrad.data.dataset import TensorDataset
from gpugrad.data.loader import DataLoader
from gpugrad.errors import ArgumentError, DataError
from gpugrad.models.registry import is_own
from gpugrad.nn import Module
from gpugrad.tensor import Tensor
from gpugrad.train.hooks import Evaluate
from gpugrad.train.job import Options, begin, make_trainer, matmul_precision, resume_planned
from gpugrad.train.loaders import Batches
from gpugrad.train.progress import Progress
from gpugrad.train.recipe import ImageData, Recipe
from gpugrad.train.trainer import Trainer

_TEST_BATCH = 500


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
    backend = begin(options, output)
    model = models.create(options.model, **{**recipe.config, **options.config}).to(backend.device)
    with matmul_precision(options.precision or recipe.precision):
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
            resume_planned(self.trainer, options)
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
        special = recipe.hooks(self.model, self.train_set, steps * (options.epochs or 0))
        listening = [Evaluate(self.test), Progress(unit="images")]
        return make_trainer(self.model, recipe, options, steps, listening, special)
