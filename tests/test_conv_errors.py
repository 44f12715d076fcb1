"""What convolution and padding refuse: one clear error each, by its text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import gpugrad as gg
import gpugrad.nn.functional as F
from gpugrad import nn
from gpugrad.errors import ArgumentError, DeviceError, DTypeError, GpugradError, ShapeError

X, W = gg.zeros(2, 4, 5, 6), gg.zeros(6, 4, 3, 3)

REFUSED: dict[str, tuple[Callable[[], Any], type[GpugradError], str]] = {
    "large_kernel": (
        lambda: F.conv2d(gg.zeros(2, 4, 2, 6), W),
        ShapeError,
        "conv2d: the kernel (3, 3) is larger than the padded input (2, 6) (input (2, 6), "
        "padding (0, 0)).",
    ),
    "large_dilated_kernel": (
        lambda: F.conv2d(X, W, padding=1, dilation=(1, 4)),
        ShapeError,
        "conv2d: the kernel (3, 3), which dilation (1, 4) spreads over (3, 9), is larger than the "
        "padded input (7, 8) (input (5, 6), padding (1, 1)).",
    ),
    "groups_of_input": (
        lambda: F.conv2d(X, gg.zeros(6, 1, 3, 3), groups=3),
        ShapeError,
        "conv2d: input (2, 4, 5, 6) does not fit: the input's 4 channels are not divisible by "
        "groups=3.",
    ),
    "groups_of_output": (
        lambda: F.conv2d(X, gg.zeros(6, 1, 3, 3), groups=4),
        ShapeError,
        "conv2d: weight (6, 1, 3, 3) has 6 output channels, not divisible by groups=4.",
    ),
    "channels": (
        lambda: F.conv2d(X, gg.zeros(6, 3, 3, 3)),
        ShapeError,
        "conv2d: input (2, 4, 5, 6) does not fit: weight (6, 3, 3, 3) wants 3 input channels.",
    ),
    "channels_of_groups": (
        lambda: F.conv2d(X, gg.zeros(6, 4, 3, 3), groups=2),
        ShapeError,
        "weight (6, 4, 3, 3) wants 8 input channels (4 in each of 2 groups).",
    ),
    "rank": (
        lambda: F.conv2d(gg.zeros(5, 6), W),
        ShapeError,
        "conv2d: input must be a batch [N, C, H, W] or a single image [C, H, W]; got (5, 6) "
        "float32 on cpu.",
    ),
    "rank_1d": (
        lambda: F.conv1d(X, gg.zeros(6, 4, 3)),
        ShapeError,
        "conv1d: input must be a batch [N, C, L] or a single image [C, L]",
    ),
    "weight_rank": (
        lambda: F.conv2d(X, gg.zeros(6, 4, 3)),
        ShapeError,
        "conv2d: weight must have 4 axes, two for channels and 2 for the kernel; got (6, 4, 3)",
    ),
    "no_taps": (
        lambda: F.conv2d(X, gg.zeros(6, 4, 0, 3)),
        ShapeError,
        "conv2d: the kernel of weight (6, 4, 0, 3) has no taps.",
    ),
    "bias": (
        lambda: F.conv2d(X, W, gg.zeros(4)),
        ShapeError,
        "conv2d: bias must have shape (6,), one for each output channel; got (4,).",
    ),
    "negative_padding": (
        lambda: F.conv2d(X, W, padding=(1, -1)),
        ArgumentError,
        "conv2d: padding must not be negative, got (1, -1).",
    ),
    "stride": (
        lambda: F.conv2d(X, W, stride=0),
        ArgumentError,
        "conv2d: stride must be at least 1, got 0.",
    ),
    "dilation": (
        lambda: F.conv2d(X, W, dilation=(1, 0)),
        ArgumentError,
        "conv2d: dilation must be at least 1, got (1, 0).",
    ),
    "groups": (
        lambda: F.conv2d(X, W, groups=0),
        ArgumentError,
        "conv2d: groups must be at least 1, got 0.",
    ),
    "entries": (
        lambda: F.conv2d(X, W, stride=(1, 1, 1)),
        ArgumentError,
        "conv2d: stride=(1, 1, 1) has 3 entries for 2 spatial axes",
    ),
    "fraction": (
        lambda: F.conv2d(X, W, padding=0.5),
        DTypeError,
        "conv2d: padding must be an integer or 2 of them, got 0.5.",
    ),
    "padding_word": (
        lambda: F.conv2d(X, W, padding="full"),
        ArgumentError,
        "conv2d: padding must be numbers, 'same' or 'valid', not 'full'.",
    ),
    "same_with_stride": (
        lambda: F.conv2d(X, W, padding="same", stride=2),
        ArgumentError,
        "conv2d: padding='same' keeps the size, so stride must be 1, not (2, 2).",
    ),
    "dtype": (
        lambda: F.conv2d(X, W.double()),
        DTypeError,
        "conv2d: input, weight and bias must have one dtype; got (2, 4, 5, 6) float32 on cpu, "
        "(6, 4, 3, 3) float64 on cpu.",
    ),
    "integers": (
        lambda: F.conv2d(X.int(), W.int()),
        DTypeError,
        "conv2d: needs a floating tensor; got (2, 4, 5, 6) int32 on cpu.",
    ),
    "device": (
        lambda: F.conv2d(X, W.to("sim")),
        DeviceError,
        "conv2d: all tensors must be on one device; got (2, 4, 5, 6) float32 on cpu, "
        "(6, 4, 3, 3) float32 on sim.",
    ),
    "transposed_channels": (
        lambda: F.conv_transpose2d(X, W),
        ShapeError,
        "conv_transpose2d: input (2, 4, 5, 6) has 4 channels, weight (6, 4, 3, 3) wants 6.",
    ),
    "transposed_groups": (
        lambda: F.conv_transpose2d(X, gg.zeros(4, 2, 3, 3), groups=3),
        ShapeError,
        "conv_transpose2d: input (2, 4, 5, 6) has 4 channels, not divisible by groups=3.",
    ),
    "transposed_bias": (
        lambda: F.conv_transpose2d(X, gg.zeros(4, 2, 3, 3), gg.zeros(2), groups=2),
        ShapeError,
        "conv_transpose2d: bias must have shape (4,)",
    ),
    "output_padding": (
        lambda: F.conv_transpose2d(X, gg.zeros(4, 2, 3, 3), stride=2, output_padding=2),
        ArgumentError,
        "conv_transpose2d: output_padding must be smaller than stride or dilation; got "
        "output_padding (2, 2), stride (2, 2), dilation (1, 1).",
    ),
    "nothing_left": (
        lambda: F.conv_transpose2d(gg.zeros(1, 4, 1, 5), gg.zeros(4, 2, 3, 3), padding=2),
        ShapeError,
        "conv_transpose2d: input (1, 5), kernel (3, 3), stride (1, 1) and padding (2, 2) give the "
        "output size (-1, 3); every size must be at least 1.",
    ),
    "layer_groups": (
        lambda: nn.Conv2d(4, 6, 3, groups=4),
        ArgumentError,
        "Conv2d: out_channels=6 is not divisible by groups=4.",
    ),
    "layer_channels": (
        lambda: nn.Conv2d(0, 6, 3),
        ArgumentError,
        "Conv2d: in_channels must be at least 1, got 0.",
    ),
    "layer_kernel": (
        lambda: nn.Conv1d(4, 6, 0),
        ArgumentError,
        "Conv1d: kernel_size must be at least 1, got 0.",
    ),
    "layer_mode": (
        lambda: nn.Conv2d(4, 6, 3, padding_mode="mirror"),
        ArgumentError,
        "Conv2d: padding_mode must be one of 'zeros', 'reflect', 'replicate', 'circular'; got "
        "'mirror'.",
    ),
    "transposed_layer_mode": (
        lambda: nn.ConvTranspose2d(4, 6, 3, padding_mode="circular"),
        ArgumentError,
        "ConvTranspose2d: padding_mode must be one of 'zeros'; got 'circular'.",
    ),
    "transposed_layer_same": (
        lambda: nn.ConvTranspose2d(4, 6, 3, padding="same"),
        ArgumentError,
        "ConvTranspose2d: padding must be numbers, not 'same'.",
    ),
    "output_size": (
        lambda: nn.ConvTranspose2d(4, 2, 3, stride=2)(X, output_size=(13, 14)),
        ShapeError,
        "ConvTranspose2d: output_size (13, 14) cannot be reached from input (2, 4, 5, 6); legal "
        "spatial sizes are (11, 13) to (12, 14).",
    ),
    "pad_odd": (
        lambda: F.pad(X, (1, 2, 3)),
        ArgumentError,
        "pad: pad (1, 2, 3) must have two entries for each padded axis, last axis first; input "
        "(2, 4, 5, 6) has 4 axes.",
    ),
    "pad_mode": (
        lambda: F.pad(X, (1, 1), mode="mirror"),
        ArgumentError,
        "pad: mode must be one of ('constant', 'reflect', 'replicate', 'circular'), not 'mirror'.",
    ),
    "pad_reflect": (
        lambda: F.pad(X, (6, 0, 0, 0), mode="reflect"),
        ArgumentError,
        "pad: mode 'reflect' takes at most 5 elements on axis 3 of input (2, 4, 5, 6); got (6, 0).",
    ),
    "pad_rank": (
        lambda: F.pad(X, (1, 1), mode="replicate"),
        ShapeError,
        "pad: mode 'replicate' pads the last 1, 2 or 3 axes of an input with 1 or 2 axes before "
        "them; got (2, 4, 5, 6) float32 on cpu and pad for 1.",
    ),
    "pad_value": (
        lambda: F.pad(X, (1, 1, 1, 1), mode="circular", value=2),
        ArgumentError,
        "pad: mode 'circular' takes no value; got value=2.",
    ),
    "pad_all_away": (
        lambda: F.pad(X, (-4, -3)),
        ShapeError,
        "pad: pad (-4, -3) cuts more from input (2, 4, 5, 6) than it has.",
    ),
    "pad_layer": (
        lambda: nn.ZeroPad2d((1, 2)),
        ArgumentError,
        "ZeroPad2d: padding must be a number or 4 of them, got (1, 2).",
    ),
    "shuffle": (
        lambda: nn.ChannelShuffle(3)(X),
        ShapeError,
        "channel_shuffle: input must be [N, C, ...] with C divisible by groups=3; got (2, 4, 5, 6)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, kind, text = REFUSED[name]
    with pytest.raises(kind, match=re.escape(text)):
        call()
