"""Convolution beyond the case list: definition, memory formats, layers, padding, fusion."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.nn.functional as F
from gpugrad import nn
from gpugrad.ops.conv import convolve

# ---- what it computes --------------------------------------------------------------------------


def correlate(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The definition, in six loops: one image, no padding, stride 1."""
    height, width = (n - k + 1 for n, k in zip(x.shape[1:], w.shape[2:], strict=True))
    y = np.zeros((w.shape[0], height, width))
    for k, i, j in np.ndindex(y.shape):
        y[k, i, j] = np.sum(w[k] * x[:, i : i + w.shape[2], j : j + w.shape[3]])
    return y


def test_same_pads_the_odd_row_behind() -> None:
    """Kernel 2 x 4 needs 1 and 3 in all: 0 above, 1 below, 1 left, 2 right."""
    x, w = gg.randn(1, 2, 5, 6, dtype=gg.float64), gg.randn(3, 2, 2, 4, dtype=gg.float64)
    padded = np.pad(x.numpy()[0], ((0, 0), (0, 1), (1, 2)))
    got = F.conv2d(x, w, padding="same").numpy()[0]
    np.testing.assert_allclose(got, correlate(padded, w.numpy()), atol=1e-14)


def test_third_derivatives() -> None:
    """The second gradient of (x * w)^3, itself checked to first and second order."""
    x, w = (gg.randn(*s, dtype=gg.float64, requires_grad=True) for s in ((1, 1, 3), (1, 1, 2)))

    def first(x: gg.Tensor, w: gg.Tensor) -> gg.Tensor:
        y = F.conv1d(x, w, padding=1, stride=2) ** 3
        dx, dw = gg.autograd.grad(y.sum(), (x, w), create_graph=True)
        assert dx is not None and dw is not None
        return (dx * dx).sum() + (dw**2).sum()

    assert gg.autograd.gradcheck(first, (x, w))
    assert gg.autograd.gradgradcheck(first, (x, w))


def test_empty_batch() -> None:
    x = gg.zeros(0, 4, 5, 6, requires_grad=True)
    layer = nn.Conv2d(4, 6, 3, padding=1)
    y = layer(x)
    assert y.shape == (0, 6, 5, 6)
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert not layer.weight.grad.any() and not layer.bias.grad.any()
    assert nn.ConvTranspose2d(4, 2, 3)(x).shape == (0, 2, 7, 8)


def test_equal_bits_in_every_run() -> None:
    layer = nn.Conv2d(8, 16, 3, padding=1, stride=2)
    x = gg.randn(5, 8, 17, 19)

    def run() -> list[bytes]:
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
        parts = (leaf, layer.weight, layer.bias)
        grads = gg.autograd.grad((y * y).sum(), parts)
        return [each.detach().numpy().tobytes() for each in (y, *grads)]

    assert run() == run()


def test_activation_and_residual_in_one_kernel() -> None:
    """convolve(..., "relu", residual) and the three operations it stands for, gradients too."""
    shapes = {"x": (2, 3, 6, 5), "w": (4, 3, 3, 3), "b": (4,), "r": (2, 4, 6, 5)}
    given = [gg.randn(*shape, dtype=gg.float64, requires_grad=True) for shape in shapes.values()]
    x, w, b, r = given
    dy = gg.randn(2, 4, 6, 5, dtype=gg.float64)
    fused = convolve(2, x, w, b, 1, 1, 1, 1, "relu", r)
    plain = F.relu(F.conv2d(x, w, b, padding=1) + r)
    np.testing.assert_allclose(fused.detach().numpy(), plain.detach().numpy(), atol=1e-13)
    for got, expected in zip(
        gg.autograd.grad(fused, given, dy), gg.autograd.grad(plain, given, dy), strict=True
    ):
        np.testing.assert_allclose(got.numpy(), expected.numpy(), atol=1e-12)


# ---- memory formats ----------------------------------------------------------------------------


def last(x: gg.Tensor) -> bool:
    return x.is_contiguous(memory_format=gg.channels_last)


@pytest.mark.parametrize("of_input", [True, False])
@pytest.mark.parametrize("of_weight", [True, False])
def test_result_lies_as_input_or_weight(of_input: bool, of_weight: bool) -> None:
    layer, x = nn.Conv2d(4, 6, 3), gg.randn(2, 4, 7, 8)
    plain = layer(x)
    assert plain.is_contiguous() and plain.view(2, -1).shape == (2, 6 * 5 * 6)
    if of_weight:
        layer = layer.to(memory_format=gg.channels_last)
        assert last(layer.weight)
    x = x.to(memory_format=gg.channels_last) if of_input else x
    x.requires_grad_()
    y = layer(x)
    assert last(y) == (of_input or of_weight)
    np.testing.assert_allclose(y.detach().numpy(), plain.detach().numpy(), atol=1e-5)
    if last(y):
        (dx,) = gg.autograd.grad(y, x, gg.ones_like(y))
        assert last(dx) and last(F.relu(y)) and last(F.max_pool2d(y, 2)) and last(F.pad(y, (1, 1)))


