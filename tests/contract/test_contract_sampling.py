"""Rotary positions and draws from logits, every device against the specification.

rotary: a product and a sum of two are off by an ulp each of |a c| + |b s|.

sample: the sums of the distribution function are float64 and end where u times the whole is; a
draw whose u is within their rounding of a boundary may be the neighbour, no other may.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from contract_tools import FLOATING, LAYOUTS, check, epsilon, place, random_walk, values, wide

from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, reference
from gpugrad.backends.reference.random import unit24
from gpugrad.backends.reference.sampling import kept
from gpugrad.errors import ArgumentError

# ---- rotary --------------------------------------------------------------------------------------

#: x, cos
TURNED = [((2, 3, 5, 16), (5, 8)), ((2, 4, 64), (2, 1, 32)), ((7, 6), (7, 3)), ((3, 40), (1, 12))]
TURNED += [((2, 2, 9, 128), (2, 1, 9, 32)), ((5,), (2,)), ((2, 0, 8), (4,)), ((4, 12), (4, 0))]
TURNED += [((2, 3, 30), (3, 15)), ((2, 5, 3, 32), (5, 1, 16)), ((1, 2, 2400), (2, 1200))]


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("dtype", FLOATING)
def test_rotary(backend: Backend, dtype: str, interleaved: bool) -> None:
    kind = dtypes.name(dtypes.accumulation(dtypes.as_dtype(dtype)))
    for number, (shape, angles) in enumerate(TURNED):
        for any_layout in (True, False):
            layouts = [LAYOUTS[(number + i) % 6] if any_layout else "contiguous" for i in (0, 2, 4)]
            x, numpy = place(backend, values(shape, dtype, number), layouts[0])
            angle = values(angles, "float64", 1, 3.0)
            cos, c = place(backend, np.cos(angle).astype(kind), layouts[1])
            sin, s = place(backend, np.sin(angle).astype(kind), layouts[2])
            inverse = number % 2 == 1
            got = backend.kernels.rotary(x, cos, sin, interleaved, inverse)
            rest = (interleaved, inverse)
            expected = reference.rotary(wide(numpy), wide(c), wide(s), *rest)
            # |a c| + |b s|: a rotation of magnitudes that does not subtract.
            size = reference.rotary(*(np.abs(wide(v)) for v in (numpy, c, s)), interleaved, True)
            turned = np.abs(expected - wide(numpy)) > 0
            other = reference.rotary(*(np.abs(wide(v)) for v in (numpy, c, s)), interleaved, False)
            error = 2 * epsilon(dtype) * np.maximum(np.abs(size), np.abs(other)) * turned
            check(backend, got, expected, error, dtype)


def test_rotary_turns_back(backend: Backend) -> None:
    """The inverse is the gradient, and undoes the rotation."""
    x = values((2, 3, 7, 32), "float32")
    angle = values((7, 16), "float32", 1, 5.0)
    placed = [backend.from_numpy(v) for v in (x, np.cos(angle), np.sin(angle))]
    for interleaved in (False, True):
        y = backend.kernels.rotary(*placed, interleaved, False)
        norm = np.linalg.norm(backend.to_numpy(y), axis=-1)
        np.testing.assert_allclose(norm, np.linalg.norm(x, axis=-1), rtol=1e-5)
        back = backend.kernels.rotary(y, *placed[1:], interleaved, True)
        check(backend, back, x, 8 * epsilon("float32") * (np.abs(x) + np.abs(x).max()))


# ---- sample --------------------------------------------------------------------------------------


def state_of(backend: Backend, seed: int = 5) -> tuple[Any, np.ndarray]:
    state = np.array([seed, 11])
    return backend.from_numpy(state), state


def check_draws(
    got: np.ndarray, logits: np.ndarray, options: tuple[float, int, float], u: np.ndarray
) -> None:
    """Each draw is of what stays, and u times the whole lies in its part of the sums."""
    p, mask = kept(logits, *options)
    p = np.where(mask, p, 0)
    sums = np.cumsum(p, axis=1)
    for b, y in enumerate(got):
        if not mask[b].any():
            assert y == 0
            continue
        assert mask[b, y], f"row {b}: {y} does not stay"
        whole = sums[b, -1]
        # exp of up to -750 is off by 750 ulp, of what is then nothing; of -40, by 40 ulp.
        error = (random_walk(p.shape[1]) + 40) * 2.0**-52 * whole
        low, high = sums[b, y] - p[b, y] - error, sums[b, y] + error
        assert low <= u[b] * whole <= high, f"row {b}: {y} for u {u[b]}"


OPTIONS = [(1.0, 0, 1.0), (0.7, 5, 1.0), (1.3, 0, 0.8), (2.0, 20, 0.5), (1.0, 1, 1.0)]
OPTIONS += [(0.01, 0, 0.999), (1.0, 10**9, 1e-6), (30.0, 17, 0.95)]


@pytest.mark.parametrize("dtype", FLOATING)
def test_sample(backend: Backend, dtype: str) -> None:
    state, s = state_of(backend)
    for number, options in enumerate(OPTIONS):
        for rows, classes in ((9, 70), (2, 1500), (5, 1), (3, 33)):
            layout = LAYOUTS[(number + classes) % 6]
            x, numpy = place(backend, values((rows, classes), dtype, number, 3.0), layout)
            got = backend.to_numpy(backend.kernels.sample(x, *options, state, number))
            assert got.dtype == np.int64
            check_draws(got, numpy, options, unit24(s, number, (rows,)))


@pytest.mark.parametrize("options", [(1.0, 40, 0.9), (1.0, 0, 0.9), (0.0, 0, 1.0)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sample_of_a_large_vocabulary(
    backend: Backend, dtype: str, options: tuple[float, int, float]
) -> None:
    rows, classes = (1, 20_000) if backend.device.type == "sim" else (3, 1 << 18)
    state, s = state_of(backend)
    x = values((rows, classes), dtype, 3, 2.0)
    got = backend.to_numpy(backend.kernels.sample(backend.from_numpy(x), *options, state, 0))
    if options[0] == 0:
        np.testing.assert_array_equal(got, np.argmax(x.astype(np.float32), axis=1))
    else:
        check_draws(got, x, options, unit24(s, 0, (rows,)))


def test_sample_takes_the_first_of_equals(backend: Backend) -> None:
    """Few different values: which equals stay, and which is the largest, is by index."""
    state, s = state_of(backend)
    x = np.random.default_rng(1).integers(-2, 2, (40, 90)).astype(np.float32)
    x[x == 0] *= np.random.default_rng(2).choice([-1, 1], int((x == 0).sum()))  # and -0
    k, placed = backend.kernels, backend.from_numpy(x)
    np.testing.assert_array_equal(
        backend.to_numpy(k.sample(placed, 0.0, 0, 1.0, state, 0)), np.argmax(x, axis=1)
    )
    for options in ((1.0, 7, 1.0), (1.0, 30, 1.0), (0.5, 0, 0.3), (1.0, 50, 0.6)):
        got = backend.to_numpy(k.sample(placed, *options, state, 1))
        check_draws(got, x, options, unit24(s, 1, (40,)))
    even = np.zeros((20, 8), np.float32)  # half of the whole, exactly: four stay
    got = backend.to_numpy(k.sample(backend.from_numpy(even), 1.0, 0, 0.5, state, 2))
    np.testing.assert_array_equal(got, np.floor(unit24(s, 2, (20,)) * 4))


def test_sample_without_numbers(backend: Backend) -> None:
    """NaN counts as -infinity, +infinity takes all, and a row of nothing gives 0."""
    inf, nan = np.inf, np.nan
    x = np.array([[nan, 2, nan], [nan] * 3, [-inf] * 3, [1, inf, 5], [-inf, nan, -4]], np.float32)
    state, _ = state_of(backend)
    for options in ((1.0, 0, 1.0), (0.5, 2, 0.7), (0.0, 0, 1.0), (1.0, 1, 1.0)):
        y = backend.kernels.sample(backend.from_numpy(x), *options, state, 3)
        np.testing.assert_array_equal(backend.to_numpy(y), [1, 0, 0, 1, 2])


def test_sample_has_the_frequencies_of_softmax(backend: Backend) -> None:
    """Chi-square of 8 classes: 7 degrees of freedom exceed 40 once in a million times."""
    rows = 600 if backend.device.type == "sim" else 20_000
    x = values((1, 8), "float32", 4)
    state, _ = state_of(backend, 77)
    placed = np.broadcast_to(x, (rows, 8)) if rows == 20_000 else np.repeat(x, rows, axis=0)
    got = backend.kernels.sample(backend.from_numpy(np.array(placed)), 1.5, 0, 1.0, state, 0)
    expected = np.exp(x[0] / 1.5) / np.exp(x[0] / 1.5).sum() * rows
    found = np.bincount(backend.to_numpy(got), minlength=8)
    assert (np.square(found - expected) / expected).sum() < 40


def test_sample_of_no_rows(backend: Backend) -> None:
    state, _ = state_of(backend)
    y = backend.kernels.sample(
        backend.from_numpy(np.zeros((0, 5), np.float32)), 1.0, 0, 1.0, state, 0
    )
    check(backend, y, np.zeros((0,), np.int64))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ((-1.0, 0, 1.0), "sample: temperature must be finite and at least 0, got -1"),
        ((float("inf"), 0, 1.0), "sample: temperature must be finite"),
        ((1.0, -2, 1.0), r"sample: top_k must be at least 0 \(0: all\), got -2"),
        ((1.0, 0, 0.0), r"sample: top_p must be in \(0, 1\], got 0"),
        ((1.0, 0, 1.5), r"sample: top_p must be in \(0, 1\], got 1.5"),
    ],
)
def test_sample_of_bad_options(
    backend: Backend, options: tuple[float, int, float], text: str
) -> None:
    state, _ = state_of(backend)
    x = backend.from_numpy(values((2, 3), "float32"))
    with pytest.raises((ArgumentError, ValueError), match=text):
        backend.kernels.sample(x, *options, state, 0)
