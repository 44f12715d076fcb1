"""Chains of views, index expressions, joining and splitting: against NumPy's, and their gradients
against the number of times each element is seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from properties.strategies import (
    DTYPES,
    Strided,
    advanced_indices,
    assert_result,
    axes_of,
    basic_indices,
    draw_values,
    examples,
    host,
    on,
    shapes,
    split_index,
    strided,
    wide,
)

import gpugrad as gg

Step = tuple[Callable[[gg.Tensor], gg.Tensor], Callable[[np.ndarray], np.ndarray], str]


@st.composite
def view_steps(draw: Any, shape: tuple[int, ...]) -> list[Step]:
    """Up to four operations that move elements, ours and NumPy's, and what they are."""
    steps: list[Step] = []
    probe = np.empty(shape)
    for _ in range(draw(st.integers(1, 4))):
        step = draw(one_step(probe.shape))
        probe = step[1](probe)
        if probe.size > 4096:
            break
        steps.append(step)
    return steps


@st.composite
def one_step(draw: Any, shape: tuple[int, ...]) -> Step:
    n = len(shape)
    kinds = ["permute", "reshape", "flip", "expand", "unsqueeze", "squeeze", "index", "roll"]
    kind = draw(st.sampled_from([*kinds, "movedim", "flatten", "narrow", "diagonal"]))
    if kind == "permute":
        order = tuple(draw(st.permutations(range(n))))
        return lambda x: x.permute(order), lambda a: a.transpose(order), f"permute{order}"
    if kind == "reshape":
        new = draw(st.permutations(factors(math.prod(shape))))
        return lambda x: x.reshape(tuple(new)), lambda a: a.reshape(new), f"reshape{new}"
    if kind == "flip":
        axes = draw(axes_of(n))
        return lambda x: x.flip(axes), lambda a: np.flip(a, axes), f"flip{axes}"
    if kind == "expand":
        wider = (*draw(shapes(1)), *[draw(st.integers(1, 3)) if m == 1 else m for m in shape])
        return lambda x: x.expand(wider), lambda a: np.broadcast_to(a, wider), f"expand{wider}"
    if kind == "index":
        index = draw(basic_indices(shape))
        return lambda x: x[index], lambda a: a[index], f"[{index}]"
    if kind == "squeeze":
        ones = tuple(i for i, m in enumerate(shape) if m == 1)
        return lambda x: x.squeeze(), lambda a: np.squeeze(a, ones), "squeeze"
    return draw(axis_step(shape, kind if n else "unsqueeze"))


@st.composite
def axis_step(draw: Any, shape: tuple[int, ...], kind: str) -> Step:
    """Operations that take an axis."""
    n = len(shape)
    if kind == "unsqueeze":
        dim = draw(st.integers(-n - 1, n))
        return lambda x: x.unsqueeze(dim), lambda a: np.expand_dims(a, dim), f"unsqueeze{dim}"
    dim, other = (draw(st.integers(-n, n - 1)) for _ in range(2))
    if kind == "roll":
        by = draw(st.integers(-5, 5))
        return lambda x: x.roll(by, dim), lambda a: np.roll(a, by, dim), f"roll{by, dim}"
    if kind == "movedim":
        return (
            lambda x: x.movedim(dim, other), lambda a: np.moveaxis(a, dim, other),
            f"movedim{dim, other}",
        )  # fmt: skip
    if kind == "flatten":
        first, last = sorted((dim % n, other % n))
        new = (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])
        return lambda x: x.flatten(first, last), lambda a: a.reshape(new), f"flatten{first, last}"
    if kind == "diagonal" and n > 1 and dim % n != other % n:
        offset = draw(st.integers(-2, 2))
        return (
            lambda x: x.diagonal(offset, dim, other), lambda a: a.diagonal(offset, dim, other),
            f"diagonal{offset, dim, other}",
        )  # fmt: skip
    start = draw(st.integers(0, shape[dim]))
    length = draw(st.integers(0, shape[dim] - start))
    cut = [slice(None)] * n
    cut[dim] = slice(start, start + length)
    return lambda x: x.narrow(dim, start, length), lambda a: a[tuple(cut)], f"narrow{dim, start}"


