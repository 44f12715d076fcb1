"""0 or 1."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import ops, tensor
from ..autograd import no_grad
from ..nn.functional import binary_cross_entropy_with_logits
from ..tensor import Tensor
from .categorical import held_off, one_of
from .distribution import Distribution, Shape, broadcast_all, derived


class Bernoulli(Distribution):
    """p(1) = probs = sigmoid(logits), p(0) = 1 - probs. Give one of the two.

    Values are 0 and 1 in the dtype of the parameter.
    """

    has_enumerate_support = True
    trailing: ClassVar[dict[str, int]] = {"probs": 0, "logits": 0}

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        (given,) = broadcast_all("Bernoulli", one_of("Bernoulli", probs, logits))
        super().__init__(given.shape, validate_args=validate_args)
        self._name = "logits" if probs is None else "probs"
        if probs is None:
            self.logits = given
            legal, rule = given == given, "a number"
        else:
            self.probs = given
            legal, rule = (given >= 0) & (given <= 1), "in [0, 1]"
        if self._validate_args:
            self._demand(self._name, given, legal, rule)

    def _given(self) -> dict[str, Tensor]:
        return {self._name: self.__dict__[self._name]}

    @derived
    def probs(self) -> Tensor:
        """The probability of 1."""
        return self.logits.sigmoid()

    @derived
    def logits(self) -> Tensor:
        """log(p / (1 - p)), of probs held within [eps, 1 - eps]."""
        p = held_off(self.probs)
        return p.log() - (-p).log1p()

    @property
    def mean(self) -> Tensor:
        """probs."""
        return self.probs

    @property
    def variance(self) -> Tensor:
        """p (1 - p)."""
        return self.probs * (1 - self.probs)

    @property
    def mode(self) -> Tensor:
        """1 above probs = 1/2, 0 below, NaN at it."""
        likelier = (self.probs >= 0.5).to(self.probs.dtype)
        return ops.where(self.probs == 0.5, float("nan"), likelier)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """0 and 1, of shape sample_shape + batch_shape."""
        with no_grad():
            return self.probs.expand(self._extended(sample_shape)).bernoulli()

    def log_prob(self, value: Tensor) -> Tensor:
        """x log p + (1 - x) log(1 - p), from the logits."""
        value = self._checked(value)
        if self._validate_args:
            self._demand("the value", value, (value == 0) | (value == 1), "0 or 1")
        logits, x = ops.broadcast_tensors(self.logits, value.to(self.logits.dtype))
        return -binary_cross_entropy_with_logits(logits, x, reduction="none")

    def entropy(self) -> Tensor:
        """-p log p - (1 - p) log(1 - p)."""
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """0 and 1, of shape (2,) + batch_shape, or (2, 1, ...) without `expand`."""
        values = tensor([0.0, 1.0], dtype=self.probs.dtype, device=self.probs.device)
        values = values.view(2, *(1 for _ in self.batch_shape))
        return values.expand(2, *self.batch_shape) if expand else values
