"""Products with Jacobians and Hessians, and these themselves; torch.autograd.functional here.

All is built of backward passes: a product with the Jacobian from the right (jvp) is the derivative
of the product from the left, which is linear in its vector. So the operations of `func` must be
twice differentiable for jvp, hvp, vhp and hessian.

func takes tensors and gives a tensor or a tuple of tensors. Where a value belongs to each of
several tensors it comes in a tuple; for a single tensor it comes bare. Results that `func` does not
make depend on an input are zero; with ``strict`` they raise GraphError instead. With
``create_graph`` results are part of the graph of the inputs, else they are constants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import dtype as dtypes
from ..errors import ArgumentError, DTypeError, GraphError, ShapeError
from ..tensor import Tensor
from .composed import alias, stacked
from .engine import grad
from .modes import enable_grad
from .node import describe

Tensors = tuple[Tensor, ...]


def vjp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(inputs), v^T J): v has the shape of the output and may be left out for one element."""
    xs, single = _prepared("vjp", inputs, create_graph)
    ys, bare = _called("vjp", func, xs, strict)
    vs = _vectors("vjp", v, ys, "output")
    found = _gradients("vjp", ys, xs, vs, create_graph, strict)
    return _bare(_ended(ys, create_graph), bare), _bare(_ended(found, create_graph), single)


def jvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(inputs), J v): v has the shape of the inputs and may be left out for one element."""
    xs, _ = _prepared("jvp", inputs, create_graph)
    vs = _vectors("jvp", v, xs, "input")
    ys, bare = _called("jvp", func, xs, strict)
    us = tuple([y.new_zeros(y.shape).requires_grad_() for y in ys])
    product = _gradients("jvp", ys, xs, us, True, strict)
    found = _gradients("jvp", product, us, vs, create_graph, False)
    return _bare(_ended(ys, create_graph), bare), _bare(_ended(found, create_graph), bare)


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """J[i..., k...] = d y[i...] / d x[k...], of shape y.shape + x.shape.

    For several outputs a tuple over them, of tuples over the inputs where there are several.
    One backward pass for each element of the outputs; `vectorize` changes nothing. Only the
    strategy "reverse-mode" exists.
    """
    _check_strategy("jacobian", strategy)
    xs, single = _prepared("jacobian", inputs, create_graph)
    ys, bare = _called("jacobian", func, xs, strict)
    rows = [_rows("jacobian", y, xs, create_graph, strict) for y in ys]
    found = [_bare(_ended(row, create_graph), single) for row in rows]
    return found[0] if bare else tuple(found)


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """H[k..., l...] = d^2 y / d x[k...] d x[l...] of a func with one element as its output.

    For several inputs a tuple of tuples. `vectorize` changes nothing.
    """
    _check_strategy("hessian", outer_jacobian_strategy)
    xs, single = _prepared("hessian", inputs, create_graph)
    gs = _slope("hessian", func, xs, strict)
    rows = [_rows("hessian", g, xs, create_graph, strict) for g in gs]
    found = tuple([_bare(_ended(row, create_graph), single) for row in rows])
    return found[0] if single else found


def hvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(inputs), H v) of a func with one element as its output; v has the inputs' shape.

    H is symmetric, so this is `vhp`; PyTorch's computes it in two ways.
    """
    return _second("hvp", func, inputs, v, create_graph, strict)


def vhp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(inputs), v^T H) of a func with one element as its output; v has the inputs' shape."""
    return _second("vhp", func, inputs, v, create_graph, strict)


def _second(
    name: str, func: Callable[..., Any], inputs: Any, v: Any, create_graph: bool, strict: bool
) -> tuple[Any, Any]:
    xs, single = _prepared(name, inputs, create_graph)
    vs = _vectors(name, v, xs, "input")
    ys: list[Tensor] = []
    gs = _slope(name, func, xs, strict, ys)
    found = _gradients(name, gs, xs, vs, create_graph, strict)
    return _ended(ys, create_graph)[0], _bare(_ended(found, create_graph), single)


def _slope(
    name: str,
    func: Callable[..., Any],
    xs: Tensors,
    strict: bool,
    outputs: list[Tensor] | None = None,
) -> Tensors:
    """The gradient of a func of one element, as part of the graph."""
    ys, bare = _called(name, func, xs, strict)
    if not bare or ys[0].numel() != 1:
        raise ShapeError(
            f"{name}: func must return one tensor of one element, got "
            f"{', '.join(describe(y) for y in ys)}.\n  Sum it, or take the jacobian of a gradient."
        )
    if outputs is not None:
        outputs.append(ys[0])
    return _gradients(name, ys, xs, (ys[0].new_ones(ys[0].shape),), True, strict)


