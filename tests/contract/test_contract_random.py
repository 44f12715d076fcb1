"""Random draws: the same bits on every device, and the distributions they promise."""

from __future__ import annotations

import numpy as np
import pytest
from contract_tools import ALL, FLOATING, INTEGERS, LAYOUTS, SHAPES, check, place, values

from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, reference
from gpugrad.backends.reference.random import philox

STATES = [
    (np.array([0, 0]), 0),
    (np.array([42, 7]), 3),
    (np.array([-1, (1 << 62) + 5]), (1 << 33) + 1),
    (np.array([1 << 40, -3]), 5),
]


def test_philox_known_answers() -> None:
    """The vector published with Random123 (Salmon et al. 2011) for counter and key 0."""
    zeros = philox(np.array([0, 0]), 0, 1)[0]
    assert [hex(w) for w in zeros] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]


@pytest.mark.parametrize("dtype", FLOATING)
def test_uniform(backend: Backend, dtype: str) -> None:
    d = dtypes.as_dtype(dtype)
    for state, call in STATES:
        device_state = backend.from_numpy(state)
        for shape in SHAPES:
            for low, high in ((0.0, 1.0), (-3.0, 0.1), (5.0, 5.0), (1.0, 1.0 + 2.0**-6)):
                got = backend.kernels.uniform(device_state, call, low, high, shape, d)
                expected = reference.uniform(state, call, low, high, shape, d)
                check(backend, got, expected)
                if low < high:
                    assert (expected.astype(np.float64) < high).all()


@pytest.mark.parametrize("dtype", INTEGERS)
def test_uniform_integers(backend: Backend, dtype: str) -> None:
    d, ends = dtypes.as_dtype(dtype), np.iinfo(dtype)
    middle = min(ends.max // 2, 1 << 40)
    ranges = [(0, 10), (max(ends.min, -5), 6), (middle, middle + 100), (3, 4)]
    for state, call in STATES:
        for low, high in ranges:
            if high > ends.max:
                continue
            got = backend.kernels.uniform(backend.from_numpy(state), call, low, high, (999,), d)
            expected = reference.uniform(state, call, low, high, (999,), d)
            check(backend, got, expected)
            assert low <= expected.min() and expected.max() < high


@pytest.mark.parametrize("dtype", FLOATING)
def test_normal(backend: Backend, dtype: str) -> None:
    d = dtypes.as_dtype(dtype)
    for state, call in STATES:
        for shape in [*SHAPES, (20001,)]:
            for mean, std in ((0.0, 1.0), (-2.5, 0.02)):
                got = backend.kernels.normal(backend.from_numpy(state), call, mean, std, shape, d)
                check(backend, got, reference.normal(state, call, mean, std, shape, d))


def test_normal_is_normal() -> None:
    """Moments of 2^18 draws within five standard errors; extremes as far as they should reach."""
    z = reference.normal(np.array([3, 0]), 0, 0.0, 1.0, (1 << 18,), dtypes.float64)
    error = 2.0**-9
    moments = [(z.mean(), 0, 1), ((z**2).mean(), 1, 2), ((z**3).mean(), 0, 15)]
    for moment, expected, variance in [*moments, ((z**4).mean(), 3, 96)]:
        assert abs(moment - expected) < 5 * error * variance**0.5
    assert 4 < z.max() < 6 and -6 < z.min() < -4


@pytest.mark.parametrize("dtype", ALL)
def test_bernoulli(backend: Backend, dtype: str) -> None:
    d = dtypes.as_dtype(dtype)
    for state, call in STATES[:2]:
        device_state = backend.from_numpy(state)
        for shape in SHAPES:
            for p in (0.0, 0.3, 1.0):
                got = backend.kernels.bernoulli(device_state, call, p, shape, d)
                check(backend, got, reference.bernoulli(state, call, p, shape, d))


@pytest.mark.parametrize("dtype", FLOATING)
def test_bernoulli_of_an_array(backend: Backend, dtype: str) -> None:
    state, call = STATES[1]
    for shape in ((7,), (6, 33), (2, 3, 5)):
        for layout in LAYOUTS:
            chances = np.abs(np.sin(values(shape, "float64"))).astype(dtypes.as_dtype(dtype))
            p, numpy = place(backend, chances, layout)
            for out in (shape, (4, *shape)):
                device_state = backend.from_numpy(state)
                got = backend.kernels.bernoulli(device_state, call, p, out, dtypes.float32)
                check(backend, got, reference.bernoulli(state, call, numpy, out, dtypes.float32))


@pytest.mark.parametrize("dtype", FLOATING)
def test_dropout(backend: Backend, dtype: str) -> None:
    for state, call in STATES[:2]:
        for number, shape in enumerate(SHAPES):
            for p in (0.0, 0.3, 0.5, 1.0):
                x, numpy = place(backend, values(shape, dtype), LAYOUTS[number % 6])
                got = backend.kernels.dropout(backend.from_numpy(state), call, p, x)
                check(backend, got, reference.dropout(state, call, p, numpy))


def test_permutation(backend: Backend) -> None:
    for state, call in STATES:
        for n in (0, 1, 2, 3, 4, 5, 16, 17, 100, 4096, 5000):
            got = backend.kernels.permutation(backend.from_numpy(state), call, n)
            expected = reference.permutation(state, call, n)
            check(backend, got, expected)
            np.testing.assert_array_equal(np.sort(expected), np.arange(n))
