"""Losses that keep scores or distances apart by a margin, and losses of pairs and triplets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import dtype as dtypes
from .. import ops
from ..autograd import no_grad
from ..autograd.function import describe, mixed_devices
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..ops.operands import check_broadcast, check_tensor, demand_floating
from ..tensor import Tensor
from .loss_functions import REDUCTIONS, check_shapes, loss_function, reduced

GAPS = 1 << 22
"""Differences of scores that multilabel_margin_loss holds at a time, or those of one column."""


def _check(name: str, reduction: str, **tensors: Any) -> None:
    """Raises unless the reduction is known and the tensors are on one device and broadcast."""
    if reduction not in REDUCTIONS:
        raise ArgumentError(
            f"{name}(reduction={reduction!r}): expected one of {', '.join(REDUCTIONS)}"
        )
    for label, x in tensors.items():
        if not isinstance(x, Tensor):
            raise DTypeError(f"{name}({label}): expected a Tensor, got {type(x).__name__}")
    check_broadcast(name, *tensors.values())


def _same_ranks(name: str, **tensors: Tensor) -> None:
    if len({x.ndim for x in tensors.values()}) > 1:
        shapes = ", ".join(f"{label} {x.shape}" for label, x in tensors.items())
        raise ShapeError(f"{name}: all need as many axes; got {shapes}")


@loss_function
def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, *, reduction: str = "mean"
) -> Tensor:
    """input where target is 1, max(0, margin - input) where it is -1. input: distances."""
    _check("hinge_embedding_loss", reduction, input=input, target=target)
    apart = (margin - input).clamp(min=0)
    loss = ops.where(target != 1, apart, 0) + ops.where(target != -1, input, 0)
    return reduced("hinge_embedding_loss", loss, reduction)


@loss_function
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    *,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -target (input1 - input2) + margin): target 1 wants input1 the larger, -1 input2."""
    name = "margin_ranking_loss"
    _check(name, reduction, input1=input1, input2=input2, target=target)
    _same_ranks(name, input1=input1, input2=input2, target=target)
    return reduced(name, (-target * (input1 - input2) + margin).clamp(min=0), reduction)


@loss_function
def soft_margin_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """log(1 + exp(-target input)), without overflow; target 1 or -1."""
    _check("soft_margin_loss", reduction, input=input, target=target)
    return reduced("soft_margin_loss", -ops.log_sigmoid(target * input), reduction)


def _rows(name: str, input: Tensor, target: Tensor) -> Tensor:
    """input as [N, C]; raises unless it is [N, C] or [C] with C > 0 and class targets fit."""
    demand_floating(name, check_tensor(name, input))
    if not isinstance(target, Tensor):
        raise DTypeError(f"{name}(target): expected a Tensor, got {type(target).__name__}")
    if input.backend is not target.backend:
        raise DeviceError(mixed_devices(name, (input, target)))
    if dtypes.is_floating(target.dtype) or target.dtype == dtypes.bool_:
        raise DTypeError(f"{name}: target holds classes, int64; got {describe(target)}")
    if input.ndim > 2 or (input.ndim and input.shape[-1] == 0):
        raise ShapeError(f"{name}: input must be [N, C] or [C], C > 0; got {input.shape}")
    return input.reshape(-1, input.shape[-1] if input.ndim else 1)


@loss_function
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """w_t sum over c other than t of max(0, margin - x_t + x_c)^p / C, for input [N, C] or [C].

    target [N] or (): classes t, int64. p: 1 or 2. weight [C]: w. Raises IndexOutOfRangeError for a
    class that does not exist.
    """
    name = "multi_margin_loss"
    _check(name, reduction, input=input)
    x = _rows(name, input, target)
    n, classes = x.shape
    if p not in (1, 2):
        raise ArgumentError(f"{name}(p={p}): 1 or 2")
    if target.numel() != n or target.ndim > 1:
        raise ShapeError(
            f"{name}: target must be [{n}] for input {input.shape}; got {target.shape}"
        )
    if weight is not None and weight.shape != (classes,):
        raise ShapeError(f"{name}: weight must be [{classes}]; got {weight.shape}")
    t = target.reshape(n, 1).to(dtypes.int64)
    loss = (margin - x.gather(1, t) + x).relu()
    if p == 2:
        loss = loss.square()
    if weight is not None:
        loss = loss * weight[t]
    others = ops.one_hot(t.squeeze(1), classes) == 0
    loss = ops.where(others, loss, 0.0).sum(1) / classes
    return reduced(name, loss if input.ndim > 1 else loss.squeeze(0), reduction)


