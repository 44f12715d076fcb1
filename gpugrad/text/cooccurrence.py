"""Word vectors from a corpus by counting what stands near what: no training."""

from __future__ import annotations

from typing import Any

import numpy as np

_Array = np.ndarray[Any, Any]
_AT_ONCE = 1 << 20  # tokens


def cooccurrences(ids: _Array, contexts: _Array, window: int) -> _Array:
    """n[w, c], (len(contexts), largest of these + 1): how often token w stands near context c.

    contexts: the context's number of each token, -1 for none. Neighbours up to `window` tokens away
    on either side count 1 / distance. The ids, a corpus in a row, may lie in a file.
    """
    width = int(contexts.max()) + 1
    counts = np.zeros(len(contexts) * width, np.float32)
    for start in range(0, len(ids), _AT_ONCE):
        part = np.asarray(ids[start : start + _AT_ONCE + window], np.int64)
        for distance in range(1, min(window + 1, len(part))):
            first = part[:_AT_ONCE][: len(part) - distance]
            second = part[distance:][: len(first)]
            for word, near in ((first, contexts[second]), (second, contexts[first])):
                places = (word * width + near)[near >= 0]
                found, times = np.unique(places, return_counts=True)
                counts[found] += times / np.float32(distance)
    return counts.reshape(len(contexts), width)


def positive_mutual_information(counts: _Array) -> _Array:
    """max(0, log (p(w, c) / (p(w) p(c)))) of counts (words, contexts), p(c) ~ n(c)^0.75.

    0 where w and c never met. The power keeps rare contexts from the largest values (Levy, Goldberg
    and Dagan, 2015, Improving Distributional Similarity with Lessons Learned from Word Embeddings).
    """
    smooth = counts.sum(0, dtype=np.float64) ** 0.75
    smooth /= max(smooth.sum(), 1e-300)
    of_word = counts.sum(1, keepdims=True, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(counts / (of_word * smooth))
    return np.where(counts > 0, np.maximum(found, 0), 0).astype(np.float32)


def word_vectors(
    ids: _Array,
    vocab_size: int,
    size: int,
    *,
    window: int = 10,
    contexts: int = 2000,
    least: int = 5,
) -> tuple[_Array, _Array]:
    """(vectors (vocab_size, k), known (vocab_size,)): rows of norm 1 of the tokens that are known.

    The positive mutual information with the most frequent tokens as contexts is M = U S V^T; a
    vector is a row of U S^1/2, its first k = min(size, contexts, vocab_size) columns, scaled to 1.
    Words in like company get like vectors, and what skip-gram training would find is close to them
    (Levy and Goldberg 2014, "Neural Word Embedding as Implicit Matrix Factorization"). Known are
    tokens that occur `least` times and have met a context; the other rows are 0.
    """
    frequency = np.bincount(ids, minlength=vocab_size)
    width = min(contexts, vocab_size)
    numbers = np.full(vocab_size, -1)
    numbers[np.argsort(-frequency, kind="stable")[:width]] = np.arange(width)
    m = positive_mutual_information(cooccurrences(ids, numbers, window))
    squares, v = np.linalg.eigh(m.T @ m)  # S^2 ascending, V
    k = min(size, width)
    squares, v = squares[::-1][:k], v[:, ::-1][:, :k]
    vectors = m @ (v / np.maximum(squares, 1e-12) ** 0.25)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    known = (frequency >= least) & (norms[:, 0] > 1e-6)
    return np.where(known[:, None], vectors / np.maximum(norms, 1e-6), 0), known
