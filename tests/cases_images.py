"""The cases of images: convolution, pooling, padding, normalisation, resampling.

Imported at the end of cases.py, whose list they join.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cases import case, family, functional
from inputs import Sample, distinct, normal, positive

# ---- convolution -------------------------------------------------------------------------------

family("convolution")


def conv(label: str, inputs: Sequence[Sample], name: str = "", **options: Any) -> None:
    """A sum of at most 81 products, each rounded once: 2 * 81 epsilons hold any order."""
    bench = options.pop("bench", ())
    case(label, functional(name or label, **options), inputs, rtol=162, bench=bench)


def channels_last(name: str, *arguments: Any, **options: Any) -> Callable[..., Any]:
    """f.name(x in channels-last memory, *others, *arguments, **options)."""
    return lambda t, f, x, *others: getattr(f, name)(
        x.to(memory_format=t.channels_last), *others, *arguments, **options
    )


IMAGE = [(1, 2, 4, 5), (3, 2, 3, 2), (3,)]
conv("conv1d", normal([(2, 3, 7), (4, 3, 3), (4,)], [(3, 9), (2, 3, 2), (2,)]))
WINDOW_1D = {"stride": 2, "padding": 3, "dilation": 2, "groups": 2}
conv("conv1d_window", normal([(2, 4, 7), (6, 2, 3), (6,)]), "conv1d", **WINDOW_1D)
conv(
    "conv2d",
    normal(IMAGE, [(2, 9, 9, 8), (5, 9, 3, 3), (5,)], [(0, 2, 4, 5), (3, 2, 3, 2), (3,)]),
    bench=normal(
        [(64, 3, 32, 32), (32, 3, 3, 3), (32,)], [(32, 64, 28, 28), (64, 64, 3, 3), (64,)]
    ),
)
conv("conv2d_single", normal([(2, 4, 5), (3, 2, 3, 2), (3,)]), "conv2d", padding=1)
conv(
    "conv2d_window",
    normal(IMAGE, [(2, 3, 11, 10), (4, 3, 3, 3)]),
    "conv2d",
    stride=(2, 3),
    padding=(2, 1),
    dilation=(2, 1),
)
conv(
    "conv2d_stride",
    normal(
        [(1, 2, 5, 5), (3, 2, 3, 3)], [(2, 3, 8, 9), (4, 3, 3, 3)], [(1, 2, 6, 6), (3, 2, 1, 1)]
    ),
    "conv2d",
    stride=2,
    padding=1,
)
conv("conv2d_groups", normal([(1, 4, 4, 3), (6, 2, 2, 2), (6,)]), "conv2d", groups=2)
conv(
    "conv2d_depthwise",
    normal([(1, 3, 4, 5), (3, 1, 3, 3), (3,)], [(2, 3, 7, 7), (6, 1, 3, 3), (6,)]),
    "conv2d",
    padding=1,
    groups=3,
)
conv("conv2d_pointwise", normal([(2, 3, 3, 4), (5, 3, 1, 1), (5,)]), "conv2d")
conv(
    "conv2d_same",
    normal([(1, 2, 4, 5), (3, 2, 3, 2), (3,)]),
    "conv2d",
    padding="same",
    dilation=(1, 2),
)
case("conv2d_channels_last", channels_last("conv2d", padding=1), normal(IMAGE), rtol=162)
conv("conv3d", normal([(1, 2, 3, 4, 3), (2, 2, 2, 2, 2), (2,)]))
conv("conv3d_window", normal([(1, 2, 3, 4, 4), (2, 1, 2, 3, 2)]), "conv3d", padding=1, groups=2)
TRANSPOSED = {"stride": 2, "padding": 1, "output_padding": 1}
conv("conv_transpose1d", normal([(2, 3, 4), (3, 2, 3), (2,)], [(3, 5), (3, 2, 3)]), **TRANSPOSED)
conv("conv_transpose2d", normal([(1, 3, 3, 4), (3, 2, 3, 3), (2,)]), **TRANSPOSED)
conv(
    "conv_transpose2d_window",
    normal([(1, 4, 3, 4), (4, 2, 2, 3), (4,)]),
    "conv_transpose2d",
    stride=(1, 2),
    dilation=(2, 1),
    groups=2,
    bench=normal([(16, 64, 16, 16), (64, 32, 2, 2), (64,)]),
)
case(
    "conv_transpose2d_channels_last",
    channels_last("conv_transpose2d", stride=2),
    normal([(1, 3, 3, 4), (3, 2, 3, 3), (2,)]),
    rtol=162,
)
conv("conv_transpose3d", normal([(1, 2, 2, 3, 2), (2, 2, 2, 2, 2), (2,)]), **TRANSPOSED)

family("padding")
PADDED = normal((1, 2, 3, 4), (2, 3, 5, 4))
case("pad", functional("pad", (1, 2, 0, 3), value=0.5), PADDED)
case("pad_negative", functional("pad", (-1, 2, 1, -1, 1, 0)), PADDED)
for _name in ("reflect", "replicate", "circular"):
    case(f"pad_{_name}", functional("pad", (2, 1, 1, 2), mode=_name), PADDED)
    case(f"pad_{_name}_1d", functional("pad", (2, 1), mode=_name), normal((2, 2, 4), (3, 5)))
    case(f"pad_{_name}_3d", functional("pad", (1,) * 6, mode=_name), normal((1, 2, 2, 3, 2)))

# ---- pooling -----------------------------------------------------------------------------------

family("pooling")


def pool(label: str, inputs: Sequence[Sample], *arguments: Any, **more: Any) -> None:
    """A case named after its function, or the function's name and `_` and what is special."""
    name = label[: label.index("pool") + len("pool2d")]
    bench = more.pop("bench", ())
    case(label, functional(name, *arguments, **more), inputs, bench=bench)


