"""The Laplace distribution."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import finfo, rand
from ..tensor import Tensor
from .distribution import Distribution, Shape, broadcast_all


class Laplace(Distribution):
    """p(x) = exp(-|x - loc| / scale) / (2 scale); scale is above 0."""

    has_rsample = True
    trailing: ClassVar[dict[str, int]] = {"loc": 0, "scale": 0}

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all("Laplace", loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)
        if self._validate_args:
            self._demand("loc", self.loc, self.loc == self.loc, "a number")
            self._demand("scale", self.scale, self.scale > 0, "above 0")

    @property
    def mean(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def stddev(self) -> Tensor:
        """scale sqrt 2."""
        return 2**0.5 * self.scale

    @property
    def variance(self) -> Tensor:
        """2 scale^2."""
        return 2 * self.scale**2

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draws, differentiable by loc and scale."""
        shape = self._extended(sample_shape)
        u = rand(shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.icdf(u.clamp(min=float(finfo(u.dtype).eps) / 2))  # 0 would give -inf

    def log_prob(self, value: Tensor) -> Tensor:
        """-|x - loc| / scale - log(2 scale)."""
        value = self._number(value)
        return -(2 * self.scale).log() - (value - self.loc).abs() / self.scale

    def entropy(self) -> Tensor:
        """1 + log(2 scale)."""
        return 1 + (2 * self.scale).log()

    def cdf(self, value: Tensor) -> Tensor:
        """exp(z) / 2 below loc, 1 - exp(-z) / 2 above, of z = (x - loc) / scale."""
        x = value - self.loc
        return 0.5 - 0.5 * x.sign() * (-x.abs() / self.scale).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        """loc - scale sign(u - 1/2) log(1 - 2 |u - 1/2|)."""
        u = value - 0.5
        return self.loc - self.scale * u.sign() * (-2 * u.abs()).log1p()
