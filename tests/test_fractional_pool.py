"""Fractional max pooling: sizes, windows, indices, mistakes."""

from __future__ import annotations

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.nn.functional as F
from gpugrad import nn
from gpugrad.errors import ArgumentError, ShapeError


def test_windows_begin_where_the_samples_say() -> None:
    """For u = 0.5, in = 7, kernel = 2, out = 3: alpha = 2.5, starts 0, floor 3.75 - floor 1.25 = 2,
    and 5."""
    row = np.array([0.0, 1, 2, 9, 4, 5, 8])
    x = gg.tensor(np.broadcast_to(row, (1, 1, 2, 7)).copy())
    u = gg.full((1, 1, 2), 0.5, dtype=gg.float64)
    y, at = F.fractional_max_pool2d(x, (2, 2), (1, 3), return_indices=True, _random_samples=u)
    assert y.tolist() == [[[[1.0, 9.0, 8.0]]]] and at.tolist() == [[[[1, 3, 6]]]]


def test_sizes_and_draws() -> None:
    gg.manual_seed(0)
    x = gg.randn(2, 3, 11, 8, requires_grad=True)
    layer = nn.FractionalMaxPool2d(2, output_ratio=(0.5, 0.7), return_indices=True)
    y, at = layer(x)
    assert y.shape == (2, 3, 5, 5) and at.dtype == gg.int64
    taken = x.flatten(2).gather(2, at.flatten(2)).reshape(y.shape)
    assert gg.equal(taken, y)
    y.sum().backward()
    assert 0 < x.grad.sum().item() == y.numel()
    assert not gg.equal(layer(x)[0], y)  # other steps
    assert nn.FractionalMaxPool3d((1, 2, 2), 3)(gg.randn(2, 4, 5, 6)).shape == (2, 3, 3, 3)
    assert F.fractional_max_pool2d(gg.ones(1, 4, 4), 2, 3).shape == (1, 3, 3)
    assert F.max_pool2d_with_indices(gg.ones(1, 4, 4), 2)[1].tolist() == [[[0, 2], [8, 10]]]
    assert repr(nn.FractionalMaxPool2d(3, 2)) == "FractionalMaxPool2d(kernel_size=3, output_size=2)"


def test_mistakes() -> None:
    x = gg.ones(1, 1, 4, 4)
    for call, kind, text in [
        (lambda: F.fractional_max_pool2d(x, 2), ArgumentError, "give one of output_size and"),
        (lambda: nn.FractionalMaxPool2d(2, 2, 0.5), ArgumentError, "give one of output_size and"),
        (lambda: nn.FractionalMaxPool2d(2, output_ratio=2), ArgumentError, "output_ratio=2"),
        (lambda: F.fractional_max_pool2d(x, 2, 4), ShapeError, "do not fit into"),
        (lambda: F.fractional_max_pool2d(x[0, 0], 2, 2), ShapeError, "must have 4 axes, or 3"),
        (
            lambda: F.fractional_max_pool2d(x, 2, 2, _random_samples=gg.zeros(1, 1)),
            ShapeError,
            r"must be \(1, 1, 2\) float32",
        ),
    ]:
        with pytest.raises(kind, match=text):
            call()
