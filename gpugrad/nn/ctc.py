"""Connectionist temporal classification: the probability that a sequence of predictions spells a
target, over all alignments (Graves et al. 2006).

The forward recursion runs in log space over the time steps, each step a few operations on the
whole batch; the gradient of any order comes from these operations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtype as dtypes
from .. import ops
from ..amp.autocast_mode import AUTOCAST
from ..autograd.function import describe, mixed_devices
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..ops.operands import check_tensor, demand_floating
from ..tensor import Tensor
from .loss_functions import REDUCTIONS

NEVER = -1e30  # log of probability 0 in the recursion: finite, so that no gradient is NaN


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int],
    target_lengths: Tensor | Sequence[int],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log of the summed probability of all alignments of targets with log_probs.

    An alignment names a class for each step; runs of one class, then blanks, are taken out.

    Shapes: log_probs (T, N, C) or (T, C): log-probabilities of the C classes at each step. targets,
    integers: (N, S), padded, or (sum of target_lengths), joined. input_lengths and target_lengths:
    N each, numbers or a tensor (looked at on the host). "none" gives (N) or (), "mean" divides
    each loss by its target's length (at least 1) and averages.
    A target that no alignment spells has loss infinity and gradient 0; zero_infinity makes the loss
    0, too. The gradient is the true derivative by log_probs; PyTorch's assumes that they come from
    log_softmax, behind which both are equal.
    Raises ArgumentError, ShapeError, DTypeError, IndexOutOfRangeError for a class beyond C.
    """
    if AUTOCAST.on:
        (log_probs,) = AUTOCAST.cast("ctc_loss", log_probs)
    _check(log_probs, targets, reduction)
    x = log_probs if log_probs.ndim == 3 else log_probs.unsqueeze(1)
    steps, n, classes = x.shape
    if not 0 <= blank < classes:
        raise ArgumentError(f"ctc_loss(blank={blank}): is none of the {classes} classes")
    t_in = _lengths("input_lengths", input_lengths, n)
    t_out = _lengths("target_lengths", target_lengths, n)
    if n and t_in.max() > steps:
        raise ArgumentError(
            f"ctc_loss: input_lengths reach {t_in.max()}, log_probs {log_probs.shape} have {steps} "
            "steps"
        )
    labels = _padded(targets, t_out, n, blank)
    loss = _alignments(x, labels, t_in, t_out, blank)
    impossible = loss.detach() > -0.5 * NEVER
    loss = loss.masked_fill(impossible, 0.0 if zero_infinity else math.inf).to(log_probs.dtype)
    if reduction == "sum":
        return loss.sum()
    if reduction == "mean":
        return (loss / _tensor(np.maximum(t_out, 1), x).to(loss.dtype)).mean()
    return loss if log_probs.ndim == 3 else loss.squeeze(0)


def _check(log_probs: Tensor, targets: Tensor, reduction: str) -> None:
    demand_floating("ctc_loss", check_tensor("ctc_loss", log_probs))
    check_tensor("ctc_loss", targets)
    if reduction not in REDUCTIONS:
        raise ArgumentError(
            f"ctc_loss(reduction={reduction!r}): expected one of {', '.join(REDUCTIONS)}"
        )
    if targets.backend is not log_probs.backend:
        raise DeviceError(mixed_devices("ctc_loss", (log_probs, targets)))
    if dtypes.is_floating(targets.dtype) or targets.dtype == dtypes.bool_:
        raise DTypeError(f"ctc_loss: targets are classes, integers; got {describe(targets)}")
    if log_probs.ndim not in (2, 3):
        raise ShapeError(f"ctc_loss: log_probs must be (T, N, C) or (T, C); got {log_probs.shape}")


