"""Functions in PyTorch's style: static `forward` and `backward` with a context between them.

The context is the node of the graph itself, as in PyTorch, where ``ctx`` is ``y.grad_fn``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import backends
from .. import dtype as dtypes
from ..errors import DeviceError, DTypeError, GraphError
from ..tensor import Tensor
from .function import Function, before_inplace, mixed_devices, rebase
from .modes import MODE
from .node import SEVERAL, Node, Output, edge, sequence
from .saved import pack


class Context(Function, abstract=True):
    """``ctx``: carries what backward needs; a node of the graph. Any attribute may be set on it."""

    user: Any  # the class with the static methods
    _to_save: tuple[Any, ...] = ()
    _dirty: tuple[Any, ...] = ()
    _constant: tuple[Any, ...] = ()
    _materialize: bool = True
    _facts: Sequence[tuple[Any, ...] | None] = ()  # (shape, dtype) of each tensor among the results

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors (or None) for backward, which finds them in `saved_tensors`."""
        for i, x in enumerate(tensors):
            if not (x is None or isinstance(x, Tensor)):
                raise DTypeError(
                    f"save_for_backward: only tensors and None can be saved; argument {i} is a "
                    f"{type(x).__name__}.\n  Keep other values as attributes: ctx.n = n."
                )
        self._to_save = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """For forward-mode derivatives, which gpugrad does not have: nothing is kept."""

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What was saved. Raises GraphError where it was changed in place or released since."""
        return tuple(self.saved)

    @property
    def needs_input_grad(self) -> tuple[bool, ...]:
        """For each argument of forward whether its gradient is wanted."""
        return tuple([e is not None for e in self.edges])

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Tell which inputs forward has changed in place; they must be among its results."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Tell which results carry no gradient."""
        self._constant = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros (True, as without this call) or None for missing ones."""
        self._materialize = value

    def forward(self, *arrays: Any, **options: Any) -> Any:
        """The class's own static method computes."""
        raise NotImplementedError

    def backward(self, *dys: Any) -> Any:
        """Call the static backward; extra Nones at the end are dropped."""
        given = list(dys)
        if self._materialize:
            for i, fact in enumerate(self._facts):
                if given[i] is None and fact is not None:
                    zeros = self.backend.empty(*fact)
                    self.kernels.fill(zeros, 0)
                    given[i] = Tensor(zeros, self.backend)
        found = self.user.backward(self, *given)
        results = list(found) if isinstance(found, (tuple, list)) else [found]
        while len(results) > len(self.edges) and results[-1] is None:
            results.pop()
        return tuple(results)


def adopt(cls: type[Function]) -> None:
    """Make a class with a static forward usable: give it a context class and its `apply`."""
    if not isinstance(vars_of(cls, "backward"), staticmethod):
        raise TypeError(
            f"Function {cls.__name__}: forward is a static method (ctx style), backward is not.\n"
            "  Write @staticmethod before both, or before none: forward(self, x)."
        )
    names = {"user": cls, "__module__": cls.__module__, "__doc__": cls.__doc__}
    context = type(cls.__name__, (Context,), names)
    setattr(cls, "_context", context)  # noqa: B010 - not declared on Function
    setattr(cls, "apply", classmethod(_apply))  # noqa: B010


def vars_of(cls: type, name: str) -> Any:
    """An attribute as its class holds it, so that a static method can be told."""
    return next(vars(c)[name] for c in cls.__mro__ if name in vars(c))


def _apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
    """Call the static forward without recording, and put the node of the call into the graph."""
    if kwargs:
        raise TypeError(
            f"{cls.__name__}.apply takes no keyword arguments, got {', '.join(kwargs)}.\n"
            "  A ctx-style Function gets its arguments by position."
        )
    ctx: Context = cls._context()
    recording = MODE.grad
    given = [x for x in args if isinstance(x, Tensor)]
    if any(x.backend is not given[0].backend for x in given):
        raise DeviceError(mixed_devices(cls.__name__, args))
    ctx.edges = [edge(x) if recording and isinstance(x, Tensor) else None for x in args]
    MODE.grad = False
    try:
        if hasattr(cls, "setup_context"):
            output = cls.forward(*args)
            cls.setup_context(ctx, args, output)
        else:
            output = cls.forward(ctx, *args)
    finally:
        MODE.grad = recording
    outputs = output if isinstance(output, tuple) else (output,)
    made = [y for y in outputs if isinstance(y, Tensor)]
    ctx.backend = (given or made)[0].backend if given or made else backends.get("cpu")
    ctx.kernels = ctx.backend.kernels
    results = tuple([_result(ctx, y, given) for y in outputs])
    if MODE.inspect is not None:
        MODE.inspect("forward", ctx, [x.array for x in given], [y.array for y in made])
    if any(e is not None for e in ctx.edges):
        _record(ctx, args, results, several=isinstance(output, tuple))
    ctx._to_save = ctx._dirty = ctx._constant = ()
    return results if isinstance(output, tuple) else results[0]


def _result(ctx: Context, y: Any, given: Sequence[Tensor]) -> Any:
    """A result as a tensor of its own; an input that was changed in place stays itself."""
    if not isinstance(y, Tensor) or any(y is x for x in ctx._dirty):
        return y
    is_input = any(y is x for x in given)
    constant = any(y is x for x in ctx._constant)
    result = y
    if is_input or y._requires_grad:
        result = Tensor(y.array[...] if is_input else y.array, y.backend)
        result._counter = y._counter
        result._is_view = is_input or y._is_view
        if constant:
            ctx._constant = (*ctx._constant, result)
    if result._is_view and MODE.grad and not constant:
        result._counter.add_view(result)  # forward was not recorded, so it is not known yet
    return result


def _record(ctx: Context, args: Sequence[Any], results: tuple[Any, ...], several: bool) -> None:
    for x in ctx._dirty:
        if not any(x is y for y in results):
            raise GraphError(
                f"{type(ctx).__name__}: mark_dirty names an input that forward does not return.\n"
                "  Return every input that is changed in place."
            )
        before_inplace(type(ctx).__name__, x)
    ctx.seq = next(sequence)
    ctx.count = len(results)
    ctx.shape = SEVERAL if several else getattr(results[0], "shape", ())
    tensors = [y for y in results if isinstance(y, Tensor)]
    ctx._facts = [(y.shape, y.dtype) if isinstance(y, Tensor) else None for y in results]
    for i, y in enumerate(results):
        if not isinstance(y, Tensor) or not dtypes.is_floating(y.dtype):
            continue
        if any(y is x for x in ctx._constant):
            continue
        node: Node = Output(ctx, i, y.shape) if several else ctx
        if any(y is x for x in ctx._dirty):
            rebase(y, node)
        else:
            y.grad_fn, y._requires_grad = node, True
    if ctx._to_save:
        ctx._outputs = tuple([getattr(y, "array", None) for y in results])
        ctx._saved = tuple([None if x is None else x.array for x in ctx._to_save])
        unchanged = [x for x in args if not any(x is d for d in ctx._dirty)]
        ctx._saved = pack(ctx, unchanged, tensors)
