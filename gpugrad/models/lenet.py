"""LeNet-5."""

from __future__ import annotations

from gpugrad import nn
from gpugrad.models.base import Model, one_of
from gpugrad.models.registry import register
from gpugrad.tensor import Tensor

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
POOLINGS = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


@register("lenet")
class LeNet(Model):
    """Two 5x5 convolutions with pooling, three linear layers. (LeCun et al. 1998, section II.B.)

        x (n, in_channels, size, size)
        conv1 5x5 -> 6 x 28 x 28   pool -> 6 x 14 x 14
        conv2 5x5 -> 16 x 10 x 10  pool -> 16 x 5 x 5
        fc1 -> 120, fc2 -> 84, fc3 -> (n, num_classes), the logits

    Pictures of 28 x 28 are padded to the paper's 32 x 32 by the first convolution. The sizes are
    the paper's; activation="tanh" with pooling="avg" come nearest to its units, the default is what
    the name stands for today. The paper's conv2 sees chosen subsets of the 6 maps, and its pooling
    has weights; neither is kept. Initial values: those of the layers.

    Args:
        num_classes, in_channels: of the answer and the picture.
        size: 28 or 32.
        activation: "relu" or "tanh".
        pooling: "max" or "avg".
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        size: int = 28,
        activation: str = "relu",
        pooling: str = "max",
    ) -> None:
        super().__init__()
        one_of("LeNet", "size", size, (28, 32))
        one_of("LeNet", "activation", activation, ACTIVATIONS)
        one_of("LeNet", "pooling", pooling, POOLINGS)
        self._config = {
            "num_classes": num_classes,
            "in_channels": in_channels,
            "size": size,
            "activation": activation,
            "pooling": pooling,
        }
        self.conv1 = nn.Conv2d(in_channels, 6, 5, padding=(32 - size) // 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        self.act = ACTIVATIONS[activation]()
        self.pool = POOLINGS[pooling](2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.act(self.conv1(x)))
        x = self.pool(self.act(self.conv2(x)))
        x = self.act(self.fc1(x.flatten(1)))
        return self.fc3(self.act(self.fc2(x)))
