"""Gradients asked for: `backward` adds them to the leaves, `grad` returns them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ArgumentError, DeviceError, DTypeError, GraphError, ShapeError
from ..tensor import Tensor
from .hooks import retain_grad
from .modes import MODE
from .node import Node, describe, edge
from .walk import Roots, run


def _list(x: Any) -> list[Any]:
    return list(x) if isinstance(x, (list, tuple)) else [x]


def _root(tensor: Tensor, dy: Tensor | None, position: int) -> tuple[Node, Tensor]:
    node = edge(tensor)
    if node is None:
        raise GraphError(
            f"backward: tensor {position} ({describe(tensor)}) does not require a gradient: "
            "no input of it does, or it was made under no_grad or detached."
        )
    if dy is None:
        if tensor.array.size != 1:
            raise GraphError(
                f"backward: the gradient of a tensor of shape {tuple(tensor.array.shape)} must be "
                "given; only for a single element it is 1 by itself.\n"
                "  Reduce it first (loss.mean().backward()) or pass gradient=."
            )
        one = tensor.backend.empty(tensor.array.shape, tensor.array.dtype)
        tensor.backend.kernels.fill(one, 1)
        return node, Tensor(one, tensor.backend)
    if not isinstance(dy, Tensor):
        raise DTypeError(f"backward: gradient must be a Tensor, got {type(dy).__name__}.")
    if dy.array.shape != tensor.array.shape:
        raise ShapeError(
            f"backward: gradient {tuple(dy.array.shape)} and tensor {tuple(tensor.array.shape)} "
            "must have one shape."
        )
    if dy.backend is not tensor.backend:
        raise DeviceError(f"backward: gradient is {describe(dy)}, the tensor {describe(tensor)}.")
    return node, dy


def _roots(tensors: list[Tensor], grads: list[Tensor | None]) -> Roots:
    if len(tensors) != len(grads):
        raise GraphError(f"backward: {len(tensors)} tensors but {len(grads)} gradients.")
    return [_root(tensor, grads[i], i) for i, tensor in enumerate(tensors)]


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Tensor | Sequence[Tensor] | Mapping[str, Tensor] | None = None,
) -> None:
    """Add the gradients of `tensors` to ``.grad`` of the leaves (or of `inputs` only).

    grad_tensors: the gradient of each; may be None for tensors of one element. What the graph had
    saved is released unless `retain_graph` (default: `create_graph`). With `create_graph` the
    gradients are themselves part of a graph. inputs: leaves, or results of operations, which then
    retain their gradient. Raises GraphError, ShapeError, DeviceError.
    """
    if grad_variables is not None:
        raise ArgumentError("backward: grad_variables is PyTorch's old name; pass grad_tensors=.")
    outputs = _list(tensors)
    grads = [None] * len(outputs) if grad_tensors is None else _list(grad_tensors)
    targets: dict[Node, int] | None = None
    if inputs is not None:
        targets = {}
        for i, x in enumerate(_inputs("backward", inputs)):
            targets[_edge("backward", x, i)] = i
            retain_grad(x)
    keep = create_graph if retain_graph is None else retain_graph
    run(_roots(outputs, grads), keep, create_graph, targets)
    if targets is None and MODE.after_backward is not None:
        MODE.after_backward()


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor] | Mapping[str, Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """The gradients of `outputs` with respect to `inputs`, leaving every ``.grad`` alone.

    inputs may be leaves or results of operations; the gradients come as a tuple, or for a mapping
    as a dictionary of its names. One that `outputs` do not depend on raises GraphError, gives None
    with `allow_unused`, or zeros with `materialize_grads`. grad_outputs: dy of each output; None
    for one of a single element is 1. Only inputs get gradients (`only_inputs`); a batch of dy
    (`is_grads_batched`) is not supported: call once for each.
    """
    if materialize_grads and allow_unused is False:
        raise GraphError("grad: materialize_grads=True needs allow_unused to be True or left out.")
    if is_grads_batched:
        raise ArgumentError(
            "grad: is_grads_batched=True is not supported.\n"
            "  Call grad(..., retain_graph=True) for each dy and stack the results."
        )
    if not only_inputs:
        raise ArgumentError("grad: only_inputs=False is not supported; call backward() instead.")
    results, wanted = _list(outputs), _inputs("grad", inputs)
    grads = [None] * len(results) if grad_outputs is None else _list(grad_outputs)
    targets: dict[Node, int] = {}
    positions = [targets.setdefault(_edge("grad", x, i), i) for i, x in enumerate(wanted)]
    keep = create_graph if retain_graph is None else retain_graph
    found = run(_roots(results, grads), keep, create_graph, targets, accumulate=False)
    gradients = tuple(
        [
            _result(found.get(p), x, i, allow_unused, materialize_grads)
            for i, (p, x) in enumerate(zip(positions, wanted, strict=True))
        ]
    )
    if isinstance(inputs, Mapping):
        return dict(zip(inputs, gradients, strict=True))
    return gradients


def _inputs(name: str, inputs: Any) -> list[Tensor]:
    given = list(inputs.values()) if isinstance(inputs, Mapping) else _list(inputs)
    if not given:
        raise GraphError(f"{name}: inputs is empty; give at least one tensor.")
    return given


def _edge(name: str, x: Any, position: int) -> Node:
    if not isinstance(x, Tensor):
        raise DTypeError(f"{name}: input {position} must be a Tensor, got {type(x).__name__}.")
    node = edge(x)
    if node is None:
        raise GraphError(
            f"{name}: input {position} ({describe(x)}) does not require a gradient.\n"
            "  Call requires_grad_() on it before the outputs are computed."
        )
    return node


def _result(
    dx: Tensor | None, x: Tensor, position: int, allow_unused: bool | None, zeros: bool
) -> Tensor | None:
    if dx is not None:
        return dx if dx.array.dtype == x.array.dtype else dx.to(x.array.dtype)
    if zeros:
        empty = x.backend.empty(x.array.shape, x.array.dtype)
        x.backend.kernels.fill(empty, 0)
        return Tensor(empty, x.backend)
    if not allow_unused:
        raise GraphError(
            f"grad: input {position} ({describe(x)}) was not used to compute the outputs.\n"
            "  Pass allow_unused=True to get None for it, or materialize_grads=True for zeros."
        )
    return None
