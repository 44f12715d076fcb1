"""The network of Keller Jordan's CIFAR-10 speed record."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

import gpugrad as gg
from gpugrad import nn
from gpugrad.errors import ArgumentError, ShapeError
from gpugrad.models.base import Model
from gpugrad.models.registry import register
from gpugrad.tensor import Tensor

WHITEN_KERNEL = 2
_Array = np.ndarray[Any, Any]


class ConvGroup(nn.Module):
    """Halves the size: gelu(norm2(conv2(gelu(norm1(pool(conv1(x))))))), convolutions 3x3.

    Shapes: x (n, in_channels, h, w) -> (n, channels, h / 2, w / 2), rounded down. The
    normalisations have no weight. Initial values: the first in_channels maps of a convolution pass
    their channel on (dirac), the others are the layer's own.
    """

    def __init__(self, in_channels: int, channels: int, momentum: float, eps: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.norm1 = nn.BatchNorm2d(channels, eps=eps, momentum=momentum)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels, eps=eps, momentum=momentum)
        self.act = nn.GELU()
        for name, parameter in self.named_parameters():
            if name in ("norm1.weight", "norm2.weight"):
                parameter.requires_grad = False
        for conv in (self.conv1, self.conv2):
            with gg.no_grad():
                nn.init.dirac_(conv.weight[: conv.in_channels])

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm1(self.pool(self.conv1(x))))
        return self.act(self.norm2(self.conv2(x)))


@register("airbench")
class Airbench(Model):
    """airbench94 (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU").

        x (n, in_channels, 32, 32)
        whiten 2x2, weight frozen, gelu -> 24 x 31 x 31
        group1 -> 64 x 15 x 15;  group2 -> 256 x 7 x 7;  group3 -> 256 x 3 x 3
        max pool 3x3; linear without bias, times 1/9 -> (n, num_classes), the logits

    Before training call `init_whitening` with training pictures: the first layer's weights become
    the scaled eigenvectors of their 2x2 patches, and their negatives.

    Args:
        num_classes, in_channels: of the answer and the picture.
        widths: maps of the three groups.
        momentum: of the normalisations' running statistics, in PyTorch's sense: the paper's 0.6 is
            the share kept.
        eps: of the normalisations.
        scale: factor of the logits.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        widths: Sequence[int] = (64, 256, 256),
        momentum: float = 0.4,
        eps: float = 1e-12,
        scale: float = 1 / 9,
    ) -> None:
        super().__init__()
        whitened = 2 * in_channels * WHITEN_KERNEL**2
        sizes = [whitened, *widths]
        if len(widths) != 3 or any(b < a for a, b in pairwise(sizes)):
            raise ArgumentError(
                f"Airbench: widths = {list(widths)}; needs three, of at least {whitened} maps (the "
                "whitening layer's), none smaller than the one before."
            )
        self._config = {
            "num_classes": num_classes,
            "in_channels": in_channels,
            "widths": list(widths),
            "momentum": momentum,
            "eps": eps,
            "scale": scale,
        }
        self.scale = scale
        self.whiten = nn.Conv2d(in_channels, whitened, WHITEN_KERNEL)
        self.whiten.weight.requires_grad = False
        assert self.whiten.bias is not None
        nn.init.zeros_(self.whiten.bias)
        self.act = nn.GELU()
        self.group1, self.group2, self.group3 = (
            ConvGroup(a, b, momentum, eps) for a, b in pairwise(sizes)
        )
        self.pool = nn.MaxPool2d(3)
        self.fc = nn.Linear(sizes[-1], num_classes, bias=False)

    def init_whitening(self, images: Tensor, eps: float = 5e-4) -> None:
        """Set the first layer's weights from normalised pictures (n, in_channels, h, w).

        With patch covariance V diag(l) V^T, rows of the weight are +-v_i / sqrt(l_i + eps), largest
        l first. eps bounds the gain of directions in which patches hardly vary. On the host.
        """
        channels = self.whiten.in_channels
        if images.ndim != 4 or images.shape[1] != channels or 0 in images.shape:
            raise ShapeError(
                f"init_whitening(images): expected (n, {channels}, h, w), got shape "
                f"{tuple(images.shape)}"
            )
        values, vectors = np.linalg.eigh(patch_covariance(images.detach().numpy()))
        rows = (vectors / np.sqrt(values + eps)).T[::-1]
        half = rows.reshape(-1, channels, WHITEN_KERNEL, WHITEN_KERNEL)
        weight = np.concatenate([half, -half]).astype(np.float32)
        target = self.whiten.weight
        with gg.no_grad():
            target.copy_(gg.tensor(weight, device=target.device))

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.whiten(x))
        x = self.group3(self.group2(self.group1(x)))
        return self.fc(self.pool(x).flatten(1)) * self.scale


def patch_covariance(images: _Array, block: int = 256) -> _Array:
    """Mean of p p^T over all 2x2 patches p of (n, c, h, w), float64 (4c, 4c).

    Not centred, as the pictures are normalised. Some pictures at a time, for memory.
    """
    k = WHITEN_KERNEL
    size = images.shape[1] * k * k
    total, count = np.zeros((size, size)), 0
    for start in range(0, len(images), block):
        part = images[start : start + block].astype(np.float64)
        windows = np.lib.stride_tricks.sliding_window_view(part, (k, k), (2, 3))
        patches = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, size)
        total += patches.T @ patches
        count += len(patches)
    return total / count


def mirror_translate(model: nn.Module, x: Tensor) -> Tensor:
    """Logits averaged over views: the picture, and it shifted by (-1, -1) and (1, 1); all mirrored.

    The picture as it is counts half, the two shifted ones a quarter each; each half of that for the
    mirror image. (Jordan 2024, section 3.5.) x (n, c, h, w) -> (n, num_classes).
    """
    height, width = x.shape[-2:]
    padded = nn.functional.pad(x, (1, 1, 1, 1), "reflect")
    up_left, down_right = (
        _with_mirror(model, padded[..., i : i + height, i : i + width]) for i in (0, 2)
    )
    return _with_mirror(model, x) * 0.5 + (up_left + down_right) * 0.25


def _with_mirror(model: nn.Module, x: Tensor) -> Tensor:
    return (model(x) + model(x.flip(-1))) * 0.5
