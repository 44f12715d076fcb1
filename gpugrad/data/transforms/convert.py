"""From PIL images and arrays to tensors and back; dtypes and normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import gpugrad as gg
from gpugrad import dtype as dtypes
from gpugrad.data.colour import full_scale
from gpugrad.data.transforms.images import check_image, is_pil
from gpugrad.errors import ArgumentError, DTypeError, ShapeError
from gpugrad.tensor import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

_DEEP = {"I": np.int32, "I;16": np.uint16, "F": np.float32}


def _planes(name: str, picture: Any) -> np.ndarray[Any, Any]:
    """(C, H, W) of a PIL image or an array (H, W) or (H, W, C), in memory of its own."""
    if is_pil(picture):
        array = np.array(picture, dtype=_DEEP.get(picture.mode))
        if picture.mode == "1":
            array = array.astype(np.uint8) * 255
        elif picture.mode == "I;16":  # there is no uint16 here
            array = array.astype(np.int32)
    elif isinstance(picture, np.ndarray):
        array = picture
    else:
        raise DTypeError(
            f"{name}: expected a PIL image or a NumPy array, got a {type(picture).__name__}."
        )
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3:
        raise ShapeError(f"{name}: expected an array (H, W) or (H, W, C), got shape {array.shape}.")
    return np.array(array.transpose(2, 0, 1), order="C")


def to_tensor(pic: Any) -> Tensor:
    """A PIL image, or an array (H, W, C), as a tensor (C, H, W).

    8-bit values become float32 in [0, 1]; others keep their values and dtype.
    """
    planes = _planes("to_tensor", pic)
    if planes.dtype == np.uint8:
        planes = planes / np.float32(255)
    return gg.from_numpy(planes)


def pil_to_tensor(pic: Image) -> Tensor:
    """A PIL image as a tensor (C, H, W) with its values as they are, uint8 for most."""
    if not is_pil(pic):
        raise DTypeError(f"pil_to_tensor: expected a PIL image, got a {type(pic).__name__}.")
    return gg.from_numpy(_planes("pil_to_tensor", pic))


def to_pil_image(pic: Any, mode: str | None = None) -> Image:
    """A tensor (C, H, W) or (H, W), or an array (H, W, C) or (H, W), as a PIL image.

    Floating tensors are multiplied by 255 and cut to 8 bits. Channels 1 to 4 become L, LA, RGB and
    RGBA unless `mode` says otherwise; int16 and int32 of one channel become I;16 and I, floating
    arrays of one channel F.
    """
    from PIL import Image

    if isinstance(pic, Tensor):
        array = pic.detach().cpu().numpy()
        if array.ndim == 3:
            array = array.transpose(1, 2, 0)
        if dtypes.is_floating(pic.dtype) and mode != "F":
            array = (array.astype(np.float32) * 255).astype(np.uint8)
    elif isinstance(pic, np.ndarray):
        array = pic
    else:
        raise DTypeError(
            f"to_pil_image: expected a tensor or a NumPy array, got a {type(pic).__name__}."
        )
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or not 1 <= array.shape[2] <= 4:
        raise ShapeError(
            f"to_pil_image: expected 2 or 3 axes and 1 to 4 channels, got shape {tuple(pic.shape)}."
        )
    if array.shape[2] == 1:
        array = array[:, :, 0]
    natural = _natural_mode(array)
    image = Image.fromarray(np.ascontiguousarray(array))
    if image.mode != natural:
        image = image.convert(natural)
    if mode is None or mode == image.mode:
        return image
    return _as_mode(image, mode)


def _natural_mode(array: np.ndarray[Any, Any]) -> str:
    if array.ndim == 3 or array.dtype == np.uint8:
        if array.dtype != np.uint8:
            raise DTypeError(
                f"to_pil_image: images of several channels are uint8, not {array.dtype}.\n"
                "  Scale the values to 0 to 255 and convert them."
            )
        return {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[array.shape[2] if array.ndim == 3 else 1]
    kinds = {"int32": "I", "int16": "I;16", "uint16": "I;16", "float32": "F", "bool": "1"}
    if array.dtype.name not in kinds:
        raise DTypeError(f"to_pil_image: there is no image of dtype {array.dtype}.")
    return kinds[array.dtype.name]


def _as_mode(image: Image, mode: str) -> Image:
    """The same bands under another name: YCbCr or HSV in place of RGB, say."""
    from PIL import Image as pillow

    same = {"L": ("1", "P"), "RGB": ("YCbCr", "HSV", "LAB"), "RGBA": ("CMYK", "RGBX", "RGBa")}
    if mode not in same.get(image.mode, ()):
        raise ArgumentError(
            f"to_pil_image: mode = {mode!r} does not fit this picture; it is {image.mode!r}"
            f" or one of {same.get(image.mode, ())}."
        )
    if mode == "1":
        return image.convert(mode)
    return pillow.frombytes(mode, image.size, image.tobytes())


def convert_image_dtype(image: Tensor, dtype: Any = dtypes.float32) -> Tensor:
    """The same picture in another dtype: [0, 1] for floating, 0 to the largest for integers."""
    if check_image("convert_image_dtype", image):
        raise DTypeError("convert_image_dtype: expected a tensor, got a PIL image.")
    wanted = dtypes.as_dtype(dtype)
    if wanted == image.dtype:
        return image
    if dtypes.is_floating(wanted):
        if dtypes.is_floating(image.dtype):
            return image.to(wanted)
        return image.to(wanted) / full_scale(image.dtype)
    top = full_scale(wanted)
    if dtypes.is_floating(image.dtype):
        # Equal shares of [0, 1] for each value; 1 itself must not reach top + 1.
        wide = image.to(dtypes.float64 if top >= 1 << 24 else dtypes.float32)
        return (wide * (top + 1 - 1e-3)).to(wanted)
    steps = (full_scale(image.dtype) + 1) / (top + 1)
    if steps >= 1:
        return (image // int(steps)).to(wanted)
    return image.to(wanted) * round(1 / steps)


def normalize(
    tensor: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False
) -> Tensor:
    """(tensor - mean) / std for each channel of (..., C, H, W)."""
    if not isinstance(tensor, Tensor):
        raise DTypeError(
            f"normalize: expected a tensor, got a {type(tensor).__name__}.\n"
            "  Put ToTensor() before Normalize()."
        )
    if not dtypes.is_floating(tensor.dtype):
        raise DTypeError(
            f"normalize: expected a floating tensor, got {tensor.dtype.name}.\n"
            "  Put ToTensor() or ConvertImageDtype(gg.float32) before Normalize()."
        )
    if tensor.ndim < 3:
        raise ShapeError(
            f"normalize: expected a tensor image (..., C, H, W), got {tuple(tensor.shape)}."
        )
    m, s = (_channels(tensor, name, v) for name, v in (("mean", mean), ("std", std)))
    if inplace:
        return tensor.sub_(m).div_(s)
    return (tensor - m) / s


def _channels(tensor: Tensor, name: str, values: Any) -> Tensor:
    array = np.asarray(values, np.float64).reshape(-1)
    channels = int(tensor.shape[-3])
    if array.size not in (1, channels):
        raise ShapeError(
            f"normalize: {name} has {array.size} values, the image {channels} channels "
            f"(shape {tuple(tensor.shape)})."
        )
    if name == "std" and not array.all():
        raise ArgumentError(f"normalize: std = {list(array)} has a 0, by which one cannot divide.")
    shaped = array.reshape(-1, 1, 1)
    return gg.tensor(shaped, dtype=tensor.dtype, device=tensor.device)
