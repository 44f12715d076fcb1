"""Text: training steps of recurrent and attention classifiers, and embedding alone.

The rival is PyTorch, on a GPU with cuDNN's recurrence.

A classifier that reads the last step alone sends gradients through 200 steps that fade until they
are subnormal numbers. Processors are slow at those, and PyTorch leaves them be; so each is also
timed with the mean over all steps, where none are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from duel import NOT_COUNTED
from rehearsal import small
from rivals import against, libraries, place, torch_module

import gpugrad as gg

Step = Callable[[], object]

VOCABULARY = 10_000


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
    rng, device = np.random.default_rng(0), place(library, device)
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
    target = np.random.default_rng(1).integers(0, 2, small(32, 2)).astype(np.float32)
    steps = {
        name: training_step(
            library,
            recurrent_classifier(library, cell, READS[read]),
            (small(32, 2), small(200, 6)),
            target,
            "binary_cross_entropy_with_logits",
            device,
        )
        for name, library in libraries().items()
    }
    against(steps, compare)


@pytest.mark.parametrize("heads", [4, 8])
def test_transformer_step(compare, device: str, heads: int) -> None:
    target = np.random.default_rng(1).integers(0, 2, small(16, 2))
    steps = {
        name: training_step(
            library,
            transformer_classifier(library, heads),
            (small(16, 2), small(128, 8)),
            target,
            "cross_entropy",
            device,
        )
        for name, library in libraries().items()
    }
    against(steps, compare)


# ---- embedding ---------------------------------------------------------------------------------

TABLES = {"lstm": (10_000, 100, (32, 200)), "gpt2": (50_257, 768, (8, 512))}


def embedding_step(library: Any, name: str, backward: bool, device: str) -> Step:
    rows, size, tokens = TABLES[name]
    rows, tokens = small(rows), (small(tokens[0]), small(tokens[1]))
    rng, device = np.random.default_rng(0), place(library, device)
    index = library.tensor(rng.zipf(1.3, tokens) % rows, device=device)
    weight = library.tensor(rng.standard_normal((rows, size)).astype(np.float32), device=device)
    weight.requires_grad_(backward)
    dy = library.tensor(rng.standard_normal((*tokens, size)).astype(np.float32), device=device)
    embed = library.nn.functional.embedding

    def step() -> Any:
        y = embed(index, weight)
        if not backward:
            return y
        y.backward(dy)
        gradient, weight.grad = weight.grad, None
        return gradient

    return step


@pytest.mark.parametrize("part", ["forward", "both"])
@pytest.mark.parametrize("name", TABLES)
def test_embedding(compare, device: str, name: str, part: str) -> None:
    steps = {
        rival: embedding_step(library, name, part == "both", device)
        for rival, library in libraries().items()
    }
    against(steps, compare, NOT_COUNTED, "device")
