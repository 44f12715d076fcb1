"""RMSprop."""

from __future__ import annotations

from typing import Any

from ..backends import Array, Kernels
from .buckets import Bucket
from .optimizer import Group, Optimizer


class RMSprop(Optimizer):
    """v = alpha v + (1 - alpha) g^2;  p -= lr g / (sqrt(v) + eps).

    g = grad + weight_decay p (of -grad if maximize). centered: v - avg^2 takes v's place, with avg
    the running mean of g (Graves 2013). With momentum mu: buf = mu buf + g / (...), p -= lr buf.
    (Hinton's lecture 6e, in PyTorch's form: eps is added after the root.)

    State: step, square_avg (v), momentum_buffer if momentum is not 0, grad_avg if centered; zero
    at first.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        *,
        master_weights: bool = False,
    ) -> None:
        self._refuse(differentiable)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "master_weights": master_weights,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: Group) -> None:
        self._at_least_zero(group, "lr", "alpha", "eps", "weight_decay", "momentum")

    def _state_names(self, group: Group) -> tuple[str, ...]:
        momentum = ("momentum_buffer",) if group["momentum"] != 0 else ()
        return ("square_avg", *momentum, *(("grad_avg",) if group["centered"] else ()))

    def _launch(
        self, kernels: Kernels, group: Group, bucket: Bucket, p: list[Array], g: list[Array]
    ) -> None:
        kernels.rmsprop_step(
            p,
            g,
            bucket.states["square_avg"],
            bucket.states.get("grad_avg", []),
            bucket.states.get("momentum_buffer", []),
            bucket.hyper,
            bucket.ticket,
            group["alpha"],
            group["eps"],
            group["weight_decay"],
            group["momentum"],
            group["maximize"],
        )
