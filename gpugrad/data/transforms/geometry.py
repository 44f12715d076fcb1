"""Moving pixels of PIL images and tensors (..., C, H, W): cuts, borders, sizes, mirrors, turns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import gpugrad as gg
from gpugrad import dtype as dtypes
from gpugrad.data.transforms.images import (
    InterpolationMode,
    check_image,
    image_size,
    mode_of,
    pair,
    resampling,
)
from gpugrad.errors import ArgumentError, DTypeError, ShapeError
from gpugrad.ops.resample import interpolate
from gpugrad.tensor import Tensor

PADDING_MODES = ("constant", "edge", "reflect", "symmetric")


def hflip(img: Any) -> Any:
    """The image mirrored left to right."""
    from PIL import Image

    if check_image("hflip", img):
        return img.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return img.flip(-1)


def vflip(img: Any) -> Any:
    """The image mirrored top to bottom."""
    from PIL import Image

    if check_image("vflip", img):
        return img.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return img.flip(-2)


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """The part of height x width whose corner is (top, left); zero where it leaves the image."""
    if height < 1 or width < 1:
        raise ArgumentError(f"crop: height = {height}, width = {width}; both must be above 0.")
    if check_image("crop", img):
        return img.crop((left, top, left + width, top + height))
    h, w = img.shape[-2:]
    inside = img[..., max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    if 0 <= top <= h - height and 0 <= left <= w - width:
        return inside
    result = img.new_zeros((*img.shape[:-2], height, width))
    if inside.numel():
        y, x = max(-top, 0), max(-left, 0)
        result[..., y : y + inside.shape[-2], x : x + inside.shape[-1]] = inside
    return result


def center_crop(img: Any, output_size: int | Sequence[int]) -> Any:
    """The middle of the image; with a border of zeros where it is smaller."""
    height, width = pair("center_crop", "output_size", output_size)
    h, w = image_size("center_crop", img)
    if height > h or width > w:
        more_h, more_w = max(height - h, 0), max(width - w, 0)
        border = [more_w // 2, more_h // 2, (more_w + 1) // 2, (more_h + 1) // 2]
        img = pad(img, border)
        h, w = image_size("center_crop", img)
    return crop(img, round((h - height) / 2), round((w - width) / 2), height, width)


def pad(
    img: Any, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant"
) -> Any:
    """The image with a border.

    padding: one number for all sides, (left and right, top and bottom), or (left, top, right,
    bottom). fill: the colour of "constant", a number or one for each channel. "edge" repeats the
    last pixel, "reflect" mirrors without repeating it, "symmetric" with.
    """
    left, top, right, bottom = borders("pad", padding)
    check_padding_mode("pad", padding_mode)
    height, width = image_size("pad", img)
    if padding_mode == "reflect" and (max(left, right) >= width or max(top, bottom) >= height):
        raise ShapeError(
            f"pad: padding {(left, top, right, bottom)} with 'reflect' must be smaller than the "
            f"image, {height} x {width}."
        )
    if padding_mode == "constant":
        return _pad_constant(img, (left, top, right, bottom), fill)
    mode: Any = padding_mode  # NumPy has the same names
    rows = np.pad(np.arange(height), (top, bottom), mode)
    columns = np.pad(np.arange(width), (left, right), mode)
    if isinstance(img, Tensor):
        y, x = (gg.tensor(each, device=img.device) for each in (rows, columns))
        return img.index_select(-2, y).index_select(-1, x)
    return _rebuilt(img, np.asarray(img)[rows][:, columns])


def borders(name: str, padding: Any) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) from one, two or four numbers."""
    values = tuple(padding) if isinstance(padding, Sequence) else (padding,)
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in values)
    if len(values) not in (1, 2, 4) or not whole or min(values) < 0:
        raise ArgumentError(
            f"{name}: padding = {padding!r}; expected 1, 2 or 4 whole numbers, none negative: all "
            "sides, (horizontal, vertical), or (left, top, right, bottom)."
        )
    left, top, right, bottom = (values * 4)[:4] if len(values) < 4 else values
    return left, top, right, bottom


def check_padding_mode(name: str, mode: str) -> None:
    """Raises ArgumentError for an unknown one."""
    if mode not in PADDING_MODES:
        raise ArgumentError(
            f"{name}: padding_mode = {mode!r}; expected one of {', '.join(PADDING_MODES)}."
        )