def _check_strategy(name: str, strategy: str) -> None:
    if strategy != "reverse-mode":
        raise ArgumentError(
            f"{name}: strategy {strategy!r} is not supported; there is 'reverse-mode' only.\n"
            "  gg.func.jacfwd computes a Jacobian by columns."
        )


def _tensors(name: str, what: str, given: Any) -> tuple[Tensors, bool]:
    """A tuple of tensors, and whether a bare tensor was given."""
    single = isinstance(given, Tensor)
    found = (given,) if single else tuple(given) if isinstance(given, (tuple, list)) else ()
    if not found or not all(isinstance(x, Tensor) for x in found):
        raise DTypeError(
            f"{name}: {what} must be a tensor or a tuple of tensors, got {type(given).__name__}."
        )
    return found, single


def _prepared(name: str, inputs: Any, create_graph: bool) -> tuple[Tensors, bool]:
    """The inputs as tensors of their own: with create_graph tied to the given ones."""
    given, single = _tensors(name, "inputs", inputs)
    for x in given:
        if not dtypes.is_floating(x.dtype):
            raise DTypeError(f"{name}: inputs must be floating, one is {describe(x)}.")
    with enable_grad():
        return tuple(
            [
                alias(x) if create_graph and x.requires_grad else x.detach().requires_grad_()
                for x in given
            ]
        ), single


def _called(name: str, func: Callable[..., Any], xs: Tensors, strict: bool) -> tuple[Tensors, bool]:
    with enable_grad():
        ys, bare = _tensors(name, "the output of func", func(*xs))
    for i, y in enumerate(ys):
        if strict and not y.requires_grad:
            raise GraphError(
                f"{name}(strict=True): output {i} ({describe(y)}) does not depend on the inputs."
            )
    return ys, bare


def _vectors(name: str, v: Any, like: Sequence[Tensor], what: str) -> Tensors:
    """v as one tensor for each of `like`; 1 where it is left out and there is one element."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise ShapeError(
                f"{name}: v must be given, unless there is one {what} of one element; got "
                f"{', '.join(describe(x) for x in like)}."
            )
        return (like[0].new_ones(like[0].shape),)
    vs, _ = _tensors(name, "v", v)
    if [w.shape for w in vs] != [x.shape for x in like]:
        raise ShapeError(
            f"{name}: v must have the shapes of the {what}s, {[x.shape for x in like]}; got "
            f"{[w.shape for w in vs]}."
        )
    return vs


def _gradients(
    name: str,
    ys: Sequence[Tensor],
    xs: Sequence[Tensor],
    vs: Sequence[Tensor],
    create_graph: bool,
    strict: bool,
) -> Tensors:
    """v^T J; zeros where there is no dependence, or GraphError if strict."""
    pairs = [(y, v) for y, v in zip(ys, vs, strict=True) if y.requires_grad]
    found: Sequence[Tensor | None] = [None] * len(xs)
    if pairs:
        outputs, vectors = [y for y, _ in pairs], [v for _, v in pairs]
        found = grad(outputs, xs, vectors, True, create_graph, allow_unused=True)
    for i, (dx, x) in enumerate(zip(found, xs, strict=True)):
        if strict and dx is None:
            raise GraphError(
                f"{name}(strict=True): the outputs do not depend on input {i} ({describe(x)})."
            )
    return tuple(
        [x.new_zeros(x.shape) if dx is None else dx for dx, x in zip(found, xs, strict=True)]
    )


def _rows(name: str, y: Tensor, xs: Tensors, create_graph: bool, strict: bool) -> Tensors:
    """The Jacobian of one output by every input, a row at a time."""
    rows: list[Tensors] = []
    for i in range(y.numel()):
        v = y.new_zeros((y.numel(),))
        v[i] = 1
        rows.append(_gradients(name, (y,), xs, (v.reshape(y.shape),), create_graph, strict))
    if not rows:
        return tuple([x.new_zeros((*y.shape, *x.shape)) for x in xs])
    with enable_grad():
        return tuple(
            [stacked(c).reshape((*y.shape, *x.shape)) for c, x in zip(zip(*rows), xs)]  # noqa: B905
        )


def _ended(tensors: Sequence[Tensor], create_graph: bool) -> Tensors:
    return tuple(tensors) if create_graph else tuple([x.detach() for x in tensors])


def _bare(tensors: Tensors, single: bool) -> Any:
    return tensors[0] if single else tensors
