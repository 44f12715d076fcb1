"""Random numbers: seeds, states, generators, draws, dropout, forked processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.errors import ArgumentError


def test_seeds_and_states() -> None:
    gg.manual_seed(3)
    a = gg.randn(5)
    state = gg.get_rng_state()
    b = gg.rand(5)
    gg.set_rng_state(state)
    assert gg.rand(5).tolist() == b.tolist()
    gg.manual_seed(3)
    assert gg.randn(5).tolist() == a.tolist()
    own = gg.Generator().manual_seed(3)
    assert gg.randn(5, generator=own).tolist() == a.tolist()
    assert own.initial_seed() == 3 and gg.initial_seed() == 3
    with pytest.raises(ArgumentError, match="seed must be an int of 64 bits"):
        gg.manual_seed(1 << 64)


def test_a_negative_seed_is_its_64_bits() -> None:
    gg.manual_seed(-1)
    assert gg.initial_seed() == (1 << 64) - 1
    state = gg.get_rng_state()
    with gg.random.fork_rng():
        a = gg.rand(2)
    assert gg.rand(2).tolist() == a.tolist() and gg.manual_seed((1 << 64) - 1) is not None
    assert gg.get_rng_state().tolist() == state.tolist() and gg.rand(2).tolist() == a.tolist()


@pytest.mark.parametrize("std", [gg.tensor([-1.0, 1.0]), -1.0])
def test_negative_deviations_are_refused(std: gg.Tensor | float) -> None:
    with pytest.raises(ArgumentError, match="normal: std must not be negative"):
        gg.normal(gg.zeros(2), std)


@pytest.mark.parametrize("state", ["x", [1, 2, 3], np.zeros(3, np.int64), gg.zeros(3), None])
def test_only_states_are_states(state: Any) -> None:
    with pytest.raises(ArgumentError, match=r"a state is an int64 tensor of shape \(3,\), got"):
        gg.Generator().set_state(state)


def test_draws() -> None:
    gg.manual_seed(0)
    u = gg.rand(2000)
    assert u.min().item() >= 0 and u.max().item() < 1 and abs(u.mean().item() - 0.5) < 0.05
    assert set(gg.randint(2, 5, (200,)).tolist()) == {2, 3, 4}
    assert sorted(gg.randperm(37).tolist()) == list(range(37))
    assert abs(gg.normal(3.0, 0.5, (2000,)).mean().item() - 3) < 0.05
    assert abs(gg.bernoulli(gg.full((2000,), 0.25)).mean().item() - 0.25) < 0.05
    x = gg.empty(1000).uniform_(-1, 1)
    assert -1 <= x.min().item() < -0.9
    with pytest.raises(ArgumentError, match="low 5 must be below high 5"):
        gg.randint(5, 5, (1,))


def test_dropout_replays_its_mask() -> None:
    gg.manual_seed(1)
    x = gg.ones(1000, requires_grad=True)
    y = gg.dropout(x, 0.25)
    gg.manual_seed(2)  # a new state array: the old draw is still repeatable
    gg.rand(3)
    y.sum().backward()
    assert x.grad is not None and x.grad.tolist() == y.tolist()
    assert set(y.tolist()) == {0.0, np.float32(4 / 3).item()}
    assert gg.dropout(x, 0.5, training=False) is x and gg.dropout(x, 0.0) is x
    assert gg.dropout(x, 1.0).sum().item() == 0
    with pytest.raises(ArgumentError, match=r"p must be in \[0, 1\], got 1.5"):
        gg.dropout(x, 1.5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_processes_draw_their_own_numbers(python: Callable[[str], str]) -> None:
    code = (
        "import os, gpugrad as gg\n"
        "gg.manual_seed(5)\n"
        "for _ in range(2):\n"
        "    if os.fork() == 0:\n"
        "        print(gg.rand(2).tolist(), flush=True); os._exit(0)\n"
        "    os.wait()\n"
        "print(gg.rand(2).tolist())\n"
    )
    first, second = python(code), python(code)
    assert len(set(first.splitlines())) == 3 and first == second
