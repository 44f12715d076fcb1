"""Layers, activations and losses as functions: `import gpugrad.nn.functional as F`.

Names, arguments and defaults are PyTorch's. `inplace` is accepted by activations for PyTorch's
sake and has no effect: the result is a new tensor.
"""

from __future__ import annotations

from typing import Any

from .. import ops
from ..autograd import Function
from ..errors import ArgumentError
from ..ops import channel_shuffle, cross_entropy, linear, nll_loss, one_hot, sigmoid, softplus, tanh
from ..ops import log_sigmoid as logsigmoid
from ..ops.attention import attention, rotary, scaled_dot_product_attention
from ..ops.conv import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from ..ops.embedding import embedding
from ..ops.embedding_bag import embedding_bag
from ..ops.grid import affine_grid, grid_sample
from ..ops.linear_loss import linear_cross_entropy
from ..ops.pad import pad
from ..ops.pool_functions import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from ..ops.resample import interpolate, pixel_shuffle, pixel_unshuffle, upsample
from ..ops.sampling import channel_dropout
from ..ops.unfold import fold, unfold
from ..tensor import Tensor
from .attention_functions import multi_head_attention_forward
from .loss_functions import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from .norm_functions import (
    add_layer_norm,
    add_rms_norm,
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    rms_norm,
)

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "add_layer_norm",
    "add_rms_norm",
    "affine_grid",
    "attention",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cross_entropy",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "elu",
    "embedding",
    "embedding_bag",
    "fold",
    "gelu",
    "grid_sample",
    "group_norm",
    "hardtanh",
    "huber_loss",
    "instance_norm",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "linear_cross_entropy",
    "local_response_norm",
    "log_softmax",
    "logsigmoid",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "mish",
    "mse_loss",
    "multi_head_attention_forward",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "relu",
    "relu6",
    "rms_norm",
    "rotary",
    "scaled_dot_product_attention",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softmin",
    "softplus",
    "tanh",
    "unfold",
    "upsample",
]


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(input, 0)."""
    return ops.relu(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """input where it is above 0, else negative_slope input."""
    return ops.leaky_relu(input, negative_slope)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """input where it is above 0, else alpha (exp(input) - 1)."""
    return ops.elu(input, alpha)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """input Phi(input), Phi the normal distribution function; "tanh": its usual approximation."""
    return ops.gelu(input, approximate)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """input sigmoid(input)."""
    return ops.silu(input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """input tanh(softplus(input))."""
    return ops.mish(input)


class HardTanh(Function):
    """y = min(max(x, low), high);  dx = dy where low < x < high, else 0 (at the ends, too)."""

    def forward(self, x: Any, low: float, high: float) -> Any:
        self.low, self.high = low, high
        self.save(x)
        return self.kernels.unary("clamp", x, low, high)

    def backward(self, dy: Tensor) -> Any:
        (x,) = self.saved
        return ops.where((x > self.low) & (x < self.high), dy, 0.0)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """min(max(input, min_val), max_val); no gradient at the ends and beyond."""
    if min_val >= max_val:
        raise ArgumentError(
            f"hardtanh(min_val={min_val}, max_val={max_val}): min_val must be the smaller"
        )
    result: Tensor = HardTanh.apply(input, low=float(min_val), high=float(max_val))
    return result


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(input, 0), 6)."""
    return hardtanh(input, 0.0, 6.0)


def _axis(operation: str, dim: int | None) -> int:
    if dim is None:
        raise ArgumentError(
            f"{operation}(dim=None): name the axis, e.g. dim=-1 for the last or dim=1 for classes "
            "(PyTorch guesses it from the number of axes)"
        )
    return dim


def softmax(input: Tensor, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """exp(input) / sum(exp(input)) along dim; dtype: cast first."""
    x = input if dtype is None else input.to(dtype)
    return ops.softmax(x, _axis("softmax", dim))


def softmin(input: Tensor, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """softmax(-input) along dim."""
    return softmax(-input, dim, dtype=dtype)


def log_softmax(input: Tensor, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """input - log(sum(exp(input))) along dim; dtype: cast first."""
    x = input if dtype is None else input.to(dtype)
    return ops.log_softmax(x, _axis("log_softmax", dim))


def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Tensor:
    """input / max(its p-norm along dim, eps)."""
    return input / ops.norm(input, p, dim, keepdim=True).clamp(min=eps)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """input / (1 - p) with probability 1 - p, else 0; input itself unless training."""
    return ops.dropout(input, p, training)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """`dropout` of whole channels: input [N, C, L] or [C, L]."""
    return channel_dropout(1, input, p, training)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """`dropout` of whole channels: input [N, C, H, W]; [N, C, L] is taken as in `dropout1d`."""
    return channel_dropout(2, input, p, training, single=False)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """`dropout` of whole channels: input [N, C, D, H, W] or [C, D, H, W]."""
    return channel_dropout(3, input, p, training)
