"""Function: an operation with its derivative, and the node it leaves in the graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

from .. import dtype as dtypes
from ..backends import Backend, Kernels, engine
from ..errors import DeviceError, GraphError
from ..tensor import Tensor
from .hooks import follow
from .modes import MODE
from .node import SEVERAL, AccumulateGrad, Node, Output, accumulator, describe, edge, sequence
from .saved import Packed, Saved, changed_text, pack, released_text

__all__ = [
    "AccumulateGrad",
    "Function",
    "Node",
    "Output",
    "accumulator",
    "before_inplace",
    "describe",
    "edge",
    "mixed_devices",
    "once_differentiable",
    "rebase",
]


_OURS = __name__.split(".")[0] + "."


class Function(Node):
    """An operation and its derivative; subclass it for your own, and call ``YourFunction.apply``.

    ::

        class Cube(gg.autograd.Function):
            '''y = x^3;  dx = 3 x^2 dy.'''

            def forward(self, x):           # raw arrays in, a raw array (or a tuple) out
                self.save(x)
                return self.kernels.binary("mul", self.kernels.unary("square", x), x)

            def backward(self, dy):         # Tensors in, Tensors out: can be differentiated again
                (x,) = self.saved
                return 3 * x * x * dy

        y = Cube.apply(x)

    ``apply(*inputs, **options)``: inputs are tensors or plain values and reach `forward` in order,
    tensors as arrays (NumPy's, or CuPy's on a GPU); options reach it by name. An instance lives for
    one call: keep what backward needs with ``self.save(...)`` (arrays among the inputs and results
    come back from ``self.saved`` as tensors of the graph, others as constants) or as attributes
    (shapes, numbers). ``self.needs(i)`` tells whether input i wants a gradient.

    `backward` takes one gradient for each result (None for a result that got none) and returns one
    for each input of `forward`, None where there is none; a single one need not be a tuple. A
    gradient that is larger than its input because the input was broadcast is summed by the engine.
    Written in Tensor operations it is differentiable itself; a class that cannot be sets
    ``twice_differentiable = False`` and raises GraphError under ``create_graph=True``.

    PyTorch's style works as it is: ``@staticmethod`` before ``forward(ctx, x)`` and
    ``backward(ctx, dy)`` (and ``setup_context(ctx, inputs, output)``), which compute with Tensors;
    `context.Context` lists what ctx can do.

    An operation without derivative does not exist: a subclass must define `backward`. Operations
    that have none are plain functions, listed in ``gpugrad.ops.NON_DIFFERENTIABLE``.
    """

    twice_differentiable: bool = True
    view: bool = False  # the result shares the memory of input 0
    inplace: bool = False  # forward has changed the array of input 0 and returns it
    _may_share: bool = False  # `view`, or a user's class, whose forward may return an input

    backend: Backend
    kernels: Kernels
    site: str = ""  # file and line of creation, where detect_nan is on
    count: int = 1  # how many results

    def __init_subclass__(cls, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._may_share = cls.view or not cls.__module__.startswith(_OURS)
        for method in () if abstract else ("forward", "backward"):
            if getattr(cls, method) is getattr(Function, method):
                raise TypeError(f"Function {cls.__name__} must define {method}().")
        if isinstance(inspect.getattr_static(cls, "forward"), staticmethod):
            from . import context  # which is built on this file

            context.adopt(cls)

    def forward(self, *arrays: Any, **options: Any) -> Any:
        """Compute the result from raw arrays through ``self.kernels``."""
        raise NotImplementedError

    def backward(self, *dys: Any) -> Any:
        """Gradients of the inputs from those of the results."""
        raise NotImplementedError

    def save(self, *arrays: Any) -> None:
        """Keep arrays (or numbers, or None) for backward. Call once, in `forward`."""
        self._saved = arrays

    def needs(self, index: int) -> bool:
        """True where input `index` wants a gradient."""
        return self.edges[index] is not None

    @property
    def saved(self) -> list[Any]:
        """What was saved, as Tensors. Raises GraphError where it was changed or released since."""
        if self._saved is None:
            raise GraphError(released_text(self))
        return [self._unpack(entry) for entry in self._saved]

    def _unpack(self, entry: Saved) -> Any:
        tensor, value, counter, version = entry
        if counter is None:
            if type(value) is Packed:
                return value.unpacked(self)
            return value if not hasattr(value, "shape") else Tensor(value, self.backend)
        moved = tensor is not None and tensor.array is not value and not tensor._keeps_values
        if moved or counter.version != version:
            raise GraphError(changed_text(self, value, counter, version))
        if tensor is not None:
            return tensor
        result = Tensor(value, self.backend)  # our own result: a fresh tensor avoids a cycle
        if MODE.grad and dtypes.is_floating(value.dtype):
            result.grad_fn = self._node_of(value)
            result._requires_grad = True
        return result

    def _node_of(self, value: Any) -> Node:
        if self.shape is not SEVERAL:
            return self
        index = next(i for i, y in enumerate(self._outputs) if y is value)
        return Output(self, index, value.shape)

    _outputs: tuple[Any, ...] = ()

    if TYPE_CHECKING:

        @classmethod
        def apply(cls, *inputs: Any, **options: Any) -> Any:
            """Compute, and record the operation where an input requires a gradient."""
    else:
        apply = classmethod(engine.apply)  # csrc/cpu/engine.cpp; what it calls is connected below

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def _several(
    node: Function, data: tuple[Any, ...], inputs: Sequence[Any], needed: bool
) -> tuple[Tensor, ...]:
    outputs = tuple([Tensor(y, node.backend) for y in data])
    if node._may_share:
        for out in outputs:
            _share(node, out, inputs, needed)
    if needed:
        node.seq = next(sequence)
        node.shape = SEVERAL
        node._outputs = data if node._saved else ()
        for i, out in enumerate(outputs):
            if dtypes.is_floating(out.array.dtype):
                out.grad_fn = Output(node, i, out.array.shape)
                out._requires_grad = True
        node.count = len(outputs)
        if node._saved:
            node._saved = pack(node, inputs, outputs)
    return outputs


def _share(node: Function, out: Tensor, inputs: Sequence[Any], needed: bool) -> None:
    """Where `out` looks into the memory of an input, both have one version counter; and where the
    input changes with history, the view's own history must be known to be out of date."""
    data = out.array
    base = inputs[0] if node.view else _returned(data, inputs)
    if base is None:
        return
    if data is base.array:
        out.array = data[...]  # each tensor owns its array object; identity tells saved ones apart
    out._versions = counter = base._versions or base._counter
    out._is_view = True
    if MODE.grad:
        counter.add_view(out)