@loss_function
def multilabel_margin_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """sum over labels t and other classes c of max(0, 1 - (x_t - x_c)) / C; input [N, C] or [C].

    target, in input's shape: classes, int64; those of a row up to its first -1 are its labels.
    Raises IndexOutOfRangeError for a class that does not exist. Memory: O(N C), as labels are
    taken a few columns of target at a time.
    """
    name = "multilabel_margin_loss"
    _check(name, reduction, input=input)
    x = _rows(name, input, target)
    if target.shape != input.shape:
        raise ShapeError(f"{name}: target {target.shape} must have input's shape {input.shape}")
    t = target.reshape(x.shape).to(dtypes.int64)
    valid = ops.cumsum((t == -1).to(dtypes.int64), 1) == 0
    at = t.masked_fill(~valid, 0)
    with no_grad():
        value, slope = _label_gaps(x.detach(), at, valid)
    # The loss is piecewise linear: its value, plus its slope times a zero that has x's gradient.
    zero = ops.where(x.detach().isfinite(), x - x.detach(), 0.0)
    loss = value + (slope * zero).sum(1)
    return reduced(name, loss if input.ndim > 1 else loss.squeeze(0), reduction)


def _label_gaps(x: Tensor, at: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """The losses [N] and their gradient [N, C]; at: labels [N, C], of which the valid ones count.

    Where that waits for nothing, only the columns are visited that hold a label.
    """
    n, classes = x.shape
    wide = dtypes.accumulation(x.dtype)
    slope = x.new_zeros((n, classes), dtype=dtypes.int64)
    is_label = slope.scatter_add(1, at, valid.to(dtypes.int64)) > 0
    value, own = x.new_zeros((n,), dtype=wide), x.gather(1, at)
    columns = classes
    if x.backend.synchronous and valid.numel():
        columns = int(valid.sum(1).max().item())
    width = max(1, GAPS // max(1, n * classes))
    for start in range(0, columns, width):
        part = slice(start, min(start + width, columns))
        gap = 1.0 - own[:, part].unsqueeze(2) + x.unsqueeze(1)  # [N, label, class]
        counts = valid[:, part].unsqueeze(2) & ~is_label.unsqueeze(1)
        value = value + ops.where(counts, gap.relu(), 0.0).sum((1, 2), dtype=wide)
        active = (counts & (gap > 0)).to(dtypes.int64)
        slope = (slope + active.sum(1)).scatter_add(1, at[:, part], -active.sum(2))
    return (value / classes).to(x.dtype), (slope.to(wide) / classes).to(x.dtype)


@loss_function
def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """-mean over classes of w_c (t_c log s_c + (1 - t_c) log(1 - s_c)), s = sigmoid(input).

    Shapes: input and target (..., C), weight broadcasts; the losses are (...).
    """
    name = "multilabel_soft_margin_loss"
    check_shapes(name, input, target)
    _check(name, reduction, input=input)
    loss = -(target * ops.log_sigmoid(input) + (1 - target) * ops.log_sigmoid(-input))
    if weight is not None:
        check_broadcast(name, loss, weight)
        loss = loss * weight
    return reduced(name, loss.mean(-1), reduction)


@loss_function
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d = `pairwise_distance`.

    swap: the smaller of d(anchor, negative) and d(positive, negative). (Balntas et al. 2016.)
    """

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return ops.pairwise_distance(a, b, p, eps)

    return _triplet(
        "triplet_margin_loss", (anchor, positive, negative), distance, margin, swap, reduction
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with any distance; without one, `pairwise_distance`."""
    name, distance = "triplet_margin_with_distance_loss", distance_function
    distance = ops.pairwise_distance if distance is None else distance
    return _triplet(name, (anchor, positive, negative), distance, margin, swap, reduction)


def _triplet(
    name: str,
    triplet: tuple[Tensor, Tensor, Tensor],
    distance: Callable[[Tensor, Tensor], Tensor],
    margin: float,
    swap: bool,
    reduction: str,
) -> Tensor:
    anchor, positive, negative = triplet
    named = dict(zip(("anchor", "positive", "negative"), triplet, strict=True))
    _check(name, reduction, **named)
    _same_ranks(name, **named)
    if not margin > 0:
        raise ArgumentError(f"{name}(margin={margin}): must be above 0")
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = ops.minimum(far, distance(positive, negative))
    return reduced(name, (near - far + margin).clamp(min=0), reduction)


@loss_function
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    *,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(input1, input2) where target is 1, max(0, cos - margin) where it is -1.

    Shapes: inputs (N, D), target (N); or inputs (D), target ().
    """
    name, tiny = "cosine_embedding_loss", 1e-12
    _check(name, reduction, input1=input1, input2=input2)
    _check(name, reduction, target=target)
    if target.ndim > 1 or input1.ndim != target.ndim + 1 or input2.ndim != input1.ndim:
        raise ShapeError(
            f"{name}: inputs (N, D) with target (N), or (D) with (); got {input1.shape}, "
            f"{input2.shape} and {target.shape}"
        )
    product = (input1 * input2).sum(-1)
    squares = (input1.square().sum(-1) + tiny) * (input2.square().sum(-1) + tiny)
    cosine = product / squares.sqrt()
    _check(name, reduction, target=target, cosine=cosine)
    loss = ops.where(target == 1, 1 - cosine, 0) + ops.where(
        target == -1, (cosine - margin).clamp(min=0), 0
    )
    return reduced(name, loss, reduction)
