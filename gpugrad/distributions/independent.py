"""Batch axes read as axes of one event."""

from __future__ import annotations

from ..errors import ArgumentError
from ..tensor import Tensor
from .distribution import Distribution, Shape


class Independent(Distribution):
    """The last axes of the base's batch_shape become the first of event_shape.

    `log_prob` and `entropy` are summed over them: Independent(Normal(loc, scale), 1) with loc
    (..., n) is a normal distribution of vectors with a diagonal covariance.
    """

    def __init__(
        self,
        base_distribution: Distribution,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:
        n, batch = reinterpreted_batch_ndims, base_distribution.batch_shape
        if not 0 <= n <= len(batch):
            raise ArgumentError(
                f"Independent: reinterpreted_batch_ndims must be 0 to {len(batch)}, the number "
                f"of axes of the base's batch_shape {batch}; got {n}."
            )
        split = len(batch) - n
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, n
        event = (*batch[split:], *base_distribution.event_shape)
        super().__init__(batch[:split], event, validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """That of the base."""
        return self.base_dist.has_rsample

    def expand(self, batch_shape: Shape) -> Independent:
        """The same distribution for a batch of this shape."""
        n = self.reinterpreted_batch_ndims
        base = self.base_dist.expand((*batch_shape, *self.event_shape[:n]))
        return Independent(base, n, self._validate_args)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draws of the base."""
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draws of the base, differentiable where its are."""
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """That of the base, summed over the axes that became the event's."""
        return self.summed(self.base_dist.log_prob(value))

    def entropy(self) -> Tensor:
        """That of the base, summed over the axes that became the event's."""
        return self.summed(self.base_dist.entropy())

    def summed(self, x: Tensor) -> Tensor:
        """x, a number for each of the base's batch, summed to one for each of this batch."""
        n = self.reinterpreted_batch_ndims
        return x.sum(tuple(range(-n, 0))) if n else x

    @property
    def mean(self) -> Tensor:
        """That of the base."""
        return self.base_dist.mean

    @property
    def mode(self) -> Tensor:
        """That of the base."""
        return self.base_dist.mode

    @property
    def variance(self) -> Tensor:
        """That of the base."""
        return self.base_dist.variance

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"
