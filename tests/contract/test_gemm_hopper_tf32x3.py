"""The Hopper GEMM by three tf32 products (csrc/kernels/gemm_hopper_tf32x3.cu) in the simulator.

`high` promises an error no larger than `exact`'s, and `exact`'s infinities and NaN: held as in
test_gemm_precision.py, on its inputs. The simulator truncates wgmma's sums, as tensor cores do.
That products of these sizes are planned on that kernel is asserted by
tests/sim/kernels_gemm_tf32x3.cpp (hopper_tf32x3_is_planned): sizes are in both.
"""

from __future__ import annotations

import numpy as np
import pytest
from contract_tools import functors, random, values
from schedules import SCHEDULES, scheduled
from test_gemm_hopper import aligned, hold
from test_gemm_precision import HARD, errors, multiply, unfriendly

from gpugrad.backends import Backend
from gpugrad.backends.matmul_precision import SETTING

Matrices = tuple[np.ndarray, np.ndarray]


@pytest.fixture(autouse=True)
def backend(hopper: Backend, monkeypatch: pytest.MonkeyPatch) -> Backend:
    monkeypatch.setattr(SETTING, "name", "high")
    return hopper


def along_k(a: np.ndarray, b: np.ndarray) -> Matrices:
    """a and b as the kernel takes them: contiguous along k, rows at multiples of 16 bytes."""
    return aligned(a), aligned(b, "columns")


def product(m: int, n: int, k: int, batch: tuple[int, ...] = ()) -> Matrices:
    return along_k(values((*batch, m, k), "float32", 1), values((*batch, k, n), "float32", 2))


# ---- error --------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [192, 200, 512, 1024])
@pytest.mark.parametrize("swapped", [False, True], ids=["", "swapped"])
@pytest.mark.parametrize("inputs", HARD, ids=lambda f: f.__name__)
def test_no_worse_than_exact(inputs, k: int, swapped: bool) -> None:  # type: ignore[no-untyped-def]
    """Swapped: what is hard on one operand is so on the other, which is split in another way."""
    (a, b), (c, d) = inputs(k, 5), inputs(k, 6)
    a, b = np.vstack([a, c]), np.hstack([b, d])
    a, b = along_k(b.T, a.T) if swapped else along_k(a, b)
    high, exact = errors(a, b, "high"), errors(a, b, "exact")
    assert high[0] <= exact[0] and high[1] <= exact[1], f"high {high}, exact {exact}"


def test_every_bit_of_the_factors_counts() -> None:
    """Each factor by itself, times 1: its high and low parts are all that it is."""
    for exponent in (-140, -126, -120, 0, 100):
        rng = random(exponent + 200)
        numbers = np.float32(rng.uniform(-2, 2, 264)) * np.float32(2.0**exponent)
        one, many = np.zeros((264, 300), np.float32), np.zeros((264, 300), np.float32)
        one[:, 7], many[:, 7] = 1, numbers
        # a keeps 23 bits (its low part 11 of 12), b 22 (11 of 13); subnormals lose no more.
        bound = np.maximum(np.abs(numbers.astype(np.float64)), 2.0**-126) * 2.0**-22
        for left, right in ((many, one), (one, many)):
            y = multiply(*along_k(left, right.T), "high").astype(np.float64)
            got = y[:, 0] if left is many else y[0]
            assert (np.abs(got - numbers) <= bound).all(), exponent


# ---- infinity, NaN, overflow --------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("swapped", [False, True], ids=["", "swapped"])
def test_exacts_infinities(swapped: bool) -> None:
    """But where float32 overflows on its way to a sum that fits: there `high` may keep the sum."""
    (a, b), rng = unfriendly(1), random(2)
    a = np.vstack([a, rng.standard_normal((136, 300))]).astype(np.float32)
    b = np.hstack([b, rng.standard_normal((300, 136))]).astype(np.float32)
    a, b = along_k(b.T, a.T) if swapped else along_k(a, b)
    high, exact = multiply(a, b, "high"), multiply(a, b, "exact")
    special = ~np.isfinite(high)
    assert special.sum() > 1000
    np.testing.assert_array_equal(high[special], exact[special])
    rescued = np.isfinite(high) & ~np.isfinite(exact)
    assert rescued.sum() <= 264  # in one row, or column
    np.testing.assert_allclose(
        high[rescued], (a.astype(np.float64) @ b.astype(np.float64))[rescued], rtol=1e-5
    )


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7FFFFFFF, 0x7F800001, 0xFF800001, 0xFFFFFFFF])
def test_every_nan(bits: int) -> None:
    """Rounding and truncation can make infinity or zero of NaN's high part, not of both parts."""
    a, b = product(264, 264, 300)
    a[7, 299] = b[3, 9] = np.array(bits, np.uint32).view(np.float32)
    expected = np.zeros((264, 264), bool)
    expected[7] = expected[:, 9] = True
    np.testing.assert_array_equal(np.isnan(multiply(a, b, "high")), expected)


