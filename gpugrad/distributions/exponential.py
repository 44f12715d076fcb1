"""The exponential distribution."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import empty, zeros_like
from ..tensor import Tensor
from .distribution import Distribution, Shape, broadcast_all


class Exponential(Distribution):
    """p(x) = rate exp(-rate x) for x >= 0; rate is above 0."""

    has_rsample = True
    trailing: ClassVar[dict[str, int]] = {"rate": 0}

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all("Exponential", rate)
        super().__init__(self.rate.shape, validate_args=validate_args)
        if self._validate_args:
            self._demand("rate", self.rate, self.rate > 0, "above 0")

    @property
    def mean(self) -> Tensor:
        """1 / rate."""
        return self.rate.reciprocal()

    @property
    def mode(self) -> Tensor:
        """0."""
        return zeros_like(self.rate)

    @property
    def stddev(self) -> Tensor:
        """1 / rate."""
        return self.rate.reciprocal()

    @property
    def variance(self) -> Tensor:
        """1 / rate^2."""
        return self.rate**-2

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draws, differentiable by rate."""
        shape = self._extended(sample_shape)
        e = empty(shape, dtype=self.rate.dtype, device=self.rate.device).exponential_()
        return e / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        """log rate - rate x."""
        value = self._checked(value)
        if self._validate_args:
            self._demand("the value", value, value >= 0, "at least 0")
        return self.rate.log() - self.rate * value

    def entropy(self) -> Tensor:
        """1 - log rate."""
        return 1 - self.rate.log()

    def cdf(self, value: Tensor) -> Tensor:
        """1 - exp(-rate x)."""
        return -(-self.rate * value).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        """-log(1 - u) / rate."""
        return -(-value).log1p() / self.rate
