"""GoogLeNet, the first Inception network."""

from __future__ import annotations

from typing import Any, NamedTuple

import gpugrad as gg
from gpugrad import nn
from gpugrad.errors import ArgumentError
from gpugrad.models.base import Model, one_of
from gpugrad.models.registry import register
from gpugrad.tensor import Tensor

STEMS = ("imagenet", "cifar")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BLOCKS = {  # Szegedy et al. 2015, table 1: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


class GoogLeNetOutputs(NamedTuple):
    """Logits (n, num_classes) of the network and of its two auxiliary heads."""

    logits: Tensor
    aux_logits2: Tensor
    aux_logits1: Tensor


class BasicConv2d(nn.Module):
    """y = relu(bn(conv(x))), the last two in one kernel. Arguments are those of Conv2d."""

    def __init__(self, in_channels: int, channels: int, **window: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, bias=False, **window)
        self.bn = nn.BatchNorm2d(channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x), act="relu")


class Inception(nn.Module):
    """Four branches side by side, joined along the channels.

        1x1;  1x1 -> 3x3;  1x1 -> 3x3;  3x3 max pool -> 1x1

    Shapes: x (n, in_channels, h, w) -> y (n, sum of branches, h, w); `sizes` as in BLOCKS. The
    paper's third branch ends in 5x5; published weights have 3x3 there, and so has this.
    """

    def __init__(self, in_channels: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        one, reduce3, three, reduce5, five, pooled = sizes
        self.branch1 = BasicConv2d(in_channels, one, kernel_size=1)
        self.branch2 = nn.Sequential(
            BasicConv2d(in_channels, reduce3, kernel_size=1),
            BasicConv2d(reduce3, three, kernel_size=3, padding=1),
        )
        self.branch3 = nn.Sequential(
            BasicConv2d(in_channels, reduce5, kernel_size=1),
            BasicConv2d(reduce5, five, kernel_size=3, padding=1),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1),
            BasicConv2d(in_channels, pooled, kernel_size=1),
        )
        self.channels = one + three + five + pooled

    def forward(self, x: Tensor) -> Tensor:
        return gg.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class InceptionAux(nn.Module):
    """An auxiliary head: (n, in_channels, h, w), averaged to 4 x 4 -> logits (n, num_classes)."""

    def __init__(self, in_channels: int, channels: int, num_classes: int, hidden: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(4)
        self.conv = BasicConv2d(in_channels, channels, kernel_size=1)
        self.fc1 = nn.Linear(16 * channels, hidden)
        self.fc2 = nn.Linear(hidden, num_classes)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(0.7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.avgpool(x)).flatten(1)
        return self.fc2(self.dropout(self.relu(self.fc1(x))))


@register("googlenet")
class GoogLeNet(Model):
    """22 layers: a stem, nine Inception blocks, one linear layer.

    (Szegedy et al. 2015, "Going deeper with convolutions", with batch normalisation as in Ioffe &
    Szegedy 2015; names of parameters are torchvision's.)

    Shapes: x (n, in_channels, h, w), h and w at least 16 (imagenet stem) or 4 (cifar) -> logits
    (n, num_classes). In training with aux_logits it gives GoogLeNetOutputs: add 0.3 times the
    loss of each auxiliary head to the network's. Initial values: weights of convolutions and
    linear layers normal with deviation 0.01, cut at 2; their biases the layers' own.

    Args:
        num_classes, in_channels: of the answer and the picture.
        aux_logits: two auxiliary heads, after blocks 4a and 4d, that help training.
        stem: "imagenet" reduces the picture by 8; "cifar" keeps its size, for 32 x 32.
        dropout: probability of zeroing a value before the last layer in training.
        transform_input: x is normalised by ImageNet's mean and deviation; make it (v - 0.5) / 0.5
            first, which torchvision's published weights were trained with.
        width: maps after the first convolution; all others scale with width / 64.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        aux_logits: bool = True,
        stem: str = "imagenet",
        dropout: float = 0.2,
        width: int = 64,
        transform_input: bool = False,
    ) -> None:
        super().__init__()
        one_of("GoogLeNet", "stem", stem, STEMS)
        self._config = {
            "num_classes": num_classes,
            "in_channels": in_channels,
            "aux_logits": aux_logits,
            "stem": stem,
            "dropout": dropout,
            "width": width,
            "transform_input": transform_input,
        }
        if transform_input and in_channels != 3:
            raise ArgumentError(
                f"GoogLeNet(transform_input=True, in_channels={in_channels}): it is for 3 channels."
            )
        self._width = width
        self.transform_input = transform_input
        self._make_stem(in_channels, stem)
        self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.inception3a = self._block("3a", 3 * width)
        self.inception3b = self._block("3b", self.inception3a.channels)
        self.inception4a = self._block("4a", self.inception3b.channels)
        self.inception4b = self._block("4b", self.inception4a.channels)
        self.inception4c = self._block("4c", self.inception4b.channels)
        self.inception4d = self._block("4d", self.inception4c.channels)
        self.inception4e = self._block("4e", self.inception4d.channels)
        self.inception5a = self._block("5a", self.inception4e.channels)
        self.inception5b = self._block("5b", self.inception5a.channels)
        self.aux1, self.aux2 = (
            InceptionAux(at.channels, 2 * width, num_classes, 16 * width) if aux_logits else None
            for at in (self.inception4a, self.inception4d)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(self.inception5b.channels, num_classes)
        self._initialise()

    def _block(self, name: str, in_channels: int) -> Inception:
        sizes = tuple(max(1, size * self._width // 64) for size in BLOCKS[name])
        return Inception(in_channels, sizes)

    def _make_stem(self, in_channels: int, stem: str) -> None:
        width = self._width
        small = stem == "cifar"
        first = {"kernel_size": 3, "padding": 1} if small else {"kernel_size": 7, "padding": 3}
        self.conv1 = BasicConv2d(in_channels, width, stride=1 if small else 2, **first)
        self.maxpool1 = nn.Identity() if small else nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = BasicConv2d(width, width, kernel_size=1)
        self.conv3 = BasicConv2d(width, 3 * width, kernel_size=3, padding=1)
        self.maxpool2 = nn.Identity() if small else nn.MaxPool2d(3, 2, ceil_mode=True)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=0.01, a=-0.02, b=0.02)

    def forward(self, x: Tensor) -> Tensor | GoogLeNetOutputs:
        if self.transform_input:
            scale = x.new_tensor([s / 0.5 for s in IMAGENET_STD]).reshape(1, 3, 1, 1)
            shift = x.new_tensor([(m - 0.5) / 0.5 for m in IMAGENET_MEAN]).reshape(1, 3, 1, 1)
            x = x * scale + shift
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        at_4a = self.inception4a(x)
        at_4d = self.inception4d(self.inception4c(self.inception4b(at_4a)))
        x = self.maxpool4(self.inception4e(at_4d))
        x = self.inception5b(self.inception5a(x))
        logits = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        if self.training and self.aux1 is not None and self.aux2 is not None:
            return GoogLeNetOutputs(logits, self.aux2(at_4d), self.aux1(at_4a))
        return logits


googlenet = GoogLeNet  # torchvision's spelling
