"""Batch normalisations in evaluation, folded into the layer before them."""

from __future__ import annotations

import copy
from typing import TypeVar

from ...autograd import no_grad
from ...errors import ArgumentError
from ...tensor import Tensor
from ..conv import _ConvNd
from ..linear import Linear
from ..norm import _BatchNorm
from ..parameter import Parameter

L = TypeVar("L", _ConvNd, Linear)


def fuse_conv_bn_eval(conv: _ConvNd, bn: _BatchNorm, transpose: bool = False) -> _ConvNd:
    """A copy of conv that computes bn(conv(x)); both in evaluation. transpose: of a ConvTranspose.

    Raises ArgumentError in training mode, or for a bn without running statistics.
    """
    fused = _checked(conv, bn, "fuse_conv_bn_eval")
    fused.weight, fused.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, *_statistics(bn), transpose
    )
    return fused


def fuse_linear_bn_eval(linear: Linear, bn: _BatchNorm) -> Linear:
    """A copy of linear that computes bn(linear(x)); both in evaluation.

    Raises ArgumentError unless bn has one channel, or as many as linear gives features.
    """
    fused = _checked(linear, bn, "fuse_linear_bn_eval")
    if bn.num_features not in (linear.out_features, 1):
        raise ArgumentError(
            f"fuse_linear_bn_eval: {linear.out_features} features cannot go into a batch norm of "
            f"{bn.num_features}"
        )
    fused.weight, fused.bias = fuse_linear_bn_weights(linear.weight, linear.bias, *_statistics(bn))
    return fused


def _checked(layer: L, bn: _BatchNorm, name: str) -> L:
    if layer.training or bn.training:
        raise ArgumentError(f"{name}: both modules must be in evaluation; call .eval() first")
    if bn.running_mean is None or bn.running_var is None:
        raise ArgumentError(f"{name}: the batch norm keeps no running statistics")
    return copy.deepcopy(layer)


def _statistics(bn: _BatchNorm) -> tuple[Tensor, Tensor, float, Tensor | None, Tensor | None]:
    assert bn.running_mean is not None and bn.running_var is not None
    return bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias


def _scale_and_bias(
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    eps: float,
    bn_weight: Tensor | None,
    bn_bias: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """bn(y + bias) = scale y + shift."""
    scale = (var + eps).rsqrt()
    scale = scale if bn_weight is None else scale * bn_weight
    shift = (-mean if bias is None else bias - mean) * scale
    return scale, shift if bn_bias is None else shift + bn_bias


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of the convolution that a convolution and a batch norm behind it make."""
    with no_grad():
        scale, shift = _scale_and_bias(conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)
        shape = (1, -1) if transpose else (-1, 1)
        weight = conv_w * scale.reshape(*shape, *[1] * (conv_w.ndim - 2)).to(conv_w.dtype)
        shift = shift.to(conv_w.dtype if conv_b is None else conv_b.dtype)
    biased = conv_w.requires_grad if conv_b is None else conv_b.requires_grad
    return Parameter(weight, conv_w.requires_grad), Parameter(shift, biased)


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of the linear layer that a linear layer and a batch norm behind it make."""
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)
