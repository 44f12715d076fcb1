"""softmax and cross-entropy with their gradients, every device against the specification."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from contract_tools import FLOATING, LAYOUTS, check, epsilon, place, random_walk, values, wide

from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, reference
from gpugrad.errors import IndexOutOfRangeError

SHAPES = [(1,), (7,), (3, 5), (4, 3, 6), (2, 1), (3, 0), (0, 4), (5, 1500), (40, 33), (2, 9000)]
# Columns that stay in shared memory, and rows and columns too long for it.
SHAPES += [(300, 33), (2000, 3), (60000,)]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("dtype", FLOATING)
def test_softmax(backend: Backend, dtype: str, log: bool) -> None:
    for seed, shape in enumerate(SHAPES):
        for axis in range(len(shape)):
            layout = LAYOUTS[(seed + axis) % len(LAYOUTS)]
            x, numpy = place(backend, values(shape, dtype, seed, 4.0), layout)
            expected = reference.softmax(wide(numpy), axis, log)
            # log: an error of x - logsumexp x; else that error times y.
            size = np.abs(wide(numpy)).max(initial=1) + 10
            error = epsilon(dtype) * random_walk(shape[axis]) * size
            error = error if log else error * expected
            check(backend, backend.kernels.softmax(x, axis, log), expected, error, dtype)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("dtype", FLOATING)
def test_softmax_grad(backend: Backend, dtype: str, log: bool) -> None:
    for seed, shape in enumerate(SHAPES):
        for axis in range(len(shape)):
            y = reference.softmax(values(shape, dtype, seed), axis, log)
            layouts = LAYOUTS[(seed + axis) % 6], LAYOUTS[(seed + 2 * axis + 3) % 6]
            placed_y, y = place(backend, y, layouts[0])
            dy, numpy_dy = place(backend, values(shape, dtype, seed + 50), layouts[1])
            expected = reference.softmax_grad(wide(numpy_dy), wide(y), axis, log)
            magnitude = np.sum(np.abs(wide(numpy_dy)), axis=axis, keepdims=True)
            share = np.exp(wide(y)) if log else wide(y)
            error = (
                epsilon(dtype)
                * random_walk(shape[axis])
                * (np.abs(wide(numpy_dy)) * (1 if log else share) + magnitude * share)
            )
            got = backend.kernels.softmax_grad(dy, placed_y, axis, log)
            check(backend, got, expected, error, dtype)


@pytest.mark.parametrize("log", [False, True])
def test_softmax_extremes(backend: Backend, log: bool) -> None:
    """Large, infinite and NaN logits; a row of -infinity is NaN, as PyTorch has it."""
    rows = [
        [1e4, -1e4, 0.0, 1e4],
        [-np.inf, 0.0, 1.0, -np.inf],
        [np.nan, 0.0, 1.0, 2.0],
        [np.inf, 0.0, 1.0, 2.0],
        [-np.inf] * 4,
        [3e38, -3e38, 3e38, 0.0],
    ]
    x = np.array(rows, np.float32)
    got = backend.to_numpy(backend.kernels.softmax(backend.from_numpy(x), 1, log))
    expected = reference.softmax(x, 1, log)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def problem(
    shape: tuple[int, int, int], dtype: str, ignore_index: int, weighted: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Logits [N, C, L], targets [N, L] of which some are ignored, class weights."""
    n, classes, length = shape
    x = values(shape, dtype, 7, 3.0)
    target = np.random.default_rng(8).integers(0, classes, (n, length))
    target[np.random.default_rng(9).random((n, length)) < 0.2] = ignore_index
    weight = np.abs(values((classes,), "float64", 10)).astype(dtypes.accumulation(x.dtype))
    return x, target, weight if weighted else None


PROBLEMS = [(1, 1, 1), (7, 10, 1), (5, 3, 4), (2, 1000, 1), (33, 5, 17), (3, 5000, 2), (0, 4, 1)]
PROBLEMS += [(3, 4, 0), (1, 9001, 1)]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", FLOATING)
def test_cross_entropy(backend: Backend, dtype: str, weighted: bool, smoothing: float) -> None:
    for number, shape in enumerate(PROBLEMS):
        ignore_index = (-100, 0)[number % 2]
        x, target, weight = problem(shape, dtype, ignore_index, weighted)
        layout = LAYOUTS[number % 6]
        placed, x = place(backend, x, layout)
        device_weight = None if weight is None else backend.from_numpy(weight)
        options = (ignore_index, smoothing)
        got = backend.kernels.cross_entropy(
            placed, backend.from_numpy(target), device_weight, *options
        )
        wide_weight = None if weight is None else wide(weight)
        loss, lse, target_weight = reference.cross_entropy(wide(x), target, wide_weight, *options)
        result = dtypes.accumulation(x.dtype)
        size = np.abs(wide(x)).max(initial=1) + 10
        error = epsilon(dtype) * random_walk(shape[1]) * size
        heaviest = 1 if weight is None else weight.max(initial=1)
        check(backend, got[0], loss, error * heaviest, result)
        check(backend, got[1], lse, error, result)
        check(backend, got[2], target_weight.astype(result))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", FLOATING)
def test_cross_entropy_grad(backend: Backend, dtype: str, weighted: bool, smoothing: float) -> None:
    for number, shape in enumerate(PROBLEMS):
        x, target, weight = problem(shape, dtype, -100, weighted)
        placed, x = place(backend, x, LAYOUTS[(number + 2) % 6])
        result = dtypes.accumulation(x.dtype)
        lse = reference.cross_entropy(wide(x), target, None, -100, 0.0)[1].astype(result)
        dloss = values(target.shape, dtypes.name(result), 11)
        device_dloss, dloss = place(backend, dloss, LAYOUTS[(number + 5) % 6])
        spread = np.broadcast_to(backend.from_numpy(np.array(0.25, result)), target.shape)
        for device_d, d in ((device_dloss, dloss), (spread, np.full(target.shape, 0.25))):
            expected = reference.cross_entropy_grad(
                wide(d),
                wide(x),
                target,
                None if weight is None else wide(weight),
                wide(lse),
                -100,
                smoothing,
            )
            got = backend.kernels.cross_entropy_grad(
                device_d,
                placed,
                backend.from_numpy(target),
                None if weight is None else backend.from_numpy(weight),
                backend.from_numpy(lse),
                -100,
                smoothing,
            )
            size = (np.abs(wide(x)).max(initial=1) + 10) * (1 if weight is None else weight.max())
            # sum w enters in s / C sum w: its random walk is over C terms of mean weight.
            error = epsilon(dtype) * random_walk(shape[1]) * size * np.abs(wide(d))[:, None]
            check(backend, got, expected, np.broadcast_to(error, x.shape), dtype)


@pytest.mark.parametrize("bad", [5, -1, 1 << 40])
def test_cross_entropy_flags_a_bad_target(backend: Backend, bad: int) -> None:
    x = backend.from_numpy(values((4, 5, 1), "float32"))
    target = np.array([[0], [4], [bad], [1]])

    def compute() -> Any:
        y = backend.kernels.cross_entropy(x, backend.from_numpy(target), None, -100, 0.0)
        backend.synchronize()
        return y

    with pytest.raises(IndexOutOfRangeError, match=f"target {bad} is not one of the 5 classes"):
        compute()
    target[2] = -100
    compute()  # the flag was cleared