PLANES = distinct((1, 2, 5, 6), (2, 3, 4, 4), (2, 7, 5), (0, 2, 4, 4))
LARGE = distinct((64, 64, 32, 32))
for _name in ("max_pool", "avg_pool"):
    pool(f"{_name}1d", distinct((2, 3, 7), (3, 8)), 3, 2, 1)
    pool(f"{_name}2d", PLANES, 2, bench=LARGE)
    pool(f"{_name}2d_window", PLANES, (3, 2), (2, 1), (1, 1))
    pool(f"{_name}2d_ceil", PLANES, 3, 2, 1, ceil_mode=True)
    case(f"{_name}2d_channels_last", channels_last(f"{_name}2d", 3, 2, 1), PLANES[:2])
    pool(f"{_name}3d", distinct((1, 2, 3, 4, 4), (2, 3, 3, 4)), 2, 1, 1)
pool("max_pool2d_dilated", PLANES, 2, 1, 1, dilation=(3, 2))
pool("avg_pool2d_uncounted", PLANES, 3, 2, 1, ceil_mode=True, count_include_pad=False)
pool("avg_pool2d_divisor", PLANES, 2, divisor_override=3)
for _name in ("avg", "max"):
    pool(f"adaptive_{_name}_pool1d", distinct((2, 3, 7), (3, 4)), 3)
    pool(f"adaptive_{_name}_pool2d", PLANES[:3], (3, 4), bench=LARGE)
    pool(f"adaptive_{_name}_pool2d_global", PLANES[:3], 1, bench=LARGE)
    pool(f"adaptive_{_name}_pool2d_kept", PLANES[:3], (None, 2))
    pool(f"adaptive_{_name}_pool3d", distinct((1, 2, 3, 4, 5)), (2, 3, 2))
