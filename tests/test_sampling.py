"""`sample`: draws of classes from logits, as generation uses them."""

from __future__ import annotations

import math

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.errors import ArgumentError, DTypeError, ShapeError

LOGITS = [[0.0, 3.0, 1.0, 2.0]]


def draws(count: int, **options: float) -> np.ndarray:
    """How often each class comes in `count` draws."""
    gg.manual_seed(0)
    y = gg.sample(gg.tensor(LOGITS).expand(count, 4), **options)
    assert y.dtype == gg.int64
    return np.bincount(y.numpy(), minlength=4)


def test_greedy() -> None:
    assert draws(5, temperature=0).tolist() == [0, 5, 0, 0]


def test_top_k_and_top_p_leave_the_most_probable() -> None:
    assert np.flatnonzero(draws(400, top_k=2)).tolist() == [1, 3]
    # p = 0.03, 0.64, 0.09, 0.24: the first two reach 0.7
    assert np.flatnonzero(draws(400, top_p=0.7)).tolist() == [1, 3]
    assert np.flatnonzero(draws(400, top_p=0.6)).tolist() == [1]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies(temperature: float) -> None:
    """Within five standard deviations of a multinomial draw."""
    n = 4000
    p = np.exp(np.array(LOGITS[0]) / temperature)
    p /= p.sum()
    bound = 5 * np.sqrt(n * p * (1 - p))
    assert (np.abs(draws(n, temperature=temperature) - n * p) <= bound).all()


def test_a_generator_of_its_own() -> None:
    logits = gg.zeros(64, 8)
    first = gg.sample(logits, generator=gg.Generator().manual_seed(3))
    again = gg.sample(logits, generator=gg.Generator().manual_seed(3))
    assert first.tolist() == again.tolist()
    assert len(set(first.tolist())) > 4


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"temperature": -1.0}, "temperature=-1.0"),
        ({"temperature": math.inf}, "temperature=inf"),
        ({"temperature": math.nan}, "temperature=nan"),
        ({"top_k": -1}, "top_k=-1"),
        ({"top_p": 0.0}, "top_p=0.0"),
        ({"top_p": 1.5}, "top_p=1.5"),
    ],
)
def test_bad_options(options: dict, text: str) -> None:
    with pytest.raises(ArgumentError, match=f"sample: .*{text}"):
        gg.sample(gg.tensor(LOGITS), **options)


def test_bad_logits() -> None:
    with pytest.raises(ShapeError, match=r"sample: logits must be \[B, V\] with V > 0; got \(4,\)"):
        gg.sample(gg.zeros(4))
    with pytest.raises(DTypeError, match="sample: needs a floating tensor"):
        gg.sample(gg.zeros(1, 4, dtype=gg.int64))
