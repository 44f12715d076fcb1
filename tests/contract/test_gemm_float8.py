"""gemm of 8-bit floats, and its row scales, on every device against the specification.

Products of 8-bit floats are exact in float32, so an error is that of the sums: of a 16-bit kernel,
which adds in float32, or of Hopper's own (csrc/kernels/gemm_hopper_float8.cu), whose wgmma keeps 13
fraction bits (csrc/device/wgmma.h): each of the four instructions that make 128 of k cuts its 32
products and the sum so far off 13 bits below the largest of them, and then the sum itself: 4 times
34 cuts of less than 2^-13 of that largest. Of terms of either sign, as here, cuts toward zero have
either sign, too: at random 6.7 2^-13 of the largest, which is a sum of at most 128 terms, about a
tenth of their magnitude. 4 2^-13 of the magnitude is six times that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from contract_tools import DEVICES, check, random, random_walk, values
from schedules import SCHEDULES, scheduled

from gpugrad import backends
from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, reference
from gpugrad.errors import ArgumentError, DTypeError

ARCHITECTURES = {"sim-75": 75, "sim": 80, "sim-90": 90}
E4M3, E5M2 = dtypes.FLOAT8
PAIRS = [(E4M3, E4M3), (E4M3, E5M2), (E5M2, E4M3), (E5M2, E5M2)]
OUTPUTS = ("float16", "bfloat16", "float32")
WGMMA = 4 * 2.0**-13


@pytest.fixture(params=[*(d for d in DEVICES if d != "sim"), *ARCHITECTURES])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Every device; the simulator as each architecture whose kernels differ."""
    architecture = ARCHITECTURES.get(request.param)
    if architecture is None:
        yield backends.get(request.param)
        return
    from gpugrad import _sim

    _sim.set_architecture(architecture)
    yield backends.get("sim")
    _sim.set_architecture(80)


def eights(shape: tuple[int, ...], dtype: Any, seed: int) -> np.ndarray:
    return reference.cast(values(shape, "float32", seed), dtype)


def k_major(x: np.ndarray) -> np.ndarray:
    """x [..., k, n] in memory whose columns are contiguous and begin at multiples of 16 bytes."""
    return np.swapaxes(along_k(np.swapaxes(x, -1, -2)), -1, -2)


def along_k(x: np.ndarray) -> np.ndarray:
    pitch = -(-x.shape[-1] // 16) * 16
    memory = np.zeros((*x.shape[:-1], pitch), x.dtype)
    memory[..., : x.shape[-1]] = x
    return memory[..., : x.shape[-1]]


def without_gaps(backend: Backend, x: np.ndarray) -> Any:
    """x on the device, its columns contiguous where they are so here."""
    if x.ndim < 2 or x.strides[-1] == x.itemsize:
        return backend.from_numpy(x)
    return np.swapaxes(backend.from_numpy(np.swapaxes(x, -1, -2)), -1, -2)


def hold(
    backend: Backend, a: np.ndarray, b: np.ndarray, output: str = "float32", hopper: bool = False,
    **epilogue: Any,
) -> Any:  # fmt: skip
    """gemm of the arrays as they lie (on a GPU: without gaps) against a product in float64."""
    __tracebackhide__ = True
    kw: dict[str, Any] = {n: v for n, v in epilogue.items() if not isinstance(v, np.ndarray)}
    arrays: dict[str, Any] = {n: v for n, v in epilogue.items() if isinstance(v, np.ndarray)}
    here = backend.in_host_memory
    given = [x if here else without_gaps(backend, x) for x in (a, b)]
    got = backend.kernels.gemm(
        *given,
        dtype=dtypes.as_dtype(output),
        **{n: v if here else backend.from_numpy(v) for n, v in arrays.items()},
        **kw,
    )
    wide = {n: v.astype(np.float64) for n, v in arrays.items()}
    left, right = a.astype(np.float64), b.astype(np.float64)
    expected = reference.gemm(left, right, dtype=dtypes.float64, **wide, **kw)
    terms = np.matmul(np.abs(left), np.abs(right)) * abs(kw.get("alpha", 1.0))
    terms = terms * wide.get("scale", np.ones(1)) * wide.get("row_scale", np.ones(1))[:, None]
    sums = 2.0**-23 * random_walk(a.shape[-1]) + (WGMMA if hopper else 0)
    # Every activation changes by at most 1.13 times its argument; the addends are below 12.
    check(backend, got, expected, 1.13 * (sums * terms + 2.0**-23 * 12), output)
    return got


SHAPES = [
    ((1, 1), (1, 1)),
    ((17, 33), (33, 29)),
    ((130, 67), (67, 131)),
    ((1, 64), (64, 300)),
    ((300, 64), (64, 1)),
    ((64, 128), (128, 96)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 3, 32), (32, 5)),
    ((2, 1, 6, 3), (1, 3, 3, 7)),
    ((3, 4), (4, 0)),
    ((3, 0), (0, 4)),
]


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("left, right", PAIRS)
def test_shapes_and_layouts(backend: Backend, left: Any, right: Any, output: str) -> None:
    for m, n in SHAPES:
        a, b = eights(m, left, 1), eights(n, right, 2)
        hold(backend, a, b, output, hopper=True)
        hold(backend, along_k(a), k_major(b), output, hopper=True)
        hold(backend, a, np.swapaxes(np.swapaxes(b, -1, -2).copy(), -1, -2), output, hopper=True)
        hold(backend, np.swapaxes(np.swapaxes(a, -1, -2).copy(), -1, -2), b, output)
        hold(backend, a[..., ::-1], b[..., ::-1, :], output)
    if backend.in_host_memory:
        a, b = eights((1, 40), left, 1), eights((2, 40, 24), right, 2)
        hold(backend, np.broadcast_to(a, (2, 9, 40)), b, output)
        hold(backend, np.broadcast_to(a, (9, 40)), b, output)