def _returned(data: Any, inputs: Sequence[Any]) -> Tensor | None:
    """The input that a user's forward returned, whole or a part of it, without saying so."""
    base = getattr(data, "base", None)
    for x in inputs:
        if isinstance(x, Tensor) and (
            data is x.array or (base is not None and (base is x.array or base is x.array.base))
        ):
            return x
    return None


def _changed_in_place(node: Function, data: Any, inputs: Sequence[Any], needed: bool) -> Tensor:
    target: Tensor = inputs[0]
    target._counter.changed(type(node).__name__)
    if needed:
        node.seq = next(sequence)
        node.shape = target.array.shape
        if node._saved:
            node._saved = pack(node, inputs[1:], (target,))
        rebase(target, node)
    return target


def before_inplace(name: str, target: Tensor, others: Sequence[Any] = ()) -> None:
    """Raise GraphError where changing `target` in place would break the graph."""
    if not MODE.grad:
        return
    if target._requires_grad and target.grad_fn is None:
        raise GraphError(
            f"{name}: a leaf tensor that requires a gradient cannot be changed in place: "
            f"{describe(target)}.\n"
            "  Change it under gg.no_grad(), or work on a clone()."
        )
    if target._is_view and (
        target._requires_grad or any(isinstance(x, Tensor) and x._requires_grad for x in others)
    ):
        raise GraphError(
            f"{name}: a view that is part of a graph cannot be changed in place: "
            f"{describe(target)}.\n"
            "  Index the base instead (base[i] = ...), or work on a clone()."
        )


def rebase(target: Tensor, node: Node) -> None:
    """`target` was changed in place: its history is now `node`; live views of it are stale."""
    for view in target._counter.live_views():
        if view is not target:
            view.grad_fn = _Stale(view, node)
            view._requires_grad = True
    follow(target, target.grad_fn, node)
    target.grad_fn = node
    target._requires_grad = True


class _Refusal(Node):
    """A node whose backward is an error."""

    twice_differentiable = True


class _Stale(_Refusal):
    """The history of a view whose base got a new history: unknown, so backward says so."""

    def __init__(self, view: Tensor, cause: Node) -> None:
        self.seq = next(sequence)
        self.shape = view.array.shape
        self.cause = repr(cause)

    def backward(self, dy: Tensor) -> Any:
        raise GraphError(
            f"backward: a view of shape {self.shape} was taken before its base was changed "
            f"in place by {self.cause}, and used after.\n"
            "  Take the view again after the change, or use the out-of-place operation."
        )

    def __repr__(self) -> str:
        return "<StaleView>"


def mixed_devices(name: str, inputs: Sequence[Any]) -> str:
    """The text for tensors of several devices in one operation."""
    facts = ", ".join(describe(x) for x in inputs if isinstance(x, Tensor))
    return (
        f"{name}: all tensors must be on one device; got {facts}.\n"
        "  Move them with .to(device) first."
    )


class _Once(_Refusal):
    """The history of a gradient that `once_differentiable` computed."""

    def __init__(self, node: Node, shape: tuple[int, ...]) -> None:
        self.seq = next(sequence)
        self.shape = shape
        self.edges = node.edges
        self.of = node.name()

    def backward(self, *dys: Any) -> Any:
        raise GraphError(
            f"{self.of}.backward is marked once_differentiable: its gradient cannot be "
            "differentiated again.\n  Compute it with create_graph=False."
        )


def once_differentiable(function: Callable[..., Any]) -> Callable[..., Any]:
    """``@staticmethod @once_differentiable def backward(ctx, dy)``: computed without recording;
    differentiating the gradient again raises GraphError."""

    @wraps(function)
    def backward(ctx: Any, *dys: Any) -> Any:
        recording, MODE.grad = MODE.grad, False
        try:
            found = function(ctx, *dys)
        finally:
            MODE.grad = recording
        results = list(found) if isinstance(found, (tuple, list)) else [found]
        for i, dx in enumerate(results):
            if recording and isinstance(dx, Tensor):
                results[i] = dx.detach()
                results[i].grad_fn, results[i]._requires_grad = _Once(ctx, dx.shape), True
        return tuple(results)

    return backward


def _refused(node: Function, cls: type[Function], inputs: Sequence[Any], needed: bool) -> None:
    raise DeviceError(mixed_devices(cls.__name__, inputs))


def _pack(node: Function, out: Tensor, inputs: Sequence[Any], needed: bool) -> list[Saved]:
    return pack(node, inputs, (out,))


# What apply calls: functions of (node, result or what it is about, inputs, needed), where `needed`
# tells whether the node becomes part of a graph.
engine.connect(
    tensor=Tensor,
    mode=MODE,
    sequence=sequence,
    accumulator=accumulator,
    pack=_pack,
    several=_several,
    inplace=_changed_in_place,
    share=_share,
    mixed=_refused,
)
