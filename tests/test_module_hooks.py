"""Hooks of modules: before and after forward, and on the way back."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import gpugrad as gg
from gpugrad import nn


def test_forward_hooks() -> None:
    net = nn.Linear(2, 2)
    x = gg.ones(1, 2)
    plain = net(x)
    seen: list[Any] = []
    pre = net.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
    post = net.register_forward_hook(lambda m, args, out: seen.append((m, args, out)))
    last = net.register_forward_hook(lambda m, args, out: out + 1)
    doubled = net(x)
    assert seen[0][0] is net and seen[0][1][0].tolist() == [[2.0, 2.0]]
    assert gg.allclose(doubled - 1, seen[0][2]) and not gg.allclose(doubled, plain)
    for handle in (pre, post, last, last):
        handle.remove()
    assert gg.equal(net(x), plain)
    with net.register_forward_hook(lambda m, args, out: None, prepend=True):
        assert gg.equal(net(x), plain)
    assert not net._forward_hooks


def test_hooks_with_kwargs_and_order() -> None:
    class Add(nn.Module):
        def forward(self, x: float, y: float = 0.0) -> float:
            return x + y

    net, order = Add(), []
    net.register_forward_pre_hook(lambda m, a, k: (a, {"y": k["y"] + 1}), with_kwargs=True)
    net.register_forward_hook(lambda m, a, k, out: order.append(k["y"]), with_kwargs=True)
    net.register_forward_hook(lambda m, a, out: order.append("first"), prepend=True)
    assert net(1.0, y=2.0) == 4.0 and order == ["first", 3.0]
    always: list[Any] = []
    net.register_forward_hook(lambda m, a, out: always.append(out), always_call=True)
    with pytest.raises(TypeError):
        net(1.0, y="text")
    twin = copy.deepcopy(net)
    twin.register_forward_hook(lambda m, a, out: out * 10)
    assert twin(1.0, y=2.0) == 40.0 and net(1.0, y=2.0) == 4.0
    assert always == [None, 4.0, 4.0]


def test_always_called_hook_sees_a_failure() -> None:
    class Broken(nn.Module):
        def forward(self) -> None:
            raise ValueError("inside")

    net, seen = Broken(), []
    net.register_forward_hook(lambda m, a, out: seen.append(out), always_call=True)
    with pytest.raises(ValueError, match="inside"):
        net()
    assert seen == [None]


def test_backward_hook() -> None:
    net = nn.Linear(2, 1, bias=False)
    seen: list[Any] = []

    def hook(module: nn.Module, grad_input: Any, grad_output: Any) -> Any:
        seen.append((grad_input, grad_output))
        return (grad_input[0] * 10,) if grad_input[0] is not None else None

    handle = net.register_full_backward_hook(hook)
    x = gg.ones(3, 2, requires_grad=True)
    (net(x) * 2).sum().backward()
    assert seen[0][1][0].tolist() == [[2.0]] * 3
    row = (2 * net.weight.detach()).tolist()[0]
    assert seen[0][0][0].tolist() == [row] * 3
    assert gg.allclose(x.grad, seen[0][0][0] * 10)
    assert net.weight.grad.tolist() == [[6.0, 6.0]]
    net(gg.ones(3, 2)).sum().backward()  # an input without gradient: called all the same
    assert seen[1][0] == (None,) and seen[1][1][0].tolist() == [[1.0]] * 3
    handle.remove()
    net(x).sum().backward()
    assert len(seen) == 2


def test_backward_pre_hook() -> None:
    net = nn.Linear(2, 1, bias=False)
    seen: list[Any] = []
    net.register_full_backward_pre_hook(lambda m, dy: (dy[0] * 10,))
    net.register_full_backward_pre_hook(lambda m, dy: seen.append(dy[0].tolist()))
    net.register_full_backward_hook(lambda m, dx, dy: seen.append(dy[0].tolist()))
    first = net.register_full_backward_pre_hook(lambda m, dy: (dy[0] + 1,), prepend=True)
    x = gg.ones(1, 2, requires_grad=True)
    net(x).sum().backward()
    assert seen == [[[20.0]], [[20.0]]] and net.weight.grad.tolist() == [[20.0, 20.0]]
    assert gg.allclose(x.grad, 20 * net.weight.detach())
    first.remove()
    net.register_full_backward_pre_hook(lambda m, dy: (dy[0], dy[0]))
    with pytest.raises(RuntimeError, match="pre-hook of Linear returned 2 gradients for 1 outputs"):
        net(x).sum().backward()


def test_backward_pre_hook_alone() -> None:
    net = nn.Linear(2, 1, bias=False)
    net.register_full_backward_pre_hook(lambda m, dy: (dy[0] * 3,))
    net(gg.ones(1, 2)).sum().backward()
    assert net.weight.grad.tolist() == [[3.0, 3.0]]


def test_hooks_of_all_modules() -> None:
    from gpugrad.nn import module as everywhere

    order: list[Any] = []
    inner, outer = nn.Identity(), nn.Sequential(nn.Identity())
    net = nn.Sequential(inner, outer)
    inner.register_forward_pre_hook(lambda m, args: order.append("own"))
    handles = [
        everywhere.register_module_forward_pre_hook(lambda m, args: order.append("before")),
        everywhere.register_module_forward_hook(lambda m, args, out: out * 2),
        everywhere.register_module_full_backward_hook(lambda m, dx, dy: order.append(dy[0].item())),
        everywhere.register_module_full_backward_pre_hook(lambda m, dy: None),
    ]
    x = gg.ones(1, requires_grad=True)
    y = net(x)
    assert y.item() == 16.0 and order == ["before", "before", "own", "before", "before"]
    y.backward()
    assert order[5:] and x.grad.item() == 16.0
    for handle in handles:
        handle.remove()
    order.clear()
    assert net(x).item() == 1.0 and order == ["own"]
