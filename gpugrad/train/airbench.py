"""The recipe of Keller Jordan's CIFAR-10 speed record, airbench94 (Jordan 2024, section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gpugrad as gg
from gpugrad import optim
from gpugrad.data.dataset import TensorDataset
from gpugrad.models.airbench import Airbench, mirror_translate
from gpugrad.nn import Module
from gpugrad.tensor import Tensor
from gpugrad.train.hooks import Hook
from gpugrad.train.loaders import Batches
from gpugrad.train.recipe import ImageData, Recipe, final_accuracy

if TYPE_CHECKING:
    from gpugrad.train.job import Options
    from gpugrad.train.trainer import Trainer

BIAS_SCALE = 64.0
"""Learning rate of the normalisations' biases, in that of the other parameters."""

_WHITENED_FROM = 5000  # training images


class AirbenchRecipe(Recipe):
    """Nesterov SGD with lr and weight decay that do not depend on momentum, batch, or each other.

    lr is the change per 1024 images under a constant gradient, weight_decay the share lost per 1024
    images. The answer is averaged over views of the picture (models.airbench.mirror_translate).
    """

    def prepare(self, model: Module, data: ImageData, train_set: TensorDataset) -> None:
        if isinstance(model, Airbench):
            model.init_whitening(data.normalised(train_set.tensors[0][:_WHITENED_FROM]))

    def make_optimizer(self, options: Options, model: Module) -> optim.Optimizer:
        """In PyTorch's terms, for the mean loss of a batch.

        Of a constant gradient g, Nesterov SGD subtracts lr g (1 + 1 / (1 - momentum)) in a step.
        """
        kind, arguments = self.optimizer_arguments(options)
        if kind is not optim.SGD:
            return super().make_optimizer(options, model)
        lr, decay = arguments.pop("lr"), arguments.pop("weight_decay")
        batch = options.batch_size or self.batch_size
        step = lr * batch / 1024 / (1 + 1 / (1 - arguments["momentum"]))
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        groups = [
            _group([p for name, p in trained if "norm" in name], step * BIAS_SCALE, decay / lr),
            _group([p for name, p in trained if "norm" not in name], step, decay / lr),
        ]
        groups[0]["weight_decay"] /= BIAS_SCALE
        return kind(groups, nesterov=True, **arguments)

    def hooks(self, model: Module, train_set: TensorDataset, steps: int) -> list[Hook]:
        hooks: list[Hook] = [AlternatingFlip(train_set), Lookahead(model, steps)]
        return [*hooks, WhitenBias(model)] if isinstance(model, Airbench) else hooks

    def score(self, model: Module, test: Batches, log: dict[str, float]) -> dict[str, float]:
        return final_accuracy(_Views(model), test)


def _group(params: list[Tensor], lr: float, weight_decay: float) -> dict[str, Any]:
    return {"params": params, "lr": lr, "weight_decay": weight_decay}


class _Views(Module):
    """The model, its answers averaged over views."""

    def __init__(self, model: Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return mirror_translate(self.model, x)


class AlternatingFlip(Hook):
    """Mirrors every picture of a training set in every second epoch, a random half of them first.

    So each is seen as often one way as the other (Jordan 2024, section 3.6). Changes the set; the
    random half depends on the seed alone, so it needs no place in a checkpoint.
    """

    def __init__(self, train_set: TensorDataset) -> None:
        self.train_set = train_set
        images = train_set.tensors[0]
        chosen = gg.rand(len(images), device=images.device) < 0.5
        self._set(gg.where(chosen.reshape(-1, 1, 1, 1), images.flip(-1), images))
        self.mirrored = False

    def on_epoch_start(self, trainer: Trainer) -> None:
        mirrored = trainer.epoch % 2 == 0
        if mirrored != self.mirrored:
            self._set(self.train_set.tensors[0].flip(-1))
            self.mirrored = mirrored

    def _set(self, images: Tensor) -> None:
        self.train_set.tensors = (images, *self.train_set.tensors[1:])


class WhitenBias(Hook):
    """Trains the bias of the whitening layer for some epochs, then freezes it."""

    def __init__(self, model: Airbench, epochs: int = 3) -> None:
        self.bias = model.whiten.bias
        self.epochs = epochs

    def on_epoch_start(self, trainer: Trainer) -> None:
        assert self.bias is not None
        self.bias.requires_grad = trainer.epoch <= self.epochs


class Lookahead(Hook):
    """Every few steps, a running average of the model's numbers, put back in their place.

    average = d average + (1 - d) numbers, d = decay^every (step / steps)^3. It begins after
    `start` epochs; at the end of each epoch the average takes the model's place, so a checkpoint
    holds it. (Zhang et al. 2019, with d growing as in Jordan 2024.)
    """

    def __init__(
        self, model: Module, steps: int, decay: float = 0.95, every: int = 5, start: int = 3
    ) -> None:
        self.steps, self.decay, self.every, self.start = steps, decay, every, start
        tensors = [*model.parameters(), *model.buffers()]
        self.live = [t for t in tensors if t.is_floating_point()]
        self.average: list[Tensor] = []

    def on_epoch_start(self, trainer: Trainer) -> None:
        if trainer.epoch > self.start + 1 and not self.average:  # resumed
            self._begin()

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.epoch <= self.start or trainer.step % self.every:
            return
        if self.average:
            self._update(self.decay**self.every * (trainer.step / self.steps) ** 3)
        else:
            self._begin()

    def on_epoch_end(self, trainer: Trainer) -> None:
        if self.average:
            self._update(1.0)

    def _begin(self) -> None:
        self.average = [each.detach().clone() for each in self.live]

    def _update(self, decay: float) -> None:
        with gg.no_grad():
            for average, live in zip(self.average, self.live, strict=True):
                if decay < 1:
                    average.lerp_(live, 1 - decay)
                live.copy_(average)
