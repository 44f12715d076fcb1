"""Optimizers without a kernel of their own: each parameter's step is written with tensors."""

from __future__ import annotations

from .. import dtype as dtypes
from ..autograd import no_grad
from ..backends import Array, Kernels
from ..tensor import Tensor
from .buckets import Bucket
from .optimizer import Group, Optimizer

State = dict[str, Tensor]


class ComposedOptimizer(Optimizer):
    """Base: a subclass gives `_update`, and `_advance` where the clock is more than a count.

    Everything a step reads lies on the device, so it waits for nothing and can be captured; but it
    takes some launches for each parameter, not one for all.
    """

    _skips = False

    def _update(self, group: Group, clock: list[Tensor], p: Tensor, g: Tensor, s: State) -> Tensor:
        """The parameter after this step; changes the tensors of the state s in place.

        p, g and s have the accumulation dtype, and so has the clock, whose tensors have shape ():
        the learning rate, the number t of this step, and what else there is before the step.
        """
        raise NotImplementedError

    def _advance(self, group: Group, clock: list[Tensor]) -> None:
        """Moves the numbers behind t on, in place; float64. clock as above, before the step."""

    def _launch(
        self, kernels: Kernels, group: Group, bucket: Bucket, p: list[Array], g: list[Array]
    ) -> None:
        wide = dtypes.accumulation(bucket.dtype)
        with no_grad():
            hyper = [bucket.number(i) for i in range(len(bucket.hyper))]
            hyper[1].add_(1)
            clock = [number.to(wide) for number in hyper]
            for i, array in enumerate(p):
                s = {name: Tensor(each[i], bucket.backend) for name, each in bucket.states.items()}
                param, grad = (Tensor(x, bucket.backend).to(wide) for x in (array, g[i]))
                kernels.copy(self._update(group, clock, param, grad, s).array, array)
            self._advance(group, hyper)
