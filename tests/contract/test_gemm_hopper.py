"""The Hopper GEMM (csrc/kernels/gemm_hopper.cu) in the simulator, against the specification.

Here are its dtypes, layouts, batches and epilogues, and equal bits in every schedule, on the tiles
that the cost model takes; tests/sim/kernels_gemm_hopper.cpp runs every tile. That products of these
sizes are planned on that kernel is asserted there (hopper_gemm_is_planned): sizes are in both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from contract_tools import check, epsilon, functors, random_walk, values, wide
from schedules import SCHEDULES, scheduled

from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, reference
from gpugrad.backends.matmul_precision import SETTING

# m, n, k: tails of the 128 x 256 x 64 tile, k shorter and longer than the ring of 4 stages, as many
# tiles as the simulator's 4 multiprocessors and more.
SIZES = [(200, 300, 130), (264, 520, 64), (264, 520, 328), (530, 520, 72)]
MAJORS = ["rows", "columns"]


@pytest.fixture
def backend(hopper: Backend) -> Backend:
    return hopper


def aligned(x: np.ndarray, major: str = "rows") -> np.ndarray:
    """x in memory whose rows, or columns, are contiguous and begin at multiples of 16 bytes."""
    if major == "columns":
        return np.swapaxes(aligned(np.swapaxes(x, -1, -2)), -1, -2)
    pitch = -(-x.shape[-1] * x.itemsize // 16) * 16 // x.itemsize
    memory = np.zeros((*x.shape[:-1], pitch), x.dtype)
    memory[..., : x.shape[-1]] = x
    return memory[..., : x.shape[-1]]


def hold(backend: Backend, a: np.ndarray, b: np.ndarray, output: str = "", **epilogue: Any) -> None:
    """gemm of the very arrays a and b, on the device and by the specification in float64."""
    __tracebackhide__ = True
    dtype = dtypes.as_dtype(output or a.dtype)
    kw: dict[str, Any] = {n: v for n, v in epilogue.items() if not isinstance(v, np.ndarray)}
    arrays: dict[str, Any] = {n: v for n, v in epilogue.items() if isinstance(v, np.ndarray)}
    exact: dict[str, Any] = {n: wide(v).copy() for n, v in arrays.items()}
    expected = reference.gemm(wide(a), wide(b), dtype=dtypes.float64, **exact, **kw)
    got = backend.kernels.gemm(a, b, dtype=dtype, **arrays, **kw)
    terms = np.matmul(np.abs(wide(a)), np.abs(wide(b))) * abs(kw.get("alpha", 1.0))
    if "scale" in arrays:
        terms = terms * np.abs(arrays["scale"])
    # Every activation changes by at most 1.13 times its argument; the addends are below 12.
    check(
        backend,
        got,
        expected,
        1.13 * epsilon(dtype) * random_walk(a.shape[-1]) * (terms + 12),
        dtype,
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("left", MAJORS)
@pytest.mark.parametrize("right", MAJORS)
def test_sizes_and_majors(backend: Backend, dtype: str, left: str, right: str) -> None:
    for m, n, k in SIZES:
        a, b = values((m, k), dtype, 1), values((k, n), dtype, 2)
        hold(backend, aligned(a, left), aligned(b, right))


@pytest.mark.parametrize("majors", [("rows", "rows"), ("columns", "columns")])
def test_batches(backend: Backend, majors: tuple[str, str]) -> None:
    left, right = majors
    a = aligned(values((3, 136, 72), "bfloat16", 1), left)
    b = aligned(values((3, 72, 264), "bfloat16", 2), right)
    hold(backend, a, b)
    hold(backend, a, b[1])
    hold(backend, a[:1], b)
    hold(backend, a[2], b[:, :, :256])


def test_heads(backend: Backend) -> None:
    """[image, position, head, channel] as [image, head, position, channel]: two batch axes."""
    q, k = (values((2, 130, 3, 64), "float16", i).transpose(0, 2, 1, 3) for i in range(2))
    hold(backend, q, np.swapaxes(k, -1, -2), alpha=0.125)
    hold(backend, q, np.swapaxes(k[:, :1], -1, -2))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("output", ["", "float32"])
@pytest.mark.parametrize("act", functors("ACTIVATION"))
def test_epilogue(backend: Backend, dtype: str, output: str, act: str) -> None:
    m, n, k, y = 150, 270, 128, output or dtype
    a, b = values((m, k), dtype, 1), aligned(values((k, n), dtype, 2))
    bias, residual, scale = values((n,), y, 3), values((m, n), y, 4), values((n,), "float32", 5)
    hold(backend, a, b, output, act=act, bias=bias, alpha=-0.5)
    hold(backend, a, b, output, act=act, bias=bias, residual=residual, scale=scale)
    hold(
        backend, a, b, output, act=act, residual=residual[:, :1], out=values((m, n), y, 6), beta=2.0
    )


@pytest.mark.parametrize("layout", ["rows", "columns", "strided", "reversed"])
@pytest.mark.parametrize("output", ["float16", "float32"])
def test_layouts_of_y(backend: Backend, output: str, layout: str) -> None:
    """Into any strides of y, whose neighbours stay as they are."""
    m, n, k = 200, 300, 264
    a, b = values((m, k), "float16", 1), aligned(values((k, n), "float16", 2))
    memory = values((2 * m, 2 * n), output, 3)
    before = memory.copy()
    inside = np.zeros(memory.shape, bool)
    cut = {
        "rows": np.s_[3 : m + 3, 5 : n + 5],
        "columns": np.s_[3 : n + 3, 5 : m + 5],
        "strided": np.s_[::2, ::2],
        "reversed": np.s_[m - 1 :: -1, n - 1 :: -1],
    }[layout]
    inside[cut] = True
    y = memory[cut].T if layout == "columns" else memory[cut]
    hold(backend, a, b, output, out=y, beta=1.0)
    np.testing.assert_array_equal(memory[~inside], before[~inside])
    assert (memory[inside] != before[inside]).mean() > 0.9


def test_nan_and_infinity_stay_in_their_row(backend: Backend) -> None:
    """What TMA adds beyond k are zeros, and rows do not mix."""
    a, b = values((200, 136), "bfloat16", 1), values((136, 304), "bfloat16", 2)
    a[3, 135], a[130, 0], b[7, 299] = np.nan, np.inf, -np.inf
    y = backend.to_numpy(backend.kernels.gemm(a, b)).astype(np.float64)
    infinite = ~np.isfinite(y)
    assert infinite[3].all() and infinite[130].all() and infinite[:, 299].all()
    infinite[[3, 130]] = infinite[:, 299] = False
    assert not infinite.any()


def as_tf32(x: np.ndarray) -> np.ndarray:
    """x rounded to 10 fraction bits, to nearest, ties to even: what TMA does for tf32."""
    bits = x.view(np.uint32)
    rounded = bits + np.uint32(0xFFF) + (bits >> np.uint32(13) & np.uint32(1))
    return (rounded & np.uint32(0xFFFFE000)).view(np.float32)


@pytest.mark.parametrize("majors", [("rows", "columns"), ("columns", "rows")])
def test_tf32(backend: Backend, majors: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As operands that are rounded already give it in float32."""
    monkeypatch.setattr(SETTING, "name", "tf32")
    for m, n, k in [(200, 300, 270), (264, 520, 264)]:
        a = aligned(as_tf32(values((m, k), "float32", 1)), majors[0])
        b = aligned(as_tf32(values((k, n), "float32", 2)), majors[1])
        hold(backend, a, b)
        hold(backend, a, b, act="gelu", bias=values((n,), "float32", 3), alpha=0.5)


