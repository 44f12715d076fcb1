"""What tensors say of themselves, and PyTorch's helpers that move no data."""

from __future__ import annotations

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.dtype import DTYPES
from gpugrad.errors import DeviceError, DTypeError, GraphError, ShapeError


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
def test_kinds(dtype: np.dtype) -> None:
    x = gg.ones(1, dtype=dtype)
    assert gg.is_floating_point(x) == x.is_floating_point() == gg.is_floating(dtype)
    assert x.is_signed() == gg.is_signed(x) == (dtype not in (gg.bool, gg.uint8))
    assert not (gg.is_complex(x) or x.is_complex() or x.is_sparse or x.is_quantized or x.is_meta)


def test_is_nonzero() -> None:
    assert gg.is_nonzero(gg.tensor([2.0])) and not gg.tensor(0).is_nonzero()
    assert gg.is_nonzero(gg.tensor(float("nan")))
    for x in (gg.ones(2), gg.ones(0)):
        with pytest.raises(ShapeError, match=r"is_nonzero: needs one element, got shape"):
            gg.is_nonzero(x)


def test_type() -> None:
    x = gg.ones(2)
    assert x.type() == "gpugrad.FloatTensor" and x.half().type() == "gpugrad.HalfTensor"
    for spec in (gg.float64, "float64", "gpugrad.DoubleTensor", "torch.DoubleTensor"):
        assert x.type(spec).dtype == gg.float64
    with pytest.raises(DTypeError):
        x.type("gpugrad.ComplexTensor")


def test_places(kernel_device: str) -> None:
    here, there = gg.ones(1), gg.ones(1, device=kernel_device)
    assert here.is_cpu and not there.is_cpu and here.get_device() == -1
    assert there.get_device() == (0 if there.is_cuda else -1)
    assert there.type() == f"gpugrad.{there.device.type}.FloatTensor"


def test_pinned_and_shared_memory() -> None:
    x = gg.ones(1)
    assert x.pin_memory() is x and not x.is_pinned() and not x.is_shared()
    with pytest.raises(DeviceError, match=r"share_memory_: .*\n.*multiprocessing.shared_memory"):
        x.share_memory_()


def test_apply_and_map() -> None:
    x = gg.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.apply_(lambda v: v * 2) is x and x.tolist() == [[2, 4], [6, 8]]
    x.mT.map_(gg.tensor([1.0, 10.0]), lambda a, b: 10 * a + b)
    assert x.tolist() == [[21, 41], [70, 90]]
    half = gg.ones(2, dtype=gg.bfloat16)
    assert half.apply_(lambda v: v + 0.5).tolist() == [1.5, 1.5]
    with pytest.raises(GraphError, match="map_: a leaf tensor that requires"):
        gg.ones(1, requires_grad=True).apply_(abs)


def test_real_numbers_are_their_conjugates() -> None:
    x = gg.ones(1, requires_grad=True)
    assert gg.conj(x) is gg.real(x) is x.conj() is x.resolve_conj() is x.real is x


def test_detach_as_a_function() -> None:
    x = gg.ones(1, requires_grad=True)
    y = gg.detach(x)
    assert not y.requires_grad and np.shares_memory(x.array, y.array)
