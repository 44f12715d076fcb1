"""Hopper's attention (csrc/kernels/attention_hopper*.cu), in the simulator and on a Hopper.

Here are its dtypes, head sizes, masks and layouts, and equal bits in every schedule. That problems
of these kinds and sizes run on those kernels is shown by tests/sim/test_attention_budgets.py, and
which do not by tests/sim/kernels_attention_hopper.cpp.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attention_tools import Case, Inputs, hold, hold_neighbours, hold_unseen_keys
from schedules import SCHEDULES, label, scheduled

from gpugrad.backends import Backend

HALVES = ["float16", "bfloat16"]
CAUSAL: dict[str, Any] = {"right": 0}
AT_END: dict[str, Any] = {"right": 0, "align_end": True}
SLIDING: dict[str, Any] = {"left": 150, "right": 20}
MASKS = [{}, CAUSAL, AT_END, SLIDING]


@pytest.fixture
def backend(any_hopper: Backend) -> Backend:
    return any_hopper


# B, H, G, M, N, D: the least there is, tails of both tiles of 128, heads that share keys, batches,
# more keys than the ring holds, head sizes with columns of zeros.
SHAPES = [
    (1, 1, 1, 64, 64, 64),
    (2, 4, 2, 130, 257, 64),
    (1, 3, 1, 257, 200, 128),
    (1, 2, 2, 70, 700, 128),
    (2, 2, 1, 140, 140, 80),
    (1, 1, 1, 100, 129, 8),
]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(backend: Backend, dtype: str, shape: tuple[int, int, int, int, int, int]) -> None:
    hold(backend, dtype, Case(shape))


@pytest.mark.parametrize("window", MASKS, ids=str)
@pytest.mark.parametrize(
    "shape",
    [(4, 9, 3, 130, 200, 64), (2, 17, 1, 300, 140, 128), (1, 36, 36, 64, 90, 40)],
)
def test_many_heads(
    backend: Backend, shape: tuple[int, int, int, int, int, int], window: dict[str, Any]
) -> None:
    """More than 8 pairs of tiles for each multiprocessor: blocks stay for several of them."""
    lengths = [200, 0, 150, 77] if shape[0] == 4 else None
    hold(backend, "bfloat16", Case(shape, "heads", k_lengths=lengths, window=window))


@pytest.mark.parametrize("window", [*MASKS, {"left": 5}, {"left": 0, "right": 0}], ids=str)
@pytest.mark.parametrize("size", [64, 128])
def test_windows(backend: Backend, size: int, window: dict[str, Any]) -> None:
    for m, n in ((300, 300), (150, 400), (400, 150)):
        hold(backend, "bfloat16", Case((1, 2, 1, m, n, size), window=window))


@pytest.mark.parametrize("window", MASKS, ids=str)
@pytest.mark.parametrize("size", [64, 128])
def test_packed_sequences(backend: Backend, size: int, window: dict[str, Any]) -> None:
    packed = [
        ([0, 0, 130, 130, 290, 300], [0, 20, 180, 230, 300, 300]),  # no queries, no keys, neither
        ([0, *range(3, 100, 3), 150], [0, *range(2, 68, 2), 90]),
    ]
    for queries, keys in packed:
        shape = (1, 4, 2, queries[-1], keys[-1], size)
        hold(backend, "float16", Case(shape, q_offsets=queries, k_offsets=keys, window=window))


@pytest.mark.parametrize("size", [64, 128])
def test_packed_neighbours(backend: Backend, size: int) -> None:
    for queries, keys in (
        ([0, 7, 40, 41, 41, 100, 230], [0, 20, 33, 74, 80, 110, 200]),
        ([0, 128, 256, 300], [0, 128, 200, 384]),
    ):
        shape = (1, 4, 2, queries[-1], keys[-1], size)
        hold_neighbours(backend, "float16", Case(shape, q_offsets=queries, k_offsets=keys))


@pytest.mark.parametrize("window", MASKS, ids=str)
def test_key_lengths(backend: Backend, window: dict[str, Any]) -> None:
    case = Case((5, 2, 1, 140, 270, 64), k_lengths=[270, 0, 33, 129, 300], window=window)
    hold(backend, "float16", case)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("layout", ["heads", "packed", "reversed", "strided", "offset"])
def test_layouts(backend: Backend, dtype: str, layout: str) -> None:
    """The first two are read in place; the others are not Hopper's matter, and right."""
    for size in (64, 128):
        hold(backend, dtype, Case((2, 3, 3, 150, 140, size), layout, window=CAUSAL))