def _lengths(name: str, given: Any, n: int) -> np.ndarray[Any, Any]:
    values = given.tolist() if isinstance(given, Tensor) else given
    lengths = np.atleast_1d(np.asarray(values))
    if not lengths.size:
        lengths = lengths.astype(np.int64)
    if lengths.dtype.kind not in "iu":
        raise DTypeError(f"ctc_loss({name}): lengths are integers, got {lengths.dtype}")
    if lengths.shape != (n,):
        raise ShapeError(f"ctc_loss({name}): expected {n} lengths, got shape {lengths.shape}")
    if n and lengths.min() < 0:
        raise ArgumentError(f"ctc_loss({name}): a length is negative: {lengths.min()}")
    return lengths.astype(np.int64)


def _tensor(values: np.ndarray[Any, Any], like: Tensor) -> Tensor:
    return Tensor(like.backend.from_numpy(values), like.backend)


def _padded(targets: Tensor, lengths: np.ndarray[Any, Any], n: int, blank: int) -> Tensor:
    """The targets as int64 [N, longest], blank behind each target's end."""
    longest = int(lengths.max(initial=0))
    places = np.arange(longest)[None, :]
    if targets.ndim == 1:
        if targets.shape[0] != lengths.sum():
            raise ShapeError(
                f"ctc_loss: targets {targets.shape} are joined, target_lengths add up to "
                f"{lengths.sum()}"
            )
        at = (np.cumsum(lengths) - lengths)[:, None] + places
        at = np.minimum(at, max(targets.shape[0] - 1, 0))
    elif targets.ndim == 2 and targets.shape[0] == n and targets.shape[1] >= longest:
        at = np.arange(n)[:, None] * targets.shape[1] + places
    else:
        raise ShapeError(
            f"ctc_loss: targets {targets.shape} must be ({n}, S) with S at least {longest}, or the "
            f"joined ({lengths.sum()},)"
        )
    if longest == 0:
        return targets.new_empty((n, 0), dtype=dtypes.int64)
    flat = targets.reshape(-1).to(dtypes.int64)
    return flat[_tensor(at, targets)].masked_fill(
        _tensor(places >= lengths[:, None], targets), blank
    )


def _alignments(
    x: Tensor, labels: Tensor, t_in: np.ndarray[Any, Any], t_out: np.ndarray[Any, Any], blank: int
) -> Tensor:
    """-log sum of the probabilities of the alignments of each of the N targets, [N].

    alpha[n, s] is the log-probability of all beginnings that end in state s. States are blank,
    label, blank, label, ..., blank; a step stays, moves on by one, or passes over a blank between
    two different labels.
    """
    steps, n, _ = x.shape
    states = 2 * labels.shape[1] + 1
    blanks = labels.new_full((n, labels.shape[1], 1), blank)
    path = ops.cat([labels.unsqueeze(2), blanks], 2).reshape(n, states - 1)
    path = ops.cat([labels.new_full((n, 1), blank), path], 1)
    wide = x.to(dtypes.accumulation(x.dtype)).clamp(min=NEVER)
    emitted = wide.gather(2, path.unsqueeze(0).expand(steps, n, states))
    leaps = (path[:, 2:] != path[:, :-2]) & (path[:, 2:] != blank)
    closed = ops.where(leaps, 0.0, NEVER).to(wide.dtype)
    closed = ops.cat([closed.new_full((n, min(states, 2)), NEVER), closed], 1)
    wall = wide.new_full((n, 2), NEVER)
    alpha = ops.cat([wide.new_zeros((n, 1)), wide.new_full((n, states - 1), NEVER)], 1)
    shortest = int(t_in.min(initial=steps))
    for t in range(steps):
        before = ops.cat([wall, alpha], 1)
        ways = ops.stack([alpha, before[:, 1:-1], before[:, :-2] + closed])
        after = ways.logsumexp(0) + emitted[t]
        running = None if t < shortest else _tensor((t < t_in)[:, None], x)
        alpha = after if running is None else ops.where(running, after, alpha)
    ends = np.stack([2 * t_out, np.maximum(2 * t_out - 1, 0)], 1)
    final = alpha.gather(1, _tensor(ends, x))
    single = _tensor(np.stack([t_out < 0, t_out == 0], 1), x)  # no label: one final state
    return -final.masked_fill(single, NEVER).logsumexp(1)
