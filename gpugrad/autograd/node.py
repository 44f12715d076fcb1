"""Node: what stands in the graph; the ends at leaves; what people may ask and attach to it."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..backends import engine
from ..tensor import Tensor
from .hooks import Hooks, RemovableHandle, add_hook, hooks_of

if TYPE_CHECKING:
    from .function import Function

sequence = itertools.count(1)
"""Numbers nodes in the order of their creation."""


class Node(engine.NodeBase):
    """What stands in the graph. `seq` grows with creation: a consumer's is higher than its input's.

    `edges` has, for each input, the node its gradient goes to, or None. `shape` is the result's.
    ``tensor.grad_fn`` is one; from it the graph can be walked by `next_functions`.
    """

    # Slots of NodeBase, which also gives their first values: 0, (), (), None, ().
    seq: int
    edges: Sequence[Node | None]
    shape: tuple[int, ...]
    hooks: Hooks | None
    _saved: Any

    def name(self) -> str:
        """The operation's name, e.g. ``"Mul"``."""
        return type(self).__name__

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """For each input of the operation (the node it came from, as which of its results)."""
        return tuple([(e.parent, e.index) if isinstance(e, Output) else (e, 0) for e in self.edges])

    @property
    def metadata(self) -> dict[str, Any]:
        """A dictionary for whatever its user wants to keep at this node."""
        kept: dict[str, Any] = self.__dict__.setdefault("_metadata", {})
        return kept

    def register_prehook(self, fn: Callable[[tuple[Any, ...]], Any]) -> RemovableHandle:
        """Call ``fn(grad_outputs)`` before the node's backward, None where a result got none.

        It may return a tuple to use instead; it must not change the gradients in place.
        """
        return add_hook(self._own_hooks().prehooks, fn)

    def register_hook(self, fn: Callable[[tuple[Any, ...], tuple[Any, ...]], Any]) -> Any:
        """Call ``fn(grad_inputs, grad_outputs)`` after the node's backward; it may return a tuple
        to use in the place of grad_inputs. At the end of the graph grad_inputs is ``()``."""
        return add_hook(self._own_hooks().posthooks, fn)

    def _own_hooks(self) -> Hooks:
        if self.hooks is None:
            self.hooks = Hooks()
        return self.hooks


class AccumulateGrad(Node):
    """The end of the graph at a leaf: adds the gradient to ``tensor.grad``."""

    def __init__(self, tensor: Tensor) -> None:
        self.seq = next(sequence)
        self.tensor = tensor
        self.shape = tensor.array.shape
        self.hooks = tensor._hooks  # the leaf keeps them: a new graph gets a new end

    def _own_hooks(self) -> Hooks:
        return hooks_of(self.tensor)

    @property
    def variable(self) -> Tensor:
        """The leaf, under PyTorch's name."""
        return self.tensor

    def __repr__(self) -> str:
        return "<AccumulateGrad>"


class Output(Node):
    """One result of an operation with several: hands its gradient to the operation's node."""

    def __init__(self, parent: Function, index: int, shape: tuple[int, ...]) -> None:
        self.seq = next(sequence)
        self.parent = parent
        self.edges = (parent,)
        self.index = index
        self.shape = shape

    def name(self) -> str:
        """The operation's name."""
        return self.parent.name()

    def __repr__(self) -> str:
        return f"<{type(self.parent).__name__} output {self.index}>"


SEVERAL: tuple[int, ...] = (-1,)
"""The shape of a node with several results: it is checked at each of them."""


def accumulator(leaf: Tensor) -> AccumulateGrad:
    """The leaf's end of the graph: one as long as a graph uses it, so that its place in the order
    of creation is just below its first consumer's."""
    reference = leaf._accumulator
    node = reference() if reference is not None else None
    if node is None:
        node = AccumulateGrad(leaf)
        leaf._accumulator = weakref.ref(node)
    return node


def edge(tensor: Tensor) -> Node | None:
    """Where the gradient of `tensor` goes; None where it requires none."""
    if not tensor._requires_grad:
        return None
    return tensor.grad_fn or accumulator(tensor)


def describe(x: Any) -> str:
    """Shape, dtype and device of a tensor in one phrase; a value as it is."""
    if isinstance(x, Tensor):
        return f"{tuple(x.array.shape)} {x.array.dtype.name} on {x.backend.device}"
    return repr(x)
