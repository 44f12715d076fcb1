"""Rprop and ASGD."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..errors import ArgumentError
from ..tensor import Tensor
from .composed import ComposedOptimizer, State
from .optimizer import Group


class Rprop(ComposedOptimizer):
    """p -= s sign(g), each element with a step size s of its own (Riedmiller & Braun 1993).

    s grows by etas[1] where g has the sign of the gradient before, shrinks by etas[0] where it
    has the other one (and g counts as 0 then), and stays within step_sizes. g = grad (-grad if
    maximize). For full batches: the noise of small ones changes signs.

    State: step, prev (g), step_size (s); zero at first, s = lr.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        self._refuse(differentiable)
        defaults = {"lr": lr, "etas": etas, "step_sizes": step_sizes, "maximize": maximize}
        super().__init__(params, defaults)

    def _check_group(self, group: Group) -> None:
        self._at_least_zero(group, "lr")
        low, high = group["etas"]
        if not 0 < low < 1 < high:
            raise ArgumentError(
                f"Rprop(etas={group['etas']}): the first must be between 0 and 1, the second above"
            )

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("prev", "step_size")

    def _first_state(self, group: Group, name: str) -> float:
        return float(group["lr"]) if name == "step_size" else 0.0

    def _update(self, group: Group, clock: list[Tensor], p: Tensor, g: Tensor, s: State) -> Tensor:
        low, high = group["etas"]
        g = -g if group["maximize"] else g
        agree = (g * s["prev"]).sign()
        factor = ops.where(agree > 0, high, ops.where(agree < 0, low, p.new_ones(p.shape)))
        s["step_size"].copy_((s["step_size"] * factor).clamp(*group["step_sizes"]))
        g = ops.where(agree < 0, 0.0, g)
        s["prev"].copy_(g)
        return p - g.sign() * s["step_size"]


class ASGD(ComposedOptimizer):
    """Averaged SGD (Polyak & Juditsky 1992):  p = (1 - lambd eta) p - eta g;  ax += mu (p - ax).

    g = grad + weight_decay p (of -grad if maximize). After step t:  eta = lr / (1 + lambd lr
    t)^alpha,  mu = 1 / max(1, t - t0); so ax is p until step t0, then the mean of p since.

    State: step, eta, mu, ax; at first 0, lr, 1 and zero.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        self._refuse(differentiable)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("ax",)

    def _first_clock(self, group: Group) -> dict[str, float]:
        return {"step": 0.0, "eta": float(group["lr"]), "mu": 1.0}

    def _update(self, group: Group, clock: list[Tensor], p: Tensor, g: Tensor, s: State) -> Tensor:
        _, _, eta, mu = clock
        g = -g if group["maximize"] else g
        if group["weight_decay"] != 0:
            g = g + group["weight_decay"] * p
        p = p * (1 - group["lambd"] * eta) - eta * g
        ax = s["ax"]
        ax.copy_(ops.where(mu == 1, p, ax + (p - ax) * mu))
        return p

    def _advance(self, group: Group, clock: list[Tensor]) -> None:
        lr, t, eta, mu = clock
        eta.copy_(lr / (1 + group["lambd"] * lr * t) ** group["alpha"])
        mu.copy_(1 / (t - group["t0"]).clamp(min=1))
