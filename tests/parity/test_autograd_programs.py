"""Autograd's public interface in programs that PyTorch runs, too: the same results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.utils.checkpoint

import gpugrad as gg
from parity.programs import X, assert_same, leaf, plain

PROGRAMS: dict[str, Callable[[Any], Any]] = {}


def program(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    PROGRAMS[function.__name__] = function
    return function


# ---- functions with a context ------------------------------------------------------------------


def exp_class(t: Any) -> Any:
    class Exp(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, i: Any) -> Any:
            result = i.exp()
            ctx.save_for_backward(result)
            return result

        @staticmethod
        def backward(ctx: Any, grad_output: Any) -> Any:
            (result,) = ctx.saved_tensors
            return grad_output * result

    return Exp


@program
def context_exp(t: Any) -> Any:
    x = leaf(t)
    y = exp_class(t).apply(x)
    (dx,) = t.autograd.grad(y.sum(), x, create_graph=True)
    (dxx,) = t.autograd.grad((dx * dx).sum(), x)
    with t.no_grad():
        quiet = exp_class(t).apply(x)
    return y, dx, dxx, quiet, t.autograd.gradcheck(exp_class(t).apply, (x,))


@program
def context_several_results(t: Any) -> Any:
    seen = []

    class Parts(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, n: int, w: Any, flag: Any = None) -> Any:
            ctx.n = n
            ctx.save_for_backward(x, None, w)
            whole = (x * n).long()
            ctx.mark_non_differentiable(whole)
            return x * n, whole, (x * w).sum()

        @staticmethod
        def backward(ctx: Any, dy: Any, dwhole: Any, ds: Any) -> Any:
            x, nothing, w = ctx.saved_tensors
            seen.append([ctx.needs_input_grad[0], nothing is None, dy is None, dwhole is None])
            return dy * ctx.n + ds * w, None, ds * x, None, None  # one more than inputs

    x, w = leaf(t), leaf(t, X * 2)
    y, whole, s = Parts.apply(x, 3, w)
    y.sum().backward(retain_graph=True)
    first = x.grad.clone()
    (y.sum() + s * s).backward()
    return first, x.grad, w.grad, whole, whole.requires_grad, seen


@program
def context_setup(t: Any) -> Any:
    class Scale(t.autograd.Function):
        @staticmethod
        def forward(x: Any, factor: float) -> Any:
            return x * factor

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.factor = inputs[1]

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return dy * ctx.factor, None

    x = leaf(t)
    Scale.apply(x, 2.5).sum().backward()
    return x.grad


@program
def context_materialize(t: Any) -> Any:
    seen = []

    class Two(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, materialize: bool) -> Any:
            ctx.set_materialize_grads(materialize)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx: Any, da: Any, db: Any) -> Any:
            seen.append(db is None)
            return da * 2 + (0 if db is None else db * 3), None

    x = leaf(t)
    for flag in (True, False):
        Two.apply(x, flag)[0].sum().backward()
    return seen, x.grad


@program
def context_in_place(t: Any) -> Any:
    class AddOne(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            x.add_(1)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return dy * 10

    x = leaf(t)
    y = x * 2
    z = AddOne.apply(y)
    (z * z).sum().backward()
    return z is y, z, x.grad


@program
def context_passes_input_through(t: Any) -> Any:
    class Same(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return dy * 7

    x = leaf(t)
    y = Same.apply(x)
    y.sum().backward()
    return y is x, x.grad


@program
def context_once_differentiable(t: Any) -> Any:
    class Square(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @t.autograd.function.once_differentiable
        def backward(ctx: Any, dy: Any) -> Any:
            (x,) = ctx.saved_tensors
            return dy * x * 2

    x = leaf(t)
    (dx,) = t.autograd.grad(Square.apply(x), x, leaf(t, X + 1), create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        dx.sum().backward()
    return dx.detach()


# ---- gradients, hooks, modes -------------------------------------------------------------------


@program
def grad_options(t: Any) -> Any:
    x, w = leaf(t), leaf(t, X + 1)
    y = (x * x).sum()
    named = t.autograd.grad(y, {"x": x, "w": w}, retain_graph=True, allow_unused=True)
    zeros = t.autograd.grad(y, (x, w), retain_graph=True, materialize_grads=True)
    several = t.autograd.grad([y, x * 3], x, [None, t.ones_like(x)])
    for call in (
        lambda: t.autograd.grad(y, (x, w), retain_graph=True),
        lambda: t.autograd.grad(y, []),
        lambda: t.autograd.backward(y, inputs=[]),
        lambda: t.autograd.grad(y, x.detach()),
    ):
        with pytest.raises(RuntimeError):
            call()
    return named, zeros, several


@program
def backward_into_results(t: Any) -> Any:
    x = leaf(t)
    y = x * 3
    (y * y).sum().backward(inputs=[y])
    return y.grad, x.grad


@program
def retained(t: Any) -> Any:
    x = leaf(t)
    y = x * 2
    y.retain_grad()
    x.retain_grad()
    (y * y).sum().backward(retain_graph=True)
    (y * 1).sum().backward()
    z = x * 5
    z.retain_grad()
    z.mul_(2)  # the gradient is that of the tensor as it is now
    (z * z).sum().backward()
    return y.grad, y.retains_grad, x.retains_grad, z.grad, (x * 1).retains_grad


@program
def hooks_of_tensors_and_nodes(t: Any) -> Any:
    x, log = leaf(t), []
    y = x * 2
    z = y + 0
    y.register_hook(lambda dy: log.append("tensor") or dy * 2)
    node = y.grad_fn
    node.register_prehook(lambda dys: log.append(f"pre {len(dys)}") or (dys[0] + 1,))
    node.register_hook(lambda dxs, dys: log.append("post") or (dxs[0] * 3, *dxs[1:]))
    end = node.next_functions[0][0]
    end.register_prehook(lambda dys: log.append("end pre"))
    end.register_hook(lambda dxs, dys: log.append(f"end post {len(dxs)} {len(dys)}"))
    z.sum().backward()
    return log, x.grad, end.variable is x, node.next_functions[0][1]


@program
def hooks_on_several(t: Any) -> Any:
    x, w, unused = leaf(t), leaf(t, X + 1), leaf(t)
    calls = []
    y = x * w
    register = t.autograd.graph.register_multi_grad_hook
    handle = register([x, y, w, unused], lambda gs: calls.append([g is None for g in gs]))
    register([x, w], lambda g: calls.append("any"), mode="any")
    y.sum().backward(retain_graph=True)
    y.sum().backward(retain_graph=True, inputs=[x])
    handle.remove()
    y.sum().backward()
    return calls


@program
def modes(t: Any) -> Any:
    x, found = leaf(t), []

    @t.no_grad()
    def generator() -> Any:
        sent = yield (x * 2).requires_grad
        found.append(sent)
        try:
            yield (x * 2).requires_grad
        except ValueError:
            found.append((x * 2).requires_grad)
        yield t.is_grad_enabled()
        return 5

    steps = generator()
    found += [next(steps), t.is_grad_enabled(), steps.send(3), steps.throw(ValueError())]
    found.append(next(steps, "end"))
    with t.inference_mode():
        found.append(t.is_inference_mode_enabled())
        with t.enable_grad():
            found.append((x * 2).requires_grad)
        with t.inference_mode(False):
            found += [(x * 2).requires_grad, t.is_inference_mode_enabled()]
    found.append(t.is_inference_mode_enabled())
    with t.no_grad(), t.set_grad_enabled(True):
        found.append((x * 2).requires_grad)

    @t.set_grad_enabled(False)
    def quiet() -> Any:
        return (x * 2).requires_grad

    found += [quiet(), t.is_grad_enabled()]
    scope = t.no_grad()
    with scope, t.enable_grad(), scope:
        found.append(t.is_grad_enabled())
    return found, t.is_grad_enabled()


@program
def saved_tensors(t: Any) -> Any:
    x, w, log = leaf(t), leaf(t, X + 1), []

    def pack(y: Any) -> Any:
        log.append(["pack", list(y.shape), y.requires_grad and y.is_leaf])
        return [y.detach().numpy().copy()]

    def unpack(packed: Any) -> Any:
        log.append(["unpack"])
        return t.from_numpy(packed[0])

    with t.autograd.graph.saved_tensors_hooks(pack, unpack):
        y = (x * w).exp()
    (dx,) = t.autograd.grad(y.sum(), x, create_graph=True)
    (dxx,) = t.autograd.grad((dx * dx).sum(), x)
    with t.autograd.graph.save_on_cpu():
        (x.tanh() * w).sum().backward()
    hooks = t.autograd.graph
    with hooks.disable_saved_tensors_hooks("not here"), pytest.raises(RuntimeError, match="not"):
        hooks.saved_tensors_hooks(pack, unpack).__enter__()
    return dx.detach(), dxx, x.grad, w.grad, log[:3]


@pytest.mark.filterwarnings("ignore")  # PyTorch's, of create_graph in backward
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_agree(name: str) -> None:
    assert_same(plain(PROGRAMS[name](gg)), plain(PROGRAMS[name](torch)))
