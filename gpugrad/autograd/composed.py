"""Gradients of a fused operation that can be differentiated again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..tensor import Tensor
from .engine import grad
from .function import Function


class _Alias(Function):
    """y = x, as a node of its own."""

    view = True

    def forward(self, x: Any) -> Any:
        return x[...]

    def backward(self, dy: Tensor) -> Tensor:
        return dy


def alias(x: Tensor) -> Tensor:
    """x as a result of its own: gradients with respect to it are those of its uses alone."""
    same: Tensor = _Alias.apply(x)
    return same


class _Stack(Function):
    """y[i] = x_i, of one shape;  dx_i = dy[i]."""

    def forward(self, *xs: Any) -> Any:
        y = self.backend.empty((len(xs), *xs[0].shape), xs[0].dtype)
        for i, x in enumerate(xs):
            self.kernels.copy(x, y[i])
        return y

    def backward(self, dy: Tensor) -> Any:
        return tuple(dy.unbind(0))


def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors of one shape as one, along a new first axis: ``stack``, which stands above."""
    result: Tensor = _Stack.apply(*tensors)
    return result


def through(
    function: Callable[..., Any], inputs: Sequence[Tensor | None], dys: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """The gradients of `inputs` by way of `function`, the same mathematics in Tensor operations.

    For `backward` of an operation whose kernel computes the gradient in one piece, where the
    gradient itself is wanted as part of a graph (create_graph). `function` is computed again.
    inputs: what the operation saved, None for what was not given. dys: one for each result, None
    for one that got none. An input gets the partial derivative, even if another depends on it.
    """
    aliases = [alias(x) if x is not None and x.requires_grad else x for x in inputs]
    results = function(*aliases)
    results = results if isinstance(results, tuple) else (results,)
    reached = [(y, dy) for y, dy in zip(results, dys, strict=True) if dy is not None]
    wanted = [x for x in aliases if x is not None and x.requires_grad]
    outputs, gradients = [y for y, _ in reached], [dy for _, dy in reached]
    found = iter(grad(outputs, wanted, gradients, create_graph=True, allow_unused=True))
    return [next(found) if x is not None and x.requires_grad else None for x in aliases]