@pytest.mark.parametrize("output", OUTPUTS)
def test_epilogue(backend: Backend, output: str) -> None:
    """Scales of rows and columns, alone and together, one for all or one for each."""
    rng = random(3)
    for a, b in ((eights((37, 48), E4M3, 1), k_major(eights((48, 21), E4M3, 2))),):
        for rows in (1, 37):
            for columns in (1, 21):
                scale = rng.random(columns).astype(np.float32) + 0.5
                row_scale = rng.random(rows).astype(np.float32) + 0.5
                bias = values((21,), output, 4)
                kw = {"hopper": True, "scale": scale, "row_scale": row_scale}
                hold(backend, a, b, output, **kw)
                hold(backend, a, b, output, bias=bias, act="relu", alpha=-0.5, **kw)
                residual = values((37, 21), output, 5)
                hold(backend, a, b, output, residual=residual, **kw)
        hold(backend, a, b, output, hopper=True, row_scale=row_scale)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_row_scale_of_other_dtypes(backend: Backend, dtype: str) -> None:
    """Tall, flat, a column-major y, batches over one b (which are else one matrix): a row's scale
    is that of its number in its own matrix."""
    for m, k, n in ((37, 48, 21), (3, 70, 300), (300, 70, 3), (130, 64, 129)):
        scale = random(1).random(n).astype(np.float32) + 0.5
        row_scale = random(2).random(m).astype(np.float32) + 0.5
        for batch in ((), (2,)):
            a, b = values((*batch, m, k), dtype, 1), values((k, n), dtype, 2)
            wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
            expected = wide_a @ wide_b * row_scale[:, None].astype(np.float64) * scale
            terms = np.abs(wide_a) @ np.abs(wide_b) * row_scale[:, None] * scale
            out = backend.from_numpy(np.zeros((*batch, n, m), a.dtype)).swapaxes(-1, -2)
            given = [backend.from_numpy(x) for x in (a, b, scale, row_scale)]
            for kw in ({}, {"out": out}):
                got = backend.kernels.gemm(*given[:2], scale=given[2], row_scale=given[3], **kw)
                check(backend, got, expected, 2.0**-23 * random_walk(k) * terms, dtype)


@pytest.mark.parametrize("device", ["sim", "cpu"])
def test_errors(device: str) -> None:
    backend = backends.get(device)
    a, b, other = eights((3, 4), E4M3, 1), eights((4, 5), E5M2, 2), values((4, 5), "float16")
    with pytest.raises(DTypeError, match=r"^matmul: not implemented for float8_e4m3fn, which is a"):
        backend.kernels.gemm(a, b)
    if device == "cpu":
        return
    kernels = backend.kernels

    def refused(text: str, *args: Any, **kw: Any) -> None:
        with pytest.raises(ArgumentError, match=text):
            kernels.gemm(*args, **kw)

    single, double = dtypes.float32, dtypes.float64
    refused("a and b must have one dtype, got a float8_e4m3fn", a, other, dtype=single)
    refused("y must have the dtype of a and b .*8-bit floats", a, b, dtype=double)
    short, wide = np.ones(2, np.float32), np.ones(3, np.float64)
    refused(r"row_scale must be float32 \(1,\) or \(3,\), got float32 \(2,\)", a, b, dtype=single,
            row_scale=short)  # fmt: skip
    refused(r"row_scale must be .* got float64 \(3,\)", a, b, dtype=single, row_scale=wide)
    i, j = values((3, 4), "int8", 1), values((4, 5), "int8", 2)
    refused("scales need a floating y, got int32", i, j, dtype=dtypes.int32,
            row_scale=np.ones(3, np.float32))  # fmt: skip


