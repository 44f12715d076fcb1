"""The optimizers alone, and the whole step of the MNIST perceptron (784-128-10, batch 128)."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from rivals import torch_module

import gpugrad as gg

OPTIMIZERS: dict[str, Callable[[Any, Any], Any]] = {
    "sgd": lambda optim, parameters: optim.SGD(parameters, lr=0.01, momentum=0.9),
    "adam": lambda optim, parameters: optim.Adam(parameters),
    "adamw": lambda optim, parameters: optim.AdamW(parameters),
    "rmsprop": lambda optim, parameters: optim.RMSprop(parameters),
}


def libraries() -> dict[str, ModuleType | Any]:
    """gpugrad, and PyTorch where it is installed: both spell the code below alike."""
    torch = torch_module()
    return {"gpugrad": gg} if torch is None else {"gpugrad": gg, "PyTorch": torch}


def perceptron(library: Any, device: str) -> Any:
    nn = library.nn
    return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)).to(device)


def optimizer_step(library: Any, name: str, device: str) -> Callable[[], object]:
    model = perceptron(library, device)
    for parameter in model.parameters():
        parameter.grad = library.ones_like(parameter)
    optimizer = OPTIMIZERS[name](library.optim, list(model.parameters()))
    return optimizer.step


def mnist_step(library: Any, device: str) -> Callable[[], object]:
    rng = np.random.default_rng(0)
    x = library.tensor(rng.random((128, 784), np.float32), device=device)
    t = library.tensor(rng.integers(0, 10, 128), device=device)
    model = perceptron(library, device)
    optimizer = library.optim.Adam(model.parameters())
    cross_entropy = library.nn.functional.cross_entropy

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(model(x), t).backward()
        optimizer.step()

    return step


def against(steps: dict[str, Callable[[], object]], compare: Callable) -> None:
    compare(steps.pop("gpugrad"), steps)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(compare, device: str, name: str) -> None:
    found = {label: optimizer_step(library, name, device) for label, library in libraries().items()}
    against(found, compare)


def test_mnist_step(compare, device: str) -> None:
    found = {label: mnist_step(library, device) for label, library in libraries().items()}
    against(found, compare)
