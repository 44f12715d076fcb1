"""The walk: goes through the graph backwards, from the newest node to the oldest.

A node's consumers are newer than the node. So a heap that gives out the highest sequence number
first reaches a node only when its gradient is complete: no recursion, no search, no counts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Any, cast

import numpy as np

from ..errors import GraphError, ShapeError
from ..tensor import Tensor
from .function import Function
from .hooks import Hooks
from .modes import MODE
from .node import AccumulateGrad, Node, Output, accumulator

Roots = list[tuple[Node, Tensor]]

_NEXT = 1 << 62
"""Added to a sequence number, it is above all others."""


class _Walk:
    """Gradients on their way: node and gradient by sequence number, a heap of numbers waiting.

    `add` sums up two gradients: only the kernel where no one records or watches. With `direct` a
    leaf without hooks is next whenever a gradient arrives, not when all have: its end may be as
    old as an earlier graph that somebody still holds, and all gradients would wait for the last.
    """

    __slots__ = ("__weakref__", "add", "arrived", "at_end", "direct", "heap", "starts", "useful")

    def __init__(
        self, plain: bool, direct: bool, starts: list[Node], useful: set[Node] | None
    ) -> None:
        self.arrived: dict[int, list[Any]] = {}
        self.heap: list[int] = []
        self.add = _plain_add if plain else _add
        self.direct, self.starts, self.useful = direct, starts, useful
        self.at_end: list[Callable[[], None]] = []

    def reached(self) -> set[Node]:
        """The nodes that this walk comes by: a search, for who needs to know."""
        return _from(self.starts) if self.useful is None else self.useful

    def deliver(self, edges: Sequence[Node | None], grads: Sequence[Tensor | None]) -> None:
        """Add gradients to what has arrived at their nodes, which is never changed in place."""
        arrived, direct = self.arrived, self.direct
        for node, dy in zip(edges, grads):  # noqa: B905 - the lengths were compared
            if node is None or dy is None:
                continue
            if dy.array.shape != node.shape:
                dy = _fit(dy, node)
            seq = node.seq
            if direct and type(node) is AccumulateGrad and node.hooks is None:
                seq += _NEXT
            entry = arrived.get(seq)
            if entry is None:
                arrived[seq] = [node, dy]
                heappush(self.heap, -seq)
            else:
                self.add(entry, 1, dy)

    def deliver_output(self, output: Output, dy: Tensor) -> None:
        """Put `dy` into its place among the gradients of a node with several results."""
        parent = output.parent
        seq = parent.seq
        entry = self.arrived.get(seq)
        if entry is None:
            entry = self.arrived[seq] = [parent, [None] * parent.count]
            heappush(self.heap, -seq)
        slots = entry[1]
        if slots[output.index] is None:
            slots[output.index] = dy
        else:
            self.add(slots, output.index, dy)


def _add(held: list[Any], at: int, dy: Tensor) -> None:
    """held[at] += dy, recorded and watched."""
    held[at] = held[at] + dy


def _plain_add(held: list[Any], at: int, dy: Tensor) -> None:
    """held[at] += dy: in the memory that is there, if nobody else holds it."""
    counts = sys.getrefcount(held[at]), sys.getrefcount(held[at].array)
    a: Tensor = held[at]
    x, y = a.array, dy.array
    if x.dtype is not y.dtype:
        held[at] = a + dy
    elif counts == _LISTED and x.base is None and x.shape == y.shape:
        a.backend.kernels.binary("add", x, y, x)
    else:
        held[at] = Tensor(a.backend.kernels.binary("add", x, y), a.backend)


def run(
    roots: Roots,
    retain_graph: bool,
    create_graph: bool,
    targets: dict[Node, int] | None = None,
    accumulate: bool = True,
) -> dict[int, Tensor]:
    """Walk from `roots`. With `targets`, only what leads to them; gives their gradients."""
    starts = [node for node, _ in roots]
    useful = None if targets is None else _leading_to(targets, starts)
    plain = not create_graph and MODE.inspect is None
    walk = _Walk(plain, plain and accumulate and targets is None, starts, useful)
    for node, dy in roots:
        walk.deliver((node,), (dy,))
    roots.clear()  # an accumulated gradient must have one owner
    outer = MODE.grad, MODE.walk
    MODE.grad, MODE.walk = create_graph, walk
    captured: dict[int, Tensor] = {}
    try:
        _go(walk, captured, {} if targets is None else targets, accumulate, retain_graph)
        for call in walk.at_end:
            call()
    finally:
        MODE.grad, MODE.walk = outer
    return captured


def _go(
    walk: _Walk,
    captured: dict[int, Tensor],
    targets: dict[Node, int],
    accumulate: bool,
    retain_graph: bool,
) -> None:
    """Take the newest node that waits, until there is none."""
    create_graph, inspect, useful = MODE.grad, MODE.inspect, walk.useful
    heap, arrived, deliver = walk.heap, walk.arrived, walk.deliver
    while heap:
        node, dy = arrived.pop(-heappop(heap))
        hooks = node.hooks
        if hooks is not None:
            dy = hooks(dy)
        if targets and node in targets:
            captured[targets[node]] = dy
        if type(node) is AccumulateGrad:
            if accumulate:
                _accumulate(node.tensor, dy, create_graph)
                if hooks is not None:
                    _at_leaf(hooks, node.tensor, dy)
            continue
        edges = node.edges
        if useful is not None:
            edges = [e if e in useful else None for e in edges]
            if not any(edges):
                continue
        if type(node) is Output:
            walk.deliver_output(node, dy)
            continue
        results = _differentiate(node, dy, edges, create_graph, inspect)
        if hooks is not None:
            results = hooks.leave(results, dy)
        if not retain_graph and node._saved:
            node._saved = None
            node._outputs = ()
        deliver(edges, results)
        del dy, results  # an accumulated gradient must have one owner


def _at_leaf(hooks: Hooks, leaf: Tensor, dy: Tensor) -> None:
    """What is called once a leaf has accumulated its gradient."""
    for hook in tuple(hooks.after.values()):
        hook(leaf)
    hooks.leave((), dy)


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
        grads = [r.array for r in results if isinstance(r, Tensor)]
        given = dy if type(dy) is list else [dy]
        inspect("backward", node, [d.array for d in given if d is not None], grads)
    return results


def _with_edges(node: Function, dy: Any, edges: Sequence[Node | None]) -> Any:
    """backward while the node sees only `edges`, and detect_nan the node but not its parts."""
    inspect, MODE.inspect = MODE.inspect, None
    all_edges, node.edges = node.edges, edges
    try:
        return node.backward(*dy) if type(dy) is list else node.backward(dy)
    except Exception as error:
        if node.site and hasattr(error, "add_note"):  # Python 3.11
            error.add_note(f"  {type(node).__name__} was called at {node.site}")
        raise
    finally:
        node.edges = all_edges
        MODE.inspect = inspect


def _from(starts: Sequence[Node]) -> set[Node]:
    """All nodes that can be reached from `starts`."""
    seen: set[Node] = set()
    stack = list(starts)
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(e for e in node.edges if e is not None)
    return seen


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
    given = dy.array.shape
    extra = len(given) - len(shape)
    if extra >= 0 and all(n in (1, m) for n, m in zip(shape, given[extra:], strict=True)):
        return dy.sum_to_size(shape)
    if node.shape == (-1,):
        return dy
    raise ShapeError(
        f"backward: a gradient of shape {given} reached {node}, whose result is {shape}."
    )


def _listed(held: list[Any]) -> tuple[int, int]:
    """Reference counts of a gradient that only a list holds, and of its array that only it holds:
    they differ between Pythons."""
    return sys.getrefcount(held[0]), sys.getrefcount(held[0].array)


_LISTED = _listed([Tensor(np.zeros(1), cast(Any, None))])

_alone: list[int] = []  # reference counts of a tensor and its array that only the engine holds


def _owned(dy: Tensor) -> bool:
    """True where nobody but the engine holds this gradient and its memory, so it can be kept."""
    data = dy.array
    counts = [sys.getrefcount(dy), sys.getrefcount(data)]
    if not _alone:
        _alone.extend(counts)
    if counts != _alone:
        return False
    return data.base is None and data.flags.c_contiguous


def _accumulate(leaf: Tensor, dy: Tensor, create_graph: bool) -> None:
    if dy.array.dtype != leaf.array.dtype:
        dy = dy.to(leaf.array.dtype)
    if leaf.grad is not None:
        held = [leaf.grad]
        leaf.grad = None  # so that the list alone holds it
        add = _add if create_graph or MODE.inspect is not None else _plain_add
        try:
            add(held, 0, dy)
        finally:
            leaf.grad = held[0]
    elif create_graph:
        leaf.grad = dy.clone()  # its own memory, with the history
    elif _owned(dy):
        leaf.grad = dy
    else:
        leaf.grad = Tensor(dy.backend.kernels.contiguous(dy.array), dy.backend)


class _Probe(Function):
    """Hands a fresh gradient to a leaf."""

    def forward(self) -> None:
        """Not called."""

    def backward(self, dy: Tensor) -> Tensor:
        return Tensor(dy.array.copy(), dy.backend)


def _calibrate() -> None:
    """Let `_owned` see the reference counts of a fresh gradient; they differ between Pythons."""
    leaf = Tensor(np.zeros(1), cast(Any, None), True)
    root = Tensor(np.ones(1), cast(Any, None))
    probe = _Probe()
    probe.edges = (accumulator(leaf),)
    probe.seq = probe.edges[0].seq + 1
    probe.shape = (1,)
    run([(probe, root)], False, False)


_calibrate()
