"""float32 products on tensor cores (3xTF32, TF32) against the exact kernel and float64, on `sim`.

The simulator's tensor cores truncate their sums, as the hardware does, so errors here are those of
the algorithm. What is promised (csrc/ops.h):

- `high`: error no larger than `exact`'s. Held as: over an ill-scaled problem the root mean square
  and the largest of the errors, each in units of the float32 spacing of |a| |b|, are at most those
  of `exact`. Inputs are drawn with fixed seeds, so this is a fact about these bits, not a chance.
- `tf32`: both factors are rounded to 11 bits, so a product is off by at most 2 * 2^-11 + 2^-22.
- Infinity and NaN: those of `exact`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from contract_tools import random

from gpugrad import _sim as sim

Matrices = tuple[np.ndarray, np.ndarray]


@pytest.fixture(autouse=True)
def architecture() -> Iterator[None]:
    sim.set_architecture(80)
    yield
    sim.set_architecture(80)


def multiply(a: np.ndarray, b: np.ndarray, precision: str) -> np.ndarray:
    y = np.full((a.shape[0], b.shape[1]), np.nan, np.float32)
    space = np.empty(sim.gemm_workspace(a, b, y, precision), np.uint8)
    sim.gemm(0, a, b, y, (None, None, None, 1.0, 0.0, "none"), precision, space)
    return y


def errors(a: np.ndarray, b: np.ndarray, precision: str) -> tuple[float, float]:
    """(root mean square, largest) of |y - a b| / (2^-23 |a| |b|)."""
    exact = a.astype(np.float64) @ b.astype(np.float64)
    magnitude = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    error = np.abs(multiply(a, b, precision) - exact) / (2.0**-23 * magnitude)
    return float(np.sqrt(np.mean(error**2))), float(error.max())


# ---- inputs that are hard on a product of split floats ------------------------------------------


def normal(k: int, seed: int) -> Matrices:
    rng = random(seed)
    a, b = rng.standard_normal((128, k)), rng.standard_normal((k, 128))
    return a.astype(np.float32), b.astype(np.float32)


def positive(k: int, seed: int) -> Matrices:
    """Sums only grow: truncation, which has one sign, would show."""
    a, b = normal(k, seed)
    return np.abs(a), np.abs(b)


def scaled(k: int, seed: int) -> Matrices:
    """Rows of a and columns of b scaled by 2^-60 .. 2^60."""
    a, b = normal(k, seed)
    powers = 2.0 ** random(seed + 1).integers(-60, 61, 128)
    return (a * powers[:, None]).astype(np.float32), (b * powers[::-1]).astype(np.float32)


def wide(k: int, seed: int) -> Matrices:
    """Each element scaled by its own power of two."""
    a, b = normal(k, seed)
    powers = 2.0 ** random(seed + 2).integers(-12, 13, (128, k))
    return (a * powers).astype(np.float32), (b * powers[::-1].T).astype(np.float32)


def cancelling(k: int, seed: int) -> Matrices:
    """The second half of k takes away nearly all that the first half gave."""
    a, b = normal(k, seed)
    a[:, k // 2 :] = -a[:, : k - k // 2] * np.float32(1 + 2**-12)
    b[k // 2 :] = b[: k - k // 2]
    return a, b


def large(k: int, seed: int) -> Matrices:
    """a near the largest float, b small enough that sums are finite."""
    a, b = normal(k, seed)
    return a / np.abs(a).max() * np.float32(3.3e38), b * np.float32(2.0**-9)


def small(k: int, seed: int) -> Matrices:
    """a near the smallest normal float, b large: the low parts are subnormal."""
    a, b = normal(k, seed)
    return a * np.float32(2e-38), b * np.float32(2.0**60)


HARD = [normal, positive, scaled, wide, cancelling, large, small]


@pytest.mark.parametrize("k", [1, 7, 64, 127, 128, 200, 512, 4096])
@pytest.mark.parametrize("inputs", HARD, ids=lambda f: f.__name__)
def test_high_is_no_worse_than_exact(inputs, k: int) -> None:  # type: ignore[no-untyped-def]
    a, b = inputs(k, 5)
    high, exact = errors(a, b, "high"), errors(a, b, "exact")
    assert high[0] <= exact[0] and high[1] <= exact[1], f"high {high}, exact {exact}"


def test_high_runs_on_tensor_cores() -> None:
    """Else the comparison above would compare a kernel with itself."""
    a, b = normal(512, 0)
    assert (multiply(a, b, "high") != multiply(a, b, "exact")).any()
    sim.set_architecture(86)  # a third of its tf32 rate is less than its float32 rate
    assert (multiply(a, b, "high") == multiply(a, b, "exact")).all()


@pytest.mark.parametrize("k", [5, 128, 700])
@pytest.mark.parametrize("inputs", [normal, positive, scaled, wide], ids=lambda f: f.__name__)
def test_tf32_error(inputs, k: int) -> None:  # type: ignore[no-untyped-def]
    a, b = inputs(k, 9)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    magnitude = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    # The factors' roundings, and the sum's: at most one unit of the magnitude for each 8 of k.
    bound = 2 * 2.0**-11 + 2.0**-22 + (k / 8 + 2) * 2.0**-23
    assert (np.abs(multiply(a, b, "tf32") - exact) <= bound * magnitude).all()


def test_tf32_rounds_both_factors() -> None:
    """1 + 2^-12 is 1 in tf32, and the product loses what exact keeps."""
    a = np.full((128, 256), 1 + 2.0**-12, np.float32)
    b = np.ones((256, 128), np.float32)
    assert (multiply(a, b, "tf32") == 256).all() and (
        multiply(b.T.copy(), a.T.copy(), "tf32") == 256
    ).all()
    assert (multiply(a, b, "exact") == 256 + 2.0**-4).all()
    assert (multiply(a, b, "high") == 256 + 2.0**-4).all()


def unfriendly(seed: int) -> Matrices:
    """Infinities, NaN, zeros that meet them, sums that overflow and some that would come back."""
    a, b = normal(300, seed)
    a[3, 7], a[4, 8], a[5, 9] = np.inf, -np.inf, np.nan
    b[7, 11], b[8, 12], b[:, 13] = 0, np.inf, 0
    a[20, :4], b[:4, 20] = 3.0e38, (2, 2, -2, -2)
    a[21, :], b[:, 21] = 3.3e38, 1
    a[22, :2] = 3.4028235e38  # rounds up to infinity in 11 bits
    b[:2, 22] = (0.5, -0.5)
    return a, b


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_high_has_exacts_infinities() -> None:
    """But where float32 overflows on its way to a sum that fits: there `high` may keep the sum."""
    a, b = unfriendly(1)
    high, exact = multiply(a, b, "high"), multiply(a, b, "exact")
    special = ~np.isfinite(high)
    assert special.sum() > 500
    np.testing.assert_array_equal(high[special], exact[special])
    rescued = np.isfinite(high) & ~np.isfinite(exact)
    assert rescued.sum() <= 128  # in one row
    np.testing.assert_allclose(
        high[rescued], (a.astype(np.float64) @ b.astype(np.float64))[rescued], rtol=1e-5
    )


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8"])
@pytest.mark.parametrize("precision", ["exact", "high", "tf32"])
def test_every_architecture(dtype: str, precision: str) -> None:
    rng = random(3)
    a, b = (rng.integers(-8, 9, s).astype(dtype) for s in ((70, 264), (264, 72)))
    expected = a.astype(np.int64) @ b.astype(np.int64)  # exact in every precision
    y = np.empty((70, 72), "int32" if dtype == "int8" else "float32")
    for number in (75, 80, 86, 90):
        sim.set_architecture(number)
        space = np.empty(sim.gemm_workspace(a, b, y, precision), np.uint8)
        sim.gemm(0, a, b, y, (None, None, None, 1.0, 0.0, "none"), precision, space)
        np.testing.assert_array_equal(y, expected, err_msg=f"sm_{number}")


@pytest.mark.parametrize("precision", ["exact", "high", "tf32"])
def test_same_bits_in_every_schedule(precision: str) -> None:
    a, b = normal(2048, 4)
    results = []
    for order, copies, seed in (
        ("forward", "eager", 0),
        ("reverse", "lazy", 0),
        ("random", "random", 1),
        ("random", "random", 2),
    ):
        sim.set_schedule(order, copies, seed, 2)
        results.append(multiply(a[:70], b[:, :40], precision))
    sim.set_schedule("forward", "eager", 0, 0)
    for y in results[1:]:
        assert y.tobytes() == results[0].tobytes()
