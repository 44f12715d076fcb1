"""NAdam and RAdam."""

from __future__ import annotations

from typing import Any

from ..backends import Array, Kernels
from .buckets import Bucket
from .optimizer import Group, Optimizer


class NAdam(Optimizer):
    """Adam with Nesterov's momentum (Dozat 2016): mu_t = b1 (1 - 0.96^(t momentum_decay) / 2),
    p -= lr ((1 - mu_t) g / (1 - M_t) + mu_(t+1) m / (1 - M_(t+1))) / (sqrt(vhat) + eps).

    M_t = mu_1 ... mu_t; g, m, v and vhat as Adam's, at a parameter's step t = 1, 2, ...
    decoupled_weight_decay: p -= lr weight_decay p first, instead of g + weight_decay p.

    State: step, mu_product (M), exp_avg (m), exp_avg_sq (v); zero at first, M one.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        master_weights: bool = False,
    ) -> None:
        self._refuse(differentiable)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "master_weights": master_weights,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: Group) -> None:
        self._at_least_zero(group, "lr", "eps", "weight_decay", "momentum_decay")
        self._check_betas(group)

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _first_clock(self, group: Group) -> dict[str, float]:
        return {"step": 0.0, "mu_product": 1.0}

    def _launch(
        self, kernels: Kernels, group: Group, bucket: Bucket, p: list[Array], g: list[Array]
    ) -> None:
        beta1, beta2 = group["betas"]
        kernels.nadam_step(
            p,
            g,
            bucket.states["exp_avg"],
            bucket.states["exp_avg_sq"],
            bucket.hyper,
            bucket.ticket,
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["momentum_decay"],
            group["decoupled_weight_decay"],
            group["maximize"],
        )


class RAdam(Optimizer):
    """Adam that does without its denominator until the variance of v is known (Liu et al. 2020).

    With r = 2 / (1 - b2) - 1 and r_t = r - 2 t b2^t / (1 - b2^t):  p -= lr mhat rect / (sqrt(vhat)
    + eps / sqrt(1 - b2^t)) where r_t > 5, with rect = sqrt((r_t - 4) (r_t - 2) r / ((r - 4)
    (r - 2) r_t)); else p -= lr mhat. g, m and v as Adam's, at a parameter's step t = 1, 2, ...
    decoupled_weight_decay: p -= lr weight_decay p first, instead of g + weight_decay p.

    State: step, exp_avg (m), exp_avg_sq (v); zero at first.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        master_weights: bool = False,
    ) -> None:
        self._refuse(differentiable)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "master_weights": master_weights,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: Group) -> None:
        self._at_least_zero(group, "lr", "eps", "weight_decay")
        self._check_betas(group)

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _launch(
        self, kernels: Kernels, group: Group, bucket: Bucket, p: list[Array], g: list[Array]
    ) -> None:
        beta1, beta2 = group["betas"]
        kernels.radam_step(
            p,
            g,
            bucket.states["exp_avg"],
            bucket.states["exp_avg_sq"],
            bucket.hyper,
            bucket.ticket,
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["decoupled_weight_decay"],
            group["maximize"],
        )
