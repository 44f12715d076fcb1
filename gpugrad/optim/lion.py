"""Lion."""

from __future__ import annotations

from typing import Any

from ..backends import Array, Kernels
from .buckets import Bucket
from .optimizer import Group, Optimizer


class Lion(Optimizer):
    """p -= lr (sign(b1 m + (1 - b1) g) + weight_decay p);  m = b2 m + (1 - b2) g.

    g = grad (-grad if maximize). Every element moves by lr, so take a learning rate 3 to 10 times
    below AdamW's, and a weight decay as much above. (Chen et al. 2023, whose defaults these are.)

    State: exp_avg (m); zero at first.
    """

    _count_in_state = False

    def __init__(
        self,
        params: Any,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        master_weights: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "master_weights": master_weights,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: Group) -> None:
        self._at_least_zero(group, "lr", "weight_decay")
        self._check_betas(group)

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg",)

    def _launch(
        self, kernels: Kernels, group: Group, bucket: Bucket, p: list[Array], g: list[Array]
    ) -> None:
        beta1, beta2 = group["betas"]
        kernels.lion_step(
            p,
            g,
            bucket.states["exp_avg"],
            bucket.hyper,
            bucket.ticket,
            beta1,
            beta2,
            group["weight_decay"],
            group["maximize"],
        )
