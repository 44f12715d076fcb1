"""Transforms of images, in place of torchvision.transforms: names, arguments and defaults are its.

They work on PIL images, and on tensors (..., C, H, W) where torchvision's do. Random ones draw from
gpugrad's CPU generator: gg.manual_seed makes them repeat. Whole batches on a GPU are augmented by
gpugrad.data.augment.
"""

from gpugrad.data.transforms import functional
from gpugrad.data.transforms.fixed import (
    CenterCrop,
    Compose,
    ConvertImageDtype,
    Grayscale,
    Lambda,
    Normalize,
    Pad,
    PILToTensor,
    Resize,
    ToPILImage,
    ToTensor,
)
from gpugrad.data.transforms.images import InterpolationMode
from gpugrad.data.transforms.random_parts import RandomCrop, RandomErasing, RandomResizedCrop
from gpugrad.data.transforms.randomly import (
    ColorJitter,
    RandomApply,
    RandomChoice,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomOrder,
    RandomRotation,
    RandomVerticalFlip,
)

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "ConvertImageDtype",
    "Grayscale",
    "InterpolationMode",
    "Lambda",
    "Normalize",
    "PILToTensor",
    "Pad",
    "RandomApply",
    "RandomChoice",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomOrder",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "ToPILImage",
    "ToTensor",
    "functional",
]
