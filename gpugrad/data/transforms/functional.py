"""Transforms as functions of all their parameters: in place of torchvision.transforms.functional.

import gpugrad.data.transforms.functional as TF
"""

from gpugrad.data.transforms.convert import (
    convert_image_dtype,
    normalize,
    pil_to_tensor,
    to_pil_image,
    to_tensor,
)
from gpugrad.data.transforms.geometry import (
    center_crop,
    crop,
    erase,
    hflip,
    pad,
    resize,
    resized_crop,
    rotate,
    vflip,
)
from gpugrad.data.transforms.images import InterpolationMode
from gpugrad.data.transforms.shades import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    rgb_to_grayscale,
    to_grayscale,
)

__all__ = [
    "InterpolationMode",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "center_crop",
    "convert_image_dtype",
    "crop",
    "erase",
    "hflip",
    "normalize",
    "pad",
    "pil_to_tensor",
    "resize",
    "resized_crop",
    "rgb_to_grayscale",
    "rotate",
    "to_grayscale",
    "to_pil_image",
    "to_tensor",
    "vflip",
]
