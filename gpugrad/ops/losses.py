"""Classification losses: the fused softmax cross-entropy, and nll_loss on log-probabilities."""

from __future__ import annotations

import math
from typing import Any

from .. import dtype as dtypes
from ..amp.autocast_mode import AUTOCAST
from ..autograd.function import Function, describe, mixed_devices
from ..autograd.modes import MODE
from ..backends.base import LABEL
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..tensor import Tensor
from .operands import check_tensor, demand_floating
from .positions import positions
from .probability import log_softmax, softmax
from .selection import where

REDUCTIONS = ("none", "mean", "sum")


class CrossEntropy(Function):
    """loss[n, l] = sum over c of q_c (lse - x_c), lse = logsumexp over c of x[n, c, l];
    dx = dloss (softmax(x) sum(q) - q).

    q_c = w_c ((1 - s) [c = t] + s / C) where the target t counts, 0 where it is ignore_index; s is
    the label smoothing, w the class weights. "mean" divides the sum by the sum of w_t.
    """

    def forward(
        self,
        x: Any,
        target: Any,
        weight: Any,
        ignore_index: int,
        smoothing: float,
        reduction: str,
    ) -> Any:
        k = self.kernels
        loss, lse, target_weight = k.cross_entropy(x, target, weight, ignore_index, smoothing)
        self.options, self.reduction = (ignore_index, smoothing), reduction
        total = None
        if reduction != "none":
            loss = k.reduce("sum", loss, (0, 1), False)
        if reduction == "mean":
            total = k.reduce("sum", target_weight, (0, 1), False)
            loss = k.binary("div", loss, total)
        self.save(x, target, weight, lse, total)
        return loss if loss.dtype == x.dtype else k.cast(loss, x.dtype)

    def backward(self, dy: Tensor) -> Any:
        x, target, weight, lse, total = self.saved
        dloss = dy.to(lse.dtype)
        if total is not None:
            dloss = dloss / total
        if self.reduction != "none":
            dloss = dloss.expand(target.shape)
        if MODE.grad:
            dx = self._composed(dloss, x, target, weight)
        else:
            raw = self.kernels.cross_entropy_grad(
                dloss.array,
                x.array,
                target.array,
                None if weight is None else weight.array,
                lse.array,
                *self.options,
            )
            dx = Tensor(raw, x.backend)
        return dx, None, None

    def _composed(self, dloss: Tensor, x: Tensor, target: Tensor, weight: Any) -> Tensor:
        ignore_index, s = self.options
        n = x.shape[1]
        classes = Tensor(positions(x.backend, n).reshape(n, 1), x.backend)
        hit = (target.unsqueeze(1) == classes).to(lse_dtype(x))
        q = hit * (1 - s) + s / n
        if weight is not None:
            q = q * weight.reshape(1, n, 1)
        q = q.masked_fill((target == ignore_index).unsqueeze(1), 0.0)
        wide = x.to(lse_dtype(x))
        dx = dloss.unsqueeze(1) * (softmax(wide, 1) * q.sum(1, keepdim=True) - q)
        return dx.to(x.dtype)


def lse_dtype(x: Tensor) -> Any:
    """The dtype the loss is formed in: float64 for float64, else float32."""
    return dtypes.accumulation(x.dtype)


