"""The optimizers alone: on the parameters of the MNIST perceptron (784-128-10), and on a GPU on
those of a GPT-2 of 124 million, where PyTorch's are its fused ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from duel import Cost
from rivals import against, libraries

#: name -> (state arrays of a parameter, arguments)
OPTIMIZERS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "sgd": ("SGD", 1, {"lr": 0.01, "momentum": 0.9}),
    "adam": ("Adam", 2, {}),
    "adamw": ("AdamW", 2, {}),
    "rmsprop": ("RMSprop", 1, {}),
}
FUSED = ("sgd", "adam", "adamw")  # by PyTorch


def gpt2_shapes() -> list[tuple[int, ...]]:
    """Of its 12 blocks of width 768, its tables of 50257 tokens and 1024 positions."""
    d = 768
    block = [(d,), (d,), (3 * d, d), (3 * d,), (d, d), (d,), (d,), (d,)]
    block += [(4 * d, d), (4 * d,), (d, 4 * d), (d,)]
    return [(50257, d), (1024, d), *(12 * block), (d,), (d,)]


SHAPES = {
    "perceptron": [(128, 784), (128,), (10, 128), (10,)],
    "gpt2": gpt2_shapes(),
}
ON = {"cpu": ("perceptron",), "cuda": ("perceptron", "gpt2")}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize("model", ON[metafunc.config.getoption("--device")])


def step(library: Any, name: str, model: str, device: str) -> Callable[[], object]:
    kind, _, arguments = OPTIMIZERS[name]
    parameters = [library.nn.Parameter(library.ones(s, device=device)) for s in SHAPES[model]]
    for parameter in parameters:
        parameter.grad = library.ones_like(parameter)
    fused = {"fused": True} if device == "cuda" and name in FUSED else {}
    return getattr(library.optim, kind)(parameters, **arguments, **fused).step


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(compare, device: str, name: str, model: str) -> None:
    steps = {label: step(library, name, model, device) for label, library in libraries().items()}
    count = 0
    for shape in SHAPES[model]:
        size = 1
        for n in shape:
            size *= n
        count += size
    moved = 4 * count * (3 + 2 * OPTIMIZERS[name][1])  # parameter, gradient, state; written back
    against(steps, compare, Cost(bytes=moved))
