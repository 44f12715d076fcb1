"""The Laplace distribution."""

from __future__ import annotations

from .. import finfo, rand
from ..tensor import Tensor
from .distribution import Shape
from .location_scale import LocationScale


class Laplace(LocationScale):
    """p(x) = exp(-|x - loc| / scale) / (2 scale); scale is above 0."""

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