def _pad_constant(img: Any, border: tuple[int, int, int, int], fill: Any) -> Any:
    from PIL import Image

    left, top, right, bottom = border
    height, width = image_size("pad", img)
    size = (height + top + bottom, width + left + right)
    if isinstance(img, Tensor):
        result = img.new_zeros((*img.shape[:-2], *size))
        result += filling(img, fill)
        result[..., top : top + height, left : left + width] = img
        return result
    picture = Image.new(img.mode, size[::-1], pil_fill(img, fill))
    if img.mode == "P":
        picture.putpalette(img.getpalette())
    picture.paste(img, (left, top))
    return picture


def filling(img: Tensor, fill: Any) -> Any:
    """A fill colour as what broadcasts over a tensor (..., C, H, W)."""
    if isinstance(fill, int | float):
        return fill
    values = np.asarray(fill).reshape(-1, 1, 1)
    if len(values) not in (1, img.shape[-3]):
        raise ShapeError(
            f"fill = {fill!r} has {len(values)} values; the image has {img.shape[-3]} channels."
        )
    return gg.tensor(values, dtype=img.dtype, device=img.device)


def pil_fill(img: Any, fill: Any) -> Any:
    """A fill colour as Pillow takes it: a number for one band, a tuple for several."""
    bands = len(img.getbands())
    values = tuple(fill) if isinstance(fill, Sequence) else (fill,)
    if len(values) == 1:
        values *= bands
    if len(values) != bands:
        raise ShapeError(f"fill = {fill!r} has {len(values)} values; a {img.mode} image {bands}.")
    if img.mode != "F":
        values = tuple(int(v) for v in values)
    return values[0] if bands == 1 else values


def _rebuilt(img: Any, array: np.ndarray[Any, Any]) -> Any:
    """A PIL image of the mode of `img` from an array of its pixels."""
    from PIL import Image

    if img.mode in ("1", "I", "I;16", "F", "L", "LA", "RGB", "RGBA"):
        return Image.fromarray(array)
    result = Image.frombytes(img.mode, array.shape[1::-1], np.ascontiguousarray(array).tobytes())
    if img.mode == "P":
        result.putpalette(img.getpalette())
    return result


# ---- sizes ---------------------------------------------------------------------------------------


def resized_size(
    height: int, width: int, size: int | Sequence[int], max_size: int | None
) -> tuple[int, int]:
    """What Resize makes of (height, width): `size` itself, or its shorter side `size`."""
    if isinstance(size, Sequence) and len(size) == 2:
        if max_size is not None:
            raise ArgumentError(f"resize: max_size = {max_size} needs a single size, not {size}.")
        return pair("resize", "size", size)
    short, _ = pair("resize", "size", size)
    if max_size is not None and max_size <= short:
        raise ArgumentError(f"resize: max_size = {max_size} must be above size = {short}.")
    low, high = min(height, width), max(height, width)
    new_low, new_high = short, int(short * high / low)
    if max_size is not None and new_high > max_size:
        new_low, new_high = int(max_size * new_low / new_high), max_size
    return (new_low, new_high) if height <= width else (new_high, new_low)


