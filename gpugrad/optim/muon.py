"""Muon."""

from __future__ import annotations

import math
from typing import Any

from .. import dtype as dtypes
from .. import ops
from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor
from .composed import ComposedOptimizer, State
from .optimizer import Group

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ADJUSTMENTS = (None, "original", "match_rms_adamw")


class Muon(ComposedOptimizer):
    """SGD with momentum whose step is the orthogonal matrix nearest to it, nearly (Jordan 2024).

    buf = momentum buf + (1 - momentum) g;  u = g + momentum (buf - g) if nesterov, else buf;
    p -= lr weight_decay p;  p -= lr ratio O(u), where O is `orthogonalized`. For the matrices
    inside a network: give embeddings, the last layer and vectors to AdamW.

    adjust_lr_fn: ratio is sqrt(max(1, rows / columns)) for None and "original", and
    0.2 sqrt(max(rows, columns)) for "match_rms_adamw", which makes AdamW's lr and weight_decay fit
    (Liu et al. 2025).

    State: momentum_buffer (buf); zero at first. Products are computed in bfloat16.
    """

    _count_in_state = False

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = COEFFICIENTS,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: Group) -> None:
        self._at_least_zero(group, "lr", "momentum", "weight_decay")
        if group["adjust_lr_fn"] not in ADJUSTMENTS:
            raise ArgumentError(
                f"Muon(adjust_lr_fn={group['adjust_lr_fn']!r}): 'original' or 'match_rms_adamw'"
            )
        if len(group["ns_coefficients"]) != 3:
            raise ArgumentError(f"Muon(ns_coefficients={group['ns_coefficients']}): three numbers")
        if not 0 <= group["ns_steps"] < 100:
            raise ArgumentError(
                f"Muon(ns_steps={group['ns_steps']}): must be at least 0, below 100"
            )

    def _check_params(self, params: list[Any]) -> None:
        super()._check_params(params)
        for i, p in enumerate(params):
            if p.ndim != 2:
                raise ShapeError(
                    f"Muon: params[{i}] has shape {tuple(p.shape)}; only matrices can be trained "
                    "with it.\n  Give the others to AdamW."
                )

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("momentum_buffer",)

    def _update(self, group: Group, clock: list[Tensor], p: Tensor, g: Tensor, s: State) -> Tensor:
        lr, momentum, buffer = clock[0], group["momentum"], s["momentum_buffer"]
        buffer.lerp_(g, 1 - momentum)
        u = g.lerp(buffer, momentum) if group["nesterov"] else buffer
        u = orthogonalized(u, group["ns_coefficients"], group["ns_steps"], group["eps"])
        ratio = _ratio(group["adjust_lr_fn"], *p.shape)
        return p * (1 - lr * group["weight_decay"]) - lr * ratio * u.to(p.dtype)


def _ratio(adjust: str | None, rows: int, columns: int) -> float:
    if adjust == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1.0, rows / columns)) if columns else 1.0


def orthogonalized(
    x: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """Newton and Schulz' iteration to U V^T, where x = U S V^T; bfloat16 [n, m].

    x / max(|x|, eps), then `steps` times  x = a x + (b x x^T + c (x x^T)^2) x.  With Muon's
    coefficients, chosen for a steep rise at 0, singular values end anywhere in 0.7 to 1.2.
    """
    a, b, c = coefficients
    tall = x.shape[0] > x.shape[1]
    x = x.to(dtypes.bfloat16)
    x = x.T if tall else x
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = ops.addmm(x, ops.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
