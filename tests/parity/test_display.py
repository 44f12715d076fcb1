"""Tensors print as PyTorch's: the same text, but for the prefix of dtypes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import gpugrad as gg

FLOATS = {
    "plain": [0.5, -1.25, 3.0],
    "whole": [0.0, -1.0, 20.0],
    "whole_wide": [1.0, 20000.0],
    "whole_huge": [1e9, 3e9],
    "small": [1e-5, 2.5e-5],
    "wide": [1e-3, 2.0, 1500.25],
    "edge_of_wide": [1.0, 1000.0, 0.5],
    "zeros": [0.0, -0.0],
    "nonfinite": [np.nan, np.inf, -np.inf],
    "some_nonfinite": [np.nan, 1.0, -np.inf],
    "fraction_nonfinite": [np.nan, 1.5, np.inf],
    "subnormal": [1e-310, 1.0],
    "one": [1e-4],
    "third": [1 / 3],
}
SHAPES = [(), (1,), (7,), (40,), (3, 4), (2, 3, 4), (2, 1, 3, 2), (1001,), (1001, 1), (7, 200)]
SHAPES += [(3, 30, 30), (2, 700), (8, 1, 8, 20), (6, 6, 6, 6)]
DTYPES = ["float32", "float64", "int64", "int32", "uint8", "bool"]
EMPTY = [(0,), (0, 3), (2, 0, 3), (3, 0)]


def assert_same_text(ours: str, theirs: str) -> None:
    """Equal; the prefix of a dtype, which we leave out, may have broken PyTorch's last line."""
    if "torch." in theirs:
        theirs = theirs.replace("torch.", "")
        ours, theirs = (re.sub(r",\s+(?=[a-z_]+=)", ", ", text) for text in (ours, theirs))
    assert ours == theirs


def same(array: Any, requires_grad: bool = False, options: Any = None) -> None:
    theirs = torch.from_numpy(np.array(array)).requires_grad_(requires_grad)
    ours = gg.tensor(np.array(array), requires_grad=requires_grad)
    for library in (torch, gg):
        library.set_printoptions(profile="default")
        library.set_printoptions(**(options or {}))
    try:
        assert_same_text(repr(ours), repr(theirs))
        assert str(ours) == repr(ours)
    finally:
        for library in (torch, gg):
            library.set_printoptions(profile="default")


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_floats(name: str, dtype: Any) -> None:
    with np.errstate(over="ignore"):
        values = np.array(FLOATS[name]).astype(dtype)
    same(values)
    same(values[0])
    same(values, requires_grad=True)
    same(np.tile(values, 13))
    same(np.tile(values, (4, 5, 3)))


def arrays() -> Iterator[Any]:
    rng = np.random.default_rng(3)
    for shape, dtype in itertools.product(SHAPES, DTYPES):
        yield (rng.standard_normal(shape) * 10 ** rng.integers(0, 4)).astype(dtype)


@pytest.mark.parametrize("array", list(arrays()), ids=lambda a: f"{a.dtype}-{a.shape}")
def test_shapes(array: Any) -> None:
    same(array)
    if array.dtype.kind == "f":
        same(array, requires_grad=True)


@pytest.mark.parametrize("shape", EMPTY)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_empty(shape: Any, dtype: str) -> None:
    same(np.zeros(shape, dtype))


@pytest.mark.parametrize(
    "options",
    [
        {"precision": 2},
        {"precision": 0},
        {"threshold": 10},
        {"threshold": 10, "edgeitems": 1},
        {"linewidth": 30},
        {"linewidth": 200},
        {"sci_mode": True},
        {"sci_mode": False},
        {"profile": "short"},
        {"profile": "full"},
        {"profile": "short", "precision": 6},
        {"threshold": 5, "edgeitems": 0},
    ],
    ids=str,
)
def test_options(options: Any) -> None:
    rng = np.random.default_rng(4)
    for shape in [(), (5,), (30,), (4, 30), (3, 4, 30)]:
        same(rng.standard_normal(shape), options=options)
        same(rng.standard_normal(shape) * 1e5, True, options)
        same(rng.integers(-1000, 1000, shape), options=options)


def test_views_and_bfloat16() -> None:
    x = np.arange(24.0).reshape(4, 6)
    assert repr(gg.tensor(x).mT[::2]) == repr(torch.tensor(x).mT[::2]).replace("torch.", "")
    half = torch.tensor([0.1, 3.0]).bfloat16()
    assert repr(gg.tensor([0.1, 3.0]).bfloat16()) == repr(half).replace("torch.", "")


def test_default_dtype() -> None:
    try:
        gg.set_default_dtype(gg.float64)
        torch.set_default_dtype(torch.float64)
        same(np.ones(3))
        same(np.ones(3, np.float32))
    finally:
        gg.set_default_dtype(gg.float32)
        torch.set_default_dtype(torch.float32)


def test_parameters() -> None:
    ours = gg.nn.Parameter(gg.tensor([1.0, 2.0]))
    assert repr(ours) == repr(torch.nn.Parameter(torch.tensor([1.0, 2.0])))
