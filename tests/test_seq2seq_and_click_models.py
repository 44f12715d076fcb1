"""Sequence to sequence, and models of clicks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import models

VOCABULARY = 30
TEXTS = np.array([[5, 6, 7, 8, 9, 1], [4, 3, 9, 0, 0, 0], [11, 2, 3, 5, 0, 0]])
MASK = (TEXTS > 0).astype(np.int64)


@pytest.mark.parametrize("attention", ["additive", "general", "dot"])
def test_seq2seq_learns_to_reverse(attention: str, tmp_path: Path) -> None:
    """Three texts backwards, by heart; generation gives them, whatever the padding."""
    gg.manual_seed(0)
    model = models.Seq2Seq(VOCABULARY, VOCABULARY, 16, 24, attention=attention, dropout=0.0)
    lengths = MASK.sum(1)
    labels = np.full((3, 7), -100)
    for row, n in enumerate(lengths):  # 1 and 2 begin and end a target
        labels[row, : n + 1] = [*(TEXTS[row, :n][::-1] + 3), 2]
    x, mask, target = gg.tensor(TEXTS), gg.tensor(MASK), gg.tensor(labels)
    optimizer = gg.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(80):
        optimizer.zero_grad()
        model(x, attention_mask=mask, labels=target).loss.backward()
        assert all(p.grad is not None for p in model.parameters())
        optimizer.step()
    model.eval().save_pretrained(tmp_path)
    found = models.load_pretrained(tmp_path).generate(x, mask, 7).numpy()  # type: ignore[attr-defined]
    for row, n in enumerate(lengths):
        np.testing.assert_array_equal(found[row, : n + 1], labels[row, : n + 1])
    alone = model.generate(x[1:2, :3], max_new_tokens=7).numpy()
    np.testing.assert_array_equal(alone[0, :3], found[1, :3])


def click_data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A click where fields 0 and 1 agree: no single field tells it."""
    rng = np.random.default_rng(0)
    fields = rng.integers(0, [3, 3, 50], (128, 3))
    return fields, rng.standard_normal((128, 2)), (fields[:, 0] == fields[:, 1]).astype(np.int64)


@pytest.mark.parametrize(
    ("cls", "config"),
    [
        (models.WideDeep, {"hidden": [], "crosses": [[0, 1], [1, 2]], "dense_features": 2}),
        (models.WideDeep, {"hidden": [16], "dense_features": 2}),
        (models.DeepFM, {"hidden": [], "dense_features": 2}),
        (models.DeepFM, {"hidden": [8]}),
    ],
    ids=["wide", "deep", "fm", "deepfm"],
)
def test_click_models_learn_pairs(cls: Any, config: dict[str, Any], tmp_path: Path) -> None:
    """Each part can learn what depends on two fields at once: accuracy 1 where a linear model of
    the fields stays below 0.8."""
    gg.manual_seed(0)
    model = cls([3, 3, 50], **config)
    fields, numbers, clicks = click_data()
    dense = gg.tensor(numbers.astype(np.float32)) if "dense_features" in config else None
    x, labels = gg.tensor(fields), gg.tensor(clicks)
    optimizer = gg.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(250):
        optimizer.zero_grad()
        model(x, dense, labels=labels).loss.backward()
        optimizer.step()
    logits = model(x, dense).detach().numpy()
    assert logits.shape == (128,)
    assert ((logits > 0) == clicks).mean() == 1
    model.save_pretrained(tmp_path)
    again = models.load_pretrained(tmp_path)
    np.testing.assert_array_equal(again(x, dense).detach().numpy(), logits)


def test_factorisation_machine() -> None:
    """The formula of the paper, pair by pair."""
    model = models.DeepFM([3, 4], dense_features=1, embedding_dim=5, hidden=[])
    gg.nn.init.normal_(model.embedding.weight)
    rows, dense = gg.tensor([[2, 1]]), gg.tensor([[0.5]])
    v = [model.embedding.weight[2], model.embedding.weight[3 + 1], 0.5 * model.dense[0]]
    pairs = v[0].dot(v[1]) + v[0].dot(v[2]) + v[1].dot(v[2])
    linear = model.linear_dense(dense)[0, 0]
    deep = model.deep(gg.cat(v).unsqueeze(0))[0, 0]
    exact = (pairs + linear + deep).item()
    assert model(rows, dense).item() == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("attention", ["additive", "general", "dot"])
def test_seq2seq_ignores_padding(attention: str) -> None:
    """Sources padded with anything: the logits are those of the source alone, and the decoder
    starts from the ends of both directions."""
    model = models.Seq2Seq(VOCABULARY, VOCABULARY, 8, 12, attention=attention).eval()
    with gg.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # so that attention is not uniform
        noise, mask = gg.tensor(np.where(MASK == 1, TEXTS, 17)), gg.tensor(MASK)
        target = gg.tensor(TEXTS[:, :4])
        found = model(noise, mask, target).numpy()
        for row, n in enumerate(MASK.sum(1)):
            alone = model(gg.tensor(TEXTS[row : row + 1, :n]), None, target[row : row + 1])
            np.testing.assert_allclose(found[row], alone.numpy()[0], rtol=0, atol=2**-16)
            memory, state = model.encode(gg.tensor(TEXTS[row : row + 1, :n]), None)
            y = memory.values[0].numpy()
            np.testing.assert_array_equal(state[0, 0].numpy(), [*y[-1, :6], *y[0, 6:]])


def test_crossed_fields() -> None:
    """Each combination of each cross has a row of its own, where there are enough."""
    model = models.WideDeep([3, 4, 5], hidden=[], crosses=[[0, 1], [2, 1]], cross_buckets=100)
    with gg.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.cross.weight.copy_(gg.arange(200).float().unsqueeze(1))
    fields = np.array([[2, 3, 4], [1, 0, 2]])
    exact = [(a * 4 + b) + 100 + (c * 4 + b) for a, b, c in fields]
    np.testing.assert_array_equal(model(gg.tensor(fields)).detach().numpy(), exact)
