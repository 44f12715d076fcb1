"""Whole training steps: forward, loss, backward, optimizer. (More in test_images and test_text.)

On a GPU ours are captured steps, and the rivals PyTorch's step as it is and compiled with CUDA
graphs; the large models run under autocast to bfloat16 in all three. All take their batch as
arguments, from memory that stays where it is. gpt2_124m_lm is gpugrad's own model, whose loss never
stores all logits, beside the same sizes in PyTorch, compiled.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import rehearsal
from duel import Cost
from rehearsal import small
from rivals import libraries, place, torch_module

import gpugrad as gg
from gpugrad import models

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

    wide = small(256, 32)
    return nn.Sequential(
        *(
            nn.Conv2d(3, 24, 2),
            nn.GELU(),
            *group(24, small(64, 32)),
            *group(small(64, 32), wide),
            *group(wide, wide),
        ),
        *(nn.MaxPool2d(3), nn.Flatten(), nn.Linear(wide, 10, bias=False)),
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

    first = small(64, 8)
    stem = (nn.Conv2d(3, first, 3, 1, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU())
    sizes = ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
    sizes = tuple((small(c, 8), small(k, 8), s) for c, k, s in sizes)
    blocks = [block for c, k, s in sizes for block in (Block(c, k, s), Block(k, k, 1))]
    end = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(small(512, 8), 10))
    return nn.Sequential(*stem, *blocks, *end)


def lstm(library: Any) -> Any:
    """The usual classifier of texts: embedding 100, one layer of 100."""
    nn = library.nn

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(WORDS, 100)
            self.recurrent = nn.LSTM(100, 100, batch_first=True)
            self.head = nn.Linear(100, 2)

        def forward(self, tokens: Any) -> Any:
            y, _ = self.recurrent(self.embedding(tokens))
            return self.head(y.mean(1))

    return Classifier()


def transformer(library: Any, vocabulary: int, tokens: int, causal: bool) -> Any:
    """12 layers of 768 in 12 heads; logits of every token, by the transposed embedding."""
    nn, size = library.nn, small(768)

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(small(vocabulary), size)
            self.positions = nn.Parameter(0.02 * library.randn(small(tokens), size))
            layer = (size, size // 64 or 1, 4 * size, 0.0, "gelu")
            self.layers = nn.ModuleList(
                [
                    nn.TransformerEncoderLayer(*layer, batch_first=True, norm_first=causal)
                    for _ in range(1 if rehearsal.ON else 12)
                ]
            )
            self.norm = nn.LayerNorm(size)

        def forward(self, ids: Any) -> Any:
            x, n = self.words(ids) + self.positions, ids.shape[1]
            hidden = library.ones(n, n, dtype=library.bool, device=ids.device).triu(1)
            for layer in self.layers:
                x = layer(x, src_mask=hidden if causal else None, is_causal=causal)
            return nn.functional.linear(self.norm(x), self.words.weight).flatten(0, 1)

    return Transformer()


def gpt2_lm() -> Any:
    size = small(768)
    return models.GPT2LMHeadModel(
        vocab_size=small(50257),
        n_positions=small(1024),
        n_embd=size,
        n_layer=1 if rehearsal.ON else 12,
        n_head=size // 64,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )


@dataclass(frozen=True)
class Job:
    """build(library) -> model of inputs (batch, *shape): pixels, or tokens below `words`.

    low: under autocast to bfloat16 on a GPU. unit: what is counted, and what has a label each:
    images, texts or tokens. own: a model of gpugrad's in place of build's, that takes the labels
    and gives its loss.
    """

    build: Callable[[Any], Any]
    batch: int
    shape: tuple[int, ...]
    words: int = 0
    low: bool = True
    unit: str = "images"
    own: Callable[[], Any] | None = None

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """The batch and its labels."""
        rng = np.random.default_rng(0)
        batch = small(self.batch, 2)
        if not self.words:
            shape = batch, *self.shape
            return rng.standard_normal(shape, np.float32), rng.integers(0, 10, batch)
        shape = batch, small(self.shape[0])
        ids = rng.integers(0, small(self.words), shape)
        if self.unit == "tokens":
            return ids, rng.integers(0, small(self.words), shape)
        return ids, rng.integers(0, 2, batch)

    def cost(self) -> Cost:
        """What a step learns from."""
        return Cost(items=self.arrays()[1].size, unit=self.unit)


def gpt2(library: Any) -> Any:
    return transformer(library, 50257, 1024, True)


def bert(library: Any) -> Any:
    return transformer(library, 30522, 128, False)


WORDS = 10_000
SMALL = {
    "mnist_perceptron": Job(perceptron, 128, (784,), low=False),
    "mnist_cnn": Job(mnist_cnn, 128, (1, 28, 28), low=False),
}
LARGE = {
    "airbench": Job(airbench, 1024, (3, 32, 32)),
    "lstm_classifier": Job(lstm, 32, (200,), WORDS, low=False, unit="texts"),
    "resnet18": Job(resnet18, 512, (3, 32, 32)),
    "gpt2_124m": Job(gpt2, 8, (1024,), 50257, unit="tokens"),
    "gpt2_124m_lm": Job(gpt2, 16, (1024,), 50257, unit="tokens", own=gpt2_lm),
    "bert_base": Job(bert, 64, (128,), 30522, unit="tokens"),
}
JOBS = {"cpu": SMALL, "cuda": SMALL | LARGE}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize("name", JOBS[metafunc.config.getoption("--device")])


def compiled(library: Any, model: Any) -> Any:
    """With CUDA graphs."""
    if rehearsal.ON:
        return library.compile(model, backend="eager")
    return library.compile(model, mode="reduce-overhead")


def step(library: Any, job: Job, device: str, apply: Callable[[Any, Any], Any] | None) -> Step:
    """One step of Adam; apply: what becomes of the model before it is called."""
    where = place(library, device)
    x, t = (library.tensor(array, device=where) for array in job.arrays())
    own = job.own if library is gg else None
    model = (own() if own else job.build(library)).to(where)
    if device == "cuda" and len(job.shape) == 3:
        x = x.contiguous(memory_format=library.channels_last)
        model = model.to(memory_format=library.channels_last)
    fused = {"fused": True} if device == "cuda" else {}
    optimizer = library.optim.Adam(model.parameters(), lr=1e-4, **fused)
    call = model if apply is None else apply(library, model)
    low = device == "cuda" and job.low
    cross_entropy = library.nn.functional.cross_entropy

    def run(x: Any, t: Any) -> None:
        optimizer.zero_grad()
        with library.autocast(where, dtype=library.bfloat16) if low else nullcontext():
            loss = call(x, labels=t).loss if own else cross_entropy(call(x), t.flatten())
        loss.backward()
        optimizer.step()

    if library is gg and device == "cuda":
        run = gg.capture(run)
    return lambda: run(x, t)


def rivals(job: Job, device: str) -> Iterator[tuple[str, Step]]:
    """PyTorch, and on a GPU compiled."""
    for label, library in libraries().items():
        if library is gg:
            continue
        if job.own is None:
            yield label, step(library, job, device, None)
        if device == "cuda":
            yield f"{label} compiled", step(library, job, device, compiled)


@pytest.fixture
def afterwards(device: str) -> Iterator[None]:
    """Gives the memory back, of which each library keeps what it had."""
    yield
    gc.collect()
    if device == "cuda":
        gg.cuda.empty_cache(device)
        if (torch := torch_module()) is not None:
            torch.compiler.reset()
            gc.collect()
            torch.cuda.empty_cache()


@pytest.mark.usefixtures("afterwards")
def test_step(compare, device: str, name: str) -> None:
    job = JOBS[device][name]
    ours = step(gg, job, device, None)
    for _ in range(4 if device == "cuda" else 0):  # two to warm up, the recording, a replay
        ours()
    compare(ours, dict(rivals(job, device)), job.cost())
