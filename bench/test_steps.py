"""Whole training steps: forward, loss, backward, optimizer. (More in test_images and test_text.)

On a GPU ours are captured steps, and the rivals PyTorch's step as it is and compiled with CUDA
graphs; the large models run under autocast to bfloat16 in all three.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from rivals import libraries

import gpugrad as gg

Step = Callable[[], object]


def perceptron(library: Any) -> Any:
    nn = library.nn
    return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))


def mnist_cnn(library: Any) -> Any:
    nn = library.nn
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10)),
    )


def airbench(library: Any) -> Any:
    """The layers of Jordan's CIFAR-10 record (gpugrad.models.airbench)."""
    nn = library.nn

    def group(c: int, k: int) -> list[Any]:
        first = (nn.Conv2d(c, k, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(k))
        second = (nn.Conv2d(k, k, 3, padding=1, bias=False), nn.BatchNorm2d(k))
        return [*first, nn.GELU(), *second, nn.GELU()]

    return nn.Sequential(
        *(nn.Conv2d(3, 24, 2), nn.GELU(), *group(24, 64), *group(64, 256), *group(256, 256)),
        *(nn.MaxPool2d(3), nn.Flatten(), nn.Linear(256, 10, bias=False)),
    )


def resnet18(library: Any) -> Any:
    """Of 32 x 32 pixels: the stem is 3 x 3 and nothing is pooled after it."""
    nn = library.nn

    class Block(nn.Module):
        def __init__(self, c: int, k: int, stride: int) -> None:
            super().__init__()
            first = (nn.Conv2d(c, k, 3, stride, 1, bias=False), nn.BatchNorm2d(k), nn.ReLU())
            second = (nn.Conv2d(k, k, 3, 1, 1, bias=False), nn.BatchNorm2d(k))
            self.body = nn.Sequential(*first, *second)
            down = (nn.Conv2d(c, k, 1, stride, bias=False), nn.BatchNorm2d(k))
            self.down = nn.Sequential(*down) if stride > 1 else nn.Identity()
            self.relu = nn.ReLU()

        def forward(self, x: Any) -> Any:
            return self.relu(self.body(x) + self.down(x))

    stem = (nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU())
    sizes = ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
    blocks = [block for c, k, s in sizes for block in (Block(c, k, s), Block(k, k, 1))]
    end = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    return nn.Sequential(*stem, *blocks, *end)


def transformer(library: Any, vocabulary: int, tokens: int, causal: bool) -> Any:
    """12 layers of 768 in 12 heads; logits of every token, by the transposed embedding."""
    nn = library.nn

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(vocabulary, 768)
            self.positions = nn.Parameter(0.02 * library.randn(tokens, 768))
            layer = (768, 12, 3072, 0.0, "gelu")
            self.layers = nn.ModuleList(
                [
                    nn.TransformerEncoderLayer(*layer, batch_first=True, norm_first=causal)
                    for _ in range(12)
                ]
            )
            self.norm = nn.LayerNorm(768)

        def forward(self, ids: Any) -> Any:
            x = self.words(ids) + self.positions
            hidden = library.ones(tokens, tokens, dtype=library.bool, device=ids.device).triu(1)
            for layer in self.layers:
                x = layer(x, src_mask=hidden if causal else None, is_causal=causal)
            return nn.functional.linear(self.norm(x), self.words.weight).flatten(0, 1)

    return Transformer()


@dataclass(frozen=True)
class Job:
    """build(library) -> model of inputs (batch, *shape), pixels, or tokens below `classes`.

    low: under autocast to bfloat16 on a GPU. channels_last: images there.
    """

    build: Callable[[Any], Any]
    batch: int
    shape: tuple[int, ...]
    classes: int = 10
    tokens: bool = False
    low: bool = True

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        shape = (self.batch, *self.shape)
        if self.tokens:
            return rng.integers(0, self.classes, shape), rng.integers(0, self.classes, shape)
        return rng.standard_normal(shape, np.float32), rng.integers(0, self.classes, self.batch)


SMALL = {
    "mnist_perceptron": Job(perceptron, 128, (784,), low=False),
    "mnist_cnn": Job(mnist_cnn, 128, (1, 28, 28), low=False),
}
LARGE = {
    "airbench": Job(airbench, 1024, (3, 32, 32)),
    "resnet18": Job(resnet18, 512, (3, 32, 32)),
    "gpt2_124m": Job(lambda t: transformer(t, 50257, 1024, True), 16, (1024,), 50257, True),
    "bert_base": Job(lambda t: transformer(t, 30522, 128, False), 64, (128,), 30522, True),
}
JOBS = {"cpu": SMALL, "cuda": SMALL | LARGE}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize("name", JOBS[metafunc.config.getoption("--device")])


def step(library: Any, job: Job, device: str, compiled: bool = False) -> Step:
    """One step of Adam."""
    x, t = (library.tensor(array, device=device) for array in job.arrays())
    t = t.reshape(-1)
    model = job.build(library).to(device)
    if device == "cuda" and len(job.shape) == 3:
        x = x.contiguous(memory_format=library.channels_last)
        model = model.to(memory_format=library.channels_last)
    fused = {"fused": True} if device == "cuda" else {}
    optimizer = library.optim.Adam(model.parameters(), lr=1e-4, **fused)
    apply = library.compile(model, mode="reduce-overhead") if compiled else model
    low = device == "cuda" and job.low

    def run() -> None:
        optimizer.zero_grad()
        with library.autocast("cuda", dtype=library.bfloat16) if low else nullcontext():
            loss = library.nn.functional.cross_entropy(apply(x), t)
        loss.backward()
        optimizer.step()

    return run


def rivals(job: Job, device: str) -> Iterator[tuple[str, Step]]:
    for label, library in libraries().items():
        if library is gg:
            continue
        yield label, step(library, job, device)
        if device == "cuda":
            yield f"{label} compiled", step(library, job, device, compiled=True)


def test_step(compare, device: str, name: str) -> None:
    job = JOBS[device][name]
    ours = step(gg, job, device)
    compare(gg.capture(ours) if device == "cuda" else ours, dict(rivals(job, device)))
