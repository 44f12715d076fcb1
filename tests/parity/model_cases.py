"""The models that are held against PyTorch: small, but with every part of the large ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import gpugrad as gg
from gpugrad import models
from parity.twin import twin

torch.set_num_threads(1)  # for such small models its threads cost more than they give
COLOUR = (4, 3, 32, 32)
DIGITS = (4, 1, 28, 28)


@dataclass(frozen=True)
class ModelCase:
    """A model by name and arguments, the shape of its input, and what it is trained for.

    lr is one at which twenty float32 steps can be compared at all: deep networks with batch
    normalisation amplify rounding (a relu or a maximum that decides otherwise changes a gradient at
    once), so that at lr = 0.01 PyTorch's own float32 run is 0.1 off its float64 run by then; at
    these it is below 5e-5. gain: factor of the initial weights of convolutions. GoogLeNet's 0.01 is
    so small that a step of any usual lr changes them by a large part.
    """

    name: str
    config: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = COLOUR
    task: str = "classes"  # or "pixels": a class for each; "itself": the input again
    lr: float = 0.01
    gain: float = 1.0

    def __str__(self) -> str:
        return "-".join([self.name, *(f"{v}" for v in self.config.values() if v != 10)])


DEEP: dict[str, Any] = {"num_classes": 10, "stem": "cifar"}
BATCH, LOW = (8, 3, 32, 32), (8, 3, 16, 16)
CASES = [
    ModelCase("mlp", {"hidden": [32, 16], "activation": "gelu"}, DIGITS),
    ModelCase("lenet", shape=DIGITS),
    ModelCase("lenet", {"in_channels": 3, "size": 32, "activation": "tanh", "pooling": "avg"}),
    ModelCase("cnn", shape=DIGITS),
    ModelCase("cnn", {"in_channels": 3, "size": 32}),
    ModelCase("resnet18", {**DEEP, "width": 8}, BATCH, lr=1e-4),
    ModelCase("resnet18", {"num_classes": 10, "width": 8}, (8, 3, 64, 64), lr=1e-4),
    ModelCase("resnet34", {**DEEP, "width": 4}, BATCH, lr=1e-4),
    ModelCase("resnet50", {**DEEP, "width": 4, "zero_init_residual": True}, BATCH, lr=1e-4),
    ModelCase("vgg11", {"num_classes": 10, "width": 8, "hidden": 32, "pool": 2}, (4, 3, 64, 64)),
    ModelCase("vgg13_bn", {"num_classes": 10, "width": 8, "hidden": 32, "pool": 1}),
    ModelCase("googlenet", {"num_classes": 10, "width": 16}, (8, 3, 64, 64), lr=1e-5, gain=10),
    ModelCase("googlenet", {**DEEP, "width": 16, "aux_logits": False}, LOW, lr=1e-5, gain=10),
    ModelCase("autoencoder", {"hidden": [32], "code": 8}, DIGITS, "itself", lr=0.5),
    ModelCase("conv_autoencoder", {"width": 8, "code": 16}, DIGITS, "itself", lr=0.5),
    ModelCase("unet", {"num_classes": 3, "width": 8, "depth": 2}, COLOUR, "pixels"),
    ModelCase("airbench", {"widths": [24, 32, 40]}),
]


def make(case: ModelCase, dtype: str) -> tuple[gg.nn.Module, torch.nn.Module]:
    """The model in both libraries, with equal parameters, in training mode, without dropout."""
    gg.manual_seed(0)
    model = models.create(case.name, **case.config).to(getattr(gg, dtype))
    if isinstance(model, models.Airbench):
        model.init_whitening(gg.rand(16, *case.shape[1:]))
    for module in model.modules():
        if isinstance(module, gg.nn.Conv2d) and case.gain != 1:
            with gg.no_grad():
                module.weight.mul_(case.gain)
    other = twin(model)
    for module in [*model.modules(), *other.modules()]:
        if isinstance(module, (gg.nn.Dropout, torch.nn.Dropout)):
            module.p = 0.0
    return model, other


def batch(case: ModelCase, seed: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Input and target of one step."""
    rng = np.random.default_rng(seed)
    x = rng.random(case.shape).astype(dtype)
    if case.task == "itself":
        return x, x
    n, _, *positions = case.shape
    classes = case.config.get("num_classes", 10)
    return x, rng.integers(0, classes, (n, *(positions if case.task == "pixels" else ())))


def outputs(model: Any, x: Any) -> list[Any]:
    """All answers of a model, the network's first."""
    y = model(x)
    return list(y) if isinstance(y, tuple) else [y]


def loss_of(library: Any, case: ModelCase, answers: list[Any], target: Any) -> Any:
    """What the model is trained with; auxiliary heads count 0.3 (Szegedy et al. 2015)."""
    functional = library.nn.functional
    if case.task == "itself":
        return functional.mse_loss(answers[0], target)
    losses = [functional.cross_entropy(each, target) for each in answers]
    return sum(losses[1:], losses[0] * 0) * 0.3 + losses[0]
