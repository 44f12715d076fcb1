"""Adadelta."""

from __future__ import annotations

from typing import Any

from ..backends import Array, Kernels
from ..errors import ArgumentError
from .buckets import Bucket
from .optimizer import Group, Optimizer


class Adadelta(Optimizer):
    """v = rho v + (1 - rho) g^2;  d = sqrt(u + eps) / sqrt(v + eps) g;  p -= lr d;
    u = rho u + (1 - rho) d^2.

    g = grad + weight_decay p (of -grad if maximize). (Zeiler 2012.)

    State: step, square_avg (v), acc_delta (u); zero at first.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
        master_weights: bool = False,
    ) -> None:
        self._refuse(differentiable)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "master_weights": master_weights,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: Group) -> None:
        self._at_least_zero(group, "lr", "rho", "eps", "weight_decay")
        if group["rho"] > 1:
            raise ArgumentError(f"Adadelta(rho={group['rho']}): must be at most 1")

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")

    def _launch(
        self, kernels: Kernels, group: Group, bucket: Bucket, p: list[Array], g: list[Array]
    ) -> None:
        kernels.adadelta_step(
            p,
            g,
            bucket.states["square_avg"],
            bucket.states["acc_delta"],
            bucket.hyper,
            bucket.ticket,
            group["rho"],
            group["eps"],
            group["weight_decay"],
            group["maximize"],
        )
