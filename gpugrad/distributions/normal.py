"""The normal distribution."""

from __future__ import annotations

import math

from .. import randn
from ..tensor import Tensor
from .distribution import Shape
from .location_scale import LocationScale

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Normal(LocationScale):
    """p(x) = exp(-(x - loc)^2 / (2 scale^2)) / (scale sqrt(2 pi)); scale is above 0.

    `rsample` is loc + scale e with standard normal e (Kingma & Welling 2014).
    """

    @property
    def stddev(self) -> Tensor:
        """scale."""
        return self.scale

    @property
    def variance(self) -> Tensor:
        """scale^2."""
        return self.scale**2

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draws, differentiable by loc and scale."""
        shape = self._extended(sample_shape)
        return self.loc + randn(shape, dtype=self.loc.dtype, device=self.loc.device) * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        """-(x - loc)^2 / (2 scale^2) - log scale - log(2 pi) / 2."""
        x = (self._number(value) - self.loc) / self.scale
        return -0.5 * x**2 - self.scale.log() - HALF_LOG_2PI

    def entropy(self) -> Tensor:
        """1/2 + log(2 pi) / 2 + log scale."""
        return 0.5 + HALF_LOG_2PI + self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        """(1 + erf((x - loc) / (scale sqrt 2))) / 2."""
        return 0.5 * (1 + ((value - self.loc) / (self.scale * math.sqrt(2))).erf())

    def icdf(self, value: Tensor) -> Tensor:
        """loc + scale sqrt 2 erfinv(2 u - 1)."""
        return self.loc + self.scale * (2 * value - 1).erfinv() * math.sqrt(2)