@pytest.mark.parametrize("size", [64, 128])
def test_what_others_do(backend: Backend, size: int) -> None:
    """Bias, dropout, scales that are not positive, on the same device."""
    shape = (1, 2, 1, 130, 140, size)
    hold(backend, "float16", Case(shape, bias=("float32", (130, 140))))
    hold(backend, "bfloat16", Case(shape, dropout=0.3))
    for scale in (0.0, -0.1):
        hold(backend, "float16", Case(shape, scale=scale))


@pytest.mark.parametrize("lengths", [True, False])
def test_padding_is_not_looked_at(backend: Backend, lengths: bool) -> None:
    """NaN in keys and values that no query may see reaches no result; their own gradients are 0."""
    if lengths:
        case = Case((2, 2, 1, 140, 300, 64), k_lengths=[213, 0])
    else:
        case = Case((1, 2, 1, 140, 300, 128), q_offsets=[0, 140], k_offsets=[0, 213])
    inputs = Inputs(case, backend, "bfloat16")
    hold_unseen_keys(inputs, 213)


@pytest.mark.parametrize("window", [{}, CAUSAL], ids=str)
@pytest.mark.parametrize("size", [64, 128])
def test_queries_behind_the_last_sequence(
    backend: Backend, size: int, window: dict[str, Any]
) -> None:
    """NaN where a packed batch is unused, among queries too, reaches nothing."""
    ends = [0, 100, 160]
    case = Case((1, 4, 2, 300, 300, size), q_offsets=ends, k_offsets=ends, window=window)
    inputs = Inputs(case, backend, "bfloat16")
    for x in inputs.arrays:
        x[:, :, 160:] = np.nan
    q, k, v, dy = (backend.from_numpy(x) for x in inputs.arrays)
    o, lse = backend.kernels.attention(q, k, v, inputs.options)
    grads = backend.kernels.attention_grad(dy, q, k, v, o, lse, inputs.options, False)
    for x in (o, *grads[:3]):
        assert np.isfinite(backend.to_numpy(x).astype(np.float64)[:, :, :160]).all()
    for x in grads[1:3]:
        assert (backend.to_numpy(x)[:, :, 160:] == 0).all()


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    "case",
    [
        Case((1, 4, 2, 200, 330, 64), window=CAUSAL),
        Case((1, 2, 1, 200, 330, 128), q_offsets=[0, 90, 200], k_offsets=[0, 150, 330]),
        Case((2, 2, 2, 130, 300, 128), "heads", k_lengths=[300, 177]),
        Case((2, 18, 6, 140, 90, 64), "heads", k_lengths=[90, 66], window=CAUSAL),
    ],
)
def test_same_bits_in_every_schedule(backend: Backend, dtype: str, case: Case) -> None:
    inputs, first = Inputs(case, backend, dtype), None
    q, k, v, dy = inputs.device
    for schedule in SCHEDULES:
        with scheduled(backend.device.type, schedule):
            o, lse = backend.kernels.attention(q, k, v, inputs.options)
            grads = backend.kernels.attention_grad(dy, q, k, v, o, lse, inputs.options, False)
        found = [backend.to_numpy(x).tobytes() for x in (o, lse, *grads[:3])]
        assert first is None or found == first, label(schedule)
        first = found
