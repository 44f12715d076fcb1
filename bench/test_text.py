"""Text: training steps of recurrent and attention classifiers, attention and embedding alone.

The rival is PyTorch, on the GPU its fastest attention (it chooses) and cuDNN's recurrence.
`test_attention_memory` shows that the memory of attention grows with the number of tokens, not with
its square.

A classifier that reads the last step alone sends gradients through 200 steps that fade until they
are subnormal numbers. Processors are slow at those, and PyTorch leaves them be; so each is also
timed with the mean over all steps, where none are.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memory import forget_largest, largest_resident
from rivals import torch_module

import gpugrad as gg

Step = Callable[[], object]

VOCABULARY = 10_000


def libraries() -> dict[str, Any]:
    """gpugrad, and PyTorch where it is installed: both spell the code below alike."""
    torch = torch_module()
    return {"gpugrad": gg} if torch is None else {"gpugrad": gg, "PyTorch": torch}


def against(steps: dict[str, Step], compare: Callable[[Step, dict[str, Step]], None]) -> None:
    compare(steps.pop("gpugrad"), steps)


@pytest.fixture(autouse=True)
def exact_float32() -> Any:
    """float32 is float32 for both."""
    torch = torch_module()
    gg.set_matmul_precision("exact")
    if torch is not None:
        torch.backends.cudnn.allow_tf32 = False
        torch.set_float32_matmul_precision("highest")
    yield
    gg.set_matmul_precision("high")


# ---- training steps ----------------------------------------------------------------------------

CELLS = ("LSTM", "GRU", "RNN")
READS: dict[str, Callable[[Any], Any]] = {
    "last": lambda y: y[:, -1],
    "mean": lambda y: y.mean(1),
}


def recurrent_classifier(library: Any, cell: str, read: Callable[[Any], Any]) -> Any:
    """The usual sentiment classifier: embedding 100, one layer of 100, one logit."""
    nn = library.nn

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(VOCABULARY, 100)
            self.recurrent = getattr(nn, cell)(100, 100, batch_first=True)
            self.head = nn.Linear(100, 1)

        def forward(self, tokens: Any) -> Any:
            y, _ = self.recurrent(self.embedding(tokens))
            return self.head(read(y)).squeeze(1)

    return Classifier()


def transformer_classifier(library: Any, heads: int) -> Any:
    """Four layers of 256 with a feed-forward of 1024, GELU, dropout 0.1; the mean of all tokens."""
    nn = library.nn

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(VOCABULARY, 256)
            self.position = nn.Embedding(128, 256)
            layer = nn.TransformerEncoderLayer(
                256, heads, 1024, dropout=0.1, activation="gelu", batch_first=True
            )
            self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
            self.head = nn.Linear(256, 2)

        def forward(self, tokens: Any) -> Any:
            position = library.arange(tokens.shape[1], device=tokens.device)
            x = self.embedding(tokens) + self.position(position)
            return self.head(self.encoder(x).mean(1))

    return Classifier()


def training_step(
    library: Any, model: Any, tokens: tuple[int, int], target: np.ndarray, loss: str, device: str
) -> Step:
    """One step of Adam on a batch of random tokens."""
    rng = np.random.default_rng(0)
    x = library.tensor(rng.integers(0, VOCABULARY, tokens), device=device)
    t = library.tensor(target, device=device)
    model = model.to(device).train()
    optimizer = library.optim.Adam(model.parameters(), lr=1e-3)
    loss_of = getattr(library.nn.functional, loss)

    def step() -> None:
        optimizer.zero_grad()
        loss_of(model(x), t).backward()
        optimizer.step()

    return step


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_step(compare, device: str, cell: str, read: str) -> None:
    target = np.random.default_rng(1).integers(0, 2, 32).astype(np.float32)
    steps = {
        name: training_step(
            library,
            recurrent_classifier(library, cell, READS[read]),
            (32, 200),
            target,
            "binary_cross_entropy_with_logits",
            device,
        )
        for name, library in libraries().items()
    }
    against(steps, compare)


@pytest.mark.parametrize("heads", [4, 8])
def test_transformer_step(compare, device: str, heads: int) -> None:
    target = np.random.default_rng(1).integers(0, 2, 16)
    steps = {
        name: training_step(
            library,
            transformer_classifier(library, heads),
            (16, 128),
            target,
            "cross_entropy",
            device,
        )
        for name, library in libraries().items()
    }
    against(steps, compare)


# ---- attention ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attention:
    """q, k and v [batch, tokens, heads, size], seen as [batch, heads, tokens, size]."""

    batch: int
    heads: int
    tokens: int
    size: int
    causal: bool = False
    dropout: float = 0.0


ATTENTION = {
    "512": Attention(8, 8, 512, 64),
    "512_causal": Attention(8, 8, 512, 64, causal=True),
    "128_size64": Attention(16, 4, 128, 64),
    "128_size32": Attention(16, 8, 128, 32),
    "128_dropout": Attention(16, 4, 128, 64, dropout=0.1),
    "2048_causal": Attention(1, 8, 2048, 64, causal=True),
}


def attention_step(library: Any, a: Attention, backward: bool, device: str) -> Step:
    rng = np.random.default_rng(0)
    shape = (a.batch, a.tokens, a.heads, a.size)
    arrays = [rng.standard_normal(shape).astype(np.float32) for _ in range(4)]
    q, k, v, dy = (library.tensor(x, device=device).transpose(1, 2) for x in arrays)
    for x in (q, k, v):
        x.requires_grad_(backward)
    attend = library.nn.functional.scaled_dot_product_attention

    def step() -> None:
        y = attend(q, k, v, dropout_p=a.dropout, is_causal=a.causal)
        if backward:
            y.backward(dy)
            q.grad = k.grad = v.grad = None

    return step


@pytest.mark.parametrize("part", ["forward", "both"])
@pytest.mark.parametrize("name", ATTENTION)
def test_attention(compare, device: str, name: str, part: str) -> None:
    steps = {
        rival: attention_step(library, ATTENTION[name], part == "both", device)
        for rival, library in libraries().items()
    }
    against(steps, compare)


# ---- embedding ---------------------------------------------------------------------------------

TABLES = {"lstm": (10_000, 100, (32, 200)), "gpt2": (50_257, 768, (8, 512))}


def embedding_step(library: Any, name: str, backward: bool, device: str) -> Step:
    rows, size, tokens = TABLES[name]
    rng = np.random.default_rng(0)
    index = library.tensor(rng.zipf(1.3, tokens) % rows, device=device)
    weight = library.tensor(rng.standard_normal((rows, size)).astype(np.float32), device=device)
    weight.requires_grad_(backward)
    dy = library.tensor(rng.standard_normal((*tokens, size)).astype(np.float32), device=device)
    embed = library.nn.functional.embedding

    def step() -> None:
        y = embed(index, weight)
        if backward:
            y.backward(dy)
            weight.grad = None

    return step


@pytest.mark.parametrize("part", ["forward", "both"])
@pytest.mark.parametrize("name", TABLES)
def test_embedding(compare, device: str, name: str, part: str) -> None:
    steps = {
        rival: embedding_step(library, name, part == "both", device)
        for rival, library in libraries().items()
    }
    against(steps, compare)


# ---- memory ------------------------------------------------------------------------------------

TOKENS = (512, 1024, 2048, 4096)


def attention_memory(tokens: int, device: str) -> int:
    """Bytes that attention with its gradient adds, at its peak, to a process that has run one."""
    small = Attention(1, 4, 64, 64)
    attention_step(gg, small, True, device)()
    step = attention_step(gg, Attention(1, 4, tokens, 64), True, device)
    if device == "cuda":
        import cupy

        pool = cupy.get_default_memory_pool()
        before = pool.total_bytes()
        step()
        return pool.total_bytes() - before
    forget_largest()
    before = largest_resident()
    step()
    return largest_resident() - before


def test_attention_memory(device: str, capsys) -> None:
    """Each length in a process of its own. Twice the tokens: about twice the memory, not four times
    (beside what a process rounds up to)."""
    needed = []
    for tokens in TOKENS:
        command = [sys.executable, __file__, str(tokens), device]
        folder = Path(__file__).parent
        run = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=True)
        needed.append(int(run.stdout))
    with capsys.disabled():
        sizes = ", ".join(
            f"{tokens}: {size / 2**20:.1f} MiB" for tokens, size in zip(TOKENS, needed, strict=True)
        )
        matrix = 4 * 4 * TOKENS[-1] ** 2 / 2**20
        print(f"\n  peak memory of attention and its gradient, {sizes}")
        print(f"  (the matrix of scores alone would be {matrix:.0f} MiB at {TOKENS[-1]})")
    slack = 8 << 20
    for less, more in pairwise(needed):
        assert more <= 2 * less + slack


if __name__ == "__main__":
    print(attention_memory(int(sys.argv[1]), sys.argv[2]))
