"""Resampling: layers, errors by text, crops, and matrices that are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.nn.functional as F
from gpugrad import nn, ops
from gpugrad.errors import ArgumentError, DTypeError, GpugradError, ShapeError
from gpugrad.ops.tables import axis_table

IMAGE = (1, 4, 4, 4)


def zeros(*shape: int, **options: Any) -> gg.Tensor:
    return gg.zeros(*shape, **options)


ERRORS: list[tuple[Callable[[], Any], type[GpugradError], str]] = [
    (
        lambda: F.interpolate(zeros(*IMAGE)),
        ArgumentError,
        "interpolate: give size or scale_factor, one of them; got neither.",
    ),
    (
        lambda: F.interpolate(zeros(*IMAGE), 3, 2),
        ArgumentError,
        "interpolate: give size or scale_factor, one of them; got both.",
    ),
    (
        lambda: F.interpolate(zeros(2, 4, 4), 3, mode="bilinear"),
        ShapeError,
        "interpolate: mode 'bilinear' does not fit input (2, 4, 4) float32 on cpu of 1 spatial "
        "axes; these do: nearest, nearest-exact, area, linear.",
    ),
    (
        lambda: F.interpolate(zeros(4, 4), 3),
        ShapeError,
        "interpolate: input must be [N, C, spatial...] with one to three spatial axes",
    ),
    (
        lambda: F.interpolate(zeros(*IMAGE), 3, mode="cubic"),
        ArgumentError,
        "interpolate: mode must be one of nearest, nearest-exact, area, bicubic, linear, bilinear, "
        "trilinear; got 'cubic'.",
    ),
    (
        lambda: F.interpolate(zeros(*IMAGE), 3, align_corners=False),
        ArgumentError,
        "interpolate: align_corners is for linear, bilinear, trilinear and bicubic; mode is "
        "'nearest'.",
    ),
    (
        lambda: F.interpolate(zeros(*IMAGE), 3, antialias=True),
        ArgumentError,
        "interpolate: antialias is for bilinear and bicubic; mode is 'nearest'.",
    ),
    (
        lambda: F.interpolate(zeros(*IMAGE), (3, 3, 3)),
        ArgumentError,
        "interpolate: size=(3, 3, 3) has 3 entries for 2 spatial axes",
    ),
    (
        lambda: F.interpolate(zeros(*IMAGE), scale_factor=(2.0,)),
        ArgumentError,
        "interpolate: scale_factor=(2.0,) has 1 entries for 2 spatial axes",
    ),
    (
        lambda: F.interpolate(zeros(*IMAGE), scale_factor="2x"),
        DTypeError,
        "interpolate: scale_factor must be a number or 2 of them, got '2x'.",
    ),
    (
        lambda: F.interpolate(zeros(*IMAGE), scale_factor=0.1),
        ShapeError,
        "interpolate: scale_factor=0.1 leaves nothing of input (1, 4, 4, 4)",
    ),
    (
        lambda: F.interpolate(zeros(*IMAGE), 3, recompute_scale_factor=True),
        ArgumentError,
        "interpolate: recompute_scale_factor needs a scale_factor; got size alone.",
    ),
    (
        lambda: F.interpolate(zeros(1, 0, 4, 4), 3),
        ShapeError,
        "interpolate: only the batch may be empty; got (1, 0, 4, 4) float32",
    ),
    (lambda: F.interpolate(zeros(*IMAGE, dtype=gg.int64), 3), DTypeError, "interpolate"),
    (
        lambda: F.pixel_shuffle(zeros(1, 6, 2, 2), 2),
        ShapeError,
        "must be a multiple of upscale_factor^2 = 4; got 6.",
    ),
    (
        lambda: F.pixel_shuffle(zeros(4, 2), 2),
        ShapeError,
        "pixel_shuffle: input must be [..., C, H, W]; got (4, 2) float32",
    ),
    (
        lambda: F.pixel_shuffle(zeros(*IMAGE), 0),
        ArgumentError,
        "pixel_shuffle: the factor must be at least 1, got 0.",
    ),
    (
        lambda: F.pixel_unshuffle(zeros(1, 2, 3, 4), 2),
        ShapeError,
        "must be multiples of downscale_factor 2; got 3 and 4.",
    ),
    (
        lambda: F.unfold(zeros(1, 2, 3, 3), 4),
        ShapeError,
        "unfold: a window of kernel_size (4, 4) and dilation (1, 1) spans (4, 4), more than the "
        "image (3, 3) with padding (0, 0).",
    ),
    (lambda: F.unfold(zeros(2, 3), 2), ShapeError, "unfold: input must be a batch [N, C, H, W]"),
    (
        lambda: F.unfold(zeros(*IMAGE), 2, padding=-1),
        ArgumentError,
        "unfold: padding must not be negative, got -1.",
    ),
    (
        lambda: F.fold(zeros(1, 6, 4), (4, 4), 2, stride=2),
        ShapeError,
        "must be a multiple of kh kw = 4; got 6.",
    ),
    (
        lambda: F.fold(zeros(1, 8, 5), (4, 4), 2, stride=2),
        ShapeError,
        "fold: an image (4, 4) has 2 x 2 = 4 windows, but input (1, 8, 5) float32",
    ),
    (
        lambda: F.fold(zeros(8), (4, 4), 2),
        ShapeError,
        "fold: input must be [N, C kh kw, windows], or [C kh kw, windows] without a batch",
    ),
    (
        lambda: F.grid_sample(zeros(*IMAGE), zeros(1, 3, 3, 3)),
        ShapeError,
        "grid_sample: input [N, C, H, W] takes a grid [N, h, w, 2]",
    ),
    (
        lambda: F.grid_sample(zeros(*IMAGE), zeros(2, 3, 3, 2)),
        ShapeError,
        "grid_sample: input and grid must have one batch",
    ),
    (
        lambda: F.grid_sample(zeros(*IMAGE), zeros(1, 3, 3, 2), "linear"),
        ArgumentError,
        "grid_sample: mode must be bilinear, nearest or bicubic; got 'linear'.",
    ),
    (
        lambda: F.grid_sample(zeros(*IMAGE), zeros(1, 3, 3, 2), padding_mode="mirror"),
        ArgumentError,
        "grid_sample: padding_mode must be zeros, border or reflection; got 'mirror'.",
    ),
    (
        lambda: F.grid_sample(zeros(*IMAGE), zeros(1, 3, 3, 2, dtype=gg.float64)),
        DTypeError,
        "grid_sample: input and grid must have one dtype",
    ),
    (
        lambda: F.grid_sample(zeros(1, 2, 3, 3, 3), zeros(1, 3, 3, 3, 3), "bicubic"),
        ArgumentError,
        "grid_sample: bicubic is for images [N, C, H, W]",
    ),
    (
        lambda: F.affine_grid(zeros(2, 2, 2), (2, 3, 4, 4)),
        ShapeError,
        "affine_grid: theta must be [N, 2, 3] for size (N, C, H, W)",
    ),
    (
        lambda: ops.crop(zeros(*IMAGE), *[gg.tensor([0])] * 2, gg.tensor([0]), (2, 2)),
        ArgumentError,
        "crop: flip must be a tensor (1,) bool, got (1,) int64",
    ),
    (
        lambda: ops.crop(zeros(*IMAGE), *[gg.tensor([0])] * 2, gg.tensor([True]), (2, 2), "wrap"),
        ArgumentError,
        "crop: border must be zeros, replicate or reflect; got 'wrap'.",
    ),
]


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_errors_name_what_is_wrong(number: int) -> None:
    call, kind, text = ERRORS[number]
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)


def test_layers() -> None:
    x = gg.randn(2, 4, 6, 6)
    pairs = [
        (nn.Upsample(scale_factor=2), F.interpolate(x, scale_factor=2)),
        (nn.Upsample((3, 4), mode="bicubic"), F.interpolate(x, (3, 4), mode="bicubic")),
        (nn.UpsamplingNearest2d(size=9), F.interpolate(x, 9)),
        (
            nn.UpsamplingBilinear2d(scale_factor=2),
            F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True),
        ),
        (nn.PixelShuffle(2), F.pixel_shuffle(x, 2)),
        (nn.PixelUnshuffle(3), F.pixel_unshuffle(x, 3)),
        (nn.Unfold(2, stride=2), F.unfold(x, 2, stride=2)),
        (nn.Sequential(nn.Unfold(2, stride=2), nn.Fold(6, 2, stride=2)), x),
    ]
    for layer, expected in pairs:
        assert gg.equal(layer(x), expected), layer
    assert repr(nn.Upsample(scale_factor=2, mode="bilinear")) == (
        "Upsample(scale_factor=2.0, mode='bilinear')"
    )
    assert repr(nn.Upsample((3, 4))) == "Upsample(size=(3, 4), mode='nearest')"
    assert repr(nn.PixelShuffle(2)) == "PixelShuffle(upscale_factor=2)"
    assert repr(nn.Fold(6, 2)) == (
        "Fold(output_size=6, kernel_size=2, dilation=1, padding=0, stride=1)"
    )


def test_every_pixel_keeps_its_place() -> None:
    x = gg.arange(4.0).reshape(1, 1, 2, 2)
    assert F.interpolate(x, scale_factor=2)[0, 0].tolist() == [
        [0, 0, 1, 1],
        [0, 0, 1, 1],
        [2, 2, 3, 3],
        [2, 2, 3, 3],
    ]
    assert F.upsample(x, 1, mode="bilinear").item() == 1.5
    shuffled = F.pixel_shuffle(gg.arange(4.0).reshape(4, 1, 1), 2)
    assert gg.equal(shuffled, x[0]) and gg.equal(
        F.pixel_unshuffle(shuffled, 2).reshape(4), x.flatten()
    )


def test_crop_moves_and_mirrors() -> None:
    x = gg.arange(12).reshape(1, 1, 3, 4)
    here = (gg.tensor([1]), gg.tensor([-1]))
    assert ops.crop(x, *here, gg.tensor([False]), (2, 3))[0, 0].tolist() == [[0, 4, 5], [0, 8, 9]]
    mirrored = ops.crop(x, *here, gg.tensor([True]), (2, 3), "reflect")
    assert mirrored[0, 0].tolist() == [[5, 4, 5], [9, 8, 9]]
    assert mirrored.dtype == x.dtype and not mirrored.requires_grad


def test_matrices_are_kept_and_transposed() -> None:
    table = axis_table(5, 8, None, "linear", False)
    assert axis_table(5, 8, None, "linear", False) is table and table.transposed is table.transposed
    dense = np.zeros((8, 5))
    for o in range(8):
        for j in range(table.offsets[o], table.offsets[o + 1]):
            dense[o, table.index[j]] += table.weight[j]
    np.testing.assert_allclose(dense.sum(1), 1)
    back = table.transposed
    for i in range(5):
        terms = slice(back.offsets[i], back.offsets[i + 1])
        np.testing.assert_array_equal(dense[back.index[terms], i], back.weight[terms])
        assert (np.diff(back.index[terms]) > 0).all()  # the order of sums: o ascending


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_an_axis_that_keeps_its_length_is_copied(mode: str) -> None:
    x = gg.arange(4.0).reshape(1, 1, 1, 4)
    assert F.interpolate(x, scale_factor=(1, 1.2), mode=mode).flatten().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("padding", ["border", "reflection"])
def test_positions_that_are_no_numbers(padding: str) -> None:
    x = gg.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    grid = gg.tensor([[[[np.nan, 0.0], [np.inf, 0.0]]]])
    y = F.grid_sample(x, grid, padding_mode=padding, align_corners=False)
    assert y.flatten().tolist() == [2, 3 if padding == "border" else 2]


def test_flip_keeps_the_memory_format() -> None:
    x = gg.arange(24.0).reshape(1, 2, 3, 4).contiguous(memory_format=gg.channels_last)
    y = x.flip(-1)
    assert y.is_contiguous(memory_format=gg.channels_last)
    np.testing.assert_array_equal(y.numpy(), x.numpy()[..., ::-1])
