"""Pooling beyond the case list: what it refuses, indices, sizes, memory formats, layers, dropout of
channels."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.nn.functional as F
from gpugrad import nn
from gpugrad.errors import ArgumentError, DTypeError, GpugradError, IndexOutOfRangeError, ShapeError

X = gg.zeros(2, 4, 5, 6)

REFUSED: dict[str, tuple[Callable[[], Any], type[GpugradError], str]] = {
    "rank": (
        lambda: F.max_pool2d(gg.zeros(5, 6), 2),
        ShapeError,
        "max_pool2d: input must be a batch [N, C, H, W] or a single image [C, H, W]; got (5, 6)",
    ),
    "too_small": (
        lambda: F.max_pool2d(X, (2, 7)),
        ShapeError,
        "max_pool2d: input (2, 4, 5, 6) gives the output size (2, 0), which is too small "
        "(kernel_size (2, 7), stride (2, 7), padding (0, 0), dilation (1, 1)).",
    ),
    "padding": (
        lambda: F.avg_pool2d(X, 3, padding=2),
        ArgumentError,
        "avg_pool2d: padding must be at most half the kernel size; got padding (2, 2), "
        "kernel_size (3, 3).",
    ),
    "padding_of_dilated": (
        lambda: F.max_pool2d(X, 2, padding=2, dilation=4),
        ArgumentError,
        "max_pool2d: padding must be at most half the kernel size",
    ),
    "negative_padding": (
        lambda: F.max_pool1d(X[0], 2, padding=-1),
        ArgumentError,
        "max_pool1d: padding must not be negative, got -1.",
    ),
    "kernel": (
        lambda: F.avg_pool3d(X, 0),
        ArgumentError,
        "avg_pool3d: kernel_size must be at least 1, got 0.",
    ),
    "stride": (
        lambda: F.max_pool2d(X, 2, stride=0),
        ArgumentError,
        "max_pool2d: stride must be at least 1, got 0.",
    ),
    "dilation": (
        lambda: F.max_pool2d(X, 2, dilation=0),
        ArgumentError,
        "max_pool2d: dilation must be at least 1, got 0.",
    ),
    "empty_plane": (
        lambda: F.avg_pool2d(gg.zeros(2, 4, 0, 6), 1),
        ShapeError,
        "avg_pool2d: every size of the input but the batch's must be at least 1; got (2, 4, 0, 6).",
    ),
    "divisor": (
        lambda: F.avg_pool2d(X, 2, divisor_override=0),
        ArgumentError,
        "avg_pool2d: divisor_override must be an integer other than 0, got 0.",
    ),
    "mean_of_integers": (
        lambda: F.avg_pool2d(X.int(), 2),
        DTypeError,
        "avg_pool2d: needs a floating tensor; got (2, 4, 5, 6) int32 on cpu.",
    ),
    "bool": (
        lambda: F.max_pool2d(X > 0, 2),
        DTypeError,
        "max_pool2d: needs a floating or integer tensor; got (2, 4, 5, 6) bool on cpu.",
    ),
    "adaptive_entries": (
        lambda: F.adaptive_avg_pool2d(X, (1, 2, 3)),
        ArgumentError,
        "adaptive_avg_pool2d: output_size (1, 2, 3) must have 2 entries, or be one number.",
    ),
    "adaptive_negative": (
        lambda: nn.AdaptiveMaxPool2d((-1, None))(X),
        ArgumentError,
        "adaptive_max_pool2d: output_size must not be negative",
    ),
    "adaptive_empty": (
        lambda: F.adaptive_avg_pool1d(gg.zeros(2, 3, 0), 2),
        ShapeError,
        "adaptive_avg_pool1d: every size of the input but the batch's must be at least 1",
    ),
    "unpool_dtype": (
        lambda: F.max_unpool2d(X, X, 2),
        DTypeError,
        "max_unpool2d: indices must be an int64 tensor, as return_indices=True gives.",
    ),
    "unpool_shape": (
        lambda: F.max_unpool2d(X, gg.zeros(2, 4, 5, 5, dtype=gg.int64), 2),
        ShapeError,
        "max_unpool2d: indices (2, 4, 5, 5) and input (2, 4, 5, 6) must agree.",
    ),
    "unpool_size": (
        lambda: F.max_unpool2d(X, X.long(), 2, output_size=(10, 14)),
        ArgumentError,
        "max_unpool2d: output_size (10, 14) does not belong to input (5, 6) with kernel_size "
        "(2, 2), stride (2, 2) and padding (0, 0): (10, 12) does, give or take less than the "
        "stride.",
    ),
    "unpool_index": (
        lambda: F.max_unpool2d(X, X.long() + 120, 2),
        IndexOutOfRangeError,
        "max_unpool2d: index 120 is none of the",
    ),
    "dropout_rank": (
        lambda: F.dropout2d(gg.zeros(3, 4)),
        ShapeError,
        "dropout2d: input must have 4 axes, or 3; got (3, 4) float32 on cpu.",
    ),
    "dropout_p": (
        lambda: nn.Dropout2d(1.5),
        ArgumentError,
        "Dropout2d(p=1.5): a probability lies between 0 and 1",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, kind, text = REFUSED[name]
    with pytest.raises(kind, match=re.escape(text)):
        call()


# ---- sizes and values --------------------------------------------------------------------------


def test_ceil_mode_drops_windows_that_start_in_the_padding_behind() -> None:
    """in 5, kernel 2, stride 3, padding 1: windows start at -1, 2 and 5; the last is no window.

    Without padding they start at 0 and 3; rounding up adds none that starts at 6.
    """
    x = gg.arange(5.0).reshape(1, 1, 5)
    assert F.max_pool1d(x, 2, 3, 1, ceil_mode=True).tolist() == [[[0, 3]]]
    assert F.avg_pool1d(x, 3, 2, ceil_mode=True).tolist() == [[[1, 3]]]
    assert F.avg_pool1d(x, 2, 2, ceil_mode=True).tolist() == [[[0.5, 2.5, 4]]]
    assert F.avg_pool1d(x, 2, 2).tolist() == [[[0.5, 2.5]]]


def test_indices_are_places_of_the_maxima() -> None:
    for shape, function, arguments in (
        ((2, 3, 7), F.max_pool1d, (3, 2, 1)),
        ((2, 3, 5, 6), F.max_pool2d, ((3, 2), (2, 1), (1, 0))),
        ((2, 3, 5, 6), F.adaptive_max_pool2d, ((3, 4),)),
        ((1, 2, 4, 5, 6), F.max_pool3d, (2, 2, 1)),
        ((2, 4, 5, 6), F.adaptive_max_pool3d, ((2, None, 3),)),
    ):
        x = gg.randn(*shape)
        y, index = function(x, *arguments, return_indices=True)
        assert index.dtype == gg.int64 and index.shape == y.shape
        lead = x.shape[: x.ndim - (3 if "3d" in function.__name__ else y.ndim - 2)]
        planes, places = x.reshape(*lead, -1), index.reshape(*lead, -1)
        np.testing.assert_array_equal(
            planes.gather(-1, places).numpy(), y.reshape(*lead, -1).numpy()
        )


def test_large_windows_have_wide_indices() -> None:
    """More than 256 taps do not fit the byte of small windows."""
    x = gg.zeros(1, 1, 20, 20)
    x[0, 0, 18, 17] = 1
    x.requires_grad_()
    y, index = F.max_pool2d(x, 20, return_indices=True)
    assert index.item() == 18 * 20 + 17
    y.sum().backward()
    assert x.grad[0, 0, 18, 17].item() == 1 and x.grad.sum().item() == 1


def test_nan_wins_and_the_first_of_equals() -> None:
    x = gg.tensor([[[1.0, gg.nan, 3.0, 2.0, 2.0, 2.0]]])
    y, index = F.max_pool1d(x, 3, return_indices=True)
    assert np.isnan(y.numpy()[0, 0, 0]) and y[0, 0, 1].item() == 2
    assert index.tolist() == [[[1, 3]]]


def test_lowest_values_are_not_taken_for_padding() -> None:
    x = gg.full((1, 1, 2, 2), -gg.inf)
    y, index = F.max_pool2d(x, 2, 2, 1, return_indices=True)
    assert np.isneginf(y.numpy()).all() and index.flatten().tolist() == [0, 1, 2, 3]


def test_integers() -> None:
    x = gg.arange(16).reshape(1, 1, 4, 4) - 8
    assert F.max_pool2d(x, 2).flatten().tolist() == [-3, -1, 5, 7]


def test_overlapping_windows_add_their_gradients_in_order() -> None:
    x = gg.zeros(1, 1, 5)
    x[0, 0, 2] = 1
    x.requires_grad_()
    F.max_pool1d(x, 3, 1).backward(gg.tensor([[[1.0, 10.0, 100.0]]]))
    assert x.grad.tolist() == [[[0, 0, 111, 0, 0]]]


def test_unpooling_undoes_pooling() -> None:
    x = gg.rand(2, 3, 6, 8) + 1
    y, index = nn.MaxPool2d(2, return_indices=True)(x)
    back = nn.MaxUnpool2d(2)(y, index)
    assert back.shape == x.shape
    kept = back.numpy() != 0
    assert kept.sum() == y.numel()
    np.testing.assert_array_equal(back.numpy()[kept], x.numpy()[kept])
    y, index = F.max_pool2d(x[:, :, :5, :7], 2, return_indices=True)
    assert F.max_unpool2d(y, index, 2, output_size=(5, 7)).shape == (2, 3, 5, 7)
    with pytest.raises(IndexOutOfRangeError, match="none of the 24 positions of an output"):
        F.max_unpool2d(y, index, 2)


def test_global_average() -> None:
    x = gg.randn(3, 4, 5, 6, dtype=gg.float64)
    expected = x.numpy().mean((2, 3), keepdims=True)
    np.testing.assert_allclose(nn.AdaptiveAvgPool2d(1)(x).numpy(), expected, atol=1e-15)


# ---- empty batches, memory, bits ---------------------------------------------------------------

LAYERS = [
    nn.MaxPool2d(3, 2, 1),
    nn.AvgPool2d(3, 2, 1),
    nn.AdaptiveAvgPool2d((2, 3)),
    nn.AdaptiveMaxPool2d((None, 2)),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_layers(layer: nn.Module) -> None:
    """Empty batches, memory formats of result and gradient, equal bits, single images."""
    empty = gg.zeros(0, 4, 7, 8, requires_grad=True)
    layer(empty).sum().backward()
    assert layer(empty).shape[0] == 0 and empty.grad.shape == empty.shape
    x = gg.rand(2, 4, 7, 8)
    plain = layer(x)
    assert plain.is_contiguous() and plain.view(2, -1).shape[0] == 2
    leaf = x.to(memory_format=gg.channels_last).requires_grad_()
    y = layer(leaf)
    assert y.is_contiguous(memory_format=gg.channels_last)
    # sums of at most 12 values below 1, in another order
    np.testing.assert_allclose(y.detach().numpy(), plain.numpy(), rtol=0, atol=12 * 2.0**-23)
    (dx,) = gg.autograd.grad(y, leaf, gg.ones_like(y))
    assert dx.is_contiguous(memory_format=gg.channels_last)
    (again,) = gg.autograd.grad(layer(leaf), leaf, gg.ones_like(y))
    assert dx.numpy().tobytes() == again.numpy().tobytes()
    np.testing.assert_array_equal(layer(x[0]).numpy(), plain[0].numpy())


def test_descriptions() -> None:
    assert repr(nn.MaxPool2d(2)) == (
        "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"
    )
    assert repr(nn.AvgPool1d(3, 2, 1)) == "AvgPool1d(kernel_size=3, stride=2, padding=1)"
    assert repr(nn.AdaptiveAvgPool2d((1, None))) == "AdaptiveAvgPool2d(output_size=(1, None))"
    assert repr(nn.MaxUnpool3d(2)) == "MaxUnpool3d(kernel_size=2, stride=2, padding=0)"


# ---- dropout of channels -----------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3])
def test_dropout_drops_whole_channels(n: int) -> None:
    layer = getattr(nn, f"Dropout{n}d")(0.25)
    x = gg.ones(50, 40, *[3] * n, requires_grad=True)
    y = layer(x)
    values = y.detach().numpy().reshape(50, 40, -1)
    assert set(np.unique(values)) == {np.float32(0), np.float32(1 / 0.75)}
    assert (values == values[..., :1]).all()
    assert abs((values[..., 0] == 0).mean() - 0.25) < 0.05  # 2000 draws: deviation 0.01
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
    assert layer.eval()(x) is x


def test_dropout_of_single_images() -> None:
    """[C, L] has channels in front; dropout2d takes three axes as [N, C, L], as PyTorch."""
    for function, shape, channels in (
        (F.dropout1d, (200, 4), 1),
        (F.dropout2d, (20, 30, 4), 2),
        (F.dropout3d, (200, 2, 2, 2), 1),
    ):
        y = function(gg.ones(*shape)).numpy().reshape(*shape[:channels], -1)
        assert (y == y[..., :1]).all() and 0 < (y == 0).mean() < 1


def test_lp_pool_of_zeros_has_gradient_zero() -> None:
    x = gg.zeros(1, 1, 2, 2, requires_grad=True)
    F.lp_pool2d(x, 2, 2).sum().backward()
    assert x.grad.tolist() == [[[[0, 0], [0, 0]]]]


@pytest.mark.parametrize("index", [-1, 4])
def test_max_unpool_refuses_indices(index: int) -> None:
    with pytest.raises(
        IndexOutOfRangeError, match=rf"max_unpool2d: index {index} is none of the 4"
    ):
        F.max_unpool2d(gg.ones(1, 1, 1, 1), gg.tensor([[[[index]]]]), 2)