def test_values_that_the_scale_overflows() -> None:
    """From 2^115 (a, and the sums) and 2^125 (b) on, sums are formed as `exact` forms them."""
    a, b = product(264, 264, 300)
    a[:, 200:] *= np.float32(2.0**-4)
    a[5] *= np.float32(2.0**116)
    b[:200, 6] = 0
    b[200:, 6] *= np.float32(2.0**125)
    high, exact = multiply(a, b, "high"), multiply(a, b, "exact")
    np.testing.assert_array_equal(high[5], exact[5])
    np.testing.assert_array_equal(high[:, 6], exact[:, 6])
    high[5, 6] = 0  # it overflows in float32 too
    assert np.isfinite(high).all() and (high != exact).mean() > 0.3


# ---- shapes, layouts, epilogues -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("m", "n", "k"), [(200, 300, 330), (264, 520, 192), (530, 392, 264), (264, 264, 512)]
)
def test_sizes(backend: Backend, m: int, n: int, k: int) -> None:
    hold(backend, *product(m, n, k))


@pytest.mark.parametrize("left", ["rows", "columns"])
@pytest.mark.parametrize("right", ["rows", "columns"])
def test_majors(backend: Backend, left: str, right: str) -> None:
    """What is not contiguous along k is copied first."""
    a, b = values((264, 300), "float32", 1), values((300, 520), "float32", 2)
    hold(backend, aligned(a, left), aligned(b, right))


def test_batches(backend: Backend) -> None:
    a, b = product(136, 264, 200, (3,))
    hold(backend, a, b)
    hold(backend, a, b[1])
    hold(backend, a[:1], b)
    hold(backend, a[2], b[:, :, :256])


def test_heads(backend: Backend) -> None:
    """[image, position, head, channel] as [image, head, position, channel]: two batch axes."""
    q, k = (values((2, 130, 3, 192), "float32", i).transpose(0, 2, 1, 3) for i in range(2))
    hold(backend, q, np.swapaxes(k, -1, -2), alpha=0.125)
    hold(backend, q, np.swapaxes(k[:, :1], -1, -2))


@pytest.mark.parametrize("act", functors("ACTIVATION"))
def test_epilogue(backend: Backend, act: str) -> None:
    m, n, k = 200, 300, 330
    a, b = product(m, n, k)
    bias, residual, scale = (values(s, "float32", 3) for s in ((n,), (m, n), (n,)))
    hold(backend, a, b, act=act, bias=bias, residual=residual, scale=scale)
    y = values((m, n), "float32", 6)
    hold(backend, a, b, act=act, residual=residual[:, :1], alpha=-0.5, out=y, beta=2.0)


@pytest.mark.parametrize("layout", ["rows", "columns", "strided", "reversed"])
def test_layouts_of_y(backend: Backend, layout: str) -> None:
    """Into any strides of y, whose neighbours stay as they are."""
    m, n, k = 200, 300, 330
    a, b = product(m, n, k)
    memory = values((2 * m, 2 * n), "float32", 3)
    before, inside = memory.copy(), np.zeros(memory.shape, bool)
    cut = {
        "rows": np.s_[3 : m + 3, 5 : n + 5],
        "columns": np.s_[3 : n + 3, 5 : m + 5],
        "strided": np.s_[::2, ::2],
        "reversed": np.s_[m - 1 :: -1, n - 1 :: -1],
    }[layout]
    inside[cut] = True
    y = memory[cut].T if layout == "columns" else memory[cut]
    hold(backend, a, b, out=y, beta=1.0)
    np.testing.assert_array_equal(memory[~inside], before[~inside])
    assert (memory[inside] != before[inside]).mean() > 0.9


def test_same_bits_in_every_schedule(backend: Backend) -> None:
    a, b = product(530, 392, 264)
    results = []
    for schedule in SCHEDULES:
        with scheduled("sim", schedule):
            results.append(backend.to_numpy(backend.kernels.gemm(a, b, act="gelu")).tobytes())
    assert all(r == results[0] for r in results)
