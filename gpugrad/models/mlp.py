"""The multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpugrad import nn
from gpugrad.errors import ArgumentError
from gpugrad.models.registry import register
from gpugrad.tensor import Tensor

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}


@register("mlp")
class MLP(nn.Module):
    """Linear layers with an activation (and dropout) after each but the last.

        h_0 = flatten(x);  h_i = dropout(act(W_i h_(i-1) + b_i));  y = W h + b

    Shapes: x (n, ...) whose other axes multiply to in_features -> y (n, out_features), the logits.
    Initial values: those of nn.Linear. The default is the perceptron 784-128-10 for MNIST.

    Args:
        in_features, hidden, out_features: sizes of the layers; `hidden` may be empty.
        activation: "relu", "gelu", "silu" or "tanh".
        dropout: probability of zeroing a hidden value in training.
    """

    def __init__(
        self,
        in_features: int = 784,
        hidden: Sequence[int] = (128,),
        out_features: int = 10,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ArgumentError(
                f"MLP: activation = {activation!r}; known are {', '.join(ACTIVATIONS)}."
            )
        if not isinstance(hidden, Sequence) or isinstance(hidden, str):
            raise ArgumentError(
                f"MLP(hidden={hidden!r}): expected the sizes of the hidden layers, such as (128,)"
            )
        self._config = {
            "in_features": in_features,
            "hidden": list(hidden),
            "out_features": out_features,
            "activation": activation,
            "dropout": dropout,
        }
        layers: list[nn.Module] = [nn.Flatten()]
        width = in_features
        for size in hidden:
            layers += [nn.Linear(width, size), ACTIVATIONS[activation]()]
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
            width = size
        self.layers = nn.Sequential(*layers, nn.Linear(width, out_features))

    @property
    def config(self) -> dict[str, Any]:
        """The arguments that make this model again."""
        return dict(self._config)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
