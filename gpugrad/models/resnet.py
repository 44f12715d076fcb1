"""Residual networks."""

from __future__ import annotations

from typing import ClassVar

from gpugrad import nn
from gpugrad.models.base import Model, one_of
from gpugrad.models.registry import register
from gpugrad.tensor import Tensor

STEMS = ("imagenet", "cifar")


def conv(in_channels: int, channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the size (at stride 1)."""
    return nn.Conv2d(in_channels, channels, kernel, stride, padding=kernel // 2, bias=False)


def projection(in_channels: int, channels: int, stride: int) -> nn.Sequential | None:
    """What brings the shortcut to the block's shape; None where it has that already."""
    if stride == 1 and in_channels == channels:
        return None
    return nn.Sequential(conv(in_channels, channels, 1, stride), nn.BatchNorm2d(channels))


class BasicBlock(nn.Module):
    """y = relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)), both convolutions 3x3.

    Shapes: x (n, in_channels, h, w) -> y (n, channels, h / stride, w / stride). The last sum and
    relu are part of the normalisation's kernel.
    """

    expansion = 1
    last_norm = ".bn2"

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = conv(channels, channels, 3)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = projection(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.bn1(self.conv1(x), act="relu")
        return self.bn2(self.conv2(y), residual=shortcut, act="relu")


class Bottleneck(nn.Module):
    """As BasicBlock with 1x1, 3x3 and 1x1 convolutions; the 3x3 one strides.

    Shapes: x (n, in_channels, h, w) -> y (n, 4 channels, h / stride, w / stride). The paper strides
    in the first 1x1; striding in the 3x3 is more accurate and what published weights expect.
    """

    expansion = 4
    last_norm = ".bn3"

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        wide = channels * self.expansion
        self.conv1 = conv(in_channels, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = conv(channels, channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = conv(channels, wide, 1)
        self.bn3 = nn.BatchNorm2d(wide)
        self.downsample = projection(in_channels, wide, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.bn1(self.conv1(x), act="relu")
        y = self.bn2(self.conv2(y), act="relu")
        return self.bn3(self.conv3(y), residual=shortcut, act="relu")


class ResNet(Model):
    """A stem, four stages of residual blocks, the mean over positions, one linear layer.

    (He et al. 2016, "Deep residual learning for image recognition"; names of parameters are
    torchvision's.) Stage i has width 2^(i-1) `width` and, but for the first, halves the size.

    Shapes: x (n, in_channels, h, w) -> logits (n, num_classes). Initial values: convolutions normal
    with variance 2 / fan out (He et al. 2015), normalisations 1 and 0, the linear layer its own.

    Args:
        num_classes, in_channels: of the answer and the picture.
        stem: "imagenet" is a 7x7 convolution and a 3x3 max pooling, each halving the size;
            "cifar" one 3x3 convolution, for pictures of 32 x 32.
        zero_init_residual: start the last normalisation of each block at 0, so that blocks begin
            as the identity (Goyal et al. 2017, section 5.1).
        width: maps in the first stage.
    """

    block: ClassVar[type[BasicBlock] | type[Bottleneck]]
    depths: ClassVar[tuple[int, ...]]

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        stem: str = "imagenet",
        zero_init_residual: bool = False,
        width: int = 64,
    ) -> None:
        super().__init__()
        one_of(type(self).__name__, "stem", stem, STEMS)
        self._config = {
            "num_classes": num_classes,
            "in_channels": in_channels,
            "stem": stem,
            "zero_init_residual": zero_init_residual,
            "width": width,
        }
        small = stem == "cifar"
        self.conv1 = conv(in_channels, width, 3) if small else conv(in_channels, width, 7, 2)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, padding=1)
        self._channels = width
        self.layer1 = self._stage(width, self.depths[0], 1)
        self.layer2 = self._stage(2 * width, self.depths[1], 2)
        self.layer3 = self._stage(4 * width, self.depths[2], 2)
        self.layer4 = self._stage(8 * width, self.depths[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(self._channels, num_classes)
        self._initialise(zero_init_residual)

    def _stage(self, width: int, depth: int, stride: int) -> nn.Sequential:
        blocks = []
        for i in range(depth):
            blocks.append(self.block(self._channels, width, stride if i == 0 else 1))
            self._channels = width * self.block.expansion
        return nn.Sequential(*blocks)

    def _initialise(self, zero_init_residual: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for name, parameter in self.named_parameters():
            if zero_init_residual and name.endswith(f"{self.block.last_norm}.weight"):
                nn.init.zeros_(parameter)

    def features(self, x: Tensor) -> Tensor:
        """The last stage's maps, (n, 8 width expansion, h / 32, w / 32) with the imagenet stem."""
        x = self.maxpool(self.bn1(self.conv1(x), act="relu"))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.avgpool(self.features(x)).flatten(1))


@register("resnet18")
class ResNet18(ResNet):
    """18 layers: 2 + 2 + 2 + 2 BasicBlocks. See ResNet."""

    block, depths = BasicBlock, (2, 2, 2, 2)


@register("resnet34")
class ResNet34(ResNet):
    """34 layers: 3 + 4 + 6 + 3 BasicBlocks. See ResNet."""

    block, depths = BasicBlock, (3, 4, 6, 3)


@register("resnet50")
class ResNet50(ResNet):
    """50 layers: 3 + 4 + 6 + 3 Bottlenecks. See ResNet."""

    block, depths = Bottleneck, (3, 4, 6, 3)


resnet18, resnet34, resnet50 = ResNet18, ResNet34, ResNet50  # torchvision's spelling
