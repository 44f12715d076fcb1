"""gg.set_matmul_precision: what it accepts, what it changes, what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import gpugrad as gg


@pytest.fixture(autouse=True)
def default_precision() -> Iterator[None]:
    yield
    gg.set_matmul_precision("high")


def product(device: str, precision: str) -> np.ndarray:
    """One float32 product whose factors need more than 11 bits."""
    gg.set_matmul_precision(precision)
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((256, 256)).astype(np.float32) for _ in range(2))
    return (gg.tensor(a, device=device) @ gg.tensor(b, device=device)).numpy()


def error(device: str, precision: str) -> float:
    """Largest error of `product`, in ulp of float32 of its largest element."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((256, 256)).astype(np.float32) for _ in range(2))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    return float(np.abs(product(device, precision) - exact).max() / np.abs(exact).max() * 2**24)


def test_default_is_high() -> None:
    assert gg.get_matmul_precision() == "high"
    assert gg.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("precision", ["exact", "high", "tf32"])
def test_is_remembered(precision: str) -> None:
    gg.set_matmul_precision(precision)
    assert gg.get_matmul_precision() == precision


def test_pytorch_names() -> None:
    for level, ours, theirs in [
        ("highest", "high", "highest"),
        ("high", "tf32", "high"),
        ("medium", "tf32", "high"),
    ]:
        gg.set_float32_matmul_precision(level)
        assert gg.get_matmul_precision() == ours
        assert gg.get_float32_matmul_precision() == theirs


def test_other_names_are_refused_and_nothing_is_lost() -> None:
    gg.set_matmul_precision("exact")
    with pytest.raises(gg.errors.ArgumentError, match=r"precision is 'fast'.*'exact', 'high'"):
        gg.set_matmul_precision("fast")
    with pytest.raises(gg.errors.ArgumentError, match=r"precision is 'exact'.*'highest'"):
        gg.set_float32_matmul_precision("exact")
    for unhashable in (gg.set_matmul_precision, gg.set_float32_matmul_precision):
        with pytest.raises(gg.errors.ArgumentError, match=r"precision is \['high'\]"):
            unhashable(["high"])
    assert gg.get_matmul_precision() == "exact"


def test_tf32_rounds_factors_and_high_does_not() -> None:
    """A factor of 11 bits is off by 2^-12 on average, float32's 256 sums by a few 2^-24."""
    assert error("sim", "tf32") > 500
    assert error("sim", "high") <= error("sim", "exact") < 10


def test_cpu_is_always_exact() -> None:
    exact = product("cpu", "exact")
    for precision in ("high", "tf32"):
        np.testing.assert_array_equal(product("cpu", precision), exact)


def test_other_dtypes_do_not_look_at_it() -> None:
    x = gg.randn(64, 128, device="sim", dtype=gg.float16)
    results = []
    for precision in ("exact", "high", "tf32"):
        gg.set_matmul_precision(precision)
        results.append((x @ x.mT).numpy())
    assert all((r == results[0]).all() for r in results)
