"""gg.func and autograd.functional: what stays in the graph, random numbers, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import gpugrad as gg
from gpugrad import func, nn
from gpugrad.autograd import functional, graph
from gpugrad.errors import ArgumentError, DTypeError, GraphError, ShapeError


def leaf(*values: float) -> gg.Tensor:
    return gg.tensor(values, dtype=gg.float64, requires_grad=True)


def test_gradients_of_closures_stay_in_the_graph() -> None:
    w, x = leaf(2), gg.tensor([3.0], dtype=gg.float64)
    g = func.grad(lambda x: (w * x * x).sum())(x)
    assert g.requires_grad
    g.sum().backward()
    assert w.grad.tolist() == [6]
    assert not func.grad(lambda x: (x * x).sum())(x).requires_grad
    with gg.no_grad():
        assert not func.grad(lambda x: (w * x * x).sum())(x).requires_grad


def test_vmap_draws_as_told() -> None:
    x = gg.zeros(3, 4)
    draw = lambda row: row + gg.rand(4)  # noqa: E731
    with pytest.raises(ArgumentError, match=r"func drew random numbers.*\n.*'different' or 'same'"):
        func.vmap(draw)(x)
    same, different = (func.vmap(draw, randomness=r)(x) for r in ("same", "different"))
    assert (same[0] == same[1]).all() and not (different[0] == different[1]).any()


def test_errors_of_func() -> None:
    x, matrix = leaf(1, 2), gg.ones(2, 3)
    cases: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: func.grad(gg.exp)(x), ShapeError, r"one tensor without axes, got \(2,\) float64"),
        (lambda: func.grad(gg.sum, 1)(x), ArgumentError, "argnums 1 names none of 1 positional"),
        (lambda: func.grad(gg.sum)(gg.tensor(1)), DTypeError, "only floating tensors"),
        (lambda: func.grad(gg.sum)(3.0), DTypeError, "must be tensors, got a float"),
        (lambda: func.grad(gg.sum, has_aux=True)(x), ArgumentError, r"must return \(output, aux\)"),
        (lambda: func.vjp(gg.exp, x)[1](x[:1]), ShapeError, "structure and shapes of the outputs"),
        (lambda: func.jvp(gg.exp, x, x), ArgumentError, "must be tuples"),
        (lambda: func.jacrev(lambda x: 3)(x), DTypeError, "must return tensors, got a int"),
        (lambda: func.vmap(gg.add)(x, matrix[:, :1].T), ShapeError, r"one length, got \[1, 2\]"),
        (lambda: func.vmap(gg.exp, in_dims=None)(x), ShapeError, "maps over no argument"),
        (lambda: func.vmap(gg.exp, in_dims=(0, 0))(x), ArgumentError, "does not fit: 2 values for"),
        (lambda: func.vmap(lambda x: 1)(x), DTypeError, "must return tensors"),
        (lambda: func.vmap(gg.exp, randomness="no")(x), ArgumentError, "randomness must be"),
        (lambda: functional.vjp(gg.exp, x), ShapeError, "v must be given"),
        (lambda: functional.vjp(gg.exp, 3), DTypeError, "inputs must be a tensor or a tuple"),
        (lambda: functional.hessian(gg.exp, x), ShapeError, "one tensor of one element"),
        (
            lambda: functional.jacobian(gg.exp, x, strategy="forward-mode"),
            ArgumentError,
            "there is 'reverse-mode' only",
        ),
        (
            lambda: functional.jacobian(lambda a, b: a, (x, x), strict=True),
            GraphError,
            "do not depend on input 1",
        ),
        (
            lambda: gg.autograd.grad(x.sum(), x, is_grads_batched=True),
            ArgumentError,
            "is_grads_batched=True is not supported",
        ),
        (
            lambda: gg.autograd.gradcheck(gg.exp, x, check_forward_ad=True),
            ArgumentError,
            "check_forward_ad=True is not supported",
        ),
        (lambda: graph.register_multi_grad_hook([x], print, mode="x"), ArgumentError, "'all' or"),
    ]
    for call, kind, text in cases:
        with pytest.raises(kind, match=text):
            call()


def test_functional_call_names_what_is_wrong() -> None:
    net = nn.Linear(2, 2)
    given = {"weight": gg.ones(2, 2), "other": gg.ones(1)}
    with pytest.raises(ArgumentError, match="missing: bias; not in the module: other"):
        func.functional_call(net, given, gg.ones(2), strict=True)
    with pytest.raises(ArgumentError, match="weight must be a Tensor, got a int"):
        func.functional_call(net, {"weight": 3}, gg.ones(2))
    before = net.weight
    with pytest.raises(gg.errors.GpugradError):
        func.functional_call(net, {"weight": gg.ones(5, 5)}, gg.ones(2))
    assert net.weight is before and isinstance(net.weight, nn.Parameter)