def factors(size: int) -> list[int]:
    """Lengths that make `size`."""
    found = []
    for prime in (2, 3, 5, 7):
        while size and size % prime == 0:
            found.append(prime)
            size //= prime
    return [*found, size] if size != 1 else found


@st.composite
def chains(draw: Any, dtypes: Any) -> tuple[Strided, list[Step]]:
    x = draw(strided(shapes(4), dtypes))
    return x, draw(view_steps(x.shape))


def test_chains_of_views(device: str) -> None:
    @examples(150 if device == "cpu" else 30)
    @given(chains(DTYPES))
    def check(drawn: tuple[Strided, list[Step]]) -> None:
        x, steps = drawn
        y, expected = x.tensor(device), x.array()
        for ours, theirs, _ in steps:
            y, expected = ours(y), theirs(expected)
        assert_result(y, wide(np.asarray(expected)), x.dtype)

    check()


def counts(shape: tuple[int, ...], see: Callable[[np.ndarray], np.ndarray], dy: Any) -> np.ndarray:
    """The gradient of elements that are only moved: dy summed over where each is seen."""
    size = math.prod(shape)
    seen = np.asarray(see(np.arange(size).reshape(shape))).ravel()
    return np.bincount(seen, np.ravel(dy), minlength=size).reshape(shape)[...]


def test_gradients_of_chains(device: str) -> None:
    @examples(120 if device == "cpu" else 25)
    @given(chains([gg.float64]))
    def check(drawn: tuple[Strided, list[Step]]) -> None:
        x, steps = drawn
        leaf = x.tensor(device).requires_grad_()
        y = leaf
        for ours, _, _ in steps:
            y = ours(y)

        def see(a: np.ndarray) -> np.ndarray:
            for _, theirs, _ in steps:
                a = theirs(a)
            return a

        dy = np.random.default_rng(5).integers(-8, 9, tuple(y.shape)) / 4
        y.backward(on(leaf, dy), retain_graph=True)
        expected = counts(x.shape, see, dy)
        np.testing.assert_array_equal(host(leaf.grad), expected)
        y.backward(on(leaf, dy))
        np.testing.assert_array_equal(host(leaf.grad), 2 * expected)

    check()


def as_index(items: tuple[Any, ...], x: gg.Tensor) -> Any:
    """Arrays among the items as tensors on x's device."""
    found = tuple(on(x, i) if isinstance(i, np.ndarray) else i for i in items)
    return found[0] if len(found) == 1 else found


@st.composite
def indexed(draw: Any, dtypes: Any, writable: bool = False) -> tuple[Strided, tuple[Any, ...]]:
    if draw(st.booleans()):
        x = draw(strided(shapes(4), dtypes, writable))
        return x, draw(basic_indices(x.shape))
    x = draw(strided(shapes(4, 1, 1), dtypes, writable))
    return x, draw(advanced_indices(x.shape))


def test_getitem(device: str) -> None:
    @examples(200 if device == "cpu" else 40)
    @given(indexed(DTYPES))
    def check(drawn: tuple[Strided, tuple[Any, ...]]) -> None:
        x, items = drawn
        tensor = x.tensor(device)
        basic, arrays = split_index(items)
        expected = wide(x.array())[basic]
        if any(isinstance(i, np.ndarray) for i in arrays):
            expected = expected[arrays]
        assert_result(tensor[as_index(items, tensor)], expected, x.dtype)

    check()


def test_gradients_of_getitem(device: str) -> None:
    @examples(100 if device == "cpu" else 25)
    @given(indexed([gg.float64]))
    def check(drawn: tuple[Strided, tuple[Any, ...]]) -> None:
        x, items = drawn
        leaf = x.tensor(device).requires_grad_()
        basic, arrays = split_index(items)
        y = leaf[as_index(items, leaf)]
        dy = np.random.default_rng(7).integers(-8, 9, tuple(y.shape)) / 4
        y.backward(on(leaf, dy))

        def see(a: np.ndarray) -> np.ndarray:
            a = a[basic]
            return a[arrays] if any(isinstance(i, np.ndarray) for i in arrays) else a

        np.testing.assert_array_equal(host(leaf.grad), counts(x.shape, see, dy))

    check()


