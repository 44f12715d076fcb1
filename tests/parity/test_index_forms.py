"""Random indices of every form, read and written by both libraries: results, places, gradients."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from running import cotangent

import gpugrad as gg

SHAPE = (4, 3, 5, 2)
TRIES = 400


def drawn(rng: random.Random) -> tuple[Any, ...]:
    """An index of up to four axes: ints, slices, None, Ellipsis, masks, lists, arrays, tensors."""
    index: list[Any] = []
    axis, dots = 0, False
    common = [rng.choice([(), (3,), (1,), (2, 3), (2, 1)]) for _ in range(2)]
    while axis < len(SHAPE) and rng.random() < 0.85:
        n, kind = SHAPE[axis], rng.choice("iisssnnemMabltT")
        if kind == "n":
            index.append(None)
            continue
        if kind == "e":
            if not dots:
                index.append(Ellipsis)
                axis, dots = axis + rng.randint(0, 1), True
            continue
        axis += 1
        if kind == "i":
            index.append(rng.randint(-n, n - 1))
        elif kind == "s":
            ends = [rng.choice([None, rng.randint(-n - 1, n + 1)]) for _ in range(2)]
            index.append(slice(*ends, rng.choice([None, 1, 2])))
        elif kind == "l":
            index.append([rng.randint(-n, n - 1) for _ in range(3)])
        elif kind in "abt":
            array = np.array([rng.randint(-n, n - 1) for _ in range(6)])
            shape = common[rng.randint(0, 1)]
            array = array[: int(np.prod(shape))].reshape(shape)
            index.append(array if kind == "a" and shape else torch.tensor(array))
        elif kind == "T":
            index.append(torch.tensor(rng.randint(-n, n - 1)))
        else:
            wide = 2 if kind == "M" and axis < len(SHAPE) and not dots else 1
            axis += wide - 1
            lengths = SHAPE[axis - wide : axis] if not dots else (n,)
            index.append(torch.tensor([rng.random() < 0.5 for _ in range(int(np.prod(lengths)))]))
            index[-1] = index[-1].reshape(lengths)
    return tuple(index)


def ours(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(ours(i) for i in index)
    return gg.tensor(index.numpy()) if isinstance(index, torch.Tensor) else index


def read(library: Any, x: Any, index: Any) -> list[np.ndarray]:
    y = x[index]
    found = [y.detach().numpy()]
    if y.numel():
        dy = library.tensor(cotangent(tuple(y.shape)))
        found.append(library.autograd.grad(y, x, dy)[0].numpy())
    return found


def written(library: Any, x: Any, index: Any, shape: tuple[int, ...]) -> list[np.ndarray]:
    """x with values at the index, and the gradients of both. Places are hit once: it is a set."""
    v = library.tensor(cotangent(shape)).requires_grad_()
    y = x * 1
    y[index] = v
    grads = library.autograd.grad(y, [x, v], library.tensor(cotangent(SHAPE)))
    return [y.detach().numpy(), *(g.numpy() for g in grads)]


def both(function: Any, index: Any, *more: Any) -> list[Any]:
    found = []
    for library, i in ((torch, index), (gg, ours(index))):
        x = library.tensor(cotangent(SHAPE)).requires_grad_()
        try:
            found.append(function(library, x, i, *more))
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            found.append(error)
    return found


def same(found: list[Any], index: Any) -> None:
    theirs, got = found
    if isinstance(theirs, Exception):
        assert isinstance(got, gg.errors.GpugradError), f"{index}: {got!r}, PyTorch {theirs!r}"
        return
    assert not isinstance(got, Exception), f"{index}: {got!r}"
    for a, b in zip(got, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12, err_msg=str(index))
        assert a.shape == b.shape


@pytest.mark.parametrize("seed", range(5))
def test_reading(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(TRIES):
        index = drawn(rng)
        same(both(read, index), index)


@pytest.mark.parametrize("seed", range(5))
def test_writing(seed: int) -> None:
    rng = random.Random(100 + seed)
    for _ in range(TRIES):
        index = drawn(rng)
        try:
            places = torch.arange(int(np.prod(SHAPE))).reshape(SHAPE)[index]
        except (IndexError, RuntimeError):
            continue
        if places.unique().numel() == places.numel():  # of duplicates PyTorch promises nothing
            same(both(written, index, tuple(places.shape)), index)