for _name, _arguments in (
    ("max_pool2d", (3, 2, 1)),
    ("adaptive_max_pool2d", ((3, 4),)),
    ("max_pool3d", (2, 1)),
):
    case(
        f"{_name}_indices",
        lambda t, f, x, n=_name, a=_arguments: getattr(f, n)(x, *a, return_indices=True)[1],
        distinct((2, 2, 4, 5, 5)) if "3d" in _name else PLANES[:3],
        grad_order=0,
    )
case("lp_pool2d", functional("lp_pool2d", 2, 2), positive((1, 2, 4, 5)), rtol=64)
case(
    "max_unpool2d",
    lambda t, f, x: f.max_unpool2d(*f.max_pool2d(x, 2, return_indices=True), 2),
    distinct((1, 2, 4, 6)),
)

# ---- normalisation -----------------------------------------------------------------------------

family("normalisation")


def norm(label: str, function: Any, inputs: Sequence[Sample], **more: Any) -> None:
    """Statistics of at most 72 elements: two sums of so many terms, a root, and what follows.

    Their roundings weigh on every element, so 2 (2 * 72 + 16) epsilons hold any order.
    """
    case(label, function, inputs, rtol=320, **more)


AFFINE = normal([(4, 3, 2, 3), (3,), (3,)], [(6, 4), (4,), (4,)], [(3, 2, 5), (2,), (2,)])
ROWS = normal([(3, 5), (5,), (5,)], [(2, 3, 7), (7,), (7,)], [(0, 4), (4,), (4,)])
norm(
    "batch_norm",
    lambda t, f, x, w, b: f.batch_norm(x, None, None, w, b, True),
    AFFINE,
    bench=normal([(64, 64, 32, 32), (64,), (64,)]),
)
norm(
    "batch_norm_channels_last",
    lambda t, f, x, w, b: f.batch_norm(
        x.to(memory_format=t.channels_last), None, None, w, b, training=True
    ),
    AFFINE[:1],
)
norm("batch_norm_plain", lambda t, f, x: f.batch_norm(x, None, None, training=True), normal((6, 4)))
norm(
    "batch_norm_eval",
    lambda t, f, x, w, b: f.batch_norm(x, x.new_full((3,), 0.25), x.new_full((3,), 1.5), w, b),
    AFFINE[:1],
)
norm(
    "layer_norm",
    lambda t, f, x, w, b: f.layer_norm(x, (x.shape[-1],), w, b),
    ROWS,
    bench=normal([(4096, 1024), (1024,), (1024,)]),
)
norm("layer_norm_axes", functional("layer_norm", (3, 4), eps=1e-3), normal((2, 3, 4), (3, 4)))
norm(
    "rms_norm",
    lambda t, f, x, w: f.rms_norm(x, (x.shape[-1],), w, eps=1e-5),
    normal([(3, 5), (5,)], [(2, 3, 7), (7,)]),
    bench=normal([(4096, 1024), (1024,)]),
)
norm(
    "group_norm",
    lambda t, f, x, w, b: f.group_norm(x, 2, w, b),
    normal([(2, 4, 3, 3), (4,), (4,)], [(3, 6), (6,), (6,)], [(2, 2, 5), (2,), (2,)]),
    bench=normal([(16, 256, 32, 32), (256,), (256,)]),
)
norm("instance_norm", functional("instance_norm"), normal((2, 3, 4, 2), (2, 1, 6)))
norm(
    "local_response_norm",
    functional("local_response_norm", 3, alpha=0.5, beta=0.75, k=2.0),
    normal((2, 5, 3), (1, 4, 2, 3)),
)

# ---- resampling --------------------------------------------------------------------------------

family("resampling")


def resampled(label: str, inputs: Sequence[Sample], name: str = "interpolate", **more: Any) -> None:
    """Sums of at most 16 products of magnitude 2 at most: 64 epsilons hold any order."""
    options = {key: more.pop(key) for key in ("bench",) if key in more}
    case(label, functional(name, **more), inputs, rtol=64, **options)


