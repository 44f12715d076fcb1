"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from typing import Any

from ..backends import Array, Kernels
from ..errors import ArgumentError
from .buckets import Bucket
from .optimizer import Group, Optimizer


class SGD(Optimizer):
    """p -= lr g, where g = grad + weight_decay p (of -grad if maximize).

    With momentum mu: buf = g in a parameter's first step, else mu buf + (1 - dampening) g; then
    g + mu buf (nesterov) or buf takes g's place. (Sutskever et al. 2013, in PyTorch's form: the
    learning rate multiplies the buffer.)

    State: momentum_buffer, if momentum is not 0.
    """

    _count_in_state = False

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        master_weights: bool = False,
    ) -> None:
        self._refuse(differentiable)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "master_weights": master_weights,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: Group) -> None:
        self._at_least_zero(group, "lr", "momentum", "weight_decay")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ArgumentError(
                f"SGD(nesterov=True, momentum={group['momentum']}, "
                f"dampening={group['dampening']}): needs a momentum above 0 and no dampening"
            )

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] != 0 else ()

    def _change_state(self, bucket: Bucket, starts: dict[str, float]) -> None:
        """A momentum switched on later begins with the gradient, as in a first step."""
        fresh = "momentum_buffer" in starts and "momentum_buffer" not in bucket.states
        super()._change_state(bucket, starts)
        if fresh:
            bucket.set_clock((0.0,))

    def _launch(
        self, kernels: Kernels, group: Group, bucket: Bucket, p: list[Array], g: list[Array]
    ) -> None:
        kernels.sgd_step(
            p,
            g,
            bucket.states.get("momentum_buffer", []),
            bucket.hyper,
            bucket.ticket,
            group["momentum"],
            group["dampening"],
            group["weight_decay"],
            group["nesterov"],
            group["maximize"],
        )
