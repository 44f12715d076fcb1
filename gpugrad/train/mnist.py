"""The job `gpugrad train mnist`."""

from __future__ import annotations

from gpugrad.data.augment import RandomCrop
from gpugrad.data.mnist import MEAN, MNIST, STD
from gpugrad.tensor import Tensor
from gpugrad.train.autoencoder import Reconstruction
from gpugrad.train.recipe import ImageData, Recipe


def _pixels(x: Tensor) -> Tensor:
    return x * STD + MEAN


def _as_is(x: Tensor) -> Tensor:
    return x


DATA = ImageData(
    name="mnist",
    classes=MNIST.classes,
    load=lambda root, train, device: MNIST(root, train=train, device=device),
    normalised=_as_is,  # MNIST gives them so
    pixels=_pixels,
)

_SHIFT = RandomCrop(28, padding=2, padding_mode="replicate")


def _convolutional(**config: float) -> Recipe:
    """Few epochs: a high learning rate for a short time, digits shifted by up to two pixels."""
    return Recipe(
        config=config,
        epochs=8,
        settings={"adam": {"lr": 2e-3}},
        schedule="triangle",
        augment=_SHIFT,
    )


RECIPES: dict[str, Recipe] = {
    "mlp": Recipe(),
    "lenet": _convolutional(),
    "cnn": _convolutional(dropout=0.25),
    "autoencoder": Reconstruction(),
    "conv_autoencoder": Reconstruction(),
}
