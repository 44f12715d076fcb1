"""Python's share: operations on 10 elements, forward alone and with backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rivals import place, torch_module

import gpugrad as gg

OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "add": lambda x: x + x,
    "mul_number": lambda x: x * 2.0,
    "exp": lambda x: x.exp(),
    "relu": lambda x: x.relu(),
    "sum": lambda x: x.sum(),
    "mean": lambda x: x.mean(),
    "matmul": lambda x: x @ x,
    "maximum": lambda x: x.maximum(x),
    "softmax": lambda x: x.softmax(0),
    "getitem": lambda x: x[2:5],
    "view": lambda x: x.view(2, 5),
}


def run(operation: Callable[[Any], Any], x: Any, dy: Any) -> None:
    operation(x).backward(dy)
    x.grad = None


@pytest.mark.parametrize("name", OPERATIONS)
def test_forward_backward(compare, device: str, name: str) -> None:
    operation = OPERATIONS[name]
    x = gg.ones(10, device=device, requires_grad=True)
    dy = gg.ones_like(operation(x))
    rivals = {}
    if (torch := torch_module()) is not None:
        y = torch.ones(10, device=place(torch, device), requires_grad=True)
        dz = torch.ones_like(operation(y))
        rivals["PyTorch"] = lambda: run(operation, y, dz)
    compare(lambda: run(operation, x, dy), rivals)


@pytest.mark.parametrize("name", OPERATIONS)
def test_forward(compare, device: str, name: str) -> None:
    operation = OPERATIONS[name]
    x = gg.ones(10, device=device)
    rivals = {}
    if (torch := torch_module()) is not None:
        y = torch.ones(10, device=place(torch, device))
        rivals["PyTorch"] = lambda: operation(y)
    compare(lambda: operation(x), rivals)


def test_chain_of_10(compare, device: str) -> None:
    """Ten additions, forward and one backward: the cost per operation without the start."""

    def chain(x: Any) -> None:
        y = x
        for _ in range(10):
            y = y + x
        y.sum().backward()
        x.grad = None

    x = gg.ones(10, device=device, requires_grad=True)
    rivals = {}
    if (torch := torch_module()) is not None:
        z = torch.ones(10, device=place(torch, device), requires_grad=True)
        rivals["PyTorch"] = lambda: chain(z)
    compare(lambda: chain(x), rivals)
