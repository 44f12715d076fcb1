"""The engine: walks the graph backwards, from the newest node to the oldest.

A node's consumers are newer than the node. So a heap that gives out the highest sequence number
first reaches a node only when its gradient is complete: no recursion, no search, no counts.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Any, cast

import numpy as np

from ..errors import DeviceError, DTypeError, GraphError, ShapeError
from ..tensor import Tensor
from .function import AccumulateGrad, Function, Node, Output, accumulator, describe, edge
from .modes import MODE

Roots = list[tuple[Node, Tensor]]


class _Walk:
    """Gradients on their way: node and gradient by sequence number, a heap of numbers waiting.

    `add` is a + b of two gradients: only the kernel where no one records or watches.
    """

    __slots__ = ("add", "arrived", "heap")

    def __init__(self, plain: bool) -> None:
        self.arrived: dict[int, list[Any]] = {}
        self.heap: list[int] = []
        self.add = _plain_add if plain else operator.add

    def deliver(self, edges: Sequence[Node | None], grads: Sequence[Tensor | None]) -> None:
        """Add gradients to what has arrived at their nodes, which is never changed in place."""
        arrived = self.arrived
        for node, dy in zip(edges, grads):  # noqa: B905 - the lengths were compared
            if node is None or dy is None:
                continue
            if dy.data.shape != node.shape:
                dy = _fit(dy, node)
            seq = node.seq
            entry = arrived.get(seq)
            if entry is None:
                arrived[seq] = [node, dy]
                heappush(self.heap, -seq)
            else:
                entry[1] = self.add(entry[1], dy)

    def deliver_output(self, output: Output, dy: Tensor) -> None:
        """Put `dy` into its place among the gradients of a node with several results."""
        parent = output.parent
        seq = parent.seq
        entry = self.arrived.get(seq)
        if entry is None:
            entry = self.arrived[seq] = [parent, [None] * parent.count]
            heappush(self.heap, -seq)
        slots = entry[1]
        before = slots[output.index]
        slots[output.index] = dy if before is None else self.add(before, dy)


def _plain_add(a: Tensor, b: Tensor) -> Tensor:
    if a.data.dtype is not b.data.dtype:
        return a + b
    return Tensor(a.backend.kernels.binary("add", a.data, b.data), a.backend)


def _run(
    roots: Roots,
    retain_graph: bool,
    create_graph: bool,
    targets: dict[Node, int] | None = None,
    accumulate: bool = True,
) -> dict[int, Tensor]:
    """Walk from `roots`. With `targets`, only what leads to them; gives their gradients."""
    inspect = MODE.inspect
    walk = _Walk(plain=not create_graph and inspect is None)
    useful = None if targets is None else _leading_to(targets, [node for node, _ in roots])
    captured: dict[int, Tensor] = {}
    for node, dy in roots:
        walk.deliver((node,), (dy,))
    roots.clear()  # an accumulated gradient must have one owner
    previous, MODE.grad = MODE.grad, create_graph
    heap, arrived, deliver = walk.heap, walk.arrived, walk.deliver
    try:
        while heap:
            node, dy = arrived.pop(-heappop(heap))
            if type(node) is AccumulateGrad:
                if node.tensor._hooks is not None:
                    dy = node.tensor._hooks(dy)
                if targets is not None and node in targets:
                    captured[targets[node]] = dy
                    if not accumulate:
                        continue
                if _accumulate(node.tensor, dy, create_graph):
                    _after(node.tensor)
                continue
            if node.hooks is not None:
                dy = node.hooks(dy)
            if targets is not None and node in targets:
                captured[targets[node]] = dy
            edges = node.edges
            if useful is not None:
                edges = [e if e in useful else None for e in edges]
                if not any(edges):
                    continue
            if type(node) is Output:
                walk.deliver_output(node, dy)
                continue
            results = _differentiate(node, dy, edges, create_graph, inspect)
            if not retain_graph and node._saved:
                node._saved = None
            deliver(edges, results)
            del dy, results  # an accumulated gradient must have one owner
    finally:
        MODE.grad = previous
    return captured


def _differentiate(
    node: Function, dy: Any, edges: Sequence[Node | None], create_graph: bool, inspect: Any
) -> Sequence[Tensor | None]:
    """Call backward, with only the wanted edges in place, and check what it returns."""
    if create_graph and not node.twice_differentiable:
        raise GraphError(
            f"{type(node).__name__}.backward cannot be differentiated again (create_graph=True).\n"
            "  Use its composed form, or compute this gradient without create_graph."
        )
    if inspect is None and edges is node.edges:
        results = node.backward(*dy) if type(dy) is list else node.backward(dy)
    else:
        results = _with_edges(node, dy, edges)
    if type(results) is not tuple:
        results = (results,)
    if len(results) != len(edges):
        raise GraphError(
            f"{type(node).__name__}.backward returned {len(results)} gradients for {len(edges)} "
            "inputs of forward.\n  Return one for each, None where there is none."
        )
    if inspect is not None:
        grads = [r.data for r in results if isinstance(r, Tensor)]
        inspect("backward", node, [d.data for d in _list(dy) if d is not None], grads)
    return results


def _with_edges(node: Function, dy: Any, edges: Sequence[Node | None]) -> Any:
    """backward while the node sees only `edges`, and detect_nan the node but not its parts."""
    inspect, MODE.inspect = MODE.inspect, None
    all_edges, node.edges = node.edges, edges
    try:
        return node.backward(*dy) if type(dy) is list else node.backward(dy)
    finally:
        node.edges = all_edges
        MODE.inspect = inspect


def _leading_to(targets: dict[Node, int], roots: Sequence[Node]) -> set[Node]:
    """The nodes from which a target can be reached, targets included."""
    oldest = min((node.seq for node in targets), default=0)
    seen: dict[int, Node] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.seq >= oldest and node.seq not in seen:
            seen[node.seq] = node
            stack.extend(e for e in node.edges if e is not None)
    useful = set(targets)
    for seq in sorted(seen):
        node = seen[seq]
        if any(e in useful for e in node.edges):
            useful.add(node)
    return useful


def _fit(dy: Any, node: Node) -> Tensor:
    """Sum a gradient over the axes its tensor was broadcast along; other shapes are an error."""
    if not isinstance(dy, Tensor):
        raise GraphError(f"backward returned a {type(dy).__name__}; gradients are Tensors.")
    shape = node.shape
    given = dy.data.shape
    extra = len(given) - len(shape)
    if extra >= 0 and all(n in (1, m) for n, m in zip(shape, given[extra:], strict=True)):
        return dy.sum_to_size(shape)
    if node.shape == (-1,):
        return dy
    raise ShapeError(
        f"backward: a gradient of shape {given} reached {node}, whose result is {shape}."
    )


_alone: list[int] = []  # reference counts of a tensor and its array that only the engine holds


def _owned(dy: Tensor) -> bool:
    """True where nobody but the engine holds this gradient and its memory, so it can be kept."""
    data = dy.data
    counts = [sys.getrefcount(dy), sys.getrefcount(data)]
    if not _alone:
        _alone.extend(counts)
    if counts != _alone:
        return False
    return data.base is None and data.flags.c_contiguous


def _accumulate(leaf: Tensor, dy: Tensor, create_graph: bool) -> bool:
    if dy.data.dtype != leaf.data.dtype:
        dy = dy.to(leaf.data.dtype)
    if leaf.grad is not None:
        leaf.grad = leaf.grad + dy
    elif create_graph or _owned(dy):
        leaf.grad = dy
    else:
        leaf.grad = Tensor(dy.backend.kernels.contiguous(dy.data), dy.backend)
    return leaf._hooks is not None


def _after(leaf: Tensor) -> None:
    hooks = leaf._hooks
    if hooks is not None:
        for hook in tuple(hooks.after.values()):
            hook(leaf)


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
        if tensor.data.size != 1:
            raise GraphError(
                f"backward: the gradient of a tensor of shape {tuple(tensor.data.shape)} must be "
                "given; only for a single element it is 1 by itself.\n"
                "  Reduce it first (loss.mean().backward()) or pass gradient=."
            )
        one = tensor.backend.empty(tensor.data.shape, tensor.data.dtype)
        tensor.backend.kernels.fill(one, 1)
        return node, Tensor(one, tensor.backend)
    if not isinstance(dy, Tensor):
        raise DTypeError(f"backward: gradient must be a Tensor, got {type(dy).__name__}.")
    if dy.data.shape != tensor.data.shape:
        raise ShapeError(
            f"backward: gradient {tuple(dy.data.shape)} and tensor {tuple(tensor.data.shape)} "
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
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradients of `tensors` to ``.grad`` of the leaves (or of `inputs` only).

    grad_tensors: the gradient of each; may be None for tensors of one element. What the graph had
    saved is released unless `retain_graph` (default: `create_graph`). With `create_graph` the
    gradients are themselves part of a graph. Raises GraphError, ShapeError, DeviceError.
    """
    outputs = _list(tensors)
    grads = [None] * len(outputs) if grad_tensors is None else _list(grad_tensors)
    targets = None
    if inputs is not None:
        leaves = _list(inputs)
        for x in leaves:
            if x.grad_fn is not None or not x.requires_grad:
                raise GraphError("backward(inputs=...): every input must be a leaf with gradient.")
        targets = {cast(Node, edge(x)): i for i, x in enumerate(leaves)}
    keep = create_graph if retain_graph is None else retain_graph
    _run(_roots(outputs, grads), keep, create_graph, targets)
    if targets is None and MODE.after_backward is not None:
        MODE.after_backward()


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of `outputs` with respect to `inputs`, leaving every ``.grad`` alone.

    inputs may be leaves or results of operations. One that `outputs` do not depend on raises
    GraphError, gives None with `allow_unused`, or zeros with `materialize_grads`.
    """
    if materialize_grads and allow_unused is False:
        raise GraphError("grad: materialize_grads=True needs allow_unused to be True or left out.")
    results, wanted = _list(outputs), _list(inputs)
    grads = [None] * len(results) if grad_outputs is None else _list(grad_outputs)
    targets: dict[Node, int] = {}
    positions = []
    for i, x in enumerate(wanted):
        node = edge(x)
        if node is None:
            raise GraphError(f"grad: input {i} ({describe(x)}) does not require a gradient.")
        positions.append(targets.setdefault(node, i))
    keep = create_graph if retain_graph is None else retain_graph
    found = _run(_roots(results, grads), keep, create_graph, targets, accumulate=False)
    return tuple(
        [
            _result(found.get(p), x, i, allow_unused, materialize_grads)
            for i, (p, x) in enumerate(zip(positions, wanted, strict=True))
        ]
    )


def _result(
    dx: Tensor | None, x: Tensor, position: int, allow_unused: bool | None, zeros: bool
) -> Tensor | None:
    if dx is not None:
        return dx if dx.data.dtype == x.data.dtype else dx.to(x.data.dtype)
    if zeros:
        empty = x.backend.empty(x.data.shape, x.data.dtype)
        x.backend.kernels.fill(empty, 0)
        return Tensor(empty, x.backend)
    if not allow_unused:
        raise GraphError(
            f"grad: input {position} ({describe(x)}) was not used to compute the outputs.\n"
            "  Pass allow_unused=True to get None for it, or materialize_grads=True for zeros."
        )
    return None


class _Probe(Function):
    """Hands a fresh gradient to a leaf."""

    def forward(self) -> None:
        """Not called."""

    def backward(self, dy: Tensor) -> Tensor:
        return Tensor(dy.data.copy(), dy.backend)


def _calibrate() -> None:
    """Let `_owned` see the reference counts of a fresh gradient; they differ between Pythons."""
    leaf = Tensor(np.zeros(1), cast(Any, None), True)
    root = Tensor(np.ones(1), cast(Any, None))
    probe = _Probe()
    probe.edges = (accumulator(leaf),)
    probe.seq = probe.edges[0].seq + 1
    probe.shape = (1,)
    _run([(probe, root)], False, False)


_calibrate()
