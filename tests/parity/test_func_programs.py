"""gg.func, autograd.functional and checkpoints in programs that PyTorch runs, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.checkpoint

import gpugrad as gg
from parity.programs import X, assert_same, leaf, plain

PROGRAMS: dict[str, Callable[[Any], Any]] = {}


def program(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    PROGRAMS[function.__name__] = function
    return function


# ---- functions of functions --------------------------------------------------------------------

V = (X * 3, X[0] + 1)


def scalar(x: Any, y: Any) -> Any:
    return (x * x * y).exp().sum()


def vector(x: Any, y: Any) -> Any:
    return (x * y).exp().sum(0), (x * x).sum() * y.sin()


def pair(t: Any, x: bool = False, y: bool = False) -> Any:
    return leaf(t).requires_grad_(x), leaf(t, V[1]).requires_grad_(y)


for create_graph in (False, True):
    for needs in (False, True):

        @program
        def functional(t: Any, create_graph: bool = create_graph, needs: bool = needs) -> Any:
            f, xs, v = t.autograd.functional, pair(t, needs), pair(t)
            more = {"create_graph": create_graph}
            return [
                f.vjp(scalar, xs, **more),
                f.vjp(vector, xs, (xs[1], xs[1]), **more),
                f.jvp(vector, xs, v, **more),
                f.jvp(lambda x: x.sum(0), xs[0], v[0], **more),
                f.jacobian(vector, xs, **more),
                f.jacobian(lambda x: x[0] * x[1], xs[0], **more),
                f.hessian(scalar, xs, **more),
                f.hvp(scalar, xs, v, **more),
                f.vhp(scalar, xs, v, **more),
                f.hessian(lambda x: x.sum(), xs[0], **more),
            ]

        PROGRAMS[f"functional_{create_graph}_{needs}"] = PROGRAMS.pop("functional")


@program
def functional_strict(t: Any) -> Any:
    f, x = t.autograd.functional, leaf(t)
    constant = t.ones(2, dtype=t.float64)
    for call in (f.vjp, f.jvp, f.jacobian):
        with pytest.raises(RuntimeError):
            call(lambda x: constant.sum(), x.sum().detach(), strict=True)
    return f.jacobian(lambda x: constant, x)


for needs in (False, True):

    @program
    def transforms(t: Any, needs: bool = needs) -> Any:
        g, (x, y) = t.func, pair(t, needs, needs)
        output, product = g.vjp(vector, x, y)
        return [
            g.grad(scalar)(x, y),
            g.grad(scalar, (0, -1))(x, y),
            g.grad_and_value(scalar, 1)(x, y),
            g.grad(lambda x, y: (scalar(x, y), y * 2), has_aux=True)(x, y),
            g.grad(lambda x: scalar(x, y))(x),
            [output, product((y, y)), product((y * 2, y))],
            g.jvp(vector, (x, y), (x, y)),
            g.jacrev(lambda x, y: {"a": vector(x, y), "b": x.exp() * y}, (0, 1))(x, y),
            g.jacfwd(lambda x, y: {"a": vector(x, y), "b": x.exp() * y}, (0, 1))(x, y),
            g.hessian(scalar, (0, 1))(x, y),
            g.vmap(g.grad(lambda r, y: (r * y).exp().sum()), in_dims=(0, None))(x, y),
            g.vmap(lambda d: d["a"] * d["b"], in_dims=({"a": 1, "b": 0},), out_dims=1)(
                {"a": x, "b": y}
            ),
            g.grad(lambda x: (x * g.grad(lambda z: (x * z * z).sum())(x)).sum())(y),
            g.grad(lambda p: (p["w"] * p["b"][0]).exp().sum())({"w": x, "b": [y]}),
        ]

    PROGRAMS[f"transforms_{needs}"] = PROGRAMS.pop("transforms")


@program
def module_as_function(t: Any) -> Any:
    net = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.BatchNorm1d(4), t.nn.Linear(4, 2)).to(t.float64)
    start = np.random.default_rng(3)
    state = {
        name: t.tensor(start.standard_normal(tuple(p.shape)).tolist(), dtype=p.dtype)
        for name, p in net.state_dict().items()
        if "num_batches" not in name and "running_var" not in name
    }
    state["1.running_var"] = t.ones(4, dtype=t.float64)
    state["1.num_batches_tracked"] = t.tensor(0)
    weights = {k: v for k, v in state.items() if k.endswith(("weight", "bias"))}
    buffers = {k: v for k, v in state.items() if k not in weights}

    inputs = leaf(t).detach()
    t.func.functional_call(net, state, inputs)  # training: new statistics for `state`
    net.eval()
    found = t.func.grad(
        lambda w: (t.func.functional_call(net, (w, buffers), (inputs,)) ** 2).sum()
    )(weights)
    before = {k: p.grad is None for k, p in net.named_parameters()}
    net[2].weight = net[0].weight = t.nn.Parameter(t.ones(2, 2, dtype=t.float64))
    tied = t.nn.Sequential(net[2], t.nn.Tanh(), net[2])
    twice = t.func.functional_call(
        tied, {"0.weight": t.zeros(2, 2, dtype=t.float64)}, leaf(t, [[1, 2]])
    )
    for bad in ({"0.weight": leaf(t), "2.weight": leaf(t)}, [weights, weights]):
        with pytest.raises(ValueError):
            t.func.functional_call(tied, bad, leaf(t, [[1, 2]]))
    with pytest.raises(RuntimeError):
        t.func.functional_call(net, {"nothing": leaf(t)}, leaf(t), strict=True)
    statistics = [state["1.running_mean"], state["1.num_batches_tracked"]]
    return found, before, statistics, (twice - net[2].bias).detach()


@program
def checkpoints(t: Any) -> Any:
    calls = []
    checkpoint = t.utils.checkpoint.checkpoint

    def block(x: Any, *, scale: Any) -> Any:
        calls.append(t.is_grad_enabled())
        return (x * scale).exp().tanh() * x

    def nested(x: Any, scale: Any) -> Any:
        y = checkpoint(block, x, scale=scale, use_reentrant=False)
        return checkpoint(block, y.sin(), scale=scale, use_reentrant=False) * y

    x, scale = leaf(t, X / 2), leaf(t, [0.5, 0.25, 0.125])
    for function in (lambda x, s: block(x, scale=s), nested):
        y = checkpoint(function, x, scale, use_reentrant=False)
        (dx,) = t.autograd.grad(y.sum(), x, create_graph=True)
        (dx * dx).sum().backward()
    with t.no_grad():
        checkpoint(block, x, scale=scale, use_reentrant=False)
    return x.grad, scale.grad, all(calls[:-1]), calls[-1]


@pytest.mark.filterwarnings("ignore")  # PyTorch's, of create_graph in backward
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_agree(name: str) -> None:
    assert_same(plain(PROGRAMS[name](gg)), plain(PROGRAMS[name](torch)))
