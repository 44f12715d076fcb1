"""What every optimizer's step keeps: nothing is read back, shapes and layouts, empty parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from parameters import parameter, set_grad, values

import gpugrad as gg
from gpugrad import nn, optim
from gpugrad.errors import DataError

NAMES = [name for name in optim.__all__ if name[0].isupper() and name != "Optimizer"]
Make = Callable[[Any], optim.Optimizer]


def make(name: str, params: Any) -> optim.Optimizer:
    options = {"SGD": {"momentum": 0.9}, "LAMB": {"weight_decay": 0.1}, "ASGD": {"t0": 1.0}}
    return getattr(optim, name)(params, lr=0.1, **options.get(name, {}))


def fail(*_: Any) -> Any:
    raise AssertionError("a read of the device")


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "LBFGS"])
def test_a_step_reads_nothing_back(name: str, device: str, monkeypatch: Any) -> None:
    """So that it can be captured: not the first step, which makes the state."""
    params = [parameter(np.cos(np.arange(6.0)).reshape(2, 3), "float32", device) for _ in range(3)]
    optimizer = make(name, params)
    for step in range(3):
        for p in params:
            set_grad(p, 0.5)
        if step:
            monkeypatch.setattr(type(params[0].backend), "to_numpy", fail)
            monkeypatch.setattr(gg.Tensor, "item", fail)
        optimizer.step()
        monkeypatch.undo()
    assert not np.array_equal(values(params[0]), np.cos(np.arange(6.0)).reshape(2, 3))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_transposed_and_empty_parameters(name: str, dtype: str) -> None:
    """As contiguous ones; those of no elements beside them."""
    base = np.cos(np.arange(12.0)).reshape(3, 4)
    memory = parameter(base, dtype).detach()
    p, q = nn.Parameter(memory.T), parameter(base.T.copy(), dtype)
    empty = [parameter(np.zeros((0, 3)), dtype) for _ in range(2)]
    for own, other in ((p, empty[0]), (q, empty[1])):
        optimizer = make(name, [own, other])

        def closure(own: Any = own, other: Any = other) -> Any:
            set_grad(own, np.sin(base).T)
            set_grad(other, 0.0)
            return gg.tensor(1.0)

        for _ in range(3):
            closure()
            optimizer.step(closure)
    np.testing.assert_array_equal(values(p), values(q))
    np.testing.assert_array_equal(values(memory).T, values(q))  # still the same memory
    assert not np.array_equal(values(q), values(parameter(base.T, dtype)))


@pytest.mark.parametrize("name", NAMES)
def test_a_step_makes_the_loss_smaller(name: str) -> None:
    """Sixty steps on a bowl, at rates that suit it; maximize climbs it where there is that."""
    rates = {"Adadelta": 20.0, "Lion": 0.02, "LAMB": 0.02, "LBFGS": 0.5, "Muon": 0.02}

    def loss_after(**options: Any) -> tuple[float, float]:
        p = parameter(np.cos(np.arange(6.0)).reshape(2, 3) * 2)
        optimizer = getattr(optim, name)([p], lr=rates.get(name, 0.05), **options)

        def closure() -> Any:
            optimizer.zero_grad()
            loss = ((p - 0.5) ** 2).sum()
            loss.backward()
            return loss

        first = optimizer.step(closure).item()
        for _ in range(60):
            last = optimizer.step(closure).item()
        return first, last

    first, last = loss_after()
    assert last < 0.5 * first
    if name not in ("LBFGS", "Muon"):
        first, last = loss_after(maximize=True)
        assert last > first


def test_a_state_without_its_product_is_told() -> None:
    p = parameter([1.0])
    optimizer = optim.NAdam([p])
    set_grad(p, 1.0)
    optimizer.step()
    state = optimizer.state_dict()
    del state["state"][0]["mu_product"]
    with pytest.raises(DataError, match="state of parameter 0 lacks mu_product"):
        optimizer.load_state_dict(state)


def test_the_product_of_nadam_parts_with_its_bucket() -> None:
    """Parameters whose counts differ have products of their own, in a state dict too."""
    a, b = parameter([1.0]), parameter([1.0])
    optimizer = optim.NAdam([a, b])
    for step in range(4):
        set_grad(a, 1.0)
        b.grad = None
        if step % 2:
            set_grad(b, 1.0)
        optimizer.step()
    state = optimizer.state
    assert (state[a]["step"], state[b]["step"]) == (4, 2)
    assert state[a]["mu_product"] < state[b]["mu_product"] < 1
    again = optim.NAdam([a, b])
    again.load_state_dict(optimizer.state_dict())
    assert again.state[a]["mu_product"] == state[a]["mu_product"]
    assert again.state[b]["mu_product"] == state[b]["mu_product"]


def test_zero_grad() -> None:
    p = parameter([1.0, 2.0])
    optimizer = optim.SGD([p])
    set_grad(p, 3.0)
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert p.grad is None
    optimizer.step()
    assert p.tolist() == [1.0, 2.0]
