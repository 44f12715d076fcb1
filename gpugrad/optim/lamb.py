"""LAMB."""

from __future__ import annotations

import math
from typing import Any

from .. import dtype as dtypes
from .. import ops
from ..autograd import no_grad
from ..backends import Array, Kernels
from ..tensor import Tensor
from .buckets import Bucket, filled
from .optimizer import Group, Optimizer

ALIGNED = 8
"""Elements that a parameter's part of the flat update begins at a multiple of."""


class LAMB(Optimizer):
    """r = mhat / (sqrt(vhat) + eps) + weight_decay p;  p -= lr |p| / |r| r, for each tensor p.

    m, v and their corrections as Adam's (of -grad if maximize); the ratio of the norms is 1 where
    one of them is 0. For large batches. (You et al. 2020, algorithm 2, with phi(z) = z.)

    Adam's kernel forms r for all tensors at once, two norms and an addition follow for each;
    nothing waits for the host.

    State: step, exp_avg (m), exp_avg_sq (v); zero at first.
    """

    _skips = False

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
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
        steps = self._adam_steps(kernels, group, bucket, g)
        wide = dtypes.accumulation(bucket.dtype)
        with no_grad():
            lr = bucket.number(0).to(wide)
            for array, taken in zip(p, steps, strict=True):
                param, step = Tensor(array, bucket.backend).to(wide), Tensor(taken, bucket.backend)
                if group["weight_decay"] != 0:
                    step = step - lr * group["weight_decay"] * param
                # step is -lr r, so the lr in front of the ratio undoes that in the norm.
                size, length = (
                    Tensor(kernels.global_norm([x.array], 2.0), bucket.backend)
                    for x in (param, step)
                )
                ratio = ops.where((size > 0) & (length > 0), lr * size / length, 1.0)
                kernels.copy((param + ratio * step).array, array)

    def _adam_steps(
        self, kernels: Kernels, group: Group, bucket: Bucket, g: list[Array]
    ) -> list[Array]:
        """-lr mhat / (sqrt(vhat) + eps) of every parameter: Adam's step of zeros. Counts it."""
        wide = dtypes.accumulation(bucket.dtype)
        if wide != bucket.dtype:
            g = [kernels.cast(each, wide) for each in g]
        sizes = [math.prod(each.shape) for each in g]
        starts = [0]
        for size in sizes:
            starts.append(starts[-1] + -(-size // ALIGNED) * ALIGNED)
        flat = filled(bucket.backend, (starts[-1],), wide, 0)
        steps = [
            flat[start : start + size].reshape(each.shape)
            for start, size, each in zip(starts, sizes, g, strict=False)
        ]
        beta1, beta2 = group["betas"]
        kernels.adam_step(
            steps,
            g,
            bucket.states["exp_avg"],
            bucket.states["exp_avg_sq"],
            [],
            bucket.hyper,
            bucket.ticket,
            beta1,
            beta2,
            group["eps"],
            0.0,
            False,
            group["maximize"],
        )
        return steps