# ---- Hopper's kernel -----------------------------------------------------------------------------

# Tails of the 128 x 128 x 128 tile; k longer than the ring; k split; clusters of 2 blocks with and
# without a second tile; more tiles than the simulator has multiprocessors.
SIZES = [(200, 130, 144), (40, 96, 1040), (129, 64, 4100), (264, 392, 320)]


@pytest.mark.parametrize("left, right", PAIRS)
def test_hopper_sizes(hopper: Backend, left: Any, right: Any) -> None:
    for m, n, k in SIZES:
        a, b = along_k(eights((m, k), left, 1)), k_major(eights((k, n), right, 2))
        for output in OUTPUTS:
            hold(hopper, a, b, output, hopper=True)
    a, b = along_k(eights((3, 136, 144), left, 1)), k_major(eights((3, 144, 40), right, 2))
    hold(hopper, a, b, hopper=True)
    hold(hopper, a, b[:1], hopper=True)
    row_scale = random(1).random(136).astype(np.float32)
    hold(hopper, a, b[1], hopper=True, row_scale=row_scale)


def test_hopper_cuts_of_one_sign(hopper: Backend) -> None:
    """Positive terms lose at every cut: more than if wgmma cut off its sums alone, which would lose
    less than WGMMA of each, and less than all 34 cuts of each instruction can take."""
    a, b = (
        along_k(np.abs(eights((64, 1024), E4M3, 1))),
        k_major(np.abs(eights((1024, 64), E4M3, 2))),
    )
    exact = a.astype(np.float64) @ b.astype(np.float64)
    got = hopper.to_numpy(hopper.kernels.gemm(a, b, dtype=dtypes.float32))
    lost = (exact - got) / exact
    assert (lost > 0).all() and lost.max() < 34 * WGMMA
    assert lost.mean() > 1.2 * WGMMA


def test_hopper_batch_axes(hopper: Backend) -> None:
    """Three that a residual keeps apart, and four, which are multiplied in 16 bits."""
    for batch in ((2, 2, 2), (2, 2, 2, 2)):
        a, b = along_k(eights((*batch, 20, 48), E4M3, 1)), k_major(eights((48, 40), E4M3, 2))
        order = (*range(len(batch))[::-1], len(batch), len(batch) + 1)
        residual = values((*batch, 20, 40), "float32", 3).transpose(order).copy().transpose(order)
        hold(hopper, a, b, hopper=True, residual=residual)


def test_hopper_transposed_result(hopper: Backend) -> None:
    """Columns of y are contiguous, so y^T is computed: types and scales change sides."""
    a, b = along_k(eights((150, 144), E5M2, 1)), k_major(eights((144, 40), E4M3, 2))
    scale = random(1).random(40).astype(np.float32) + 0.5
    row_scale = random(2).random(150).astype(np.float32) + 0.5
    out = np.zeros((40, 150), np.float32).T
    hold(hopper, a, b, hopper=True, out=out, scale=scale, row_scale=row_scale)


def test_hopper_sums_are_promoted(hopper: Backend) -> None:
    """One large term in the first 128 of k, then thousands of small ones, which wgmma's 13 fraction
    bits beside the large one would all lose. That some of the first 128 are lost shows that it was
    this kernel."""
    k = 4096
    a, b = np.ones((16, k), E4M3), np.ones((k, 16), E4M3)
    a[:, 0], b[0] = 448, 448  # 2^17.6: an ulp of 13 fraction bits is 16
    a[:, 1:] = 0.25
    exact = 448.0 * 448 + 0.25 * (k - 1)
    got = hopper.to_numpy(hopper.kernels.gemm(a, k_major(b), dtype=dtypes.float32))
    # Each of the first four instructions cuts off less than 16.
    assert (exact - 4 * 16 < got).all() and (got < exact).all()


@pytest.mark.parametrize("size", SIZES)
def test_hopper_schedules(size: tuple[int, int, int]) -> None:
    """The same bits in every order of threads, with copies and products as late as can be."""
    from gpugrad import _sim

    m, n, k = size
    a, b = along_k(eights((m, k), E4M3, 1)), k_major(eights((k, n), E5M2, 2))
    scales = {"row_scale": np.ones(m, np.float32), "scale": np.full(1, 0.5, np.float32)}
    results = []
    for schedule in SCHEDULES:
        with scheduled("sim", schedule):
            _sim.set_architecture(90)
            try:
                y = backends.get("sim").kernels.gemm(a, b, dtype=dtypes.bfloat16, **scales)
                results.append(y.view(np.uint16).copy())
            finally:
                _sim.set_architecture(80)
    assert all((y == results[0]).all() for y in results)
