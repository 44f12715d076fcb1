"""Diagonals, windows, rolls, order and placing on random shapes, strides and dtypes, by NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties.strategies import (
    DEVICES,
    DTYPES,
    NUMBERS,
    Strided,
    draw_values,
    examples,
    host,
    shapes,
    strided,
    wide,
)

import gpugrad as gg

pytestmark = pytest.mark.parametrize("device", DEVICES)
OFFSETS = st.integers(-3, 3)


def assert_same(y: gg.Tensor, expected: Any) -> None:
    got = host(y)
    assert got.shape == np.shape(expected) and got.dtype == np.asarray(expected).dtype
    np.testing.assert_array_equal(wide(got), wide(np.asarray(expected)))


@given(strided(shapes(4, 2)), OFFSETS, st.data())
@examples(150)
def test_diagonals(device: str, x: Strided, offset: int, data: Any) -> None:
    a, b = data.draw(st.permutations(range(len(x.shape))))[:2]
    array, tensor = x.array(), x.tensor(device)
    expected = array.diagonal(offset, a, b)
    assert_same(tensor.diagonal(offset, a, b), expected)
    v = draw_values(np.random.default_rng(x.seed + 1), expected.shape, x.dtype)
    changed = array.copy()
    np.moveaxis(changed, (a, b), (-2, -1))[
        ..., np.arange(v.shape[-1]) + max(-offset, 0), np.arange(v.shape[-1]) + max(offset, 0)
    ] = v
    assert_same(tensor.diagonal_scatter(gg.tensor(v, device=device), offset, a, b), changed)
    spread = gg.diag_embed(tensor, offset, a, -1)
    assert_same(spread.diagonal(offset, a, -1), array)
    assert wide(host(spread)).astype(bool).sum() == wide(array).astype(bool).sum()


@given(strided(shapes(4, 1)), st.integers(0, 4), st.integers(1, 3), st.data())
@examples(150)
def test_windows(device: str, x: Strided, size: int, step: int, data: Any) -> None:
    dim = data.draw(st.integers(0, len(x.shape) - 1))
    size = min(size, x.shape[dim])
    array = x.array()
    starts = range(0, x.shape[dim] - size + 1, step)
    parts = [np.moveaxis(array.take(range(i, i + size), dim), dim, -1) for i in starts]
    assert_same(x.tensor(device).unfold(dim, size, step), np.stack(parts, dim))


@given(strided(shapes(4, 1)), st.lists(st.integers(-9, 9), min_size=1, max_size=3), st.data())
@examples(150)
def test_rolls_turns_and_tiles(device: str, x: Strided, shifts: list[int], data: Any) -> None:
    axes = [data.draw(st.integers(-len(x.shape), len(x.shape) - 1)) for _ in shifts]
    array, tensor = x.array(), x.tensor(device)
    assert_same(tensor.roll(shifts, axes), np.roll(array, shifts, axes))
    assert_same(
        tensor.tile([abs(s) % 3 for s in shifts]), np.tile(array, [abs(s) % 3 for s in shifts])
    )
    if len(x.shape) > 1:
        a, b = data.draw(st.permutations(range(len(x.shape))))[:2]
        assert_same(tensor.rot90(shifts[0], (a, b)), np.rot90(array, shifts[0], (a, b)))


@given(strided(shapes(3, 1, 1)), st.data())
@examples(150)
def test_unique(device: str, x: Strided, data: Any) -> None:
    dim = data.draw(st.none() | st.integers(0, len(x.shape) - 1))
    array = x.array()
    found = x.tensor(device).unique(return_inverse=True, return_counts=True, dim=dim)
    expected = np.unique(wide(array), return_inverse=True, return_counts=True, axis=dim)
    assert_same(found[0], expected[0].astype(x.dtype))
    assert host(found[1]).reshape(-1).tolist() == expected[1].reshape(-1).tolist()
    assert host(found[2]).tolist() == expected[2].tolist()


@given(strided(shapes(3, 1)), st.data())
@examples(100)
def test_topk_and_kthvalue(device: str, x: Strided, data: Any) -> None:
    dim = data.draw(st.integers(0, len(x.shape) - 1))
    k = data.draw(st.integers(0, x.shape[dim]))
    array, largest = x.array(), data.draw(st.booleans())
    order = np.argsort(-wide(array) if largest else wide(array), dim, kind="stable")
    values, index = x.tensor(device).topk(k, dim, largest)
    assert_same(index, order.take(range(k), dim))
    assert_same(values, np.take_along_axis(array, order.take(range(k), dim), dim))
    if k and not largest:
        assert_same(x.tensor(device).kthvalue(k, dim).indices, order.take(k - 1, dim))


PLACING = ("index_add", "index_copy", "index_fill", "amax", "amin")


@pytest.mark.parametrize("in_place", [False, True], ids=["new", "in_place"])
@pytest.mark.parametrize("name", PLACING)
@given(strided(shapes(3, 1, 1), NUMBERS, writable=True), st.data())
@examples(60)
def test_placing_slices(device: str, name: str, in_place: bool, x: Strided, data: Any) -> None:
    dim = data.draw(st.integers(0, len(x.shape) - 1))
    rng = np.random.default_rng(x.seed + 2)
    at = rng.integers(0, x.shape[dim], data.draw(st.integers(0, 6)))
    shape = (*x.shape[:dim], len(at), *x.shape[dim + 1 :])
    v = draw_values(rng, shape, x.dtype)
    expected = x.array().copy()
    front, sources = np.moveaxis(expected, dim, 0), np.moveaxis(v, dim, 0)
    for i, source in zip(at, sources, strict=True):
        joins = {
            "index_add": lambda a, b: a + b,
            "index_copy": lambda a, b: b,
            "index_fill": lambda a, b: np.full_like(a, 3),
            "amax": np.maximum,
            "amin": np.minimum,
        }
        front[i] = joins[name](front[i], source)
    index, source = gg.tensor(at, device=device), gg.tensor(v, device=device)
    given_ = (dim, index, 3) if name == "index_fill" else (dim, index, source)
    if name in ("amax", "amin"):
        given_, name = (*given_, name), "index_reduce"
    y = x.tensor(device)
    result = getattr(y, name + "_" * in_place)(*given_)
    assert (result is y) == in_place
    assert_same(result, expected)


@given(strided(shapes(3, 1), DTYPES))
@examples(60)
def test_positions(device: str, x: Strided) -> None:
    array, tensor = x.array(), x.tensor(device)
    found = tensor.argwhere()
    assert_same(found, np.argwhere(wide(array)))
    if 0 not in x.shape:
        flat = gg.tensor(np.flatnonzero(wide(array)), device=device)
        places = gg.unravel_index(flat, x.shape)
        assert [host(p).tolist() for p in places] == host(found).T.tolist()
