"""The networks of the Visual Geometry Group."""

from __future__ import annotations

from typing import Any, ClassVar

from gpugrad import nn
from gpugrad.models.base import Model
from gpugrad.models.registry import register
from gpugrad.tensor import Tensor


class VGG(Model):
    """3x3 convolutions in five groups, each halved by max pooling; three linear layers.

    (Simonyan & Zisserman 2015, "Very deep convolutional networks", table 1; names of parameters are
    torchvision's.) Group i has width, 2 width, 4 width, 8 width, 8 width maps.

    Shapes: x (n, in_channels, h, w), h and w at least 32 -> logits (n, num_classes). Initial
    values: convolutions normal with variance 2 / fan out (He et al. 2015), linear layers normal
    with deviation 0.01, biases 0.

    Args:
        num_classes, in_channels: of the answer and the picture.
        batch_norm: normalise after each convolution (Ioffe & Szegedy 2015).
        dropout: probability of zeroing a hidden value in training.
        width: maps in the first group.
        hidden: units in the two hidden linear layers.
        pool: side to which the last maps are averaged: 7 for pictures of 224 x 224, 1 for 32 x 32.
    """

    depths: ClassVar[tuple[int, ...]]

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        batch_norm: bool = False,
        dropout: float = 0.5,
        width: int = 64,
        hidden: int = 4096,
        pool: int = 7,
    ) -> None:
        super().__init__()
        self._config = {
            "num_classes": num_classes,
            "in_channels": in_channels,
            "batch_norm": batch_norm,
            "dropout": dropout,
            "width": width,
            "hidden": hidden,
            "pool": pool,
        }
        layers: list[nn.Module] = []
        channels = in_channels
        for depth, times in zip(self.depths, (1, 2, 4, 8, 8), strict=True):
            for _ in range(depth):
                layers.append(nn.Conv2d(channels, times * width, 3, padding=1))
                channels = times * width
                layers += [nn.BatchNorm2d(channels)] if batch_norm else []
                layers.append(nn.ReLU())
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(pool)
        self.classifier = nn.Sequential(
            nn.Linear(channels * pool * pool, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
            else:
                continue
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


@register("vgg11")
class VGG11(VGG):
    """11 layers with weights. See VGG."""

    depths = (1, 1, 2, 2, 2)


@register("vgg13")
class VGG13(VGG):
    """13 layers with weights. See VGG."""

    depths = (2, 2, 2, 2, 2)


@register("vgg16")
class VGG16(VGG):
    """16 layers with weights. See VGG."""

    depths = (2, 2, 3, 3, 3)


@register("vgg19")
class VGG19(VGG):
    """19 layers with weights. See VGG."""

    depths = (2, 2, 4, 4, 4)


@register("vgg11_bn")
def vgg11_bn(**config: Any) -> VGG11:
    """VGG11 with batch normalisation."""
    return VGG11(**{"batch_norm": True} | config)


@register("vgg13_bn")
def vgg13_bn(**config: Any) -> VGG13:
    """VGG13 with batch normalisation."""
    return VGG13(**{"batch_norm": True} | config)


@register("vgg16_bn")
def vgg16_bn(**config: Any) -> VGG16:
    """VGG16 with batch normalisation."""
    return VGG16(**{"batch_norm": True} | config)


@register("vgg19_bn")
def vgg19_bn(**config: Any) -> VGG19:
    """VGG19 with batch normalisation."""
    return VGG19(**{"batch_norm": True} | config)


vgg11, vgg13, vgg16, vgg19 = VGG11, VGG13, VGG16, VGG19  # torchvision's spelling