def test_tf32_is_rounded_to_nearest(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1 + x the nearest with 10 fraction bits, of two the even one."""
    monkeypatch.setattr(SETTING, "name", "tf32")
    ulp = 2.0**-10
    numbers = np.array([1 + ulp * f for f in (0.49, 0.5, 0.51, 1.49, 1.5, 1.51)], np.float32)
    a, b = np.zeros((256, 128), np.float32), np.zeros((128, 256), np.float32)
    a[:, 5], b[5] = 1, np.resize(numbers, 256)
    y = backend.to_numpy(backend.kernels.gemm(a, aligned(b, "columns")))
    expected = np.array([1 + ulp * i for i in (0, 0, 1, 1, 2, 2)], np.float32)
    np.testing.assert_array_equal(y, np.broadcast_to(np.resize(expected, 256), y.shape))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "bool"])
def test_bytes(backend: Backend, dtype: str) -> None:
    """Whole sums, contiguous along k or copied first."""
    for m, n, k in [(200, 300, 272), (264, 520, 640)]:
        a, b = values((m, k), dtype, 1), values((k, n), dtype, 2)
        sums = a.astype(np.int64) @ b.astype(np.int64)
        for left, right in [("rows", "columns"), ("rows", "rows")]:
            x, w = aligned(a, left), aligned(b, right)
            if dtype == "bool":
                check(backend, backend.kernels.gemm(x, w), sums != 0)
                continue
            check(backend, backend.kernels.gemm(x, w), sums.astype(dtype))
            check(
                backend,
                backend.kernels.gemm(x, w, dtype=dtypes.int32, alpha=-3),
                (-3 * sums).astype(np.int32),
            )
            hold(backend, x, w, "float32", scale=values((n,), "float32", 3))


def test_same_bits_in_every_schedule(backend: Backend) -> None:
    a, b = values((530, 72), "float16", 1), values((72, 520), "float16", 2)
    heads = values((2, 136, 3, 64), "bfloat16", 3).transpose(0, 2, 1, 3)
    results = []
    for schedule in SCHEDULES:
        with scheduled("sim", schedule):
            y = [
                backend.kernels.gemm(a, b, act="gelu"),
                backend.kernels.gemm(heads, heads.swapaxes(2, 3)),
            ]
            results.append([backend.to_numpy(x).tobytes() for x in y])
    assert all(r == results[0] for r in results)
