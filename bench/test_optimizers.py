"""The optimizers alone: on the parameters of the MNIST perceptron (784-128-10), and on a GPU on
those of a GPT-2 of 124 million, where PyTorch's are its fused ones, and another rival is a copy of
as many bytes, the bound on this machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import pytest
from duel import Cost
from rehearsal import small
from rivals import against, as_torch, libraries

import gpugrad as gg

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


def shapes(model: str) -> list[tuple[int, ...]]:
    return [tuple(map(small, shape)) for shape in SHAPES[model]]


def step(library: Any, name: str, model: str, device: str) -> Callable[[], object]:
    kind, _, arguments = OPTIMIZERS[name]
    """A call gives the parameters; each library begins with the same, and has the same gradient."""
    gg.manual_seed(0)
    randn = partial(gg.randn, device=device)
    own = (lambda x: x) if library is gg else (lambda x: as_torch(x).clone())
    parameters = [library.nn.Parameter(own(randn(*s))) for s in shapes(model)]
    for parameter in parameters:
        parameter.grad = own(randn(*parameter.shape))
    fused = {"fused": True} if device == "cuda" and name in FUSED else {}
    optimizer = getattr(library.optim, kind)(parameters, **arguments, **fused)
    return lambda: (optimizer.step(), parameters)[1]


def copying(size: int, device: str) -> Callable[[], object]:
    """Reads and writes `size` bytes in all."""
    x = gg.rand(size // 8, device=device)
    y = gg.empty_like(x)
    return lambda: y.copy_(x)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(compare, device: str, name: str, model: str) -> None:
    steps = {label: step(library, name, model, device) for label, library in libraries().items()}
    # Parameter, gradient, state; all but the gradient written back.
    moved = 4 * sum(map(prod, shapes(model))) * (3 + 2 * OPTIMIZERS[name][1])
    if model == "gpt2":
        steps["copy"] = copying(moved, device)
    against(steps, compare, Cost(bytes=moved), "device")
