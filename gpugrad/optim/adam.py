"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

from ..backends import Array, Kernels
from .buckets import Bucket
from .optimizer import Group, Optimizer


class Adam(Optimizer):
    """m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p -= lr mhat / (sqrt(vhat) + eps).

    g = grad + weight_decay p (of -grad if maximize); mhat = m / (1 - b1^t), vhat = v / (1 - b2^t)
    at a parameter's step t = 1, 2, ... (Kingma & Ba 2015). amsgrad: the largest v so far takes v's
    place (Reddi et al. 2018). decoupled_weight_decay: see AdamW.

    State: step, exp_avg (m), exp_avg_sq (v), and max_exp_avg_sq if amsgrad; zero at first.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
        master_weights: bool = False,
    ) -> None:
        self._refuse(differentiable)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
            "master_weights": master_weights,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: Group) -> None:
        self._at_least_zero(group, "lr", "eps", "weight_decay")
        self._check_betas(group)

    def _state_names(self, group: Group) -> tuple[str, ...]:
        if group["amsgrad"]:
            return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
        return ("exp_avg", "exp_avg_sq")

    def _launch(
        self, kernels: Kernels, group: Group, bucket: Bucket, p: list[Array], g: list[Array]
    ) -> None:
        beta1, beta2 = group["betas"]
        kernels.adam_step(
            p,
            g,
            bucket.states["exp_avg"],
            bucket.states["exp_avg_sq"],
            bucket.states.get("max_exp_avg_sq", []),
            bucket.hyper,
            bucket.ticket,
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["decoupled_weight_decay"],
            group["maximize"],
        )


class AdamW(Adam):
    """Adam whose weight decay does not pass through the moments: p -= lr weight_decay p first.

    (Loshchilov & Hutter 2019.) The rest is Adam, but for the default weight_decay of 0.01.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        master_weights: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            differentiable=differentiable,
            decoupled_weight_decay=True,
            master_weights=master_weights,
        )
