"""One of n classes, by their probabilities or logits."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from .. import arange, finfo, full, nan, ops
from ..autograd import no_grad
from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor
from .distribution import Distribution, Shape, derived, drawn_shape


class Categorical(Distribution):
    """p(k) = probs[..., k], k from 0 to n - 1: a class for each row of probs (..., n).

    Give probs (not negative; normalised by their sum) or logits (any; softmax), not both. The
    attributes of both names are normalised. Values are int64.
    """

    has_enumerate_support = True
    trailing: ClassVar[dict[str, int]] = {"probs": 1, "logits": 1}

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        given = one_of(type(self).__name__, probs, logits)
        if given.ndim < 1:
            raise ShapeError(f"{type(self).__name__}: probs and logits need at least one axis.")
        super().__init__(given.shape[:-1], self._event(given.shape[-1]), validate_args)
        self._name = "logits" if probs is None else "probs"
        if probs is None:
            sums = given.logsumexp(-1, keepdim=True)
            self.logits = given - sums
        else:
            sums = given.sum(-1, keepdim=True)
            self.probs = given / sums
        if self._validate_args and probs is None:
            self._demand("logits", given, given == given, "numbers")
            self._demand("the logsumexp of logits", sums, sums.isfinite(), "finite")
        elif self._validate_args:
            legal = given.isfinite() & (given >= 0)
            self._demand("probs", given, legal, "finite and not negative")
            self._demand("the sum of probs", sums, sums > 0, "above 0")

    def _event(self, classes: int) -> Shape:
        return ()

    def _given(self) -> dict[str, Tensor]:
        return {self._name: self.__dict__[self._name]}

    @derived
    def probs(self) -> Tensor:
        """The probabilities, which add up to 1."""
        return self.logits.softmax(-1)

    @derived
    def logits(self) -> Tensor:
        """log probs, of probs held within [eps, 1 - eps]."""
        return held_off(self.probs).log()

    @property
    def _classes(self) -> int:
        return int(self.__dict__[self._name].shape[-1])

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Classes, int64, of shape sample_shape + batch_shape."""
        drawn = drawn_shape(self, sample_shape)
        with no_grad():
            rows = self.probs.reshape(-1, self._classes)
            classes = rows.multinomial(math.prod(drawn), replacement=True)
            return classes.T.reshape(*drawn, *self.batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """logits[..., value]."""
        value = self._checked(value)
        if self._validate_args:
            legal = (value >= 0) & (value < self._classes) & (value == value.long())
            self._demand("the value", value, legal, f"a class, 0 to {self._classes - 1}")
        return self._at(value)

    def _at(self, value: Tensor) -> Tensor:
        index, logits = ops.broadcast_tensors(value.long().unsqueeze(-1), self.logits)
        return logits.gather(-1, index[..., :1]).squeeze(-1)

    def entropy(self) -> Tensor:
        """-sum over k of p log p, where 0 log 0 = 0."""
        logits = self.logits.clamp(min=float(finfo(self.logits.dtype).min))
        return -(logits * self.probs).sum(-1)

    @property
    def mean(self) -> Tensor:
        """NaN: classes are no numbers."""
        return full(self.batch_shape, nan, dtype=self.probs.dtype, device=self.probs.device)

    @property
    def variance(self) -> Tensor:
        """NaN, as the mean."""
        return self.mean

    @property
    def mode(self) -> Tensor:
        """The likeliest class."""
        return self.probs.argmax(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """0 to n - 1, of shape (n,) + batch_shape, or (n, 1, ...) without `expand`."""
        values = arange(self._classes, device=self.probs.device)
        values = values.view(-1, *(1 for _ in self.batch_shape))
        return values.expand(-1, *self.batch_shape) if expand else values


def one_of(name: str, probs: Any, logits: Any) -> Any:
    """The one that is given."""
    if (probs is None) == (logits is None):
        raise ArgumentError(f"{name}: give either probs or logits, not both and not neither.")
    return logits if probs is None else probs


def held_off(probs: Tensor) -> Tensor:
    """Probabilities within [eps, 1 - eps], whose logarithms are finite."""
    eps = float(finfo(probs.dtype).eps)
    return probs.clamp(min=eps, max=1 - eps)
