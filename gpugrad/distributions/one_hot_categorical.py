"""A class as a row of zeros with a one."""

from __future__ import annotations

from .. import eye
from ..nn.functional import one_hot
from ..tensor import Tensor
from .categorical import Categorical
from .distribution import Shape


class OneHotCategorical(Categorical):
    """`Categorical` whose values are rows (..., n) with a 1 at the class, in the dtype of probs."""

    def _event(self, classes: int) -> Shape:
        return (classes,)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Rows of shape sample_shape + batch_shape + (n,)."""
        return one_hot(super().sample(sample_shape), self._classes).to(self.probs.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """The log probability of the class whose entry is 1."""
        value = self._checked(value)
        if self._validate_args:
            legal = ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)
            self._demand("each row", value.sum(-1), legal, "one-hot")
        return self._at(value.argmax(-1))

    @property
    def mean(self) -> Tensor:
        """probs."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """The likeliest class's row."""
        return one_hot(self.probs.argmax(-1), self._classes).to(self.probs.dtype)

    @property
    def variance(self) -> Tensor:
        """p (1 - p)."""
        return self.probs * (1 - self.probs)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """The n rows, of shape (n,) + batch_shape + (n,)."""
        n = self._classes
        rows = eye(n, dtype=self.probs.dtype, device=self.probs.device)
        rows = rows.view(n, *(1 for _ in self.batch_shape), n)
        return rows.expand(n, *self.batch_shape, n) if expand else rows


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """`OneHotCategorical` whose draws pass their gradient to probs (Bengio et al. 2013)."""

    has_rsample = True

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """A drawn row + probs - its own constant: the row's values, the gradient of probs."""
        return self.sample(sample_shape) + (self.probs - self.probs.detach())
