"""Adagrad."""

from __future__ import annotations

from typing import Any

from ..backends import Array, Kernels
from .buckets import Bucket
from .optimizer import Group, Optimizer


class Adagrad(Optimizer):
    """sum += g^2;  p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(sum) + eps).

    g = grad + weight_decay p (of -grad if maximize), at a parameter's step t = 1, 2, ...
    (Duchi et al. 2011.)

    State: step, sum; at first initial_accumulator_value.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        master_weights: bool = False,
    ) -> None:
        self._refuse(differentiable)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "maximize": maximize,
            "master_weights": master_weights,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: Group) -> None:
        numbers = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
        self._at_least_zero(group, *numbers)

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("sum",)

    def _first_state(self, group: Group, name: str) -> float:
        return float(group["initial_accumulator_value"])

    def _launch(
        self, kernels: Kernels, group: Group, bucket: Bucket, p: list[Array], g: list[Array]
    ) -> None:
        kernels.adagrad_step(
            p,
            g,
            bucket.states["sum"],
            bucket.hyper,
            bucket.ticket,
            group["lr_decay"],
            group["eps"],
            group["weight_decay"],
            group["maximize"],
        )
