"""Functions of functions: the gradient, the products with the Jacobian, the Jacobian itself.

Each takes func and gives a function (or calls it at once); they nest in any order, and results are
part of the graph of whatever else they were computed from. Arguments and results may be nested
tuples, lists and dictionaries of tensors. All are made of backward passes, so the operations of
func must be twice differentiable for jvp, jacfwd and hessian.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from .. import dtype as dtypes
from ..autograd import engine
from ..autograd.composed import alias
from ..autograd.modes import MODE, enable_grad
from ..autograd.node import AccumulateGrad, Node, describe, edge
from ..errors import ArgumentError, DTypeError, ShapeError
from ..ops.joining import stack
from ..tensor import Tensor
from .trees import Structure, flatten, unflatten

Argnums = int | tuple[int, ...]


class _Call:
    """One call of func: chosen arguments as tensors of their own, results as a flat list."""

    def __init__(
        self, name: str, func: Callable[..., Any], args: Any, argnums: Any, kwargs: Any, aux: bool
    ) -> None:
        self.name, self.recording = name, MODE.grad
        chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        places = [_place(name, n, len(args)) for n in chosen]
        tree = args[places[0]] if isinstance(argnums, int) else tuple([args[p] for p in places])
        given, self.structure = flatten(tree)
        self.inputs = [_own(name, x, self.recording) for x in given]
        self.start = min([edge_of(x).seq for x in self.inputs], default=0)
        own = unflatten(self.structure, list(self.inputs))
        new = list(args)
        for place, value in zip(places, (own,) if isinstance(argnums, int) else own, strict=True):
            new[place] = value
        with enable_grad():
            result = func(*new, **kwargs)
        self.aux: Any = None
        if aux:
            if not (isinstance(result, tuple) and len(result) == 2):
                raise ArgumentError(
                    f"{name}(has_aux=True): func must return (output, aux), got a "
                    f"{type(result).__name__}."
                )
            result, self.aux = result[0], _freed(result[1], self)
        self.outputs, self.shape = flatten(result)
        for y in self.outputs:
            if not isinstance(y, Tensor):
                raise DTypeError(f"{name}: func must return tensors, got a {type(y).__name__}.")
        self.graph = self.recording and self.open(self.outputs)

    def open(self, tensors: Sequence[Any]) -> bool:
        """Whether tensors depend on something besides the inputs that could want a gradient."""
        if any(x.grad_fn is not None for x in self.inputs):
            return True  # the given arguments do
        own = {edge_of(x) for x in self.inputs}
        seen: set[Node] = set()
        waiting = [edge(y) for y in tensors if isinstance(y, Tensor)]
        while waiting:
            node = waiting.pop()
            if node is None or node in seen or node in own:
                continue
            if isinstance(node, AccumulateGrad) or node.seq < self.start:
                return True
            seen.add(node)
            waiting.extend(node.edges)
        return False

    def gradients(
        self, outputs: Sequence[Tensor], vectors: Sequence[Tensor], graph: bool
    ) -> list[Tensor]:
        """v^T J for each input, zeros where there is no dependence."""
        pairs = [(y, v) for y, v in zip(outputs, vectors, strict=True) if y.requires_grad]
        if not pairs or not self.inputs:
            return [x.new_zeros(x.shape) for x in self.inputs]
        found = engine.grad(
            [y for y, _ in pairs],
            self.inputs,
            [v for _, v in pairs],
            retain_graph=True,
            create_graph=graph,
            materialize_grads=True,
        )
        return list(found)

    def close(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Results for the caller: without history where it has no use for it."""
        return list(tensors) if self.graph else [x.detach() for x in tensors]

    def output(self) -> Any:
        """func's result for the caller."""
        return unflatten(self.shape, self.close(self.outputs))


def edge_of(x: Tensor) -> Node:
    """The node of a tensor that requires a gradient."""
    node = edge(x)
    assert node is not None
    return node


def _place(name: str, n: int, count: int) -> int:
    if not isinstance(n, int) or not -count <= n < count:
        raise ArgumentError(f"{name}: argnums {n!r} names none of {count} positional arguments.")
    return n % count


