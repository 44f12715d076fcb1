"""Draws made of uniform numbers: their distributions, their edges, and what is refused.

Means of n draws lie within 5 standard errors of what the distribution says: with the fixed seed
the same draws every time, and a wrong formula is off by many more.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.errors import ArgumentError, DTypeError, GraphError, ShapeError
from gpugrad.ops import distributions
from gpugrad.ops.distributions import exponential

N = 40_000
ERRORS = 5


def assert_mean(values: Any, mean: float, std: float) -> None:
    assert abs(float(np.mean(values)) - mean) <= ERRORS * std / math.sqrt(np.size(values))


def drawn(name: str, *arguments: float, dtype: Any = gg.float64) -> np.ndarray[Any, Any]:
    x = gg.zeros(N, dtype=dtype)
    assert getattr(x, name)(*arguments) is x
    return x.double().numpy()


def test_exponential() -> None:
    x = drawn("exponential_", 2.0)
    assert_mean(x, 0.5, 0.5)
    assert_mean(x**2, 0.5, math.sqrt(24 / 16 - 0.25))
    assert x.min() > 0
    assert exponential(gg.zeros(1)).item() > 0, "the least draw gives log 1"


def test_log_normal() -> None:
    x = np.log(drawn("log_normal_", 0.5, 2.0))
    assert_mean(x, 0.5, 2.0)
    assert_mean((x - 0.5) ** 2, 4.0, 4 * math.sqrt(2))


def test_cauchy() -> None:
    """It has no mean; its quartiles are median - sigma, median, median + sigma."""
    x = drawn("cauchy_", 1.0, 3.0)
    for quartile, share in ((-2.0, 0.25), (1.0, 0.5), (4.0, 0.75)):
        assert_mean(x < quartile, share, math.sqrt(share * (1 - share)))


@pytest.mark.parametrize("dtype", [gg.float32, gg.int64])
def test_geometric(dtype: Any) -> None:
    x = drawn("geometric_", 0.3, dtype=dtype)
    assert_mean(x, 1 / 0.3, math.sqrt(0.7) / 0.3)
    assert_mean(x == 1, 0.3, math.sqrt(0.21))
    assert x.min() == 1 and np.array_equal(x, np.floor(x))


@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("dtype", [gg.float64, gg.float32, gg.float16])
def test_multinomial(replacement: bool, dtype: Any) -> None:
    """One draw has the frequencies of the weights, which need not sum to 1."""
    weights = gg.tensor([2.0, 0.0, 1.0, 5.0], dtype=dtype).expand(N, 4)
    first = weights.multinomial(2, replacement)
    assert first.shape == (N, 2) and first.dtype == gg.int64
    for i, share in enumerate((0.25, 0.0, 0.125, 0.625)):
        assert_mean(first[:, 0].numpy() == i, share, math.sqrt(share * (1 - share)))
    if not replacement:
        a, b = first.unbind(1)
        assert not (a == b).any()
        share = 0.625 / 0.75  # of 3, once 0 is taken
        taken = b[a == 0].numpy() == 3
        assert_mean(taken, share, math.sqrt(share * (1 - share)))


def test_multinomial_never_draws_what_has_no_weight() -> None:
    weights = gg.tensor([0.0, 1e-30, 0.0, 1e-30, 0.0])
    for replacement in (True, False):
        found = weights.expand(1000, 5).multinomial(2, replacement)
        assert set(found.unique().tolist()) == {1, 3}
    assert sorted(weights.multinomial(2).tolist()) == [1, 3]


def test_the_least_draw_does_not_hit_a_weight_of_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributions, "_uniform", lambda like, generator: gg.zeros_like(like))
    assert gg.tensor([0.0, 1.0]).multinomial(3, True).tolist() == [1, 1, 1]


def test_the_same_draws_for_one_seed() -> None:
    found = []
    for _ in range(2):
        g = gg.Generator()
        g.manual_seed(7)
        weights = gg.arange(9.0)
        found.append((weights.multinomial(5, generator=g), gg.zeros(9).cauchy_(generator=g)))
    assert all(gg.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: x.exponential_(0), ArgumentError, "exponential_: lambd must be above 0, got 0"),
        (lambda x: x.log_normal_(0, -1), ArgumentError, "log_normal_: std must be above 0"),
        (lambda x: x.cauchy_(0, 0), ArgumentError, "cauchy_: sigma must be above 0"),
        (lambda x: x.geometric_(1.0), ArgumentError, r"geometric_: p must be in \(0, 1\), got 1"),
        (lambda x: x.bool().geometric_(0.5), DTypeError, "geometric_: needs a floating or an int"),
        (lambda x: x.int().exponential_(), DTypeError, "exponential_: needs a floating tensor"),
        (lambda x: x.requires_grad_().cauchy_(), GraphError, "cauchy_: a leaf tensor"),
        (lambda x: x.multinomial(4), ArgumentError, "num_samples 4 must be at least 1 and, with"),
        (lambda x: x.multinomial(0, True), ArgumentError, "num_samples 0 must be at least 1"),
        (lambda x: x.multinomial(3), ArgumentError, "a row has 2 weights above 0, and 3 are to be"),
        (lambda x: (-x).multinomial(1), ArgumentError, "weights must be finite and not negative"),
        (lambda x: (x / 0).multinomial(1), ArgumentError, "weights must be finite"),
        (lambda x: x.reshape(1, 1, 3).multinomial(1), ShapeError, r"input must be \[n\] or"),
    ],
)
def test_errors(call: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        call(gg.tensor([0.0, 1.0, 2.0]))
