"""Losses as functions. Shapes must be equal; nothing is broadcast silently."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from .. import ops
from ..amp.autocast_mode import AUTOCAST
from ..autograd import Function
from ..autograd.function import mixed_devices
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..ops.operands import check_probabilities
from ..tensor import Tensor

REDUCTIONS = ("mean", "sum", "none")
F = TypeVar("F", bound=Callable[..., Any])


def refuse_legacy(name: str, options: dict[str, Any]) -> None:
    """Takes PyTorch's size_average and reduce out of options; raises ArgumentError for a value."""
    given = {key: options.pop(key, None) for key in ("size_average", "reduce")}
    for key, value in given.items():
        if value is not None:
            single = not value if key == "reduce" else False
            way_out = (
                "none" if single else "mean" if given["size_average"] in (None, True) else "sum"
            )
            raise ArgumentError(
                f"{name}({key}={value}): deprecated in PyTorch, unknown here; write "
                f"reduction={way_out!r}"
            )


def loss_function(function: F) -> F:
    """A loss that answers PyTorch's deprecated size_average and reduce with the way out."""

    @wraps(function)
    def checked(*args: Any, **options: Any) -> Any:
        if "size_average" in options or "reduce" in options:
            refuse_legacy(function.__name__, options)
        if AUTOCAST.on:
            args = AUTOCAST.cast(function.__name__, *args)
            values = AUTOCAST.cast(function.__name__, *options.values())
            options = dict(zip(options, values, strict=True))
        return function(*args, **options)

    return checked  # type: ignore[return-value]


def reduced(operation: str, loss: Tensor, reduction: str) -> Tensor:
    """The mean or the sum of the single losses, or the losses themselves."""
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    if reduction == "none":
        return loss
    raise ArgumentError(
        f"{operation}(reduction={reduction!r}): expected one of {', '.join(REDUCTIONS)}"
    )


def check_shapes(operation: str, input: Tensor, target: Tensor) -> None:
    """Raises DTypeError, DeviceError or ShapeError unless both are tensors, on one device, of one
    shape."""
    for name, value in (("input", input), ("target", target)):
        if not isinstance(value, Tensor):
            raise DTypeError(f"{operation}({name}): expected a Tensor, got {type(value).__name__}")
    if input.backend is not target.backend:
        raise DeviceError(mixed_devices(operation, (input, target)))
    a, b = tuple(input.shape), tuple(target.shape)
    if a == b:
        return
    hint = ""
    if input.numel() == target.numel():
        hint = f" Did you mean target.reshape({a})?"
    raise ShapeError(
        f"{operation}(input, target): shapes differ: input {a}, target {b}.\n"
        f"  They must be equal; nothing is broadcast.{hint}"
    )


def _check_floating_target(operation: str, input: Tensor, target: Tensor) -> None:
    if input.dtype != target.dtype:
        raise DTypeError(
            f"{operation}(input, target): dtypes differ: input {input.dtype}, target "
            f"{target.dtype}. Convert the target: target.to(input.dtype)"
        )


