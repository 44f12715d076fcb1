"""What all distributions share: shapes, draws, checks of parameters and values."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from numbers import Number
from typing import Any, ClassVar

from .. import ops
from .. import scalar_tensor as scalar
from ..autograd import enable_grad, no_grad
from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor

Shape = Sequence[int]


class Distribution:
    """A distribution over values of shape batch_shape + event_shape.

    The batch holds independent distributions, each with its own parameters; `log_prob` has one
    number for each. Parameters may be numbers or tensors, which are broadcast. `rsample` is
    differentiable by the parameters where `has_rsample` is true; `sample` never is.

    validate_args: check that parameters and values are legal, and raise ArgumentError (a
    ValueError). Only where their values are at hand: on a GPU nothing waits for them.
    """

    has_rsample = False
    has_enumerate_support = False
    trailing: ClassVar[dict[str, int]] = {}
    """The parameters by name, each with the number of axes that belong to one distribution."""
    _validate_args = True

    def __init__(
        self,
        batch_shape: Shape = (),
        event_shape: Shape = (),
        validate_args: bool | None = None,
    ) -> None:
        self.batch_shape, self.event_shape = tuple(batch_shape), tuple(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions made from now on check what they are given."""
        Distribution._validate_args = bool(value)

    # ---- draws -----------------------------------------------------------------------------

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draws of shape sample_shape + batch_shape + event_shape, without gradient."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draws as a differentiable function of the parameters, where there is one."""
        raise NotImplementedError(f"{type(self).__name__} has no differentiable draws.")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values, along a new first axis; for distributions over finitely many."""
        raise NotImplementedError(f"{type(self).__name__} has no finite list of values.")

    # ---- what it says of values --------------------------------------------------------------

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density or probability at `value`, one number for each batch."""
        raise NotImplementedError(f"{type(self).__name__} has no log_prob.")

    def entropy(self) -> Tensor:
        """-E log p, in nats, of shape batch_shape."""
        raise NotImplementedError(f"{type(self).__name__} has no entropy in closed form.")

    def perplexity(self) -> Tensor:
        """exp of the entropy."""
        return self.entropy().exp()

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of at most `value`."""
        raise NotImplementedError(f"{type(self).__name__} has no cdf.")

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of `cdf`."""
        raise NotImplementedError(f"{type(self).__name__} has no icdf.")

    @property
    def mean(self) -> Tensor:
        """E x."""
        raise NotImplementedError(f"{type(self).__name__} has no mean.")

    @property
    def mode(self) -> Tensor:
        """The likeliest value."""
        raise NotImplementedError(f"{type(self).__name__} has no mode.")

    @property
    def variance(self) -> Tensor:
        """E (x - mean)^2."""
        raise NotImplementedError(f"{type(self).__name__} has no variance.")

    @property
    def stddev(self) -> Tensor:
        """The root of the variance."""
        return self.variance.sqrt()

    # ---- parts for subclasses ----------------------------------------------------------------

    def expand(self, batch_shape: Shape) -> Any:
        """The same distribution for a batch of this shape; parameters are expanded, not copied."""
        whole = {
            name: value.expand(*batch_shape, *value.shape[value.ndim - self.trailing[name] :])
            for name, value in self._given().items()
        }
        kind: Any = type(self)
        return kind(**whole, validate_args=False)._checking(self._validate_args)

    def _given(self) -> dict[str, Tensor]:
        """The parameters that make this distribution, by name."""
        return {name: self.__dict__[name] for name in self.trailing}

    def _checking(self, validate_args: bool) -> Any:
        self._validate_args = validate_args
        return self

    def _extended(self, sample_shape: Shape) -> tuple[int, ...]:
        return (*drawn_shape(self, sample_shape), *self.batch_shape, *self.event_shape)

    def _demand(self, name: str, values: Tensor, legal: Tensor, rule: str) -> None:
        """Raise ArgumentError where `legal` is not true of all values (NaN is never legal)."""
        if not values.backend.synchronous or bool(legal.all()):
            return
        bad = values.detach()[~legal].flatten()[0].item()
        raise ArgumentError(f"{type(self).__name__}: {name} must be {rule}, found {bad}.")

    def _checked(self, value: Any) -> Any:
        """`value`, and where checks are on, only if it is a tensor whose shape fits."""
        if not self._validate_args:
            return value
        if not isinstance(value, Tensor):
            raise ArgumentError(
                f"{type(self).__name__}: the value must be a Tensor, got {type(value).__name__}."
            )
        axes = len(self.event_shape)
        own, event = value.shape[: value.ndim - axes], value.shape[value.ndim - axes :]
        pairs = zip(reversed(own), reversed(self.batch_shape), strict=False)
        if event != self.event_shape or any(a != b and 1 not in (a, b) for a, b in pairs):
            raise ShapeError(
                f"{type(self).__name__}: a value of shape {value.shape} does not fit "
                f"batch_shape {self.batch_shape} and event_shape {self.event_shape}."
            )
        return value

    def _number(self, value: Any) -> Any:
        """`value`, checked, and where checks are on, only if it has no NaN."""
        value = self._checked(value)
        if self._validate_args:
            self._demand("the value", value, value == value, "a number")
        return value

    def __repr__(self) -> str:
        facts = ", ".join(
            f"{name}: {value.item() if value.numel() == 1 else tuple(value.shape)}"
            for name, value in self._given().items()
        )
        return f"{type(self).__name__}({facts})"


class derived(cached_property[Tensor]):
    """A parameter computed from the given one when first asked for, with its gradient even if that
    is in `sample`, which records nothing."""

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        with enable_grad():
            return super().__get__(instance, owner)


def drawn_shape(distribution: Distribution, sample_shape: Any) -> tuple[int, ...]:
    """`sample_shape`, if it is a shape."""
    if not isinstance(sample_shape, Sequence):
        raise TypeError(
            f"{type(distribution).__name__}: sample_shape must be a tuple, got {sample_shape!r}.\n"
            "  For n draws give (n,)."
        )
    return tuple(int(n) for n in sample_shape)


def broadcast_all(name: str, *values: Any) -> list[Tensor]:
    """Numbers and tensors as tensors of one shape, numbers in the dtype of the first tensor.

    Raises ArgumentError for anything else, such as a list. name: the distribution.
    """
    for v in values:
        if not isinstance(v, (Tensor, Number)):
            raise ArgumentError(
                f"{name}: parameters are numbers or Tensors, got {type(v).__name__} {v!r}.\n"
                "  gg.tensor(...) makes one of lists and arrays."
            )
    like = next((v for v in values if isinstance(v, Tensor)), None)
    if like is None:
        return [scalar(float(v)) for v in values]
    made = [
        v if isinstance(v, Tensor) else scalar(float(v), dtype=like.dtype, device=like.device)
        for v in values
    ]
    return list(ops.broadcast_tensors(*made))
