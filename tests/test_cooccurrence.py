"""Word vectors by counting (gpugrad.text.cooccurrence)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gpugrad.text import cooccurrence
from gpugrad.text.cooccurrence import cooccurrences, positive_mutual_information, word_vectors


def counted(ids: np.ndarray, contexts: np.ndarray, window: int) -> np.ndarray:
    """As defined, a pair at a time."""
    found = np.zeros((len(contexts), contexts.max() + 1))
    for i, word in enumerate(ids):
        for j in range(max(0, i - window), min(len(ids), i + window + 1)):
            if i != j and contexts[ids[j]] >= 0:
                found[word, contexts[ids[j]]] += 1 / abs(i - j)
    return found


@pytest.mark.parametrize("at_once", [7, 50, 1 << 20])
def test_cooccurrences(monkeypatch, at_once: int) -> None:
    """In parts of any size; ends of parts count as what is between."""
    monkeypatch.setattr(cooccurrence, "_AT_ONCE", at_once)
    rng = np.random.default_rng(3)
    ids = rng.integers(0, 6, 50).astype(np.uint16)
    contexts = np.array([2, -1, 0, 1, -1, 3])
    expected = counted(ids, contexts, 4)
    np.testing.assert_allclose(cooccurrences(ids, contexts, 4), expected, rtol=1e-6)


def test_shorter_than_the_window() -> None:
    found = cooccurrences(np.array([0, 1]), np.array([0, 1]), 4)
    np.testing.assert_array_equal(found, [[0, 1], [1, 0]])


def test_mutual_information() -> None:
    counts = np.array([[4.0, 0.0, 1.0], [1.0, 2.0, 1.0], [0.0, 0.0, 0.0]])
    smooth = counts.sum(0) ** 0.75 / (counts.sum(0) ** 0.75).sum()
    found = positive_mutual_information(counts)
    assert found.dtype == np.float32
    assert found[0, 0] == pytest.approx(math.log(4 / 5 / smooth[0]), rel=1e-6)
    assert found[1, 1] == pytest.approx(math.log(2 / 4 / smooth[1]), rel=1e-6)
    assert found[1, 0] == 0 and found[0, 1] == 0  # met less often than by chance; never
    assert not found[2].any()


def test_words_in_like_company_get_like_vectors() -> None:
    """Two kinds of words, each among its own; token 8 is rare, 9 absent."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 2, 400)
    ids = np.concatenate([4 * kind + rng.integers(0, 4, 12) for kind in kinds])
    ids[100] = 8
    vectors, known = word_vectors(ids, 10, 4)
    assert vectors.shape == (10, 4) and known.tolist() == [True] * 8 + [False, False]
    assert not vectors[8:].any()
    np.testing.assert_allclose(np.linalg.norm(vectors[:8], axis=1), 1, rtol=1e-5)
    likeness = vectors[:8] @ vectors[:8].T
    same = np.add.outer(np.arange(8) // 4, np.arange(8) // 4) != 1
    assert likeness[same].min() > likeness[~same].max() + 0.5


def test_size_beyond_the_contexts() -> None:
    ids = np.random.default_rng(1).integers(0, 5, 200)
    assert word_vectors(ids, 5, 64)[0].shape == (5, 5)
    assert word_vectors(ids, 5, 64, contexts=3)[0].shape == (5, 3)
