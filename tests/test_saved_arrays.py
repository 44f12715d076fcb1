"""What operations keep for backward: only what the wanted gradients read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import gpugrad as gg
import gpugrad.nn.functional as F


def kept(y: gg.Tensor) -> list[Any]:
    """The arrays that the node of `y` keeps."""
    node: Any = y.grad_fn
    return [value for _, value, _, _ in node._saved if value is not None]


OPERATIONS: dict[str, tuple[Callable[..., Any], dict[int, tuple[int, ...]]]] = {
    # for each input which inputs its gradient reads
    "linear": (F.linear, {0: (1,), 1: (0,), 2: ()}),
    "addmm": (lambda a, b, c: gg.addmm(c, a, b), {0: (1,), 1: (0,), 2: ()}),
    "addcmul": (lambda a, b, c: gg.addcmul(c, a, b), {0: (1,), 1: (0,), 2: ()}),
    "matmul": (lambda a, b, c: a @ b, {0: (1,), 1: (0,)}),
    "mul": (lambda a, b, c: a * b, {0: (1,), 1: (0,)}),
}


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_keep_what_their_gradients_read(name: str, wanted: tuple[int, ...]) -> None:
    operation, reads = OPERATIONS[name]
    inputs = [gg.randn(3, 3), gg.randn(3, 3), gg.randn(3)]
    everything = [x.clone().requires_grad_() for x in inputs]
    operation(*everything).sum().backward()
    for i in wanted:
        inputs[i].requires_grad_()
    y = operation(*inputs)
    if y.requires_grad:
        expected = {j for i in wanted for j in reads.get(i, ())}
        arrays = kept(y)
        assert {j for j in range(3) if any(a is inputs[j].array for a in arrays)} == expected
        assert len(arrays) == len(expected)
        y.sum().backward()
    for i in wanted:
        if i in reads:
            assert inputs[i].grad.tolist() == everything[i].grad.tolist()


@pytest.mark.parametrize("shape", [(4, 3), (3,), (2, 0, 3), (2, 5, 3)])
def test_a_frozen_linear_keeps_its_weight(shape: tuple[int, ...]) -> None:
    x = gg.randn(*shape, requires_grad=True)
    w = gg.randn(2, 3)
    y = F.linear(x, w)
    assert [a is w.array for a in kept(y)] == [True]
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert gg.allclose(x.grad, w.sum(0).expand(x.shape))