def _mean_of_weights(operation: str, loss: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """The reduced losses times weights of the same shape; "mean" divides by the weights' sum."""
    if weight is None:
        return reduced(operation, loss, reduction)
    if weight.shape != loss.shape:
        raise ShapeError(
            f"{operation}: weight {weight.shape} must have the shape of input, {loss.shape}"
        )
    if reduction == "mean":
        return (loss * weight).sum() / weight.sum()
    return reduced(operation, loss * weight, reduction)


@loss_function
def mse_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """(input - target)^2. Shapes: all equal. Raises ShapeError otherwise.

    weight: of each element; "mean" then divides by its sum.
    """
    check_shapes("mse_loss", input, target)
    return _mean_of_weights("mse_loss", (input - target).square(), weight, reduction)


@loss_function
def l1_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """|input - target|. Shapes: all equal. Raises ShapeError otherwise. weight as in mse_loss."""
    check_shapes("l1_loss", input, target)
    return _mean_of_weights("l1_loss", (input - target).abs(), weight, reduction)


cross_entropy = loss_function(ops.cross_entropy)
nll_loss = loss_function(ops.nll_loss)


@loss_function
def smooth_l1_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """d^2 / (2 beta) where d = |input - target| < beta, else d - beta / 2. beta 0 is l1_loss."""
    if beta < 0:
        raise ArgumentError(f"smooth_l1_loss(beta={beta}): cannot be negative")
    check_shapes("smooth_l1_loss", input, target)
    distance = (input - target).abs()
    if beta == 0:
        return reduced("smooth_l1_loss", distance, reduction)
    near = distance.square() * (0.5 / beta)
    loss = ops.where(distance < beta, near, distance - 0.5 * beta)
    return reduced("smooth_l1_loss", loss, reduction)


@loss_function
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """d^2 / 2 where d = |input - target| < delta, else delta (d - delta / 2). (Huber 1964.)

    weight as in mse_loss.
    """
    if delta <= 0:
        raise ArgumentError(f"huber_loss(delta={delta}): must be above 0")
    check_shapes("huber_loss", input, target)
    distance = (input - target).abs()
    far = (distance - 0.5 * delta) * delta
    loss = ops.where(distance < delta, distance.square() * 0.5, far)
    return _mean_of_weights("huber_loss", loss, weight, reduction)


class BinaryCrossEntropy(Function):
    """y = -(t log p + (1 - t) log(1 - p)), logs at least -100.

    dp = dy (p - t) / max(p (1 - p), 1e-12);  dt = dy (log(1 - p) - log p).
    """

    def forward(self, p: Any, t: Any) -> Any:
        self.save(p, t)
        k = self.kernels
        log_p, log_q = self._logs(p)
        kept = k.binary("mul", t, log_p)
        other = k.binary("mul", k.binary("sub", 1.0, t), log_q)
        return k.unary("neg", k.binary("add", kept, other))

    def _logs(self, p: Any) -> tuple[Any, Any]:
        k = self.kernels
        log_q = k.unary("log1p", k.unary("neg", p))
        return k.binary("maximum", k.unary("log", p), -100.0), k.binary("maximum", log_q, -100.0)

    def backward(self, dy: Tensor) -> Any:
        p, t = self.saved
        dp = dy * (p - t) / (p * (1 - p)).clamp(min=1e-12) if self.needs(0) else None
        dt = None
        if self.needs(1):
            dt = dy * ((1 - p).log().clamp(min=-100.0) - p.log().clamp(min=-100.0))
        return dp, dt


_OF_SCORES = (
    "\n  Of raw scores take binary_cross_entropy_with_logits (nn.BCEWithLogitsLoss); it applies "
    "the sigmoid itself."
)


@loss_function
def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """-weight (target log input + (1 - target) log(1 - input)); logs are taken at least -100.

    input: probabilities in [0, 1] (of logits use binary_cross_entropy_with_logits, which loses no
    precision). target: in [0, 1], in input's shape and dtype. weight broadcasts to that shape.
    Raises ArgumentError for an input outside [0, 1], but not on CUDA, where looking would wait for
    the device: there a NaN in the loss tells.
    """
    name = "binary_cross_entropy"
    check_shapes(name, input, target)
    _check_floating_target(name, input, target)
    check_probabilities(name, input, _OF_SCORES)
    loss = BinaryCrossEntropy.apply(input, target)
    return reduced(name, _weighted(name, loss, weight), reduction)


@loss_function
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """-weight (pos_weight target log s + (1 - target) log(1 - s)), s = sigmoid(input).

    Computed as (1 - target) input - (1 + (pos_weight - 1) target) log s, without overflow.
    weight and pos_weight broadcast to the shape of input; target has that shape and dtype.
    """
    name = "binary_cross_entropy_with_logits"
    check_shapes(name, input, target)
    _check_floating_target(name, input, target)
    log_s = ops.log_sigmoid(input)
    if pos_weight is not None:
        _check_broadcasts(name, "pos_weight", pos_weight, input)
        log_s = log_s * (1 + (pos_weight - 1) * target)
    loss = (1 - target) * input - log_s
    return reduced(name, _weighted(name, loss, weight), reduction)


def _weighted(operation: str, loss: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return loss
    _check_broadcasts(operation, "weight", weight, loss)
    return loss * weight


def _check_broadcasts(operation: str, name: str, weight: Tensor, loss: Tensor) -> None:
    small, large = tuple(weight.shape), tuple(loss.shape)
    tail = large[len(large) - len(small) :]
    if len(small) > len(large) or any(n not in (1, m) for n, m in zip(small, tail, strict=True)):
        raise ShapeError(f"{operation}: {name} {small} does not broadcast to the losses {large}")


@loss_function
def kl_div(
    input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """target (log target - input), 0 where target is 0; exp(t) (t - input) for log_target.

    input: log-probabilities. The divergence itself is reduction="batchmean": the sum divided by
    the length of the first axis.
    """
    check_shapes("kl_div", input, target)
    if reduction == "mean":
        warnings.warn(
            "kl_div: reduction='mean' divides by the number of elements, not of samples; "
            "'batchmean' is the mathematical definition",
            stacklevel=2,
        )
    if log_target:
        loss = target.exp() * (target - input)
    else:
        positive = target > 0
        safe = ops.where(positive, target, 1.0)
        loss = ops.where(positive, target * safe.log(), 0.0) - target * input
    if reduction == "batchmean":
        return loss.sum() / max(input.shape[0] if input.ndim else 1, 1)
    return reduced("kl_div", loss, reduction)
