"""Memory of convolution weights: channels last."""

from __future__ import annotations

from typing import TypeVar

from ...memory_format import MemoryFormat
from ...tensor import Tensor
from ..conv import Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d
from ..module import Module
from ..parameter import replace_data

M = TypeVar("M", bound=Module)


def convert_conv2d_weight_memory_format(module: M, memory_format: MemoryFormat) -> M:
    """The weights of all 2-D convolutions inside, and transposed ones, in this memory format."""
    return _convert(module, (Conv2d, ConvTranspose2d), memory_format)


def convert_conv3d_weight_memory_format(module: M, memory_format: MemoryFormat) -> M:
    """The weights of all 3-D convolutions inside, and transposed ones, in this memory format."""
    return _convert(module, (Conv3d, ConvTranspose3d), memory_format)


def _convert(module: M, kinds: tuple[type[Module], ...], memory_format: MemoryFormat) -> M:
    def laid_out(weight: Tensor) -> Tensor:
        return weight.to(memory_format=memory_format)

    for part in module.modules():
        if isinstance(part, kinds):
            replace_data(part.get_parameter("weight"), laid_out)
    return module