def resize(
    img: Any,
    size: int | Sequence[int],
    interpolation: Any = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """The image in another size.

    size: (height, width), or the length of the shorter side; the longer one keeps the proportion,
    and is at most max_size. antialias: tensors are smoothed while they shrink (PIL images always
    are). Tensors take nearest, bilinear and bicubic.
    """
    mode = mode_of("resize", interpolation)
    height, width = image_size("resize", img)
    target = resized_size(height, width, size, max_size)
    if target == (height, width):
        return img
    if not isinstance(img, Tensor):
        return img.resize(target[::-1], resampling(mode))
    if mode not in _TENSOR_MODES:
        known = ", ".join(each.name for each in _TENSOR_MODES)
        raise ArgumentError(f"resize: tensors take {known}, not {mode.name}.")
    options: dict[str, Any] = {"mode": mode.value}
    if mode is not InterpolationMode.NEAREST:
        options |= {"align_corners": False, "antialias": bool(antialias)}
    x = img.reshape((-1, *img.shape[-3:]))
    floating = dtypes.is_floating(x.dtype)
    y = interpolate(x if floating else x.to(dtypes.float32), size=target, **options)
    if not floating:
        y = y.round().clamp(0.0, float(np.iinfo(x.dtype).max))
    return y.to(x.dtype).reshape((*img.shape[:-2], *target))


_TENSOR_MODES = (
    InterpolationMode.NEAREST,
    InterpolationMode.BILINEAR,
    InterpolationMode.BICUBIC,
)


def resized_crop(
    img: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: int | Sequence[int],
    interpolation: Any = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> Any:
    """A part of the image, brought to (height, width) = size."""
    target = pair("resized_crop", "size", size)
    return resize(crop(img, top, left, height, width), target, interpolation, antialias=antialias)


# ---- turns ---------------------------------------------------------------------------------------


def rotate(
    img: Any,
    angle: float,
    interpolation: Any = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Any = 0,
) -> Any:
    """The image turned by `angle` degrees, counter-clockwise, around its middle or `center` (x, y).

    expand: make the image large enough to hold all of it (around its middle). Tensors take nearest
    only.
    """
    mode = mode_of("rotate", interpolation)
    if check_image("rotate", img):
        if mode.name not in ("NEAREST", "BILINEAR", "BICUBIC"):
            raise ArgumentError(f"rotate: takes NEAREST, BILINEAR or BICUBIC, not {mode.name}.")
        middle = None if center is None else tuple(center)
        colour = pil_fill(img, fill)
        return img.rotate(angle, resampling(mode), expand, middle, fillcolor=colour)
    if mode is not InterpolationMode.NEAREST:
        raise ArgumentError(
            f"rotate: tensors take NEAREST, not {mode.name}.\n  Rotate the PIL image instead."
        )
    return _rotate_tensor(img, angle, expand, center, fill)


def _rotate_tensor(
    img: Tensor, angle: float, expand: bool, center: Sequence[float] | None, fill: Any
) -> Tensor:
    """Each pixel from the nearest one at the place it came from, turned back by `angle`."""
    height, width = int(img.shape[-2]), int(img.shape[-1])
    quarters, rest = divmod(angle % 360, 90)
    if rest == 0 and center is None and (expand or height == width or quarters % 2 == 0):
        return _quarters(img, int(quarters))
    turn = math.radians(angle)
    cos, sin = round(math.cos(turn), 15), round(math.sin(turn), 15)  # exact for quarters
    middle = (width / 2, height / 2)
    cx, cy = middle if center is None else center
    new_h, new_w, ox, oy = height, width, cx, cy
    if expand:
        cx, cy = middle
        new_w = _extent(cx, width * cos / 2, height * sin / 2)
        new_h = _extent(cy, width * sin / 2, height * cos / 2)
        ox, oy = new_w / 2, new_h / 2
    y, x = np.meshgrid(np.arange(new_h) + 0.5 - oy, np.arange(new_w) + 0.5 - ox, indexing="ij")
    from_x = np.floor(cos * x - sin * y + cx).astype(np.int64)
    from_y = np.floor(sin * x + cos * y + cy).astype(np.int64)
    inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    at = np.where(inside, from_y * width + from_x, 0)
    flat = img.reshape((*img.shape[:-2], height * width))
    picked = flat.index_select(-1, gg.tensor(at.reshape(-1), device=img.device))
    picked = picked.reshape((*img.shape[:-2], new_h, new_w))
    colour = img.new_zeros((1, 1, 1)) + filling(img, fill)
    return gg.where(gg.tensor(inside, device=img.device), picked, colour)


def _extent(middle: float, a: float, b: float) -> int:
    """Whole pixels that the turned image meets along an axis; it reaches |a| + |b| both ways."""
    reach = abs(a) + abs(b)
    return math.ceil(middle + reach) - math.floor(middle - reach)


def _quarters(img: Tensor, count: int) -> Tensor:
    """The image turned by `count` quarters: nothing is lost."""
    if count == 0:
        return img
    if count == 2:
        return img.flip((-2, -1))
    return img.transpose(-2, -1).flip(-2 if count == 1 else -1)


def erase(img: Tensor, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Tensor:
    """The tensor image with the part of h x w whose corner is (i, j) set to v."""
    if not isinstance(img, Tensor):
        raise DTypeError(
            f"erase: expected a tensor, got a {type(img).__name__}.\n  Put ToTensor() before it."
        )
    result = img if inplace else img.clone()
    result[..., i : i + h, j : j + w] = v
    return result
