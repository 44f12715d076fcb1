"""Memory formats: what lies how, and what keeps it. Strides are those PyTorch documents."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.nn.functional as F
from gpugrad import nn
from gpugrad.errors import ArgumentError, ShapeError

LAST = (60, 1, 15, 3)  # of (2, 3, 4, 5)


@pytest.fixture
def x() -> gg.Tensor:
    return gg.randn(2, 3, 4, 5)


def test_to_and_contiguous(x: gg.Tensor) -> None:
    y = x.to(memory_format=gg.channels_last)
    assert y.shape == x.shape and y.stride() == LAST
    assert y.is_contiguous(memory_format=gg.channels_last) and not y.is_contiguous()
    assert x.is_contiguous() and not x.is_contiguous(memory_format=gg.channels_last)
    np.testing.assert_array_equal(x.numpy(), y.numpy())
    assert y.contiguous().stride() == x.stride()
    assert y.to(memory_format=gg.contiguous_format).stride() == x.stride()
    assert x.contiguous(memory_format=gg.channels_last).stride() == LAST
    assert x.to(gg.float64, memory_format=gg.channels_last).stride() == LAST
    assert y.to(gg.float64).stride() == LAST


def test_no_copy_without_need(x: gg.Tensor) -> None:
    y = x.to(memory_format=gg.channels_last)
    assert y.contiguous(memory_format=gg.channels_last) is y
    assert y.to(memory_format=gg.channels_last) is y
    assert x.to(memory_format=gg.preserve_format) is x
    z = y.to(memory_format=gg.channels_last, copy=True)
    assert z is not y and z.stride() == LAST


def test_clone_keeps_the_order_of_axes(x: gg.Tensor) -> None:
    y = x.to(memory_format=gg.channels_last)
    assert y.clone().stride() == LAST
    assert y.clone(memory_format=gg.contiguous_format).stride() == x.stride()
    assert x.clone(memory_format=gg.channels_last).stride() == LAST
    assert x.permute(3, 0, 2, 1).clone().stride() == (1, 60, 5, 20)
    assert y[:, :, ::2].clone().stride() == (30, 1, 15, 3)  # the gaps are gone
    assert x[:, :1].expand(2, 3, 4, 5).clone().stride() == x.stride()  # it overlapped
    np.testing.assert_array_equal(y.clone().numpy(), x.numpy())
    assert copy.deepcopy(y).stride() == LAST


def test_gradients_pass(x: gg.Tensor) -> None:
    x.requires_grad_()
    weights = gg.randn(2, 3, 4, 5)
    (x.to(memory_format=gg.channels_last) * weights).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), weights.numpy())


KEEPING = {
    "relu": F.relu,
    "gelu": F.gelu,
    "sum": lambda x: x + x.detach(),
    "clamp": lambda x: x.clamp(0.2, 0.5),
    "dropout": F.dropout,
    "cat": lambda x: gg.cat([x, x], 1),
    "pad": lambda x: F.pad(x, (1, 1)),
    "cast": lambda x: x.double(),
}


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("name", KEEPING)
def test_operations_keep_it(name: str, device: str) -> None:
    leaf = gg.rand(2, 3, 4, 5, device=device).to(memory_format=gg.channels_last).requires_grad_()
    y = KEEPING[name](leaf)
    assert y.is_contiguous(memory_format=gg.channels_last)
    (dx,) = gg.autograd.grad(y, leaf, gg.ones_like(y))
    assert name == "cat" or dx.is_contiguous(memory_format=gg.channels_last)


def test_likes(x: gg.Tensor) -> None:
    y = x.to(memory_format=gg.channels_last)
    for like in (gg.empty_like, gg.zeros_like, gg.ones_like, gg.rand_like, gg.randn_like):
        assert like(y).stride() == LAST
        assert like(y, memory_format=gg.contiguous_format).stride() == x.stride()
        assert like(x, memory_format=gg.channels_last).stride() == LAST
    assert gg.full_like(y, 2.0).stride() == LAST
    assert gg.randint_like(y.int(), 9).stride() == LAST
    assert gg.ones_like(y).sum().item() == 120 and not gg.zeros_like(y).any()
    assert gg.empty(2, 3, 4, 5, memory_format=gg.channels_last).stride() == LAST


def test_random_values_do_not_depend_on_the_format(x: gg.Tensor) -> None:
    y = x.to(memory_format=gg.channels_last)
    gg.manual_seed(1)
    a = gg.rand_like(x)
    gg.manual_seed(1)
    np.testing.assert_array_equal(a.numpy(), gg.rand_like(y).numpy())


def test_three_spatial_axes() -> None:
    x = gg.zeros(2, 3, 4, 5, 6).to(memory_format=gg.channels_last_3d)
    assert x.stride() == (360, 1, 90, 18, 3)
    assert x.is_contiguous(memory_format=gg.channels_last_3d)
    assert not x.is_contiguous(memory_format=gg.channels_last)


def test_one_channel_lies_both_ways() -> None:
    x = gg.zeros(2, 1, 4, 5)
    assert x.is_contiguous() and x.is_contiguous(memory_format=gg.channels_last)


def test_another_device_keeps_it(x: gg.Tensor) -> None:
    y = x.to(memory_format=gg.channels_last).to("sim")
    assert y.stride() == LAST and (y + 1).stride() == LAST
    assert y.cpu().stride() == LAST
    np.testing.assert_array_equal(y.cpu().numpy(), x.numpy())


def test_model() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 2), nn.Conv3d(3, 4, 2), nn.Linear(3, 4))
    parameters = list(model.parameters())
    model.to(memory_format=gg.channels_last)
    assert model[0].weight.stride() == (12, 1, 6, 3)
    assert all(p.is_contiguous() for p in parameters[1:])
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    model.to(memory_format=gg.contiguous_format)
    assert all(p.is_contiguous() for p in parameters)


def test_refused(x: gg.Tensor) -> None:
    text = "contiguous: gpugrad.channels_last is for 4 axes; the shape is (2, 3)."
    with pytest.raises(ShapeError, match=re.escape(text)):
        gg.zeros(2, 3).contiguous(memory_format=gg.channels_last)
    with pytest.raises(ArgumentError, match=r"clone: memory_format must be gg\.contiguous"):
        x.clone(memory_format="channels_last")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"empty: memory_format=gg\.preserve_format says"):
        gg.empty(2, 3, memory_format=gg.preserve_format)


def test_names() -> None:
    assert repr(gg.channels_last) == "gpugrad.channels_last"
    assert isinstance(gg.preserve_format, gg.memory_format)
    assert copy.deepcopy(gg.channels_last) is gg.channels_last


@pytest.mark.parametrize(
    "layer", [nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.LocalResponseNorm(3)], ids=str
)
def test_kept_by_layers_that_move_channels(layer: nn.Module) -> None:
    x = gg.arange(128.0).reshape(1, 8, 4, 4)
    y = layer(x.contiguous(memory_format=gg.channels_last))
    assert y.is_contiguous(memory_format=gg.channels_last)
    assert layer(x).is_contiguous() and gg.equal(layer(x), y)
