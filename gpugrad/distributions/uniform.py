"""The uniform distribution."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import nan, rand
from ..tensor import Tensor
from .distribution import Distribution, Shape, broadcast_all


class Uniform(Distribution):
    """p(x) = 1 / (high - low) on [low, high), where low < high."""

    has_rsample = True
    trailing: ClassVar[dict[str, int]] = {"low": 0, "high": 0}

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = broadcast_all("Uniform", low, high)
        super().__init__(self.low.shape, validate_args=validate_args)
        if self._validate_args:
            self._demand("low", self.low, self.low < self.high, "below high")

    @property
    def mean(self) -> Tensor:
        """(low + high) / 2."""
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Tensor:
        """NaN: no value is likelier than the others."""
        return self.high * nan

    @property
    def variance(self) -> Tensor:
        """(high - low)^2 / 12."""
        return (self.high - self.low) ** 2 / 12

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draws, differentiable by low and high."""
        shape = self._extended(sample_shape)
        u = rand(shape, dtype=self.low.dtype, device=self.low.device)
        return self.low + u * (self.high - self.low)

    def log_prob(self, value: Tensor) -> Tensor:
        """-log(high - low) inside, -inf outside.

        A value outside is an error while `validate_args` holds, as in PyTorch.
        """
        value = self._checked(value)
        if self._validate_args:
            legal = (value >= self.low) & (value <= self.high)
            self._demand("the value", value.expand(legal.shape), legal, "in [low, high]")
        inside = ((value >= self.low) & (value < self.high)).to(self.low.dtype)
        return inside.log() - (self.high - self.low).log()

    def entropy(self) -> Tensor:
        """log(high - low)."""
        return (self.high - self.low).log()

    def cdf(self, value: Tensor) -> Tensor:
        """(x - low) / (high - low), held within [0, 1]."""
        return ((value - self.low) / (self.high - self.low)).clamp(min=0, max=1)

    def icdf(self, value: Tensor) -> Tensor:
        """low + u (high - low)."""
        return value * (self.high - self.low) + self.low
