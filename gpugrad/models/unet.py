"""A small U-Net, which gives an answer for each pixel."""

from __future__ import annotations

import gpugrad as gg
from gpugrad import nn
from gpugrad.errors import ArgumentError, ShapeError
from gpugrad.models.base import Model
from gpugrad.models.registry import register
from gpugrad.tensor import Tensor


class DoubleConv(nn.Module):
    """relu(bn2(conv2(relu(bn1(conv1(x)))))), 3x3, size kept: (n, in, h, w) -> (n, out, h, w)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x), act="relu")
        return self.bn2(self.conv2(x), act="relu")


class Up(nn.Module):
    """Doubles the size of x, joins what the way down had there, and convolves both.

    Shapes: x (n, 2 channels, h, w), skip (n, channels, 2h, 2w) -> (n, channels, 2h, 2w).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(2 * channels, channels, 2, stride=2)
        self.conv = DoubleConv(2 * channels, channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.conv(gg.cat([skip, self.up(x)], 1))


@register("unet")
class UNet(Model):
    """A way down that halves the size `depth` times, and a way up that sees each step of it.

    (Ronneberger et al. 2015, with padded convolutions and batch normalisation.)

    Shapes: x (n, in_channels, h, w), h and w multiples of 2^depth -> logits (n, num_classes, h, w).
    Level i has 2^i `width` maps. Initial values: those of the layers. Raises ShapeError for other
    sizes.
    """

    def __init__(
        self, in_channels: int = 3, num_classes: int = 2, width: int = 16, depth: int = 3
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ArgumentError(f"UNet: depth = {depth}; it must be 1 or more.")
        self._config = {
            "in_channels": in_channels,
            "num_classes": num_classes,
            "width": width,
            "depth": depth,
        }
        self._step = 2**depth
        widths = [width * 2**i for i in range(depth + 1)]
        self.first = DoubleConv(in_channels, width)
        self.pool = nn.MaxPool2d(2)
        self.downs = nn.ModuleList(DoubleConv(each, 2 * each) for each in widths[:-1])
        self.ups = nn.ModuleList(Up(each) for each in reversed(widths[:-1]))
        self.out = nn.Conv2d(width, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] % self._step or x.shape[-2] % self._step:
            raise ShapeError(
                f"UNet(x): x has shape {tuple(x.shape)}; height and width must be multiples of "
                f"{self._step} (2^depth).\n  Pad or resize the pictures."
            )
        x = self.first(x)
        skips = []
        for down in self.downs:
            skips.append(x)
            x = down(self.pool(x))
        for up in self.ups:
            x = up(x, skips.pop())
        return self.out(x)
