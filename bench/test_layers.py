"""Layers of transformers as they are called, forward and with their gradients: products with their
bias and activation, and what lies between them. On a GPU in bfloat16; the rivals are PyTorch's
layer as it is, and compiled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import rehearsal
from duel import Cost
from rehearsal import small
from rivals import libraries, place


@dataclass(frozen=True)
class Layer:
    """build(library, width) -> a layer of x [batch, tokens, width]; flop of a token, by width and
    tokens, forward. roundings: what it stores in bfloat16, where nothing is fused."""

    build: Callable[[Any, int], Any]
    flop: Callable[[int, int], float]
    roundings: int


def heads(width: int) -> int:
    return width // 64 or 1


def mlp(library: Any, width: int) -> Any:
    nn = library.nn
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


def encoder(library: Any, width: int) -> Any:
    layer = library.nn.TransformerEncoderLayer
    return layer(width, heads(width), 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)


LAYERS = {
    "linear": Layer(lambda library, d: library.nn.Linear(d, d), lambda d, n: 2.0 * d * d, 1),
    "mlp": Layer(mlp, lambda d, n: 16.0 * d * d, 3),
    "encoder": Layer(encoder, lambda d, n: 24.0 * d * d + 4.0 * n * d, 10),
}
#: batch, tokens, width: of GPT-2, and of a model three times as wide
SHAPES = {"cuda": [(8, 1024, 768), (4, 2048, 2048)], "cpu": [(2, 64, 128)]}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    shapes = SHAPES[metafunc.config.getoption("--device")]
    metafunc.parametrize("shape", shapes, ids=lambda s: "x".join(map(str, s)))


def call(
    library: Any, layer: Layer, shape: tuple[int, ...], part: str, device: str, compiled: bool
) -> Callable[[], object]:
    where, backward = place(library, device), part == "both"
    dtype = library.bfloat16 if device == "cuda" else library.float32
    rng = np.random.default_rng(0)
    x, dy = (
        library.tensor(rng.standard_normal(shape, np.float32), device=where).to(dtype)
        for _ in range(2)
    )
    x.requires_grad_(backward)
    model = layer.build(library, shape[-1]).to(device=where, dtype=dtype).train()
    for parameter in model.parameters():  # the same in both libraries
        bound = shape[-1] ** -0.5
        values = rng.uniform(-bound, bound, tuple(parameter.shape)).astype(np.float32)
        parameter.requires_grad_(False).copy_(library.tensor(values, device=where))
        parameter.requires_grad_(backward)
    if compiled:
        options = {"backend": "eager"} if rehearsal.ON else {}
        model = library.compile(model, **options)

    parameters = list(model.parameters())

    def run() -> Any:
        y = model(x)
        if not backward:
            return y
        y.backward(dy)
        gradients = [each.grad for each in (x, *parameters)]
        x.grad = None
        model.zero_grad()
        return gradients

    return run


@pytest.mark.parametrize("part", ["forward", "both"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(compare, device: str, name: str, part: str, shape: tuple[int, ...]) -> None:
    layer, shape = LAYERS[name], (small(shape[0], 2), small(shape[1]), small(shape[2]))
    batch, tokens, width = shape
    works = {
        label: call(library, layer, shape, part, device, False)
        for label, library in libraries().items()
    }
    if device == "cuda" and "PyTorch" in works:
        torch = libraries()["PyTorch"]
        works["PyTorch compiled"] = call(torch, layer, shape, part, device, True)
    flop = batch * tokens * layer.flop(width, tokens) * (3 if part == "both" else 1)
    roundings = layer.roundings * (2 if part == "both" else 1)
    ours = works.pop("gpugrad")
    compare(ours, works, Cost(flop=flop), "device", roundings=roundings)
