"""gather and scatter by index arrays of which some count evenly along an axis, as those of `gather`
and `scatter_add` along a dim do: _cpu does not read them, and goes through the rest in the order
that suits memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from contract_tools import LAYOUTS, check, place, random, values
from scatter_tools import JOINS, hold_join, joined_values, place_indices

from gpugrad.backends import Backend, reference
from gpugrad.backends.cpu_native import NATIVE
from gpugrad.errors import IndexOutOfRangeError


def even(n: int, start: int, step: int, axis: int, shape: tuple[int, ...]) -> np.ndarray:
    """start, start + step, ... along an axis: a view of n numbers."""
    line = start + step * np.arange(n)
    return np.broadcast_to(line.reshape((-1, *[1] * (len(shape) - axis - 1))), shape)


def random_index(n: int, shape: tuple[int, ...], low: int | None = None) -> np.ndarray:
    return np.asarray(random(9).integers(-n if low is None else low, n, shape))


# name -> (shape of x, index arrays). Lengths are beyond a run of 1024 here and there, below 8 and
# 16 elsewhere; most positions meet others.
EVEN = {
    "along_last": ((5, 70), [even(5, 0, 1, 0, (5, 90)), random_index(70, (5, 90))]),
    "along_first": ((7, 90), [random_index(7, (40, 90)), even(90, 0, 1, 1, (40, 90))]),
    "along_middle": (
        (4, 30, 20),
        [
            even(4, 0, 1, 0, (4, 25, 20)),
            random_index(30, (4, 25, 20)),
            even(20, 0, 1, 2, (4, 25, 20)),
        ],
    ),
    "long_runs": ((2, 9), [even(2, 0, 1, 0, (2, 2500)), random_index(9, (2, 2500), 0)]),
    "short_runs": ((300, 6), [even(300, 0, 1, 0, (300, 4)), random_index(6, (300, 4))]),
    "many_columns": ((3, 2100), [random_index(3, (5, 2100)), even(2100, 0, 1, 1, (5, 2100))]),
    "backwards": ((9, 12), [even(9, -1, -1, 0, (9, 8)), random_index(12, (9, 8))]),
    "negative": ((9, 12), [even(4, -4, 1, 0, (4, 8)), random_index(12, (4, 8))]),
    "across_zero": ((9, 12), [even(6, -3, 1, 0, (6, 8)), random_index(12, (6, 8))]),
    "every_second": ((9, 12), [even(4, 1, 2, 0, (4, 8)), random_index(12, (4, 8))]),
    "one_place": ((9, 12), [np.broadcast_to(np.array(-2), (40,)), random_index(12, (40,))]),
    "diagonal": ((12, 12, 3), [even(12, 0, 1, 0, (12,)), even(12, 11, -1, 0, (12,))]),
    "repeated": ((6, 5), [np.broadcast_to(random_index(6, (7, 1)), (7, 30))]),
    "turned": ((6,), [random_index(6, (3, 20)).T]),
    "alone": ((50, 40), [np.arange(49, 9, -2)]),
    "rows_of_5": ((40, 5), [random_index(40, (3000,))]),
    "rows_of_3": ((40, 3), [random_index(40, (3000,), 0)]),
    "long_rows": ((6, 3000), [random_index(6, (20,))]),
    "empty": ((4, 3), [even(4, 0, 1, 0, (4, 0)), random_index(3, (4, 0))]),
    "no_columns": ((4, 3, 0), [even(4, 0, 1, 0, (4, 5)), random_index(3, (4, 5))]),
}


def gather(backend: Backend, x: Any, indices: Any) -> Any:
    """By the native module: on the CPU, NumPy gathers what is small."""
    return (NATIVE if backend.device.type == "cpu" else backend.kernels).gather(x, indices)


@pytest.mark.parametrize("case", EVEN)
@pytest.mark.parametrize("dtype", ["bool", "int16", "bfloat16", "float32", "float64"])
def test_gather_counts_evenly(backend: Backend, dtype: str, case: str) -> None:
    shape, indices = EVEN[case]
    for layout in LAYOUTS:
        x, numpy = place(backend, values(shape, dtype, 1), layout)
        got = gather(backend, x, place_indices(backend, indices))
        check(backend, got, reference.gather(numpy, indices))


@pytest.mark.parametrize("case", EVEN)
@pytest.mark.parametrize("dtype", ["bool", "int64", "float16", "float32"])
@pytest.mark.parametrize("name", ["set", *JOINS])
def test_scatter_counts_evenly(backend: Backend, name: str, dtype: str, case: str) -> None:
    """Positions that may meet do so in order, whatever order suits memory."""
    shape, indices = EVEN[case]
    new_shape = indices[0].shape + shape[len(indices) :]
    x, new = joined_values(name, shape, dtype, 1), joined_values(name, new_shape, dtype, 2)
    for layouts in (
        ("contiguous", "transposed"),
        ("transposed", "reversed"),
        ("strided", "broadcast"),
    ):
        hold_join(backend, name, x, indices, new, layouts)


@pytest.mark.parametrize(
    "case", ["along_last", "along_first", "repeated", "rows_of_3", "rows_of_5", "turned"]
)
def test_scatter_adds_in_order_beside_even_indices(backend: Backend, case: str) -> None:
    """Sums in float32, term after term: the bits say whether their order is row-major.

    Up to 32 terms of one place, which every device adds one after the other.
    """
    shape, indices = EVEN[case]
    if case.startswith("rows"):
        indices = [i[:60] for i in indices]
    elif case == "repeated":
        indices = [i[:, :4] for i in indices]
    new = np.exp2(values(indices[0].shape + shape[len(indices) :], "float32", 3) * 12)
    new = (new * np.sign(values(new.shape, "float32", 4))).astype(np.float32)
    expected = np.zeros(shape, np.float32)
    reference.scatter("add", expected, indices, new)
    x = backend.from_numpy(np.zeros(shape, np.float32))
    backend.kernels.scatter("add", x, place_indices(backend, indices), backend.from_numpy(new))
    assert np.array_equal(backend.to_numpy(x), expected)


@pytest.mark.parametrize("name", JOINS)
def test_scatter_of_few_halves(backend: Backend, name: str) -> None:
    """Where x is much larger than what is joined."""
    for shape, count in (((1000, 3), 50), ((700, 40), 60), ((900,), 100), ((800, 1030), 9)):
        for dtype in ("float16", "bfloat16"):
            at = [np.concatenate([random_index(shape[0], (count,)), [3] * 5])]
            x, new = (joined_values(name, s, dtype, 5) for s in (shape, (count + 5, *shape[1:])))
            hold_join(backend, name, x, at, new, ("contiguous", "transposed"))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_gather_from_an_axis_on(backend: Backend, axis: int) -> None:
    """The axes before the indexed ones stay in front; in row-major order where the device can."""
    for count in range(1, 4 - axis):
        for index_shape in ((), (70,), (5, 8)):
            indices = [random_index(n, index_shape) for n in (6, 40, 9)[axis : axis + count]]
            x, numpy = place(backend, values((6, 40, 9), "float32"), LAYOUTS[axis])
            placed = tuple(backend.from_numpy(i) for i in indices)
            got = backend.kernels.gather(x, placed, axis)
            check(backend, got, numpy[(slice(None),) * axis + tuple(indices)])
            if backend.device.type == "cpu" and got.size >= 4096:
                assert got.flags.c_contiguous
    x = backend.from_numpy(values((2, 40, 90), "float32"))
    with pytest.raises(IndexOutOfRangeError, match=r"gather: index 40 is out of range"):
        backend.kernels.gather(x, (backend.from_numpy(np.array([0, 40] * 90)),), 1)
        backend.synchronize()


@pytest.mark.parametrize("bad", [9, -10, 1 << 62, -(1 << 60), (1 << 63) - 1])
@pytest.mark.parametrize(
    "case", ["along_last", "along_first", "long_runs", "backwards", "rows_of_3"]
)
def test_a_bad_index_beside_even_ones_writes_nothing(backend: Backend, case: str, bad: int) -> None:
    shape, indices = EVEN[case]
    for of in range(len(indices)):
        wrong = [i.copy() for i in indices]
        wrong[of].flat[-2] = bad if abs(bad) > 100 else np.sign(bad) * (shape[of] + 1)
        placed = tuple(backend.from_numpy(i) for i in wrong)
        before = values(shape, "float32")
        x = backend.from_numpy(before.copy())
        text = f"index .* out of range for axis {of} of length {shape[of]}"
        hold_refused(backend, x, placed, "add", text)
        if backend.device.type == "cpu":
            assert np.array_equal(backend.to_numpy(x), before)


def hold_refused(backend: Backend, x: Any, indices: tuple[Any, ...], name: str, text: str) -> None:
    """Neither gather nor scatter takes the indices."""
    __tracebackhide__ = True
    with pytest.raises(IndexOutOfRangeError, match=f"gather: {text}"):
        gather(backend, x, indices)
        backend.synchronize()
    with pytest.raises(IndexOutOfRangeError, match=f"scatter: {text}"):
        backend.kernels.scatter(name, x, indices, 1.0)
        backend.synchronize()


@pytest.mark.parametrize("start, step", [(1, 1), (-10, 1), (-2, -1), (0, 2), (8, -3)])
def test_indices_that_count_evenly_out_of_range(backend: Backend, start: int, step: int) -> None:
    """Nine of them, on an axis of nine."""
    line = start + step * np.arange(9)
    bad = line[(line < -9) | (line > 8)]
    other = random_index(12, line.shape)
    placed = (backend.from_numpy(line), backend.from_numpy(other))
    before = values((9, 12), "float32")
    x = backend.from_numpy(before.copy())
    text = f"index {bad[0]} is out of range for axis 0 of length 9"
    hold_refused(backend, x, placed, "set", text)
    if backend.device.type == "cpu":
        assert np.array_equal(backend.to_numpy(x), before)
