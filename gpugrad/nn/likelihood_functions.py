"""Negative log-likelihoods of counts and of normal variables."""

from __future__ import annotations

import math

from .. import ops
from ..errors import ArgumentError, ShapeError
from ..ops.operands import check_broadcast, check_tensor
from ..tensor import Tensor
from .loss_functions import REDUCTIONS, loss_function, reduced


def _check(name: str, reduction: str, input: Tensor, target: Tensor) -> None:
    check_broadcast(name, check_tensor(name, input), check_tensor(name, target))
    if reduction not in REDUCTIONS:
        raise ArgumentError(
            f"{name}(reduction={reduction!r}): expected one of {', '.join(REDUCTIONS)}"
        )


@loss_function
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    *,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """exp(input) - target input, or input - target log(input + eps) unless log_input.

    full adds Stirling's approximation of log(target!) where target is above 1.
    """
    name = "poisson_nll_loss"
    _check(name, reduction, input, target)
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        above = target > 1
        t = ops.where(above, target, 2)  # any number with a logarithm
        stirling = t * t.log() - t + 0.5 * (t * (2 * math.pi)).log()
        loss = loss + ops.where(above, stirling, 0.0)
    return reduced(name, loss, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(log v + (input - target)^2 / v) / 2, v = max(var, eps); full adds log(2 pi) / 2.

    var: a number or a tensor in input's shape, with one axis of length 1, or without its last
    axis. Its gradient passes the limit eps. Raises ShapeError; ArgumentError for a negative var
    (of tensors not on CUDA, where looking would wait for the device).
    """
    name = "gaussian_nll_loss"
    _check(name, reduction, input, target)
    v = _variance(name, input, var)
    low = v.detach()
    v = v + ops.where(low < eps, eps - low, 0.0)
    loss = (v.log() + (input - target).square() / v) * 0.5
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced(name, loss, reduction)


def _variance(name: str, input: Tensor, var: Tensor | float) -> Tensor:
    if not isinstance(var, Tensor):
        if var < 0:
            raise ArgumentError(f"{name}(var={var}): a variance is at least 0")
        return input.new_full(input.shape, float(var))
    check_tensor(name, var)
    if var.backend.synchronous and var.numel() and bool((var.detach() < 0).any()):
        low = var.detach().amin().item()
        raise ArgumentError(f"{name}: var {var.shape} holds {low:g}; a variance is at least 0")
    if var.shape == input.shape:
        return var
    if var.shape == input.shape[:-1]:
        return var.unsqueeze(-1)
    differing = [b for a, b in zip(input.shape, var.shape, strict=False) if a != b]
    if var.ndim != input.ndim or differing != [1]:
        raise ShapeError(
            f"{name}: var {var.shape} does not fit input {input.shape}: the same shape, one axis "
            "of length 1, or none for the last axis"
        )
    return var
