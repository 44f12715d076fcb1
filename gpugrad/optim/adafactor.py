"""Adafactor."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from ml_dtypes import finfo

from .. import dtype as dtypes
from .. import ops
from ..autograd import enable_grad, no_grad
from ..dtype import DType
from ..errors import ArgumentError
from ..tensor import Tensor
from .optimizer import Group, Optimizer


class Adafactor(Optimizer):
    """RMSprop that keeps of v a column and a row (Shazeer & Stern 2018), in PyTorch's form.

    At a parameter's step t = 1, 2, ...: v += t^beta2_decay (g^2 - v), kept for matrices (the last
    two axes) as the means over columns and rows, whose product over their mean is v again;
    u = g / max(sqrt(v), eps1);  p -= lr weight_decay p;
    p -= max(eps2, rms(p)) min(lr, 1 / sqrt(t)) u / max(1, rms(u) / d).
    g = grad (-grad if maximize); eps = (eps1, eps2), eps1 that of the parameter's dtype for None.

    Nothing is read back, but a captured step keeps the lr it was captured with, unless lr is a
    tensor.

    State: step, row_var and col_var, or variance of vectors; zero at first.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: Group) -> None:
        self._at_least_zero(group, "lr", "weight_decay")
        if not group["beta2_decay"] <= 0:
            raise ArgumentError(f"Adafactor(beta2_decay={group['beta2_decay']}): must be at most 0")
        eps1, eps2 = group["eps"]
        if not ((eps1 is None or eps1 >= 0) and eps2 >= 0):
            raise ArgumentError(
                f"Adafactor(eps={group['eps']}): two numbers of at least 0, or the first None"
            )
        if not group["d"] >= 1:
            raise ArgumentError(f"Adafactor(d={group['d']}): must be at least 1")

    def _state_dtype(self, param: Tensor) -> DType:
        return dtypes.accumulation(param.dtype)

    def _state_shapes(self, param: Tensor) -> dict[str, tuple[int, ...]]:
        return {"step": (), **_shapes(tuple(param.shape))}

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Changes the parameters along their gradients, in place; some launches for each."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None and p.numel():
                        self._update(group, p, p.grad)
        return loss

    def _update(self, group: Group, p: Tensor, grad: Tensor) -> None:
        wide, lr = self._state_dtype(p), group["lr"]
        x, g = (each.detach().to(wide).contiguous() for each in (p, grad))
        g = -g if group["maximize"] else g
        state = self.state[p]
        if not state:
            state.update(_first_state(g))
        state["step"].add_(1)
        t = state["step"].to(wide)
        eps1, eps2 = group["eps"]
        eps1 = float(finfo(p.dtype).eps) if eps1 is None else eps1
        rate = ops.minimum(lr.to(wide), t.rsqrt()) if isinstance(lr, Tensor) else _least(t, lr)
        rate = rate * _rms(x).clamp(min=eps2)
        if group["weight_decay"] != 0:
            x = x * (1 - lr * group["weight_decay"])
        v = _variance(state, g, t ** group["beta2_decay"], eps1)
        u = g * v.clamp(min=eps1 * eps1).rsqrt()
        p.copy_(x - rate / (_rms(u) / group["d"]).clamp(min=1.0) * u)


def _least(t: Tensor, lr: float) -> Tensor:
    return t.rsqrt().clamp(max=lr)


def _rms(x: Tensor) -> Tensor:
    return x.norm() / math.sqrt(x.numel())


def _first_state(g: Tensor) -> dict[str, Tensor]:
    count = g.new_zeros(()).to(np.float32)
    zeros = {name: g.new_zeros(shape) for name, shape in _shapes(tuple(g.shape)).items()}
    return {"step": count, **zeros}


def _shapes(shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Of the state of a parameter of this shape."""
    if len(shape) < 2:
        return {"variance": shape}
    return {"row_var": (*shape[:-1], 1), "col_var": (*shape[:-2], 1, shape[-1])}


def _variance(state: dict[str, Tensor], g: Tensor, share: Tensor, eps: float) -> Tensor:
    """v after this step, of g's shape; `share` of it is new."""
    square = g * g
    if g.ndim < 2:
        v = state["variance"]
        return v.copy_(v + share * (square - v))
    row, column = state["row_var"], state["col_var"]
    row.copy_(row + share * (square.mean(-1, keepdim=True) - row))
    column.copy_(column + share * (square.mean(-2, keepdim=True) - column))
    return row @ column / row.mean(-2, keepdim=True).clamp(min=eps)
