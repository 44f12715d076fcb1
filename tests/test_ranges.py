"""Ranges and triangles: counts, ends, dtypes; the text of what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.errors import ArgumentError, DTypeError, ShapeError


def test_ends_are_exact() -> None:
    """Each half is counted from its own end, so both ends are the numbers given."""
    for end in (0.1, 0.7, 1 / 3, 1e20):
        x = gg.linspace(-end / 7, end, 11, dtype=gg.float64)
        assert (x[0].item(), x[-1].item()) == (-end / 7, end)
    assert gg.linspace(1, 5, 1).tolist() == [1] and gg.linspace(1, 5, 0).shape == (0,)
    assert gg.logspace(0, 3, 4).tolist() == [1, 10, 100, 1000]
    assert gg.logspace(0, 3, 4, base=2, dtype=gg.int32).tolist() == [1, 2, 4, 8]
    assert gg.linspace(gg.tensor(0), gg.tensor(1.0), 3).tolist() == [0, 0.5, 1]


def test_kinds_give_dtypes() -> None:
    assert gg.arange(3).dtype == gg.int64 and gg.arange(3.0).dtype == gg.float32
    assert gg.arange(0, gg.tensor(3)).tolist() == [0, 1, 2]
    assert gg.scalar_tensor(2).dtype == gg.float32 and gg.scalar_tensor(2).shape == ()
    assert gg.full((1,), True).dtype == gg.bool and gg.full((1,), 1.5).dtype == gg.float32
    assert gg.arange(2.5, 5.5, dtype=gg.int64).tolist() == [2, 3, 4]


@pytest.mark.parametrize("offset", [-2, 0, 1, 5])
def test_triangles_are_where_tril_and_triu_keep(offset: int) -> None:
    ones = gg.ones(3, 4, dtype=gg.int64)
    assert gg.tril_indices(3, 4, offset).tolist() == ones.tril(offset).nonzero().t().tolist()
    assert gg.triu_indices(3, 4, offset).tolist() == ones.triu(offset).nonzero().t().tolist()
    assert gg.tril_indices(2, 2, dtype=gg.int32).dtype == gg.int32


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: gg.arange(0, 3, -1), ArgumentError, "arange: step -1 does not lead from 0 to 3"),
        (lambda: gg.arange(np.inf), ArgumentError, "arange: the range 0 to inf by 1 must be finit"),
        (lambda: gg.arange(gg.ones(2)), ShapeError, r"arange: a number or 0-d tensor .*\(2,\)"),
        (lambda: gg.linspace(0, 1, 2.0), DTypeError, "linspace: steps must be an integer, got 2.0"),
        (lambda: gg.logspace(0, 1, -2), ArgumentError, "logspace: steps must not be negative"),
        (lambda: gg.tril_indices(-1, 2), ArgumentError, "tril_indices: row -1 and col 2 must not"),
        (lambda: gg.eye(-1), ShapeError, "eye: sizes must not be negative, got -1 and -1"),
    ],
)
def test_errors(call: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_complex_numbers_are_said_to_be_absent() -> None:
    with pytest.raises(AttributeError, match="no attribute 'complex64'; tensors are real"):
        gg.__getattr__("complex64")
