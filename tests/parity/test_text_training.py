"""Twenty steps of training text layers give the losses that PyTorch's give.

Each program is written once, over `t`: gpugrad or torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import gpugrad as gg

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning")
VOCABULARY, WIDTH, LENGTH, BATCH, CLASSES, STEPS = 30, 12, 9, 8, 3, 20


def classifier(t: Any, name: str, **options: Any) -> Any:
    """Embedding, a recurrent layer, the last step (or the last states), a linear layer."""
    nn = t.nn

    class Classifier(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(VOCABULARY, WIDTH, padding_idx=0)
            self.recurrent = getattr(nn, name)(WIDTH, WIDTH, batch_first=True, **options)
            both = 2 if options.get("bidirectional") else 1
            self.linear = nn.Linear(both * WIDTH, CLASSES)

        def forward(self, tokens: Any, lengths: Any) -> Any:
            x = self.embedding(tokens)
            if not options.get("bidirectional"):
                return self.linear(self.recurrent(x)[0][:, -1])
            rnn = nn.utils.rnn
            packed = rnn.pack_padded_sequence(x, lengths, True, enforce_sorted=False)
            hn = self.recurrent(packed)[1]
            hn = hn[0] if isinstance(hn, tuple) else hn
            return self.linear(t.cat([hn[-2], hn[-1]], 1))

    return Classifier()


def bag(t: Any) -> Any:
    nn = t.nn

    class Bag(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.bag = nn.EmbeddingBag(VOCABULARY, WIDTH, padding_idx=0, max_norm=2.0)
            self.linear = nn.Linear(WIDTH, CLASSES)

        def forward(self, tokens: Any, lengths: Any) -> Any:
            return self.linear(self.bag(tokens))

    return Bag()


def transformer(t: Any, **options: Any) -> Any:
    nn = t.nn

    class Encoder(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(VOCABULARY, WIDTH)
            layer = nn.TransformerEncoderLayer(WIDTH, 3, 24, 0.0, batch_first=True, **options)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.linear = nn.Linear(WIDTH, CLASSES)

        def forward(self, tokens: Any, lengths: Any) -> Any:
            x = self.encoder(self.embedding(tokens), src_key_padding_mask=tokens == 0)
            return self.linear(x[:, 0])

    return Encoder()


def sequence_to_sequence(t: Any) -> Any:
    nn = t.nn

    class Whole(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(VOCABULARY, WIDTH)
            self.transformer = nn.Transformer(WIDTH, 2, 1, 1, 24, 0.0)
            self.linear = nn.Linear(WIDTH, CLASSES)

        def forward(self, tokens: Any, lengths: Any) -> Any:
            x = self.embedding(tokens.T)
            mask = nn.Transformer.generate_square_subsequent_mask(len(x))
            return self.linear(self.transformer(x, x.flip(0), tgt_mask=mask)[-1])

    return Whole()


PROGRAMS: dict[str, Callable[[Any], Any]] = {
    "rnn": lambda t: classifier(t, "RNN"),
    "rnn_relu": lambda t: classifier(t, "RNN", nonlinearity="relu"),
    "lstm": lambda t: classifier(t, "LSTM", num_layers=2),
    "lstm_packed": lambda t: classifier(t, "LSTM", bidirectional=True),
    "gru": lambda t: classifier(t, "GRU"),
    "gru_packed": lambda t: classifier(t, "GRU", bidirectional=True, num_layers=2),
    "bag": bag,
    "encoder": lambda t: transformer(t),
    "encoder_norm_first": lambda t: transformer(t, norm_first=True, activation="gelu"),
    "sequence_to_sequence": sequence_to_sequence,
}


def losses(t: Any, model: Any) -> np.ndarray:
    """Of each step, by Adam; four batches in turn."""
    optimizer = t.optim.Adam(model.parameters(), lr=3e-3)
    found = []
    for step in range(STEPS):
        rng = np.random.default_rng(step % 4)
        lengths = rng.integers(2, LENGTH + 1, BATCH)
        lengths[0] = LENGTH
        there = np.arange(LENGTH) < lengths[:, None]
        tokens = rng.integers(1, VOCABULARY, (BATCH, LENGTH)) * there
        target = t.tensor(tokens[:, 0] % CLASSES)
        optimizer.zero_grad()
        logits = model(t.tensor(tokens), t.tensor(lengths))
        loss = t.nn.functional.cross_entropy(logits, target)
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return np.array(found)


@pytest.mark.parametrize("name", PROGRAMS)
def test_losses(name: str) -> None:
    """1e-6 relative, in float32: PyTorch's own float32 run is within 1.5e-7 of its float64 run, so
    three times the errors of both runs, should they add."""
    gg.manual_seed(0)
    ours, theirs = PROGRAMS[name](gg), PROGRAMS[name](torch)
    state = {k: torch.tensor(v.numpy().copy()) for k, v in ours.state_dict().items()}
    theirs.load_state_dict(state)
    found, exact = losses(gg, ours), losses(torch, theirs)
    np.testing.assert_allclose(found, exact, rtol=1e-6)
    assert exact[-4:].mean() < exact[:4].mean()
