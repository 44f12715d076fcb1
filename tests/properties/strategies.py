"""What the property tests draw: shapes, memory layouts, dtypes, index expressions.

Every run draws the same examples (`derandomize`), without a database and without deadlines. Values
come from a drawn seed, as quarters of small whole numbers: sums and products of them are exact in
every floating dtype's accumulation, so results have one right answer.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import gpugrad as gg

DEVICES = ["cpu", "sim"]  # for what no GPU is needed for; the `device` fixture knows of one
DTYPES = list(gg.dtype.DTYPES)
FLOATING = [d for d in DTYPES if gg.is_floating(d)]
NUMBERS = [d for d in DTYPES if d != gg.dtype.bool_]
Shape = tuple[int, ...]


def examples(count: int) -> settings:
    """The settings of a property: `count` examples, the same in every run.

    GPUGRAD_TEST_EXAMPLES=20 makes it twenty times as many, for a search.
    """
    return settings(
        max_examples=count * int(os.environ.get("GPUGRAD_TEST_EXAMPLES", "1")),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def shapes(max_axes: int = 5, min_axes: int = 0, min_length: int = 0) -> st.SearchStrategy[Shape]:
    """Up to `max_axes` axes of 0 to 4 elements."""
    lengths = st.integers(min_length, 4)
    return st.lists(lengths, min_size=min_axes, max_size=max_axes).map(tuple)


@dataclass(frozen=True)
class Strided:
    """Values behind some strides. Each call of `array` and `tensor` lays them into new memory."""

    shape: Shape
    dtype: Any
    seed: int
    order: tuple[int, ...]  # of the axes in memory
    steps: tuple[int, ...]  # of each axis: 1, 2, -1, -2; 0 repeats its first element
    shift: int  # 0, or how far neighbours overlap: see `_view`

    def array(self) -> np.ndarray:
        """The values on the host, as a view of memory of its own."""
        return self._view(self._memory())

    def tensor(self, device: str) -> gg.Tensor:
        """A tensor with these values and strides."""
        return self.with_memory(device)[0]

    def with_memory(self, device: str) -> tuple[gg.Tensor, gg.Tensor]:
        """The tensor, and all of the memory that it is a view of."""
        backend = gg.backends.get(device)
        base = backend.from_numpy(self._memory())
        return gg.Tensor(self._view(base), backend), gg.Tensor(base, backend)

    def _memory(self) -> np.ndarray:
        """A row for overlapping windows, or an array that holds every second element of some."""
        rng = np.random.default_rng(self.seed)
        if self._overlaps():
            size = sum((n - 1) * s for n, s in zip(self.shape, self._windows(), strict=True)) + 1
            return draw_values(rng, (size,), self.dtype)
        each = zip(self.shape, self.steps, strict=True)
        lengths = [max(1, n * abs(s)) if n else 0 for n, s in each]
        return draw_values(rng, tuple(lengths[i] for i in self.order), self.dtype)

    def _view(self, base: Any) -> Any:
        """The same for arrays of any library."""
        if self._overlaps():
            strides = tuple(s * base.itemsize for s in self._windows())
            library = np if isinstance(base, np.ndarray) else importlib.import_module("cupy")
            return library.lib.stride_tricks.as_strided(base, self.shape, strides)
        view = base.transpose(np.argsort(self.order).tolist()) if self.order else base
        cut = tuple(slice(None, 1) if s == 0 else slice(None, None, s) for s in self.steps)
        view = view[cut] if cut else view
        return np.broadcast_to(view, self.shape) if 0 in self.steps else view

    def _overlaps(self) -> bool:
        return bool(self.shift and self.shape and 0 not in self.shape)

    def _windows(self) -> list[int]:
        return [1 + (self.shift * (i + 1)) % 3 for i in range(len(self.shape))]


def draw_values(rng: np.random.Generator, shape: Shape, dtype: Any) -> np.ndarray:
    """Quarters of whole numbers for floating dtypes, small whole numbers for others."""
    if dtype == gg.dtype.bool_:
        return np.asarray(rng.random(shape) < 0.5)
    low = 0 if dtype == gg.uint8 else -12
    values = rng.integers(low, 13, shape)
    return np.asarray(values / 4 if gg.is_floating(dtype) else values).astype(dtype)


@st.composite
def strided(
    draw: Any,
    shape: st.SearchStrategy[Shape] | Shape | None = None,
    dtypes: Sequence[Any] = DTYPES,
    writable: bool = False,
) -> Strided:
    """An operand; `writable`: no element of memory stands for two of the tensor."""
    of = shape if isinstance(shape, tuple) else draw(shapes() if shape is None else shape)
    steps = st.sampled_from([1, 1, 2, -1, -2] if writable else [1, 1, 2, -1, -2, 0])
    return Strided(
        of,
        draw(st.sampled_from(list(dtypes))),
        draw(st.integers(0, 1 << 16)),
        tuple(draw(st.permutations(range(len(of))))),
        tuple(0 if n > 0 and s == 0 else s or 1 for n in of for s in [draw(steps)]),
        0 if writable else draw(st.sampled_from([0, 0, 0, 1, 2])),
    )


@st.composite
def broadcasting(draw: Any, count: int, max_axes: int = 4) -> list[Shape]:
    """Shapes that broadcast together: each drops leading axes, or has length 1, where it likes."""
    whole = draw(shapes(max_axes))
    found = []
    for _ in range(count):
        kept = whole[draw(st.integers(0, len(whole))) :]
        found.append(tuple(1 if draw(st.booleans()) else n for n in kept))
    return found


@st.composite
def axes_of(draw: Any, ndim: int) -> tuple[int, ...]:
    """Some axes of a tensor, each counted from either end."""
    chosen = draw(st.sets(st.integers(0, ndim - 1))) if ndim else set()
    return tuple(i - ndim if draw(st.booleans()) else i for i in sorted(chosen))


@st.composite
def basic_indices(draw: Any, shape: Shape) -> tuple[Any, ...]:
    """Ints, slices of any step, None, and at most one Ellipsis."""
    items: list[Any] = []
    for n in shape[: draw(st.integers(0, len(shape)))]:
        kind = draw(st.sampled_from(["int", "slice", "slice", "none", "all"]))
        if kind == "none":
            items.append(None)
        if kind == "int" and n:
            items.append(draw(st.integers(-n, n - 1)))
        elif kind == "slice":
            ends = st.none() | st.integers(-n - 1, n + 1)
            step = draw(st.sampled_from([None, 1, 2, 3, -1, -2]))
            items.append(slice(draw(ends), draw(ends), step))
        else:
            items.append(slice(None))
    if draw(st.booleans()):
        items.insert(draw(st.integers(0, len(items))), Ellipsis)
    return _fitting(items, shape)


def _fitting(items: list[Any], shape: Shape) -> tuple[Any, ...]:
    """The items with ints brought into range: an Ellipsis moves which axis they index."""
    used = sum(i is not None and i is not Ellipsis for i in items)
    found, axis = [], 0
    for item in items:
        if item is Ellipsis:
            axis += len(shape) - used
        elif item is not None:
            n = shape[axis]
            if isinstance(item, int):
                item = slice(None) if n == 0 else (item % n if item >= 0 else item % n - n)
            axis += 1
        found.append(item)
    return tuple(found)


@st.composite
def advanced_indices(draw: Any, shape: Shape) -> tuple[Any, ...]:
    """Slices, ints, None, integer arrays that broadcast, or one mask; for axes without length 0."""
    common = draw(shapes(2, 1, 1))
    items: list[Any] = []
    axis = 0
    while axis < len(shape) and draw(st.integers(0, 4)):
        n = shape[axis]
        kind = draw(st.sampled_from(["array", "array", "slice", "int", "none", "mask"]))
        if kind == "none":
            items.append(None)
            continue
        if kind == "mask" and not any(isinstance(i, np.ndarray) for i in items):
            rng = np.random.default_rng(draw(st.integers(0, 999)))
            items.append(rng.random(shape[axis : axis + draw(st.integers(1, 2))]) < 0.6)
            axis += items[-1].ndim
            items += [slice(None, None, 2)] * (axis < len(shape))
            break
        if kind == "array":
            own = common[draw(st.integers(0, len(common) - 1)) :]
            rng = np.random.default_rng(draw(st.integers(0, 999)))
            items.append(rng.integers(-n, n, own))
        elif kind == "int":
            items.append(draw(st.integers(-n, n - 1)))
        else:
            items.append(slice(None, None, draw(st.sampled_from([None, 2, -1]))))
        axis += 1
    return tuple(items)


def split_index(items: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """An index as two: basic items first, then arrays. NumPy counts ints beside arrays as arrays;
    PyTorch, and we, do not."""
    basic: list[Any] = []
    arrays: list[Any] = []
    for item in items:
        if isinstance(item, np.ndarray):
            width = item.ndim if item.dtype == bool else 1
            basic += [slice(None)] * width
            arrays.append(item)
        else:
            basic.append(item)
            if not isinstance(item, int):
                arrays.append(slice(None))
    return tuple(basic), tuple(arrays)


def on(like: gg.Tensor | str, values: Any) -> gg.Tensor:
    """An array as a tensor on a device, or on that of another tensor."""
    backend = gg.backends.get(like) if isinstance(like, str) else like.backend
    return gg.Tensor(backend.from_numpy(np.asarray(values)), backend)


def host(x: gg.Tensor) -> np.ndarray:
    """A tensor's values on the host."""
    return np.asarray(x.backend.to_numpy(x.array))


def wide(x: np.ndarray) -> np.ndarray:
    """float64 or int64, in which the reference computes."""
    return x.astype(np.float64 if gg.is_floating(x.dtype) else np.int64)


def assert_result(y: gg.Tensor, expected: Any, dtype: Any, roundings: float = 0) -> None:
    """Shape and dtype, and each value within `roundings` of the dtype's epsilon of `expected`,
    which was computed in float64; integers and bool exactly."""
    expected = np.asarray(expected)
    assert y.dtype == dtype, f"{y.dtype} instead of {dtype}"
    assert tuple(y.shape) == expected.shape, f"{tuple(y.shape)} instead of {expected.shape}"
    got = host(y)
    if not gg.is_floating(dtype):
        np.testing.assert_array_equal(got, expected.astype(dtype))
        return
    epsilon = float(gg.finfo(dtype).eps)
    with np.errstate(all="ignore"):
        rounded = expected.astype(dtype).astype(np.float64)
        tiny = roundings * float(gg.finfo(dtype).tiny)
        np.testing.assert_allclose(
            got.astype(np.float64), rounded, rtol=roundings * epsilon, atol=tiny, equal_nan=True
        )
