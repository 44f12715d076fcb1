"""The job `gpugrad train cifar10`."""

from __future__ import annotations

import gpugrad as gg
from gpugrad.data.augment import Normalize, RandomCrop
from gpugrad.data.cifar import CIFAR10
from gpugrad.data.dataset import TensorDataset
from gpugrad.device import Device
from gpugrad.tensor import Tensor
from gpugrad.train.airbench import AirbenchRecipe
from gpugrad.train.autoencoder import Reconstruction
from gpugrad.train.recipe import ImageData, Recipe


def load(root: str | None, train: bool, device: Device) -> TensorDataset:
    """The images, uint8 (n, 3, 32, 32) as published, and labels, on a device."""
    return CIFAR10(root, train=train).tensor_dataset(device)


def pixels(x: Tensor) -> Tensor:
    """uint8 -> float32 in [0, 1]."""
    return x.to(gg.float32) * (1 / 255)


normalised = Normalize(CIFAR10.mean, CIFAR10.std)
"""uint8 -> float32 (value / 255 - mean) / std, for each colour."""

DATA = ImageData("cifar10", CIFAR10.classes, load, normalised, pixels)

_CROP = RandomCrop(32, padding=4, flip=0.5)  # as in He et al. 2016, section 4.2
_SHIFT = RandomCrop(32, padding=2, padding_mode="reflect")
_COLOUR = {"in_channels": 3, "size": 32}
_SMALL = {"num_classes": 10, "stem": "cifar"}
_VGG = {"num_classes": 10, "pool": 1, "hidden": 512}
_PLAIN_SGD = {"sgd": {"lr": 0.001, "momentum": 0.9}}  # as tutorials have it


def _residual(**config: object) -> Recipe:
    """SGD with momentum over a cosine, pictures shifted and mirrored."""
    return Recipe(
        config={**_SMALL, **config},
        epochs=100,
        optimizer="sgd",
        settings={"sgd": {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}},
        augment=_CROP,
        precision="tf32",
    )


RECIPES: dict[str, Recipe] = {
    "mlp": Recipe(config={"in_features": 3072, "hidden": [512, 256]}),
    "lenet": Recipe(config=_COLOUR, batch_size=64, settings=_PLAIN_SGD),
    "cnn": Recipe(config=_COLOUR, batch_size=64, settings=_PLAIN_SGD),
    "resnet18": _residual(),
    "resnet34": _residual(),
    "resnet50": _residual(),
    "googlenet": _residual(aux_logits=False),
    **{
        f"vgg{depth}{suffix}": Recipe(
            config=_VGG,
            epochs=100,
            optimizer="sgd",
            settings={"sgd": {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}},
            augment=_CROP,
            precision="tf32",
        )
        for depth in (11, 13, 16, 19)
        for suffix in ("", "_bn")
    },
    "airbench": AirbenchRecipe(
        epochs=10,
        batch_size=1024,
        optimizer="sgd",
        settings={"sgd": {"lr": 11.5, "momentum": 0.85, "weight_decay": 0.0153}},
        schedule="triangle",
        label_smoothing=0.2,
        augment=_SHIFT,
        drop_last=True,
        precision="tf32",
    ),
    "autoencoder": Reconstruction(config={"shape": [3, 32, 32], "hidden": [512, 256], "code": 64}),
    "conv_autoencoder": Reconstruction(config={**_COLOUR, "width": 32, "code": 128}),
}
