"""Nets that several tests train or watch."""

from __future__ import annotations

import gpugrad as gg
from gpugrad import nn


class Net(nn.Module):
    """[..., 6] -> [..., 3], with modules in modules: body.0, body.1, head."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.Tanh())
        self.head = nn.Linear(8, 3)

    def forward(self, x: gg.Tensor) -> gg.Tensor:
        return self.head(self.body(x))