def check_reduction(name: str, reduction: str) -> None:
    """Raise ArgumentError for an unknown reduction."""
    if reduction not in REDUCTIONS:
        raise ArgumentError(f"{name}: reduction must be one of {REDUCTIONS}, not {reduction!r}.")


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Softmax cross-entropy of logits: input [N, C, ...] or [C].

    target: class indices [N, ...] (or 0-d) in int64, or probabilities of input's shape and a
    floating dtype. weight [C] weighs classes. Targets equal to ignore_index do not count. "mean"
    divides by the sum of the targets' weights (by the number of targets for probabilities).
    Raises IndexOutOfRangeError for a class that does not exist, ShapeError, DTypeError.
    """
    if AUTOCAST.on:
        input, target, weight = AUTOCAST.cast("cross_entropy", input, target, weight)
    demand_floating("cross_entropy", check_tensor("cross_entropy", input))
    check_reduction("cross_entropy", reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ArgumentError(f"cross_entropy: label_smoothing {label_smoothing} is not in [0, 1].")
    _check_target("cross_entropy", input, target, weight)
    if dtypes.is_floating(target.dtype):
        return _with_probabilities(input, target, weight, reduction, label_smoothing)
    x, t = _as_ncl("cross_entropy", input, target)
    w = None if weight is None else weight.to(lse_dtype(x))
    loss: Tensor = CrossEntropy.apply(
        x,
        t,
        w,
        ignore_index=ignore_index,
        smoothing=float(label_smoothing),
        reduction=reduction,
    )
    return loss if reduction != "none" or loss.shape == target.shape else loss.reshape(target.shape)


def _check_target(name: str, input: Tensor, target: Any, weight: Tensor | None) -> None:
    if not isinstance(target, Tensor):
        raise DTypeError(f"{name}: target must be a Tensor, got {type(target).__name__}.")
    for other in (target, weight):
        if other is not None and other.backend is not input.backend:
            raise DeviceError(mixed_devices(name, (input, other)))
    if input.ndim == 0:
        raise ShapeError(f"{name}: input must be [C] or [N, C, ...], got a 0-d tensor.")
    classes = input.shape[0 if input.ndim == 1 else 1]
    if weight is not None and weight.shape != (classes,):
        raise ShapeError(f"{name}: weight must have shape ({classes},), got {weight.shape}.")


def _as_ncl(name: str, input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Logits as [N, C, L] and class indices as [N, L]."""
    if target.dtype != dtypes.int64:
        if dtypes.is_floating(target.dtype) or target.dtype == dtypes.bool_:
            raise DTypeError(_integers_text(name, target))
        target = target.to(dtypes.int64)
    shape = input.shape
    expected = (*shape[:1], *shape[2:]) if input.ndim > 1 else ()
    if target.shape != expected:
        raise ShapeError(
            f"{name}: target {target.shape} does not fit input {shape}: class indices for it have "
            f"shape {expected}."
        )
    if input.ndim == 1:
        return input.reshape(1, shape[0], 1), target.reshape(1, 1)
    rest = math.prod(shape[2:])
    x = input if input.ndim == 3 else input.reshape(shape[0], shape[1], rest)
    return x, (target if target.ndim == 2 else target.reshape(shape[0], rest))


def _integers_text(name: str, target: Tensor) -> str:
    return (
        f"{name}: class indices must be integers; got {describe(target)}.\n"
        "  Convert them with .long()."
    )


def _with_probabilities(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, smoothing: float
) -> Tensor:
    """-sum over c of w_c q_c log_softmax(x)_c, q the (smoothed) target."""
    if target.shape != input.shape:
        if target.shape == (*input.shape[:1], *input.shape[2:]):  # one label for each sample
            raise DTypeError(_integers_text("cross_entropy", target))
        raise ShapeError(
            f"cross_entropy: probabilities {target.shape} must have input's shape {input.shape}.\n"
            "  Class indices must be integers."
        )
    dim = 0 if input.ndim == 1 else 1
    n = input.shape[dim]
    q = target if smoothing == 0 else target * (1 - smoothing) + smoothing / n
    terms = q * log_softmax(input, dim)
    if weight is not None:
        terms = terms * weight.reshape([n if i == dim else 1 for i in range(input.ndim)])
    loss = -terms.sum(dim)
    return loss if reduction == "none" else loss.sum() if reduction == "sum" else loss.mean()


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """-w_t input[n, t, ...] for log-probabilities input [N, C, ...] or [C] and class indices.

    Options and errors as in `cross_entropy`.
    """
    if AUTOCAST.on:
        input, weight = AUTOCAST.cast("nll_loss", input, weight)
    demand_floating("nll_loss", check_tensor("nll_loss", input))
    check_reduction("nll_loss", reduction)
    _check_target("nll_loss", input, target, weight)
    x, t = _as_ncl("nll_loss", input, target)
    counts = t != ignore_index
    legal = (t >= 0) & (t < x.shape[1])
    at = where(legal, t, t - LABEL).masked_fill(~counts, 0)  # the gather names what is not legal
    w = x.new_ones(x.shape[1]) if weight is None else weight.to(x.dtype)
    picked = w[at].masked_fill(~counts, 0)
    loss = -(x.gather(1, at.unsqueeze(1)).squeeze(1) * picked)
    if reduction == "none":
        return loss.reshape(target.shape)
    return loss.sum() if reduction == "sum" else loss.sum() / picked.sum()
