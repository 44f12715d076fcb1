"""Autoencoders: pictures through a narrow code and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from gpugrad import nn
from gpugrad.errors import ArgumentError
from gpugrad.models.base import Model
from gpugrad.models.registry import register
from gpugrad.tensor import Tensor


@register("autoencoder")
class Autoencoder(Model):
    """Linear layers down to a code and, mirrored, up again. (Hinton & Salakhutdinov 2006.)

        code = encoder(x), relu between layers;  y = sigmoid(decoder(code))

    Shapes: x (n, *shape), values in [0, 1] -> y of the same shape; code (n, code). Trained with the
    mean squared error between y and x. Initial values: those of nn.Linear.

    Args:
        shape: of a picture: (1, 28, 28) for MNIST.
        hidden: sizes of the encoder's layers; the decoder's are the same in reverse.
        code: numbers a picture is reduced to.
    """

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
        hidden: Sequence[int] = (256, 128),
        code: int = 32,
    ) -> None:
        super().__init__()
        self._config = {"shape": list(shape), "hidden": list(hidden), "code": code}
        sizes = [math.prod(shape), *hidden, code]
        self.encoder = nn.Sequential(nn.Flatten(), *_linear(sizes))
        self.decoder = nn.Sequential(
            *_linear(sizes[::-1]), nn.Sigmoid(), nn.Unflatten(1, tuple(shape))
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


@register("conv_autoencoder")
class ConvAutoencoder(Model):
    """Convolutions of stride 2 down to a code, transposed ones up again.

        x (n, in_channels, size, size)
        encoder: 3x3 stride 2 -> width, 3x3 stride 2 -> 2 width; linear -> code
        decoder: linear; 2x2 stride 2 transposed -> width; 2x2 stride 2 transposed -> in_channels

    relu between layers, sigmoid at the end. Shapes: y as x, values in [0, 1]; code (n, code).
    Trained with the mean squared error. Initial values: those of the layers.

    Args:
        in_channels, size: of the picture; size a multiple of 4.
        width: maps of the first layer.
        code: numbers a picture is reduced to.
    """

    def __init__(
        self, in_channels: int = 1, size: int = 28, width: int = 16, code: int = 32
    ) -> None:
        super().__init__()
        if size % 4 or size <= 0:
            raise ArgumentError(
                f"ConvAutoencoder: size = {size}; halved twice, it must be a multiple of 4."
            )
        self._config = {"in_channels": in_channels, "size": size, "width": width, "code": code}
        inner = (2 * width, size // 4, size // 4)
        self.encoder = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(math.prod(inner), code),
        )
        self.decoder = nn.Sequential(
            nn.Linear(code, math.prod(inner)),
            nn.ReLU(),
            nn.Unflatten(1, inner),
            nn.ConvTranspose2d(2 * width, width, 2, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(width, in_channels, 2, stride=2),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


def _linear(sizes: Sequence[int]) -> list[nn.Module]:
    """Linear layers from size to size, relu between them."""
    layers: list[nn.Module] = []
    for here, there in pairwise(sizes):
        layers += [nn.Linear(here, there), nn.ReLU()]
    return layers[:-1]
