"""Adamax."""

from __future__ import annotations

from typing import Any

from ..backends import Array, Kernels
from .buckets import Bucket
from .optimizer import Group, Optimizer


class Adamax(Optimizer):
    """m = b1 m + (1 - b1) g;  u = max(b2 u, |g| + eps);  p -= lr / (1 - b1^t) m / u.

    g = grad + weight_decay p (of -grad if maximize), at a parameter's step t = 1, 2, ...
    (Kingma & Ba 2015, section 7.)

    State: step, exp_avg (m), exp_inf (u); zero at first.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
        master_weights: bool = False,
    ) -> None:
        self._refuse(differentiable)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "master_weights": master_weights,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: Group) -> None:
        self._at_least_zero(group, "lr", "eps", "weight_decay")
        self._check_betas(group)

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf")

    def _launch(
        self, kernels: Kernels, group: Group, bucket: Bucket, p: list[Array], g: list[Array]
    ) -> None:
        beta1, beta2 = group["betas"]
        kernels.adamax_step(
            p,
            g,
            bucket.states["exp_avg"],
            bucket.states["exp_inf"],
            bucket.hyper,
            bucket.ticket,
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["maximize"],
        )