LINES = normal((2, 3, 7), (1, 2, 5), (0, 2, 4))
FLAT = normal((2, 3, 5, 6), (1, 2, 7, 4))
SOLID = normal((1, 2, 3, 4, 3))
PHOTO = normal((16, 64, 56, 56))
for _name in ("nearest", "nearest-exact", "area"):
    _label = f"interpolate_{_name.replace('-', '_')}"
    resampled(f"{_label}_1d", LINES, size=4, mode=_name)
    resampled(f"{_label}_2d", FLAT, scale_factor=(2, 1.5), mode=_name, bench=PHOTO)
    resampled(f"{_label}_3d", SOLID, size=(2, 5, 3), mode=_name)
for _name, _images in (("linear", LINES), ("bilinear", FLAT), ("bicubic", FLAT)):
    for _options in ({"scale_factor": 2}, {"scale_factor": 0.6}, {"size": 9}):
        _label = f"interpolate_{_name}_{next(iter(_options))}_{next(iter(_options.values()))}"
        resampled(_label, _images, mode=_name, **_options)
        resampled(f"{_label}_aligned", _images, mode=_name, align_corners=True, **_options)
resampled("interpolate_trilinear", SOLID, size=(5, 3, 2), mode="trilinear")
for _name in ("bilinear", "bicubic"):
    resampled(f"interpolate_{_name}_bench", FLAT, size=(8, 3), mode=_name, bench=PHOTO)
    resampled(f"interpolate_{_name}_antialias", FLAT, size=(3, 2), mode=_name, antialias=True)
case(
    "interpolate_recomputed",
    functional("interpolate", scale_factor=1.7, mode="bilinear", recompute_scale_factor=True),
    FLAT,
    rtol=64,
)
case(
    "interpolate_channels_last",
    channels_last("interpolate", scale_factor=2, mode="bilinear"),
    FLAT,
    rtol=64,
)
case("pixel_shuffle", functional("pixel_shuffle", 2), normal((2, 8, 3, 2), (4, 1, 3)))
case("pixel_unshuffle", functional("pixel_unshuffle", 2), normal((2, 3, 4, 6), (1, 2, 2)))
case(
    "unfold",
    functional("unfold", (2, 3), dilation=(1, 2), padding=1, stride=2),
    normal((2, 3, 5, 6), (2, 4, 7), (0, 1, 4, 4)),
)
case("fold", functional("fold", (4, 5), (2, 3), padding=1, stride=2), normal((2, 12, 9), (6, 9)))


def sampled(label: str, images: Sequence[Sample], **options: Any) -> None:
    """Sums of 16 products, and positions scaled by 6: their roundings times the image's slope."""
    case(label, functional("grid_sample", **options), images, rtol=512)


# Standard normal positions: a third lie outside, and none on the lattice, where the kinks are.
PLACES = normal([(2, 2, 4, 5), (2, 3, 2, 2)])
SPACES = normal([(1, 2, 3, 4, 3), (1, 2, 3, 2, 3)])
for _padding in ("zeros", "border", "reflection"):
    for _aligned in (False, True):
        _label = f"{_padding}{'_aligned' if _aligned else ''}"
        _options: dict[str, Any] = {"padding_mode": _padding, "align_corners": _aligned}
        sampled(f"grid_sample_bilinear_{_label}", PLACES, mode="bilinear", **_options)
        sampled(f"grid_sample_bicubic_{_label}", PLACES, mode="bicubic", **_options)
        sampled(f"grid_sample_volume_{_label}", SPACES, mode="bilinear", **_options)
        sampled(f"grid_sample_nearest_{_label}", PLACES, mode="nearest", **_options)
case("affine_grid", functional("affine_grid", (2, 3, 4, 5), align_corners=False), normal((2, 2, 3)))
case(
    "affine_grid_volume",
    functional("affine_grid", (1, 2, 3, 4, 2), align_corners=True),
    normal((1, 3, 4)),
)