def test_training_a_channels_last_model() -> None:
    """Two steps of SGD with momentum give the weights that row-major memory gives."""
    x, labels = gg.randn(4, 3, 6, 6), gg.tensor([0, 1, 2, 0])
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    other = copy.deepcopy(model).to(memory_format=gg.channels_last)
    weights = []
    for net, images in ((model, x), (other, x.to(memory_format=gg.channels_last))):
        optimizer = gg.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(net(images), labels).backward()
            optimizer.step()
        weights.append(net[0].weight)
    assert last(weights[1]) and not last(weights[0])
    assert last(copy.deepcopy(other)[0].weight)
    a, b = (w.detach().numpy() for w in weights)
    np.testing.assert_allclose(a, b, atol=1e-6)


# ---- layers ------------------------------------------------------------------------------------


def test_initial_values() -> None:
    layer = nn.Conv2d(8, 30, (3, 5), groups=2)
    bound = 1 / math.sqrt(4 * 15)
    for tensor in (layer.weight, layer.bias):
        values = tensor.detach().numpy()
        assert np.abs(values).max() <= bound
    assert np.abs(layer.weight.detach().numpy()).max() > 0.99 * bound
    assert layer.weight.shape == (30, 4, 3, 5) and layer.bias.shape == (30,)
    transposed = nn.ConvTranspose2d(8, 30, (3, 5), groups=2, bias=False)
    assert transposed.weight.shape == (8, 15, 3, 5) and transposed.bias is None


def test_descriptions() -> None:
    assert repr(nn.Conv2d(3, 6, 5)).startswith("Conv2d(3, 6, kernel_size=(5, 5), stride=(1, 1))")
    layer = nn.Conv1d(4, 6, 3, 2, 1, 2, 2, bias=False, padding_mode="reflect")
    assert layer.extra_repr() == (
        "4, 6, kernel_size=(3,), stride=(2,), padding=(1,), dilation=(2,), groups=2, bias=False, "
        "padding_mode=reflect"
    )
    layer = nn.ConvTranspose3d(4, 6, 3, 2, output_padding=1)
    assert layer.extra_repr() == (
        "4, 6, kernel_size=(3, 3, 3), stride=(2, 2, 2), output_padding=(1, 1, 1)"
    )


def test_output_size_of_a_transposed_layer() -> None:
    """A layer finds back the size that the convolution of the same window has halved."""
    for size in ((9, 12), (10, 11)):
        x = gg.randn(1, 2, *size)
        small = nn.Conv2d(2, 3, 3, stride=2, padding=1)(x)
        assert nn.ConvTranspose2d(3, 2, 3, 2, 1)(small, output_size=size).shape == x.shape
        assert nn.ConvTranspose2d(3, 2, 3, 2, 1)(small, output_size=x.shape).shape == x.shape


MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", [(1, 2), "same"])
def test_padding_modes_of_a_layer(mode: str, padding: Any) -> None:
    layer = nn.Conv2d(2, 3, (2, 4), padding=padding, padding_mode=mode, bias=False)
    layer = layer.to(gg.float64)
    x = gg.randn(2, 4, 6, dtype=gg.float64)
    rows, columns = ((0, 1), (1, 2)) if padding == "same" else ((1, 1), (2, 2))
    padded = np.pad(x.numpy(), ((0, 0), rows, columns), mode=MODES[mode])
    expected = correlate(padded, layer.weight.detach().numpy())
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, atol=1e-14)


# ---- padding -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("dtype", [gg.float32, gg.bfloat16, gg.int64, gg.bool])
def test_pad_is_numpys(mode: str, dtype: Any) -> None:
    x = (gg.arange(60).reshape(1, 3, 4, 5) % 7 > 2) if dtype == gg.bool else gg.arange(60)
    x = x.reshape(1, 3, 4, 5).to(dtype)
    got = F.pad(x, (2, 1, 0, 3), mode=mode)
    widths = ((0, 0), (0, 0), (0, 3), (2, 1))
    expected = np.pad(x.numpy(), widths, mode=MODES.get(mode, mode))
    assert got.dtype == dtype
    np.testing.assert_array_equal(got.numpy(), expected)


def test_padding_layers() -> None:
    x = gg.randn(1, 2, 3, 4, 5)
    for n in (1, 2, 3):
        image = x[0, 0] if n == 1 else x[0] if n == 2 else x
        for name, options in {
            "ZeroPad": {},
            "ReflectionPad": {"mode": "reflect"},
            "ReplicationPad": {"mode": "replicate"},
            "CircularPad": {"mode": "circular"},
        }.items():
            layer = getattr(nn, f"{name}{n}d")
            expected = F.pad(image, (1,) * 2 * n, **options)
            np.testing.assert_array_equal(layer(1)(image).numpy(), expected.numpy())
        filled = getattr(nn, f"ConstantPad{n}d")((1, 0) * n, 3.5)(image).numpy()
        assert filled[(0,) * filled.ndim] == 3.5
    assert nn.ZeroPad2d(1).extra_repr() == "(1, 1, 1, 1)"


def test_pad_gives_a_new_tensor() -> None:
    x = gg.zeros(2, 3)
    for mode in ("constant", "reflect"):
        y = F.pad(x, (0, 0), mode=mode)
        y += 1
        assert not x.any()


def test_channel_shuffle() -> None:
    x = gg.arange(6).reshape(1, 6, 1)
    assert nn.ChannelShuffle(2)(x).flatten().tolist() == [0, 3, 1, 4, 2, 5]
