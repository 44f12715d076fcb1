"""From a picture to what a data set's images look like: digits as MNIST's, photos as CIFAR's.

MNIST is white on black; a digit fills a box of 20 x 20 pixels, its sides in proportion, and its
centre of mass lies at the centre of 28 x 28 (LeCun et al. 1998, section III.A).
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from gpugrad.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

FIELD, BOX = 28, 20
CENTRE = 14.5  # in MNIST the centre of mass lies in [14, 15), pixel i covering i to i + 1
_FAINT = 0.1  # of full ink: below it a pixel does not count for the bounding box
_BLANK = 16  # grey levels of 255 between background and ink, at least
_Array = np.ndarray[Any, Any]


def read_picture(path: str | os.PathLike[str]) -> Image:
    """A picture in any format Pillow reads, decoded.

    Raises DataError when the file is missing, is not an image, or is cut.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image.load()
            return image.copy()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.\n  Check the name.") from None
    except UnidentifiedImageError:
        raise DataError(
            f"{path}: not an image; expected a PNG, or another format that Pillow reads."
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(
            f"{path}: more than {Image.MAX_IMAGE_PIXELS} pixels.\n  Make the image smaller."
        ) from None
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's ways to say: damaged
        raise _unreadable(path, error) from None


def _unreadable(path: str | os.PathLike[str], error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or error
    return DataError(
        f"{path}: cannot be read as an image ({reason}).\n"
        "  The file is damaged or not readable: save or copy it again."
    )


def read_digit(path: str | os.PathLike[str]) -> _Array:
    """`digit` of the picture in a file."""
    return digit(read_picture(path), path)


def digit(image: Image, path: str | os.PathLike[str]) -> _Array:
    """The picture as uint8 (28, 28) in MNIST's form; any size and mode. `path` is for errors.

    A bright background (by the border's median) is inverted. A picture that has MNIST's form
    already is left as it is. Raises DataError when it shows nothing.
    """
    try:
        grey = _grey(image)
    except ValueError as error:
        raise _unreadable(path, error) from None
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    background = float(np.median(border))
    if background > 127:
        grey, background = 255 - grey, 255 - background
    ink = np.clip(grey - background, 0, None)
    if ink.max() < _BLANK:
        raise DataError(
            f"{path}: shows no digit: the image ({grey.shape[1]} x {grey.shape[0]}) is uniform.\n"
            "  Give a dark digit on a bright background, or the other way round."
        )
    if _is_mnist_form(ink):
        return ink.astype(np.uint8)
    return centred(fitted(ink * (255 / ink.max())))


def photo(image: Image, size: int = 32) -> _Array:
    """The picture's central square as uint8 (3, size, size), red, green and blue."""
    from PIL import Image

    side = min(image.size)
    left, top = ((length - side) // 2 for length in image.size)
    box = (left, top, left + side, top + side)
    square = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(square).transpose(2, 0, 1)


def fitted(ink: _Array) -> _Array:
    """The inked part, scaled so that its longer side is 20 pixels: float (h, w) in 0..255."""
    from PIL import Image

    top, bottom, left, right = _bounds(ink)
    part = Image.fromarray(ink[top:bottom, left:right].astype(np.float32))
    scale = BOX / max(part.size)
    width, height = (max(1, round(side * scale)) for side in part.size)
    resized = np.asarray(part.resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(resized, 0, 255)


def centred(digit: _Array) -> _Array:
    """uint8 (28, 28): the digit (at most 20 x 20) with its centre of mass at the field's centre."""
    field = np.zeros((FIELD, FIELD), np.uint8)
    height, width = digit.shape
    y, x = (
        min(max(round(CENTRE - at), 0), FIELD - size)
        for at, size in zip(_centre(digit), (height, width), strict=True)
    )
    field[y : y + height, x : x + width] = np.rint(digit)
    return field


def _grey(image: Image) -> _Array:
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        values = np.asarray(image, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError("pixels that are not finite")
        full = 65535.0 if image.mode.startswith("I") and values.max() > 255 else 255.0
        return np.clip(values * (255 / full), 0, 255)
    if "A" in image.mode or "transparency" in image.info:
        rgba = np.asarray(image.convert("RGBA"), dtype=np.float64)
        alpha = rgba[..., 3] / 255
        grey = rgba[..., :3] @ (0.299, 0.587, 0.114)
        visible = alpha.sum()
        # Under a see-through drawing lies what shows it: paper below dark ink, black below bright.
        paper = 0.0 if visible and (grey * alpha).sum() / visible > 127 else 255.0
        return np.asarray(grey * alpha + paper * (1 - alpha))
    return np.asarray(image.convert("L"), dtype=np.float64)


def _is_mnist_form(ink: _Array) -> bool:
    if ink.shape != (FIELD, FIELD) or ink.max() < 128:
        return False
    top, bottom, left, right = _bounds(ink)
    small = max(bottom - top, right - left)
    offset = max(abs(at - CENTRE) for at in _centre(ink))
    return BOX - 6 <= small <= BOX and offset <= 0.51


def _bounds(ink: _Array) -> tuple[int, int, int, int]:
    inked = ink > _FAINT * ink.max()
    rows, columns = np.flatnonzero(inked.any(1)), np.flatnonzero(inked.any(0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _centre(ink: _Array) -> tuple[float, float]:
    """Centre of mass (y, x); pixel i covers i to i + 1."""
    total = ink.sum()
    y = (ink.sum(1) * (np.arange(ink.shape[0]) + 0.5)).sum() / total
    x = (ink.sum(0) * (np.arange(ink.shape[1]) + 0.5)).sum() / total
    return float(y), float(x)
