"""Images at another size: interpolation, shuffled pixels, crops.

Interpolation is one sparse matrix along each spatial axis (`ops.tables`); its gradient is the same
operation with the matrices transposed, so it can be differentiated any number of times.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from typing import Any

from .. import dtype as dtypes
from ..amp.autocast_mode import AUTOCAST
from ..autograd.function import Function, describe, mixed_devices
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..tensor import Tensor
from .convert import in_format_of
from .operands import check_tensor, demand_floating
from .tables import Table, axis_table
from .windows import per_axis

LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}
MODES: dict[str, tuple[int, ...]] = {
    "nearest": (1, 2, 3),
    "nearest-exact": (1, 2, 3),
    "area": (1, 2, 3),
    "bicubic": (2,),
    **{mode: (axes,) for mode, axes in LINEAR.items()},
}
"""The modes of `interpolate`, and how many spatial axes each is for."""


class Resample(Function):
    """y = W_k ... W_1 x, a matrix along each of some axes;  dx = W_1' ... W_k' dy.

    Between the axes values stay in the accumulation dtype; they are rounded once, at the end.
    """

    def forward(self, x: Any, tables: Sequence[tuple[int, Table]]) -> Any:
        self.tables = tables
        dtype, between = x.dtype, dtypes.accumulation(x.dtype)
        for i, (axis, table) in enumerate(tables):
            terms = table.on(self.backend, between)
            last = i == len(tables) - 1
            x = self.kernels.resample(x, *terms, axis, dtype if last else between)
        return x

    def backward(self, dy: Tensor) -> Any:
        tables = [(axis, table.transposed) for axis, table in reversed(self.tables)]
        return Resample.apply(dy, tables=tables)


def _scales(axes: int, scale_factor: Any) -> tuple[float, ...]:
    given = scale_factor if isinstance(scale_factor, Sequence) else (scale_factor,) * axes
    if len(given) != axes:
        raise ArgumentError(
            f"interpolate: scale_factor={scale_factor!r} has {len(given)} entries for {axes} "
            "spatial axes; give one for all or one for each."
        )
    try:
        return tuple([float(s) for s in given])
    except (TypeError, ValueError):
        raise DTypeError(
            f"interpolate: scale_factor must be a number or {axes} of them, got {scale_factor!r}."
        ) from None


def _sizes(
    x: Tensor, size: Any, scale_factor: Any, recompute: bool | None
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """(lengths of the result, scales that coordinates are to follow) of the spatial axes."""
    axes = x.ndim - 2
    if (size is None) == (scale_factor is None):
        given = "neither" if size is None else "both"
        raise ArgumentError(f"interpolate: give size or scale_factor, one of them; got {given}.")
    if size is not None:
        if recompute:
            raise ArgumentError(
                "interpolate: recompute_scale_factor needs a scale_factor; got size alone."
            )
        return per_axis("interpolate", "size", size, axes, 1), (None,) * axes
    scales = _scales(axes, scale_factor)
    out = tuple([floor(n * s) for n, s in zip(x.shape[2:], scales, strict=True)])
    if min(out) < 1:
        raise ShapeError(
            f"interpolate: scale_factor={scale_factor!r} leaves nothing of input {x.shape}: the "
            f"result would be {out}."
        )
    return out, (None,) * axes if recompute else scales


def _check_mode(x: Tensor, mode: str, align_corners: bool | None, antialias: bool) -> None:
    if mode not in MODES:
        raise ArgumentError(f"interpolate: mode must be one of {', '.join(MODES)}; got {mode!r}.")
    if not 3 <= x.ndim <= 5:
        raise ShapeError(
            "interpolate: input must be [N, C, spatial...] with one to three spatial axes; got "
            f"{describe(x)}."
        )
    if x.ndim - 2 not in MODES[mode]:
        fit = ", ".join(m for m, axes in MODES.items() if x.ndim - 2 in axes)
        raise ShapeError(
            f"interpolate: mode {mode!r} does not fit input {describe(x)} of {x.ndim - 2} spatial "
            f"axes; these do: {fit}."
        )
    if align_corners is not None and mode not in (*LINEAR, "bicubic"):
        raise ArgumentError(
            f"interpolate: align_corners is for linear, bilinear, trilinear and bicubic; mode is "
            f"{mode!r}."
        )
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ArgumentError(
            f"interpolate: antialias is for bilinear and bicubic; mode is {mode!r}."
        )
    if 0 in x.shape[1:]:
        raise ShapeError(f"interpolate: only the batch may be empty; got {describe(x)}.")


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """[N, C, in...] resampled to [N, C, size...] or [N, C, floor(in * scale_factor)...].

    mode: nearest, nearest-exact, area (any number of spatial axes), linear (one), bilinear, bicubic
    (two), trilinear (three). Result o lies at (o + 1/2) / scale - 1/2 of the input, or with
    align_corners at o (in - 1) / (out - 1); scale is out / in, or scale_factor where that was given
    (and not recompute_scale_factor). Bicubic is Keys's with a = -0.75 (Keys 1981). antialias widens
    the filter (and takes a = -0.5) where the image shrinks, as Pillow does. Floating dtypes.
    """
    if AUTOCAST.on:
        (input,) = AUTOCAST.cast("interpolate", input)
    x = check_tensor("interpolate", input)
    demand_floating("interpolate", x)
    _check_mode(x, mode, align_corners, antialias)
    sizes, scales = _sizes(x, size, scale_factor, recompute_scale_factor)
    kind = "linear" if mode in LINEAR else "cubic" if mode == "bicubic" else mode
    kind = f"{kind}-antialias" if antialias else kind
    tables = [
        (axis, axis_table(n, out, scale, kind, bool(align_corners)))
        for axis, n, out, scale in zip(range(2, x.ndim), x.shape[2:], sizes, scales, strict=True)
    ]
    # What shrinks goes first and what grows last: fewer values between.
    tables.sort(key=lambda each: each[1].rows / each[1].columns)
    return Resample.apply(x, tables=[t for t in tables if not t[1].identity] or tables[:1])


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """`interpolate` by its old name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` with mode="nearest", by its old name."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` with mode="bilinear" and align_corners=True, by its old name."""
    return interpolate(input, size, scale_factor, "bilinear", True)


def _shuffle_factor(name: str, input: Any, factor: int) -> tuple[Tensor, int]:
    x = check_tensor(name, input)
    if x.ndim < 3:
        raise ShapeError(f"{name}: input must be [..., C, H, W]; got {describe(x)}.")
    if factor < 1:
        raise ArgumentError(f"{name}: the factor must be at least 1, got {factor}.")
    return x, factor


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """y[..., c, h r + i, w r + j] = x[..., c r^2 + i r + j, h, w]: [..., C r^2, H, W] to
    [..., C, H r, W r], r = upscale_factor (Shi et al. 2016)."""
    x, r = _shuffle_factor("pixel_shuffle", input, upscale_factor)
    *batch, c, h, w = x.shape
    if c % (r * r):
        raise ShapeError(
            f"pixel_shuffle: the channels of input {describe(x)} must be a multiple of "
            f"upscale_factor^2 = {r * r}; got {c}."
        )
    n = len(batch)
    parts = x.reshape(*batch, c // (r * r), r, r, h, w)
    parts = parts.permute(*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return in_format_of(x, parts.reshape(*batch, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """The way back of `pixel_shuffle`: [..., C, H r, W r] to [..., C r^2, H, W]."""
    x, r = _shuffle_factor("pixel_unshuffle", input, downscale_factor)
    *batch, c, h, w = x.shape
    if h % r or w % r:
        raise ShapeError(
            f"pixel_unshuffle: height and width of input {describe(x)} must be multiples of "
            f"downscale_factor {r}; got {h} and {w}."
        )
    n = len(batch)
    parts = x.reshape(*batch, c, h // r, r, w // r, r)
    parts = parts.permute(*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return in_format_of(x, parts.reshape(*batch, c * r * r, h // r, w // r))


def crop(
    input: Tensor,
    top: Tensor,
    left: Tensor,
    flip: Tensor,
    size: Sequence[int],
    border: str = "zeros",
) -> Tensor:
    """y[n, :, i, j] = x[n, :, top[n] + i, left[n] + j], j from the right where flip[n].

    input [N, C, H, W] of any dtype, top and left int64 [N], flip bool [N]; the result is
    [N, C, *size]. Outside the images there are zeros, the nearest edge (border="replicate"), or
    their mirror, once ("reflect"). Not differentiable.
    """
    x = check_tensor("crop", input)
    if x.ndim != 4 or len(size) != 2 or min(size) < 0:
        raise ShapeError(
            f"crop: input must be [N, C, H, W] and size (h, w); got {describe(x)} and {size!r}."
        )
    if border not in ("zeros", "replicate", "reflect"):
        raise ArgumentError(f"crop: border must be zeros, replicate or reflect; got {border!r}.")
    places = (top, left, flip)
    for label, t, dtype in zip(
        ("top", "left", "flip"), places, (dtypes.int64, dtypes.int64, dtypes.bool_), strict=True
    ):
        if not isinstance(t, Tensor) or t.dtype != dtype or t.shape != x.shape[:1]:
            got = describe(t) if isinstance(t, Tensor) else type(t).__name__
            raise ArgumentError(
                f"crop: {label} must be a tensor {x.shape[:1]} {dtypes.name(dtype)}, got {got}."
            )
        if t.backend is not x.backend:
            raise DeviceError(mixed_devices("crop", (x, *places)))
    height, width = (int(n) for n in size)
    arrays = (x.array, top.array, left.array, flip.array)
    return Tensor(x.backend.kernels.crop(*arrays, (height, width), border), x.backend)
