"""Activations, softmax and dropout as functions, with PyTorch's names, arguments and defaults.

`inplace` is accepted for PyTorch's sake and has no effect: the result is a new tensor. The
functions whose name ends in _ change their input.
"""

from __future__ import annotations

from typing import Any

from .. import dtype as dtypes
from .. import ops
from ..errors import ArgumentError
from ..ops.operands import check_tensor, demand_floating
from ..ops.sampling import channel_dropout
from ..tensor import Tensor


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(input, 0)."""
    return ops.relu(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """input where it is above 0, else negative_slope input."""
    return ops.leaky_relu(input, negative_slope)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """input where it is above 0, else alpha (exp(input) - 1)."""
    return ops.elu(input, alpha)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """input where it is above 0, else alpha (exp(input / alpha) - 1). (Barron 2017.)"""
    return ops.celu(input, alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """scale elu(input, alpha), alpha = 1.6733, scale = 1.0507. (Klambauer et al. 2017.)"""
    return ops.selu(input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """input sigmoid(input)."""
    return ops.silu(input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """input tanh(softplus(input))."""
    return ops.mish(input)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """min(max(input, min_val), max_val); no gradient at the ends and beyond."""
    return ops.hardtanh(input, min_val, max_val)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(input, 0), 6)."""
    return ops.hardtanh(input, 0.0, 6.0)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(input + 3, 0), 6) / 6."""
    return ops.hardsigmoid(input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """input hardsigmoid(input). (Howard et al. 2019.)"""
    return ops.hardswish(input)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """input where it is above threshold, else value."""
    return ops.threshold(input, threshold, value)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """input where it is above 0, else s input: s drawn from [lower, upper), or their mean unless
    training. (Xu et al. 2015.)"""
    return ops.rrelu(input, lower, upper, training)


def _axis(operation: str, dim: int | None) -> int:
    if dim is None:
        raise ArgumentError(
            f"{operation}(dim=None): name the axis, e.g. dim=-1 for the last or dim=1 for classes "
            "(PyTorch guesses it from the number of axes)"
        )
    return dim


def softmax(input: Tensor, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """exp(input) / sum(exp(input)) along dim; dtype: cast first."""
    return ops.softmax(input, _axis("softmax", dim), dtype)


def softmin(input: Tensor, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """softmax(-input) along dim."""
    x = input if dtype is None else input.to(dtype)
    return ops.softmax(-x, _axis("softmin", dim), dtype)


def log_softmax(input: Tensor, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """input - log(sum(exp(input))) along dim; dtype: cast first."""
    return ops.log_softmax(input, _axis("log_softmax", dim), dtype)


def gumbel_softmax(
    logits: Tensor, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """softmax((logits + g) / tau) along dim, g drawn from the Gumbel distribution.

    hard: one-hot at its maximum, with the gradient of the soft sample (straight through). eps has
    no effect, as in PyTorch. (Jang et al. 2017, Maddison et al. 2017.)
    """
    demand_floating("gumbel_softmax", check_tensor("gumbel_softmax", logits))
    if not tau > 0:
        raise ArgumentError(f"gumbel_softmax(tau={tau}): a temperature is above 0.")
    drawn = logits.new_empty(logits.shape, dtype=dtypes.accumulation(logits.dtype)).uniform_()
    exponential = -drawn.clamp(min=1e-30).log()  # in (0, 69.1]
    gumbel = -exponential.log()
    soft = ops.softmax((logits + gumbel.to(logits.dtype)) / tau, dim)
    if not hard:
        return soft
    best = soft.detach().argmax(dim, keepdim=True)
    one = soft.new_ones(best.shape)
    return soft.new_zeros(soft.shape).scatter(dim if soft.ndim else 0, best, one) + (
        soft - soft.detach()
    )


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


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """`dropout` that keeps zero mean and unit variance, for `selu`. (Klambauer et al. 2017.)"""
    return ops.alpha_dropout(input, p, training)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """`alpha_dropout` of whole channels: input [N, C, ...]."""
    return ops.feature_alpha_dropout(input, p, training)
