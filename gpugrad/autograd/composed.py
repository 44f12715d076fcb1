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


def through(
    function: Callable[..., Any], inputs: Sequence[Tensor | None], dys: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """The gradients of `inputs` by way of `function`, the same mathematics in Tensor operations.

    For `backward` of an operation whose kernel computes the gradient in one piece, where the
    gradient itself is wanted as part of a graph (create_graph). `function` is computed again.
    inputs: what the operation saved, None for what was not given. dys: one for each result, None
    for one that got none. An input gets the partial derivative, even if another depends on it.
    """
    aliases = [_Alias.apply(x) if x is not None and x.requires_grad else x for x in inputs]
    results = function(*aliases)
    results = results if isinstance(results, tuple) else (results,)
    reached = [(y, dy) for y, dy in zip(results, dys, strict=True) if dy is not None]
    wanted = [x for x in aliases if x is not None and x.requires_grad]
    outputs, gradients = [y for y, _ in reached], [dy for _, dy in reached]
    found = iter(grad(outputs, wanted, gradients, create_graph=True, allow_unused=True))
    return [next(found) if x is not None and x.requires_grad else None for x in aliases]