def test_setitem(device: str) -> None:
    """A number everywhere (a position may come twice), or for basic indices a broadcast tensor."""

    @examples(150 if device == "cpu" else 30)
    @given(indexed(DTYPES, writable=True), st.integers(0, 99))
    def check(drawn: tuple[Strided, tuple[Any, ...]], seed: int) -> None:
        x, items = drawn
        tensor, mirror = x.tensor(device), x.array()
        basic, arrays = split_index(items)
        value: Any = 1
        if not any(isinstance(i, np.ndarray) for i in arrays):
            part = mirror[basic]
            shape = np.shape(part)[seed % 2 :]
            value = draw_values(np.random.default_rng(seed), shape, x.dtype)
            mirror[basic] = value
            value = on(tensor, value)
        else:
            seen = np.arange(mirror.size).reshape(mirror.shape)[basic][arrays]
            mirror[np.isin(np.arange(mirror.size).reshape(mirror.shape), seen)] = 1
        tensor[as_index(items, tensor)] = value
        np.testing.assert_array_equal(host(tensor), mirror)

    check()


@st.composite
def parts_along(draw: Any) -> tuple[list[Strided], int]:
    shape = draw(shapes(4, 1))
    dim = draw(st.integers(0, len(shape) - 1))
    dtype = draw(st.sampled_from(DTYPES))
    found = []
    for _ in range(draw(st.integers(1, 4))):
        own = (*shape[:dim], draw(st.integers(0, 3)), *shape[dim + 1 :])
        found.append(draw(strided(own, [dtype])))
    return found, dim


def test_cat_and_split(device: str) -> None:
    @examples(80 if device == "cpu" else 20)
    @given(parts_along(), st.booleans())
    def check(drawn: tuple[list[Strided], int], from_end: bool) -> None:
        parts, dim = drawn
        axis = dim - len(parts[0].shape) if from_end else dim
        y = gg.cat([p.tensor(device) for p in parts], axis)
        expected = np.concatenate([wide(p.array()) for p in parts], axis)
        assert_result(y, expected, parts[0].dtype)
        lengths = [p.shape[dim] for p in parts]
        for back, p in zip(y.split(lengths, axis), parts, strict=True):
            assert_result(back, wide(p.array()), p.dtype)

    check()


def test_stack_and_unbind(device: str) -> None:
    @examples(60 if device == "cpu" else 15)
    @given(shapes(3), st.integers(1, 3), st.data())
    def check(shape: tuple[int, ...], count: int, data: Any) -> None:
        parts = [data.draw(strided(shape, [gg.float32])) for _ in range(count)]
        dim = data.draw(st.integers(-len(shape) - 1, len(shape)))
        y = gg.stack([p.tensor(device) for p in parts], dim)
        assert_result(y, np.stack([wide(p.array()) for p in parts], dim), gg.float32)
        for back, p in zip(y.unbind(dim), parts, strict=True):
            assert_result(back, wide(p.array()), gg.float32)

    check()


def test_gradients_of_writes(device: str) -> None:
    """y = 2 x; y[index] = v: the gradient of x has a hole where that of v is."""

    @examples(60 if device == "cpu" else 15)
    @given(indexed([gg.float64]), st.integers(0, 99))
    def check(drawn: tuple[Strided, tuple[Any, ...]], seed: int) -> None:
        x, items = drawn
        leaf = x.tensor(device).requires_grad_()
        v = gg.tensor(3.0, dtype=gg.float64, device=device).requires_grad_()
        y = leaf * 2
        y[as_index(items, leaf)] = v
        dy = np.random.default_rng(seed).integers(-8, 9, x.shape) / 4
        y.backward(on(leaf, dy))
        basic, arrays = split_index(items)
        seen = np.arange(math.prod(x.shape)).reshape(x.shape)[basic]
        if any(isinstance(i, np.ndarray) for i in arrays):
            seen = seen[arrays]
        hole = np.isin(np.arange(math.prod(x.shape)).reshape(x.shape), seen)
        np.testing.assert_array_equal(host(leaf.grad), np.where(hole, 0, 2 * dy))
        if np.unique(seen).size == np.size(seen):  # a position that comes twice is written once
            np.testing.assert_array_equal(host(v.grad), np.sum(dy, where=hole))

    check()
