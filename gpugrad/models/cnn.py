"""The small convolutional network of tutorials."""

from __future__ import annotations

from gpugrad import nn
from gpugrad.errors import ArgumentError
from gpugrad.models.base import Model
from gpugrad.models.registry import register
from gpugrad.tensor import Tensor


@register("cnn")
class CNN(Model):
    """3x3 convolutions with 32 and 64 maps, each pooled 2x2, then 128 hidden units.

        x (n, in_channels, size, size)
        conv1 3x3 -> 32 x size x size      pool, relu -> 32 x size/2 x size/2
        conv2 3x3 -> 64 x size/2 x size/2  pool, relu -> 64 x size/4 x size/4
        fc1 -> 128, relu;  fc2 -> (n, num_classes), the logits

    relu comes after the pooling: the same values (relu and max commute), a quarter of the work.
    Initial values: those of the layers.

    Args:
        num_classes, in_channels: of the answer and the picture.
        size: side of the picture, 4 or more: 28 for MNIST, 32 (with in_channels=3) for CIFAR.
        dropout: probability of zeroing a pooled or hidden value in training, before fc1 and fc2.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        size: int = 28,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if size < 4:
            raise ArgumentError(f"CNN: size = {size}; two poolings need pictures of 4 x 4 or more.")
        self._config = {
            "num_classes": num_classes,
            "in_channels": in_channels,
            "size": size,
            "dropout": dropout,
        }
        self.conv1 = nn.Conv2d(in_channels, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.fc1 = nn.Linear(64 * (size // 4) ** 2, 128)
        self.fc2 = nn.Linear(128, num_classes)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout) if dropout > 0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.pool(self.conv1(x)))
        x = self.relu(self.pool(self.conv2(x)))
        x = self.relu(self.fc1(self.dropout(x.flatten(1))))
        return self.fc2(self.dropout(x))