def _own(name: str, x: Any, recording: bool) -> Tensor:
    if not isinstance(x, Tensor):
        raise DTypeError(
            f"{name}: the arguments to differentiate by must be tensors, got a {type(x).__name__}."
        )
    if not dtypes.is_floating(x.dtype):
        raise DTypeError(f"{name}: only floating tensors have derivatives; got {describe(x)}.")
    with enable_grad():
        return alias(x) if recording and x.requires_grad else x.detach().requires_grad_()


def _freed(aux: Any, call: _Call) -> Any:
    leaves, structure = flatten(aux)
    if call.recording and call.open(leaves):
        return aux
    return unflatten(structure, [x.detach() if isinstance(x, Tensor) else x for x in leaves])


def grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Any:
    """The function that gives the gradient of `func`, whose result has one element and no axes.

    argnums: by which arguments; for a tuple of them the gradients come as a tuple. With `has_aux`
    func returns (output, aux), and the new function (gradient, aux).
    """
    both = grad_and_value(func, argnums, has_aux)

    @wraps(func)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def grad_and_value(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Any:
    """As `grad`, but the new function gives (gradient, output), or (gradient, (output, aux))."""

    @wraps(func)
    def both(*args: Any, **kwargs: Any) -> Any:
        call = _Call("grad", func, args, argnums, kwargs, has_aux)
        if call.shape.kind is not None or call.outputs[0].ndim:
            shapes = ", ".join(describe(y) for y in call.outputs)
            raise ShapeError(
                f"grad: func must return one tensor without axes, got {shapes}.\n"
                "  Sum it, return (loss, other) with has_aux=True, or use jacrev."
            )
        (y,) = call.outputs
        found = call.close(call.gradients([y], [y.new_ones(())], call.graph))
        value = call.output()
        return unflatten(call.structure, found), ((value, call.aux) if has_aux else value)

    return both


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """(func(*primals), f) with f(v) = v^T J, a tuple with one entry for each of primals; or
    (output, f, aux).

    v has the structure of the output. f may be called several times.
    """
    call = _Call("vjp", func, primals, tuple(range(len(primals))), {}, has_aux)

    def product(
        *cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None
    ) -> Any:
        given = cotangents[0] if len(cotangents) == 1 else cotangents
        vectors = _matching("vjp", given, call.shape, call.outputs, "output")
        wanted = MODE.grad and (call.graph or any(v.requires_grad for v in vectors))
        graph = wanted if create_graph is None else create_graph
        found = call.gradients(call.outputs, vectors, graph)
        return unflatten(call.structure, found if graph else [x.detach() for x in found])

    return (call.output(), product, call.aux) if has_aux else (call.output(), product)


def jvp(
    func: Callable[..., Any],
    primals: Any,
    tangents: Any,
    *,
    strict: bool = False,
    has_aux: bool = False,
) -> Any:
    """(func(*primals), J tangents), or (output, product, aux); tangents are as the primals.

    strict: an output that depends on no input raises ArgumentError instead of giving zeros.
    """
    if not isinstance(primals, tuple) or not isinstance(tangents, tuple):
        raise ArgumentError("jvp: primals and tangents must be tuples, one entry per argument.")
    call = _Call("jvp", func, primals, tuple(range(len(primals))), {}, has_aux)
    vectors = _matching("jvp", tangents, call.structure, call.inputs, "input")
    if strict and not all(y.requires_grad for y in call.outputs):
        raise ArgumentError("jvp(strict=True): an output of func depends on no input.")
    graph = call.recording and (call.graph or any(v.requires_grad for v in vectors))
    found = _Columns(call).times(vectors, graph)
    product = unflatten(call.shape, found if graph else [x.detach() for x in found])
    return (call.output(), product, call.aux) if has_aux else (call.output(), product)


class _Columns:
    """J v for many v: v^T J is linear in its v, and its derivative by that is J."""

    def __init__(self, call: _Call) -> None:
        with enable_grad():
            self.us = [y.new_zeros(y.shape).requires_grad_() for y in call.outputs]
            self.products = call.gradients(call.outputs, self.us, True)

    def times(self, vectors: Sequence[Tensor], graph: bool) -> list[Tensor]:
        pairs = [(p, v) for p, v in zip(self.products, vectors, strict=True) if p.requires_grad]
        if not pairs:
            return [u.new_zeros(u.shape) for u in self.us]
        products, given = [p for p, _ in pairs], [v for _, v in pairs]
        options: dict[str, Any] = {"retain_graph": True, "materialize_grads": True}
        return list(engine.grad(products, self.us, given, create_graph=graph, **options))


def _matching(
    name: str, given: Any, structure: Structure, like: Sequence[Tensor], what: str
) -> list[Tensor]:
    """The tensors of a tree that must be like the inputs or outputs."""
    vectors, got = flatten(given)
    shapes = [x.shape for x in like]
    if got.parts != structure.parts or [getattr(v, "shape", None) for v in vectors] != shapes:
        raise ShapeError(
            f"{name}: the vectors must have the structure and shapes of the {what}s: {shapes}; got "
            f"{[getattr(v, 'shape', v) for v in vectors]}."
        )
    return vectors


def jacrev(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> Any:
    """The function that gives J[i..., k...] = d y[i...] / d x[k...], shape y.shape + x.shape.

    A tree of outputs gives a tree of trees of arguments. One backward pass for each element of the
    outputs (`chunk_size` changes nothing): for few outputs; `jacfwd` is for few inputs.
    """

    @wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        call = _Call("jacrev", func, args, argnums, kwargs, has_aux)
        rows = []
        for y in call.outputs:
            found = [call.gradients([y], [v], call.graph) for v in _basis(y)]
            rows.append(_stacked(call, found, [(*y.shape, *x.shape) for x in call.inputs]))
        trees = [unflatten(call.structure, call.close(row)) for row in rows]
        result = unflatten(call.shape, trees)
        return (result, call.aux) if has_aux else result

    return jacobian


def jacfwd(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
) -> Any:
    """`jacrev`, computed by columns: one backward pass for each element of the arguments.

    func runs once, so `randomness` changes nothing.
    """

    @wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        call = _Call("jacfwd", func, args, argnums, kwargs, has_aux)
        columns = _Columns(call)
        parts: list[list[Tensor]] = [[] for _ in call.outputs]
        for i, x in enumerate(call.inputs):
            zeros = [w.new_zeros(w.shape) for w in call.inputs]
            found = [columns.times([*zeros[:i], v, *zeros[i + 1 :]], call.graph) for v in _basis(x)]
            shapes = [(*x.shape, *y.shape) for y in call.outputs]
            for o, part in enumerate(_stacked(call, found, shapes)):
                order = (*range(x.ndim, part.ndim), *range(x.ndim))
                with enable_grad():
                    parts[o].append(part.permute(order))
        result = unflatten(call.shape, [unflatten(call.structure, call.close(p)) for p in parts])
        return (result, call.aux) if has_aux else result

    return jacobian


def _basis(x: Tensor) -> list[Tensor]:
    """One tensor for each element of x: 1 there and 0 elsewhere."""
    found = []
    for i in range(x.numel()):
        v = x.new_zeros((x.numel(),))
        v[i] = 1
        found.append(v.reshape(x.shape))
    return found


def _stacked(call: _Call, found: list[list[Tensor]], shapes: list[Any]) -> list[Tensor]:
    """For each of several tensors its copies side by side, in the given shape."""
    if not found:
        like = call.inputs[0]
        return [like.new_zeros(shape) for shape in shapes]
    with enable_grad():
        columns = zip(*found, strict=True)
        return [stack(list(c)).reshape(s) for c, s in zip(columns, shapes, strict=True)]


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Any:
    """The function that gives H[k..., l...] = d^2 y / d x[k...] d x[l...]: jacrev of jacrev."""
    return jacrev(jacrev(func, argnums), argnums)
